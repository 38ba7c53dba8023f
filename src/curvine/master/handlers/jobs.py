# SPDX-License-Identifier: Apache-2.0
"""Load jobs (control-plane specification 5.17)."""

from __future__ import annotations

from curvine.errors import Common, DecodeFailed
from curvine.master.services import Services
from curvine.wire.bincode import decode_load_command
from curvine.wire.convert_cluster import encode_job_status, read_progress
from curvine.wire.pb import job_pb2

_EMPTY = b""  # a message without fields


def submit_job(master: Services, request: job_pb2.SubmitJobRequest, _req_id: int) -> bytes:
    """Code 35: answers at once, planning goes on in the background."""
    if request.job_type != job_pb2.LOAD:
        raise Common("Only load jobs are supported")
    try:
        command = decode_load_command(request.job_command)
    except DecodeFailed as error:
        raise Common(f"The job command cannot be read: {error.message}") from error
    status = master.jobs.submit(command)
    return job_pb2.SubmitJobResponse(
        job_id=status.job_id,
        target_path=status.target_path,
        state=status.state,  # type: ignore[arg-type]  # enums are ints to protobuf
    ).SerializeToString()


def job_status(master: Services, request: job_pb2.GetJobStatusRequest, _req_id: int) -> bytes:
    """Code 36."""
    return encode_job_status(master.jobs.status(request.job_id))


def cancel_job(master: Services, request: job_pb2.CancelJobRequest, _req_id: int) -> bytes:
    """Code 37: the workers are told in the background."""
    master.jobs.cancel(request.job_id)
    return _EMPTY


def report_task(master: Services, request: job_pb2.TaskReportRequest, _req_id: int) -> bytes:
    """Code 38, from workers."""
    master.jobs.report(request.job_id, request.task_id, read_progress(request.report))
    return _EMPTY
