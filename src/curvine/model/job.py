# SPDX-License-Identifier: Apache-2.0
"""Load and export jobs and the tasks they consist of (control-plane specification 5.17)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from curvine.model.inode import StorageType, TtlAction
from curvine.model.mount import MountInfo
from curvine.model.worker import WorkerAddress


class JobType(IntEnum):
    """Direction: UFS to cache, or cache to UFS."""

    LOAD = 1
    EXPORT = 2


class JobState(IntEnum):
    """State of a job or task."""

    UNKNOWN = 0
    PENDING = 1
    LOADING = 2
    COMPLETED = 3
    FAILED = 4
    CANCELED = 5
    PARTIAL_SUCCESS = 6

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self >= JobState.COMPLETED


class LoadCommand(msgspec.Struct, frozen=True):
    """What a client submits; None takes the mount's or the client's default."""

    source_path: str
    target_path: str | None = None
    replicas: int | None = None
    block_size: int | None = None
    storage_type: StorageType | None = None
    ttl_ms: int | None = None
    ttl_action: TtlAction | None = None
    overwrite: bool | None = None


class LoadJob(msgspec.Struct, frozen=True):
    """A job with every option resolved, as tasks carry it."""

    job_id: str
    source_path: str
    target_path: str
    block_size: int
    replicas: int
    storage_type: StorageType
    ttl_ms: int
    ttl_action: TtlAction
    mount: MountInfo
    create_time: int
    overwrite: bool | None = None


class LoadTask(msgspec.Struct, frozen=True):
    """One file of a job, for one worker."""

    job: LoadJob
    task_id: str
    worker: WorkerAddress
    source_path: str
    target_path: str
    create_time: int
    source_read_plan_json: str = ""


class TaskProgress(msgspec.Struct, frozen=True, gc=False):
    """Progress in bytes; ``update_time`` in ms."""

    state: JobState = JobState.PENDING
    loaded_size: int = 0
    total_size: int = 0
    update_time: int = 0
    message: str = ""
    retryable: bool = False  # of a failed task: it may well work later


class JobFailure(msgspec.Struct, frozen=True, gc=False):
    """A file of a job that failed, and why."""

    path: str
    reason: str


class JobFiles(msgspec.Struct, frozen=True):
    """Files of a job; told by our own masters only. ``started`` in ms."""

    total: int = 0
    done: int = 0  # skipped ones included
    skipped: int = 0
    failed: int = 0
    started: int = 0
    failures: tuple[JobFailure, ...] = ()  # the first ones


class JobStatus(msgspec.Struct, frozen=True):
    """What GetJobStatus and SubmitJob answer."""

    job_id: str
    state: JobState
    source_path: str = ""
    target_path: str = ""
    progress: TaskProgress = TaskProgress()
    files: JobFiles | None = None


class ListedJob(msgspec.Struct, frozen=True):
    """A job in a list of jobs."""

    kind: str
    status: JobStatus


class PendingExport(msgspec.Struct, frozen=True, gc=False):
    """A change that an under storage has not got yet. ``since`` in ms."""

    kind: str  # mkdir, file, rename, delete, link
    path: str
    target: str = ""  # of a rename
    since: int = 0
    attempts: int = 0  # that failed
    failure: str = ""
    running: bool = False


class PendingExports(msgspec.Struct, frozen=True):
    """Some of the waiting changes, failing ones first, and how many there are in all."""

    exports: tuple[PendingExport, ...] = ()
    waiting: int = 0
    failing: int = 0
