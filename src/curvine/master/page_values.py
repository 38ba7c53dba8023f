# SPDX-License-Identifier: Apache-2.0
"""Files, blocks and workers as Curvine's pages show them (control-plane specification 7.3).

Keys and their order are Curvine's, enumerations are the names of its variants ("SpdkDisk").
Capacities are bytes, times ms since the Unix epoch.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from curvine.master.workers import WorkerMap, block_count
from curvine.metadata.values import StoredBlock
from curvine.model.block import AllocOpts
from curvine.model.inode import FileStatus, StorageType
from curvine.model.worker import StorageInfo, WorkerAddress, WorkerInfo

_CTIME = "\0curvine.ctime"  # the hidden attribute under which Curvine keeps the time of change
# What Curvine's transfer service asks of workers; heartbeats of ours do not promise any of it.
_TRANSFER = ("task_submit", "report_target", "query_task", "attempt_safe_output",
    "source_read_plan")  # fmt: skip


def variant(value: IntEnum) -> str:
    """The name of Curvine's variant: SPDK_DISK is SpdkDisk."""
    return value.name.title().replace("_", "")


def file_value(status: FileStatus) -> dict[str, Any]:
    """A file status object."""
    policy = status.storage_policy
    x_attr = {name: list(value) for name, value in status.x_attr.items()}
    if status.ctime is not None:
        x_attr[_CTIME] = list(status.ctime.to_bytes(8, "little", signed=True))
    return {
        "id": status.id,
        "path": status.path,
        "name": status.name,
        "is_dir": status.is_dir,
        "mtime": status.mtime,
        "atime": status.atime,
        "children_num": status.children_num,
        "is_complete": status.is_complete,
        "len": status.len,
        "replicas": status.replicas,
        "block_size": status.block_size,
        "file_type": variant(status.file_type),
        "x_attr": x_attr,
        "storage_policy": {
            "storage_type": variant(policy.storage_type),
            "ttl_ms": policy.ttl_ms,
            "ttl_action": variant(policy.ttl_action),
            "ufs_mtime": policy.ufs_mtime,
            "state": variant(policy.state),
        },
        "mode": status.mode,
        "owner": status.owner,
        "group": status.group,
        "nlink": status.nlink,
        "target": status.target,
    }


def block_value(block: StoredBlock, workers: WorkerMap) -> dict[str, Any]:
    """A block and the registered workers that hold it. Unlike readers, who are refused, a page
    shows a block that nobody has: without addresses."""
    found = [workers.get(location.worker_id) for location in block.locations]
    return {
        "block": {
            "id": block.id,
            "len": block.len,
            "storage_type": variant(block.storage_type),
            "file_type": variant(block.file_type),
            "alloc_opts": _alloc_value(block.alloc_opts),
        },
        "locs": [_address_value(info.address) for info in found if info is not None],
        "has_spdk": any(
            location.storage_type is StorageType.SPDK_DISK for location in block.locations
        ),
    }


def worker_value(info: WorkerInfo, decommission: object | None) -> dict[str, Any]:
    """A worker object; ``decommission`` (ours) says how far that is."""
    value = {
        "address": _address_value(info.address),
        "weight": info.weight,
        "software_version": info.software_version,
        "startup_time_ms": info.startup_time_ms,
        "capacity": info.capacity,
        "available": info.available,
        "fs_used": info.fs_used,
        "non_fs_used": info.non_fs_used,
        "reserved_bytes": info.reserved_bytes,
        "last_update": info.last_update,
        "block_num": block_count(info.storages),
        "storage_map": {row.storage_id: _storage_value(row) for row in info.storages},
        "status": variant(info.status),
        "worker_session_id": info.session_id,
        "transfer_capabilities": dict.fromkeys(_TRANSFER, False),
        "component_info": msgspec.to_builtins(info.component),
    }
    if decommission is not None:
        value["decommission"] = msgspec.to_builtins(decommission)
    return value


def worker_line(info: WorkerInfo) -> str:
    """``id,host:port,Status``."""
    address = info.address
    return f"{address.worker_id},{address.hostname}:{address.rpc_port},{variant(info.status)}"


def _alloc_value(opts: AllocOpts | None) -> dict[str, Any] | None:
    if opts is None:
        return None
    return {"truncate": opts.truncate, "off": opts.off, "len": opts.len, "mode": opts.mode}


def _address_value(address: WorkerAddress) -> dict[str, Any]:
    return {
        "worker_id": address.worker_id,
        "hostname": address.hostname,
        "ip_addr": address.ip_addr,
        "rpc_port": address.rpc_port,
        "web_port": address.web_port,
    }


def _storage_value(row: StorageInfo) -> dict[str, Any]:
    return {
        "dir_id": row.dir_id,
        "storage_id": row.storage_id,
        "failed": row.failed,
        "capacity": row.capacity,
        "fs_used": row.fs_used,
        "non_fs_used": row.non_fs_used,
        "available": row.available,
        "reserved_bytes": row.reserved_bytes,
        "storage_type": variant(row.storage_type),
        "block_num": row.block_num,
        "dir_path": row.dir_path,
    }
