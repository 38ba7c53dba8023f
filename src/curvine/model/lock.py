# SPDX-License-Identifier: Apache-2.0
"""POSIX record locks and flock on one inode, and the rules of both (control-plane spec 5.13)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec

LOCK_TO_EOF = (1 << 64) - 1


class LockType(IntEnum):
    """Kind of lock."""

    READ = 0
    WRITE = 1
    UNLOCK = 2


class LockFlavor(IntEnum):
    """fcntl byte ranges, or flock on the whole file."""

    PLOCK = 0
    FLOCK = 1


class FileLock(msgspec.Struct, frozen=True, gc=False):
    """A lock: bytes ``start`` to ``end`` inclusive, for (client_id, owner_id)."""

    client_id: str
    owner_id: int
    pid: int = 0
    acquire_time: int = 0
    lock_type: LockType = LockType.READ
    flavor: LockFlavor = LockFlavor.PLOCK
    start: int = 0
    end: int = LOCK_TO_EOF


Locks = tuple[FileLock, ...]


def alive(locks: Locks, now: int, expire_ms: int) -> Locks:
    """The locks that have not outlived their time; setting one again renews it."""
    return tuple(lock for lock in locks if now - lock.acquire_time < expire_ms)


def conflict(locks: Iterable[FileLock], wanted: FileLock) -> FileLock | None:
    """The lock that stands in the way, of several the one with the lowest start."""
    if wanted.lock_type is LockType.UNLOCK:
        return None
    blocking = [
        lock
        for lock in locks
        if lock.flavor is wanted.flavor
        and not _same_owner(lock, wanted)
        and LockType.WRITE in {lock.lock_type, wanted.lock_type}
        and (wanted.flavor is LockFlavor.FLOCK or _overlap(lock, wanted))
    ]
    return min(blocking, key=lambda lock: lock.start, default=None)


def with_lock(locks: Locks, wanted: FileLock, now: int) -> Locks:
    """The locks after ``wanted`` was granted: the owner's overlapping ranges give way to it."""
    kept: list[FileLock] = []
    for lock in locks:
        if lock.flavor is not wanted.flavor or not _same_owner(lock, wanted):
            kept.append(lock)
        elif wanted.flavor is LockFlavor.PLOCK and not _takes_all(wanted):
            kept += _around(lock, wanted)
    if wanted.lock_type is not LockType.UNLOCK:
        kept.append(msgspec.structs.replace(wanted, acquire_time=now))
    return tuple(kept)


def _same_owner(one: FileLock, other: FileLock) -> bool:
    return one.client_id == other.client_id and one.owner_id == other.owner_id


def _overlap(one: FileLock, other: FileLock) -> bool:
    return one.start <= other.end and other.start <= one.end


def _takes_all(lock: FileLock) -> bool:
    return lock.start == 0 and lock.end == LOCK_TO_EOF


def _around(lock: FileLock, hole: FileLock) -> list[FileLock]:
    """What is left of ``lock`` outside ``hole``."""
    if not _overlap(lock, hole):
        return [lock]
    rest = []
    if lock.start < hole.start:
        rest.append(msgspec.structs.replace(lock, end=hole.start - 1))
    if lock.end > hole.end:
        rest.append(msgspec.structs.replace(lock, start=hole.end + 1))
    return rest
