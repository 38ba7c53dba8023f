# SPDX-License-Identifier: Apache-2.0
"""Heartbeats and block reports of workers (control-plane specification 6).

A deletion is commanded in every reply until the worker confirms it; the sets are part of the
metadata store, so they survive the master.
"""

from __future__ import annotations

from collections.abc import Iterable

from curvine.master.services import Services
from curvine.model.inode import StorageType
from curvine.model.worker import HeartbeatStatus, WorkerStatus
from curvine.wire.convert_cluster import read_heartbeat
from curvine.wire.pb import master_pb2, replication_pb2, worker_pb2

MAX_COMMANDED = 10_000  # deletions in one reply; the rest follows once these are confirmed


def heartbeat(master: Services, request: worker_pb2.WorkerHeartbeatRequest, _req_id: int) -> bytes:
    """Code 40. Only a Running beat is answered with commands."""
    beat = read_heartbeat(request)
    worker_id = beat.address.worker_id
    was_live = _is_live(master, worker_id)
    master.workers.beat(beat)
    if not was_live and _is_live(master, worker_id):
        master.replication.worker_came()
    if beat.status is HeartbeatStatus.RUNNING:
        master.reports.beat(worker_id)
        out = worker_pb2.WorkerHeartbeatResponse()
        _command(out.cmds, master.namespace.pending_deletes(worker_id, MAX_COMMANDED))
        return out.SerializeToString()
    if beat.status is HeartbeatStatus.START:
        master.reports.forget(worker_id)
        master.reports.beat(worker_id)
        master.namespace.full_report_begin(worker_id)
    else:
        master.reports.leave(worker_id)
    master.jobs.worker_gone(worker_id)
    master.replication.worker_gone(worker_id)
    return b""


def block_report(
    master: Services, request: worker_pb2.BlockReportListRequest, _req_id: int
) -> bytes:
    """Code 41, full and incremental. The reply commands what has no file any more."""
    worker_id = request.worker_id
    added, removed = [], []
    for row in request.blocks:
        if row.status == worker_pb2.BLOCK_REPORT_STATUS_PROTO_DELETED:
            removed.append(row.id)
        else:
            added.append((row.id, row.block_size, StorageType(row.storage_type)))
    full = request.full_report
    back: list[int] = []
    orphans = master.namespace.block_report(worker_id, added, removed, full=full, taken_back=back)
    master.replication.look_at(back)
    if full:
        ids = master.reports.add(worker_id, request.total_len, [row[0] for row in added])
        if ids is not None:
            master.chores.finish_report(worker_id, ids)
    elif added:
        master.reports.forget(worker_id)
    out = worker_pb2.BlockReportListResponse()
    expected = master.replication.expects
    _command(out.cmds, [block for block in orphans if not expected(worker_id, block)])
    return out.SerializeToString()


def replication_result(
    master: Services, request: replication_pb2.ReportBlockReplicationRequest, _req_id: int
) -> bytes:
    """Code 43: how a copy ended. An unknown block is a success too."""
    out = replication_pb2.ReportBlockReplicationResponse(success=True)
    out.message = master.replication.report(request)
    return out.SerializeToString()


def under_replicated(
    master: Services, request: master_pb2.ReportUnderReplicatedBlocksRequest, _req_id: int
) -> bytes:
    """Code 45, which real masters do not answer: look at these blocks. With our ``damaged_on``,
    that worker's replicas of them cannot be read."""
    if request.HasField("damaged_on"):
        for block_id in request.block_ids:
            master.replication.damaged(block_id, request.damaged_on, "reported")
    master.replication.look_at(request.block_ids)
    return master_pb2.ReportUnderReplicatedBlocksResponse(success=True).SerializeToString()


def _is_live(master: Services, worker_id: int) -> bool:
    info = master.workers.get(worker_id)
    return info is not None and info.status is WorkerStatus.LIVE


def _command(cmds: object, blocks: Iterable[int]) -> None:
    ids = list(blocks)
    if ids:
        cmds.add().delete_block.blocks.extend(ids)  # type: ignore[attr-defined]  # repeated field
