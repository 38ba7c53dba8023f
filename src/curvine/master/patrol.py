# SPDX-License-Identifier: Apache-2.0
"""A slow walk over all blocks that finds those with too few or too many replicas.

It catches what no event told: files written with fewer copies than asked while the master was
away, workers that did not come back after a restart of it, and what did not fit into the queue.
Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging

from curvine.errors import CurvineError
from curvine.master.redundancy import judge
from curvine.master.replication import Replication
from curvine.master.workers import WorkerMap
from curvine.metadata.engine import Namespace

_log = logging.getLogger(__name__)

FIRST_AFTER = 10.0  # the workers' first heartbeats have come by then
EVERY = 3600.0
STEP = 200  # blocks in one turn of the loop: about 0.5 ms
PAUSE = 0.02  # between turns: about 10,000 blocks a second, a fortieth of a core


class Patrol:
    """See the module. Called from the loop only."""

    def __init__(
        self, namespace: Namespace, workers: WorkerMap, replication: Replication, lost_after: float
    ) -> None:
        self._namespace = namespace
        self._workers = workers
        self._replication = replication
        self._lost_after = lost_after

    async def run(self) -> None:
        """Walk for ever: soon after the start, when silent workers count as lost, then hourly."""
        await asyncio.sleep(FIRST_AFTER)
        await self._guarded()
        await asyncio.sleep(max(self._lost_after - FIRST_AFTER, 0.0) + 1)
        while True:
            await self._guarded()
            waited = 0.0
            while waited < EVERY and not self._may_go_on():
                await asyncio.sleep(FIRST_AFTER)
                waited += FIRST_AFTER

    async def walk(self) -> int:
        """One walk over all blocks; how many need something."""
        found, at = 0, -1
        queue = self._replication.queue
        queue.overflowed = False
        while True:
            facts, at = self._namespace.facts_after(at, STEP)
            for block in facts:
                verdict = judge(block, self._workers.standing)
                if verdict.missing or verdict.spare:
                    found += 1
                    self._replication.look_at((block.id,), verdict.urgency)
            if at < 0:
                return found
            await asyncio.sleep(PAUSE)

    async def worker(self, worker_id: int) -> None:
        """The replicas on this worker do not count any more: queue what they leave short."""
        for step, block_id in enumerate(self._namespace.worker_blocks(worker_id), 1):
            self._replication.look_at((block_id,))
            if step % STEP == 0:
                await asyncio.sleep(PAUSE)

    def _may_go_on(self) -> bool:
        """Whether blocks were left out for want of room, and there is room now."""
        queue = self._replication.queue
        return queue.overflowed and len(queue) < queue.room

    async def _guarded(self) -> None:
        try:
            found = await self.walk()
        except CurvineError:
            _log.exception("looking at all blocks failed")
        else:
            if found:
                _log.warning("%d blocks have too few or too many replicas", found)
