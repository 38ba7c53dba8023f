# SPDX-License-Identifier: Apache-2.0
"""Every RPC that the master answers, one row each (control-plane specification section 3).

Dispatch, metrics and tests are derived from this table. Codes without a row are answered with
Common. Row = code, request message, reply message, handler, whether it changes the namespace.
"""

from __future__ import annotations

from curvine.master.dispatch import Row, StreamRow
from curvine.master.handlers import blocks, files, info, jobs, mounts, namespace, snapshot, workers
from curvine.wire.codes import RpcCode
from curvine.wire.pb import (
    common_pb2,
    ext_pb2,
    job_pb2,
    master_pb2,
    mount_pb2,
    replication_pb2,
    worker_pb2,
)

_CHANGES = True

# fmt: off
ROWS: tuple[Row | StreamRow, ...] = (
    Row(RpcCode.MKDIR, master_pb2.MkdirRequest, master_pb2.MkdirResponse,
        namespace.mkdir, _CHANGES),
    Row(RpcCode.DELETE, master_pb2.DeleteRequest, master_pb2.DeleteResponse,
        namespace.delete, _CHANGES),
    Row(RpcCode.CREATE_FILE, master_pb2.CreateFileRequest, master_pb2.CreateFileResponse,
        files.create, _CHANGES),
    Row(RpcCode.OPEN_FILE, master_pb2.OpenFileRequest, master_pb2.OpenFileResponse,
        files.open_file, _CHANGES),
    Row(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest, master_pb2.GetFileStatusResponse,
        namespace.file_status),
    Row(RpcCode.LIST_STATUS, master_pb2.ListStatusRequest, master_pb2.ListStatusResponse,
        namespace.list_status),
    Row(RpcCode.EXISTS, master_pb2.ExistsRequest, master_pb2.ExistsResponse,
        namespace.exists),
    Row(RpcCode.RENAME, master_pb2.RenameRequest, master_pb2.RenameResponse,
        namespace.rename, _CHANGES),
    Row(RpcCode.ADD_BLOCK, master_pb2.AddBlockRequest, common_pb2.LocatedBlockProto,
        blocks.add_block, _CHANGES),
    Row(RpcCode.COMPLETE_FILE, master_pb2.CompleteFileRequest, master_pb2.CompleteFileResponse,
        files.complete, _CHANGES),
    Row(RpcCode.GET_BLOCK_LOCATIONS, master_pb2.GetBlockLocationsRequest,
        master_pb2.GetBlockLocationsResponse, blocks.block_locations),
    Row(RpcCode.GET_FILESYSTEM_INFO, master_pb2.GetFilesystemInfoRequest,
        master_pb2.GetFilesystemInfoResponse, info.filesystem_info),
    Row(RpcCode.SET_ATTR, master_pb2.SetAttrRequest, master_pb2.SetAttrResponse,
        namespace.set_attr, _CHANGES),
    Row(RpcCode.SYMLINK, master_pb2.SymlinkRequest, master_pb2.SymlinkResponse,
        namespace.symlink, _CHANGES),
    Row(RpcCode.LINK, master_pb2.LinkRequest, master_pb2.LinkResponse,
        namespace.link, _CHANGES),
    Row(RpcCode.RESIZE_FILE, master_pb2.FileResizeRequest, master_pb2.FileResizeResponse,
        files.resize, _CHANGES),
    Row(RpcCode.ASSIGN_WORKER, master_pb2.AssignWorkerRequest, master_pb2.AssignWorkerResponse,
        blocks.assign_worker, _CHANGES),
    Row(RpcCode.GET_LOCK, master_pb2.GetLockRequest, master_pb2.GetLockResponse,
        files.get_lock),
    Row(RpcCode.SET_LOCK, master_pb2.SetLockRequest, master_pb2.SetLockResponse,
        files.set_lock, _CHANGES),
    Row(RpcCode.CREATE_FILES_BATCH, master_pb2.CreateFilesBatchRequest,
        master_pb2.CreateFilesBatchResponse, files.create_batch, _CHANGES),
    Row(RpcCode.ADD_BLOCKS_BATCH, master_pb2.AddBlocksBatchRequest,
        master_pb2.AddBlocksBatchResponse, blocks.add_blocks_batch, _CHANGES),
    Row(RpcCode.COMPLETE_FILES_BATCH, master_pb2.CompleteFilesBatchRequest,
        master_pb2.CompleteFilesBatchResponse, files.complete_batch, _CHANGES),
    Row(RpcCode.FREE, master_pb2.FreeRequest, master_pb2.FreeResponse,
        namespace.free, _CHANGES),
    Row(RpcCode.LIST_OPTIONS, master_pb2.ListOptionsRequest, master_pb2.ListOptionsResponse,
        namespace.list_options),
    Row(RpcCode.GET_CV_METADATA_SNAPSHOT_PAGE, master_pb2.GetCvMetadataSnapshotPageRequest,
        master_pb2.GetCvMetadataSnapshotPageResponse, snapshot.snapshot_page),
    Row(RpcCode.GET_CV_METADATA_DELTA_PAGE, master_pb2.GetCvMetadataDeltaPageRequest,
        master_pb2.GetCvMetadataDeltaPageResponse, snapshot.delta_page),
    Row(RpcCode.MOUNT, mount_pb2.MountRequest, mount_pb2.MountResponse,
        mounts.mount, _CHANGES),
    Row(RpcCode.UN_MOUNT, mount_pb2.UnMountRequest, mount_pb2.UnMountResponse,
        mounts.unmount, _CHANGES),
    Row(RpcCode.GET_MOUNT_TABLE, mount_pb2.GetMountTableRequest, mount_pb2.GetMountTableResponse,
        mounts.mount_table),
    Row(RpcCode.GET_MOUNT_INFO, mount_pb2.GetMountInfoRequest, mount_pb2.GetMountInfoResponse,
        mounts.mount_info),
    Row(RpcCode.SUBMIT_JOB, job_pb2.SubmitJobRequest, job_pb2.SubmitJobResponse,
        jobs.submit_job),
    Row(RpcCode.GET_JOB_STATUS, job_pb2.GetJobStatusRequest, job_pb2.GetJobStatusResponse,
        jobs.job_status),
    Row(RpcCode.CANCEL_JOB, job_pb2.CancelJobRequest, job_pb2.CancelJobResponse,
        jobs.cancel_job),
    Row(RpcCode.REPORT_TASK, job_pb2.TaskReportRequest, job_pb2.TaskReportResponse,
        jobs.report_task),
    Row(RpcCode.WORKER_HEARTBEAT, worker_pb2.WorkerHeartbeatRequest,
        worker_pb2.WorkerHeartbeatResponse, workers.heartbeat),
    Row(RpcCode.WORKER_BLOCK_REPORT, worker_pb2.BlockReportListRequest,
        worker_pb2.BlockReportListResponse, workers.block_report),
    Row(RpcCode.REPORT_BLOCK_REPLICATION_RESULT, replication_pb2.ReportBlockReplicationRequest,
        replication_pb2.ReportBlockReplicationResponse, workers.replication_result),
    Row(RpcCode.REPORT_UNDER_REPLICATED_BLOCKS, master_pb2.ReportUnderReplicatedBlocksRequest,
        master_pb2.ReportUnderReplicatedBlocksResponse, workers.under_replicated),
    Row(RpcCode.METRICS_REPORT, master_pb2.MetricsReportRequest, master_pb2.MetricsReportResponse,
        info.metrics_report),
    StreamRow(RpcCode.WATCH, ext_pb2.WatchRequest, ext_pb2.WatchOpenResponse, info.watch),
    Row(RpcCode.SYNC_METADATA, ext_pb2.SyncMetadataRequest, ext_pb2.SyncMetadataResponse,
        info.sync_metadata),
)
# fmt: on
