# SPDX-License-Identifier: Apache-2.0
"""Another worker in place of one that was lost, before or while a block was written.

Where nothing was written yet, a worker that the master names (code 44) is written to like the
others. Later the block is published by the replicas that are left and copied from them, so the
commit that follows has as many replicas as the file asks for. A block above ``COPY_LIMIT`` is left
to the master, which copies between workers. Failing here loses nothing: the block is committed with
what there is. Sizes are bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec

from curvine.client.block_reader import BlockReader
from curvine.client.block_session import worker_name
from curvine.client.block_writer import BlockWriter
from curvine.client.namespace import Namespace
from curvine.client.streams import Streams
from curvine.errors import Common, CurvineError
from curvine.model.block import CommitBlock, LocatedBlock
from curvine.model.worker import WorkerAddress
from curvine.rpc.dialing import within

log = logging.getLogger(__name__)

COPY_LIMIT = 4 << 30
_PIECE = 4 << 20
_OPENING = 3.0  # s for a worker that takes a lost one's place


async def top_up(
    streams: Streams, ns: Namespace, writer: BlockWriter, located: LocatedBlock, replicas: int
) -> None:
    """Give an empty block that is open on too few workers others, as far as there are any.

    Too few are those that took it, or those that the master named when others had just failed."""
    health = streams.health
    wanted = replicas if writer.lost or health.doubtful else 0
    if len(writer.workers) >= wanted or not streams.forgets_stale:
        return
    writer.lost = 0  # or there is nobody else
    avoid = {worker.worker_id for worker in located.locs}
    suspects = health.suspects()
    while len(writer.workers) < wanted:
        try:
            worker = await _another(ns, writer.block_id, avoid, suspects)
        except CurvineError as error:
            log.info("block %d has %d workers: %s", writer.block_id, len(writer.workers), error)
            return
        avoid.add(worker.worker_id)
        try:
            await within(writer.add(worker), _OPENING)
        except (CurvineError, TimeoutError) as error:
            log.info("%s takes no block %d: %s", worker_name(worker), writer.block_id, error)


async def replace_lost(
    streams: Streams,
    ns: Namespace,
    before: LocatedBlock,
    commit: CommitBlock,
    workers: tuple[WorkerAddress, ...],
    missing: int,
    *,
    capacity: int,
    sync: bool,
) -> tuple[CommitBlock, tuple[WorkerAddress, ...]]:
    """``commit`` and ``workers`` with ``missing`` more, for those of ``before.locs`` that are gone.

    Who failed lately is asked only where there is nobody else: it may be back."""
    if commit.block_len > COPY_LIMIT or not streams.forgets_stale:
        return commit, workers
    block = msgspec.structs.replace(before.block, len=commit.block_len, alloc_opts=None)
    avoid = {worker.worker_id for worker in before.locs}
    suspects = streams.health.suspects()
    source = LocatedBlock(block, workers)
    wanted = len(workers) + missing
    for _ in range(missing + len(suspects)):
        if len(workers) >= wanted:
            break
        try:
            worker = await _another(ns, block.id, avoid, suspects)
        except CurvineError as error:
            log.warning("block %d stays with %d replicas: %s", block.id, len(workers), error)
            break
        avoid.add(worker.worker_id)
        try:
            copied = await _copy(streams, source, worker, capacity, sync)
        except CurvineError as error:
            log.info("%s takes no copy of block %d: %s", worker_name(worker), block.id, error)
            continue
        log.info("block %d: %s takes a lost worker's place", block.id, worker_name(worker))
        commit = msgspec.structs.replace(commit, locations=(*commit.locations, *copied.locations))
        workers = (*workers, worker)
    return commit, workers


async def _another(
    ns: Namespace, block_id: int, avoid: Collection[int], suspects: Collection[int]
) -> WorkerAddress:
    if suspects:
        try:
            return await ns.replacement_worker(block_id, sorted({*avoid, *suspects}))
        except Common:
            pass  # nobody else
    return await ns.replacement_worker(block_id, sorted(avoid))


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
