# SPDX-License-Identifier: Apache-2.0
"""Counters, gauges and durations of a process, and the text that Prometheus reads.

Only what stands in a table (``telemetry.metric_table``) can be made; a name or a label that the
table does not have is a KeyError. Hot paths hold the series object and touch plain numbers: adding
a duration costs about a tenth of a microsecond. No locks: a series belongs to one thread.

Text format: Prometheus exposition format 0.0.4. Durations are added in seconds and shown in
microseconds, as Curvine does.
"""

from __future__ import annotations

import math
import os
import resource
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

# Upper bounds in microseconds: all of Curvine's and some between; one more bucket takes the rest.
BOUNDS_US = (
    10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 100_000, 1_000_000,
)  # fmt: skip
_BOUNDS = tuple(bound / 1e6 for bound in BOUNDS_US)

Labels = tuple[str, ...]


class Metric(NamedTuple):
    """A row of the table. ``absent``: the name is Curvine's, and why we have nothing to show."""

    name: str
    kind: str
    help: str
    labels: Labels = ()
    absent: str = ""


class Number:
    """A counter or a gauge: whoever counts may as well write ``value += n``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Count."""
        self.value += amount

    def set(self, value: float) -> None:
        """Show this."""
        self.value = value


class Durations:
    """A histogram of durations."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.buckets = [0] * (len(_BOUNDS) + 1)

    @property
    def count(self) -> int:
        """How many were added."""
        return sum(self.buckets)

    def add(self, seconds: float) -> None:
        """One that took ``seconds``."""
        self.seconds += seconds
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1

    def add_many(self, count: int, seconds: float) -> None:
        """``count`` that took ``seconds`` together."""
        self.seconds += seconds
        self.buckets[bisect_left(_BOUNDS, seconds / count)] += count


Series = Number | Durations


class Registry:
    """All series of one process."""

    def __init__(self, table: Iterable[Metric]) -> None:
        self._table = {metric.name: metric for metric in table}
        self._series: dict[str, dict[Labels, Series]] = {}
        self._fillers: list[Callable[[], None]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def counter(self, name: str, *labels: str) -> Number:
        """The counter of these label values, made at first use."""
        return self._number(COUNTER, name, labels)

    def gauge(self, name: str, *labels: str) -> Number:
        """The gauge of these label values, made at first use."""
        return self._number(GAUGE, name, labels)

    def durations(self, name: str, *labels: str) -> Durations:
        """The histogram of these label values, made at first use."""
        members = self._members(HISTOGRAM, name, labels)
        found = members.get(labels)
        if not isinstance(found, Durations):
            found = members[labels] = Durations()
        return found

    def adopt(self, name: str, labels: Labels, durations: Durations) -> None:
        """Show a histogram that somebody else made."""
        self._members(HISTOGRAM, name, labels)[labels] = durations

    def show(self, name: str, value: float, *labels: str) -> None:
        """Set a counter that is counted elsewhere, or a gauge."""
        self._number(self._table[name].kind, name, labels).value = value

    def show_all(self, name: str, rows: Mapping[Labels, float]) -> None:
        """Replace all members of a family; those that are not in ``rows`` end."""
        self._series[name] = {}
        for labels, value in rows.items():
            self.show(name, value, *labels)

    def before_scrape(self, filler: Callable[[], None]) -> None:
        """Call ``filler`` before every rendering: it shows what is not counted as it happens."""
        self._fillers.append(filler)

    def families(self) -> Iterator[str]:
        """The text, one family at a time, in the order of the table."""
        for filler in self._fillers:
            filler()
        for metric in self._table.values():
            members = self._series.get(metric.name)
            if members:
                yield _family(metric, members)

    def text(self) -> str:
        """The whole text."""
        return "".join(self.families())

    def names(self) -> frozenset[str]:
        """Families that have a member."""
        return frozenset(name for name, members in self._series.items() if members)

    def _number(self, kind: str, name: str, labels: Labels) -> Number:
        members = self._members(kind, name, labels)
        found = members.get(labels)
        if not isinstance(found, Number):
            found = members[labels] = Number()
        return found

    def _members(self, kind: str, name: str, labels: Labels) -> dict[Labels, Series]:
        metric = self._table[name]
        if metric.kind != kind or len(metric.labels) != len(labels) or metric.absent:
            raise KeyError(f"{name} is a {metric.kind} with labels {metric.labels}")
        return self._series.setdefault(name, {})


def counters_of_others(
    rows: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], known: Registry
) -> Iterator[str]:
    """Families of counters that peers reported: (name, ((label, value), ...)) -> value.

    A name that we show ourselves, or that is none, is left out.
    """
    families: dict[str, list[str]] = {}
    for (name, tags), value in rows.items():
        if name in known or not _is_name(name) or not all(_is_name(tag) for tag, _ in tags):
            continue
        labels = tuple(tag for tag, _ in tags), tuple(text for _, text in tags)
        families.setdefault(name, []).append(f"{name}{_braced(*labels)} {_shown(value)}\n")
    for name in sorted(families):
        yield f"# TYPE {name} {COUNTER}\n{''.join(families[name])}"


def show_process(registry: Registry) -> None:
    """Fill in the process_* families and used_memory_bytes, where the table has them."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", "rb") as file:
        virtual, resident = (int(word) for word in file.read().split()[:2])
    page = os.sysconf("SC_PAGE_SIZE")
    registry.show("process_cpu_seconds_total", usage.ru_utime + usage.ru_stime)
    registry.show("process_resident_memory_bytes", resident * page)
    registry.show("process_virtual_memory_bytes", virtual * page)
    registry.show("process_threads", threading.active_count())
    registry.show("process_open_fds", len(os.listdir("/proc/self/fd")) - 1)
    registry.show("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    registry.show("process_start_time_seconds", _STARTED)
    for name in ("used_memory_bytes", "fuse_used_memory_bytes"):
        if name in registry:
            registry.show(name, resident * page)


_STARTED = int(time.time())


def _family(metric: Metric, members: Mapping[Labels, Series]) -> str:
    lines = [f"# HELP {metric.name} {_help(metric.help)}\n# TYPE {metric.name} {metric.kind}\n"]
    for labels, series in sorted(members.items()):
        if isinstance(series, Number):
            text = _braced(metric.labels, labels)
            lines.append(f"{metric.name}{text} {_shown(series.value)}\n")
        else:
            lines += _histogram(metric, labels, series)
    return "".join(lines)


def _histogram(metric: Metric, labels: Labels, series: Durations) -> Iterator[str]:
    names, bounds = (*metric.labels, "le"), (*map(str, BOUNDS_US), "+Inf")
    totals = list(accumulate(series.buckets))
    for bound, total in zip(bounds, totals, strict=True):
        yield f"{metric.name}_bucket{_braced(names, (*labels, bound))} {total}\n"
    text = _braced(metric.labels, labels)
    yield f"{metric.name}_sum{text} {_shown(round(series.seconds * 1e6, 3))}\n"
    yield f"{metric.name}_count{text} {totals[-1]}\n"


def _braced(names: Iterable[str], values: Iterable[str]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _shown(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    return str(int(value)) if value.is_integer() and abs(value) < 1 << 53 else repr(value)


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier()
