# SPDX-License-Identifier: Apache-2.0
"""Another worker in place of one that was lost while a block was written.

The block has been published by the replicas that are left; it is copied from them to a worker that
the master names (code 44), so the commit that follows has as many replicas as the file asks for. A
block above ``COPY_LIMIT`` is left to the master, which copies between workers. Failing here loses
nothing: the block is committed with what there is. Sizes are bytes.
"""

from __future__ import annotations

import logging

import msgspec

from curvine.client.block_reader import BlockReader
from curvine.client.block_session import worker_name
from curvine.client.block_writer import BlockWriter
from curvine.client.namespace import Namespace
from curvine.client.streams import Streams
from curvine.errors import CurvineError
from curvine.model.block import CommitBlock, LocatedBlock
from curvine.model.worker import WorkerAddress

log = logging.getLogger(__name__)

COPY_LIMIT = 256 << 20
_PIECE = 4 << 20


async def replace_lost(
    streams: Streams,
    ns: Namespace,
    before: LocatedBlock,
    commit: CommitBlock,
    workers: tuple[WorkerAddress, ...],
    *,
    capacity: int,
    sync: bool,
) -> tuple[CommitBlock, tuple[WorkerAddress, ...]]:
    """``commit`` and ``workers`` with replacements for those of ``before.locs`` that are gone."""
    missing = len(before.locs) - len(workers)
    if missing <= 0 or commit.block_len > COPY_LIMIT or not streams.forgets_stale:
        return commit, workers
    block = msgspec.structs.replace(before.block, len=commit.block_len, alloc_opts=None)
    avoid = {worker.worker_id for worker in before.locs} | set(streams.health.suspects())
    source = LocatedBlock(block, workers)
    for _ in range(missing):
        try:
            worker = await ns.replacement_worker(block.id, sorted(avoid))
            avoid.add(worker.worker_id)
            copied = await _copy(streams, source, worker, capacity, sync)
        except CurvineError as error:
            log.warning("block %d stays with %d replicas: %s", block.id, len(workers), error)
            break
        log.info("block %d: %s takes a lost worker's place", block.id, worker_name(worker))
        commit = msgspec.structs.replace(commit, locations=(*commit.locations, *copied.locations))
        workers = (*workers, worker)
    return commit, workers


async def _copy(
    streams: Streams, source: LocatedBlock, worker: WorkerAddress, capacity: int, sync: bool
) -> CommitBlock:
    length = source.block.len
    empty = LocatedBlock(msgspec.structs.replace(source.block, len=0), (worker,))
    writer = await BlockWriter.open(streams, empty, offset=0, capacity=capacity)
    reader = BlockReader(streams, source, _PIECE)
    try:
        for offset in range(0, length, _PIECE):
            data = await reader.read(offset, min(_PIECE, length - offset))
            writer.begin(offset, len(data))
            await writer.write(offset, data)
        return await writer.finish(sync)
    except BaseException:
        await writer.abort()
        raise
    finally:
        await reader.close()
