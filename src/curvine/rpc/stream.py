# SPDX-License-Identifier: Apache-2.0
"""A connection to a worker that carries one block session after another.

A session has one req_id; seq_id starts at 0 with Open and grows by one with every Running, Complete
and Cancel. The worker answers in order, so several Running may be in flight (data-plane
specification 0.4): ``send_running`` does not wait, ``next_reply`` takes the answers one by one.

After any transport error or time-out the stream is closed for good. After an error *reply* it can
be used on: the next Open replaces the session (1.2). Times are seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from socket import socket

from curvine.errors import (
    ConnectionLost,
    CurvineError,
    IoFailed,
    ProtocolViolation,
    TimedOut,
)
from curvine.rpc.auth import Auth, connect
from curvine.rpc.bulk import FileSlice
from curvine.rpc.channel import Channel, frame_fd
from curvine.rpc.client import CALL_TIMEOUT, CONNECT_TIMEOUT, is_success, new_req_id, reply_error
from curvine.rpc.dialing import Address, describe
from curvine.wire import codes
from curvine.wire.frame import MAX_REPLY_HEADER, Buffer, Frame, encode_prefix

__all__ = ["BlockStream", "FileSlice", "frame_fd"]


class BlockStream:
    """See the module. For one user at a time. Made by :meth:`connect`."""

    def __init__(self, sock: socket, address: Address, rpc_timeout: float = CALL_TIMEOUT) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = rpc_timeout
        self._code = 0
        self._req_id = codes.REQ_NONE
        self._seq = -1
        #: seq_id and place for the data, of each request without an answer, oldest first
        self._expected: deque[tuple[int, memoryview | None]] = deque()
        self._replies: deque[Frame] = deque()  # received, not taken; _expected still has them
        self._waiter: asyncio.Future[None] | None = None
        self._error: CurvineError | None = None
        self.address = address
        self._channel = Channel(
            sock, self, max_header=MAX_REPLY_HEADER, peer=describe(address), sink=self._place
        )
        self.is_local = self._channel.is_local
        self._channel.start()

    @classmethod
    async def connect(
        cls,
        address: Address,
        timeout: float = CONNECT_TIMEOUT,
        *,
        rpc_timeout: float = CALL_TIMEOUT,
        auth: Auth | None = None,
    ) -> BlockStream:
        """Dial ``(host, port)`` or a local socket's name, once; ``auth`` proves us."""
        return cls(await connect(address, timeout, auth), address, rpc_timeout)

    @property
    def closed(self) -> bool:
        """Whether another stream is needed."""
        return self._channel.closed

    @property
    def in_flight(self) -> int:
        """Requests whose replies were not taken yet."""
        return len(self._expected)

    async def open(
        self,
        code: int,
        header: bytes,
        data: Buffer = b"",
        *,
        req_id: int | None = None,
        fd: int | None = None,
    ) -> Frame:
        """Begin a session; returns the reply. ``frame_fd(reply)`` takes a descriptor it brought.
        ``fd`` is passed with the request (local streams only; a duplicate travels)."""
        while self._expected:
            await self._drop_reply()
        self._begin(code, new_req_id() if req_id is None else req_id)
        self._send(codes.OPEN, header, data, None, fd)
        return await self.next_reply()

    async def exchange(
        self, code: int, opening: bytes, pieces: Sequence[tuple[bytes, Buffer]], ending: bytes
    ) -> list[Frame]:
        """A whole session in one go: Open, a Running per (header, data), Complete, all sent at
        once; the replies to all of them. A worker acts on them in order, and on none after Open if
        that fails (2.3: Complete then finds no block, or one of another length). The first error
        reply is raised when all replies are here. Nothing may be in flight."""
        self._begin(code, new_req_id())
        self._send(codes.OPEN, opening, b"", None, None)
        for header, data in pieces:
            self._send(codes.RUNNING, header, data, None, None)
        self._send(codes.COMPLETE, ending, b"", None, None)
        self._channel.flush()
        replies: list[Frame] = []
        failure: CurvineError | None = None
        while self._expected:
            try:
                replies.append(await self.next_reply())
            except CurvineError as error:
                failure = failure or error
                if self.closed:
                    break
        if failure is not None:
            raise failure
        return replies

    async def complete_alone(self, code: int, header: bytes) -> Frame:
        """A Complete without a session. Nothing may be in flight."""
        self._begin(code, new_req_id())
        self._send(codes.COMPLETE, header, b"", None, None)
        return await self.next_reply()

    def _begin(self, code: int, req_id: int) -> None:
        self._code = code
        self._req_id = req_id
        self._seq = -1

    def send_running(
        self,
        header: bytes = b"",
        data: Buffer | FileSlice = b"",
        *,
        into: memoryview | None = None,
    ) -> None:
        """Send a Running request without waiting. ``into`` is where the reply's data shall land;
        leave it alone until the reply was taken. Large ``data`` is not copied either."""
        self._send(codes.RUNNING, header, data, into, None)

    async def running(self, header: bytes = b"", data: Buffer | FileSlice = b"") -> Frame:
        """Send a Running request and wait for its reply (no other may be in flight)."""
        self._send(codes.RUNNING, header, data, None, None)
        return await self.next_reply()

    async def next_reply(self, timeout: float | None = None) -> Frame:
        """The reply to the oldest request in flight; raises the error that it carries."""
        if not self._expected:
            raise ProtocolViolation("no request is in flight on this stream")
        while not self._replies:
            await self._wait(self._timeout if timeout is None else timeout)
        frame = self._replies.popleft()
        _, into = self._expected.popleft()
        if not is_success(frame):
            raise reply_error(frame)
        if into is not None and frame.data is not into:
            frame = self._settle_data(frame, into)
        return frame

    async def complete(self, header: bytes, data: Buffer = b"") -> Frame:
        """End the session in good order. Replies not taken are taken first; an error in one of
        them is raised once the worker has answered this request as well."""
        return await self._end(codes.COMPLETE, header, data)

    async def cancel(self, header: bytes) -> Frame:
        """End the session and undo it. What replies not taken say does not matter any more."""
        while self._expected:
            await self._drop_reply()
        return await self._end(codes.CANCEL, header, b"")

    async def drain(self) -> None:
        """Wait while too many bytes are queued for the worker."""
        timer = self._loop.call_later(self._timeout, self._too_late, self._timeout)
        try:
            await self._channel.drain()
        finally:
            timer.cancel()
        if self._channel.closed:
            raise self._gone()

    def close(self) -> None:
        """Close the connection; the worker forgets the session."""
        self._channel.close()

    # -- sending ----------------------------------------------------------------------------------

    def _send(
        self,
        status: int,
        header: bytes,
        data: Buffer | FileSlice,
        into: memoryview | None,
        fd: int | None,
    ) -> None:
        channel = self._channel
        if channel.closed:
            raise self._gone()
        if fd is not None and (not self.is_local or isinstance(data, FileSlice)):
            raise IoFailed("a descriptor travels on a local connection, without file bytes")
        out = channel.out
        self._seq += 1
        size = data.length if isinstance(data, FileSlice) else len(data)
        prefix = encode_prefix(self._code, status, self._req_id, self._seq, len(header), size)
        if fd is not None and not isinstance(data, FileSlice):
            out.put_with_fd(b"".join((prefix, header, data)), fd)
        else:
            out.put(prefix + header)
            if isinstance(data, FileSlice):
                out.put_slice(data)
            elif size:
                out.put(data)
        self._expected.append((self._seq, into))
        channel.flush_soon()

    async def _end(self, status: int, header: bytes, data: Buffer) -> Frame:
        self._send(status, header, data, None, None)
        failure: CurvineError | None = None
        while len(self._expected) > 1:
            try:
                await self.next_reply()
            except CurvineError as error:
                failure = failure or error
                if self.closed:
                    raise failure from None
        frame = await self.next_reply()
        if failure is not None:
            raise failure
        return frame

    async def _drop_reply(self) -> None:
        try:
            await self.next_reply()
        except CurvineError:
            if self.closed:
                raise

    # -- receiving --------------------------------------------------------------------------------

    def _place(self, ahead: int, size: int) -> memoryview | None:
        """Sink: where the data of the reply that begins now shall go."""
        index = len(self._replies) + ahead
        if index >= len(self._expected):
            return None
        into = self._expected[index][1]
        return into[:size] if into is not None and size <= len(into) else None

    def _settle_data(self, frame: Frame, into: memoryview) -> Frame:
        """Data that was received elsewhere (it was small) moves to where it was wanted."""
        data = frame.data
        if isinstance(data, memoryview) and data.obj is into.obj:
            return frame
        if len(data) > len(into):
            raise ProtocolViolation(
                f"{self._channel.peer} sent {len(data)} bytes where {len(into)} were asked for"
            )
        place = into[: len(data)]
        place[:] = data
        return frame._replace(data=place)

    def on_frames(self, frames: list[Frame]) -> None:
        """ChannelOwner: replies come in the order of the requests, or the stream is of no use."""
        for frame in frames:
            if not frame.status & 0x0F:
                continue  # a heartbeat
            index = len(self._replies)
            if (
                index >= len(self._expected)
                or frame.req_id != self._req_id
                or frame.seq_id != self._expected[index][0]
                or frame.status >> 4 > codes.ResponseStatus.ERROR
            ):
                text = f"{self._channel.peer} sent a frame that answers no request"
                self._channel.close(ProtocolViolation(text))
                return
            self._replies.append(frame)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def on_drained(self) -> None:
        """ChannelOwner: ``drain`` has its own waiters."""

    def on_closed(self, error: CurvineError | None) -> None:
        """ChannelOwner: whoever waits shall know."""
        self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout: float) -> None:
        """Wait until something has come; raise if the stream is closed, and close it if nothing
        comes in time."""
        if self._channel.closed:
            raise self._gone()
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._too_late, timeout)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        if self.closed and not self._replies:
            raise self._gone()

    def _too_late(self, timeout: float) -> None:
        text = f"no answer from {self._channel.peer} within {timeout:g} s"
        self._channel.close(TimedOut(text))

    def _gone(self) -> CurvineError:
        if isinstance(self._error, TimedOut):
            return TimedOut(self._error.message)
        if self._error is not None:
            return ConnectionLost(self._error.message)
        return ConnectionLost(f"the connection with {self._channel.peer} is closed")
