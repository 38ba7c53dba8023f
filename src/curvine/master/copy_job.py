# SPDX-License-Identifier: Apache-2.0
"""What replication remembers of copies. Times are ms, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Job:
    """One copy under way."""

    block_id: int
    attempt: int
    length: int
    source: int
    target: int
    deadline: int
    is_void: bool = False  # the block was written since: what arrives is out of date


@dataclass(slots=True)
class Trouble:
    """Failures of one block."""

    count: int = 0
    target: int = 0  # whose answer is outstanding: only there may it be tried again
    reason: str = ""


@dataclass(slots=True)
class Totals:
    """Since the start of the master."""

    failures: int = 0
    copied: int = 0
    copied_bytes: int = 0
    trimmed: int = 0
