# SPDX-License-Identifier: Apache-2.0
"""Exports of single files: a task (type EXPORT) for a worker, and the wait for its end.

A task whose worker refuses, cannot be reached, dies or says nothing for ``job.task_timeout`` is an
attempt that failed; who asked for it tries again. Times are ms where not said otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib

from curvine.clock import Clock
from curvine.config.schema import ClientConf, JobConf
from curvine.errors import Common, TimedOut
from curvine.master.task_sending import NOBODY, NoWorker, TaskSender
from curvine.model.inode import FileStatus
from curvine.model.job import JobState, JobType, LoadJob, LoadTask, TaskProgress
from curvine.model.mount import MountInfo
from curvine.model.worker import WorkerInfo

EXPORT_JOB = "export_"  # how the job ids of the queue's tasks begin
ARRIVAL_SECONDS = 10.0  # a task waits this long for a worker to come
MIB = 1 << 20


class _Waiting:
    __slots__ = ("done", "news_ms", "worker_id")

    def __init__(self, worker_id: int, now: int) -> None:
        self.worker_id = worker_id
        self.done: asyncio.Future[TaskProgress] = asyncio.get_running_loop().create_future()
        self.news_ms = now


class ExportTasks:
    """The export tasks that workers have."""

    def __init__(self, conf: JobConf, client: ClientConf, clock: Clock, sender: TaskSender) -> None:
        self._conf = conf
        self._client = client
        self._clock = clock
        self._sender = sender
        self._runs = clock.now_ms() * 1_000_000
        self._waiting: dict[str, _Waiting] = {}
        self.bytes_done = 0

    async def run(self, mount: MountInfo, status: FileStatus, uri: str) -> None:
        """Have a worker copy a file to ``uri``. Common or TimedOut tells why it did not."""
        task = self._task(mount, status, uri)
        info = await self._worker(task)
        waiting = self._waiting[task.task_id] = _Waiting(
            info.address.worker_id, self._clock.now_ms()
        )
        try:
            refusal = await self._sender.submit(info, task, JobType.EXPORT)
            if refusal is not None:
                raise Common(f"worker {info.address.worker_id}: {refusal}")
            progress = await self._end(task, waiting)
        except asyncio.CancelledError:
            await asyncio.shield(self._sender.cancel(info.address.worker_id, task.job.job_id))
            raise
        finally:
            del self._waiting[task.task_id]
        if progress.state is not JobState.COMPLETED:
            raise Common(progress.message or f"the export task ended as {progress.state.name}")
        self.bytes_done += progress.loaded_size

    def report(self, task_id: str, progress: TaskProgress) -> None:
        """What a worker tells about a task."""
        waiting = self._waiting.get(task_id)
        if waiting is None:
            return
        waiting.news_ms = self._clock.now_ms()
        if progress.state.ended and not waiting.done.done():
            waiting.done.set_result(progress)

    def worker_gone(self, worker_id: int) -> None:
        """What a worker had not finished has failed."""
        gone = TaskProgress(state=JobState.FAILED, message=f"worker {worker_id} is gone")
        for waiting in self._waiting.values():
            if waiting.worker_id == worker_id and not waiting.done.done():
                waiting.done.set_result(gone)

    async def _worker(self, task: LoadTask) -> WorkerInfo:
        for last in (False, True):
            try:
                info = self._sender.choose(task, ())
            except NoWorker:
                if last:
                    raise
                await self._sender.arrival(ARRIVAL_SECONDS)
                continue
            if info is not None:
                return info
        raise Common("no worker can be reached")

    async def _end(self, task: LoadTask, waiting: _Waiting) -> TaskProgress:
        limit = self._conf.task_timeout
        while True:
            done, _ = await asyncio.wait({waiting.done}, timeout=limit / 1000)
            if done:
                return waiting.done.result()
            if self._clock.now_ms() - waiting.news_ms >= limit:
                await self._sender.cancel(waiting.worker_id, task.job.job_id)
                raise TimedOut(f"worker {waiting.worker_id} said nothing about the export")

    def _task(self, mount: MountInfo, status: FileStatus, uri: str) -> LoadTask:
        self._runs += 1
        digest = hashlib.md5(status.path.encode("utf-8", "surrogatepass"), usedforsecurity=False)
        job_id = f"{EXPORT_JOB}{digest.hexdigest()}"
        now = self._clock.now_ms()
        job = LoadJob(
            job_id=job_id,
            source_path=status.path,
            target_path=uri,
            block_size=MIB,  # any worker may do it, however little room it has
            replicas=1,
            storage_type=status.storage_policy.storage_type,
            ttl_ms=mount.ttl_ms,
            ttl_action=mount.ttl_action,
            mount=mount,
            create_time=now,
            overwrite=True,
        )
        return LoadTask(
            job=job,
            task_id=f"{job_id}_run_{self._runs}_task_0",
            worker=NOBODY,
            source_path=status.path,
            target_path=uri,
            create_time=now,
        )
