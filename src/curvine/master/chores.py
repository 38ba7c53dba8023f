# SPDX-License-Identifier: Apache-2.0
"""What the master does by itself: liveness, expiry, reclaiming, and long walks in small steps.

Each chore does a bounded piece of work per turn of the loop and lets calls in between. A chore that
fails is logged and tried again at its next turn. Intervals are seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator

from curvine.config.schema import MasterConf
from curvine.errors import CurvineError
from curvine.master.decommission import Decommission
from curvine.master.eviction import Eviction
from curvine.master.jobs import LoadJobs
from curvine.master.patrol import Patrol
from curvine.master.replication import Replication
from curvine.master.reports import FullReports
from curvine.master.workers import WorkerMap
from curvine.metadata.engine import Namespace
from curvine.metadata.values import LostBlocks

_log = logging.getLogger(__name__)

RECLAIM_INTERVAL = 1.0
JOB_SWEEP_INTERVAL = 5.0
LATE = 1.0  # of a turn of the loop: the process did not run
EXPIRY_STEP = 100  # inodes expired in one turn of the loop


class Chores:
    """Timers and background walks of one master."""

    def __init__(
        self,
        conf: MasterConf,
        namespace: Namespace,
        workers: WorkerMap,
        reports: FullReports,
        jobs: LoadJobs,
        replication: Replication,
        decommission: Decommission,
        eviction: Eviction,
    ) -> None:
        self._conf = conf
        self._namespace = namespace
        self._workers = workers
        self._reports = reports
        self._jobs = jobs
        self._replication = replication
        self._decommission = decommission
        self._eviction = eviction
        self._patrol = Patrol(namespace, workers, replication, conf.worker_lost_interval / 1000)
        self._absent: frozenset[int] = frozenset()  # of these, replicas were looked at
        self.ttl_counts = (0, 0)  # minutes with expiries, inodes, after the last look
        self.ttl_skipped = 0  # inodes that could not be expired at the last look
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin; needs a running loop."""
        conf = self._conf
        self._spawn(every(conf.worker_check_interval / 1000, self.check_workers, if_awake=True))
        self._spawn(every(JOB_SWEEP_INTERVAL, self._jobs.sweep))
        self._spawn(self._expire())
        self._spawn(self._reclaim())
        self._spawn(self._replication.run())
        self._spawn(self._decommission.run())
        if conf.block_replication_enabled:
            self._spawn(self._patrol.run())
        if self._eviction.enabled:
            self._spawn(self._eviction.run())

    async def close(self) -> None:
        """Stop; a walk that was cut short goes on after the next start or report."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._replication.close()

    def check_workers(self) -> None:
        """Judge the workers' liveness; the locations of lost ones go.

        Of workers that said goodbye the locations stay; after the same time they count no more.
        """
        lost = frozenset(self._workers.check())
        for worker_id in lost:
            _log.warning("worker %d is lost, its block locations are dropped", worker_id)
            self._jobs.worker_gone(worker_id)
            self._reports.leave(worker_id)
            self._replication.worker_gone(worker_id)
            steps = self._namespace.drop_worker_steps(worker_id)
            self._spawn(self._walk(f"dropping worker {worker_id}", steps))
        absent = frozenset(self._workers.absent())
        for worker_id in absent - self._absent - lost:
            self._spawn(self._patrol.worker(worker_id))
        self._absent = absent

    def finish_report(self, worker_id: int, ids: set[int]) -> None:
        """A full report is complete: what it does not name, the worker does not hold."""
        steps = self._namespace.full_report_steps(worker_id, ids)
        self._spawn(self._walk(f"report of worker {worker_id}", steps))
        self._decommission.reported(worker_id)

    async def expire(self) -> None:
        """Delete or free what outlived its time to live, the oldest first.

        What cannot be expired now (a directory with a mount point in it) is tried again next time.
        """
        tried: set[int] = set()
        skipped = 0
        while found := self._namespace.expired(EXPIRY_STEP, tried):
            for item in found:
                try:
                    for _ in self._namespace.expire_steps(item):
                        await asyncio.sleep(0)
                except CurvineError as error:
                    tried.add(item.inode_id)
                    skipped += 1
                    _log.warning("%s outlived its time to live but stays: %s", item.path, error)
            await asyncio.sleep(0)
        self.ttl_skipped = skipped
        self.ttl_counts = self._namespace.ttl_counts()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(self._conf.ttl_checker_interval / 1000)
            try:
                await self.expire()
            except Exception:
                _log.exception("looking for expired files failed")

    async def _reclaim(self) -> None:
        pause = RECLAIM_INTERVAL
        while True:
            await asyncio.sleep(pause)
            pause = RECLAIM_INTERVAL
            try:
                if self._namespace.reclaim_step():
                    pause = 0  # more may follow: the next step comes after the calls that wait
            except CurvineError:
                _log.exception("reclaiming deleted directories failed")

    async def _walk(self, what: str, steps: Iterator[LostBlocks]) -> None:
        """Take the steps, one a turn; blocks that are short of replicas now are copied."""
        under, lost = 0, 0
        try:
            for step in steps:
                under += len(step.under_replicated)
                lost += len(step.lost)
                self._replication.look_at(step.under_replicated)
                await asyncio.sleep(0)
        except CurvineError:
            _log.exception("%s failed", what)
        if under or lost:
            _log.warning(
                "%s: %d blocks lost a replica, %d their last one", what, under + lost, lost
            )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def every(interval: float, action: Callable[[], None], *, if_awake: bool = False) -> None:
    """Do it at that pace for ever.

    ``if_awake``: not when this process itself was kept from running meanwhile (a stopped machine, a
    stall): what others sent in that time has not been read yet.
    """
    time = asyncio.get_running_loop().time
    while True:
        due = time() + interval
        await asyncio.sleep(interval)
        late = time() - due
        if if_awake and late > LATE:
            _log.warning("the master was stalled for %.1f s: nobody is judged by that time", late)
            continue
        try:
            action()
        except Exception:
            _log.exception("a periodic chore failed")
