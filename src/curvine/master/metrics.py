# SPDX-License-Identifier: Apache-2.0
"""Counts and durations of requests, and the counters that clients report (code 60).

One :class:`CallStats` per row of the RPC table; names follow control-plane specification 7.5.
Durations are seconds here, buckets and exported sums microseconds.
"""

from __future__ import annotations

from bisect import bisect_left

# Upper bounds in microseconds of operation_duration; one more bucket takes the rest.
DURATION_BUCKETS_US = (10, 25, 50, 100, 250, 500, 1000, 5000, 10_000, 100_000, 1_000_000)
_BOUNDS = tuple(bound / 1e6 for bound in DURATION_BUCKETS_US)
MAX_REPORTED = 10_000  # distinct counters kept; a client inventing names must not fill the memory


class CallStats:
    """What happened to the calls of one RPC code."""

    __slots__ = ("buckets", "errors", "name", "seconds")

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(_BOUNDS) + 1)

    @property
    def calls(self) -> int:
        """Calls answered, errors included."""
        return sum(self.buckets)

    def add(self, seconds: float) -> None:
        """One call that took ``seconds``."""
        self.seconds += seconds
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1


class Metrics:
    """All counters of a master."""

    def __init__(self) -> None:
        self.calls: dict[int, CallStats] = {}
        self.reported: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def for_code(self, code: int, name: str) -> CallStats:
        """The stats of an RPC code."""
        return self.calls.setdefault(code, CallStats(name))

    def report(self, name: str, tags: dict[str, str], value: float) -> None:
        """Add what a client counted. Gauges are added up as well, as Curvine does."""
        key = (name, tuple(sorted(tags.items())))
        if key in self.reported or len(self.reported) < MAX_REPORTED:
            self.reported[key] = self.reported.get(key, 0.0) + value
