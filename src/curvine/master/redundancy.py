# SPDX-License-Identifier: Apache-2.0
"""What a block needs: a copy, one replica less, or nothing. Pure decisions over facts.

A replica counts while its worker serves, or is silent for less than worker_lost_interval. One on a
worker that is being decommissioned can be read but does not count, so the block needs a copy
elsewhere. Only replicas on serving workers are ever given up, and never so that fewer than the file
asks for are left on serving workers.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from curvine.master.workers import Standing
from curvine.metadata.upkeep import BlockFacts

# A file that somebody has open is left alone for this long (ms) after its last change.
QUIET_MS = 600_000


class Urgency(IntEnum):
    """In which order blocks are copied."""

    LAST_ONE = 0  # one more loss loses the data
    SHORT = 1
    DRAIN = 2  # enough copies, but some on workers that are to go


class Verdict(NamedTuple):
    """``missing`` copies to make, from ``sources`` (best first); ``spare`` replicas to give up."""

    missing: int = 0
    urgency: Urgency = Urgency.SHORT
    sources: tuple[int, ...] = ()
    spare: tuple[int, ...] = ()


NOTHING = Verdict()


def judge(facts: BlockFacts, standing: Callable[[int], Standing]) -> Verdict:
    """What the block needs now, writers of its file aside."""
    by_standing: dict[Standing, list[int]] = {kind: [] for kind in Standing}
    for worker in facts.holders:
        by_standing[standing(worker)].append(worker)
    serving, silent = by_standing[Standing.SERVING], by_standing[Standing.SILENT]
    draining = by_standing[Standing.DRAINING]
    missing = facts.wanted - len(serving) - len(silent)
    if missing > 0:
        readable = len(serving) + len(draining)
        if readable == 0 and not silent:
            return NOTHING  # nobody can give it
        if len(serving) + len(silent) + len(draining) >= facts.wanted:
            urgency = Urgency.DRAIN
        else:
            urgency = Urgency.LAST_ONE if readable <= 1 else Urgency.SHORT
        return Verdict(missing, urgency, (*serving, *draining, *silent))
    if len(serving) > facts.wanted:
        return Verdict(spare=tuple(serving))
    return NOTHING


def is_busy(facts: BlockFacts, now_ms: int) -> bool:
    """Whether a writer is at work, which will replace what is copied meanwhile."""
    return facts.is_open and now_ms - facts.mtime < QUIET_MS
