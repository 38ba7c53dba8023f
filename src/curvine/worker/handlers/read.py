# SPDX-License-Identifier: Apache-2.0
"""The block READ stream, code 81 (data-plane specification 1.3 to 1.6).

A chunk that lies in the page cache goes from the file to the socket by sendfile; for a cold one the
connection asks a thread first, so the loop never waits for a disk. Offsets and lengths are bytes.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from time import perf_counter

from curvine.errors import Common, IoFailed
from curvine.rpc.bulk import FileSlice
from curvine.rpc.server import ReplyData, ServerConnection
from curvine.wire.codes import RequestStatus
from curvine.wire.frame import Frame
from curvine.wire.pb import worker_pb2
from curvine.worker.blocks import View
from curvine.worker.blockstore import BlockStore
from curvine.worker.handlers.peers import PeerCheck
from curvine.worker.handlers.sessions import (
    DONE,
    MAX_CHUNK,
    Session,
    check_req_id,
    parse,
    slot_of,
    uninitialized,
    unsupported,
)
from curvine.worker.trust import Check

Reply = bytes | ReplyData


class ReadSession(Session):
    """An open read. ``length`` is what the client asked for, ``physical`` what the file had."""

    __slots__ = ("block", "check", "chunk", "fd", "length", "physical", "position", "shared")

    def __init__(self, req_id: int, fd: int, *, position: int, length: int, chunk: int) -> None:
        super().__init__(req_id)
        self.fd = fd  # -1: the client reads the file itself, by path
        self.block = 0
        self.check: Check | None = None  # what is read has to be looked at first
        self.shared = False  # the client reads the file itself, by a duplicate of ``fd``
        self.position = position
        self.length = length
        self.physical = 0
        self.chunk = chunk

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class ReadHandler:
    """Answers code 81."""

    def __init__(
        self,
        store: BlockStore,
        peers: PeerCheck,
        max_block_size: int,
        on_damaged: Callable[[int], None] = lambda _: None,
        on_open: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._on_open = on_open  # told which block a reader has opened
        self._on_damaged = on_damaged  # told which block's file seems to be damaged
        self._peers = peers
        self._max_block_size = max_block_size

    def __call__(self, connection: ServerConnection, frame: Frame) -> Reply | Awaitable[Reply]:
        status = frame.status & 0x0F
        if status == RequestStatus.RUNNING:
            return self._running(connection, frame)
        if status == RequestStatus.OPEN:
            return self._open(connection, frame)
        if status == RequestStatus.COMPLETE:
            return self._complete(connection, frame)
        raise unsupported(frame)

    def _open(self, connection: ServerConnection, frame: Frame) -> Reply | Awaitable[Reply]:
        slot = slot_of(connection)
        slot.drop()
        request = parse(worker_pb2.BlockReadRequest, frame.header)
        self._peers.greet(slot, request)
        view = self._store.index.view(request.id)
        self._check(request)
        session = ReadSession(
            frame.req_id, -1, position=request.off, length=request.len, chunk=request.chunk_size
        )
        session.block = request.id
        by_itself = request.short_circuit and view.settled and view.len >= request.len
        session.fd, view = self._opened(request.id)
        slot.install(session)
        self._on_open(request.id)
        info = os.fstat(session.fd)
        session.physical = min(view.len, info.st_size)
        by_itself = by_itself and session.physical >= request.len
        trust = self._store.trust
        if trust.needs_check(request.id, info.st_ctime_ns):
            session.check = trust.check(request.id, session.fd)
            if session.check is not None and by_itself:
                return self._open_checked(connection, session, session.check, request, view)
        return self._opened_reply(connection, session, request, view, by_itself=by_itself)

    async def _open_checked(
        self,
        connection: ServerConnection,
        session: ReadSession,
        check: Check,
        request: worker_pb2.BlockReadRequest,
        view: View,
    ) -> Reply:
        """The file is given away once all of it was looked at; while that lasts, bytes are sent."""
        whole = await check.whole(self._store.trust.patience)
        if session.fd < 0:
            raise Common("the connection was closed")
        return self._opened_reply(connection, session, request, view, by_itself=whole)

    def _opened_reply(
        self,
        connection: ServerConnection,
        session: ReadSession,
        request: worker_pb2.BlockReadRequest,
        view: View,
        *,
        by_itself: bool,
    ) -> Reply:
        self._store.stats.opened_for_read(local=by_itself)
        if by_itself and not connection.is_local:
            session.close()  # upstream's clients: by path, and no file stays open here
            return _open_reply(request, view, by_path=True)
        session.shared = by_itself
        header = _open_reply(request, view, by_path=False)
        return ReplyData(header, b"", session.fd if by_itself else None)

    def _opened(self, block: int) -> tuple[int, View]:
        try:
            return self._store.index.open_file(block)
        except IoFailed:
            self._on_damaged(block)
            raise

    def _check(self, request: worker_pb2.BlockReadRequest) -> None:
        if not 0 <= request.len <= self._max_block_size:
            raise Common(f"block length {request.len} is outside 0..{self._max_block_size}")
        if not 0 <= request.off <= request.len:
            raise Common(f"offset {request.off} is outside the block's 0..{request.len}")
        if not 0 < request.chunk_size <= MAX_CHUNK:
            raise Common(f"chunk size {request.chunk_size} is outside 1..{MAX_CHUNK}")
        if request.enable_read_ahead and request.read_ahead_len > MAX_CHUNK:
            raise Common(f"read-ahead of {request.read_ahead_len} is over {MAX_CHUNK}")

    def _running(self, connection: ServerConnection, frame: Frame) -> Reply | Awaitable[Reply]:
        started = perf_counter()
        slot = slot_of(connection)
        session = slot.current
        if not isinstance(session, ReadSession):
            slot.drop()
            raise uninitialized(frame)
        if session.fd < 0 or session.shared:
            raise uninitialized(frame)
        if frame.header:
            offset = parse(worker_pb2.DataHeaderProto, frame.header).offset
            if not 0 <= offset <= session.length:
                raise IoFailed(f"offset {offset} is outside the block's 0..{session.length}")
            session.position = offset
        start = session.position
        size = min(session.chunk, session.length - start)
        if size <= 0:
            raise IoFailed(f"offset {start} is at the end of the block ({session.length} bytes)")
        if os.fstat(session.fd).st_size < session.physical:
            self._on_damaged(session.block)
            raise IoFailed(f"the block's file became shorter than its {session.physical} bytes")
        check = session.check
        if check is not None and not check.knows(start, size):
            return self._looked_at(session, check, start, size, started)
        if session.length > session.physical:
            return self._padded(session, start, size, started)
        session.position = start + size
        self._store.stats.read(size, perf_counter() - started)
        return ReplyData(DONE, FileSlice(session.fd, start, size))

    async def _looked_at(
        self, session: ReadSession, check: Check, start: int, size: int, started: float
    ) -> Reply:
        """A chunk of a block that has not been compared with its sums since it was written."""
        await check.cover(start, size)
        if session.fd < 0:
            raise Common("the connection was closed")
        check.read_ahead(start + size - 1)
        if session.length > session.physical:
            return await self._padded(session, start, size, started)
        session.position = start + size
        self._store.stats.read(size, perf_counter() - started)
        return ReplyData(DONE, FileSlice(session.fd, start, size))

    async def _padded(self, session: ReadSession, start: int, size: int, started: float) -> Reply:
        """A chunk of a block whose tail has no bytes on disk: zeros."""
        stored = max(0, min(session.physical - start, size))
        data = await self._store.io.run(_read_padded, os.dup(session.fd), start, stored, size)
        session.position = start + size
        self._store.stats.read(size, perf_counter() - started)
        return ReplyData(DONE, data)

    def _complete(self, connection: ServerConnection, frame: Frame) -> Reply:
        slot = slot_of(connection)
        session = slot.current
        if isinstance(session, ReadSession):
            check_req_id(session, frame.req_id)
        slot.drop()
        return DONE


def _open_reply(request: worker_pb2.BlockReadRequest, view: View, *, by_path: bool) -> bytes:
    reply = worker_pb2.BlockReadResponse()
    reply.id = request.id
    reply.len = request.len
    if by_path:
        reply.path = view.path
    reply.storage_type = view.storage_type  # type: ignore[assignment]  # enums are ints to protobuf
    return reply.SerializeToString()


def _read_padded(fd: int, start: int, stored: int, size: int) -> bytes:
    """``stored`` bytes from ``start`` on, then zeros up to ``size``. Closes ``fd``."""
    try:
        data = b""
        while len(data) < stored:
            piece = os.pread(fd, stored - len(data), start + len(data))
            if not piece:
                raise IoFailed(f"the block's file ends at {start + len(data)}")
            data += piece
    except OSError as error:
        if isinstance(error, IoFailed):
            raise
        raise IoFailed(f"cannot read the block: {error.strerror}") from error
    finally:
        os.close(fd)
    return data.ljust(size, b"\0")
