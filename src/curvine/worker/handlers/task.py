# SPDX-License-Identifier: Apache-2.0
"""Load and export tasks (39) and their end (37), from the master; what readers want of a file that
is being loaded (113, ours)."""

from __future__ import annotations

from curvine.errors import DecodeFailed
from curvine.model.job import JobType, LoadTask
from curvine.rpc.server import Reply, ReplyData, ServerConnection
from curvine.wire.bincode import TaskLayout, decode_load_task
from curvine.wire.frame import Frame
from curvine.wire.pb import ext_pb2, job_pb2
from curvine.worker.handlers.sessions import DONE, parse
from curvine.worker.tasks import LoadTasks

MAX_READ = 16 * 1024 * 1024  # bytes of one ReadLoading


class TaskHandlers:
    """Codes 39, 37 and 113."""

    def __init__(self, tasks: LoadTasks) -> None:
        self._tasks = tasks

    def submit(self, connection: ServerConnection, frame: Frame) -> bytes:
        """Take a task; it runs when a place is free."""
        request = parse(job_pb2.SubmitTaskRequest, frame.header)
        reply = job_pb2.SubmitTaskResponse()
        task = decode_task(request.task_command)
        reply.task_id = task.task_id
        self._tasks.submit(task, JobType(request.task_type))
        reply.accepted = True
        return reply.SerializeToString()

    def cancel_job(self, connection: ServerConnection, frame: Frame) -> bytes:
        """Stop the tasks of a job; the reply has no header."""
        self._tasks.cancel_job(parse(job_pb2.CancelJobRequest, frame.header).job_id)
        return DONE

    async def read_loading(self, connection: ServerConnection, frame: Frame) -> Reply:
        """Code 113: bytes of a file that is being loaded here, as soon as they are there."""
        request = parse(ext_pb2.ReadLoadingRequest, frame.header)
        etag = request.etag if request.HasField("etag") else None
        loader = await self._tasks.loading(request.source, request.target)
        data = None
        if loader is not None and request.size <= MAX_READ:
            version = (request.length, request.mtime, etag)
            data = await loader.read(version, request.offset, request.size, wait=request.wait)
        out = ext_pb2.ReadLoadingResponse(loading=data is not None, there=bool(data))
        return ReplyData(out.SerializeToString(), data or b"")


def decode_task(payload: bytes) -> LoadTask:
    """The task in whichever edition the master writes, newest first."""
    failure = DecodeFailed("the task cannot be decoded")
    for layout in sorted(TaskLayout, reverse=True):
        try:
            task = decode_load_task(payload, layout)
        except DecodeFailed as error:
            failure = error
        else:
            paths = (task.source_path, task.target_path)
            if task.task_id and any(path.startswith("/") for path in paths):
                return task
    raise failure
