# SPDX-License-Identifier: Apache-2.0
"""Blocks: add, assign workers, locate (control-plane specification 5.9).

Right after a start of the master its workers are known but have not beaten yet. A writer is then
not refused: its call waits for the first of them, :data:`SETTLE_SECONDS` at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from curvine.errors import Common
from curvine.master.handlers.files import item_id
from curvine.master.placement import NoWorker
from curvine.master.services import Services
from curvine.master.status_bytes import first_field
from curvine.metadata.values import StoredBlock
from curvine.model.inode import FileStatus
from curvine.wire.convert import read_commits
from curvine.wire.pb import common_pb2, master_pb2

SETTLE_SECONDS = 10.0

R = TypeVar("R")
WriterCall = Callable[[Services, R, int], bytes]


def add_block(
    master: Services, request: master_pb2.AddBlockRequest, req_id: int
) -> bytes | Awaitable[bytes]:
    """Code 11. The reply is a bare LocatedBlockProto, in every release."""
    return _with_workers(master, _add_block, request, req_id)


def _add_block(master: Services, request: master_pb2.AddBlockRequest, req_id: int) -> bytes:
    out = common_pb2.LocatedBlockProto()
    master.locator.fill_target(out, _added(master, request, req_id))
    return out.SerializeToString()


def add_blocks_batch(
    master: Services, request: master_pb2.AddBlocksBatchRequest, req_id: int
) -> bytes | Awaitable[bytes]:
    """Code 24: in order, stops at the first error; what came before it stays."""
    return _with_workers(master, _add_blocks_batch, request, req_id)


def _add_blocks_batch(
    master: Services, request: master_pb2.AddBlocksBatchRequest, req_id: int
) -> bytes:
    out = master_pb2.AddBlocksBatchResponse()
    for index, item in enumerate(request.requests):
        master.locator.fill_target(out.blocks.add(), _added(master, item, item_id(req_id, index)))
    return out.SerializeToString()


def _added(master: Services, request: master_pb2.AddBlockRequest, req_id: int) -> StoredBlock:
    commits = read_commits(request.commit_blocks)
    master.committed(commits)
    return master.namespace.add_block(
        request.path,
        inode_id=request.inode_id,
        commits=commits,
        file_len=request.file_len,
        last_block_id=request.last_block.id if request.HasField("last_block") else None,
        choose=_chooser(master, request.client_address, request.exclude_workers),
        req_id=req_id,
    )


def assign_worker(
    master: Services, request: master_pb2.AssignWorkerRequest, req_id: int
) -> bytes | Awaitable[bytes]:
    """Code 19."""
    return _with_workers(master, _assign_worker, request, req_id)


def _assign_worker(master: Services, request: master_pb2.AssignWorkerRequest, req_id: int) -> bytes:
    exclude = tuple(request.exclude_workers)
    choose = _chooser(master, request.client_address, exclude)
    block = master.namespace.assign_worker(
        request.path,
        request.block.id,
        choose(master.namespace.status(request.path)),
        exclude=exclude,
        req_id=req_id,
    )
    out = master_pb2.AssignWorkerResponse()
    master.locator.fill_target(out.block, block)
    return out.SerializeToString()


def replacement_worker(
    master: Services, request: master_pb2.RequestReplacementWorkerRequest, _req_id: int
) -> bytes:
    """Code 44, which real masters do not answer: a worker in place of one that was lost. Nothing is
    recorded; the commit that names the worker counts."""
    facts = master.namespace.block_facts(request.block_id)
    if facts is None:
        raise Common(f"No file has block {request.block_id}")
    (worker_id, *_) = master.placement.choose(
        facts.len, 1, "", (*request.exclude_workers, *facts.holders), facts.storage_type
    )
    out = master_pb2.RequestReplacementWorkerResponse()
    out.worker.CopyFrom(master.workers.addresses[worker_id])
    return out.SerializeToString()


def block_locations(
    master: Services, request: master_pb2.GetBlockLocationsRequest, _req_id: int
) -> bytes:
    """Code 13."""
    file = master.namespace.file_blocks(request.path)
    master.eviction.used(file.inode.id)
    return first_field(master.locator.file_blocks(file))


def _chooser(
    master: Services, client: common_pb2.ClientAddressProto, exclude: Collection[int]
) -> Callable[[FileStatus], Sequence[int]]:
    def choose(status: FileStatus) -> Sequence[int]:
        return master.placement.choose(
            status.block_size,
            status.replicas,
            client.hostname,
            tuple(exclude),
            status.storage_policy.storage_type,
        )

    return choose


def _with_workers(
    master: Services, call: WriterCall[R], request: R, req_id: int
) -> bytes | Awaitable[bytes]:
    try:
        return call(master, request, req_id)
    except NoWorker:
        if master.workers.live or not master.workers.registered:
            raise
    return _when_settled(master, call, request, req_id)


async def _when_settled(master: Services, call: WriterCall[R], request: R, req_id: int) -> bytes:
    await master.workers.arrival(SETTLE_SECONDS)
    return call(master, request, req_id)
