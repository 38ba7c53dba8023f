# SPDX-License-Identifier: Apache-2.0
"""Totals of the cluster, reported metrics, durability, change pushing (5.14, 5.19; decisions)."""

from __future__ import annotations

from collections.abc import Awaitable

from curvine import ANNOUNCED_VERSION
from curvine.errors import Common
from curvine.master.services import Services
from curvine.master.workers import block_count
from curvine.model.worker import ComponentInfo, FilesystemInfo, WorkerStatus
from curvine.rpc.server import ServerConnection
from curvine.wire.codes import (
    CAP_EXPECT,
    CAP_EXPECT_DELETE,
    CAP_LARGE_BLOCKS,
    CAP_LOADING,
    CAP_REFERENCES,
    CAP_SUMMARY,
    CAP_SYNC,
    CAP_WATCH,
    RequestStatus,
    request_status,
)
from curvine.wire.convert_cluster import encode_filesystem_info
from curvine.wire.frame import Frame
from curvine.wire.pb import ext_pb2, master_pb2

IDENTITY = ComponentInfo(
    component="master",
    release_version=ANNOUNCED_VERSION,
    capabilities=(
        CAP_EXPECT,
        CAP_EXPECT_DELETE,
        CAP_WATCH,
        CAP_SYNC,
        CAP_LARGE_BLOCKS,
        CAP_REFERENCES,
        CAP_SUMMARY,
        CAP_LOADING,
    ),
)


def filesystem_info(
    master: Services, _request: master_pb2.GetFilesystemInfoRequest, _req_id: int
) -> bytes:
    """Code 14: sums over registered workers of any status, allocatable ones over Live workers."""
    workers = master.workers
    registered, live = workers.registered, workers.live
    dirs, files = master.namespace.counts()
    return encode_filesystem_info(
        FilesystemInfo(
            active_master=master.address,
            journal_nodes=_journal_nodes(master),
            inode_dir_num=dirs,
            inode_file_num=files,
            block_num=sum(block_count(info.storages) for info in registered),
            capacity=sum(info.capacity for info in registered),
            available=sum(info.available for info in registered),
            fs_used=sum(info.fs_used for info in registered),
            non_fs_used=sum(info.non_fs_used for info in registered),
            reserved_bytes=sum(info.reserved_bytes for info in registered),
            live_workers=live,
            blacklist_workers=workers.having(WorkerStatus.BLACKLIST),
            decommission_workers=workers.having(WorkerStatus.DECOMMISSION),
            lost_workers=workers.having(WorkerStatus.LOST),
            allocatable_capacity=sum(info.capacity for info in live),
            allocatable_available=sum(info.available for info in live),
            server=IDENTITY,
        )
    )


def _journal_nodes(master: Services) -> tuple[str, ...]:
    journal = master.conf.journal
    if not journal.journal_addrs:
        return (f"1,{journal.hostname}:{journal.rpc_port}",)
    return tuple(f"{node.id},{node.hostname}:{node.port}" for node in journal.journal_addrs)


def metrics_report(
    master: Services, request: master_pb2.MetricsReportRequest, _req_id: int
) -> bytes:
    """Code 60: increments that clients counted."""
    for metric in request.metrics:
        master.metrics.report(metric.name, dict(metric.tags), metric.value)
    return b""


def sync_metadata(
    master: Services, _request: ext_pb2.SyncMetadataRequest, _req_id: int
) -> Awaitable[bytes]:
    """Code 101 (ours): everything acknowledged so far is on the medium when the answer comes."""
    return _sync(master)


async def _sync(master: Services) -> bytes:
    epoch = master.namespace.epoch
    await master.namespace.sync()
    return ext_pb2.SyncMetadataResponse(epoch=epoch).SerializeToString()


def watch(
    master: Services,
    request: ext_pb2.WatchRequest,
    connection: ServerConnection,
    frame: Frame,
) -> bytes:
    """Code 100 (ours), streaming Open: changes below the prefixes are pushed from now on.

    With an epoch that is still remembered, what changed since follows the answer at once. A
    Running frame with a request id of its own asks for the epoch: every change up to it was pushed
    on this connection before the answer.
    """
    status = request_status(frame.status)
    namespace = master.namespace
    if status is RequestStatus.RUNNING:
        master.watch.push_now()
        return ext_pb2.WatchOpenResponse(
            epoch=namespace.epoch, reset=master.watch.is_behind(connection)
        ).SerializeToString()
    if status is not RequestStatus.OPEN:
        raise Common("Watch is a stream: it begins with an Open frame and ends with its connection")
    missed = namespace.changes_since(request.epoch) if request.HasField("epoch") else []
    sender = master.watch.new_sender() if request.skip_own else 0
    stop = master.watch.add(connection, frame.req_id, tuple(request.prefixes), missed or (), sender)
    connection.on_close(stop)
    connection.exempt_from_idle = True
    answer = ext_pb2.WatchOpenResponse(epoch=namespace.epoch, reset=missed is None)
    if sender:
        answer.sender = sender
    return answer.SerializeToString()
