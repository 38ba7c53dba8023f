# SPDX-License-Identifier: Apache-2.0
"""Published blocks move between tiers: hot ones to a faster one, cold ones out of a full one.

Every ``worker.tier_interval``

- a directory that is filled above ``worker.tier_high_water`` gives its coldest blocks to slower
  tiers until it is below ``worker.tier_low_water``;
- a block that was opened often enough (``worker.tier_promote_opens``, see ``heat``) goes to the
  fastest tier that has room below the high-water mark, or where blocks of less than half its heat
  make room for it. Into memory only if ``worker.tier_promote_to_memory`` says so: what was synced
  to a disk would not survive a power failure there.

A move never loses a block and never counts it twice, wherever it is interrupted:

1. The target directory is charged; the bytes are copied to ``staging/move_<id>``, which a start
   removes, compared with the block's sums, and synced.
2. That file is renamed to its active place and becomes the block, in one step of the loop. Blocks
   that somebody writes to are not moved: they are looked at again in this step.
3. The target's directory is synced, and only then, a moment later, the old file removed and its
   room given back. Who has it open keeps it. A start that finds both files, which are the same,
   keeps one.

Loop thread only, except the jobs handed to threads. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import stat
from collections.abc import Callable

from curvine.clock import Clock
from curvine.errors import CurvineError
from curvine.model.inode import StorageType
from curvine.worker.blocks import Published
from curvine.worker.blockstore import BlockStore
from curvine.worker.heat import Heat
from curvine.worker.layout import bytes_used, remove
from curvine.worker.pace import Pace
from curvine.worker.staging import copy_range
from curvine.worker.sums import BLOCK_ATTRIBUTE, read_note
from curvine.worker.tiers import StorageDir
from curvine.worker.trust import differs

_log = logging.getLogger(__name__)

_BATCH = 64  # blocks taken out of a directory between two looks at it
_PIECE = 4 << 20
_COLDER = 0.5  # of its heat: what makes room for a hot block
# A client of another Curvine was told the old path and has not opened it yet.
_GRACE = 1.0
_AFTER_FAILURE = 300.0  # a block that could not be moved is left alone
_SPEED = {StorageType.MEM: 0, StorageType.SSD: 1, StorageType.HDD: 2, StorageType.DISK: 2}


class Moves:
    """See the module. ``on_moved`` is told which block lies on another medium now."""

    def __init__(
        self,
        store: BlockStore,
        heat: Heat,
        clock: Clock,
        *,
        interval: float,
        rate: int,
        promote_opens: float,
        high_water: float,
        low_water: float,
        to_memory: bool,
        on_moved: Callable[[int], None] = lambda _block: None,
    ) -> None:
        self._store = store
        self._heat = heat
        self._clock = clock
        self._interval = interval
        self._pace = Pace(rate, clock)
        self._promote_opens = promote_opens
        self._high = high_water
        self._low = min(low_water, high_water)
        self._to_memory = to_memory
        self.on_moved = on_moved
        self._left_alone: dict[int, float] = {}  # block -> until when
        # Blocks that have moved, whose old file goes in a moment.
        self._leaving: dict[int, tuple[asyncio.Task[None], Published]] = {}
        self.useful = len({_speed(where) for where in store.tiers.dirs}) > 1

    async def run(self) -> None:
        """Move blocks for ever; returns where there is only one tier."""
        try:
            while self.useful:
                await asyncio.sleep(self._interval)
                try:
                    await self.look()
                except (OSError, CurvineError) as error:
                    _log.warning("moving blocks between tiers: %s", error)
        finally:
            for task, _ in self._leaving.values():
                task.cancel()

    async def look(self) -> None:
        """One look at all directories and all hot blocks."""
        now = self._clock.monotonic()
        self._left_alone = {b: until for b, until in self._left_alone.items() if until > now}
        for where in self._store.tiers.dirs:
            if not where.failed and self._filled(where) > self._high * where.capacity:
                await self._relieve(where)
        hot = [
            (heat, block)
            for block, heat in self._heat.above(self._promote_opens)
            if block in self._store.index.published
        ]
        for heat, block in sorted(hot, reverse=True) if self._promote_opens else ():
            await self._promote(block, heat)

    # --- which ----------------------------------------------------------------------------------

    async def _relieve(self, where: StorageDir) -> None:
        """Give cold blocks to slower tiers until ``where`` is below the low-water mark."""
        wanted = self._low * where.capacity
        while self._filled(where) > wanted:
            moved = 0
            for block in await self._coldest(where):
                if self._filled(where) <= wanted:
                    break
                moved += await self._demote(block)
            if not moved:
                return  # nothing of it can go anywhere

    async def _coldest(self, where: StorageDir) -> list[int]:
        published = list(self._store.index.published.items())

        def find() -> list[int]:
            here = (block for block, known in published if known.dir is where)
            return heapq.nsmallest(_BATCH, (b for b in here if self._movable(b)), self._heat.of)

        return await self._store.io.run(find)

    async def _demote(self, block: int) -> bool:
        generation = self._store.index.published.get(block)
        if generation is None:
            return False
        slower = [d for d in self._usable() if _speed(d) > _speed(generation.dir)]
        for target in sorted(slower, key=lambda d: (_speed(d), -d.available)):
            # Below its own mark: else it would have to pass on at once what it gets.
            if self._has_room(target, generation.used) and await self._move(block, target):
                self._store.stats.demoted_blocks += 1
                return True
        return False

    async def _promote(self, block: int, heat: float) -> None:
        generation = self._store.index.published.get(block)
        if generation is None or not self._movable(block):
            return
        faster = [d for d in self._usable() if _speed(d) < _speed(generation.dir)]
        for target in sorted(faster, key=lambda d: (_speed(d), -d.available)):
            if target.storage_type is StorageType.MEM and not self._to_memory:
                continue
            room = self._has_room(target, generation.used) or await self._make_room(
                target, generation.used, heat * _COLDER
            )
            if room and await self._move(block, target):
                self._store.stats.promoted_blocks += 1
                return

    async def _make_room(self, target: StorageDir, size: int, colder: float) -> bool:
        """Move blocks that are colder than ``colder`` out of ``target``, if that gives the room."""
        if size > self._high * target.capacity:
            return False
        going, room = [], self._high * target.capacity - self._filled(target)
        for block in await self._coldest(target):
            generation = self._store.index.published.get(block)
            if room >= size or self._heat.of(block) >= colder:
                break
            if generation is not None:
                going.append(block)
                room += generation.used
        if room < size:
            return False
        for block in going:
            await self._demote(block)
        await asyncio.gather(*(task for task, _ in self._leaving.values()))
        return self._has_room(target, size)

    def _usable(self) -> list[StorageDir]:
        return [where for where in self._store.tiers.dirs if not where.failed]

    def _filled(self, where: StorageDir) -> int:
        """Bytes in a directory without those of files that go in a moment."""
        going = (old.used for _, old in self._leaving.values() if old.dir is where)
        return where.used - sum(going)

    def _has_room(self, target: StorageDir, size: int) -> bool:
        return (
            target.used + target.reserved + size <= self._high * target.capacity
            and target.available >= size
        )

    def _movable(self, block: int) -> bool:
        """Whether nobody writes to the block, and its sums are known."""
        generation = self._store.index.published.get(block)
        return (
            generation is not None
            and generation.unsummed is None
            and block not in self._store.index.open
            and block not in self._left_alone
            and block not in self._leaving
        )

    # --- how ------------------------------------------------------------------------------------

    async def _move(self, block: int, target: StorageDir) -> bool:
        """Move one block; False if that was not possible (the block stays where it is)."""
        store, index = self._store, self._store.index
        generation = index.published.get(block)
        if generation is None or not self._movable(block) or not target.charge(generation.used):
            return False
        charged, old = generation.used, generation.dir
        temporary = target.layout.moving_path(block)
        source = -1
        try:
            await store.trust.ensure(block)
            source = os.open(old.layout.active_path(block), os.O_RDONLY | os.O_CLOEXEC)
            used = await self._copy(source, temporary, generation.len)
            unchanged = index.published.get(block) is generation and self._movable(block)
            if not unchanged or target.failed:
                return False
            target.layout.install(temporary, block)
            stamp = os.stat(target.layout.active_path(block)).st_ctime_ns
            moved = Published(target, generation.len, used, False, stamp)
            index.published[block] = moved
            store.trust.forget(block)
            target.recount(charged, used)
            charged = 0
        except (OSError, CurvineError) as error:
            _log.warning("block %d stays in %s: %s", block, old.layout.data_dir, error)
            self._left_alone[block] = self._clock.monotonic() + _AFTER_FAILURE
            target.suspect()
            return False
        finally:
            target.release(charged)
            if source >= 0:
                os.close(source)
            remove(temporary)
        store.stats.moved_bytes += generation.len
        _log.info("block %d moved from %r to %r", block, old, target)
        leaving = asyncio.get_running_loop().create_task(self._leave(block, generation, target))
        self._leaving[block] = (leaving, generation)
        leaving.add_done_callback(lambda _: self._leaving.pop(block))
        self.on_moved(block)
        return True

    async def _copy(self, source: int, temporary: str, length: int) -> int:
        """Copy to ``temporary`` at the pace, compare and sync; the bytes it takes."""
        run = self._store.io.run
        remove(temporary)
        target = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            at = 0
            while at < length:
                begin, end = await run(_next_data, source, at, length)
                if begin < end:
                    await self._pace.pay(end - begin)
                    size = end - begin
                    if await run(copy_range, source, begin, target, begin, size) < size:
                        raise CurvineError(f"the file ends before byte {end}")
                at = end
            return await run(_finish_copy, source, target, length)
        finally:
            os.close(target)

    async def _leave(self, block: int, old: Published, target: StorageDir) -> None:
        """The block lies in ``target``: have that survive a power failure, then remove the old
        file. Where this fails, two files are left, which a start finds."""
        layout, index = old.dir.layout, self._store.index
        try:
            await self._store.io.run(target.layout.sync_entry, block)
            while True:
                await asyncio.sleep(_GRACE)
                if block not in index.open:  # about to be published in the old place, perhaps
                    break
            current = index.published.get(block)
            if current is None or current.dir is not old.dir:
                os.rename(layout.active_path(block), layout.moving_path(block))
                await self._store.io.run(remove, layout.moving_path(block))
        except FileNotFoundError:
            pass
        except OSError as error:
            old.dir.suspect()
            _log.warning("block %d is left over in %s: %s", block, layout.data_dir, error)
            return
        old.dir.release(old.used)


def _speed(where: StorageDir) -> int:
    return _SPEED.get(where.storage_type, max(_SPEED.values()))


def _next_data(fd: int, offset: int, length: int) -> tuple[int, int]:
    """The next bytes to copy from ``offset`` on, holes left out; at the end an empty range."""
    try:
        begin = os.lseek(fd, offset, os.SEEK_DATA)
        end = os.lseek(fd, begin, os.SEEK_HOLE)
    except OSError:  # ENXIO: only a hole follows
        return length, length
    return min(begin, length), min(end, begin + _PIECE, length)


def _finish_copy(source: int, target: int, length: int) -> int:
    """Give a copy what the file has besides its bytes, look at them, sync. OSError."""
    info = os.fstat(source)
    os.ftruncate(target, length)
    note = read_note(source)
    if note is not None:
        if note.length != length:
            raise OSError(f"its note says {note.length} bytes, not {length}")
        try:
            os.setxattr(target, BLOCK_ATTRIBUTE, note.encode())
        except OSError as error:
            _log.info("the sums of a moved block are not kept: %s", error.strerror)
        with memoryview(bytearray(1 << 20)) as buffer:
            for chunk in range(len(note.sums)):
                bad = differs(target, note, chunk, buffer)
                if bad:
                    raise OSError(f"the copy is bad: {bad}")
    os.fchmod(target, stat.S_IMODE(info.st_mode) & ~stat.S_ISVTX)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
    os.fsync(target)
    return bytes_used(os.fstat(target))
