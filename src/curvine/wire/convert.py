# SPDX-License-Identifier: Apache-2.0
"""Between model values and protobuf: inodes, blocks, workers.

Every required field is set explicitly, defaults included, because some readers refuse a message
without them (control-plane specification 4, codec table). Absent optional fields read as the
defaults of specification 9. An unknown enumeration number reads as the given fallback.
"""

from __future__ import annotations

from collections.abc import Iterable

from curvine.model.block import (
    AllocOpts,
    BlockLocation,
    CommitBlock,
    ExtendedBlock,
    FileBlocks,
    LocatedBlock,
)
from curvine.model.inode import (
    ContentSummary,
    CreateOpts,
    FileStatus,
    FileType,
    FreeResult,
    MkdirOpts,
    SetAttr,
    StoragePolicy,
    StorageState,
    StorageType,
    TtlAction,
)
from curvine.model.lock import FileLock, LockFlavor, LockType
from curvine.model.worker import ClientAddress, ComponentInfo, WorkerAddress
from curvine.wire.pb import common_pb2, ext_pb2, master_pb2

# Protobuf gives numbers; looking a member up here costs a tenth of calling the enumeration.
_STORAGE_TYPES = {int(member): member for member in StorageType}
_TTL_ACTIONS = {int(member): member for member in TtlAction}
_STATES = {int(member): member for member in StorageState}
_FILE_TYPES = {int(member): member for member in FileType}

# --- storage policy, status ---------------------------------------------------------------------


def fill_policy(out: common_pb2.StoragePolicyProto, policy: StoragePolicy) -> None:
    """Write ``policy`` into a (nested) message."""
    out.storage_type = policy.storage_type  # type: ignore[assignment]  # enums are ints to protobuf
    out.ttl_ms = policy.ttl_ms
    out.ttl_action = policy.ttl_action  # type: ignore[assignment]  # as above
    out.ufs_mtime = policy.ufs_mtime
    out.state = policy.state  # type: ignore[assignment]  # as above


def read_policy(src: common_pb2.StoragePolicyProto) -> StoragePolicy:
    """The policy in a message."""
    return StoragePolicy(
        _STORAGE_TYPES[src.storage_type],
        src.ttl_ms,
        _TTL_ACTIONS[src.ttl_action],
        src.ufs_mtime,
        _STATES[src.state],
    )


def fill_status(out: common_pb2.FileStatusProto, status: FileStatus) -> None:
    """Write ``status`` into a (nested) message."""
    out.id = status.id
    out.path = status.path
    out.name = status.name
    out.is_dir = status.is_dir
    out.mtime = status.mtime
    out.atime = status.atime
    out.children_num = min(status.children_num, 0x7FFFFFFF)
    out.is_complete = status.is_complete
    out.len = status.len
    out.replicas = status.replicas
    out.block_size = status.block_size
    out.file_type = status.file_type  # type: ignore[assignment]  # enums are ints to protobuf
    if status.x_attr:
        out.x_attr.update(status.x_attr)
    fill_policy(out.storage_policy, status.storage_policy)
    out.owner = status.owner
    out.group = status.group
    out.mode = status.mode
    if status.target is not None:
        out.target = status.target
    out.nlink = status.nlink
    if status.ctime is not None:
        out.ctime = status.ctime


def read_status(src: common_pb2.FileStatusProto) -> FileStatus:
    """The status in a message."""
    return FileStatus(
        id=src.id,
        path=src.path,
        name=src.name,
        is_dir=src.is_dir,
        mtime=src.mtime,
        atime=src.atime,
        children_num=src.children_num,
        is_complete=src.is_complete,
        len=src.len,
        replicas=src.replicas,
        block_size=src.block_size,
        file_type=_FILE_TYPES[src.file_type] if src.HasField("file_type") else _type_of(src),
        x_attr=dict(src.x_attr),
        storage_policy=read_policy(src.storage_policy),
        owner=src.owner,
        group=src.group,
        mode=src.mode,
        target=src.target if src.HasField("target") else None,
        nlink=src.nlink,
        ctime=src.ctime if src.HasField("ctime") else None,
    )


def _type_of(src: common_pb2.FileStatusProto) -> FileType:
    """A type newer than our schema leaves the field unset."""
    return FileType.DIR if src.is_dir else FileType.FILE


# --- addresses ----------------------------------------------------------------------------------


def fill_address(out: common_pb2.WorkerAddressProto, address: WorkerAddress) -> None:
    """Write a worker's address into a (nested) message."""
    out.worker_id = address.worker_id
    out.hostname = address.hostname
    out.ip_addr = address.ip_addr
    out.rpc_port = address.rpc_port
    out.web_port = address.web_port


def read_address(src: common_pb2.WorkerAddressProto) -> WorkerAddress:
    """The worker's address in a message."""
    return WorkerAddress(src.worker_id, src.hostname, src.ip_addr, src.rpc_port, src.web_port)


def fill_client(out: common_pb2.ClientAddressProto, client: ClientAddress) -> None:
    """Write a client's identity into a (nested) message."""
    out.client_name = client.client_name
    out.hostname = client.hostname
    out.ip_addr = client.ip_addr
    out.port = client.port


