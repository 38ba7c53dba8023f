# SPDX-License-Identifier: Apache-2.0
"""Counts and durations of requests, and the counters that clients report (code 60).

One :class:`CallStats` per row of the RPC table; names follow control-plane specification 7.5.
"""

from __future__ import annotations

from curvine.telemetry.metrics import Durations

# A client that invents names must not fill the memory:
MAX_REPORTED = 10_000  # distinct counters kept
MAX_NAME = 1024  # characters of a name with its tags


class CallStats(Durations):
    """What happened to the calls of one RPC code, errors included."""

    __slots__ = ("errors", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.errors = 0


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
        if len(name) + sum(len(tag) + len(text) for tag, text in key[1]) > MAX_NAME:
            return
        if key in self.reported or len(self.reported) < MAX_REPORTED:
            self.reported[key] = self.reported.get(key, 0.0) + value
