# SPDX-License-Identifier: Apache-2.0
"""One connection of a server: frames in, handlers run, replies out.

Theory of operation. Received frames enter ``_inbox``; ``_work`` takes them out one by one and runs
their handlers until something holds it: too many handlers waiting, too many bytes not taken by the
peer, or its turn is over. While frames stay behind, the connection is not read, so a peer that does
not listen or asks too much is slowed down by its own TCP window and holds bounded memory.

Frames at the front of what a read brought may be answered by ``quick`` before any of that: a server
gives one for the call that it gets most, where looking at each frame by itself is most of the cost.

A handler answers in one of three ways:

- a reply: nothing but its own run is paid;
- a coroutine: stepped by hand (``rpc.step``); a Task only if it waits for something;
- a future or Task: answered when it is done.

``ordered``: one frame after another, the next begins when the last is answered and the bytes of
files in its answer are sent (a handler may close the file afterwards). Otherwise answers leave as
they come; callers tell them apart by req_id.

All state is the loop's; between two awaits of a handler nothing else changes its connection.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from socket import socket
from types import CoroutineType
from typing import Any, NamedTuple, Protocol

from curvine.errors import Common, CurvineError, DiskOutOfSpace, IoFailed, ProtocolViolation
from curvine.rpc.bulk import FileSlice
from curvine.rpc.channel import HIGH_WATER, LOW_WATER, Channel
from curvine.rpc.step import Suspended, step
from curvine.telemetry.logs import OnceLogger
from curvine.wire import codes
from curvine.wire.frame import OVERHEAD, PREFIX, Buffer, Frame, encode, encode_prefix
from curvine.wire.status import encode_error

_TURN = 128  # frames of one connection before the others have their turn
_INBOX_FRAMES = 64  # frames left behind that stop the reading
_INBOX_BYTES = 1024 * 1024  # likewise, their bytes
_EMPTY, _REPLY = -1, -2  # what a status byte is besides a request status of 0..5

_pack = PREFIX.pack


class ReplyData(NamedTuple):
    """A reply with more than a header. ``fd`` (local connections only) stays the handler's."""

    header: bytes = b""
    data: Buffer | FileSlice = b""
    fd: int | None = None


Reply = bytes | ReplyData
Handler = Callable[["ServerConnection", Frame], Reply | Awaitable[Reply]]

#: Received frames -> whole answer frames to as many of the first of them as it can give at once
Quick = Callable[[list[Frame]], list[bytes]]


def _classify(byte: int) -> int:
    request, response = codes.request_status(byte), codes.response_status(byte)
    if request == codes.RequestStatus.HEARTBEAT:
        return 0
    if response != codes.ResponseStatus.UNDEFINED:
        return _REPLY
    return _EMPTY if request == codes.RequestStatus.UNDEFINED else int(request)


#: status byte -> request status 0..5, or _EMPTY or _REPLY
_ACTION = tuple(_classify(byte) for byte in range(256))


class Host(Protocol):
    """What a connection needs from its server."""

    name: str
    ordered: bool
    max_pending: int
    max_header: int
    handlers: Mapping[int, Handler]
    on_unknown: Handler | None
    executor: Executor | None
    before_answers: Callable[[], None] | None
    quick: Quick | None
    once: OnceLogger

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a handler's Task until it is done."""

    def closed(self, connection: ServerConnection, error: CurvineError | None) -> None:
        """The connection is gone."""


