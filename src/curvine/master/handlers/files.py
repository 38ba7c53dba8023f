# SPDX-License-Identifier: Apache-2.0
"""Files: create, open, complete, resize, locks, and the batches of the first two (5.6, 5.9, 5.13).

In a batch each item has a request id of its own: the batch's plus its index (1.3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from curvine.errors import CurvineError
from curvine.master.placement import NoWorker
from curvine.master.services import Services
from curvine.master.status_bytes import first_field, status_field
from curvine.metadata.answers import StoredFile
from curvine.metadata.records import Inode
from curvine.model.inode import ACCESS_MASK, FileStatus
from curvine.wire.convert import (
    fill_lock,
    read_alloc,
    read_commits,
    read_create_opts,
    read_lock,
    read_set_attr,
)
from curvine.wire.pb import master_pb2


def first_workers(
    master: Services, request: master_pb2.CreateFileRequest | master_pb2.OpenFileRequest
) -> Callable[[FileStatus], Sequence[int]]:
    """Chooses workers for a new file's block; nobody, where none is to be had: files may be made
    while there are no workers."""

    def choose(status: FileStatus) -> Sequence[int]:
        try:
            return master.placement.choose(
                status.block_size,
                status.replicas,
                request.first_block_for.hostname,
                tuple(request.exclude_workers),
                status.storage_policy.storage_type,
            )
        except NoWorker:
            return ()

    return choose


def item_id(req_id: int, index: int) -> int:
    """The request id of an item in a batch: an i64 that wraps around."""
    return ((req_id + index + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def create(master: Services, request: master_pb2.CreateFileRequest, req_id: int) -> bytes:
    """Code 4."""
    if not request.HasField("first_block_for"):
        return status_field(_create(master, request, req_id), request.path)
    file = master.namespace.create_with_block(
        request.path, read_create_opts(request.opts), request.flags,
        first_workers(master, request), req_id=req_id,
    )  # fmt: skip
    out = master_pb2.CreateFileResponse()
    _fill_first(master, out, file)
    return status_field(file.inode, file.path) + out.SerializePartialToString()


def _fill_first(
    master: Services,
    out: master_pb2.CreateFileResponse | master_pb2.OpenFileResponse,
    file: StoredFile,
) -> None:
    """The first block for its writer, as long as nobody has written it."""
    if len(file.blocks) == 1:
        block = file.blocks[0]
        if block.preassigned and not block.locations and not block.len:
            master.locator.fill_target(out.first_block, block)


def create_batch(
    master: Services, request: master_pb2.CreateFilesBatchRequest, req_id: int
) -> bytes:
    """Code 23: in order, stops at the first error; what came before it stays."""
    return b"".join(
        status_field(_create(master, item, item_id(req_id, index)), item.path)
        for index, item in enumerate(request.requests)
    )


def _create(master: Services, request: master_pb2.CreateFileRequest, req_id: int) -> Inode:
    return master.namespace.created(
        request.path, read_create_opts(request.opts), request.flags, req_id=req_id
    )


def open_file(master: Services, request: master_pb2.OpenFileRequest, req_id: int) -> bytes:
    """Code 5: for reading the same as the block locations."""
    if request.flags & ACCESS_MASK:
        wanted = request.HasField("first_block_for")
        file = master.namespace.open_write(
            request.path, read_create_opts(request.opts), request.flags,
            first=first_workers(master, request) if wanted else None, req_id=req_id,
        )  # fmt: skip
    else:
        file = master.namespace.file_blocks(request.path)
        master.eviction.used(file.inode.id)
    blocks = first_field(master.locator.file_blocks(file))
    if not request.HasField("first_block_for"):
        return blocks
    out = master_pb2.OpenFileResponse()
    _fill_first(master, out, file)
    return blocks + out.SerializePartialToString()


def complete(
    master: Services, request: master_pb2.CompleteFileRequest, req_id: int
) -> bytes | Awaitable[bytes]:
    """Code 12. With our ``sync`` the answer waits for the log to be on the medium."""
    file = _complete(master, request, req_id)
    out = master_pb2.CompleteFileResponse(result=True)
    if request.only_flush and request.return_file_blocks:
        out.file_blocks.MergeFromString(master.locator.file_blocks(file))
    header = out.SerializeToString()
    return _on_medium(master, header) if request.sync else header


def complete_batch(
    master: Services, request: master_pb2.CompleteFilesBatchRequest, req_id: int
) -> bytes | Awaitable[bytes]:
    """Code 25: never an error, one result an item."""
    out = master_pb2.CompleteFilesBatchResponse()
    for index, item in enumerate(request.requests):
        try:
            _complete(master, item, item_id(req_id, index))
        except CurvineError:
            out.results.append(False)
        else:
            out.results.append(True)
    header = out.SerializeToString()
    durable = any(item.sync for item in request.requests)
    return _on_medium(master, header) if durable else header


def _complete(master: Services, request: master_pb2.CompleteFileRequest, req_id: int) -> StoredFile:
    commits = read_commits(request.commit_blocks)
    master.committed(commits)
    file = master.namespace.complete(
        request.path,
        inode_id=request.inode_id,
        length=request.len,
        client_name=request.client_name,
        commits=commits,
        only_flush=request.only_flush,
        set_attr=read_set_attr(request.set_attr_opts)
        if request.HasField("set_attr_opts")
        else None,
        drop_unused=request.drop_unused,
        req_id=req_id,
    )
    master.eviction.used(file.inode.id)
    if not request.only_flush:
        master.replication.closed(file.inode.id)
    return file


async def _on_medium(master: Services, header: bytes) -> bytes:
    await master.namespace.sync()
    return header


def resize(master: Services, request: master_pb2.FileResizeRequest, req_id: int) -> bytes:
    """Code 18: truncate and fallocate."""
    available = sum(info.available for info in master.workers.registered)
    file = master.namespace.resize(
        request.path, read_alloc(request.opts), available=available, req_id=req_id
    )
    out = master_pb2.FileResizeResponse()
    out.file_blocks.MergeFromString(master.locator.file_blocks(file))
    return out.SerializeToString()


def get_lock(master: Services, request: master_pb2.GetLockRequest, _req_id: int) -> bytes:
    """Code 20: the lock that is in the way, if any."""
    conflict = master.namespace.get_lock(request.path, read_lock(request.lock))
    out = master_pb2.GetLockResponse()
    if conflict is not None:
        fill_lock(out.conflict, conflict)
    return out.SerializeToString()


def set_lock(master: Services, request: master_pb2.SetLockRequest, req_id: int) -> bytes:
    """Code 21: a conflict is an answer, not an error."""
    conflict = master.namespace.set_lock(request.path, read_lock(request.lock), req_id=req_id)
    out = master_pb2.SetLockResponse()
    if conflict is not None:
        fill_lock(out.conflict, conflict)
    return out.SerializeToString()
