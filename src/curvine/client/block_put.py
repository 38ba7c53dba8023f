# SPDX-License-Identifier: Apache-2.0
"""A small block written, or read, in one round trip: Open, data and Complete leave together.

Workers answer the frames of a connection in their order, and Complete names the exact length, so a
frame before it that fails makes it fail as well (data-plane specification 2.3). Sizes are bytes.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from curvine.client.block_messages import (
    ON,
    read_complete,
    read_request,
    write_answer,
    write_request,
)
from curvine.client.block_session import READ, WRITE, worker_name
from curvine.client.local_file import Buffer, Data
from curvine.client.streams import Streams
from curvine.errors import CurvineError, IoFailed
from curvine.model.block import BlockLocation, CommitBlock, LocatedBlock
from curvine.model.inode import StorageType
from curvine.model.worker import WorkerAddress

log = logging.getLogger(__name__)

PUT_LIMIT = 1024 * 1024  # larger ones gain nothing, and would be sent twice where one fails
GET_LIMIT = 1024 * 1024


async def put_block(
    streams: Streams, located: LocatedBlock, data: Buffer, *, capacity: int, sync: bool
) -> tuple[CommitBlock, tuple[WorkerAddress, ...]] | None:
    """Write and publish a new block on its workers, at least on one; None: none of them has it."""
    block = msgspec.structs.replace(located.block, len=0)
    final = msgspec.structs.replace(block, len=len(data))
    opening = write_request(
        block,
        offset=0,
        capacity=capacity,
        client_name=streams.client_name,
        chunk_size=streams.conf.write_chunk_size,
        identity=streams.identity,
    )
    ending = write_request(
        final, offset=len(data), capacity=capacity, client_name=streams.client_name, sync=sync
    )
    results = await asyncio.gather(
        *(
            streams.exchange(worker, WRITE, opening, [(ON, data)], ending)
            for worker in located.locs
        ),
        return_exceptions=True,
    )
    locations: list[BlockLocation] = []
    workers: list[WorkerAddress] = []
    for worker, result in zip(located.locs, results, strict=True):
        if isinstance(result, CurvineError):
            log.warning("%s does not take block %d: %s", worker_name(worker), block.id, result)
        elif isinstance(result, BaseException):
            raise result
        else:
            kind = StorageType(write_answer(result[0].header).storage_type)
            locations.append(BlockLocation(worker.worker_id, kind))
            workers.append(worker)
    if not workers:
        return None
    return CommitBlock(block.id, len(data), tuple(locations)), tuple(workers)


async def get_block(streams: Streams, located: LocatedBlock, worker: WorkerAddress) -> Data:
    """The whole of a published block from one worker; at most GET_LIMIT bytes."""
    block = located.block
    opening = read_request(block, chunk_size=block.len, identity=streams.identity)
    replies = await streams.exchange(worker, READ, opening, [(ON, b"")], read_complete(block.id))
    data = replies[1].data
    if len(data) != block.len:
        raise IoFailed(f"{worker_name(worker)} sent {len(data)} bytes of block {block.id}")
    return data if isinstance(data, bytes) else memoryview(data)
