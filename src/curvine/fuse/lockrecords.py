# SPDX-License-Identifier: Apache-2.0
"""The locks that a mount holds, in the supervisor's memory: they outlive a server that is killed.

The records lie behind the node table in its memfd (``noderecords``). One slot is one range of one
owner; a slot is written before the kernel is answered. One writer at a time.
"""

from __future__ import annotations

import errno
import mmap
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from curvine.fuse.noderecords import LOCKS_SIZE, locks_at
from curvine.fuse.refusals import Refused
from curvine.model.lock import FileLock, LockFlavor, LockType

_RECORD = Struct("=6QI3B5x")  # node, inode generation, owner, fh, start, end; pid; type, kind, used
_USED = _RECORD.size - 6


class Held(NamedTuple):
    """A lock of this mount and the handle that it came through."""

    nodeid: int
    generation: int
    fh: int
    lock: FileLock


class LockRecords:
    """The slots. ``client_id`` is the one that all locks of the mount are taken under."""

    def __init__(self, fd: int, client_id: str) -> None:
        self._map = mmap.mmap(fd, LOCKS_SIZE, offset=locks_at(fd))
        self._client_id = client_id
        self._free = [
            slot
            for slot in reversed(range(LOCKS_SIZE // _RECORD.size))
            if not self._map[slot * _RECORD.size + _USED]
        ]

    def load(self) -> Iterator[tuple[int, Held]]:
        """Every slot in use with its lock."""
        free = set(self._free)
        for slot in range(LOCKS_SIZE // _RECORD.size):
            if slot not in free:
                yield slot, self._read(slot)

    def add(self, held: Held) -> int:
        """Store a lock; its slot. Refused (ENOLCK) when there is no room for one more."""
        if not self._free:
            raise Refused(errno.ENOLCK, "this mount holds as many locks as it can")
        slot = self._free.pop()
        lock = held.lock
        _RECORD.pack_into(
            self._map, slot * _RECORD.size,
            held.nodeid, held.generation, lock.owner_id, held.fh, lock.start, lock.end,
            lock.pid, lock.lock_type, lock.flavor, 0,
        )  # fmt: skip
        self._map[slot * _RECORD.size + _USED] = 1  # last: a slot half written is a free one
        return slot

    def remove(self, slot: int) -> None:
        """Forget a lock."""
        self._map[slot * _RECORD.size + _USED] = 0
        self._free.append(slot)

    def _read(self, slot: int) -> Held:
        nodeid, generation, owner, fh, start, end, pid, kind, flavor, _ = _RECORD.unpack_from(
            self._map, slot * _RECORD.size
        )
        lock = FileLock(
            self._client_id, owner, pid, 0, LockType(kind), LockFlavor(flavor), start, end
        )
        return Held(nodeid, generation, fh, lock)
