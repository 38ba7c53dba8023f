# SPDX-License-Identifier: Apache-2.0
"""The worker's blocks: open for reading and writing, publish, cancel, delete, scan, report.

Rules: data-plane specification 2.3 to 2.6 and 3.5. Error classes are those the wire tells apart
(0.2): BlockNotFound for an absent block, IoFailed for the disk, Common for values that do not fit,
DiskOutOfSpace where a write finds no room in any directory. Only the loop thread may call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic, time_ns

from curvine.errors import BlockNotFound, Common, CurvineError, IoFailed
from curvine.model.block import AllocOpts
from curvine.model.inode import StorageType
from curvine.worker.blocks import OpenBlock, Published, State
from curvine.worker.index import BlockIndex
from curvine.worker.inventory import take_inventory
from curvine.worker.iopool import IoPool
from curvine.worker.layout import remove
from curvine.worker.openblocks import OpenBlocks
from curvine.worker.staging import Mode, Staging
from curvine.worker.tiers import StorageDir, Tiers

_log = logging.getLogger(__name__)


class BlockStore(OpenBlocks):
    """All blocks of one worker. ``on_damaged`` is told which block was lost, and how."""

    def __init__(
        self, tiers: Tiers, io: IoPool, *, checksums: bool = True, patience: float = 1.0
    ) -> None:
        super().__init__(tiers, io, checksums=checksums, patience=patience)
        self.on_damaged: Callable[[int, str], None] = lambda _block, _reason: None
        self._leaving: set[asyncio.Task[None]] = set()

    def load(self) -> None:
        """Take in what the directories hold (blocks; call before serving)."""
        self.index = BlockIndex(*take_inventory(self.tiers, summed=self.trust.enabled))
        for where in self.tiers.dirs:
            for block, _, path in where.layout.aside():
                if block not in self.index.published:
                    self.index.set_aside[block] = path
        self.trust.index = self.index
        self.trust.on_bad = self.set_aside

    # --- writing --------------------------------------------------------------------------------

    async def begin(
        self,
        block: int,
        storage_type: StorageType,
        capacity: int,
        alloc: AllocOpts | None,
        *,
        resume: bool = False,
    ) -> OpenBlock:
        """Open ``block`` for writing and attach the caller: create, go on with or rewrite it.

        What an earlier run of the worker left unfinished is gone on with only if ``resume`` says
        so."""
        open_block = self.index.open.get(block)
        fresh = open_block is None
        if open_block is None:
            open_block = self.index.open[block] = OpenBlock(block, storage_type, capacity)
        elif open_block.state is State.RECOVERING and not (resume and open_block.resumable):
            await self._give_up_leftover(open_block)
            return await self.begin(block, storage_type, capacity, alloc, resume=resume)
        open_block.capacity = max(capacity, open_block.capacity)
        open_block.users += 1
        try:
            async with open_block.lock:
                if not open_block.ended:
                    if block not in self.index.published or alloc is not None:
                        await self._prepare(open_block, alloc)
                    open_block.state = State.WRITING
                    return open_block
        except BaseException as error:
            self.detach(open_block)
            if fresh:
                await self._drop(open_block)
            if isinstance(error, OSError) and not isinstance(error, CurvineError):
                raise IoFailed(f"cannot open block {block}: {error.strerror}") from error
            raise
        # Finished by another session while we waited for the lock.
        return await self.begin(block, storage_type, capacity, alloc, resume=resume)

    async def _give_up_leftover(self, open_block: OpenBlock) -> None:
        if open_block.id not in self.index.published:
            raise _left_over(open_block.id)
        async with open_block.lock:
            if open_block.state is State.RECOVERING and not open_block.ended:
                await self._drop(open_block)

    async def _prepare(self, open_block: OpenBlock, alloc: AllocOpts | None) -> None:
        base = self.index.published.get(open_block.id)
        at, private = 0, True
        if alloc is not None and base is not None and alloc.truncate and alloc.len >= base.len:
            at, private = base.len, False
        held = await self._stage(open_block, at, private=private)
        if alloc is not None:
            await self.io.run(held.resize, alloc)

    def detach(self, open_block: OpenBlock) -> None:
        """A session is over. Nobody attached = no descriptor kept, no room promised.

        The block stays in writing state, a rewrite that wrote nothing too: a late Cancel would
        otherwise meet a published block, and remove it.
        """
        open_block.users -= 1
        held = open_block.staging
        if not open_block.users:
            open_block.idle_since = monotonic()
        if open_block.users or open_block.ended or held is None:
            return
        if held.lent:
            held.take_back()
        if not open_block.lock.locked():
            held.close()

    async def abandon(self, open_block: OpenBlock) -> None:
        """An Open failed half-way: give the generation up, unless another session works on it."""
        async with open_block.lock:
            if not open_block.ended and open_block.users <= 1:
                await self._drop(open_block)

    # --- ending a generation --------------------------------------------------------------------

    async def complete(self, block: int, length: int, capacity: int, *, sync: bool) -> None:
        """Publish ``block`` at ``length``. Repeating it with the same length does nothing."""
        open_block = self.index.open.get(block)
        recovering = open_block is not None and open_block.state is State.RECOVERING
        if recovering and block not in self.index.published:
            raise _left_over(block)
        if open_block is None or recovering:
            await self._complete_again(block, length, sync=sync)
            return
        async with open_block.lock:
            if not open_block.ended:
                if length > capacity:
                    await self._drop(open_block)
                    raise Common(f"block {block}: length {length} is over its size {capacity}")
                await self._publish(open_block, length, sync=sync)
                return
        await self._complete_again(block, length, sync=sync)

    async def sync_published(self, block: int) -> None:
        """What readers see of ``block`` is on the medium; who writes it is not disturbed."""
        generation = self.index.published.get(block)
        if generation is not None:
            await self._generations.sync(block, generation)
        elif block not in self.index.open:
            raise BlockNotFound(f"block {block} is not on this worker")

    async def _complete_again(self, block: int, length: int, *, sync: bool) -> None:
        generation = self.index.published.get(block)
        if generation is None:
            raise BlockNotFound(f"block {block} is not on this worker")
        if generation.len != length:
            raise Common(f"block {block} is published with {generation.len} bytes, not {length}")
        if sync:
            await self._generations.sync(block, generation)

    async def _publish(self, open_block: OpenBlock, length: int, *, sync: bool) -> None:
        block = open_block.id
        base = self.index.published.get(block)
        if open_block.staging is None and base is not None and length > base.len:
            await self._stage(open_block, base.len)
        held = open_block.staging
        if held is None:
            await self._complete_again(block, length, sync=sync)
            self._forget(open_block)
            return
        size = held.settle()
        if size > length or (base is None and size != length):
            raise Common(f"block {block} has {size} bytes, not {length}")
        open_block.state = State.FINALIZING
        try:
            generation = await self._generations.publish(block, held, base, length, sync=sync)
        finally:
            open_block.state = State.WRITING
        if held.mode is not Mode.APPEND:
            self.trust.forget(block)
        elif base is not self.index.published.get(block):  # found damaged meanwhile
            generation.dir.release(generation.used)
            held.counted = 0
            raise IoFailed(f"block {block} is damaged: {self.index.set_aside.get(block)}")
        self.index.published[block] = generation
        self.index.set_aside.pop(block, None)
        if generation.unsummed is not None:
            self.trust.owe(block, generation, generation.unsummed)
        self._forget(open_block)

    async def cancel(self, block: int) -> None:
        """Give up the unpublished generation; without one, remove the block (as upstream does)."""
        open_block = self.index.open.get(block)
        if open_block is None:
            await self.delete(block)
            return
        async with open_block.lock:
            if not open_block.ended:
                await self._drop(open_block)

    async def give_up(self, open_block: OpenBlock) -> None:
        """Drop an unpublished generation, if no session is attached to it."""
        async with open_block.lock:
            if not open_block.ended and not open_block.users:
                await self._drop(open_block)

    async def delete(self, block: int) -> int:
        """Remove every generation; returns the length it had, 0 when the block was not here."""
        length = 0
        open_block = self.index.open.get(block)
        if open_block is not None:
            async with open_block.lock:
                if not open_block.ended:
                    length = open_block.staging.size if open_block.staging else 0
                    await self._drop(open_block)
        generation = self.index.published.pop(block, None)
        self.index.set_aside.pop(block, None)
        self.trust.forget(block)
        if generation is not None:
            length = generation.len
            path = generation.dir.layout.active_path(block)
            try:
                await self.io.run(remove, path)
            except OSError as error:
                self.index.published[block] = generation
                raise IoFailed(f"cannot remove block {block}: {error.strerror}") from error
            generation.dir.release(generation.used)
        return length

    async def set_aside(self, block: int, generation: Published, reason: str) -> None:
        """The bytes of a published block are not those that were written: move its file away, so
        that nobody is served from it, and have the master know."""
        if self.index.published.get(block) is not generation:
            return
        del self.index.published[block]
        self.trust.forget(block)
        self.stats.corrupt_blocks += 1
        generation.dir.suspect()
        layout = generation.dir.layout
        self.index.set_aside[block] = layout.active_path(block)
        open_block = self.index.open.get(block)
        held = open_block.staging if open_block is not None else None
        if open_block is not None and (held is None or held.mode is Mode.APPEND):
            open_block.ended = True  # what would be written on to is gone
            leaving = asyncio.get_running_loop().create_task(self._leave(open_block, held))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        try:
            path = await self.io.run(layout.set_aside, block, time_ns() // 1_000_000)
            self.index.set_aside[block] = path
        except OSError as error:  # it is found again by a check at the next start
            path = f"{layout.active_path(block)} ({error.strerror})"
        generation.dir.release(generation.used)
        _log.error("block %d is damaged and set aside as %s: %s", block, path, reason)
        self.on_damaged(block, reason)

    def lose_directory(self, where: StorageDir) -> int:
        """A directory failed: nothing in it is served any more, and the master knows. Blocks."""
        lost = [block for block, kept in self.index.published.items() if kept.dir is where]
        for block in lost:
            generation = self.index.published.pop(block)
            self.trust.forget(block)
            self.index.set_aside[block] = where.layout.active_path(block)
            where.used -= generation.used
            self.on_damaged(block, f"its directory {where.layout.data_dir} failed")
        return len(lost)

    async def _leave(self, open_block: OpenBlock, held: Staging | None) -> None:
        """Give up what is being appended to a bad file, without touching the file."""
        async with open_block.lock:  # whoever found out may hold it
            self._forget(open_block)
            if held is not None:
                held.leave()

    async def _drop(self, open_block: OpenBlock) -> None:
        held = open_block.staging
        self._forget(open_block)
        if held is not None:
            try:
                await self.io.maybe_inline(held.dir, held.discard)
            except OSError as error:
                raise IoFailed(f"cannot drop block {open_block.id}: {error.strerror}") from error

    def _forget(self, open_block: OpenBlock) -> None:
        open_block.ended = True
        open_block.staging = None
        if self.index.open.get(open_block.id) is open_block:
            del self.index.open[open_block.id]

    def close(self) -> None:
        """Let go of every descriptor."""
        for open_block in self.index.open.values():
            if open_block.staging is not None:
                open_block.staging.close()


def _left_over(block: int) -> Common:
    return Common(f"block {block} was left unfinished by an earlier run of this worker")
