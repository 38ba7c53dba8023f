# SPDX-License-Identifier: Apache-2.0
"""Load and export jobs (control-plane specification 5.17), and our lists of what is pending."""

from __future__ import annotations

from curvine.errors import Common, DecodeFailed, JobNotFound
from curvine.master.load_plan import resolve_source
from curvine.master.services import Services
from curvine.model.job import LoadCommand
from curvine.wire.bincode import decode_load_command
from curvine.wire.convert import fill_address
from curvine.wire.convert_cluster import encode_job_status, fill_listed_job, read_progress
from curvine.wire.pb import ext_pb2, job_pb2

MAX_SHOWN = 10_000
TAKEN_SECONDS = 5.0  # a reader waits this long for a worker to take its file
_EMPTY = b""  # a message without fields


def submit_job(master: Services, request: job_pb2.SubmitJobRequest, _req_id: int) -> bytes:
    """Code 35: answers at once, planning goes on in the background."""
    try:
        command = decode_load_command(request.job_command)
    except DecodeFailed as error:
        raise Common(f"The job command cannot be read: {error.message}") from error
    if request.job_type == job_pb2.EXPORT:
        status = master.jobs.submit_export(command)
    else:
        status = master.jobs.submit(command)
    return job_pb2.SubmitJobResponse(
        job_id=status.job_id,
        target_path=status.target_path,
        state=status.state,  # type: ignore[arg-type]  # enums are ints to protobuf
    ).SerializeToString()


def job_status(master: Services, request: job_pb2.GetJobStatusRequest, _req_id: int) -> bytes:
    """Code 36."""
    return encode_job_status(master.jobs.status(request.job_id, verbose=request.verbose))


def cancel_job(master: Services, request: job_pb2.CancelJobRequest, _req_id: int) -> bytes:
    """Code 37: the workers are told in the background."""
    master.jobs.cancel(request.job_id)
    return _EMPTY


def report_task(master: Services, request: job_pb2.TaskReportRequest, _req_id: int) -> bytes:
    """Code 38, from workers."""
    master.jobs.report(request.job_id, request.task_id, read_progress(request.report))
    return _EMPTY


def list_jobs(master: Services, _request: ext_pb2.ListJobsRequest, _req_id: int) -> bytes:
    """Code 110."""
    out = ext_pb2.ListJobsResponse()
    for job in master.jobs.listed():
        fill_listed_job(out.jobs.add(), job)
    return out.SerializeToString()


def list_exports(master: Services, request: ext_pb2.ListExportsRequest, _req_id: int) -> bytes:
    """Code 111."""
    exporter = master.exporter
    out = ext_pb2.ListExportsResponse(waiting=exporter.pending, failing=exporter.failing)
    for entry in exporter.shown(request.path, min(request.limit, MAX_SHOWN)):
        out.exports.add(
            kind=entry.row.kind.name.lower(),
            path=entry.row.path,
            target=entry.row.target,
            since=entry.row.time,
            attempts=entry.attempts,
            failure=entry.failure,
            running=entry.running,
        )
    return out.SerializeToString()


async def loading_at(master: Services, request: ext_pb2.LoadingAtRequest, _req_id: int) -> bytes:
    """Code 112: the worker that loads a file, as soon as one has the task; nobody, where no load
    runs and none is wanted, or it ends or takes too long."""
    out = ext_pb2.LoadingAtResponse()
    places = master.jobs.places
    worker_id = places.known(request.uri)
    if worker_id is None:
        command = LoadCommand(source_path=request.uri, overwrite=True)
        if request.start:
            master.jobs.submit(command)
        elif not _is_running(master, command):
            return out.SerializeToString()
        worker_id = await places.wait(request.uri, TAKEN_SECONDS)
    worker = None if worker_id is None else master.workers.get(worker_id)
    if worker is not None:
        fill_address(out.worker, worker.address)
    return out.SerializeToString()


def _is_running(master: Services, command: LoadCommand) -> bool:
    source = resolve_source(command, master.namespace.mounts(), master.namespace.status)
    try:
        return not master.jobs.status(source.job_id).state.ended
    except JobNotFound:
        return False