class ServerConnection:
    """A connected peer, as handlers see it: ``peer`` (its IP, or "local"), ``is_local``, and
    ``session``, a slot for whatever the handlers keep for this connection."""

    def __init__(self, host: Host, sock: socket, peer: str) -> None:
        self.peer = peer
        self.session: Any = None
        self.exempt_from_idle = False  # a handler sets it: the peer listens and need not speak
        self.closing = False  # the server decided to end it
        self.activity = 0  # frames other than heartbeats
        self._host = host
        self._handlers = host.handlers
        self._ordered = host.ordered
        self._before_answers = host.before_answers
        self._quick = host.quick
        self._limit = 1 if host.ordered else host.max_pending
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Frame] = deque()
        self._pending = 0  # handlers that wait for something
        self._work_planned = False
        self._on_close: list[Callable[[], None]] = []
        self.channel = Channel(
            sock, self, max_header=host.max_header, peer=peer, executor=host.executor
        )
        self.is_local = self.channel.is_local
        self.channel.start()

    @property
    def pending(self) -> int:
        """Requests received and not answered."""
        return self._pending + len(self._inbox)

    @property
    def closed(self) -> bool:
        """Whether replies go nowhere."""
        return self.channel.closed

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once: connection gone and none of its handlers still running."""
        self._on_close.append(callback)

    def send(
        self, code: int, status: int, req_id: int, seq_id: int, header: bytes, data: Buffer = b""
    ) -> None:
        """Send a frame that answers no particular one (a stream's). Look at ``backlog`` first."""
        if not self.channel.closed:
            self.channel.out.put(encode(code, status, req_id, seq_id, header, data))
            self.channel.flush_soon()

    @property
    def backlog(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self.channel.out.queued

    def flush(self) -> None:
        """Give what was sent to the kernel now, as far as it takes it."""
        self.channel.flush()

    def close(self) -> None:
        """Send what can still be sent at once, then close."""
        self.closing = True
        self.channel.flush()
        self.channel.close()

    # -- frames -----------------------------------------------------------------------------------

    def on_frames(self, frames: list[Frame]) -> None:
        """ChannelOwner: handle what came; the channel flushes afterwards."""
        if self._quick is not None and not self._inbox and self.channel.out.queued <= HIGH_WATER:
            answers = self._quick(frames)
            if answers:
                self.activity += len(answers)
                self.channel.out.put(b"".join(answers))
                if len(answers) == len(frames):
                    if self._before_answers is not None:
                        self._before_answers()
                    return
                frames = frames[len(answers) :]
        self._inbox.extend(frames)
        if not self._work_planned:
            self._work()

    def on_drained(self) -> None:
        """ChannelOwner: the peer reads again."""
        self._plan_work()

    def on_closed(self, error: CurvineError | None) -> None:
        """ChannelOwner: tell the server, and the handlers that asked for it."""
        self._inbox.clear()
        self._host.closed(self, error)
        self._run_on_close()

    def _run_on_close(self) -> None:
        if self._pending or not self.channel.closed:
            return
        callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                self._host.once.log(
                    logging.ERROR, ("close", type(error)), "clean-up failed", error=error
                )

    def _plan_work(self) -> None:
        if not self._work_planned:
            self._work_planned = True
            self._loop.call_soon(self._planned_work)

    def _planned_work(self) -> None:
        self._work_planned = False
        self._work()
        self.channel.flush()

    def _work(self) -> None:
        inbox, channel, out = self._inbox, self.channel, self.channel.out
        budget = _TURN
        while inbox and self._pending < self._limit:
            if out.queued > HIGH_WATER or (out.files and self._ordered):
                channel.flush()
                if out.queued > HIGH_WATER or (out.files and self._ordered):
                    channel.want_drain = 0 if self._ordered else LOW_WATER
                    break
            if not budget:
                self._plan_work()
                break
            budget -= 1
            self._handle(inbox.popleft())
        if not inbox:
            channel.start()
        elif len(inbox) > _INBOX_FRAMES or sum(map(_size, inbox)) > _INBOX_BYTES:
            channel.pause()
        if self._before_answers is not None:
            self._before_answers()

    def _handle(self, frame: Frame) -> None:
        code, status, req_id, seq_id, _, _ = frame
        request = _ACTION[status]
        if request <= 0:
            self._not_a_request(frame, request)
            return
        self.activity += 1
        handler = self._handlers.get(code) or self._host.on_unknown
        try:
            if handler is None:
                raise self._unknown(frame)
            reply: Any = handler(self, frame)
            if type(reply) is CoroutineType:
                reply = step(reply)
            if type(reply) is bytes:
                size = len(reply)
                prefix = _pack(OVERHEAD + size, size, code, request, req_id, seq_id)
                self.channel.out.put(prefix + reply)
            elif isinstance(reply, ReplyData):
                self._answer(frame, reply)
            else:
                self._wait_for(frame, reply)
        except Exception as error:
            self._fail(frame, error)

    def _not_a_request(self, frame: Frame, action: int) -> None:
        if action == 0:
            return  # a heartbeat says nothing, and does not count as activity
        self.channel.flush()
        if action == _EMPTY:
            self.channel.close(ProtocolViolation("sent an empty frame, which ends a connection"))
        else:
            self.channel.close(
                ProtocolViolation(f"sent a reply (status 0x{frame.status:02x}) to a server")
            )

    def _unknown(self, frame: Frame) -> CurvineError:
        name = codes.code_name(frame.code)
        self._host.once.log(
            logging.WARNING,
            ("code", frame.code, self.peer),
            "%s: %s asked for %s (code %d), which is not served here",
            self._host.name,
            self.peer,
            name,
            frame.code,
        )
        return Common(f"{name} (code {frame.code}) is not supported by the {self._host.name}")

    # -- answers ----------------------------------------------------------------------------------

    def _wait_for(self, frame: Frame, reply: Suspended[Reply] | Awaitable[Reply]) -> None:
        if isinstance(reply, Suspended):
            self._host.keep(self._loop.create_task(self._finish(frame, reply)))
        else:
            future = asyncio.ensure_future(reply, loop=self._loop)
            future.add_done_callback(lambda done: self._future_done(frame, done))
        self._pending += 1

    async def _finish(self, frame: Frame, suspended: Suspended[Reply]) -> None:
        try:
            self._answer(frame, await suspended)
        except Exception as error:
            self._fail(frame, error)
        finally:
            self._done()

    def _future_done(self, frame: Frame, future: asyncio.Future[Reply]) -> None:
        try:
            self._answer(frame, future.result())
        except asyncio.CancelledError:
            self._fail(frame, Common("the operation was cancelled"))
        except Exception as error:
            self._fail(frame, error)
        finally:
            self._done()

    def _done(self) -> None:
        """A waiting handler has ended: send, and go on with what it held up."""
        self._pending -= 1
        if self.channel.closed:
            self._run_on_close()
        elif self._inbox:
            # Not from here: the next handler's first step must not run inside this one's Task.
            self._plan_work()
        else:
            self.channel.flush_soon()

    def _answer(self, frame: Frame, reply: Reply) -> None:
        if self.channel.closed:
            return
        out = self.channel.out
        if not isinstance(reply, ReplyData):
            reply = ReplyData(reply)
        header, data, fd = reply
        size = data.length if isinstance(data, FileSlice) else len(data)
        prefix = encode_prefix(
            frame.code,
            codes.success_byte(frame.status),
            frame.req_id,
            frame.seq_id,
            len(header),
            size,
        )
        if fd is not None:
            if not self.is_local or isinstance(data, FileSlice):
                raise IoFailed("a descriptor travels on a local connection, without file bytes")
            out.put_with_fd(b"".join((prefix, header, data)), fd)
            return
        out.put(prefix + header if header else prefix)
        if isinstance(data, FileSlice):
            out.put_slice(data)
        elif size:
            out.put(data)

    def _fail(self, frame: Frame, error: Exception) -> None:
        if self.channel.closed:
            return
        known = error if isinstance(error, CurvineError) else self._translate(frame, error)
        status = codes.error_byte(frame.status)
        body = encode_error(known)
        self.channel.out.put(encode(frame.code, status, frame.req_id, frame.seq_id, b"", body))

    def _translate(self, frame: Frame, error: Exception) -> CurvineError:
        """An error that is not of our catalogue is logged, and told to the peer in short."""
        name, code = self._host.name, codes.code_name(frame.code)
        key = ("failed", frame.code, type(error))
        if isinstance(error, OSError):
            text = error.strerror or str(error)
            self._host.once.log(logging.WARNING, key, "%s: %s failed: %s", name, code, error)
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            return DiskOutOfSpace(text) if full else IoFailed(f"{code} failed: {text}")
        self._host.once.log(logging.ERROR, key, "%s: %s failed", name, code, error=error)
        return Common(f"{code} failed inside the {name}; its log says why")


def _size(frame: Frame) -> int:
    return len(frame.header) + len(frame.data)
