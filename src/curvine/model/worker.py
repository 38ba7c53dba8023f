# SPDX-License-Identifier: Apache-2.0
"""Workers, their storage directories, clients, and the cluster's totals.

Source: control-plane specification 4.1, 5.14 and 6. Capacities are bytes.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from curvine.model.inode import StorageType


class HeartbeatStatus(IntEnum):
    """Phase of a worker's life that a heartbeat announces."""

    START = 0
    RUNNING = 1
    END = 2


class WorkerStatus(IntEnum):
    """What the master thinks of a worker."""

    LIVE = 0
    BLACKLIST = 1
    DECOMMISSION = 2
    LOST = 3


class WorkerAddress(msgspec.Struct, frozen=True, gc=False):
    """Where a worker is. Peers dial ``ip_addr:rpc_port``; workers may put a host name there."""

    worker_id: int
    hostname: str
    ip_addr: str
    rpc_port: int
    web_port: int = 0


class ClientAddress(msgspec.Struct, frozen=True, gc=False):
    """Who asks for blocks. ``client_name`` is a UUID per client process."""

    client_name: str
    hostname: str
    ip_addr: str = ""
    port: int = 0


class StorageInfo(msgspec.Struct, frozen=True, gc=False):
    """One storage directory of a worker."""

    dir_id: int
    storage_id: str
    capacity: int
    available: int
    fs_used: int
    non_fs_used: int
    storage_type: StorageType
    block_num: int
    dir_path: str
    reserved_bytes: int = 0
    failed: bool = False


class ComponentInfo(msgspec.Struct, frozen=True):
    """A peer's identity. Features are taken from ``capabilities``, never from versions."""

    component: str = ""
    release_version: str = ""
    git_commit: str = ""
    git_tag: str = ""
    git_branch: str = ""
    protocol_version: int = 1
    min_protocol_version: int = 1
    capabilities: tuple[str, ...] = ()


class WorkerInfo(msgspec.Struct, frozen=True):
    """A registered worker with the sums over its storages."""

    address: WorkerAddress
    capacity: int = 0
    available: int = 0
    fs_used: int = 0
    non_fs_used: int = 0
    reserved_bytes: int = 0
    last_update: int = 0
    storages: tuple[StorageInfo, ...] = ()
    weight: int = 1
    session_id: str = ""
    software_version: str = ""
    startup_time_ms: int = 0
    status: WorkerStatus = WorkerStatus.LIVE
    component: ComponentInfo | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    """What a worker tells the master every few seconds."""

    cluster_id: str
    address: WorkerAddress
    status: HeartbeatStatus
    started_ms: int
    storages: tuple[StorageInfo, ...] = ()
    weight: int = 1
    session_id: str = ""
    software_version: str = ""
    component: ComponentInfo | None = None


class FilesystemInfo(msgspec.Struct, frozen=True):
    """Totals of the cluster and its workers by status (5.14)."""

    active_master: str
    journal_nodes: tuple[str, ...]
    inode_dir_num: int
    inode_file_num: int
    block_num: int
    capacity: int
    available: int
    fs_used: int
    non_fs_used: int
    reserved_bytes: int
    live_workers: tuple[WorkerInfo, ...] = ()
    blacklist_workers: tuple[WorkerInfo, ...] = ()
    decommission_workers: tuple[WorkerInfo, ...] = ()
    lost_workers: tuple[WorkerInfo, ...] = ()
    allocatable_capacity: int | None = None
    allocatable_available: int | None = None
    server: ComponentInfo | None = None
