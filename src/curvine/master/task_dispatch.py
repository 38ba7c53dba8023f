# SPDX-License-Identifier: Apache-2.0
"""Getting the tasks of load jobs to workers, and again when a worker fails them.

Source: control-plane specification 5.17. A task is offered to some workers in turn; one that failed
for a reason of the moment is offered again after a pause that grows. Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from curvine.clock import Clock
from curvine.master.job_rows import JobRows
from curvine.master.job_state import Job, Task
from curvine.master.load_places import LoadPlaces
from curvine.master.load_plan import for_file
from curvine.master.task_sending import NOBODY, NoWorker, TaskSender
from curvine.model.job import JobState, JobType, LoadTask, TaskProgress
from curvine.model.worker import WorkerInfo

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # workers that a task is offered to
ARRIVAL_SECONDS = 10.0  # a task waits this long for a worker to come (back)
RETRY_PAUSE, RETRY_PAUSE_MAX = 0.5, 30.0


class TaskDispatch:
    """Hands tasks over. ``ended`` hears of those that no worker takes."""

    def __init__(
        self,
        clock: Clock,
        sender: TaskSender,
        rows: JobRows,
        ended: Callable[[Job, Task], None],
        places: LoadPlaces,
    ) -> None:
        self._places = places
        self._clock = clock
        self._sender = sender
        self._rows = rows
        self._ended = ended
        self._background: set[asyncio.Task[None]] = set()

    def now(self, job: Job, task: Task) -> None:
        """Offer a task whose worker is gone to others."""
        if not task.retrying:
            self._spawn(self._offer(job, task))

    def again(self, job: Job, task: Task) -> None:
        """Try a file again that failed for a reason of the moment."""
        if not task.retrying:
            self._spawn(self._after_pause(job, task))

    def tell(self, worker_id: int, job_id: str) -> None:
        """Have a worker stop the tasks of a job."""
        self._spawn(self._tell(worker_id, job_id))

    async def close(self) -> None:
        """Stop handing over."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def all(self, job: Job, waiting: list[Task]) -> None:
        """Hand over every task, a limited number at a time."""
        for task in waiting:
            await job.window.acquire()
            if job.state.ended:
                return
            self._spawn(self._hand_over(job, task))

    async def _hand_over(self, job: Job, task: Task) -> None:
        try:
            await self._offer(job, task)
        finally:
            job.window.release()

    async def _after_pause(self, job: Job, task: Task) -> None:
        task.retrying = True
        try:
            pause = min(RETRY_PAUSE * 2 ** (task.fails - 1), RETRY_PAUSE_MAX)
            await asyncio.sleep(RETRY_PAUSE)
            try:
                await asyncio.wait_for(job.answers.wait(), pause)
            except TimeoutError:
                pass
            task.attempts, task.worker_id = 0, 0
        finally:
            task.retrying = False
        await self._offer(job, task)

    async def _offer(self, job: Job, task: Task) -> None:
        """Offer a task to workers until one takes it; it has failed when none does.

        One that a worker had before the master was restarted is offered to that worker first, which
        goes on with it.
        """
        tried: set[int] = set()
        reason = "no worker took it"
        while not job.state.ended and task.attempts < MAX_ATTEMPTS:
            task.attempts += 1
            wanted = self._load_task(job, task)
            try:
                info = self._sender.get(task.worker_id) if task.worker_id else None
                if info is None:
                    info = self._sender.choose(wanted, tried)
            except NoWorker as error:
                if tried:
                    break
                reason = error.message
                await self._sender.arrival(ARRIVAL_SECONDS)
                continue
            if info is None:
                continue
            refusal = await self._submit(job, task, wanted, info)
            if refusal is None:
                return
            tried.add(info.address.worker_id)
            task.worker_id = 0
            reason = f"worker {info.address.worker_id}: {refusal}"
            _log.warning("task %s: %s", wanted.task_id, reason)
        if not job.state.ended and not task.progress.state.ended:
            task.progress = replace(task.progress, state=JobState.FAILED, message=reason)
            self._ended(job, task)

    async def _submit(self, job: Job, task: Task, wanted: LoadTask, info: WorkerInfo) -> str | None:
        task.worker_id = info.address.worker_id
        task.progress = TaskProgress(total_size=task.progress.total_size)
        wanted = replace(wanted, worker=info.address)
        self._rows.put_task(job, task)
        refusal = await self._sender.submit(info, wanted, JobType.LOAD)
        if refusal is None:
            job.last_news_ms = self._clock.now_ms()
            if not (job.state.ended or task.progress.state.ended):
                self._places.taken(task.uri, info.address.worker_id)
        return refusal

    def _load_task(self, job: Job, task: Task) -> LoadTask:
        return LoadTask(
            job=for_file(job.job, task.progress.total_size),
            task_id=job.task_id(task.number),
            worker=NOBODY,
            source_path=task.uri,
            target_path=task.path,
            create_time=job.job.create_time,
        )

    async def _tell(self, worker_id: int, job_id: str) -> None:
        trouble = await self._sender.cancel(worker_id, job_id)
        if trouble is not None:
            _log.warning("worker %d was not told of a canceled job: %s", worker_id, trouble)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
