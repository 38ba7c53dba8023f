# SPDX-License-Identifier: Apache-2.0
"""Full block reports: many messages of one worker that together say all it holds.

Source: control-plane specification 6.4. Every message carries the total; when that many distinct
ids have come, the report is complete and what the namespace has beyond it is dropped. A changed
total, an hour of silence or a restart of the worker begins a new report. Times are ms.

A worker takes stock some time after its last heartbeat and some time before the first message. What
clients commit to it in between may be missing in the report and is there all the same, so commits
since the last heartbeat are added to what was reported. (Later ones are the namespace's business:
``full_report_begin``.)
"""

from __future__ import annotations

from collections.abc import Iterable

from curvine.clock import Clock
from curvine.model.block import CommitBlock

REPORT_EXPIRES_MS = 3_600_000


class _Report:
    __slots__ = ("ids", "known", "last_message", "total")

    def __init__(self, total: int, known: set[int]) -> None:
        self.total = total
        self.ids: set[int] = set()
        self.known = known
        self.last_message = 0


class FullReports:
    """The reports being received, one a worker at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reports: dict[int, _Report] = {}
        self._committed: dict[int, set[int]] = {}  # by worker, since its last heartbeat

    def beat(self, worker_id: int) -> None:
        """The worker said that it lives; it has not taken stock since."""
        self._committed[worker_id] = set()

    def committed(self, commits: Iterable[CommitBlock]) -> None:
        """A client says that these blocks are on these workers."""
        for commit in commits:
            for location in commit.locations:
                known = self._committed.get(location.worker_id)
                if known is not None:
                    known.add(commit.block_id)

    def add(self, worker_id: int, total: int, ids: list[int]) -> set[int] | None:
        """Take one message; all blocks of the worker when the report is complete, else None."""
        now = self._clock.now_ms()
        report = self._reports.get(worker_id)
        expired = report is not None and now - report.last_message > REPORT_EXPIRES_MS
        if report is None or expired or report.total != total:
            known = self._committed.get(worker_id, set())
            report = self._reports[worker_id] = _Report(total, known)
        report.last_message = now
        report.ids.update(ids)
        if len(report.ids) < total:
            return None
        del self._reports[worker_id]
        return report.ids | report.known

    def forget(self, worker_id: int) -> None:
        """The worker restarted or left, or sent what a full report cannot be mixed with."""
        self._reports.pop(worker_id, None)

    def leave(self, worker_id: int) -> None:
        """The worker is gone; nothing is kept for it."""
        self.forget(worker_id)
        self._committed.pop(worker_id, None)
