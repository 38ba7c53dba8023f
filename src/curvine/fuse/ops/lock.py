# SPDX-License-Identifier: Apache-2.0
"""GETLK, SETLK and SETLKW: record locks and flock of every mount of a cluster."""

from __future__ import annotations

import fcntl

from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.abi.structs import LkIn
from curvine.fuse.volume import Reply, Volume
from curvine.model.lock import LOCK_TO_EOF, FileLock, LockFlavor, LockType

_OFFSET_MAX = (1 << 63) - 1  # the kernel's "to the end of the file"
_TYPES = {
    fcntl.F_RDLCK: LockType.READ,
    fcntl.F_WRLCK: LockType.WRITE,
    fcntl.F_UNLCK: LockType.UNLOCK,
}
_NUMBERS = {lock_type: number for number, lock_type in _TYPES.items()}


def _lock(volume: Volume, body: LkIn) -> FileLock:
    end = LOCK_TO_EOF if body.end >= _OFFSET_MAX else body.end
    flavor = LockFlavor.FLOCK if body.lk_flags & c.LK_FLOCK else LockFlavor.PLOCK
    owner, client = body.owner, volume.env.locks.client_id
    return FileLock(client, owner, body.pid, 0, _TYPES[body.type], flavor, body.start, end)


async def getlk(volume: Volume, request: Request) -> Reply:
    """Which lock stands in the way, if any."""
    body: LkIn = request.body
    found = await volume.env.locks.test(request.nodeid, _lock(volume, body))
    if found is None:
        return replies.lock(request.unique, body.start, body.end, fcntl.F_UNLCK, 0)
    end = min(found.end, _OFFSET_MAX)
    kind = _NUMBERS[found.lock_type]
    return replies.lock(request.unique, min(found.start, end), end, kind, found.pid)


async def setlk(volume: Volume, request: Request) -> Reply:
    """Take, change or release a lock now, or EAGAIN."""
    return await _take(volume, request, wait=False)


async def setlkw(volume: Volume, request: Request) -> Reply:
    """Likewise, waiting for it; INTERRUPT ends the wait."""
    return await _take(volume, request, wait=True)


async def _take(volume: Volume, request: Request, *, wait: bool) -> Reply:
    body: LkIn = request.body
    lock = _lock(volume, body)
    req_id = volume.request_id(request)
    await volume.env.locks.take(request.nodeid, body.fh, lock, wait=wait, req_id=req_id)
    return replies.ok(request.unique)
