# SPDX-License-Identifier: Apache-2.0
"""Between model values and protobuf: workers, heartbeats, cluster totals, mounts, jobs.

The rules are those of wire.convert.
"""

from __future__ import annotations

from collections.abc import Iterable

from curvine.model.inode import StorageType, TtlAction
from curvine.model.job import (
    JobFailure,
    JobFiles,
    JobState,
    JobStatus,
    ListedJob,
    PendingExport,
    PendingExports,
    TaskProgress,
)
from curvine.model.mount import AccessMode, MountInfo, MountOptions, Provider, WriteType
from curvine.model.worker import (
    FilesystemInfo,
    Heartbeat,
    HeartbeatStatus,
    StorageInfo,
    WorkerInfo,
    WorkerStatus,
)
from curvine.wire.convert import fill_address, fill_component, read_address, read_component
from curvine.wire.pb import common_pb2, ext_pb2, job_pb2, master_pb2, mount_pb2, worker_pb2

# --- storages and workers -----------------------------------------------------------------------


def fill_storage(out: common_pb2.StorageInfoProto, info: StorageInfo) -> None:
    """Write a storage directory into a (nested) message."""
    out.dir_id = info.dir_id
    out.storage_id = info.storage_id
    out.failed = info.failed
    out.capacity = info.capacity
    out.available = info.available
    out.fs_used = info.fs_used
    out.non_fs_used = info.non_fs_used
    out.reserved_bytes = info.reserved_bytes
    out.storage_type = info.storage_type  # type: ignore[assignment]  # enums are ints to protobuf
    out.block_num = info.block_num
    out.dir_path = info.dir_path


def read_storage(src: common_pb2.StorageInfoProto) -> StorageInfo:
    """The storage directory in a message."""
    return StorageInfo(
        dir_id=src.dir_id,
        storage_id=src.storage_id,
        capacity=src.capacity,
        available=src.available,
        fs_used=src.fs_used,
        non_fs_used=src.non_fs_used,
        storage_type=StorageType(src.storage_type),
        block_num=src.block_num,
        dir_path=src.dir_path,
        reserved_bytes=src.reserved_bytes,
        failed=src.failed,
    )


def fill_worker(out: common_pb2.WorkerInfoProto, info: WorkerInfo) -> None:
    """Write a registered worker into a (nested) message."""
    fill_address(out.address, info.address)
    out.capacity = info.capacity
    out.available = info.available
    out.fs_used = info.fs_used
    out.non_fs_used = info.non_fs_used
    out.last_update = info.last_update
    for storage in info.storages:
        fill_storage(out.storage_map[storage.storage_id], storage)
    out.reserved_bytes = info.reserved_bytes
    out.weight = info.weight
    out.worker_session_id = info.session_id
    out.software_version = info.software_version
    out.startup_time_ms = info.startup_time_ms
    if info.component is not None:
        fill_component(out.component_info, info.component)


def read_worker(
    src: common_pb2.WorkerInfoProto, status: WorkerStatus = WorkerStatus.LIVE
) -> WorkerInfo:
    """The worker in a message; its status is told by the list it stands in."""
    return WorkerInfo(
        address=read_address(src.address),
        capacity=src.capacity,
        available=src.available,
        fs_used=src.fs_used,
        non_fs_used=src.non_fs_used,
        reserved_bytes=src.reserved_bytes,
        last_update=src.last_update,
        storages=tuple(read_storage(row) for row in src.storage_map.values()),
        weight=src.weight,
        session_id=src.worker_session_id,
        software_version=src.software_version,
        startup_time_ms=src.startup_time_ms,
        status=status,
        component=read_component(src.component_info) if src.HasField("component_info") else None,
    )


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """A WorkerHeartbeatRequest header."""
    out = worker_pb2.WorkerHeartbeatRequest()
    out.cluster_id = beat.cluster_id
    out.worker_id = beat.address.worker_id
    out.fs_ctime = beat.started_ms
    fill_address(out.address, beat.address)
    out.failed_dirs = sum(storage.failed for storage in beat.storages)
    out.status = beat.status  # type: ignore[assignment]  # enums are ints to protobuf
    out.software_version = beat.software_version
    for storage in beat.storages:
        fill_storage(out.storages.add(), storage)
    out.weight = beat.weight
    out.worker_session_id = beat.session_id
    if beat.component is not None:
        fill_component(out.component_info, beat.component)
    return out.SerializeToString()


def read_heartbeat(src: worker_pb2.WorkerHeartbeatRequest) -> Heartbeat:
    """The heartbeat in a message."""
    return Heartbeat(
        cluster_id=src.cluster_id,
        address=read_address(src.address),
        status=HeartbeatStatus(src.status),
        started_ms=src.fs_ctime,
        storages=tuple(read_storage(row) for row in src.storages),
        weight=src.weight,
        session_id=src.worker_session_id,
        software_version=src.software_version,
        component=read_component(src.component_info) if src.HasField("component_info") else None,
    )


# --- cluster totals -----------------------------------------------------------------------------

