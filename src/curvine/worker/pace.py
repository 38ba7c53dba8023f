# SPDX-License-Identifier: Apache-2.0
"""Bytes per second for work that must not get in the way of readers and writers."""

from __future__ import annotations

import asyncio

from curvine.clock import Clock


class Pace:
    """A rate shared by all who pay. Bytes are paid for before they are moved; 0 = no limit."""

    def __init__(self, rate: int, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._free_at = 0.0

    async def pay(self, size: int) -> None:
        """Wait until ``size`` bytes may be moved."""
        if not self._rate:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now) + size / self._rate
        wait = self._free_at - size / self._rate - now
        if wait > 0:
            await asyncio.sleep(wait)
