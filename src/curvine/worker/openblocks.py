# SPDX-License-Identifier: Apache-2.0
"""How bytes get into blocks that are open: sent here, copied from a file, or written by a client.

Part of the block store (see ``blockstore``); only the loop thread may call. Sizes are bytes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from time import monotonic

from curvine.errors import CurvineError, DiskOutOfSpace, IoFailed
from curvine.worker.blocks import OpenBlock
from curvine.worker.generations import Generations
from curvine.worker.index import BlockIndex
from curvine.worker.iopool import IoPool
from curvine.worker.staging import LEAST_PROMISE, Staging, copy_range
from curvine.worker.stats import BlockStats
from curvine.worker.tiers import Tiers
from curvine.worker.trust import Trust

# Writes at least this long (bytes) go to a thread: their copy into the page cache takes longer than
# switching threads, and meanwhile the loop receives the next frame.
LARGE_WRITE = 512 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}

Buffer = bytes | bytearray | memoryview


class OpenBlocks:
    """The blocks being written, and the directories that take them."""

    def __init__(
        self, tiers: Tiers, io: IoPool, *, checksums: bool = True, patience: float = 1.0
    ) -> None:
        self.tiers = tiers
        self.io = io
        self.stats = BlockStats()
        self.index = BlockIndex({}, {})
        self.trust = Trust(io, self.stats, enabled=checksums, patience=patience)
        self._generations = Generations(tiers, io, self.trust)

    def write(self, open_block: OpenBlock, offset: int, data: Buffer) -> Awaitable[None] | None:
        """Put ``data`` at ``offset``. None = done; else await it."""
        held = open_block.staging
        if (
            held is None
            or held.fd < 0
            or offset < held.floor
            or len(data) >= LARGE_WRITE
            or held.dir.slow
            or open_block.ended
            or open_block.lock.locked()
            or not held.grow(offset, len(data))
        ):
            return self._write(open_block, offset, data)
        return self._write_here(open_block, held, offset, data)

    def _write_here(
        self, open_block: OpenBlock, held: Staging, offset: int, data: Buffer
    ) -> Awaitable[None] | None:
        started = monotonic()
        try:
            written = os.pwrite(held.fd, data, offset)
        except OSError:
            return self._write(open_block, offset, data)
        held.dir.took(monotonic() - started)
        if written != len(data):
            return self._write(open_block, offset, data)
        held.wrote(offset, data)
        return None

    async def _write(self, open_block: OpenBlock, offset: int, data: Buffer) -> None:
        def work(held: Staging) -> None:
            _write_all(held.open(), data, offset)
            held.wrote(offset, data)

        await self._put(open_block, offset, len(data), work)

    async def fill(
        self, open_block: OpenBlock, offset: int, source: int, source_offset: int, size: int
    ) -> None:
        """Copy ``size`` bytes of the file ``source`` to ``offset`` without leaving the kernel."""

        def work(held: Staging) -> None:
            held.spoiled(offset, size)
            if copy_range(source, source_offset, held.open(), offset, size) != size:
                raise IoFailed(f"the source ends before byte {source_offset + size}")

        await self._put(open_block, offset, size, work)

    async def _put(
        self, open_block: OpenBlock, offset: int, size: int, work: Callable[[Staging], None]
    ) -> None:
        """Run ``work`` on a file that has room for ``size`` bytes at ``offset``, in a thread."""
        async with open_block.lock:
            held = await self._stage(open_block, offset)
            before = held.size
            if not held.grow(offset, size):
                held = await self._move(open_block, held, size)
                held.grow(offset, size)
            try:
                await self.io.run(work, held)
            except OSError as error:
                held.spoiled(offset, size)
                held.dir.suspect()
                if isinstance(error, CurvineError) or error.errno not in _FULL:
                    raise IoFailed(f"cannot write block {open_block.id}: {error}") from error
                if not held.lent:  # what was taken of these bytes must not count
                    await self.io.run(held.cut_back, before)
                held = await self._move(open_block, held, size)
                held.grow(offset, size)
                await self.io.run(work, held)

    async def lend(self, open_block: OpenBlock, offset: int, *, by_path: bool) -> Staging | None:
        """The staging file for a writer that writes by itself from ``offset`` on.

        None where its room cannot be promised: then it has to send its bytes. A writer by path is
        one of upstream's, which writes anywhere and does not ask for more room: it gets a private
        copy, and room for the whole block.
        """
        async with open_block.lock:
            held = await self._stage(open_block, offset, private=by_path)
            return held if held.lend(open_block.capacity, whole=by_path) else None

    async def lend_more(self, open_block: OpenBlock, offset: int) -> Staging:
        """The file for a lent writer that goes on to write up to and with ``offset``.

        Below the published length that is another file than before; with its directory full, too.
        """
        async with open_block.lock:
            held = await self._stage(open_block, offset)
            end = offset + 1
            if not held.lent and held.lend(open_block.capacity, whole=False):
                pass  # a private copy, just made
            if held.lent and held.promise_more(end, open_block.capacity):
                return held
            held = await self._move(open_block, held, LEAST_PROMISE, agreed=True)
            held.lent = True
            if not held.promise_more(end, open_block.capacity):
                raise DiskOutOfSpace(f"no room for block {open_block.id} on this worker")
            return held

    def recount_lent(self) -> None:
        """Count what writers by themselves have written by now."""
        for open_block in self.index.open.values():
            if open_block.staging is not None and open_block.staging.lent:
                open_block.staging.settle()

    async def _stage(self, open_block: OpenBlock, offset: int, *, private: bool = False) -> Staging:
        """A staging file that may be written at ``offset`` (anywhere, if ``private``)."""
        if open_block.ended:
            raise IoFailed(f"block {open_block.id} was finished while this stream was open")
        base = self.index.published.get(open_block.id)
        held = await self._generations.for_write(open_block, base, offset, private=private)
        open_block.staging = held
        held.open()
        return held

    async def _move(
        self, open_block: OpenBlock, held: Staging, more: int, *, agreed: bool = False
    ) -> Staging:
        """Go on in a directory with room for ``more`` bytes besides. A file that is lent moves only
        if its one writer ``agreed`` and gets to know the new one."""
        if held.lent and (open_block.users > 1 or not agreed):
            raise DiskOutOfSpace(f"no room for block {open_block.id}, and others write its file")
        held = open_block.staging = await self._generations.move(open_block, held, more)
        return held


def _write_all(fd: int, data: Buffer, offset: int) -> None:
    """Write all of ``data``; the kernel may take it in pieces."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
