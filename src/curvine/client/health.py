# SPDX-License-Identifier: Apache-2.0
"""Which workers failed lately, so that nobody waits for a dead one block after block.

A failed worker is asked last, never left out: it may be the only one that holds a block. It may
also be back: a failure counts for a second, or ten where the worker did not answer at all, and each
one that follows for twice as long as the one before. One success forgets all of them. Times are
seconds of the monotonic clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from curvine.clock import Clock
from curvine.errors import ConnectionLost, CurvineError, TimedOut
from curvine.model.worker import WorkerAddress

_SLOW_SECONDS = 10.0
_TRANSPORT = (ConnectionLost, TimedOut)
_FIRST_PAUSE = 1.0  # about what a restart takes
_FIRST_PAUSE_SILENT = 10.0  # asking costs a time-out


class _Failure(NamedTuple):
    until: float  # avoided up to then
    pause: float
    first: float  # when it failed first since it answered


class WorkerHealth:
    """Memory of failed workers, shared by all readers and writers of a client."""

    def __init__(self, clock: Clock, ttl_ms: int) -> None:
        self._clock = clock
        self._ttl = ttl_ms / 1000
        self._failed: dict[int, _Failure] = {}  # worker id -> the last one since it answered
        self._slow: dict[int, float] = {}  # worker id -> when another one was faster by far

    def failed(self, worker: WorkerAddress, error: CurvineError) -> None:
        """Remember a failure, if it says something about the worker and not about one block."""
        if not isinstance(error, _TRANSPORT):
            return
        now = self._clock.monotonic()
        before = self._failed.get(worker.worker_id)
        if before is not None and now < before.until:
            return  # the same one, met by somebody else
        first = _FIRST_PAUSE_SILENT if isinstance(error, TimedOut) else _FIRST_PAUSE
        pause = min(before.pause * 2 if before else first, self._ttl)
        since = before.first if before else now
        self._failed[worker.worker_id] = _Failure(now + pause, pause, since)

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
        """Whether the worker failed so lately that it is not worth asking again."""
        failure = self._failed.get(worker.worker_id)
        return failure is not None and self._clock.monotonic() < failure.until

    def just_left(self, worker: WorkerAddress, within: float) -> bool:
        """Whether the worker has not answered since it failed, first less than ``within`` s ago."""
        failure = self._failed.get(worker.worker_id)
        return failure is not None and self._clock.monotonic() - failure.first < within

    @property
    def doubtful(self) -> bool:
        """Whether there are workers that have not answered since they failed."""
        return bool(self._failed)

    def suspects(self) -> tuple[int, ...]:
        """Ids of the workers to avoid when new blocks are placed."""
        now = self._clock.monotonic()
        return tuple(sorted(w for w, failure in self._failed.items() if now < failure.until))

    def order(
        self, workers: Sequence[WorkerAddress], first: Iterable[int] = ()
    ) -> list[WorkerAddress]:
        """``workers`` in the order to try them: ids in ``first``, then a shuffle, then slow ones,
        suspects last."""
        near = frozenset(first)
        shuffled = random.sample(workers, len(workers))
        shuffled.sort(key=lambda w: (self.suspect(w), self.is_slow(w), w.worker_id not in near))
        return shuffled
