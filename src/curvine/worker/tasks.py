# SPDX-License-Identifier: Apache-2.0
"""Load and export tasks: which run, how far they are, what the master is told (data-plane 5.7).

A task copies one file from the under storage into the cache (``loading``) or back (``exporting``).
The end of a task is told until the master has heard it. Up to
job.worker_max_concurrent_tasks run side by side, the rest wait; a task id submitted again replaces
the earlier one. Times are seconds where not said otherwise, sizes bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from msgspec.structs import replace

from curvine.client.cluster import ClusterClient
from curvine.client.mount_secrets import MountSecrets
from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.errors import (
    ConnectionLost,
    CurvineError,
    IoFailed,
    JobNotFound,
    NoMaster,
    TimedOut,
    UfsFailed,
)
from curvine.model.job import JobState, JobType, LoadTask, TaskProgress
from curvine.model.mount import MountInfo
from curvine.ufs.base import Ufs
from curvine.ufs.credentials import stamp
from curvine.worker.blockstore import BlockStore
from curvine.worker.budget import Budget
from curvine.worker.exporting import Exporter
from curvine.worker.loading import IN_FLIGHT, Loader

# A load that ends before this (s) is reported once.
FIRST_REPORT = 1.0
# The end of a task is told again after this (s), doubled each time, up to the second.
END_AGAIN, END_AGAIN_MAX = 0.5, 15.0
Work = Loader | Exporter
OpenUfs = Callable[[str, Mapping[str, str]], Ufs]
_log = logging.getLogger(__name__)


class _OpenUfs:
    """An under storage in use by some tasks."""

    __slots__ = ("ufs", "users")

    def __init__(self, ufs: Ufs) -> None:
        self.ufs = ufs
        self.users = 0


class LoadTasks:
    """The tasks of one worker."""

    def __init__(
        self,
        conf: ClusterConf,
        store: BlockStore,
        worker_id: int,
        clock: Clock,
        open_ufs: OpenUfs,
    ) -> None:
        # Placement prefers the worker whose host name the client gives: ourselves.
        client = replace(conf.client, hostname=conf.worker.hostname)
        self._conf = replace(conf, client=client)
        self._store = store
        self._worker_id = worker_id
        self._clock = clock
        self._open_ufs = open_ufs
        self._places = asyncio.Semaphore(conf.job.worker_max_concurrent_tasks)
        self._memory = Budget(IN_FLIGHT)
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}  # task id -> (job id, task)
        self._tasks: dict[str, LoadTask] = {}  # of those, what was asked for
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}  # target -> its lock, tasks at it
        self._loaders: dict[str, Loader] = {}  # target -> what fills it
        # (source, target) of loads that were submitted -> set as soon as one runs, or has ended
        self._began: dict[tuple[str, str], asyncio.Event] = {}
        self._client: ClusterClient | None = None
        self._starting = asyncio.Lock()
        self._mounts: dict[object, _OpenUfs] = {}
        self._secrets: MountSecrets | None = None

    def submit(self, task: LoadTask, kind: JobType = JobType.LOAD) -> None:
        """Run ``task`` when there is a place, instead of an earlier one of the same id.

        The very same task again (a master that was restarted asks for what it does not know to be
        done) goes on as it is.
        """
        if self._same(task):
            return
        before = self._stop(task.task_id)
        runner = asyncio.get_running_loop().create_task(
            self._run(task, kind, before), name=task.task_id
        )
        if kind is JobType.LOAD:
            self._began.setdefault((task.source_path, task.target_path), asyncio.Event())
        self._tasks[task.task_id] = task
        self._running[task.task_id] = (task.job.job_id, runner)
        runner.add_done_callback(lambda done: self._ended(task, done))

    async def loading(self, source: str, target: str) -> Loader | None:
        """The load of a file; one that was submitted is waited for until it runs."""
        began = self._began.get((source, target))
        if began is not None:
            await began.wait()
        loader = self._loaders.get(target)
        return loader if loader is not None and loader.source == source else None

    def cancel_job(self, job_id: str) -> None:
        """Stop every task of a job; what they had made is removed."""
        for task_id, (owner, _) in list(self._running.items()):
            if owner == job_id:
                self._stop(task_id)

    async def close(self) -> None:
        """Stop everything."""
        runners = [runner for _, runner in self._running.values()]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        for mount in self._mounts.values():
            await mount.ufs.close()
        if self._client is not None:
            await self._client.__aexit__(None, None, None)

    def _same(self, task: LoadTask) -> bool:
        known = self._tasks.get(task.task_id)
        return known is not None and (known.source_path, known.target_path, known.create_time) == (
            task.source_path, task.target_path, task.create_time
        )  # fmt: skip

    def _stop(self, task_id: str) -> asyncio.Task[None] | None:
        """Cancel a task; it may take a moment to undo what it did."""
        known = self._running.pop(task_id, None)
        self._tasks.pop(task_id, None)
        if known is None:
            return None
        known[1].cancel()
        return known[1]

    def _ended(self, task: LoadTask, runner: asyncio.Task[None]) -> None:
        task_id = task.task_id
        began = self._began.pop((task.source_path, task.target_path), None)
        if began is not None:
            began.set()
        known = self._running.get(task_id)
        if known is not None and known[1] is runner:
            del self._running[task_id]
            self._tasks.pop(task_id, None)
        if not runner.cancelled() and runner.exception() is not None:
            _log.error("load task %s failed", task_id, exc_info=runner.exception())

    async def _run(self, task: LoadTask, kind: JobType, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        client = await self._connected()
        async with self._places:
            try:
                mount = await self._with_secrets(client, task.job.mount)
                async with self._ufs(mount) as ufs:
                    end = await self._copy(client, task, self._work(client, task, kind, ufs))
            except CurvineError as error:  # the under storage cannot be opened
                end = TaskProgress(JobState.FAILED, 0, 0, self._clock.now_ms(), str(error))
        await self._report_end(client, task, end)

    def _work(self, client: ClusterClient, task: LoadTask, kind: JobType, ufs: Ufs) -> Work:
        if kind is JobType.EXPORT:
            return Exporter(client, self._store.io, ufs, task)
        return Loader(client, self._store, self._worker_id, ufs, task, self._memory)

    async def _copy(self, client: ClusterClient, task: LoadTask, work: Work) -> TaskProgress:
        """Copy the file and tell the master how far it is; how it ended.

        Tasks of several jobs for one file go one after the other: the first downloads it, the
        others find it done.
        """
        reporter = asyncio.create_task(self._report_often(client, task, work))
        turn, users = self._turns.get(task.target_path, (asyncio.Lock(), 0))
        self._turns[task.target_path] = (turn, users + 1)
        try:
            async with turn:
                if isinstance(work, Loader):
                    self._loaders[task.target_path] = work
                    began = self._began.get((task.source_path, task.target_path))
                    if began is not None:
                        began.set()
                return await self._end_of(task, work)
        finally:
            reporter.cancel()
            if self._loaders.get(task.target_path) is work:
                del self._loaders[task.target_path]
            turn, users = self._turns[task.target_path]
            self._turns[task.target_path] = (turn, users - 1)
            if users == 1:
                del self._turns[task.target_path]

    async def _end_of(self, task: LoadTask, work: Work) -> TaskProgress:
        """Run the copy; how it ended."""
        error: Exception
        try:
            await asyncio.wait_for(work.run(), self._conf.job.task_timeout / 1000)
            return self._progress(work, JobState.COMPLETED)
        except (CurvineError, OSError) as failure:
            error = failure
        except TimeoutError:
            error = TimedOut("the task took too long")
        _log.warning("copying %s failed: %s", task.source_path, error)
        failed = self._progress(work, JobState.FAILED, str(error))
        return replace(failed, retryable=_may_work_later(error))

    def _progress(self, work: Work, state: JobState, message: str = "") -> TaskProgress:
        return TaskProgress(state, work.done, work.length, self._clock.now_ms(), message)

    async def _report_often(self, client: ClusterClient, task: LoadTask, work: Work) -> None:
        interval = self._conf.job.task_report_interval / 1000
        pause = min(FIRST_REPORT, interval)
        while True:
            await asyncio.sleep(pause)
            await self._report(client, task, self._progress(work, JobState.LOADING))
            pause = interval

    async def _report_end(self, client: ClusterClient, task: LoadTask, end: TaskProgress) -> None:
        """Tell the end until it is heard: a master that is away must not wait for it for ever."""
        pause = END_AGAIN
        until = self._clock.monotonic() + self._conf.job.task_timeout / 1000
        while not await self._report(client, task, end) and self._clock.monotonic() < until:
            await asyncio.sleep(pause)
            pause = min(pause * 2, END_AGAIN_MAX)

    async def _report(self, client: ClusterClient, task: LoadTask, progress: TaskProgress) -> bool:
        """Whether the master has heard it, or does not want to."""
        try:
            await client.admin.report_task(task.job.job_id, task.task_id, progress)
        except (ConnectionLost, NoMaster, TimedOut, IoFailed) as error:
            _log.info("progress of %s could not be reported: %s", task.task_id, error)
            return False
        except CurvineError as error:
            level = logging.INFO if isinstance(error, JobNotFound) else logging.WARNING
            _log.log(level, "progress of %s was not wanted: %s", task.task_id, error)
        return True

    async def _connected(self) -> ClusterClient:
        async with self._starting:
            if self._client is None:
                client = ClusterClient(self._conf, component="worker")
                await client.__aenter__()
                self._client = client
            return self._client

    async def _with_secrets(self, client: ClusterClient, mount: MountInfo) -> MountInfo:
        """The mount with the credentials that its master keeps. ConfigError without them."""
        if self._secrets is None:
            self._secrets = MountSecrets(client.admin.mount_secrets)
        await self._secrets.prepare((mount,))
        return replace(mount, properties=self._secrets.filled(mount))

    @asynccontextmanager
    async def _ufs(self, mount: MountInfo) -> AsyncIterator[Ufs]:
        """The mount's under storage, shared by the tasks that use it at the same time."""
        key = (mount.ufs_path, frozenset(mount.properties.items()), stamp(mount.properties))
        shared = self._mounts.get(key)
        if shared is None:
            shared = self._mounts[key] = _OpenUfs(self._open_ufs(mount.ufs_path, mount.properties))
        shared.users += 1
        try:
            yield shared.ufs
        finally:
            shared.users -= 1
            if shared.users == 0:
                del self._mounts[key]
                await shared.ufs.close()


def _may_work_later(error: Exception) -> bool:
    """Whether a failure is one of the moment: a storage or peer that is away or busy."""
    return isinstance(error, UfsFailed | ConnectionLost | TimedOut | NoMaster | IoFailed)
