# SPDX-License-Identifier: Apache-2.0
"""What a client counts: calls to the master, bytes read and written, hits of the cache.

Names are those of control-plane specification 7.5; a process with pages shows them, and every
client reports the increments of its plain counters to the master. Times are seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import perf_counter

from curvine.rpc.connector import MasterConnector
from curvine.telemetry.metrics import Durations, Registry
from curvine.wire.codes import code_name
from curvine.wire.frame import Frame


class ClientStats:
    """Counters of one cluster client."""

    def __init__(self) -> None:
        self.calls: dict[int, Durations] = {}  # by RPC code
        self.bytes_read = 0
        self.read_seconds = 0.0
        self.bytes_written = 0
        self.write_seconds = 0.0
        self.block_trips = 0  # times that an answer of a worker was waited for
        self.hits: Counter[int] = Counter()  # by mount id
        self.misses: Counter[int] = Counter()
        self.loads_skipped = 0  # asked for a moment ago, or too many are waiting
        self._told: dict[str, float] = {}  # totals that the master knows

    def read(self, size: int, started: float) -> None:
        """``size`` bytes were read since ``started``."""
        self.bytes_read += size
        self.read_seconds += perf_counter() - started

    def wrote(self, size: int, started: float) -> None:
        """``size`` bytes were written since ``started``."""
        self.bytes_written += size
        self.write_seconds += perf_counter() - started

    def called(self, code: int, started: float) -> None:
        """A call to the master has ended."""
        durations = self.calls.get(code)
        if durations is None:
            durations = self.calls[code] = Durations()
        durations.add(perf_counter() - started)

    def totals(self) -> dict[str, float]:
        """The plain counters by name."""
        return {
            "client_read_bytes": self.bytes_read,
            "client_read_time_us": round(self.read_seconds * 1e6),
            "client_write_bytes": self.bytes_written,
            "client_write_time_us": round(self.write_seconds * 1e6),
        }

    def increments(self) -> dict[str, float]:
        """What the plain counters have grown by since this was asked last."""
        now, before = self.totals(), self._told
        self._told = now
        grown = {name: value - before.get(name, 0) for name, value in now.items()}
        return {name: value for name, value in grown.items() if value}


class MeteredCaller:
    """The master's connector with every call timed."""

    def __init__(self, connector: MasterConnector, stats: ClientStats) -> None:
        self._call = connector.call
        self._stats = stats

    async def call(self, code: int, header: bytes, *, req_id: int) -> Frame:
        """``MasterConnector.call``."""
        started = perf_counter()
        try:
            return await self._call(code, header, req_id=req_id)
        finally:
            self._stats.called(code, started)


def show_clients(registry: Registry, clients: Iterable[tuple[ClientStats, int]]) -> None:
    """Show the sums over (stats, idle connections to workers) of a process's clients."""
    rows = list(clients)
    totals: Counter[str] = Counter()
    calls: dict[int, list[Durations]] = {}
    for stats, _ in rows:
        totals.update(stats.totals())
        for code, durations in stats.calls.items():
            calls.setdefault(code, []).append(durations)
    for name, value in totals.items():
        registry.show(name, value)
    registry.show("client_block_idle_conn", sum(idle for _, idle in rows))
    skipped = sum(stats.loads_skipped for stats, _ in rows)
    registry.show("client_async_cache_admission_skipped", skipped, "recent_or_busy")
    hits = sum((stats.hits for stats, _ in rows), Counter[int]())
    misses = sum((stats.misses for stats, _ in rows), Counter[int]())
    for mount in hits.keys() | misses.keys():
        registry.show("client_mount_cache_hits", hits[mount], str(mount))
        registry.show("client_mount_cache_misses", misses[mount], str(mount))
    for code, members in calls.items():
        label = (code_name(code),)
        registry.adopt("client_metadata_operation_duration", label, sum_of(members))


def sum_of(members: list[Durations]) -> Durations:
    """All of them as one."""
    if len(members) == 1:
        return members[0]
    whole = Durations()
    for durations in members:
        whole.seconds += durations.seconds
        whole.buckets = [a + b for a, b in zip(whole.buckets, durations.buckets, strict=True)]
    return whole
