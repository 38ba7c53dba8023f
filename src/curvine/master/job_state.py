# SPDX-License-Identifier: Apache-2.0
"""A load job in the master's memory and in its store. Sizes are bytes, times ms.

Rows (table JOB): ``job/<id>`` the job, ``task/<id>/<n>`` one file each. They are written when the
job is planned, when a worker has a task, when it has ended: a master that restarts goes on with
exactly the tasks that are open.
"""

from __future__ import annotations

import asyncio

import msgspec

from curvine.model.job import (
    JobFailure,
    JobFiles,
    JobState,
    JobStatus,
    JobType,
    LoadJob,
    LoadTask,
    TaskProgress,
)

SHOWN_FAILURES = 1000  # of a job's files that failed
DISPATCH_WINDOW = 64  # tasks of one job being handed over at a time


class JobRow(msgspec.Struct, frozen=True, array_like=True):
    """A stored job. ``planned``: all of its task rows are there."""

    v: int
    kind: JobType
    job: LoadJob
    run: int
    state: JobState
    failure: str = ""
    ended_ms: int = 0
    planned: bool = False
    tasks: int = 0
    present_files: int = 0
    present_size: int = 0


class TaskRow(msgspec.Struct, frozen=True, array_like=True):
    """A stored task; its number is in its key. ``worker_id`` 0: nobody has it."""

    v: int
    uri: str
    path: str
    length: int
    worker_id: int = 0
    state: JobState = JobState.PENDING
    message: str = ""


_encoder = msgspec.msgpack.Encoder()
encode_row = _encoder.encode
decode_job_row = msgspec.msgpack.Decoder(JobRow).decode
decode_task_row = msgspec.msgpack.Decoder(TaskRow).decode


def job_row_name(job_id: str) -> str:
    """Name of a job's row."""
    return f"job/{job_id}"


def task_row_name(job_id: str, number: int) -> str:
    """Name of a task's row; they sort by number."""
    return f"task/{job_id}/{number:08d}"


class Task:
    """One file of a job."""

    __slots__ = (
        "attempts", "fails", "number", "path", "progress", "retrying", "task", "uri", "worker_id",
    )  # fmt: skip

    def __init__(self, number: int, uri: str, path: str, length: int) -> None:
        self.number = number
        self.uri = uri
        self.path = path
        self.worker_id = 0
        self.attempts = 0  # workers that it was offered to since it last ran
        self.fails = 0  # failures that may have been of the moment
        self.retrying = False
        self.task: LoadTask | None = None  # as it was handed over
        self.progress = TaskProgress(total_size=length)

    def row(self) -> TaskRow:
        """As it is stored."""
        progress = self.progress
        state = progress.state if progress.state.ended else JobState.PENDING
        return TaskRow(
            1, self.uri, self.path, progress.total_size, self.worker_id, state, progress.message
        )


class Job:
    """A job and its tasks."""

    __slots__ = (
        "answers", "ended_ms", "failed", "failure", "job", "kind", "last_news_ms", "planned",
        "present_files", "present_size", "remaining", "run", "runner", "state", "tasks", "window",
    )  # fmt: skip

    def __init__(self, kind: JobType, job: LoadJob, run: int) -> None:
        self.kind = kind
        self.job = job
        self.run = run
        self.state = JobState.PENDING
        self.failure = ""
        self.ended_ms = 0
        self.last_news_ms = job.create_time  # of a worker taking or reporting a task
        self.planned = False
        self.remaining = 0  # tasks that have not ended
        self.failed: list[Task] = []
        self.present_files = 0  # there was nothing to do for
        self.present_size = 0
        self.tasks: dict[str, Task] = {}
        self.runner: asyncio.Task[None] | None = None
        self.window = asyncio.Semaphore(DISPATCH_WINDOW)
        self.answers = asyncio.Event()  # set when a file was copied after others had failed

    @property
    def job_id(self) -> str:
        """Its name for clients."""
        return self.job.job_id

    def task_id(self, number: int) -> str:
        """The id of a task, as workers report it."""
        return f"{self.job.job_id}_run_{self.run}_task_{number}"

    def row(self) -> JobRow:
        """As it is stored."""
        return JobRow(
            1, self.kind, self.job, self.run, self.state, self.failure, self.ended_ms,
            self.planned, len(self.tasks), self.present_files, self.present_size,
        )  # fmt: skip

    def status(self, now_ms: int, *, verbose: bool = False) -> JobStatus:
        """As clients see it."""
        tasks = self.tasks.values()
        progress = TaskProgress(
            state=self.state,
            loaded_size=self.present_size + sum(t.progress.loaded_size for t in tasks),
            total_size=self.present_size + sum(t.progress.total_size for t in tasks),
            update_time=self.ended_ms or now_ms,
            message=self.failure,
        )
        shown = self.failed[:SHOWN_FAILURES] if verbose or self.state.ended else ()
        files = JobFiles(
            total=len(self.tasks) + self.present_files,
            done=len(self.tasks) - self.remaining - len(self.failed) + self.present_files,
            skipped=self.present_files,
            failed=len(self.failed),
            started=self.job.create_time,
            failures=tuple(JobFailure(t.uri, t.progress.message) for t in shown),
        )
        job = self.job
        return JobStatus(job.job_id, self.state, job.source_path, job.target_path, progress, files)
