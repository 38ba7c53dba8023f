# SPDX-License-Identifier: Apache-2.0
"""Calls to the master about the cluster: totals, mounts, jobs, metrics, durability.

One method per RPC, model values in and out, as in client.namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from google.protobuf.message import Message

from curvine.client.master_calls import MasterCaller
from curvine.model.job import (
    JobState,
    JobStatus,
    JobType,
    ListedJob,
    LoadCommand,
    PendingExports,
    TaskProgress,
)
from curvine.model.mount import MountInfo, MountOptions
from curvine.model.worker import ComponentInfo, FilesystemInfo, WorkerAddress
from curvine.wire.bincode import encode_load_command
from curvine.wire.codes import RpcCode
from curvine.wire.convert import fill_component, read_address
from curvine.wire.convert_cluster import (
    decode_filesystem_info,
    decode_job_status,
    fill_mount_options,
    fill_progress,
    read_listed_job,
    read_mount,
    read_mounts,
    read_pending_exports,
)
from curvine.wire.pb import ext_pb2, job_pb2, master_pb2, mount_pb2

M = TypeVar("M", bound=Message)


class Admin:
    """The calls of one client that are not about a file."""

    def __init__(
        self, master: MasterCaller, identity: ComponentInfo, new_req_id: Callable[[], int]
    ) -> None:
        self._master = master
        self._identity = identity
        self._new_req_id = new_req_id

    async def filesystem_info(self) -> FilesystemInfo:
        """Totals and workers; also the handshake, since it says who we are."""
        request = master_pb2.GetFilesystemInfoRequest()
        fill_component(request.component_info, self._identity)
        frame = await self._master.call(
            RpcCode.GET_FILESYSTEM_INFO, request.SerializeToString(), req_id=self._new_req_id()
        )
        return decode_filesystem_info(frame.header)

    async def mount_table(self) -> tuple[MountInfo, ...]:
        """Every mount."""
        request = mount_pb2.GetMountTableRequest(references=True)
        answer = await self._call(RpcCode.GET_MOUNT_TABLE, request, mount_pb2.GetMountTableResponse)
        return read_mounts(answer.mount_table)

    async def mount_info(self, path: str) -> MountInfo | None:
        """The mount that a Curvine path or a URI lies under."""
        request = mount_pb2.GetMountInfoRequest(path=path, references=True)
        answer = await self._call(RpcCode.GET_MOUNT_INFO, request, mount_pb2.GetMountInfoResponse)
        return read_mount(answer.mount_info) if answer.HasField("mount_info") else None

    async def mount_secrets(self, mount_id: int) -> dict[str, str]:
        """The credentials of a mount that its master keeps. Ours only."""
        request = ext_pb2.MountSecretsRequest(mount_id=mount_id)
        answer = await self._call(RpcCode.MOUNT_SECRETS, request, ext_pb2.MountSecretsResponse)
        return {secret.name: secret.value for secret in answer.secrets}

    async def mount(
        self, cv_path: str, ufs_path: str, opts: MountOptions, *, req_id: int | None = None
    ) -> None:
        """Mount an under storage, or change a mount (``opts.update``)."""
        request = mount_pb2.MountRequest(cv_path=cv_path, ufs_path=ufs_path)
        fill_mount_options(request.mount_options, opts)
        await self._call(RpcCode.MOUNT, request, mount_pb2.MountResponse, req_id)

    async def unmount(self, cv_path: str, *, req_id: int | None = None) -> None:
        """Take a mount out of the table."""
        request = mount_pb2.UnMountRequest(cv_path=cv_path)
        await self._call(RpcCode.UN_MOUNT, request, mount_pb2.UnMountResponse, req_id)

    async def submit_load(self, command: LoadCommand, *, req_id: int | None = None) -> JobStatus:
        """Start a load job; one that already runs for the same source is returned instead."""
        return await self._submit(JobType.LOAD, command, req_id)

    async def submit_export(self, command: LoadCommand, *, req_id: int | None = None) -> JobStatus:
        """Start an export job."""
        return await self._submit(JobType.EXPORT, command, req_id)

    async def job_status(self, job_id: str, *, verbose: bool = False) -> JobStatus:
        """State and progress of a job. JobNotFound some minutes after its end."""
        request = job_pb2.GetJobStatusRequest(job_id=job_id, verbose=verbose)
        frame = await self._master.call(
            RpcCode.GET_JOB_STATUS, request.SerializeToString(), req_id=self._new_req_id()
        )
        return decode_job_status(frame.header)

    async def jobs(self) -> list[ListedJob]:
        """Every job that the master knows, newest first. Masters of ours only."""
        request = ext_pb2.ListJobsRequest()
        answer = await self._call(RpcCode.LIST_JOBS, request, ext_pb2.ListJobsResponse)
        return [read_listed_job(job) for job in answer.jobs]

    async def pending_exports(self, path: str, limit: int) -> PendingExports:
        """Changes at or below ``path`` that the under storage has not got. Masters of ours only."""
        request = ext_pb2.ListExportsRequest(path=path, limit=limit)
        answer = await self._call(RpcCode.LIST_EXPORTS, request, ext_pb2.ListExportsResponse)
        return read_pending_exports(answer)

    async def loading_at(self, uri: str, *, start: bool) -> WorkerAddress | None:
        """The worker that is loading a file, None if nobody is; ``start`` a load if none runs for
        it. Masters of ours only (CAP_LOADING)."""
        request = ext_pb2.LoadingAtRequest(uri=uri, start=start)
        answer = await self._call(RpcCode.LOADING_AT, request, ext_pb2.LoadingAtResponse)
        return read_address(answer.worker) if answer.HasField("worker") else None

    async def cancel_job(self, job_id: str, *, req_id: int | None = None) -> None:
        """Stop a job; one that has ended is left as it is."""
        request = job_pb2.CancelJobRequest(job_id=job_id)
        await self._call(RpcCode.CANCEL_JOB, request, job_pb2.CancelJobResponse, req_id)

    async def report_task(
        self, job_id: str, task_id: str, progress: TaskProgress, *, req_id: int | None = None
    ) -> None:
        """Tell the master how far a task is (workers)."""
        request = job_pb2.TaskReportRequest(job_id=job_id, task_id=task_id)
        fill_progress(request.report, progress)
        await self._call(RpcCode.REPORT_TASK, request, job_pb2.TaskReportResponse, req_id)

    async def report_metrics(self, instance: str, increments: Mapping[str, float]) -> None:
        """Add to the master's counters what happened here since the last report."""
        request = master_pb2.MetricsReportRequest(instance=instance, source="")
        for name, value in increments.items():
            request.metrics.add(metric_type=master_pb2.COUNTER, name=name, value=value)
        await self._call(RpcCode.METRICS_REPORT, request, master_pb2.MetricsReportResponse)

    async def sync_metadata(self) -> int:
        """Everything acknowledged so far is on stable storage; the epoch that is. Ours only."""
        request = ext_pb2.SyncMetadataRequest()
        answer = await self._call(RpcCode.SYNC_METADATA, request, ext_pb2.SyncMetadataResponse)
        return answer.epoch

    async def _submit(self, kind: JobType, command: LoadCommand, req_id: int | None) -> JobStatus:
        request = job_pb2.SubmitJobRequest(job_command=encode_load_command(command))
        request.job_type = kind  # type: ignore[assignment]  # enums are ints to protobuf
        answer = await self._call(RpcCode.SUBMIT_JOB, request, job_pb2.SubmitJobResponse, req_id)
        return JobStatus(
            job_id=answer.job_id,
            state=JobState(answer.state),
            source_path=command.source_path,
            target_path=answer.target_path,
        )

    async def _call(
        self, code: RpcCode, request: Message, reply: type[M], req_id: int | None = None
    ) -> M:
        header = request.SerializeToString()
        frame = await self._master.call(
            code, header, req_id=self._new_req_id() if req_id is None else req_id
        )
        return reply.FromString(frame.header)
