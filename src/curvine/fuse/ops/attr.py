# SPDX-License-Identifier: Apache-2.0
"""GETATTR, SETATTR, STATFS and ACCESS."""

from __future__ import annotations

import stat

from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.abi.structs import SetattrIn
from curvine.fuse.volume import Reply, Volume
from curvine.fuse.writing import without_set_ids
from curvine.model.inode import FileStatus, SetAttr

STATFS_BLOCK = 4096  # bytes
_NO_LIMIT = 0xFFFFFFFF  # inodes: the namespace has no bound of its own
_TIME_BITS = c.FATTR_ATIME | c.FATTR_ATIME_NOW | c.FATTR_MTIME | c.FATTR_MTIME_NOW
# What an append-only file refuses: everything but touch(1).
_CHANGE_BITS = c.FATTR_MODE | c.FATTR_UID | c.FATTR_GID
_ATTRIBUTE_BITS = _TIME_BITS | c.FATTR_MODE | c.FATTR_UID | c.FATTR_GID


async def getattr_(volume: Volume, request: Request) -> Reply:
    """stat of a node."""
    nodeid = request.nodeid
    if volume.nodes.is_unlinked(nodeid) and not volume.nodes.is_orphan(nodeid):
        return replies.attr(request.unique, volume.nameless(nodeid), 0)
    status = await volume.status(nodeid)
    attr = volume.attributes(nodeid, status)
    return replies.attr(request.unique, attr, volume.attr_ms(nodeid))


async def setattr_(volume: Volume, request: Request) -> Reply:
    """truncate, chmod, chown and utimensat in one."""
    volume.writable()
    nodeid = request.nodeid
    body: SetattrIn = request.body
    touching = not body.valid & (_CHANGE_BITS | c.FATTR_SIZE)
    volume.refuse_flagged(nodeid, appending=touching)
    status: FileStatus | None = None
    if body.valid & c.FATTR_SIZE:
        await _resize(volume, request, body)
    if body.valid & _ATTRIBUTE_BITS:
        status = await _change(volume, request, body)
    if status is None:
        status = await volume.status(nodeid)
    attr = volume.attributes(nodeid, status)
    return replies.attr(request.unique, attr, volume.attr_ms(nodeid))


async def _resize(volume: Volume, request: Request, body: SetattrIn) -> None:
    nodeid = request.nodeid
    file = volume.handles.find(nodeid)
    req_id = volume.request_id(request, 1)
    if file is not None and (file.writers or file.writing.writer is not None):
        await file.truncate(body.size, req_id=req_id)
    else:
        before = await volume.status(nodeid)
        if before.len == body.size:  # the master would leave everything as it is; POSIX: mtime
            now = SetAttr(mtime=volume.env.clock.now_ms())
            await volume.nodes.at(nodeid, lambda p: volume.files.set_attr(p, now, req_id=req_id))
        else:
            size = body.size
            await volume.nodes.at(nodeid, lambda p: volume.files.resize(p, size, req_id=req_id))
        if file is not None:
            file.reading.retire()
    if body.valid & c.FATTR_KILL_SUIDGID:
        await volume.handles.file(nodeid).clear_set_ids(volume.request_id(request, 2))


async def _change(volume: Volume, request: Request, body: SetattrIn) -> FileStatus:
    nodeid = request.nodeid
    opts = _wanted(volume, body)
    is_dir = stat.S_ISDIR(volume.nodes.table.get(nodeid).mode)
    if opts.mode is None and body.valid & (c.FATTR_UID | c.FATTR_GID) and not is_dir:
        # A new owner never inherits setuid or setgid; the kernel leaves this to us (KILLPRIV_V2).
        mode = (await volume.status(nodeid)).mode
        if without_set_ids(mode) != mode:
            opts = SetAttr(
                owner=opts.owner, group=opts.group, mode=without_set_ids(mode),
                atime=opts.atime, mtime=opts.mtime,
            )  # fmt: skip
    file = volume.handles.find(nodeid)
    if file is not None:
        if body.valid & _TIME_BITS:
            await file.set_times(opts)
        file.writing.mode_changed()
    req_id = volume.request_id(request)
    return await volume.nodes.at(nodeid, lambda p: volume.files.set_attr(p, opts, req_id=req_id))


def _wanted(volume: Volume, body: SetattrIn) -> SetAttr:
    valid = body.valid
    now = volume.env.clock.now_ms()
    atime = mtime = None
    if valid & c.FATTR_ATIME_NOW:
        atime = now
    elif valid & c.FATTR_ATIME:
        atime = _ms(body.atime, body.atimensec)
    if valid & c.FATTR_MTIME_NOW:
        mtime = now
    elif valid & c.FATTR_MTIME:
        mtime = _ms(body.mtime, body.mtimensec)
    return SetAttr(
        mode=body.mode & 0o7777 if valid & c.FATTR_MODE else None,
        owner=volume.owners.user(body.uid) if valid & c.FATTR_UID else None,
        group=volume.owners.group(body.gid) if valid & c.FATTR_GID else None,
        atime=atime,
        mtime=mtime,
    )


def _ms(seconds: int, nanoseconds: int) -> int:
    """Time in ms; before 1970 it comes as a two's complement."""
    if seconds >= 1 << 63:
        seconds -= 1 << 64
    return seconds * 1000 + nanoseconds // 1_000_000


async def statfs(volume: Volume, request: Request) -> Reply:
    """Free space of the cluster, and what the mounted directory holds as used space (Fluid takes
    a dataset's size from df) where the master keeps that sum; else the cluster's totals. Never
    zero blocks, which df would leave out."""
    info = await volume.files.filesystem_info()
    capacity = info.capacity if info.allocatable_capacity is None else info.allocatable_capacity
    free = info.available if info.allocatable_available is None else info.allocatable_available
    blocks = max(capacity // STATFS_BLOCK, 1)
    available = min(free // STATFS_BLOCK, blocks)
    used = await volume.used_bytes()
    if used is not None:
        blocks = max(-(-used // STATFS_BLOCK) + available, 1)
    return replies.statfs(
        request.unique,
        blocks=blocks,
        bfree=available,
        bavail=available,
        files=_NO_LIMIT,
        ffree=_NO_LIMIT,
        bsize=STATFS_BLOCK,
    )
