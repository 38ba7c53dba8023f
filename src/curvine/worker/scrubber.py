# SPDX-License-Identifier: Apache-2.0
"""What a worker does about its blocks when nobody asks for them.

- Blocks whose sums could not be made while they were written (the client or the kernel wrote them)
  get them, soon after their last close.
- Every block is compared with its sums once in worker.scrub_interval, at most
  worker.scrub_rate bytes a second, read past the page cache where the file system allows: what
  matters is what the medium would give. A round starts at a random block, so that a worker that is
  often restarted does not look at the same ones each time.
- What was set aside for longer than worker.quarantine_time is removed.

Sizes are bytes, times seconds.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import random

from curvine.clock import Clock
from curvine.errors import CurvineError
from curvine.worker.blocks import Published
from curvine.worker.blockstore import BlockStore
from curvine.worker.pace import Pace
from curvine.worker.sums import Note, RunningSums, read_note, write_note
from curvine.worker.trust import differs

_log = logging.getLogger(__name__)

TURN = 4 * 1024 * 1024  # bytes that one job of a thread looks at
_PIECE = 1024 * 1024
_REST = 60.0  # between looks at whether a round is due
_AFTER_ERROR = 5.0


class Scrubber:
    """See the module. ``rate`` 0: only sums are made, nothing is compared."""

    def __init__(
        self,
        store: BlockStore,
        clock: Clock,
        *,
        rate: int,
        interval: float,
        quarantine_time: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rate = rate
        self._interval = interval
        self._quarantine_time = quarantine_time
        self._pace = Pace(rate, clock)
        self._wake = asyncio.Event()
        self._buffer = mmap.mmap(-1, _PIECE)  # pages: for reading past the page cache
        self._round_began = self._seen_since = clock.monotonic()
        self.rounds = 0
        store.trust.on_owed = self._wake.set

    @property
    def oldest(self) -> float:
        """At most this long ago the block was looked at that nobody has looked at for longest."""
        return self._clock.monotonic() - self._seen_since

    async def run(self) -> None:
        """Scrub for ever."""
        while True:
            try:
                await self._make_sums()
                await self._store.io.run(self._clean_up, self._clock.now_ms())
                if self._rate:
                    await self._round()
                await self._until_next()
            except (OSError, CurvineError) as error:
                _log.warning("scrubbing: %s", error)
                await asyncio.sleep(_AFTER_ERROR)

    async def _until_next(self) -> None:
        """Wait until a round is due; make sums meanwhile."""
        while not self._rate or self._clock.monotonic() < self._round_began + self._interval:
            self._wake.clear()
            if self._store.trust.unsummed:
                await self._make_sums()
                continue
            left = self._round_began + self._interval - self._clock.monotonic()
            try:
                await asyncio.wait_for(self._wake.wait(), min(_REST, left) if self._rate else _REST)
            except TimeoutError:
                await self._store.io.run(self._clean_up, self._clock.now_ms())

    # --- sums -----------------------------------------------------------------------------------

    async def _make_sums(self) -> None:
        owed = self._store.trust.unsummed
        while owed:
            block = next(iter(owed))
            del owed[block]
            generation = self._store.index.published.get(block)
            if generation is not None and generation.unsummed is not None:
                try:
                    await self._sum(block, generation, generation.unsummed)
                except OSError as error:
                    generation.unsummed = None  # the next round has another look
                    _log.warning("no checksums for block %d: %s", block, error)

    async def _sum(self, block: int, generation: Published, sums: RunningSums) -> None:
        path = generation.dir.layout.active_path(block)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while await self._store.io.run(sums.read_back, fd, generation.len, TURN):
                if self._store.index.published.get(block) is not generation:
                    return  # written again: it is owed anew
            open_block = self._store.index.open.get(block)
            if open_block is None:
                self._keep(block, generation, sums, fd)
            else:
                async with open_block.lock:  # a note of its own is not to be written meanwhile
                    self._keep(block, generation, sums, fd)
        finally:
            os.close(fd)

    def _keep(self, block: int, generation: Published, sums: RunningSums, fd: int) -> None:
        if self._store.index.published.get(block) is not generation:
            return
        boot = read_note(fd)
        write_note(fd, sums.note(generation.len, boot.boot if boot is not None else 0))
        generation.unsummed = None
        generation.stamp = os.fstat(fd).st_ctime_ns
        self._store.stats.summed_blocks += 1

    # --- rounds ---------------------------------------------------------------------------------

    async def _round(self) -> None:
        self._round_began = began = self._clock.monotonic()
        blocks = list(self._store.index.published)
        start = random.randrange(len(blocks)) if blocks else 0
        for block in (*blocks[start:], *blocks[:start]):
            generation = self._store.index.published.get(block)
            if generation is None or generation.unsummed is not None:
                continue
            try:
                await self._scrub(block, generation)
            except OSError as error:
                if self._store.index.published.get(block) is generation:
                    _log.warning("block %d cannot be scrubbed: %s", block, error)
            if self._store.trust.unsummed:
                await self._make_sums()
        self._seen_since = began
        self.rounds += 1

    async def _scrub(self, block: int, generation: Published) -> None:
        trust = self._store.trust
        fd = await self._store.io.run(_open_direct, generation.dir.layout.active_path(block))
        try:
            note = read_note(fd)  # before the size: the file may be growing
            info = os.fstat(fd)
            if note is None or (not note.sums and generation.len):
                trust.owe(block, generation, RunningSums())
                return
            bad = ""
            if info.st_size < note.length:
                bad = f"its file has {info.st_size} bytes instead of {note.length}"
            step = max(1, TURN >> note.shift)
            for first in range(0, 0 if bad else len(note.sums), step):
                last = min(first + step, len(note.sums))
                await self._pace.pay(sum(note.extent(i)[1] for i in range(first, last)))
                bad = await self._store.io.run(self._compare, fd, note, first, last)
                if bad:
                    break
            if bad:
                await trust.condemn(block, info.st_ino, bad)
            elif self._store.index.published.get(block) is generation and note.complete:
                generation.stamp = generation.stamp or info.st_ctime_ns
        finally:
            os.close(fd)

    def _compare(self, fd: int, note: Note, first: int, last: int) -> str:
        with memoryview(self._buffer) as buffer:
            for index in range(first, last):
                bad = differs(fd, note, index, buffer)
                if bad:
                    return bad
                self._store.stats.scrubbed_bytes += note.extent(index)[1]
        return ""

    def _clean_up(self, now_ms: int) -> None:
        """Remove what was set aside long ago."""
        before = now_ms - self._quarantine_time * 1000
        for where in self._store.tiers.dirs:
            for block, moment, path in where.layout.aside():
                if moment < before:
                    os.unlink(path)
                    _log.info("damaged block %d, set aside for long, is removed", block)
                    if self._store.index.set_aside.get(block) == path:
                        del self._store.index.set_aside[block]


def _open_direct(path: str) -> int:
    """A descriptor that reads from the medium, where the file system can do that."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
