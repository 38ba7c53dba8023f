# SPDX-License-Identifier: Apache-2.0
"""One multiplexed connection to a master (or to anyone, for plain calls).

Calls in flight are told apart by req_id; requests made in one turn of the loop leave in one system
call. Times are seconds. A call's time covers sending and waiting; when it is over and the peer has
said nothing at all since the call was made, the whole connection is given up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from functools import partial
from socket import socket

from curvine.errors import (
    ConnectionLost,
    CurvineError,
    InvalidArgument,
    IoFailed,
    ProtocolViolation,
    TimedOut,
)
from curvine.rpc.auth import Auth, connect
from curvine.rpc.channel import HIGH_WATER, Channel
from curvine.rpc.dialing import Address, describe
from curvine.telemetry.logs import OnceLogger
from curvine.wire import codes
from curvine.wire.frame import MAX_REPLY_HEADER, OVERHEAD, PREFIX, Buffer, Frame
from curvine.wire.status import decode_error

CONNECT_TIMEOUT = 30.0
CALL_TIMEOUT = 120.0
_NEVER = float("inf")

#: gets the reply, or the error that came instead (decoded; never raised into the callback)
Callback = Callable[[Frame | CurvineError], None]
#: gets a frame that answers no call in flight
Push = Callable[[Frame], None]

_pack = PREFIX.pack
_log = logging.getLogger(__name__)
_once = OnceLogger(_log)
_random = random.Random()  # a generator of its own: nobody else's seed() makes ids repeat
os.register_at_fork(after_in_child=_random.seed)


def new_req_id() -> int:
    """A random negative i64, as the last 8 bytes of a UUID are (spec 1.3)."""
    return ~_random.getrandbits(63)


def reply_error(frame: Frame) -> CurvineError:
    """The error that a reply carries. A peer's own time-out is final, so it comes as IoFailed:
    TimedOut always means that *we* stopped waiting."""
    error = decode_error(frame.data)
    return IoFailed(error.message) if isinstance(error, TimedOut | ConnectionLost) else error


def is_success(frame: Frame) -> bool:
    """Whether a frame is a successful reply."""
    return frame.status >> 4 == codes.ResponseStatus.SUCCESS


def _settle(future: asyncio.Future[Frame], result: Frame | CurvineError) -> None:
    if future.done():
        return
    if isinstance(result, CurvineError):
        future.set_exception(result)
    else:
        future.set_result(result)


class RpcConnection:
    """See the module. Made by :meth:`connect`."""

    def __init__(self, sock: socket, peer: str) -> None:
        self._loop = asyncio.get_running_loop()
        #: req_id -> (callback, when it was called, when its time is over), loop time
        self._pending: dict[int, tuple[Callback, float, float]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = _NEVER
        self._heard_at = self._loop.time()
        self._channel = Channel(sock, self, max_header=MAX_REPLY_HEADER, peer=peer)
        self.peer = peer
        self.on_push: Push | None = None  # for peers that go on sending after the answer to Open
        self.gone = asyncio.Event()  # set when the connection is closed, by whomever
        self._channel.start()

    @classmethod
    async def connect(
        cls, host: str, port: int, timeout: float = CONNECT_TIMEOUT, *, auth: Auth | None = None
    ) -> RpcConnection:
        """Dial once. ConnectionLost if that fails."""
        return await cls.connect_to((host, port), timeout, auth=auth)

    @classmethod
    async def connect_to(
        cls, address: Address, timeout: float = CONNECT_TIMEOUT, *, auth: Auth | None = None
    ) -> RpcConnection:
        """Dial once, TCP or a local socket's name; ``auth`` proves us (or NotAuthenticated)."""
        return cls(await connect(address, timeout, auth), describe(address))

    @property
    def closed(self) -> bool:
        """Whether another connection is needed."""
        return self._channel.closed

    @property
    def in_flight(self) -> int:
        """Calls without an answer."""
        return len(self._pending)

    async def call(
        self,
        code: int,
        header: bytes = b"",
        *,
        req_id: int,
        timeout: float = CALL_TIMEOUT,
        data: Buffer = b"",
        status: int = codes.RPC,
        seq_id: int = codes.SEQ_NONE,
    ) -> Frame:
        """Send a request and wait for its reply. Raises the error that the reply carries;
        ConnectionLost or TimedOut when none comes. ``status``, ``seq_id``: other than those of a
        plain call."""
        future: asyncio.Future[Frame] = self._loop.create_future()
        self.call_nowait(
            code, header, partial(_settle, future), req_id=req_id, timeout=timeout, data=data,
            status=status, seq_id=seq_id,
        )  # fmt: skip
        if self._channel.out.queued > HIGH_WATER:
            self._channel.flush()
        try:
            return await future
        except asyncio.CancelledError:
            self._pending.pop(req_id, None)
            raise
        finally:
            del future  # an error holds this frame, which must not hold the error

    def call_nowait(
        self,
        code: int,
        header: bytes,
        callback: Callback,
        *,
        req_id: int,
        timeout: float = CALL_TIMEOUT,
        data: Buffer = b"",
        status: int = codes.RPC,
        seq_id: int = codes.SEQ_NONE,
    ) -> None:
        """Send a request; ``callback`` gets what comes of it, exactly once, later, on the loop.
        Raises only ConnectionLost (already closed) and InvalidArgument (req_id in flight)."""
        channel = self._channel
        if channel.closed:
            raise ConnectionLost(f"the connection with {self.peer} is closed")
        if req_id in self._pending:
            raise InvalidArgument(f"request {req_id} is in flight already")
        now = self._loop.time()
        over = now + timeout
        self._pending[req_id] = (callback, now, over)
        if over < self._alarm_at:
            self._set_alarm(over)
        size = len(header)
        prefix = _pack(OVERHEAD + size + len(data), size, code, status, req_id, seq_id)
        channel.out.put(prefix + header)
        if data:
            channel.out.put(data)
        channel.flush_soon()

    def read_now(self) -> bool:
        """Deal with what the peer has sent up to now, without waiting for the loop to notice.
        Whether nothing is left."""
        return self._channel.read_now()

    def close(self) -> None:
        """Close; calls in flight fail with ConnectionLost."""
        self._channel.close()

    # -- ChannelOwner -----------------------------------------------------------------------------

    def on_frames(self, frames: list[Frame]) -> None:
        """Route replies to their calls."""
        self._heard_at = self._loop.time()
        pending = self._pending
        for frame in frames:
            response = frame.status >> 4
            if response > 1 and frame.status & 0x0F:  # neither success nor error, no heartbeat
                self._channel.close(ProtocolViolation("a request or an empty frame came back"))
                return
            entry = pending.pop(frame.req_id, None)
            if entry is None:  # its caller has stopped waiting, or a heartbeat, or a push
                if self.on_push is not None and frame.status & 0x0F and not response:
                    self.on_push(frame)
                continue
            self._tell(entry[0], reply_error(frame) if response else frame)

    def on_drained(self) -> None:
        """Nothing waits for this."""

    def on_closed(self, error: CurvineError | None) -> None:
        """Fail what is in flight."""
        self.gone.set()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        pending, self._pending = self._pending, {}
        reason = error.message if error is not None else f"{self.peer} closed the connection"
        if isinstance(error, ProtocolViolation):
            _log.warning("gave up the connection with %s: %s", self.peer, reason)
        for callback, _, _ in pending.values():
            self._tell(callback, ConnectionLost(reason))

    def _tell(self, callback: Callback, result: Frame | CurvineError) -> None:
        try:
            callback(result)
        except Exception as error:
            text = "the callback of a reply failed"
            _once.log(logging.ERROR, ("callback", type(error)), text, error=error)

    # -- time -------------------------------------------------------------------------------------

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._time_over)

    def _time_over(self) -> None:
        """Fail the calls whose time is over; wake up again for the next."""
        self._alarm = None
        self._alarm_at = _NEVER
        now = self._loop.time()
        # uvloop's timers have whole milliseconds and may be that early
        late = [key for key, (_, _, over) in self._pending.items() if over <= now + 0.001]
        silent = False
        for key in late:
            callback, since, over = self._pending.pop(key)
            silent = silent or self._heard_at <= since
            text = f"no answer from {self.peer} within {over - since:g} s"
            self._tell(callback, TimedOut(text))
        if silent:
            self._channel.close(ConnectionLost(f"{self.peer} has fallen silent"))
        elif self._pending and not self.closed:
            soonest = min(over for _, _, over in self._pending.values())
            if soonest < self._alarm_at:
                self._set_alarm(soonest)
