# SPDX-License-Identifier: Apache-2.0
"""What a mount tells of itself, and what two such documents say about the time between them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from curvine.fuse.memory import MemoryBudget
from curvine.fuse.requeststats import operation_name
from curvine.fuse.session import Session
from curvine.fuse.volume import Volume
from curvine.telemetry.metrics import BOUNDS_US, Durations


class LiveStats:
    """The document of one server."""

    def __init__(
        self, session: Session, volume: Volume, budget: MemoryBudget, point: str, restarts: int
    ) -> None:
        self._session = session
        self._volume = volume
        self._budget = budget
        self._point = point
        self._restarts = restarts
        self._started = time.time()

    def describe(self) -> dict[str, Any]:
        """Counters since the server started."""
        stats, env = self._session.stats, self._volume.env
        files, writers, directories = self._volume.handles.counts()
        operations: dict[str, dict[str, Any]] = {}
        for table, failed in ((stats.answered, False), (stats.refused, True)):
            for opcode, durations in table.items():
                _merge(operations.setdefault(operation_name(opcode), _none()), durations, failed)
        return {
            "mount": self._point,
            "pid": os.getpid(),
            "supervisor": os.getppid(),
            "started": self._started,
            "restarts": self._restarts,
            "in_flight": self._session.in_flight,
            "nodes": len(self._volume.nodes.table),
            "open_files": files,
            "writers": writers,
            "open_directories": directories,
            "locks": len(env.locks),
            "memory": {"used": self._budget.used(), "limit": self._budget.limit},
            "bytes": {"local": stats.read_local, "copied": stats.read_remote,
                      "written": stats.written},
            "opens": env.opens.as_dict(),
            "operations": operations,
        }  # fmt: skip


def _none() -> dict[str, Any]:
    return {"count": 0, "errors": 0, "seconds": 0.0, "buckets": [0] * (len(BOUNDS_US) + 1)}


def _merge(row: dict[str, Any], durations: Durations, failed: bool) -> None:
    row["count"] += durations.count
    row["errors"] += durations.count * failed
    row["seconds"] += durations.seconds
    row["buckets"] = [a + b for a, b in zip(row["buckets"], durations.buckets, strict=True)]


class Rate(NamedTuple):
    """One operation within an interval; latencies are upper bounds of their histogram's bucket."""

    operation: str
    per_second: float
    errors: int
    average_us: float
    p50_us: float
    p99_us: float


def rates(before: Mapping[str, Any] | None, after: Mapping[str, Any], seconds: float) -> list[Rate]:
    """Operations that happened between two documents of one server, the most frequent first."""
    rows = []
    for name, now in after["operations"].items():
        then = (before or {}).get("operations", {}).get(name, _none())
        count = now["count"] - then["count"]
        if count <= 0:
            continue
        buckets = [a - b for a, b in zip(now["buckets"], then["buckets"], strict=True)]
        average = (now["seconds"] - then["seconds"]) / count * 1e6
        rows.append(
            Rate(
                name,
                count / seconds,
                now["errors"] - then["errors"],
                average,
                percentile(buckets, 0.5),
                percentile(buckets, 0.99),
            )
        )
    return sorted(rows, key=lambda row: row.per_second, reverse=True)


def percentile(buckets: Sequence[int], part: float) -> float:
    """The bound (microseconds) below which ``part`` of the durations lie; inf above the last."""
    wanted = part * sum(buckets)
    seen = 0
    for bound, count in zip(BOUNDS_US, buckets, strict=False):
        seen += count
        if seen >= wanted:
            return float(bound)
    return float("inf")
