# SPDX-License-Identifier: Apache-2.0
"""The block WRITE stream, code 80 (data-plane specification 2.1 to 2.8).

A writer that is allowed to write by itself gets the staging file: by path on TCP, as upstream; by
descriptor on the local socket (decision 23). Room is promised to it: by path for the whole block,
by descriptor up to the ``block_size`` of the reply; there it asks for more by a seek frame without
data that names the last byte it wants to write, and may get another descriptor with the answer.
Where no room can be promised it gets nothing and has to send its bytes. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from curvine.errors import Common, InvalidFileSize, IoFailed
from curvine.model.block import AllocOpts, ExtendedBlock
from curvine.model.inode import MAX_FILE_SIZE
from curvine.rpc.server import ReplyData, ServerConnection
from curvine.wire.codes import RequestStatus
from curvine.wire.convert import read_block
from curvine.wire.frame import Frame
from curvine.wire.pb import worker_pb2
from curvine.worker.blocks import OpenBlock
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
from curvine.worker.staging import KEEP_SIZE, MODE_MASK, ZERO_RANGE, Staging

Reply = bytes | ReplyData


class WriteSession(Session):
    """An open write. ``capacity`` is the file's block size, which no offset may pass."""

    __slots__ = ("block", "capacity", "lent", "position", "store")

    def __init__(
        self, store: BlockStore, req_id: int, block: OpenBlock, *, position: int, capacity: int
    ) -> None:
        super().__init__(req_id)
        self.store = store
        self.block = block
        self.position = position
        self.capacity = capacity
        self.lent: Staging | None = None  # what the client writes to by descriptor

    def close(self) -> None:
        self.store.detach(self.block)

    def seek(self, offset: int) -> None:
        if not 0 <= offset < self.capacity:
            raise Common(f"seek to {offset} is outside the block, which may hold {self.capacity}")
        self.position = offset

    def put(self, data: bytes | bytearray | memoryview) -> Awaitable[None] | None:
        """Write at the position. The position moves when the bytes are in the file."""
        end = self.position + len(data)
        if end > self.capacity:
            raise IoFailed(f"write up to {end} is over the block size {self.capacity}")
        started = perf_counter()
        waiting = self.store.write(self.block, self.position, data)
        if waiting is None:
            self.position = end
            self.store.stats.wrote(len(data), perf_counter() - started)
            return None
        return self._put(waiting, end, len(data), started)

    async def _put(self, waiting: Awaitable[None], end: int, size: int, started: float) -> None:
        await waiting
        self.position = end
        self.store.stats.wrote(size, perf_counter() - started)


