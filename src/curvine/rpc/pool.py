# SPDX-License-Identifier: Apache-2.0
"""Idle block streams, kept for the next session (data-plane specification 4.1).

The one used last is used next, so surplus streams grow old and are closed after ``idle_seconds``.
The number of busy streams is not limited.
"""

from __future__ import annotations

import asyncio
from collections import deque

from curvine.clock import Clock, SystemClock
from curvine.rpc.auth import Auth
from curvine.rpc.client import CALL_TIMEOUT, CONNECT_TIMEOUT
from curvine.rpc.dialing import Address
from curvine.rpc.stream import BlockStream


class BlockPool:
    """See the module. Lives on one loop."""

    def __init__(
        self,
        *,
        max_idle: int = 128,
        idle_seconds: float = 60.0,
        conn_timeout: float = CONNECT_TIMEOUT,
        rpc_timeout: float = CALL_TIMEOUT,
        clock: Clock | None = None,
        auth: Auth | None = None,
    ) -> None:
        self._auth = auth
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._conn_timeout = conn_timeout
        self._rpc_timeout = rpc_timeout
        self._clock = clock or SystemClock()
        #: address -> (stream, when it was released), oldest first
        self._idle: dict[Address, deque[tuple[BlockStream, float]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Streams waiting for use."""
        return sum(map(len, self._idle.values()))

    async def acquire(self, address: Address) -> BlockStream:
        """An idle stream to ``(host, port)`` or a local socket's name, else a new one."""
        streams = self._idle.get(address)
        while streams:
            stream, _ = streams.pop()
            if not stream.closed:
                return stream
        return await BlockStream.connect(
            address, self._conn_timeout, rpc_timeout=self._rpc_timeout, auth=self._auth
        )

    def release(self, stream: BlockStream) -> None:
        """Give a stream back. One with replies under way is of no use to others: it is closed."""
        if stream.closed:
            return
        if self._closed or stream.in_flight:
            stream.close()
            return
        streams = self._idle.setdefault(stream.address, deque())
        streams.append((stream, self._clock.monotonic()))
        if self.idle > self._max_idle:
            oldest = min(filter(None, self._idle.values()), key=lambda queue: queue[0][1])
            oldest.popleft()[0].close()
        if self._timer is None:
            self._plan_prune()

    def prune(self) -> None:
        """Close what was idle for too long, forget what the peers closed."""
        limit = self._clock.monotonic() - self._idle_seconds
        for address, streams in list(self._idle.items()):
            kept: deque[tuple[BlockStream, float]] = deque()
            for stream, since in streams:
                if since <= limit:
                    stream.close()
                elif not stream.closed:
                    kept.append((stream, since))
            if kept:
                self._idle[address] = kept
            else:
                del self._idle[address]

    def close(self) -> None:
        """Close every idle stream, and from now on every one that is released."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for streams in self._idle.values():
            for stream, _ in streams:
                stream.close()
        self._idle.clear()

    def _plan_prune(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._idle_seconds / 2, self._timed_prune)

    def _timed_prune(self) -> None:
        self._timer = None
        self.prune()
        if self._idle:
            self._plan_prune()
