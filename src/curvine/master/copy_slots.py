# SPDX-License-Identifier: Apache-2.0
"""How much copying a worker may do: some copies at a time, some bytes per second. Times are ms."""

from __future__ import annotations

from collections import Counter


class CopySlots:
    """Counts copies by worker, source and target alike. ``rate`` 0 = no limit."""

    def __init__(self, per_worker: int, rate: int) -> None:
        self._per_worker = per_worker
        self._rate = rate
        self._busy: Counter[int] = Counter()
        self._free_at: dict[int, float] = {}  # worker -> when its rate allows the next copy

    def may_work(self, worker_id: int, now: int) -> bool:
        """Whether another copy may begin there."""
        if self._busy[worker_id] >= self._per_worker:
            return False
        return self._free_at.get(worker_id, 0) <= now

    def load(self, worker_id: int) -> int:
        """Copies under way there."""
        return self._busy[worker_id]

    def take(self, workers: tuple[int, ...], size: int, now: int) -> None:
        """A copy of ``size`` bytes begins."""
        for worker_id in workers:
            self._busy[worker_id] += 1
            if self._rate:
                begin = max(self._free_at.get(worker_id, 0), now)
                self._free_at[worker_id] = begin + size * 1000 / self._rate

    def give_back(self, workers: tuple[int, ...]) -> None:
        """It has ended."""
        for worker_id in workers:
            self._busy[worker_id] -= 1
            if not self._busy[worker_id]:
                del self._busy[worker_id]
