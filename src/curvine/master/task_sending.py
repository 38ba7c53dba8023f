# SPDX-License-Identifier: Apache-2.0
"""Handing tasks (code 39) to workers: which one, in which edition, with which credentials."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from curvine.errors import CurvineError
from curvine.master.disclosure import told
from curvine.master.placement import NoWorker, Placement
from curvine.master.worker_calls import WorkerCalls
from curvine.master.workers import WorkerMap
from curvine.model.job import JobType, LoadTask
from curvine.model.worker import WorkerAddress, WorkerInfo
from curvine.wire.bincode import TaskLayout, encode_load_task
from curvine.wire.codes import CAP_REFERENCES, RpcCode
from curvine.wire.pb import job_pb2

NOBODY = WorkerAddress(0, "", "", 0)  # a task that is not handed over yet


class TaskSender:
    """Sends tasks, and their end, to workers."""

    def __init__(self, workers: WorkerMap, placement: Placement, calls: WorkerCalls) -> None:
        self._workers = workers
        self._placement = placement
        self._calls = calls

    def choose(self, task: LoadTask, tried: Collection[int]) -> WorkerInfo | None:
        """A worker for a task: picked like one for a block of its file. NoWorker says why none."""
        wanted = task.job
        chosen = self._placement.choose(wanted.block_size, 1, "", tried, wanted.storage_type)[0]
        return self._workers.get(chosen)

    async def arrival(self, seconds: float) -> None:
        """Wait for a worker to come."""
        await self._workers.arrival(seconds)

    def get(self, worker_id: int) -> WorkerInfo | None:
        """A worker that is known."""
        return self._workers.get(worker_id)

    async def submit(self, info: WorkerInfo, task: LoadTask, kind: JobType) -> str | None:
        """Hand a task to a worker; the reason if it does not take it."""
        component = info.component
        ours = component is not None and CAP_REFERENCES in component.capabilities
        task = replace(task, job=replace(task.job, mount=told(task.job.mount, ours)))
        request = job_pb2.SubmitTaskRequest(task_command=encode_load_task(task, _layout(info)))
        request.task_type = kind  # type: ignore[assignment]  # enums are ints to protobuf
        try:
            header = await self._calls.call(
                info.address, RpcCode.SUBMIT_TASK, request.SerializeToString()
            )
        except CurvineError as error:
            return error.message or error.code
        reply = job_pb2.SubmitTaskResponse.FromString(header)
        return None if reply.accepted else (reply.reject_reason or "refused")

    async def cancel(self, worker_id: int, job_id: str) -> str | None:
        """Have a worker stop the tasks of a job; the reason if it cannot be told."""
        info = self._workers.get(worker_id)
        if info is None:
            return None
        header = job_pb2.CancelJobRequest(job_id=job_id).SerializeToString()
        try:
            await self._calls.call(info.address, RpcCode.CANCEL_JOB, header)
        except CurvineError as error:
            return error.message or error.code
        return None


def _layout(info: WorkerInfo) -> TaskLayout:
    """The edition of the task payload that a worker reads: told by fields, not by versions."""
    if info.session_id or info.component is not None:
        return TaskLayout.V0_4_1
    return TaskLayout.V0_3_6


__all__ = ["NOBODY", "NoWorker", "TaskSender"]
