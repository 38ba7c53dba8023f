# SPDX-License-Identifier: Apache-2.0
"""POSIX record locks and flock (control-plane specification 5.13)."""

from __future__ import annotations

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
