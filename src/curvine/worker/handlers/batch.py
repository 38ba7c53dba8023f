# SPDX-License-Identifier: Apache-2.0
"""Batch writes, code 82: several small blocks in one session (data-plane specification 2.10).

Contents travel inside the protobuf header. Block i is an ordinary write session. A flush comes as
code 80. Commit or cancel is said by the frame's status, not by the field ``cancel``.
"""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from curvine.errors import Common
from curvine.rpc.server import ReplyData, ServerConnection
from curvine.wire.codes import RequestStatus
from curvine.wire.convert import read_block
from curvine.wire.frame import Frame
from curvine.wire.pb import worker_pb2
from curvine.worker.blockstore import BlockStore
from curvine.worker.handlers.peers import PeerCheck
from curvine.worker.handlers.sessions import (
    DONE,
    Session,
    Slot,
    check_req_id,
    parse,
    slot_of,
    uninitialized,
    unsupported,
)
from curvine.worker.handlers.write import (
    WriteSession,
    fill_open_reply,
    open_session,
)

Reply = bytes | ReplyData


class BatchSession(Session):
    """The blocks of one batch, in order, each with what its Open said about it."""

    def __init__(self, req_id: int, capacity: int) -> None:
        super().__init__(req_id)
        self.capacity = capacity
        self.writes: list[tuple[worker_pb2.BlockWriteRequest, WriteSession]] = []

    def close(self) -> None:
        for _, write in self.writes:
            write.close()
        self.writes = []

    def flush(self, frame: Frame) -> bytes:
        """A Running of code 80: only a flush is possible, and there is nothing to wait for."""
        check_req_id(self, frame.req_id)
        if not frame.header or not parse(worker_pb2.DataHeaderProto, frame.header).flush:
            raise Common("a batch takes its data in WriteBlocksBatch frames")
        return DONE


class BatchHandler:
    """Answers code 82."""

    def __init__(self, store: BlockStore, peers: PeerCheck) -> None:
        self._store = store
        self._peers = peers

    def __call__(self, connection: ServerConnection, frame: Frame) -> Awaitable[Reply]:
        status = frame.status & 0x0F
        slot = slot_of(connection)
        if status == RequestStatus.OPEN:
            return self._open(slot, frame, local=connection.is_local)
        if status == RequestStatus.RUNNING:
            return self._running(slot, frame)
        if status == RequestStatus.COMPLETE:
            return self._complete(slot, frame)
        if status == RequestStatus.CANCEL:
            return self._cancel(slot, frame)
        raise unsupported(frame)

    async def _open(self, slot: Slot, frame: Frame, *, local: bool) -> Reply:
        slot.drop()
        request = parse(worker_pb2.BlocksBatchWriteRequest, frame.header)
        self._peers.greet(slot, request)
        session = BatchSession(frame.req_id, request.block_size)
        reply = worker_pb2.BlocksBatchWriteResponse()
        try:
            for index, proto in enumerate(request.blocks):
                started = perf_counter()
                block = read_block(proto)
                write = await open_session(
                    self._store,
                    frame.req_id + index,
                    block,
                    offset=request.off,
                    capacity=request.block_size,
                )
                session.writes.append((worker_pb2.BlockWriteRequest(block=proto), write))
                path = None
                if request.short_circuit and not local:
                    held = await self._store.lend(write.block, request.off, by_path=True)
                    path = held.path if held is not None else None
                fill_open_reply(reply.responses.add(), write, request.off, path)
                self._store.stats.opened_for_write(perf_counter() - started, local=path is not None)
        except BaseException:
            for _, write in session.writes:
                await self._store.abandon(write.block)
            session.close()
            raise
        slot.install(session)
        return reply.SerializeToString()

    async def _running(self, slot: Slot, frame: Frame) -> Reply:
        session = _session(slot, frame)
        request = parse(worker_pb2.FilesBatchWriteRequest, frame.header)
        check_req_id(session, request.req_id)
        if len(request.files) != len(session.writes):
            raise Common(f"{len(request.files)} files for {len(session.writes)} open blocks")
        reply = worker_pb2.FilesBatchWriteResponse()
        for file, (_, write) in zip(request.files, session.writes, strict=True):
            waiting = write.put(file.content)
            if waiting is not None:
                await waiting
            reply.results.append(True)
        return reply.SerializeToString()

    async def _complete(self, slot: Slot, frame: Frame) -> Reply:
        request = self._ending(slot, frame)
        reply = worker_pb2.BlocksBatchCommitResponse()
        try:
            for proto in request.blocks:
                started = perf_counter()
                await self._store.complete(
                    proto.id, proto.block_size, request.block_size, sync=False
                )
                self._store.stats.finalizing.add(perf_counter() - started)
                reply.results.append(True)
        finally:
            slot.drop()
        return reply.SerializeToString()

    async def _cancel(self, slot: Slot, frame: Frame) -> Reply:
        request = self._ending(slot, frame)
        reply = worker_pb2.BlocksBatchCommitResponse()
        for proto in request.blocks:
            await self._store.cancel(proto.id)
            reply.results.append(True)
        slot.drop()
        return reply.SerializeToString()

    def _ending(self, slot: Slot, frame: Frame) -> worker_pb2.BlocksBatchCommitRequest:
        """The request that ends the session; it has to name the same blocks."""
        session = _session(slot, frame)
        request = parse(worker_pb2.BlocksBatchCommitRequest, frame.header)
        check_req_id(session, request.req_id)
        if len(request.blocks) != len(session.writes):
            raise Common(f"{len(request.blocks)} blocks named, {len(session.writes)} are open")
        for proto, (opened, _) in zip(request.blocks, session.writes, strict=True):
            was = opened.block
            if (proto.id, proto.storage_type, proto.file_type) != (
                was.id,
                was.storage_type,
                was.file_type,
            ):
                raise Common(f"block {proto.id} is not the block {was.id} that was opened")
            if proto.block_size > request.block_size:
                raise Common(
                    f"block {proto.id}: length {proto.block_size} is over {request.block_size}"
                )
        return request


def _session(slot: Slot, frame: Frame) -> BatchSession:
    session = slot.current
    if not isinstance(session, BatchSession):
        slot.drop()
        raise uninitialized(frame)
    check_req_id(session, frame.req_id)
    return session
