# SPDX-License-Identifier: Apache-2.0
"""Blocks waiting to be looked at, by urgency, some not before a certain time. Times are ms.

Bounded: what does not fit is left out and ``overflowed`` says so; a walk over all blocks finds it
again.
"""

from __future__ import annotations

import heapq
from collections import deque

from curvine.master.redundancy import Urgency

MAX_QUEUED = 100_000


class CopyQueue:
    """A set of block ids with an order."""

    def __init__(self, limit: int = MAX_QUEUED) -> None:
        self._limit = limit
        self._ready: dict[Urgency, deque[int]] = {urgency: deque() for urgency in Urgency}
        self._later: list[tuple[int, int, Urgency]] = []  # due, block, urgency
        self._due: dict[int, int] = {}  # of those in it that still wait: block -> due
        self._ids: set[int] = set()
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, block_id: int) -> bool:
        return block_id in self._ids

    @property
    def room(self) -> int:
        """How many more fit."""
        return max(0, self._limit - len(self._ids))

    def put(self, block_id: int, urgency: Urgency = Urgency.SHORT) -> bool:
        """Queue a block; False if there is no room.

        One that waits already keeps its place, but one that was to wait until later is due now:
        something has happened to it.
        """
        if block_id in self._due:
            del self._due[block_id]
            self._ready[urgency].append(block_id)
            return True
        if block_id in self._ids:
            return True
        if not self.room:
            self.overflowed = True
            return False
        self._ids.add(block_id)
        self._ready[urgency].append(block_id)
        return True

    def put_later(self, block_id: int, due_ms: int, urgency: Urgency = Urgency.SHORT) -> None:
        """Queue a block that is not to be looked at before ``due_ms``."""
        if block_id in self._ids:
            return
        if not self.room:
            self.overflowed = True
            return
        self._ids.add(block_id)
        self._due[block_id] = due_ms
        heapq.heappush(self._later, (due_ms, block_id, urgency))

    def take(self, now_ms: int) -> tuple[int, Urgency] | None:
        """The most urgent block that may be looked at; it is not queued any more."""
        while self._later and self._later[0][0] <= now_ms:
            due, block_id, urgency = heapq.heappop(self._later)
            if self._due.get(block_id) == due:
                del self._due[block_id]
                self._ready[urgency].append(block_id)
        for urgency, waiting in self._ready.items():
            if waiting:
                block_id = waiting.popleft()
                self._ids.discard(block_id)
                return block_id, urgency
        return None
