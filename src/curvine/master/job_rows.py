# SPDX-License-Identifier: Apache-2.0
"""Jobs and their tasks in the metadata store (``job_state`` says what the rows are)."""

from __future__ import annotations

from collections.abc import Sequence

from curvine.master.job_state import (
    Job,
    Task,
    decode_job_row,
    decode_task_row,
    encode_row,
    job_row_name,
    task_row_name,
)
from curvine.metadata.engine import Namespace
from curvine.model.job import JobState, TaskProgress


class JobRows:
    """The rows of all jobs."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def read(self, now_ms: int) -> list[Job]:
        """The jobs that an earlier run of the master left, with their tasks."""
        found: list[Job] = []
        for _, value in list(self._namespace.job_rows("job/")):
            row = decode_job_row(value)
            job = Job(row.kind, row.job, row.run)
            job.state, job.failure, job.ended_ms = row.state, row.failure, row.ended_ms
            job.planned = row.planned
            job.present_files, job.present_size = row.present_files, row.present_size
            job.last_news_ms = now_ms
            self._read_tasks(job)
            found.append(job)
        return found

    def _read_tasks(self, job: Job) -> None:
        """Take up the tasks of a planned job; those of one that was not planned to its end go."""
        prefix = f"task/{job.job_id}/"
        if not job.planned:
            self._namespace.drop_job_rows(prefix)
            job.present_files = job.present_size = 0
            return
        for name, value in self._namespace.job_rows(prefix):
            row = decode_task_row(value)
            task = Task(int(name.rpartition("/")[2]), row.uri, row.path, row.length)
            task.worker_id = row.worker_id
            loaded = row.length if row.state is JobState.COMPLETED else 0
            task.progress = TaskProgress(row.state, loaded, row.length, 0, row.message)
            job.tasks[job.task_id(task.number)] = task
            if row.state is JobState.FAILED:
                job.failed.append(task)
            elif not row.state.ended:
                job.remaining += 1

    def put(self, job: Job) -> None:
        """Store a job."""
        self._namespace.put_job_rows([(job_row_name(job.job_id), encode_row(job.row()))])

    def put_task(self, job: Job, task: Task) -> None:
        """Store a task."""
        name = task_row_name(job.job_id, task.number)
        self._namespace.put_job_rows([(name, encode_row(task.row()))])

    def put_rows(self, rows: Sequence[tuple[str, bytes | None]]) -> None:
        """Store rows that were made elsewhere."""
        self._namespace.put_job_rows(rows)

    def drop(self, job: Job) -> None:
        """Forget a job."""
        self._namespace.put_job_rows([(job_row_name(job.job_id), None)])
        self.drop_tasks(job)

    def drop_tasks(self, job: Job) -> None:
        """Forget the tasks of a job."""
        self._namespace.drop_job_rows(f"task/{job.job_id}/")
