# SPDX-License-Identifier: Apache-2.0
"""What a benchmark does, and what came of it: plain values. Sizes are bytes, times seconds."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from curvine.errors import InvalidArgument

METADATA = ("create", "open", "get_status", "list_status", "rename", "delete")
THROUGHPUT = ("write_big", "read_big", "write_small", "read_small")
OPERATIONS = (*METADATA, "write_big", "read_big")
_MIXED = {
    "mixed_metadata": "create:30,stat:40,rename:10,delete:20",
    "mixed_throughput": "read_big:50,write_big:50",
}
_ALIASES = {"stat": "get_status", "list": "list_status"}


class Plan(msgspec.Struct, kw_only=True):
    """Sizes and limits of a run."""

    base: str
    parallel: int = 1
    piece: int = 256 << 10  # bytes of one read or write
    big_size: int = 64 << 20
    big_count: int = 1
    small_size: int = 128 << 10
    small_count: int = 100  # per worker
    phases: tuple[str, ...] = ()  # one after another; empty = the mix
    mix: dict[str, int] = {}  # operation -> weight
    duration: float = 30.0  # of the mix
    total_ops: int | None = None  # the mix ends after so many
    total_size: int | None = None  # or after so many bytes
    set_files: int = 1000  # files that the mix works on
    files_per_dir: int = 1000
    keep: bool = False


class Result(msgspec.Struct):
    """One operation's outcome. Latencies are milliseconds."""

    operation: str
    ops: int
    errors: int
    seconds: float
    ops_per_second: float
    mib_per_second: float
    mean_ms: float
    p50_ms: float
    p99_ms: float


class Samples:
    """What one operation took, call by call."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self.bytes = 0
        self.errors = 0

    def add(self, seconds: float, size: int = 0) -> None:
        """One call."""
        self.latencies.append(seconds)
        self.bytes += size

    def result(self, operation: str, elapsed: float) -> Result:
        """The sums over ``elapsed`` seconds."""
        ordered = sorted(self.latencies)
        count = len(ordered)
        span = elapsed or 1e-9
        return Result(
            operation=operation,
            ops=count,
            errors=self.errors,
            seconds=round(elapsed, 3),
            ops_per_second=round(count / span, 1),
            mib_per_second=round(self.bytes / span / (1 << 20), 1),
            mean_ms=round(1000 * sum(ordered) / count, 3) if count else 0.0,
            p50_ms=round(1000 * percentile(ordered, 0.5), 3),
            p99_ms=round(1000 * percentile(ordered, 0.99), 3),
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the sorted values lie (nearest rank); 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def parse_workload(text: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """(phases, mix) of --workload: a name, or operations with weights. One of them is empty."""
    if text == "metadata":
        return METADATA, {}
    if text == "throughput":
        return THROUGHPUT, {}
    mix: dict[str, int] = {}
    for part in _MIXED.get(text, text).split(","):
        name, colon, weight = part.strip().partition(":")
        name = _ALIASES.get(name, name)
        if name not in OPERATIONS or not colon or not weight.isdigit():
            raise InvalidArgument(
                f"workload {text!r} is not understood at {part.strip()!r}; it is metadata, "
                "throughput, mixed_metadata, mixed_throughput or OPERATION:WEIGHT,... with the "
                f"operations {', '.join(OPERATIONS)}"
            )
        mix[name] = mix.get(name, 0) + int(weight)
    if not any(mix.values()):
        raise InvalidArgument(f"workload {text!r}: all weights are 0")
    return (), mix