class WriteHandler:
    """Answers code 80."""

    def __init__(self, store: BlockStore, peers: PeerCheck) -> None:
        self._store = store
        self._peers = peers

    def __call__(self, connection: ServerConnection, frame: Frame) -> Reply | Awaitable[Reply]:
        status = frame.status & 0x0F
        slot = slot_of(connection)
        if status == RequestStatus.RUNNING:
            return self._running(slot, frame)
        if status == RequestStatus.OPEN:
            return self._open(slot, frame, local=connection.is_local)
        if status == RequestStatus.COMPLETE:
            return self._complete(slot, frame)
        if status == RequestStatus.CANCEL:
            return self._cancel(slot, frame)
        raise unsupported(frame)

    async def _open(self, slot: Slot, frame: Frame, *, local: bool) -> Reply:
        started = perf_counter()
        slot.drop()
        request = parse(worker_pb2.BlockWriteRequest, frame.header)
        self._peers.greet(slot, request)
        block = read_block(request.block)
        unpublished, published = self._store.index.lengths(block.id)
        if block.len and block.alloc_opts is None and unpublished is None and published is None:
            # The client goes on with bytes that are not here: what it left out would become zeros.
            self._store.index.view(block.id)
        session = await open_session(
            self._store, frame.req_id, block, offset=request.off, capacity=request.block_size,
            resume=request.resume,
        )  # fmt: skip
        slot.install(session)
        path, fd, limit = None, None, request.block_size
        if request.short_circuit:
            try:
                held = await self._store.lend(session.block, request.off, by_path=not local)
            except BaseException:
                if not request.resume:  # what is there was written by somebody, and answered
                    await self._store.abandon(session.block)
                slot.drop()
                raise
            if held is not None and local:
                session.lent, fd, limit = held, held.fd, held.promised
            elif held is not None:
                path = held.path
        by_itself = path is not None or fd is not None
        self._store.stats.opened_for_write(perf_counter() - started, local=by_itself)
        reply = open_reply(session, request.off, limit, path)
        if request.resume:
            _say_lengths(reply, unpublished, self._store.index.lengths(block.id)[1])
        return ReplyData(reply.SerializeToString(), b"", fd)

    def _running(self, slot: Slot, frame: Frame) -> Reply | Awaitable[Reply]:
        session = slot.current
        if not isinstance(session, WriteSession):
            if session is not None:
                return session.flush(frame)
            raise uninitialized(frame)
        if session.req_id != frame.req_id:
            check_req_id(session, frame.req_id)
        if frame.header:
            header = parse(worker_pb2.DataHeaderProto, frame.header)
            if not header.flush:
                session.seek(header.offset)
                if session.lent is not None and not frame.data:
                    return self._lend_more(session)
        if not frame.data:
            return DONE
        waiting = session.put(frame.data)
        return DONE if waiting is None else _done(waiting)

    async def _lend_more(self, session: WriteSession) -> Reply:
        """A writer by descriptor is about to write up to and with this position, and asks for room;
        below the published length, or with the directory full, it gets another file."""
        before = session.lent
        session.lent = held = await self._store.lend_more(session.block, session.position)
        reply = open_reply(session, session.position, held.promised, None)
        return ReplyData(reply.SerializeToString(), b"", None if held is before else held.fd)

    async def _complete(self, slot: Slot, frame: Frame) -> Reply:
        request = parse(worker_pb2.BlockWriteRequest, frame.header)
        if request.only_published:  # about no session, not even one left on this connection
            await self._store.sync_published(request.block.id)
            return DONE
        session = slot.current
        if isinstance(session, WriteSession):
            check_req_id(session, frame.req_id)
        else:
            slot.drop()
        started = perf_counter()
        try:
            await self._store.complete(
                request.block.id, request.block.block_size, request.block_size, sync=request.sync
            )
            self._store.stats.finalizing.add(perf_counter() - started)
        finally:
            slot.drop()
        return DONE

    async def _cancel(self, slot: Slot, frame: Frame) -> Reply:
        session = slot.current
        if isinstance(session, WriteSession):
            check_req_id(session, frame.req_id)
        else:
            slot.drop()
        request = parse(worker_pb2.BlockWriteRequest, frame.header)
        await self._store.cancel(request.block.id)
        slot.drop()
        return DONE


async def open_session(
    store: BlockStore,
    req_id: int,
    block: ExtendedBlock,
    *,
    offset: int,
    capacity: int,
    resume: bool = False,
) -> WriteSession:
    """Check an Open's values and open the block."""
    if block.id < 0:
        raise Common(f"{block.id} is not a block id")
    if not 0 <= offset <= capacity:
        raise Common(f"offset {offset} is outside the block's 0..{capacity}")
    if block.alloc_opts is not None:
        _check_alloc(block.alloc_opts, capacity)
    opened = await store.begin(
        block.id, block.storage_type, capacity, block.alloc_opts, resume=resume
    )
    return WriteSession(store, req_id, opened, position=offset, capacity=capacity)


def open_reply(
    session: WriteSession, offset: int, limit: int, path: str | None
) -> worker_pb2.BlockWriteResponse:
    """The answer to an Open. ``limit``: the block size asked for, or up to where a writer by
    descriptor may write."""
    reply = worker_pb2.BlockWriteResponse()
    fill_open_reply(reply, session, offset, path)
    reply.block_size = limit
    return reply


def _say_lengths(
    reply: worker_pb2.BlockWriteResponse, unpublished: int | None, published: int | None
) -> None:
    if unpublished is not None:
        reply.unpublished_len = unpublished
    reply.published_len = published or 0


def fill_open_reply(
    reply: worker_pb2.BlockWriteResponse, session: WriteSession, offset: int, path: str | None
) -> None:
    """Write the answer to an Open into a (nested) message."""
    reply.id = session.block.id
    if path is not None:
        reply.path = path
    reply.off = offset
    reply.block_size = session.capacity
    kind = session.store.index.storage_type(session.block)
    reply.storage_type = kind  # type: ignore[assignment]  # enums are ints to protobuf


def _check_alloc(opts: AllocOpts, capacity: int) -> None:
    if opts.len > MAX_FILE_SIZE:
        raise InvalidFileSize(f"a block of {opts.len} bytes is over {MAX_FILE_SIZE}")
    if opts.off != 0:
        raise Common(f"allocation starts at {opts.off}, only 0 is supported")
    if not 0 <= opts.len <= capacity:
        raise Common(f"allocation of {opts.len} bytes is outside the block's 0..{capacity}")
    if not opts.truncate and opts.mode & MODE_MASK & ~(KEEP_SIZE | ZERO_RANGE):
        raise Common(f"allocation mode {opts.mode:#x} is not supported")


async def _done(waiting: Awaitable[None]) -> Reply:
    await waiting
    return DONE
