# SPDX-License-Identifier: Apache-2.0
"""Published blocks brought to the medium of every worker that has them (decision 7).

A Complete without a session that names the published length changes nothing (data-plane
specification 2.3); with our ``only_published`` it never does, whatever the length, and is answered
when the block is on the medium. A real Curvine cluster never syncs, so it is not asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from curvine.client.block_messages import write_request
from curvine.client.block_session import WRITE
from curvine.client.streams import RETRY_PAUSE, Streams
from curvine.errors import ConnectionLost, CurvineError, TimedOut
from curvine.model.block import ExtendedBlock, LocatedBlock
from curvine.model.worker import WorkerAddress

log = logging.getLogger(__name__)

_AT_ONCE = 16  # blocks under way


async def sync_blocks(streams: Streams, blocks: Iterable[LocatedBlock], capacity: int) -> None:
    """Return when all of them are durable, as far as the cluster can.

    A replica whose worker is away is done without as long as another one is durable; where all are
    away they are waited for, as a write waits. Any other error is raised."""
    if not streams.forgets_stale:
        return  # a real Curvine
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(block: ExtendedBlock, worker: WorkerAddress) -> None:
        header = write_request(
            msgspec.structs.replace(block, alloc_opts=None),
            offset=block.len,
            capacity=capacity,
            client_name=streams.client_name,
            sync=True,
            only_published=True,
        )
        async with slots:
            await streams.complete_again(worker, WRITE, header)

    async def all_of(located: LocatedBlock) -> None:
        deadline = streams.now() + streams.patience
        while True:
            results = await asyncio.gather(
                *(one(located.block, worker) for worker in located.locs), return_exceptions=True
            )
            errors = [result for result in results if result is not None]
            for error in errors:
                if not isinstance(error, ConnectionLost | TimedOut):
                    raise error
            if len(errors) < len(results):
                break
            if streams.now() > deadline:
                raise errors[0]
            await asyncio.sleep(RETRY_PAUSE)
        for worker, result in zip(located.locs, results, strict=True):
            if isinstance(result, CurvineError):
                streams.health.failed(worker, result)
                log.warning("block %d: %s", located.block.id, result)

    await asyncio.gather(*(all_of(located) for located in blocks if located.locs))
