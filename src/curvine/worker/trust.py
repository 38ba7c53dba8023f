# SPDX-License-Identifier: Apache-2.0
"""Whether the bytes of a published block are those that were written.

A block is compared with its sums before it is first served after a start, and again whenever its
file was changed by somebody else (its ctime says so). What was found good is remembered in
``Published.stamp``; only while a block is being looked at is more kept, a :class:`Check`. A stream
needs the chunks that it sends; whoever gets the file itself needs all of them, and is sent bytes
where that takes too long. Loop thread only, except where said. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from curvine.errors import IoFailed
from curvine.rpc.bulk import is_resident
from curvine.worker.blocks import Published
from curvine.worker.index import BlockIndex
from curvine.worker.iopool import IoPool
from curvine.worker.staging import Mode
from curvine.worker.stats import BlockStats
from curvine.worker.sums import Note, RunningSums, read_note, sum_of

_log = logging.getLogger(__name__)

INLINE = 256 * 1024  # a block in the page cache is looked at without a thread up to this size
_TURN = 8 * 1024 * 1024  # bytes that one job of a thread looks at
_PIECE = 1024 * 1024
_KEPT = 256  # unfinished checks

Condemn = Callable[[int, Published, str], Awaitable[None]]


class Check:
    """A published file that is being compared with its note. Keeps a descriptor of it."""

    def __init__(self, trust: Trust, block: int, fd: int, note: Note) -> None:
        self.block = block
        self.note = note
        self.fd = os.dup(fd)
        self.inode = os.fstat(fd).st_ino
        self._trust = trust
        self._good = bytearray(len(note.sums))
        self._left = len(note.sums)
        self._whole: asyncio.Task[None] | None = None
        self._ahead: asyncio.Task[None] | None = None

    def __del__(self) -> None:
        os.close(self.fd)

    def knows(self, offset: int, size: int) -> bool:
        """Whether every chunk of the range was found good."""
        return not self._missing(offset, size)

    async def cover(self, offset: int, size: int) -> None:
        """Look at the chunks of a range. IoFailed: one is not what was written."""
        if self._ahead is not None and not self._ahead.done():
            await asyncio.wait((self._ahead,))
        chunks = self._missing(offset, size)
        if chunks:
            await self._look(chunks)

    def read_ahead(self, offset: int) -> None:
        """Start with the chunk behind ``offset``: a stream will want it next."""
        following = (offset >> self.note.shift) + 1
        busy = self._ahead is not None and not self._ahead.done()
        if following < len(self._good) and not self._good[following] and not busy:
            self._ahead = asyncio.get_running_loop().create_task(self._quietly([following]))

    async def whole(self, patience: float | None) -> bool:
        """Look at all of it; False if that takes longer than ``patience`` (it goes on)."""
        if not self._left:
            return True
        if self._whole is None or self._whole.done():
            self._whole = asyncio.get_running_loop().create_task(self._look_at_all())
        try:
            await asyncio.wait_for(asyncio.shield(self._whole), patience)
        except TimeoutError:
            self._whole.add_done_callback(_ended)
            return False
        return True

    def now(self) -> None:
        """Look at all of it at once, on the loop (small blocks in memory)."""
        bad = self._compare(range(len(self._good)))
        if bad:
            raise IoFailed(f"block {self.block}: {bad}")
        self._passed(range(len(self._good)))

    def _missing(self, offset: int, size: int) -> list[int]:
        last = min((offset + size - 1 >> self.note.shift) + 1, len(self._good))
        return [i for i in range(offset >> self.note.shift, last) if not self._good[i]]

    async def _look_at_all(self) -> None:
        step = max(1, _TURN >> self.note.shift)
        for start in range(0, len(self._good), step):
            end = min(start + step, len(self._good))
            chunks = [i for i in range(start, end) if not self._good[i]]
            if chunks:
                await self._look(chunks)

    async def _quietly(self, chunks: Sequence[int]) -> None:
        try:
            await self._look(chunks)
        except IoFailed:
            pass  # whoever needs the chunk will find out

    async def _look(self, chunks: Sequence[int]) -> None:
        bad = await self._trust.io.run(self._compare, chunks)
        if bad:
            await self._trust.condemn(self.block, self.inode, bad)
            raise IoFailed(f"block {self.block}: {bad}")
        self._passed(chunks)

    def _passed(self, chunks: Sequence[int]) -> None:
        for index in chunks:
            if not self._good[index]:
                self._good[index] = 1
                self._left -= 1
        if not self._left:
            self._trust.passed(self)

    def _compare(self, chunks: Sequence[int]) -> str:
        """What is wrong with some chunks; empty if nothing is. Blocks."""
        buffer = memoryview(bytearray(min(_PIECE, 1 << self.note.shift)))
        for index in chunks:
            bad = differs(self.fd, self.note, index, buffer)
            if bad:
                return bad
            self._trust.stats.verified_bytes += self.note.extent(index)[1]
        return ""


def differs(fd: int, note: Note, chunk: int, buffer: memoryview) -> str:
    """How a chunk of a file differs from its sum, empty if it does not. Blocks."""
    start, size = note.extent(chunk)
    for _ in range(2):  # once more, for a reading error that passes
        try:
            if sum_of(fd, start, size, buffer) == note.sums[chunk]:
                return ""
            bad = f"bytes {start} to {start + size} are not those that were written"
        except OSError as error:
            bad = f"bytes {start} to {start + size} cannot be read: {error.strerror}"
    return bad


class Trust:
    """What is known of all blocks, and the checks that run."""

    def __init__(self, io: IoPool, stats: BlockStats, *, enabled: bool, patience: float) -> None:
        self.io = io
        self.stats = stats
        self.enabled = enabled
        self.patience = patience  # how long a block's file is waited for
        self.index = BlockIndex({}, {})
        self.on_bad: Condemn = _only_log
        self.on_owed: Callable[[], None] = lambda: None
        self.unsummed: dict[int, None] = {}  # blocks whose sums are still to be made, in order
        self._checks: OrderedDict[int, Check] = OrderedDict()

    def needs_check(self, block: int, ctime_ns: int) -> bool:
        """Whether a block has to be looked at before it is served from a file of this ctime."""
        generation = self.index.published.get(block) if self.enabled else None
        if generation is None or generation.stamp == ctime_ns or generation.unsummed is not None:
            return False
        if not generation.stamp:
            return True
        open_block = self.index.open.get(block)
        held = open_block.staging if open_block is not None else None
        return held is None or held.mode is not Mode.APPEND  # its writer changes the ctime

    def check(self, block: int, fd: int) -> Check | None:
        """The check of a published block whose file is ``fd``; None where nothing is left to do.

        IoFailed: the file is not what was written.
        """
        generation = self.index.published.get(block)
        if generation is None:
            return None
        try:
            note = read_note(fd)  # before the size: the file may be growing
        except OSError as error:
            raise IoFailed(f"cannot read the note of block {block}: {error.strerror}") from error
        info = os.fstat(fd)
        known = self._checks.get(block)
        if known is not None and known.inode == info.st_ino and not generation.stamp:
            return known
        if note is None or not note.sums:
            if generation.len or note is not None:
                self.owe(block, generation, RunningSums())
            generation.stamp = info.st_ctime_ns
            return None
        generation.stamp = 0
        if info.st_size < note.length:
            reason = f"its file has {info.st_size} bytes instead of {note.length}"
            self.condemn_soon(block, info.st_ino, reason)
            raise IoFailed(f"block {block}: {reason}")
        check = self._checks[block] = Check(self, block, fd, note)
        if len(self._checks) > _KEPT:
            self._checks.popitem(last=False)
        if note.covered <= INLINE and is_resident(fd, 0, note.covered):
            try:
                check.now()
            except IoFailed as error:
                self.condemn_soon(block, info.st_ino, error.message)
                raise
            return None
        return check

    async def ensure(self, block: int) -> None:
        """Look at all of a published block. IoFailed: it is not what was written."""
        generation = self.index.published.get(block)
        if generation is None or not self.enabled:
            return
        path = generation.dir.layout.active_path(block)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise IoFailed(f"cannot open block {block}: {error.strerror}") from error
        try:
            if self.needs_check(block, os.fstat(fd).st_ctime_ns):
                check = self.check(block, fd)
                if check is not None:
                    await check.whole(None)
        finally:
            os.close(fd)

    def owe(self, block: int, generation: Published, known: RunningSums) -> None:
        """The sums of a block are to be made in the background."""
        generation.unsummed = known
        self.unsummed[block] = None
        self.on_owed()

    def passed(self, check: Check) -> None:
        """All of a file was found good."""
        if self._checks.get(check.block) is check:
            del self._checks[check.block]
        generation = self.index.published.get(check.block)
        if generation is None:
            return
        try:
            info = os.stat(generation.dir.layout.active_path(check.block))
        except OSError:
            return
        if info.st_ino == check.inode:  # appended to meanwhile, perhaps: we saw those bytes
            generation.stamp = info.st_ctime_ns
            if not check.note.complete and generation.unsummed is None:
                self.owe(check.block, generation, RunningSums(check.note))

    def forget(self, block: int) -> None:
        """The block is gone, or another file."""
        self._checks.pop(block, None)
        self.unsummed.pop(block, None)

    def condemn_soon(self, block: int, inode: int, reason: str) -> None:
        """``condemn``, from where nothing can be awaited."""
        task = asyncio.get_running_loop().create_task(self.condemn(block, inode, reason))
        task.add_done_callback(_ended)

    async def condemn(self, block: int, inode: int, reason: str) -> None:
        """A file is bad: the block is no longer served, if that is still its file."""
        self._checks.pop(block, None)
        generation = self.index.published.get(block)
        if generation is None:
            return
        try:
            if os.stat(generation.dir.layout.active_path(block)).st_ino != inode:
                return
        except FileNotFoundError:
            return
        except OSError:
            pass  # it cannot even be asked for: bad enough
        await self.on_bad(block, generation, reason)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.debug("a check ended with %s", task.exception())


async def _only_log(block: int, _generation: Published, reason: str) -> None:
    _log.error("block %d: %s", block, reason)