def read_client(src: common_pb2.ClientAddressProto) -> ClientAddress:
    """The client's identity in a message."""
    return ClientAddress(src.client_name, src.hostname, src.ip_addr, src.port)


def fill_component(out: common_pb2.ComponentInfoProto, info: ComponentInfo) -> None:
    """Write a peer's identity into a (nested) message."""
    out.component = info.component
    out.release_version = info.release_version
    out.git_commit = info.git_commit
    out.git_tag = info.git_tag
    out.git_branch = info.git_branch
    out.protocol_version = info.protocol_version
    out.min_protocol_version = info.min_protocol_version
    out.capabilities.extend(info.capabilities)


def read_component(src: common_pb2.ComponentInfoProto) -> ComponentInfo:
    """The peer's identity in a message."""
    return ComponentInfo(
        component=src.component,
        release_version=src.release_version,
        git_commit=src.git_commit,
        git_tag=src.git_tag,
        git_branch=src.git_branch,
        protocol_version=src.protocol_version,
        min_protocol_version=src.min_protocol_version,
        capabilities=tuple(src.capabilities),
    )


# --- blocks -------------------------------------------------------------------------------------


def fill_alloc(out: common_pb2.FileAllocOptsProto, opts: AllocOpts) -> None:
    """Write a sizing hint into a (nested) message."""
    out.truncate = opts.truncate
    out.off = opts.off
    out.len = opts.len
    out.mode = opts.mode


def read_alloc(src: common_pb2.FileAllocOptsProto) -> AllocOpts:
    """The sizing hint in a message."""
    return AllocOpts(truncate=src.truncate, len=src.len, off=src.off, mode=src.mode)


def fill_block(out: common_pb2.ExtendedBlockProto, block: ExtendedBlock) -> None:
    """Write a block into a (nested) message; its length goes into ``block_size``."""
    out.id = block.id
    out.block_size = block.len
    out.storage_type = block.storage_type  # type: ignore[assignment]  # enums are ints to protobuf
    out.file_type = block.file_type  # type: ignore[assignment]  # as above
    if block.alloc_opts is not None:
        fill_alloc(out.alloc_opts, block.alloc_opts)


def read_block(src: common_pb2.ExtendedBlockProto) -> ExtendedBlock:
    """The block in a message."""
    return ExtendedBlock(
        id=src.id,
        len=src.block_size,
        storage_type=_STORAGE_TYPES[src.storage_type]
        if src.HasField("storage_type")
        else StorageType.DISK,
        file_type=_FILE_TYPES[src.file_type] if src.HasField("file_type") else FileType.FILE,
        alloc_opts=read_alloc(src.alloc_opts) if src.HasField("alloc_opts") else None,
    )


def fill_located(out: common_pb2.LocatedBlockProto, located: LocatedBlock) -> None:
    """Write a located block into a (nested) message."""
    fill_block(out.block, located.block)
    out.offset = located.offset
    for address in located.locs:
        fill_address(out.locs.add(), address)
    out.has_spdk = located.has_spdk


def read_located(src: common_pb2.LocatedBlockProto) -> LocatedBlock:
    """The located block in a message."""
    return LocatedBlock(
        block=read_block(src.block),
        locs=tuple(read_address(address) for address in src.locs),
        offset=src.offset,
        has_spdk=src.has_spdk,
    )


def fill_file_blocks(out: common_pb2.FileBlocksProto, blocks: FileBlocks) -> None:
    """Write a file with its blocks into a (nested) message."""
    fill_status(out.status, blocks.status)
    for located in blocks.blocks:
        fill_located(out.block_locs.add(), located)


def read_file_blocks(src: common_pb2.FileBlocksProto) -> FileBlocks:
    """The file with its blocks in a message."""
    return FileBlocks(read_status(src.status), tuple(read_located(b) for b in src.block_locs))


def fill_commit(out: common_pb2.CommitBlockProto, commit: CommitBlock) -> None:
    """Write a finished block into a (nested) message."""
    out.block_id = commit.block_id
    out.block_len = commit.block_len
    for location in commit.locations:
        row = out.locations.add()
        row.worker_id = location.worker_id
        row.storage_type = location.storage_type  # type: ignore[assignment]  # enums are ints


def read_commits(rows: Iterable[common_pb2.CommitBlockProto]) -> tuple[CommitBlock, ...]:
    """The finished blocks in a request."""
    return tuple(
        CommitBlock(
            row.block_id,
            row.block_len,
            tuple(
                BlockLocation(location.worker_id, _STORAGE_TYPES[location.storage_type])
                for location in row.locations
            ),
        )
        for row in rows
    )


# --- options ------------------------------------------------------------------------------------


def fill_mkdir_opts(out: master_pb2.MkdirOptsProto, opts: MkdirOpts) -> None:
    """Write mkdir's options into a (nested) message."""
    out.create_parent = opts.create_parent
    out.mode = opts.mode
    out.x_attr.update(opts.x_attr)
    fill_policy(out.storage_policy, opts.storage_policy)
    out.owner = opts.owner
    out.group = opts.group


