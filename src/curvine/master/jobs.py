# SPDX-License-Identifier: Apache-2.0
"""Load and export jobs: plan a tree, have each file copied, add up what comes back.

Source: control-plane specification 5.17. One job per source: submitting it again while it runs
returns the running one. A load sends one task a file to a worker; an export puts its files into the
queue of ``exporter``, so that it keeps its order with everything else that happens to those paths.
Beyond Curvine: jobs are rows of the store and go on after a restart of the master; a task whose
worker refuses, cannot be reached or restarts goes to another, one that failed for a reason of the
moment is tried again; other files go on when one has failed, and failures are told file by file.

States: PENDING until planned, LOADING until every task ended, then COMPLETED, FAILED or CANCELED.
Called from the loop only; a job's tasks change only in ``report``, ``_dispatch`` and the sweep.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from curvine.clock import Clock
from curvine.config.schema import ClientConf, JobConf
from curvine.errors import Common, CurvineError, JobNotFound
from curvine.master.export_queue import Entry
from curvine.master.export_tasks import EXPORT_JOB
from curvine.master.exporter import Exporter
from curvine.master.job_rows import JobRows
from curvine.master.job_state import (
    Job,
    Task,
    encode_row,
    task_row_name,
)
from curvine.master.load_places import LoadPlaces
from curvine.master.load_plan import (
    export_files,
    files_of,
    resolve_export,
    resolve_options,
    resolve_source,
)
from curvine.master.task_dispatch import TaskDispatch
from curvine.master.task_sending import TaskSender
from curvine.metadata.engine import Namespace
from curvine.model.job import (
    JobState,
    JobStatus,
    JobType,
    ListedJob,
    LoadCommand,
    LoadJob,
    TaskProgress,
)
from curvine.ufs.base import Ufs

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # workers that a task is offered to
ARRIVAL_SECONDS = 10.0  # a task waits this long for a worker to come (back)
MAX_ENDED = 20_000  # ended jobs remembered, whatever their age
MAX_FAILS = 8  # failures of the moment of one file, with pauses of 0.5 s doubled up to 30 s
RETRY_PAUSE, RETRY_PAUSE_MAX = 0.5, 30.0  # s
EXPORT_PATIENCE_MS = 60_000  # a file that fails this long counts as failed for its export job
PLAN_BATCH = 500  # task rows stored at a time

OpenUfs = Callable[[str, Mapping[str, str]], Ufs]


class LoadJobs:
    """All jobs of this master."""

    def __init__(
        self,
        conf: JobConf,
        client: ClientConf,
        clock: Clock,
        namespace: Namespace,
        sender: TaskSender,
        exporter: Exporter,
        open_ufs: OpenUfs,
    ) -> None:
        self._conf = conf
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._rows = JobRows(namespace)
        self.places = LoadPlaces()
        self._dispatch = TaskDispatch(clock, sender, self._rows, self._task_ended, self.places)
        self._exporter = exporter
        self._open_ufs = open_ufs
        self._jobs: dict[str, Job] = {}
        self._runs = 0
        self._active = 0  # jobs that have not ended
        self._ended: deque[Job] = deque()
        self._planners = asyncio.Semaphore(conf.master_max_concurrent_load_jobs)
        self._closed = False

    @property
    def active(self) -> int:
        """Jobs that have not ended."""
        return self._active

    def start(self) -> None:
        """Go on with the jobs of an earlier run."""
        for job in self._rows.read(self._clock.now_ms()):
            self._jobs[job.job_id] = job
            if job.state.ended:
                self._ended.append(job)
                continue
            self._active += 1
            job.runner = asyncio.get_running_loop().create_task(self._run(job), name=job.job_id)

    # -- calls of clients and workers ------------------------------------------------------------

    def submit(self, command: LoadCommand) -> JobStatus:
        """Start a load, or return the running one of the same source."""
        source = resolve_source(command, self._namespace.mounts(), self._namespace.status)
        running = self._running(source.job_id)
        if running is not None:
            return running
        now = self._clock.now_ms()
        return self._begin(JobType.LOAD, resolve_options(source, command, self._client, now))

    def submit_export(self, command: LoadCommand) -> JobStatus:
        """Start an export, or return the running one of the same path."""
        source = resolve_export(command, self._namespace.mounts(), self._namespace.status)
        running = self._running(source.job_id)
        if running is not None:
            return running
        now = self._clock.now_ms()
        job = resolve_options(source, command, self._client, now)
        job = replace(job, source_path=source.path, target_path=source.uri)
        return self._begin(JobType.EXPORT, job)

    def _running(self, job_id: str) -> JobStatus | None:
        known = self._jobs.get(job_id)
        if known is None or known.state.ended:
            return None
        return known.status(self._clock.now_ms())

    def _begin(self, kind: JobType, options: LoadJob) -> JobStatus:
        if self._active >= self._conf.master_max_pending_load_job_submits:
            raise Common(f"{self._active} jobs are waiting already, try again later")
        self._active += 1
        self._runs += 1
        now = options.create_time
        job = Job(kind, options, now * 1_000_000 + self._runs % 1_000_000)
        older = self._jobs.get(job.job_id)
        if older is not None:
            self._rows.drop_tasks(job)
        self._jobs[job.job_id] = job
        self._rows.put(job)
        job.runner = asyncio.create_task(self._run(job), name=job.job_id)
        return job.status(now)

    def status(self, job_id: str, *, verbose: bool = False) -> JobStatus:
        """The state of a job. JobNotFound if there is none."""
        return self._job(job_id).status(self._clock.now_ms(), verbose=verbose)

    def listed(self) -> list[ListedJob]:
        """Every job that is known, newest first."""
        now = self._clock.now_ms()
        jobs = sorted(self._jobs.values(), key=lambda job: -job.job.create_time)
        return [ListedJob(job.kind.name.lower(), job.status(now)) for job in jobs]

    def cancel(self, job_id: str) -> None:
        """Stop a job; one that ended already stays as it is. What an export has put into the queue
        is exported nevertheless: it is needed there."""
        job = self._job(job_id)
        if job.state.ended:
            return
        workers = {
            task.worker_id
            for task in job.tasks.values()
            if task.worker_id and not task.progress.state.ended
        }
        self._end(job, JobState.CANCELED, "canceled")
        if job.kind is JobType.LOAD:
            for worker in workers:
                self._dispatch.tell(worker, job_id)

    def report(self, job_id: str, task_id: str, progress: TaskProgress) -> None:
        """What a worker tells about a task. Common for an unknown job."""
        if job_id.startswith(EXPORT_JOB):
            self._exporter.report(task_id, progress)
            return
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
        total = max(progress.total_size, task.progress.total_size)
        if progress.state is JobState.FAILED and progress.retryable and task.fails < MAX_FAILS:
            task.fails += 1
            task.progress = TaskProgress(total_size=total, message=progress.message)
            self.places.ended(task.uri)
            job.answers.clear()
            self._dispatch.again(job, task)
            return
        task.progress = replace(progress, update_time=now, total_size=total)
        if progress.state.ended:
            self._task_ended(job, task)

    # -- events ----------------------------------------------------------------------------------

    def worker_gone(self, worker_id: int) -> None:
        """A worker restarted or is lost: what it had not finished goes to others."""
        self._exporter.worker_gone(worker_id)
        for job in self._jobs.values():
            if job.state.ended or job.kind is not JobType.LOAD:
                continue
            for task in job.tasks.values():
                if task.worker_id == worker_id and not task.progress.state.ended:
                    task.worker_id = 0
                    self.places.lost(task.uri)
                    self._dispatch.now(job, task)

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
                self._end(job, JobState.FAILED, "no news from any of its workers")

    async def close(self) -> None:
        """Stop planning and handing over; the rows stay."""
        self._closed = True
        runners = [job.runner for job in self._jobs.values() if job.runner is not None]
        for task in runners:
            task.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        await self._dispatch.close()

    # -- running -----------------------------------------------------------------------------------

    async def _run(self, job: Job) -> None:
        """Plan a job and have its tasks done."""
        try:
            if not job.planned:
                async with self._planners:
                    await self._plan(job)
                job.planned = True
            job.state = JobState.LOADING
            self._rows.put(job)
            waiting = [task for task in job.tasks.values() if not task.progress.state.ended]
            if not waiting:
                self._finish(job)
            elif job.kind is JobType.EXPORT:
                _ExportRun(self, job, waiting).start(self._exporter)
            else:
                await self._dispatch.all(job, waiting)
        except CurvineError as error:
            self._end(job, JobState.FAILED, error.message)
        except Exception as error:
            _log.exception("job %s failed", job.job_id)
            self._end(job, JobState.FAILED, f"internal error: {error!r}")

    async def _plan(self, job: Job) -> None:
        """Find the files, store a task for each that is to be copied."""
        rows: list[tuple[str, bytes | None]] = []
        ufs = self._open_ufs(job.job.mount.ufs_path, job.job.mount.properties)
        if job.kind is JobType.EXPORT:
            files = export_files(self._namespace, ufs, job.job)
        else:
            files = files_of(ufs, job.job, self._namespace.status, self._clock.now_ms())
        try:
            async for file in files:
                if file.present:
                    job.present_files += 1
                    job.present_size += file.length
                    continue
                if len(job.tasks) >= self._conf.job_max_files:
                    raise Common(
                        f"{job.job.source_path} holds more than {self._conf.job_max_files} files"
                    )
                task = Task(len(job.tasks), file.uri, file.path, file.length)
                job.tasks[job.task_id(task.number)] = task
                rows.append((task_row_name(job.job_id, task.number), encode_row(task.row())))
                if len(rows) >= PLAN_BATCH:
                    self._rows.put_rows(rows)
                    rows = []
                    await asyncio.sleep(0)
        finally:
            await ufs.close()
        self._rows.put_rows(rows)
        job.remaining = len(job.tasks)

    # -- states ------------------------------------------------------------------------------------

    def _task_ended(self, job: Job, task: Task) -> None:
        if job.state.ended:
            return
        self.places.ended(task.uri)
        job.remaining -= 1
        job.last_news_ms = self._clock.now_ms()
        if task.progress.state is JobState.FAILED:
            job.failed.append(task)
            _log.warning("job %s: %s: %s", job.job_id, task.uri, task.progress.message)
        else:
            job.answers.set()
        self._rows.put_task(job, task)
        if job.remaining == 0:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        if not job.failed:
            self._end(job, JobState.COMPLETED, "")
            return
        first = job.failed[0]
        reason = f"{first.uri}: {first.progress.message}"
        if len(job.failed) > 1:
            total = len(job.tasks) + job.present_files
            reason = f"{len(job.failed)} of {total} files failed, the first: {reason}"
        self._end(job, JobState.FAILED, reason)

    def _end(self, job: Job, state: JobState, message: str) -> None:
        if job.state.ended:
            return
        if state is JobState.FAILED:
            _log.warning("job %s failed: %s", job.job_id, message)
        self.places.job_ended(job)
        job.state = state
        job.failure = message
        job.ended_ms = self._clock.now_ms()
        self._active -= 1
        self._ended.append(job)
        self._rows.put(job)
        while len(self._ended) > MAX_ENDED:
            self._forget(self._ended.popleft())
        current = asyncio.current_task()
        if job.runner is not None and job.runner is not current and not job.runner.done():
            job.runner.cancel()

    def _forget(self, job: Job) -> None:
        if self._jobs.get(job.job_id) is job:  # else a later run of the same source
            del self._jobs[job.job_id]
            self._rows.drop(job)

    def _job(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"Job {job_id} not found")
        return job

    def export_ended(self, job: Job, task: Task, state: JobState, reason: str) -> None:
        """A file of an export job is done, or has failed for so long that the job gives it up."""
        if task.progress.state.ended or self._closed:
            return
        size = task.progress.total_size
        done = size if state is JobState.COMPLETED else 0
        task.progress = TaskProgress(state, done, size, self._clock.now_ms(), reason)
        self._task_ended(job, task)


class _ExportRun:
    """Follows the files of one export job through the queue."""

    def __init__(self, jobs: LoadJobs, job: Job, tasks: list[Task]) -> None:
        self._jobs = jobs
        self._job = job
        self._tasks = tasks
        self._by_key: dict[bytes, Task] = {}

    def start(self, exporter: Exporter) -> None:
        """Put every file into the queue."""
        for task in self._tasks:
            keys = exporter.export([task.path], self)
            if not keys:
                self._jobs.export_ended(self._job, task, JobState.COMPLETED, "")
            for key in keys:
                self._by_key[key] = task

    def ended(self, key: bytes) -> None:
        """A file is in the under storage."""
        task = self._by_key.pop(key, None)
        if task is not None:
            self._jobs.export_ended(self._job, task, JobState.COMPLETED, "")

    def failed(self, key: bytes, entry: Entry) -> None:
        """A file failed once more; the queue tries again in any case."""
        self._job.last_news_ms = entry.failed_ms
        patience = entry.failed_ms - entry.first_failed_ms >= EXPORT_PATIENCE_MS
        task = self._by_key.get(key)
        if task is not None and (entry.permanent or patience):
            self._jobs.export_ended(self._job, task, JobState.FAILED, entry.failure)
