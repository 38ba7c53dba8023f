# SPDX-License-Identifier: Apache-2.0
"""Keeping as many replicas of every block as its file asks for.

Source: control-plane specification 6.7, data-plane specification 8.5; working, on by default and
bounded, which Curvine's is not. Blocks come here when a worker is lost or leaves, when a replica is
reported damaged, when a writer committed fewer replicas than asked for, when a worker is drained,
when a lost worker brings replicas back (there may be too many then), and from a slow walk over all
blocks. Each is judged when its turn comes, by the facts of that moment (``redundancy``).

A copy: one worker that has the block is asked (42) to write it to another one, and reports (43).
What reaches the target is recorded only if the block was not written meanwhile (``committed``) and
has its length; otherwise, and after a failure or silence, the target is told to delete it. Limits:
copies in all, per worker, and bytes per second per worker. Times are ms, sizes bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Coroutine, Iterable

from google.protobuf.message import DecodeError

from curvine.clock import Clock
from curvine.config.schema import MasterConf
from curvine.errors import BlockNotFound, CurvineError
from curvine.master.copy_choice import reluctance, targets_of, tells_attempt
from curvine.master.copy_job import Job, Totals, Trouble
from curvine.master.copy_queue import CopyQueue
from curvine.master.copy_slots import CopySlots
from curvine.master.copy_waits import CopyWaits
from curvine.master.placement import NoWorker, Placement
from curvine.master.redundancy import Urgency, Verdict, is_busy, judge
from curvine.master.worker_calls import WorkerCalls
from curvine.master.workers import Standing, WorkerMap
from curvine.metadata.engine import Namespace
from curvine.metadata.upkeep import BlockFacts
from curvine.model.block import CommitBlock, block_owner
from curvine.model.inode import StorageType
from curvine.model.worker import WorkerInfo
from curvine.telemetry.logs import OnceLogger
from curvine.wire.codes import RpcCode
from curvine.wire.convert import fill_address
from curvine.wire.pb import replication_pb2

_log = logging.getLogger(__name__)

TICK = 0.2  # seconds between looks at the queue
LOOKS = 256  # blocks looked at in one turn of the loop
JOB_PATIENCE_MS = 60_000  # plus what SLOWEST needs: then a copy has failed
SLOWEST = 1 << 20  # bytes per second
MAX_HELD = 64  # of these, those that have to wait for a free worker
BUSY_AGAIN_MS = 30_000  # a file being written is looked at again after this
MAX_BACKOFF_MS = 600_000  # between tries of a copy that failed
MAX_WAIT_MS = 30_000  # between looks for a worker that could give or take one
MAX_TROUBLES = 100_000  # blocks whose failures are remembered


class Replication:
    """See the module. Called from the loop only."""

    def __init__(
        self,
        conf: MasterConf,
        clock: Clock,
        namespace: Namespace,
        workers: WorkerMap,
        placement: Placement,
        calls: WorkerCalls,
    ) -> None:
        self.enabled = conf.block_replication_enabled
        self._conf = conf
        self._clock = clock
        self._namespace = namespace
        self._workers = workers
        self._placement = placement
        self._calls = calls
        self._attempts = itertools.count(clock.now_ms() << 16)
        self._slots = CopySlots(conf.block_replication_per_worker, conf.block_replication_rate)
        self._troubles: dict[int, Trouble] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._once = OnceLogger(_log, clock=clock)
        self.queue = CopyQueue()
        self.jobs: dict[int, Job] = {}
        self.totals = Totals()
        self._kicked = False
        self._waits = CopyWaits()

    # -- what happens to blocks ----------------------------------------------------------------

    def look_at(self, blocks: Iterable[int], urgency: Urgency = Urgency.SHORT) -> None:
        """These blocks may have too few or too many replicas."""
        for block_id in blocks:
            if block_id not in self.jobs:
                self.queue.put(block_id, urgency)

    def committed(self, commits: Iterable[CommitBlock]) -> None:
        """A writer says what it has written, before it is stored."""
        for commit in commits:
            job = self.jobs.get(commit.block_id)
            if job is not None:
                job.is_void = True
            wanted = self._namespace.copies_wanted(block_owner(commit.block_id))
            if len(commit.locations) < wanted and commit.block_id not in self.queue:
                due = self._clock.now_ms() + self._conf.block_replication_retry_interval
                self.queue.put_later(commit.block_id, due)

    def damaged(self, block_id: int, worker_id: int, reason: str) -> None:
        """A replica cannot be read. The last one of data that are nowhere else stays: it may be
        readable in part."""
        facts = self._namespace.block_facts(block_id)
        if facts is None or worker_id not in facts.holders:
            return
        _log.error("block %d on worker %d is damaged: %s", block_id, worker_id, reason)
        others = [self._workers.standing(other) for other in facts.holders if other != worker_id]
        if any(kind in {Standing.SERVING, Standing.DRAINING} for kind in others):
            self._namespace.drop_replica(block_id, worker_id)
            self.look_at((block_id,), Urgency.LAST_ONE)
        else:
            # What the under storage has is loaded again.
            self._namespace.evict(block_owner(block_id))

    def closed(self, inode_id: int) -> None:
        """A writer has closed its file."""
        self.look_at(self._waits.closed(inode_id))

    def worker_came(self) -> None:
        """A worker can be given blocks, which could not before."""
        self.look_at(self._waits.worker_came())

    def expects(self, worker_id: int, block_id: int) -> bool:
        """Whether the worker is the target of a copy of that block."""
        job = self.jobs.get(block_id)
        return job is not None and job.target == worker_id

    def worker_gone(self, worker_id: int) -> None:
        """A worker restarted, left or is lost: its copies have failed."""
        for job in [j for j in self.jobs.values() if worker_id in {j.source, j.target}]:
            self._failed(job, f"worker {worker_id} restarted or is gone")

    def trouble(self, block_id: int) -> str:
        """Why the last try to copy a block failed, empty if it did not."""
        trouble = self._troubles.get(block_id)
        return trouble.reason if trouble is not None else ""

    # -- reports (43) --------------------------------------------------------------------------

    def report(self, request: replication_pb2.ReportBlockReplicationRequest) -> str:
        """What to tell a worker that says how a copy ended."""
        block_id = request.block_id
        job = self.jobs.get(block_id)
        if job is None or (request.HasField("attempt") and request.attempt != job.attempt):
            if request.success and request.HasField("target_worker_id"):
                self._namespace.order_delete(request.target_worker_id, block_id)
            return f"block {block_id} was not asked for"
        if not request.success:
            self._failed(job, request.message or "the source gave no reason")
            if request.source_failed:
                self.damaged(block_id, job.source, request.message)
            return "noted"
        if job.is_void:
            self._failed(job, "the block was written meanwhile")
            return "out of date"
        if request.HasField("block_len") and request.block_len != job.length:
            # The master's length and the worker's differ where a file was extended by resize.
            _log.debug("block %d has %d bytes on disk", block_id, request.block_len)
        try:
            kind = StorageType(request.storage_type)
            self._namespace.add_replica(block_id, job.target, kind, job.length)
        except BlockNotFound as error:
            self._failed(job, error.message)
            return "out of date"
        self._end(job)
        self._troubles.pop(block_id, None)
        self.totals.copied += 1
        self.totals.copied_bytes += job.length
        self.look_at((block_id,))  # more may be missing
        self._kick()
        return "recorded"

    # -- the engine ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Copy and trim for ever."""
        while True:
            await asyncio.sleep(TICK)
            try:
                self.step()
            except Exception:
                _log.exception("looking after replicas failed")

    async def close(self) -> None:
        """Ask no more workers. Copies that they are making end as unknown ones."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def step(self) -> None:
        """Give up on silent copies, then look at what waits."""
        now = self._clock.now_ms()
        for job in [job for job in self.jobs.values() if now > job.deadline]:
            self._failed(job, "no report from its source", is_unknown=True)
        held: list[tuple[int, Urgency]] = []
        for _ in range(LOOKS):
            if len(self.jobs) >= self._conf.block_replication_concurrency_limit:
                break
            taken = self.queue.take(now)
            if taken is None:
                break
            if not self._look(*taken, now):
                held.append(taken)
                if len(held) >= MAX_HELD:
                    break
        for block_id, urgency in held:
            self.queue.put(block_id, urgency)

    def _kick(self) -> None:
        """A worker has become free: look for work without waiting for the next tick."""
        if not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._kicked_step)

    def _kicked_step(self) -> None:
        self._kicked = False
        self.step()

    def _look(self, block_id: int, urgency: Urgency, now: int) -> bool:
        """Do what one block needs; False if the limits do not allow it yet."""
        facts = self._namespace.block_facts(block_id)
        if facts is None or block_id in self.jobs:
            return True
        verdict = judge(facts, self._workers.standing)
        if not verdict.missing and not verdict.spare:
            self._troubles.pop(block_id, None)
            return True
        if is_busy(facts, now):
            self.queue.put_later(block_id, now + BUSY_AGAIN_MS, urgency)
            self._waits.for_the_writer(block_id)
            return True
        if verdict.spare:
            self._trim(facts, verdict)
            return True
        draining = any(self._workers.standing(w) is Standing.DRAINING for w in facts.holders)
        if not self.enabled and not draining:
            return True
        return self._copy(facts, verdict, now)

    def _trim(self, facts: BlockFacts, verdict: Verdict) -> None:
        """Give up spare replicas, on the fullest workers first."""
        infos = [info for worker in verdict.spare if (info := self._workers.get(worker))]
        infos.sort(key=lambda info: info.available / max(info.capacity, 1))
        for info in infos[: len(verdict.spare) - facts.wanted]:
            self._namespace.drop_replica(facts.id, info.address.worker_id)
            self.totals.trimmed += 1

    def _copy(self, facts: BlockFacts, verdict: Verdict, now: int) -> bool:
        sources = [info for worker in verdict.sources if (info := self._workers.get(worker))]
        if not sources:
            self._wait_for_worker(facts.id, "no worker that has it is registered", now)
            return True
        try:
            trouble = self._troubles.get(facts.id)
            only = trouble.target if trouble is not None else 0
            targets = targets_of(facts, self._namespace, self._workers, self._placement, only)
        except NoWorker as error:
            self._wait_for_worker(facts.id, error.message, now)
            return True
        free = [info for info in sources if self._slots.may_work(info.address.worker_id, now)]
        idle = [info for info in targets if self._slots.may_work(info.address.worker_id, now)]
        if not free or not idle:
            return False
        source = min(free, key=lambda info: (reluctance(info, self._workers), self._load(info)))
        self._start(facts, source, min(idle, key=self._load), now)
        return True

    def _load(self, info: WorkerInfo) -> int:
        return self._slots.load(info.address.worker_id)

    # -- jobs ----------------------------------------------------------------------------------

    def _start(self, facts: BlockFacts, source: WorkerInfo, target: WorkerInfo, now: int) -> None:
        job = Job(
            facts.id,
            next(self._attempts),
            facts.len,
            source.address.worker_id,
            target.address.worker_id,
            now + JOB_PATIENCE_MS + facts.len * 1000 // SLOWEST,
        )
        self.jobs[facts.id] = job
        self._slots.take((job.source, job.target), facts.len, now)
        request = replication_pb2.SubmitBlockReplicationRequest(block_id=facts.id)
        fill_address(request.target_worker_info, target.address)
        request.attempt = job.attempt
        self._spawn(self._submit(job, source, request.SerializeToString()))

    async def _submit(self, job: Job, source: WorkerInfo, header: bytes) -> None:
        try:
            answer = await self._calls.call(
                source.address, RpcCode.SUBMIT_BLOCK_REPLICATION_JOB, header
            )
            reply = replication_pb2.SubmitBlockReplicationResponse.FromString(answer)
        except BlockNotFound as error:
            if self._failed(job, error.message):
                self._namespace.missing_replica(job.block_id, job.source)
        except (CurvineError, DecodeError) as error:
            self._failed(job, str(error) or type(error).__name__)
        else:
            if not reply.success:
                self._failed(job, reply.message or "refused by its source")

    def _failed(self, job: Job, reason: str, *, is_unknown: bool = False) -> bool:
        """A copy did not come about: what there is of it goes, and it is tried again later.

        ``is_unknown``: its report may still come. If that would not say which attempt it is about
        (a real Curvine worker), the next try goes to the same target.
        """
        if self.jobs.get(job.block_id) is not job:
            return False
        self._end(job)
        self.totals.failures += 1
        self._namespace.order_delete(job.target, job.block_id)
        self._once.log(
            logging.WARNING, (job.source, job.target, reason),
            "copy of block %d from worker %d to %d failed: %s",
            job.block_id, job.source, job.target, reason,
        )  # fmt: skip
        self._postpone(job.block_id, reason, self._clock.now_ms())
        source = self._workers.get(job.source)
        tells = source is not None and tells_attempt(source)
        self._troubles[job.block_id].target = job.target if is_unknown and not tells else 0
        return True

    def _wait_for_worker(self, block_id: int, reason: str, now: int) -> None:
        self._waits.for_a_worker(block_id)
        self._postpone(block_id, reason, now, MAX_WAIT_MS)

    def _postpone(
        self, block_id: int, reason: str, now: int, longest: int = MAX_BACKOFF_MS
    ) -> None:
        """Try a block again later, each time after a longer pause."""
        trouble = self._troubles.setdefault(block_id, Trouble())
        trouble.reason = reason
        pause = self._conf.block_replication_retry_interval << min(trouble.count, 10)
        trouble.count += 1
        while len(self._troubles) > MAX_TROUBLES:
            del self._troubles[next(iter(self._troubles))]
        self.queue.put_later(block_id, now + min(pause, longest))

    def _end(self, job: Job) -> None:
        del self.jobs[job.block_id]
        self._slots.give_back((job.source, job.target))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
