# SPDX-License-Identifier: Apache-2.0
"""What a worker counts as it happens: plain numbers, shown by ``metric_values``.

"Local" blocks are read or written by the client itself, by descriptor or path: their bytes do not
pass through here. Times are seconds.
"""

from __future__ import annotations

from curvine.telemetry.metrics import Durations


class BlockStats:
    """Counters of one block store."""

    __slots__ = (
        "corrupt_blocks",
        "demoted_blocks",
        "finalizing",
        "moved_bytes",
        "opening",
        "promoted_blocks",
        "read_bytes",
        "read_count",
        "read_seconds",
        "reads_local",
        "reads_remote",
        "scrubbed_bytes",
        "summed_blocks",
        "verified_bytes",
        "write_bytes",
        "write_count",
        "write_seconds",
        "writes_local",
        "writes_remote",
    )  # fmt: skip

    def __init__(self) -> None:
        self.read_bytes = 0
        self.read_count = 0
        self.read_seconds = 0.0
        self.reads_local = 0  # blocks opened
        self.reads_remote = 0
        self.write_bytes = 0
        self.write_count = 0
        self.write_seconds = 0.0
        self.writes_local = 0  # blocks opened
        self.writes_remote = 0
        self.verified_bytes = 0  # compared with their sums before they were served
        self.scrubbed_bytes = 0  # compared in the background
        self.summed_blocks = 0  # that got their sums in the background
        self.corrupt_blocks = 0
        self.promoted_blocks = 0  # moved to a faster tier
        self.demoted_blocks = 0
        self.moved_bytes = 0
        self.opening = Durations()
        self.finalizing = Durations()

    def opened_for_read(self, *, local: bool) -> None:
        """A reader opened a block."""
        if local:
            self.reads_local += 1
        else:
            self.reads_remote += 1

    def opened_for_write(self, seconds: float, *, local: bool) -> None:
        """A writer opened a block, which took ``seconds``."""
        self.opening.add(seconds)
        if local:
            self.writes_local += 1
        else:
            self.writes_remote += 1

    def read(self, size: int, seconds: float) -> None:
        """A piece is on its way to a reader."""
        self.read_bytes += size
        self.read_count += 1
        self.read_seconds += seconds

    def wrote(self, size: int, seconds: float) -> None:
        """A piece is in a block's file."""
        self.write_bytes += size
        self.write_count += 1
        self.write_seconds += seconds
