# SPDX-License-Identifier: Apache-2.0
"""A proxy between a client and its workers that cuts a connection at a chosen frame.

It stands behind every address that the client's pool dials, TCP or local socket, and passes frames
(and the descriptors that come with them) on, one by one. Requests are counted over all connections;
at the one that was chosen it closes both sides, once: before the worker sees anything of it, in the
middle of it, before its reply, or in the middle of the reply.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType

from curvine.rpc.pool import BlockPool
from curvine.rpc.stream import BlockStream
from curvine.wire.codes import RequestStatus
from curvine.wire.frame import PREFIX, PREFIX_SIZE

Address = tuple[str, int] | str
PLACES = ("before", "inside", "unanswered", "half answered")
_READ = 1 << 18


class Cut:
    """Where: the ``number``-th request frame, and at which of PLACES. ``then`` is called with the
    worker's address before the connection is closed; ``reset``: the peers see it reset instead of
    closed."""

    def __init__(
        self,
        number: int,
        place: str,
        *,
        reset: bool = False,
        then: Callable[[Address], None] | None = None,
    ) -> None:
        self.number = number
        self.place = place
        self.reset = reset
        self.then = then
        self.done = False


class CutProxy:
    """A context; every stream that ``pool`` dials meanwhile goes through it."""

    def __init__(self, pool: BlockPool, cut: Cut | None = None) -> None:
        self._pool = pool
        self._acquire = pool.acquire
        self._doors: dict[Address, Address] = {}  # where a worker listens -> where we do for it
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.cut = cut
        self.requests: list[tuple[int, str]] = []  # (code, status) of each

    def __enter__(self) -> CutProxy:
        self._pool.acquire = self._detour  # type: ignore[method-assign]  # what this is for
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.acquire = self._acquire  # type: ignore[method-assign]  # as above
        with self._lock:
            for sock in self._sockets:
                _close(sock)

    async def _detour(self, address: Address) -> BlockStream:
        door = self._doors.get(address)
        if door is None:
            door = self._doors[address] = self._open_door(address)
        return await self._acquire(door)

    def _open_door(self, address: Address) -> Address:
        local = isinstance(address, str)
        listener = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        listener.bind(
            f"\0cut-proxy/{os.getpid()}/{id(self)}/{address}" if local else ("127.0.0.1", 0)
        )
        listener.listen(64)
        self._keep(listener)
        threading.Thread(target=self._listen, args=(listener, address), daemon=True).start()
        name = listener.getsockname()
        return name[1:].decode() if local else name

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.append(sock)

    def _listen(self, listener: socket.socket, address: Address) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            local = isinstance(address, str)
            worker = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
            try:
                worker.connect(f"\0{address}" if local else address)
            except OSError:  # as if it had been refused: nothing was read yet
                _reset(client)
                continue
            for sock in (client, worker):
                self._keep(sock)
                if not local:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, address, client, worker)
            for run in (connection.requests, connection.replies):
                threading.Thread(target=run, daemon=True).start()

    def counted(self, code: int, status: int) -> bool:
        """Count a request; whether it is the one."""
        with self._lock:
            self.requests.append((code, RequestStatus(status & 0x0F).name))
            cut = self.cut
            return cut is not None and not cut.done and len(self.requests) == cut.number + 1


class _Connection:
    def __init__(
        self, proxy: CutProxy, address: Address, client: socket.socket, worker: socket.socket
    ) -> None:
        self._proxy = proxy
        self._address = address
        self._client = client
        self._worker = worker
        self._doomed: int | None = None  # seq_id of the request whose reply is not to arrive

    def requests(self) -> None:
        frames = _Frames(self._client)
        while (frame := frames.next()) is not None:
            raw, fds, code, status, seq = frame
            if self._proxy.counted(code, status):
                cut = self._proxy.cut
                assert cut is not None
                if cut.place == "before":
                    self._break(cut)
                    return
                if cut.place == "inside":
                    _send(self._worker, raw[: len(raw) // 2], fds)
                    self._break(cut)
                    return
                self._doomed = seq
            if not _send(self._worker, raw, fds):
                break
        self._end()

    def replies(self) -> None:
        frames = _Frames(self._worker)
        while (frame := frames.next()) is not None:
            raw, fds, _, _, seq = frame
            if seq == self._doomed:
                cut = self._proxy.cut
                assert cut is not None
                if cut.place == "half answered":
                    _send(self._client, raw[: len(raw) // 2], fds)
                self._break(cut)
                return
            if not _send(self._client, raw, fds):
                break
        self._end()

    def _break(self, cut: Cut) -> None:
        cut.done = True
        if cut.then is not None:
            cut.then(self._address)
        for sock in (self._client, self._worker):
            (_reset if cut.reset else _close)(sock)

    def _end(self) -> None:
        for sock in (self._client, self._worker):
            _close(sock)


class _Frames:
    """The frames that a socket receives, as they came."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""
        self._fds: list[int] = []

    def next(self) -> tuple[bytes, list[int], int, int, int] | None:
        """(bytes, descriptors, code, status, seq_id) of the next frame; None at the end."""
        while True:
            if len(self._rest) >= PREFIX_SIZE:
                total, _, code, status, _, seq = PREFIX.unpack_from(self._rest)
                size = 4 + total
                if len(self._rest) >= size:
                    raw, self._rest = self._rest[:size], self._rest[size:]
                    # A descriptor belongs to the last frame of the read that it came with.
                    fds, self._fds = ([], self._fds) if self._rest else (self._fds, [])
                    return raw, fds, code, status, seq
            try:
                if self._sock.family == socket.AF_UNIX:
                    data, fds, _, _ = socket.recv_fds(self._sock, _READ, 4)
                    self._fds += fds
                else:
                    data = self._sock.recv(_READ)
            except OSError:
                return None
            if not data:
                return None
            self._rest += data


def _send(sock: socket.socket, data: bytes, fds: list[int]) -> bool:
    try:
        if fds:
            sent = socket.send_fds(sock, [data], fds)
            data = data[sent:]
        sock.sendall(data)
    except OSError:
        return False
    finally:
        for fd in fds:
            os.close(fd)
    return True


def _close(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    except OSError:
        pass
    sock.close()


def _reset(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it, tells the peer nothing
    except OSError:
        pass
    sock.close()
