# SPDX-License-Identifier: Apache-2.0
"""Load jobs: plan a tree, send one task a file to a worker, add up what the workers report.

Source: control-plane specification 5.17. Jobs live in memory; a restarted master has forgotten
them, and clients see "job not found". One job per source: submitting it again while it runs
returns the running one. Beyond Curvine: a task whose worker refuses, cannot be reached or restarts
goes to another worker before the job fails.

States: PENDING until planned, LOADING until every task ended, then COMPLETED, FAILED or CANCELED.
Called from the loop only; a job's tasks change only in ``report``, ``_dispatch`` and the sweep.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping

from msgspec.structs import replace

from curvine.clock import Clock
from curvine.config.schema import ClientConf, JobConf
from curvine.errors import Common, CurvineError, JobNotFound
from curvine.master.disclosure import told
from curvine.master.load_plan import (
    PlannedFile,
    StatusOf,
    files_of,
    for_file,
    resolve_options,
    resolve_source,
)
from curvine.master.placement import NoWorker, Placement
from curvine.master.worker_calls import WorkerCalls
from curvine.master.workers import WorkerMap
from curvine.model.job import JobState, JobStatus, LoadCommand, LoadJob, LoadTask, TaskProgress
from curvine.model.mount import MountInfo
from curvine.model.worker import WorkerAddress, WorkerInfo
from curvine.ufs.base import Ufs
from curvine.wire.bincode import TaskLayout, encode_load_task
from curvine.wire.codes import CAP_REFERENCES, RpcCode
from curvine.wire.pb import job_pb2

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # workers that a task is offered to
ARRIVAL_SECONDS = 10.0  # a task waits this long for a worker to come (back)
MAX_ENDED = 20_000  # ended jobs remembered, whatever their age
DISPATCH_WINDOW = 64  # tasks of one job being handed over at a time

NOBODY = WorkerAddress(0, "", "", 0)  # a task that is not handed over yet

OpenUfs = Callable[[str, Mapping[str, str]], Ufs]


class _Task:
    __slots__ = ("attempts", "file", "progress", "task")

    def __init__(self, task: LoadTask, file: PlannedFile) -> None:
        self.task = task
        self.file = file
        self.attempts = 0
        self.progress = TaskProgress(total_size=file.length)


class _Job:
    __slots__ = (
        "ended_ms", "failure", "job", "last_news_ms", "present_size", "remaining", "run", "runner",
        "state", "tasks", "window",
    )  # fmt: skip

    def __init__(self, job: LoadJob, run: int) -> None:
        self.job = job
        self.run = run
        self.state = JobState.PENDING
        self.failure = ""
        self.ended_ms = 0
        self.last_news_ms = job.create_time  # of a worker taking or reporting a task
        self.remaining = 0  # tasks that have not completed
        self.present_size = 0  # bytes that were cached already
        self.tasks: dict[str, _Task] = {}
        self.runner: asyncio.Task[None] | None = None
        self.window = asyncio.Semaphore(DISPATCH_WINDOW)

    def status(self, now_ms: int) -> JobStatus:
        tasks = self.tasks.values()
        progress = TaskProgress(
            state=self.state,
            loaded_size=self.present_size + sum(t.progress.loaded_size for t in tasks),
            total_size=self.present_size + sum(t.progress.total_size for t in tasks),
            update_time=self.ended_ms or now_ms,
            message=self.failure,
        )
        job = self.job
        return JobStatus(job.job_id, self.state, job.source_path, job.target_path, progress)


class LoadJobs:
    """All jobs of this master."""

    def __init__(
        self,
        conf: JobConf,
        client: ClientConf,
        clock: Clock,
        workers: WorkerMap,
        placement: Placement,
        calls: WorkerCalls,
        mounts: Callable[[], tuple[MountInfo, ...]],
        status_of: StatusOf,
        open_ufs: OpenUfs,
    ) -> None:
        self._conf = conf
        self._client = client
        self._clock = clock
        self._workers = workers
        self._placement = placement
        self._calls = calls
        self._mounts = mounts
        self._status_of = status_of
        self._open_ufs = open_ufs
        self._jobs: dict[str, _Job] = {}
        self._runs = 0
        self._active = 0  # jobs that have not ended
        self._ended: deque[_Job] = deque()
        self._planners = asyncio.Semaphore(conf.master_max_concurrent_load_jobs)
        self._background: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        """Jobs that have not ended."""
        return self._active

    # -- calls of clients and workers ------------------------------------------------------------

    def submit(self, command: LoadCommand) -> JobStatus:
        """Start a load, or return the running one of the same source."""
        source = resolve_source(command, self._mounts(), self._status_of)
        now = self._clock.now_ms()
        running = self._jobs.get(source.job_id)
        if running is not None and not running.state.ended:
            return running.status(now)
        if self._active >= self._conf.master_max_pending_load_job_submits:
            raise Common(f"{self._active} load jobs are waiting already, try again later")
        self._active += 1
        self._runs += 1
        run = now * 1_000_000 + self._runs % 1_000_000
        job = _Job(resolve_options(source, command, self._client, now), run)
        self._jobs[source.job_id] = job
        job.runner = asyncio.create_task(self._run(job), name=source.job_id)
        return job.status(now)

    def status(self, job_id: str) -> JobStatus:
        """The state of a job. JobNotFound if there is none."""
        return self._job(job_id).status(self._clock.now_ms())

    def cancel(self, job_id: str) -> None:
        """Stop a job; one that ended already stays as it is."""
        job = self._job(job_id)
        if job.state.ended:
            return
        workers = {task.task.worker for task in job.tasks.values() if not task.progress.state.ended}
        self._end(job, JobState.CANCELED, "canceled")
        header = job_pb2.CancelJobRequest(job_id=job_id).SerializeToString()
        for worker in workers:
            self._spawn(self._tell(worker.worker_id, header))

    def report(self, job_id: str, task_id: str, progress: TaskProgress) -> None:
        """What a worker tells about a task. Common for an unknown job."""
        job = self._jobs.get(job_id)
        if job is None:
            raise Common(f"Job {job_id} is not known here")
        task = job.tasks.get(task_id)
        if task is None or job.state.ended or task.progress.state.ended:
            return
        if progress.state in {JobState.CANCELED, JobState.PARTIAL_SUCCESS}:
            return  # changes nothing by itself (5.17)
        now = self._clock.now_ms()
        job.last_news_ms = now
        task.progress = replace(progress, update_time=now)
        if progress.state is JobState.FAILED:
            self._fail(job, f"{task.file.uri}: {progress.message}")
        elif progress.state is JobState.COMPLETED:
            job.remaining -= 1
            if job.remaining == 0:
                self._end(job, JobState.COMPLETED, "")

    # -- events ----------------------------------------------------------------------------------

    def worker_gone(self, worker_id: int) -> None:
        """A worker restarted or is lost: what it had not finished goes to others."""
        for job in self._jobs.values():
            if job.state.ended:
                continue
            for task in job.tasks.values():
                if task.task.worker.worker_id == worker_id and not task.progress.state.ended:
                    self._spawn(self._dispatch(job, task))

    def sweep(self) -> None:
        """Give up on silent jobs, forget those that ended long ago.

        A task that waits in its worker's queue reports nothing, so only a whole job can be silent.
        """
        now = self._clock.now_ms()
        while self._ended and now - self._ended[0].ended_ms > self._conf.terminal_retention:
            self._forget(self._ended.popleft())
        for job in list(self._jobs.values()):
            if job.state.ended:
                continue
            if now - job.job.create_time > self._conf.job_life_ttl:
                self._end(job, JobState.FAILED, "the job took too long")
            elif now - job.last_news_ms > self._conf.task_timeout:
                self._fail(job, "no news from any of its workers")

    async def close(self) -> None:
        """Stop planning and handing over."""
        runners = [job.runner for job in self._jobs.values() if job.runner is not None]
        for task in (*runners, *self._background):
            task.cancel()
        await asyncio.gather(*runners, *self._background, return_exceptions=True)

    # -- running -----------------------------------------------------------------------------------

    async def _run(self, job: _Job) -> None:
        """Plan a job and hand its tasks over."""
        try:
            async with self._planners:
                planned = await self._plan(job)
            job.state = JobState.LOADING
            for task in planned:
                job.tasks[task.task.task_id] = task
            job.remaining = len(planned)
            if not planned:
                self._end(job, JobState.COMPLETED, "")
            for task in planned:
                await job.window.acquire()
                if job.state.ended:
                    return
                self._spawn(self._hand_over(job, task))
        except CurvineError as error:
            self._end(job, JobState.FAILED, error.message)
        except Exception as error:
            _log.exception("job %s failed", job.job.job_id)
            self._end(job, JobState.FAILED, f"internal error: {error!r}")

    async def _plan(self, job: _Job) -> list[_Task]:
        mount = job.job.mount
        now = self._clock.now_ms()
        ufs = self._open_ufs(mount.ufs_path, mount.properties)
        planned: list[_Task] = []
        try:
            async for file in files_of(ufs, job.job, self._status_of, now):
                if file.present:
                    job.present_size += file.length
                    continue
                if len(planned) >= self._conf.job_max_files:
                    raise Common(
                        f"{job.job.source_path} holds more than {self._conf.job_max_files} files"
                    )
                task = LoadTask(
                    job=for_file(job.job, file.length),
                    task_id=f"{job.job.job_id}_run_{job.run}_task_{len(planned)}",
                    worker=NOBODY,
                    source_path=file.uri,
                    target_path=file.path,
                    create_time=now,
                )
                planned.append(_Task(task, file))
        finally:
            await ufs.close()
        return planned

    async def _hand_over(self, job: _Job, task: _Task) -> None:
        try:
            await self._dispatch(job, task)
        finally:
            job.window.release()

    async def _dispatch(self, job: _Job, task: _Task) -> None:
        """Offer a task to workers until one takes it; fail the job when none does."""
        tried: set[int] = set()
        reason = "no worker took it"
        while not job.state.ended and task.attempts < MAX_ATTEMPTS:
            task.attempts += 1
            try:
                wanted = task.task.job
                chosen = self._placement.choose(
                    wanted.block_size, 1, "", tried, wanted.storage_type
                )[0]
            except NoWorker as error:
                if tried:
                    break
                reason = error.message
                await self._workers.arrival(ARRIVAL_SECONDS)
                continue
            tried.add(chosen)
            info = self._workers.get(chosen)
            if info is None:
                continue
            task.task = replace(task.task, worker=info.address)
            task.progress = TaskProgress(total_size=task.file.length)
            refusal = await self._submit(info, task.task)
            if refusal is None:
                job.last_news_ms = self._clock.now_ms()
                return
            reason = f"worker {chosen}: {refusal}"
            _log.warning("task %s: %s", task.task.task_id, reason)
        if not job.state.ended and not task.progress.state.ended:
            self._fail(job, f"{task.file.uri}: {reason}")

    async def _submit(self, info: WorkerInfo, task: LoadTask) -> str | None:
        """Hand a task to a worker; the reason if it does not take it."""
        component = info.component
        ours = component is not None and CAP_REFERENCES in component.capabilities
        task = replace(task, job=replace(task.job, mount=told(task.job.mount, ours)))
        request = job_pb2.SubmitTaskRequest(
            task_type=job_pb2.LOAD, task_command=encode_load_task(task, _layout(info))
        )
        try:
            header = await self._calls.call(
                info.address, RpcCode.SUBMIT_TASK, request.SerializeToString()
            )
        except CurvineError as error:
            return error.message or error.code
        reply = job_pb2.SubmitTaskResponse.FromString(header)
        return None if reply.accepted else (reply.reject_reason or "refused")

    async def _tell(self, worker_id: int, header: bytes) -> None:
        info = self._workers.get(worker_id)
        if info is None:
            return
        try:
            await self._calls.call(info.address, RpcCode.CANCEL_JOB, header)
        except CurvineError as error:
            _log.warning("worker %d was not told of a canceled job: %s", worker_id, error)

    # -- states ------------------------------------------------------------------------------------

    def _fail(self, job: _Job, reason: str) -> None:
        _log.warning("job %s failed: %s", job.job.job_id, reason)
        self._end(job, JobState.FAILED, reason)

    def _end(self, job: _Job, state: JobState, message: str) -> None:
        if job.state.ended:
            return
        job.state = state
        job.failure = message
        job.ended_ms = self._clock.now_ms()
        self._active -= 1
        self._ended.append(job)
        while len(self._ended) > MAX_ENDED:
            self._forget(self._ended.popleft())
        current = asyncio.current_task()
        if job.runner is not None and job.runner is not current and not job.runner.done():
            job.runner.cancel()

    def _forget(self, job: _Job) -> None:
        if self._jobs.get(job.job.job_id) is job:  # else a later run of the same source
            del self._jobs[job.job.job_id]

    def _job(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"Job {job_id} not found")
        return job

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _layout(info: WorkerInfo) -> TaskLayout:
    """The edition of the task payload that a worker reads: told by fields, not by versions."""
    if info.session_id or info.component is not None:
        return TaskLayout.V0_4_1
    return TaskLayout.V0_3_6
