# SPDX-License-Identifier: Apache-2.0
"""Load tasks: which run, how far they are, what the master is told (data-plane specification 5.7).

A task copies one file from the under storage into the cache (``loading``). Up to
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
from curvine.errors import CurvineError, TimedOut
from curvine.model.job import JobState, LoadTask, TaskProgress
from curvine.model.mount import MountInfo
from curvine.ufs.base import Ufs
from curvine.ufs.credentials import stamp
from curvine.worker.blockstore import BlockStore
from curvine.worker.loading import Loader

# A load that ends before this (s) is reported once.
FIRST_REPORT = 1.0
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
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}  # task id -> (job id, task)
        self._client: ClusterClient | None = None
        self._starting = asyncio.Lock()
        self._mounts: dict[object, _OpenUfs] = {}
        self._secrets: MountSecrets | None = None

    def submit(self, task: LoadTask) -> None:
        """Run ``task`` when there is a place, instead of an earlier one of the same id."""
        self._stop(task.task_id)
        runner = asyncio.get_running_loop().create_task(self._run(task), name=task.task_id)
        self._running[task.task_id] = (task.job.job_id, runner)
        runner.add_done_callback(lambda done: self._ended(task.task_id, done))

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

    def _stop(self, task_id: str) -> None:
        known = self._running.pop(task_id, None)
        if known is not None:
            known[1].cancel()

    def _ended(self, task_id: str, runner: asyncio.Task[None]) -> None:
        known = self._running.get(task_id)
        if known is not None and known[1] is runner:
            del self._running[task_id]
        if not runner.cancelled() and runner.exception() is not None:
            _log.error("load task %s failed", task_id, exc_info=runner.exception())

    async def _run(self, task: LoadTask) -> None:
        async with self._places:
            client = await self._connected()
            try:
                mount = await self._with_secrets(client, task.job.mount)
                async with self._ufs(mount) as ufs:
                    end = await self._copy(client, task, ufs)
            except CurvineError as error:  # the under storage cannot be opened
                end = TaskProgress(JobState.FAILED, 0, 0, self._clock.now_ms(), str(error))
            await self._report(client, task, end)

    async def _copy(self, client: ClusterClient, task: LoadTask, ufs: Ufs) -> TaskProgress:
        """Copy the file and tell the master how far it is; how it ended."""
        loader = Loader(client, self._store, self._worker_id, ufs, task)
        reporter = asyncio.create_task(self._report_often(client, task, loader))
        try:
            return await self._load(task, loader)
        finally:
            reporter.cancel()

    async def _load(self, task: LoadTask, loader: Loader) -> TaskProgress:
        """Run the copy; how it ended."""
        state, message = JobState.COMPLETED, ""
        try:
            await asyncio.wait_for(loader.run(), self._conf.job.task_timeout / 1000)
        except (CurvineError, OSError) as error:
            state, message = JobState.FAILED, str(error)
        except TimeoutError:
            state, message = JobState.FAILED, str(TimedOut("the task took too long"))
        if state is JobState.FAILED:
            _log.warning("load of %s failed: %s", task.source_path, message)
        return self._progress(loader, state, message)

    def _progress(self, loader: Loader, state: JobState, message: str = "") -> TaskProgress:
        return TaskProgress(state, loader.done, loader.length, self._clock.now_ms(), message)

    async def _report_often(self, client: ClusterClient, task: LoadTask, loader: Loader) -> None:
        interval = self._conf.job.task_report_interval / 1000
        pause = min(FIRST_REPORT, interval)
        while True:
            await asyncio.sleep(pause)
            await self._report(client, task, self._progress(loader, JobState.LOADING))
            pause = interval

    async def _report(self, client: ClusterClient, task: LoadTask, progress: TaskProgress) -> None:
        try:
            await client.admin.report_task(task.job.job_id, task.task_id, progress)
        except CurvineError as error:
            _log.warning("progress of %s could not be reported: %s", task.task_id, error)

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
