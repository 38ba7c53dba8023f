# SPDX-License-Identifier: Apache-2.0
"""Deadlines and counts of HTTP connections.

The library waits for a client for ever, in the middle of a request as well as in the middle of an
answer. A :class:`Guard` stands before the library's protocol object and cuts the connection when
its time is over. States: waiting (for a request to be complete) and busy (a request is being
answered); each has its deadline, and an answer that is taken piece by piece gets a new one with
every piece. Times are seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

MAX_CONNECTIONS = 128
WAITING_SECONDS = 20.0  # for a whole request, from the first byte or the last answer
BUSY_SECONDS = 20.0  # for the next piece of an answer to be taken
ANSWER_SECONDS = 600.0  # for a whole answer
_SWEEP = 1.0


class Guard(asyncio.Protocol):
    """One connection."""

    def __init__(self, inner: Any, house: Connections) -> None:
        self.inner = inner
        self.waiting = True
        self.deadline = 0.0
        self.on_lost: Callable[[], None] | None = None  # whoever waits for the peer otherwise
        self._house = house
        self._answer_ends = 0.0
        self._begun = False  # a request has begun to arrive
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.inner.connection_made(transport)
        self.idle()
        self._house.entered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._house.left(self)
        self._writable.set()
        if self.on_lost is not None:
            self.on_lost()
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.waiting and not self._begun:
            self._begun = True
            self.deadline = self._house.now() + self._house.waiting_seconds
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return cast("bool | None", self.inner.eof_received())

    def pause_writing(self) -> None:
        self._writable.clear()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        self.inner.resume_writing()

    async def writable(self) -> None:
        """Wait until earlier answers are taken: requests may come faster than answers leave."""
        await self._writable.wait()

    def busy(self) -> None:
        """A request is complete and being answered."""
        now = self._house.now()
        self.waiting = False
        self._answer_ends = now + self._house.answer_seconds
        self.deadline = now + self._house.busy_seconds

    def progressed(self) -> None:
        """The client took a piece of the answer."""
        self.deadline = min(self._house.now() + self._house.busy_seconds, self._answer_ends)

    def free(self) -> None:
        """What comes next is our own work: no deadline."""
        self.deadline = math.inf

    def idle(self) -> None:
        """The answer is handed to the kernel as far as it takes it."""
        self.waiting = True
        self._begun = False
        self.deadline = self._house.now() + self._house.idle_seconds

    def cut(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()


class Connections:
    """All connections of one server."""

    def __init__(
        self,
        limit: int = MAX_CONNECTIONS,
        *,
        waiting_seconds: float = WAITING_SECONDS,
        busy_seconds: float = BUSY_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        idle_seconds: float | None = None,
    ) -> None:
        self.waiting_seconds = waiting_seconds
        self.idle_seconds = waiting_seconds if idle_seconds is None else idle_seconds
        self.busy_seconds = busy_seconds
        self.answer_seconds = answer_seconds
        self._limit = limit
        self._guards: dict[Any, Guard] = {}  # by the library's protocol object, oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._guards)

    def now(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    def guard(self, inner: Any) -> Guard:
        """A guard for the next connection."""
        return Guard(inner, self)

    def guard_of(self, inner: Any) -> Guard:
        """The guard before a protocol object of the library; a fresh one if that has ended."""
        return self._guards.get(inner) or Guard(inner, self)

    def entered(self, guard: Guard) -> None:
        """A connection begins. At the limit the one that waits longest ends, else this one."""
        self._guards[guard.inner] = guard
        if len(self._guards) > self._limit:
            waiting = [other for other in self._guards.values() if other.waiting]
            min(waiting, key=lambda other: other.deadline).cut()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)

    def left(self, guard: Guard) -> None:
        """A connection has ended."""
        self._guards.pop(guard.inner, None)

    def close(self) -> None:
        """Cut all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for guard in list(self._guards.values()):
            guard.cut()

    def _sweep(self) -> None:
        now = self.now()
        for guard in list(self._guards.values()):
            if now > guard.deadline:
                guard.cut()
        self._timer = None
        if self._guards:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)
