# SPDX-License-Identifier: Apache-2.0
"""How a block gets a file to be written to: a new one, a copy, its own tail, or another directory.

Callers hold the block's lock. Every byte that a file takes is charged to its directory before it is
written. Lengths are bytes.
"""

from __future__ import annotations

import errno
import os

from curvine.errors import Common, CurvineError, DiskOutOfSpace, IoFailed
from curvine.worker import staging as files
from curvine.worker.blocks import OpenBlock, Published
from curvine.worker.iopool import IoPool
from curvine.worker.layout import remove
from curvine.worker.staging import Mode, Staging
from curvine.worker.sums import sums_of
from curvine.worker.tiers import StorageDir, Tiers
from curvine.worker.trust import Trust

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Generations:
    """Makes the staging files of a store."""

    def __init__(self, tiers: Tiers, io: IoPool, trust: Trust) -> None:
        self._tiers = tiers
        self._io = io
        self._trust = trust
        self._summed = trust.enabled  # keep checksums

    async def for_write(
        self, open_block: OpenBlock, base: Published | None, offset: int, *, private: bool
    ) -> Staging:
        """The staging file that may be written at ``offset``, made if need be.

        ``base`` is the published generation; ``private``: no byte of it may be shared.
        """
        held = open_block.staging
        if held is not None and held.mode is not Mode.APPEND:
            return held
        if base is None:
            return await self._create(open_block)
        if private or offset < base.len:
            return await self._copy(open_block, base, held)
        if held is not None:
            return held
        held = files.append_to(
            base.dir, open_block.id, base.len, base.used, marked=base.marked, summed=self._summed
        )
        return held if held is not None else await self._copy(open_block, base, None)

    async def _create(self, open_block: OpenBlock) -> Staging:
        where = self._tiers.choose(open_block.storage_type, open_block.capacity)
        try:
            return await self._created(where, open_block.id)
        except OSError as error:
            if error.errno in _FULL or len(self._tiers.dirs) == 1:
                raise
            where.suspect()  # and go on in another one
            where = self._tiers.choose(open_block.storage_type, open_block.capacity, without=where)
            return await self._created(where, open_block.id)

    async def _created(self, where: StorageDir, block: int) -> Staging:
        return await self._io.maybe_inline(
            where, lambda: files.create(where, block, summed=self._summed)
        )

    async def _copy(
        self, open_block: OpenBlock, base: Published, appended: Staging | None
    ) -> Staging:
        """A private copy of the generation, with what was appended to it so far.

        The generation is looked at first: sums made of a bad copy would call it good."""
        await self._trust.ensure(open_block.id)
        length = appended.settle() if appended is not None else base.len
        takes = base.used + (appended.counted if appended is not None else 0)
        where = base.dir
        if not where.charge(takes):
            where = self._tiers.choose(
                open_block.storage_type,
                max(takes, open_block.capacity),
                least=takes,
                without=where,
            )
            where.charge(takes)
        source = base.dir.layout.active_path(open_block.id)
        try:
            held = await self._io.run(
                files.copy_of, where, open_block.id, source, length, takes, Mode.COPY
            )
        except OSError as error:
            where.release(takes)
            raise _disk_error(error, f"cannot copy block {open_block.id}") from error
        if appended is not None:
            held.sums, held.was_lent = appended.sums, appended.was_lent
            appended.discard()
        elif self._summed:
            held.sums = await self._io.maybe_inline(base.dir, lambda: sums_of(source, length))
        return held

    async def move(self, open_block: OpenBlock, held: Staging, more: int) -> Staging:
        """Go on in another directory, which has room for ``more`` bytes as well."""
        length = held.settle()
        takes = held.base_used + held.counted
        try:
            where = self._tiers.choose(
                open_block.storage_type,
                max(takes + more, open_block.capacity),
                least=takes + more,
                without=held.dir,
            )
        except Common:
            raise DiskOutOfSpace(f"no room for block {open_block.id} on this worker") from None
        where.charge(takes)
        mode = Mode.COPY if held.mode is Mode.APPEND else held.mode
        try:
            moved = await self._io.run(
                files.copy_of, where, open_block.id, held.path, length, takes, mode
            )
        except OSError as error:
            where.release(takes)
            raise _disk_error(error, f"cannot move block {open_block.id}") from error
        moved.sums, moved.was_lent = held.sums, held.was_lent
        held.discard()
        return moved

    async def publish(
        self, block: int, held: Staging, base: Published | None, length: int, *, sync: bool
    ) -> Published:
        """Make the file ``length`` long, put it in place of ``base`` and book it."""
        appended = held.mode is Mode.APPEND

        def work() -> tuple[int, bool, int]:
            if length > held.size:
                held.extend(length)
            used = held.used()
            whole = held.seal(length)
            if sync:
                held.sync()
            if not appended:
                held.dir.layout.publish(block, sync=sync)
            return used, whole, os.fstat(held.fd).st_ctime_ns

        try:
            if sync:
                used, whole, stamp = await self._io.run(work)
            else:
                used, whole, stamp = await self._io.maybe_inline(held.dir, work)
        except OSError as error:
            held.dir.suspect()
            raise _disk_error(error, f"cannot publish block {block}") from error
        self._book(block, held, base, used)
        if appended and base is not None and not base.stamp:
            stamp = 0  # the old part has yet to be looked at
        return Published(held.dir, length, used, appended, stamp, None if whole else held.sums)

    async def sync(self, block: int, generation: Published) -> None:
        """Put a published block on the medium."""
        try:
            await self._io.run(_sync_file, generation.dir.layout.active_path(block))
        except OSError as error:
            raise _disk_error(error, f"cannot sync block {block}") from error

    def _book(self, block: int, held: Staging, base: Published | None, used: int) -> None:
        """The generation is in place: count what it takes, and no longer what it replaced."""
        if held.lent:
            held.take_back()
        counted = held.counted
        if base is not None and held.mode is Mode.APPEND:
            counted += base.used
        elif base is not None:
            base.dir.release(base.used)
            if base.dir is not held.dir:
                remove(base.dir.layout.active_path(block))
        held.dir.recount(counted, used)
        held.close()


def _disk_error(error: OSError, what: str) -> CurvineError:
    text = f"{what}: {error.strerror}"
    return DiskOutOfSpace(text) if error.errno in _FULL else IoFailed(text)


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