_WORKER_LISTS = (
    ("live_workers", WorkerStatus.LIVE),
    ("blacklist_workers", WorkerStatus.BLACKLIST),
    ("decommission_workers", WorkerStatus.DECOMMISSION),
    ("lost_workers", WorkerStatus.LOST),
)


def encode_filesystem_info(info: FilesystemInfo) -> bytes:
    """A GetFilesystemInfoResponse header."""
    out = master_pb2.GetFilesystemInfoResponse()
    out.active_master = info.active_master
    out.journal_nodes.extend(info.journal_nodes)
    out.inode_dir_num = info.inode_dir_num
    out.inode_file_num = info.inode_file_num
    out.block_num = info.block_num
    out.capacity = info.capacity
    out.available = info.available
    out.fs_used = info.fs_used
    out.non_fs_used = info.non_fs_used
    out.reserved_bytes = info.reserved_bytes
    for name, _ in _WORKER_LISTS:
        rows = getattr(out, name)
        for worker in getattr(info, name):
            fill_worker(rows.add(), worker)
    if info.allocatable_capacity is not None:
        out.allocatable_capacity = info.allocatable_capacity
    if info.allocatable_available is not None:
        out.allocatable_available = info.allocatable_available
    if info.server is not None:
        fill_component(out.compatibility.server, info.server)
        out.compatibility.compatibility_mode = common_pb2.COMPATIBILITY_MODE_PROTO_DIAGNOSE
    return out.SerializeToString()


def decode_filesystem_info(header: bytes) -> FilesystemInfo:
    """The totals in a GetFilesystemInfoResponse header."""
    src = master_pb2.GetFilesystemInfoResponse.FromString(header)
    lists = {
        name: tuple(read_worker(row, status) for row in getattr(src, name))
        for name, status in _WORKER_LISTS
    }
    return FilesystemInfo(
        active_master=src.active_master,
        journal_nodes=tuple(src.journal_nodes),
        inode_dir_num=src.inode_dir_num,
        inode_file_num=src.inode_file_num,
        block_num=src.block_num,
        capacity=src.capacity,
        available=src.available,
        fs_used=src.fs_used,
        non_fs_used=src.non_fs_used,
        reserved_bytes=src.reserved_bytes,
        allocatable_capacity=src.allocatable_capacity
        if src.HasField("allocatable_capacity")
        else None,
        allocatable_available=src.allocatable_available
        if src.HasField("allocatable_available")
        else None,
        server=read_component(src.compatibility.server) if src.HasField("compatibility") else None,
        **lists,
    )


# --- mounts -------------------------------------------------------------------------------------


def fill_mount(out: mount_pb2.MountInfoProto, mount: MountInfo) -> None:
    """Write a mount into a (nested) message."""
    out.cv_path = mount.cv_path
    out.ufs_path = mount.ufs_path
    out.mount_id = mount.mount_id
    out.properties.update(mount.properties)
    out.ttl_ms = mount.ttl_ms
    out.ttl_action = mount.ttl_action  # type: ignore[assignment]  # enums are ints to protobuf
    out.read_verify_ufs = mount.read_verify_ufs
    for name in ("storage_type", "block_size", "replicas", "provider"):
        value = getattr(mount, name)
        if value is not None:
            setattr(out, name, value)
    out.write_type = mount.write_type  # type: ignore[assignment]  # as above
    out.auto_cache = mount.auto_cache
    out.access_mode = mount.access_mode  # type: ignore[assignment]  # as above
    out.write_cache = mount.write_cache


def read_mount(src: mount_pb2.MountInfoProto) -> MountInfo:
    """The mount in a message."""
    return MountInfo(
        cv_path=src.cv_path,
        ufs_path=src.ufs_path,
        mount_id=src.mount_id,
        properties=dict(src.properties),
        ttl_ms=src.ttl_ms,
        ttl_action=TtlAction(src.ttl_action),
        read_verify_ufs=src.read_verify_ufs,
        storage_type=StorageType(src.storage_type) if src.HasField("storage_type") else None,
        block_size=src.block_size if src.HasField("block_size") else None,
        replicas=src.replicas if src.HasField("replicas") else None,
        write_type=WriteType(src.write_type),
        provider=Provider(src.provider) if src.HasField("provider") else None,
        auto_cache=src.auto_cache,
        access_mode=AccessMode(src.access_mode),
        write_cache=src.write_cache,
    )


def fill_mount_options(out: mount_pb2.MountOptionsProto, opts: MountOptions) -> None:
    """Write mount options into a (nested) message; None stays absent."""
    out.update = opts.update
    out.add_properties.update(opts.add_properties)
    out.read_verify_ufs = opts.read_verify_ufs
    out.remove_properties.extend(opts.remove_properties)
    out.write_type = opts.write_type  # type: ignore[assignment]  # enums are ints to protobuf
    for name in (
        "ttl_ms",
        "ttl_action",
        "storage_type",
        "block_size",
        "replicas",
        "provider",
        "auto_cache",
        "access_mode",
        "write_cache",
    ):
        value = getattr(opts, name)
        if value is not None:
            setattr(out, name, value)


