# SPDX-License-Identifier: Apache-2.0
"""Which workers failed lately, so that nobody waits for a dead one block after block.

A failed worker is asked last, never left out: it may be the only one that holds a block, and it may
be back. One success forgets the failure. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from curvine.clock import Clock
from curvine.errors import ConnectionLost, CurvineError, TimedOut
from curvine.model.worker import WorkerAddress

_SLOW_SECONDS = 10.0
_TRANSPORT = (ConnectionLost, TimedOut)


class WorkerHealth:
    """Memory of failed workers, shared by all readers and writers of a client."""

    def __init__(self, clock: Clock, ttl_ms: int) -> None:
        self._clock = clock
        self._ttl = ttl_ms / 1000
        self._failed: dict[int, float] = {}  # worker id -> when it failed
        self._slow: dict[int, float] = {}  # worker id -> when another one was faster by far

    def failed(self, worker: WorkerAddress, error: CurvineError) -> None:
        """Remember a failure, if it says something about the worker and not about one block."""
        if isinstance(error, _TRANSPORT):
            self._failed[worker.worker_id] = self._clock.monotonic()

    def succeeded(self, worker: WorkerAddress) -> None:
        """The worker answered."""
        if self._failed:
            self._failed.pop(worker.worker_id, None)
        if self._slow:
            self._slow.pop(worker.worker_id, None)

    def slow(self, worker: WorkerAddress) -> None:
        """The worker let a reader wait until another replica had answered."""
        self._slow[worker.worker_id] = self._clock.monotonic()

    def is_slow(self, worker: WorkerAddress) -> bool:
        """Whether that was a moment ago."""
        since = self._slow.get(worker.worker_id)
        return since is not None and self._clock.monotonic() - since < _SLOW_SECONDS

    def suspect(self, worker: WorkerAddress) -> bool:
        """Whether the worker failed within the time that failures are remembered."""
        since = self._failed.get(worker.worker_id)
        if since is None:
            return False
        if self._clock.monotonic() - since < self._ttl:
            return True
        del self._failed[worker.worker_id]
        return False

    def suspects(self) -> tuple[int, ...]:
        """Ids of the workers to avoid when new blocks are placed."""
        now = self._clock.monotonic()
        return tuple(sorted(w for w, since in self._failed.items() if now - since < self._ttl))

    def order(
        self, workers: Sequence[WorkerAddress], first: Iterable[int] = ()
    ) -> list[WorkerAddress]:
        """``workers`` in the order to try them: ids in ``first``, then a shuffle, then slow ones,
        suspects last."""
        near = frozenset(first)
        shuffled = random.sample(workers, len(workers))
        shuffled.sort(key=lambda w: (self.suspect(w), self.is_slow(w), w.worker_id not in near))
        return shuffled
