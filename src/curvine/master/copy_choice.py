# SPDX-License-Identifier: Apache-2.0
"""Which workers give and take a copy of a block."""

from __future__ import annotations

from curvine.master.placement import NoWorker, Placement
from curvine.master.workers import Standing, WorkerMap
from curvine.metadata.engine import Namespace
from curvine.metadata.upkeep import BlockFacts
from curvine.model.worker import WorkerInfo
from curvine.wire.codes import CAP_COPY


def targets_of(
    facts: BlockFacts, namespace: Namespace, workers: WorkerMap, placement: Placement, only: int
) -> list[WorkerInfo]:
    """Workers that may take a copy: the placement policy's choice, with the medium that the file
    asks for first, and only those on hosts that have no copy yet where there are such.

    Not one that is about to delete the block. ``only`` > 0: a copy to that worker may still be
    under way, so it is that one or none. NoWorker if there is none.
    """
    live = workers.live
    exclude = set(facts.holders)
    exclude.update(
        info.address.worker_id
        for info in live
        if namespace.is_pending_delete(info.address.worker_id, facts.id)
    )
    chosen = placement.choose(facts.len, len(live), "", exclude, facts.storage_type)
    infos = [info for worker in chosen if (info := workers.get(worker)) is not None]
    known = workers.get(only) if only else None
    if known is not None:
        if known not in infos:
            raise NoWorker(f"A copy to worker {only} may still be under way")
        return [known]
    hosts = {info.address.hostname for w in facts.holders if (info := workers.get(w)) is not None}
    apart = [info for info in infos if info.address.hostname not in hosts]
    return apart or infos


def reluctance(info: WorkerInfo, workers: WorkerMap) -> tuple[bool, bool]:
    """Sources to ask last: silent ones, then real Curvine workers, whose copies fail."""
    is_silent = workers.standing(info.address.worker_id) is Standing.SILENT
    return is_silent, not tells_attempt(info)


def tells_attempt(info: WorkerInfo) -> bool:
    """Whether the worker says in its reports which attempt they are about."""
    return info.component is not None and CAP_COPY in info.component.capabilities