def read_mount_options(src: mount_pb2.MountOptionsProto) -> MountOptions:
    """The mount options in a message."""
    present = {field.name: value for field, value in src.ListFields()}
    return MountOptions(
        update=src.update,
        add_properties=dict(src.add_properties),
        remove_properties=tuple(src.remove_properties),
        ttl_ms=present.get("ttl_ms"),
        ttl_action=TtlAction(present["ttl_action"]) if "ttl_action" in present else None,
        read_verify_ufs=src.read_verify_ufs,
        storage_type=StorageType(present["storage_type"]) if "storage_type" in present else None,
        block_size=present.get("block_size"),
        replicas=present.get("replicas"),
        write_type=WriteType(src.write_type),
        provider=Provider(present["provider"]) if "provider" in present else None,
        auto_cache=present.get("auto_cache"),
        access_mode=AccessMode(present["access_mode"]) if "access_mode" in present else None,
        write_cache=present.get("write_cache"),
    )


def read_mounts(rows: Iterable[mount_pb2.MountInfoProto]) -> tuple[MountInfo, ...]:
    """The rows of a mount table."""
    return tuple(read_mount(row) for row in rows)


# --- jobs ---------------------------------------------------------------------------------------


def fill_progress(out: job_pb2.JobTaskProgressProto, progress: TaskProgress) -> None:
    """Write progress into a (nested) message."""
    out.loaded_size = progress.loaded_size
    out.total_size = progress.total_size
    out.update_time = progress.update_time
    out.state = progress.state
    out.message = progress.message
    if progress.retryable:
        out.retryable = True


def read_progress(src: job_pb2.JobTaskProgressProto) -> TaskProgress:
    """The progress in a message; a state number from the future reads as UNKNOWN."""
    known = src.state in JobState.__members__.values()
    return TaskProgress(
        state=JobState(src.state) if known else JobState.UNKNOWN,
        loaded_size=src.loaded_size,
        total_size=src.total_size,
        update_time=src.update_time,
        message=src.message,
        retryable=src.retryable,
    )


def encode_job_status(status: JobStatus) -> bytes:
    """A GetJobStatusResponse header."""
    out = job_pb2.GetJobStatusResponse()
    out.job_id = status.job_id
    out.state = status.state  # type: ignore[assignment]  # enums are ints to protobuf
    out.source_path = status.source_path
    out.target_path = status.target_path
    fill_progress(out.progress, status.progress)
    if status.files is not None:
        _fill_files(out.progress, status.files)
    return out.SerializeToString()


def _fill_files(out: job_pb2.JobTaskProgressProto, files: JobFiles) -> None:
    out.files_total, out.files_done = files.total, files.done
    out.files_skipped, out.files_failed = files.skipped, files.failed
    out.started = files.started
    for failure in files.failures:
        out.failures.add(path=failure.path, reason=failure.reason)


def _read_files(src: job_pb2.JobTaskProgressProto) -> JobFiles | None:
    if not src.HasField("files_total"):
        return None
    return JobFiles(
        src.files_total,
        src.files_done,
        src.files_skipped,
        src.files_failed,
        src.started,
        tuple(JobFailure(failure.path, failure.reason) for failure in src.failures),
    )


def decode_job_status(header: bytes) -> JobStatus:
    """The status in a GetJobStatusResponse header."""
    src = job_pb2.GetJobStatusResponse.FromString(header)
    return JobStatus(
        job_id=src.job_id,
        state=JobState(src.state) if src.HasField("state") else JobState.UNKNOWN,
        source_path=src.source_path,
        target_path=src.target_path,
        progress=read_progress(src.progress),
        files=_read_files(src.progress),
    )


def fill_listed_job(out: ext_pb2.ListedJobProto, listed: ListedJob) -> None:
    """Write a row of a list of jobs into a (nested) message."""
    status, files = listed.status, listed.status.files or JobFiles()
    out.kind = listed.kind
    out.job_id, out.state = status.job_id, status.state
    out.source_path, out.target_path = status.source_path, status.target_path
    out.loaded_size, out.total_size = status.progress.loaded_size, status.progress.total_size
    out.files_total, out.files_done = files.total, files.done
    out.files_failed, out.started = files.failed, files.started
    out.updated, out.message = status.progress.update_time, status.progress.message


def read_listed_job(src: ext_pb2.ListedJobProto) -> ListedJob:
    """A row of a list of jobs."""
    state = JobState(src.state)
    progress = TaskProgress(state, src.loaded_size, src.total_size, src.updated, src.message)
    files = JobFiles(src.files_total, src.files_done, 0, src.files_failed, src.started)
    status = JobStatus(src.job_id, state, src.source_path, src.target_path, progress, files)
    return ListedJob(src.kind, status)


def read_pending_exports(src: ext_pb2.ListExportsResponse) -> PendingExports:
    """What waits to be exported."""
    rows = tuple(
        PendingExport(e.kind, e.path, e.target, e.since, e.attempts, e.failure, e.running)
        for e in src.exports
    )
    return PendingExports(rows, src.waiting, src.failing)
