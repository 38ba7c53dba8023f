# SPDX-License-Identifier: Apache-2.0
"""One slot of a file that is being written, and finding workers that take its block."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set

import msgspec

from curvine.client.block_writer import BlockWriter
from curvine.client.namespace import Namespace
from curvine.client.replacement import top_up
from curvine.client.streams import RETRY_PAUSE, Streams
from curvine.errors import ConnectionLost, CurvineError, NoAvailableWorker
from curvine.model.block import ExtendedBlock, LocatedBlock

_REPLACEMENTS = 2  # attempts to get other workers for a block that none took


class Slot(msgspec.Struct):
    """A block's place in the file. ``reported``: the master knows the block with this length.

    ``leftover``: workers may have bytes of it that were never answered, from an attempt that broke
    off: a block without length is begun anew then, where a worker would refuse to go on."""

    located: LocatedBlock
    length: int
    reported: bool
    leftover: bool = False


def mark_leftovers(slots: Sequence[Slot]) -> None:
    """Of the slots without length: a writer that died may have begun them."""
    for slot in slots:
        slot.leftover = not slot.length and slot.located.block.alloc_opts is None


def published(slots: Sequence[Slot], ids: Set[int]) -> list[LocatedBlock]:
    """The published blocks among those named."""
    return [as_known(slot) for slot in slots if slot.located.block.id in ids and slot.length]


async def open_writer(
    streams: Streams,
    ns: Namespace,
    path: str,
    slot: Slot,
    inner: int,
    capacity: int,
    *,
    replicas: int,
) -> BlockWriter:
    """Open the slot's block; a block without data moves to other workers where some of its own do
    not take it, one with data waits a while for a worker that went away."""
    located = as_known(slot)
    if slot.length and located.block.alloc_opts is None:
        return await BlockWriter.open_patiently(streams, located, offset=inner, capacity=capacity)
    exclude: list[int] = []
    empty = not slot.length and located.block.alloc_opts is None
    deadline = streams.now() + streams.patience
    while True:
        located = as_known(slot)
        anew = slot.leftover and empty  # beginning anew cuts off all that workers have
        try:
            writer = await BlockWriter.open(
                streams, located, offset=0 if anew else inner, capacity=capacity, resume=anew
            )
        except CurvineError as error:
            slot.leftover |= empty and isinstance(error, ConnectionLost)
            lost = isinstance(error, ConnectionLost) and streams.now() < deadline
            exclude += [worker.worker_id for worker in located.locs]
            if len(exclude) > _REPLACEMENTS * max(1, len(located.locs)) and not lost:
                raise
        else:
            slot.leftover = False
            if located.block.alloc_opts is None:
                await top_up(streams, ns, writer, located, replicas)
                slot.located = LocatedBlock(
                    slot.located.block, writer.workers, has_spdk=slot.located.has_spdk
                )
            return writer
        try:
            slot.located = await assign(ns, path, slot.located.block, exclude)
        except CurvineError:
            if not lost:
                raise
            exclude.clear()  # there is no other worker
            await asyncio.sleep(RETRY_PAUSE)


async def assign(
    ns: Namespace, path: str, block: ExtendedBlock, exclude: Sequence[int] = ()
) -> LocatedBlock:
    """Workers for a block that has none, or only some in ``exclude``."""
    answer = await ns.assign_worker(path, block, exclude=exclude)
    if not answer.locs:
        raise NoAvailableWorker(f"{path}: no worker for block {block.id}")
    return LocatedBlock(block, answer.locs, has_spdk=answer.has_spdk)


def as_known(slot: Slot) -> LocatedBlock:
    """The slot's block with the length that its workers have published."""
    block = slot.located.block
    if block.len == slot.length:
        return slot.located
    return LocatedBlock(
        msgspec.structs.replace(block, len=slot.length), slot.located.locs,
        has_spdk=slot.located.has_spdk,
    )  # fmt: skip
