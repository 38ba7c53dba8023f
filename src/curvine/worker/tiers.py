# SPDX-License-Identifier: Apache-2.0
"""Storage directories: how full each one is, and which one a new block goes to.

Everything is counted in bytes, as used: a block being written counts for what has been written so
far, not for its capacity. Only writers whose bytes the worker does not see (a staging file handed
out by path or descriptor) hold a reservation, for as long as they are open: the whole block where
they cannot ask for more (paths), else a piece at a time. Both together never pass the capacity,
staging included. Loop thread only. Source: data-plane specification 3.1 to 3.3 and B.2.4.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence

from curvine.errors import Common
from curvine.model.inode import StorageType
from curvine.model.worker import StorageInfo
from curvine.worker.layout import Identity, Layout

# A directory's medium is tried this often (s), and at once after an error.
TRY_EVERY = 30.0
# What a full disk answers; anything else that a write is answered with is a failure.
_FULL = {errno.ENOSPC, errno.EDQUOT}
# A directory with this much left is good enough for a block whose size nobody knows yet.
ROOM_TO_START = 64 * 1024 * 1024
# How long a look at the disk's free space holds (s); between looks our own writes are subtracted.
FREE_TTL = 1.0
# An inline call that takes longer than this (s) sends the next ones to threads ...
SLOW_CALL = 0.005
# ... for this long (s).
SLOW_FOR = 1.0


class StorageDir:
    """One data directory in use."""

    def __init__(
        self,
        layout: Layout,
        identity: Identity,
        storage_type: StorageType,
        *,
        limit: int | None = None,
        keep_free: int = 0,
    ) -> None:
        self.layout = layout
        self.identity = identity
        self.storage_type = storage_type
        self.limit = limit  # the configured size; None = the whole disk
        self.keep_free = keep_free
        self.used = 0  # published and staged bytes
        self.reserved = 0  # promised to writers that write by themselves
        self.failed = False  # once failed, no new blocks until a restart
        self._slow_until = 0.0
        self._try_at = 0.0
        self._disk_total = self._disk_free = self._disk_used = 0
        self._looked_at = float("-inf")

    def __repr__(self) -> str:
        return f"StorageDir({self.storage_type.name}:{self.layout.data_dir})"

    @property
    def capacity(self) -> int:
        """The configured size, at most the disk's."""
        self._look()
        return self._disk_total if self.limit is None else min(self.limit, self._disk_total)

    @property
    def available(self) -> int:
        """What can still be charged or reserved."""
        room = self.capacity - self.used - self.reserved - self.keep_free
        return max(0, min(room, self._disk_free - self.reserved))

    def charge(self, size: int) -> bool:
        """Count ``size`` more bytes as used; False (and nothing counted) where they do not fit."""
        if size > self.available:
            return False
        self.used += size
        self._disk_free -= size
        return True

    def release(self, size: int) -> None:
        """``size`` bytes are no longer used."""
        self.used -= size
        self._looked_at = float("-inf")

    def recount(self, counted: int, really: int) -> None:
        """What was charged as ``counted`` bytes turned out to take ``really`` bytes."""
        self.used += really - counted

    def reserve(self, size: int, share: int = 1) -> bool:
        """Promise ``size`` bytes, if that is at most one ``share``-th of what is left."""
        if size > self.available // share:
            return False
        self.reserved += size
        return True

    def unreserve(self, size: int) -> None:
        """Give back a promise."""
        self.reserved -= size

    @property
    def slow(self) -> bool:
        """Whether a recent call had to wait, so that the loop should not make the next one."""
        return self._slow_until > 0 and time.monotonic() < self._slow_until

    def took(self, seconds: float) -> None:
        """Remember how long a call on the loop took."""
        if seconds > SLOW_CALL and self.storage_type != StorageType.MEM:
            self._slow_until = time.monotonic() + SLOW_FOR

    def suspect(self) -> None:
        """Something went wrong with a file: try the directory at the next check."""
        self._try_at = 0.0

    def check(self) -> bool:
        """Whether the directory can be used (blocks). Once it cannot, it stays failed: a medium
        that comes and goes is not to be trusted before somebody has looked at it."""
        if self.failed:
            return False
        try:
            healthy = os.path.isdir(self.layout.root) and not (
                os.statvfs(self.layout.root).f_flag & os.ST_RDONLY
            )
            now = time.monotonic()
            if healthy and now >= self._try_at:
                self._try_at = now + TRY_EVERY
                self.layout.try_medium()
        except OSError as error:
            healthy = error.errno in _FULL
        self.failed = not healthy
        return healthy

    def info(self, block_num: int, healthy: bool) -> StorageInfo:
        """The row of a heartbeat."""
        if not healthy:
            return self._row(block_num, failed=True, capacity=0, available=0, non_fs_used=0)
        capacity, available = self.capacity, self.available
        return self._row(
            block_num,
            failed=False,
            capacity=capacity,
            available=available,
            non_fs_used=max(0, self._disk_used - self.used),
        )

    def _row(
        self, block_num: int, *, failed: bool, capacity: int, available: int, non_fs_used: int
    ) -> StorageInfo:
        return StorageInfo(
            dir_id=self.identity.dir_id,
            storage_id=self.identity.storage_id,
            capacity=capacity,
            available=available,
            fs_used=self.used,
            non_fs_used=non_fs_used,
            storage_type=self.storage_type,
            block_num=block_num,
            dir_path=self.layout.root,
            reserved_bytes=self.keep_free,
            failed=failed,
        )

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < FREE_TTL:
            return
        self._looked_at = now
        try:
            info = os.statvfs(self.layout.root)
        except OSError:
            self._disk_total = self._disk_free = 0
            return
        self._disk_total = info.f_blocks * info.f_frsize
        self._disk_free = info.f_bavail * info.f_frsize
        self._disk_used = (info.f_blocks - info.f_bfree) * info.f_frsize


class Tiers:
    """All directories of a worker, and the round robin over them."""

    def __init__(self, dirs: Sequence[StorageDir]) -> None:
        self.dirs = tuple(dirs)
        self._turn: dict[StorageType, int] = {}

    def choose(
        self,
        wanted: StorageType,
        capacity: int,
        *,
        least: int = 1,
        without: StorageDir | None = None,
    ) -> StorageDir:
        """The directory for a block of type ``wanted`` that may grow to ``capacity``.

        First one of that type where all of it fits, then one of that type with room to start, then
        the same among all types (DISK stands for any type), at last the one with most room, if that
        is at least ``least``. Common when no directory has room, as upstream reports it.
        """
        usable = [d for d in self.dirs if not d.failed and d is not without]
        same = [d for d in usable if wanted in (StorageType.DISK, d.storage_type)]
        start = self._turn[wanted] = self._turn.get(wanted, -1) + 1
        for candidates in (same, usable):
            for need in (capacity, min(capacity, ROOM_TO_START)):
                fitting = [d for d in candidates if d.available >= max(need, least)]
                if fitting:
                    return fitting[start % len(fitting)]
        roomiest = max(same or usable, key=lambda d: d.available, default=None)
        if roomiest is None or roomiest.available < least:
            roomiest = max(usable, key=lambda d: d.available, default=None)
        if roomiest is None or roomiest.available < least:
            raise Common(f"no storage directory of this worker has {least} bytes left")
        return roomiest