def read_mkdir_opts(src: master_pb2.MkdirOptsProto) -> MkdirOpts:
    """mkdir's options in a message."""
    return MkdirOpts(
        create_parent=src.create_parent,
        mode=src.mode,
        owner=src.owner,
        group=src.group,
        x_attr=dict(src.x_attr),
        storage_policy=read_policy(src.storage_policy),
    )


def fill_create_opts(out: master_pb2.CreateFileOptsProto, opts: CreateOpts) -> None:
    """Write create's options into a (nested) message."""
    out.create_flag = 0  # legacy: senders put 0
    out.create_parent = opts.create_parent
    out.file_type = opts.file_type  # type: ignore[assignment]  # enums are ints to protobuf
    out.replicas = opts.replicas
    out.block_size = opts.block_size
    out.x_attr.update(opts.x_attr)
    fill_policy(out.storage_policy, opts.storage_policy)
    out.client_name = opts.client_name
    out.mode = opts.mode
    out.owner = opts.owner
    out.group = opts.group
    out.sync_ufs_meta = opts.sync_ufs_meta
    out.ufs_len = opts.ufs_len


def read_create_opts(src: master_pb2.CreateFileOptsProto) -> CreateOpts:
    """create's options in a message."""
    x_attr = src.x_attr
    return CreateOpts(
        client_name=src.client_name,
        create_parent=src.create_parent,
        file_type=_FILE_TYPES[src.file_type] if src.HasField("file_type") else FileType.FILE,
        replicas=src.replicas,
        block_size=src.block_size,
        x_attr=dict(x_attr) if x_attr else {},
        storage_policy=read_policy(src.storage_policy),
        mode=src.mode,
        owner=src.owner,
        group=src.group,
        sync_ufs_meta=src.sync_ufs_meta,
        ufs_len=src.ufs_len,
    )


def fill_set_attr(out: master_pb2.SetAttrOptsProto, opts: SetAttr) -> None:
    """Write attribute changes into a (nested) message; None stays absent."""
    out.recursive = opts.recursive
    for name in ("replicas", "owner", "group", "mode", "atime", "mtime", "ttl_ms", "ttl_action"):
        value = getattr(opts, name)
        if value is not None:
            setattr(out, name, value)
    if opts.ufs_mtime is not None:
        out.ufs_mtime = opts.ufs_mtime
    out.add_x_attr.update(opts.add_x_attr)
    out.remove_x_attr.extend(opts.remove_x_attr)


def read_set_attr(src: master_pb2.SetAttrOptsProto) -> SetAttr:
    """The attribute changes in a message."""
    present = {field.name: value for field, value in src.ListFields()}
    return SetAttr(
        recursive=src.recursive,
        replicas=present.get("replicas"),
        owner=present.get("owner"),
        group=present.get("group"),
        mode=present.get("mode"),
        atime=present.get("atime"),
        mtime=present.get("mtime"),
        ttl_ms=present.get("ttl_ms"),
        ttl_action=TtlAction(present["ttl_action"]) if "ttl_action" in present else None,
        add_x_attr=dict(src.add_x_attr),
        remove_x_attr=tuple(src.remove_x_attr),
        ufs_mtime=present.get("ufs_mtime"),
    )


def encode_summary(summary: ContentSummary) -> bytes:
    """The answer to ContentSummary."""
    return ext_pb2.ContentSummaryResponse(
        files=summary.files,
        directories=summary.directories,
        bytes=summary.bytes,
        cached_bytes=summary.cached_bytes,
        space_bytes=summary.space_bytes,
        complete=summary.is_complete,
    ).SerializeToString()


def decode_summary(header: bytes) -> ContentSummary:
    """What an answer to ContentSummary says."""
    src = ext_pb2.ContentSummaryResponse.FromString(header)
    return ContentSummary(
        src.files, src.directories, src.bytes, src.cached_bytes, src.space_bytes, src.complete
    )


def fill_free_result(out: common_pb2.FreeResultProto, result: FreeResult) -> None:
    """Write what was released into a (nested) message."""
    out.inodes = result.inodes
    out.bytes = result.bytes


def read_free_result(src: common_pb2.FreeResultProto) -> FreeResult:
    """What was released, from a message."""
    return FreeResult(src.inodes, src.bytes)


def fill_lock(out: common_pb2.FileLockProto, lock: FileLock) -> None:
    """Write a lock into a (nested) message."""
    out.client_id = lock.client_id
    out.owner_id = lock.owner_id
    out.pid = lock.pid
    out.acquire_time = lock.acquire_time
    out.lock_type = lock.lock_type  # type: ignore[assignment]  # enums are ints to protobuf
    out.lock_flags = lock.flavor  # type: ignore[assignment]  # as above
    out.start = lock.start
    out.end = lock.end


def read_lock(src: common_pb2.FileLockProto) -> FileLock:
    """The lock in a message."""
    return FileLock(
        client_id=src.client_id,
        owner_id=src.owner_id,
        pid=src.pid,
        acquire_time=src.acquire_time,
        lock_type=LockType(src.lock_type),
        flavor=LockFlavor(src.lock_flags),
        start=src.start,
        end=src.end,
    )
