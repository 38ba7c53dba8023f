# SPDX-License-Identifier: Apache-2.0
"""CREATE, MKNOD, OPEN and RELEASE, and publishing what was written: FLUSH, FSYNC, SYNCFS."""

from __future__ import annotations

import errno
import os
import stat

from curvine.errors import NotFound
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.attrs import SPECIAL_TYPES
from curvine.fuse.contract import Writer
from curvine.fuse.refusals import Refused
from curvine.fuse.volume import Reply, Volume


def _writes(flags: int) -> bool:
    return flags & os.O_ACCMODE != os.O_RDONLY


async def create(volume: Volume, request: Request) -> Reply:
    """Create and open in one; an existing file is opened unless O_EXCL says otherwise."""
    volume.writable()
    volume.refuse_flagged(request.nodeid, appending=True)
    name, flags = request.names[0], request.body.flags
    writer = await _create(volume, request, request.body.mode & ~request.body.umask, flags)
    nodeid, attr = volume.enter(request.nodeid, name, writer.status)
    if _writes(flags):
        opened = volume.handles.file(nodeid).enter_created(writer)
    else:
        await writer.close()
        opened = volume.handles.file(nodeid).enter_created(None)
    entry_ms, attr_ms, _ = volume.beliefs.of_entry(
        request.mark, request.nodeid, name, writer.status
    )
    return replies.create(
        request.unique,
        nodeid,
        volume.nodes.table.generation(nodeid),
        attr,
        entry_ms,
        attr_ms,
        volume.handles.new_fh(),
        opened.flags,
        opened.backing_id,
    )


async def _create(volume: Volume, request: Request, mode: int, flags: int) -> Writer:
    owner, group = volume.owners.user(request.uid), volume.owners.group(request.gid)
    req_id = volume.request_id(request)
    return await volume.nodes.at_child(
        request.nodeid,
        request.names[0],
        lambda path: volume.files.create(
            path,
            mode=mode & 0o7777,
            owner=owner,
            group=group,
            exclusive=bool(flags & os.O_EXCL),
            truncate=bool(flags & os.O_TRUNC),
            req_id=req_id,
        ),
    )


async def mknod(volume: Volume, request: Request) -> Reply:
    """A regular file without opening it, or a pipe, socket or device."""
    volume.writable()
    volume.refuse_flagged(request.nodeid, appending=True)
    name, body = request.names[0], request.body
    mode = body.mode & ~body.umask
    kind = SPECIAL_TYPES.get(stat.S_IFMT(mode))
    if kind is None:
        if not stat.S_ISREG(mode):
            raise Refused(errno.EINVAL)
        writer = await _create(volume, request, mode, os.O_EXCL)
        await writer.close()
        return volume.entry(request, request.nodeid, name, writer.status)
    owner, group = volume.owners.user(request.uid), volume.owners.group(request.gid)
    req_id = volume.request_id(request)
    status = await volume.nodes.at_child(
        request.nodeid,
        name,
        lambda path: volume.files.mknod(
            path,
            file_type=kind,
            mode=mode & 0o7777,
            owner=owner,
            group=group,
            rdev=body.rdev,
            req_id=req_id,
        ),
    )
    return volume.entry(request, request.nodeid, name, status)


async def open_(volume: Volume, request: Request) -> Reply:
    """Open for reading, writing or both."""
    if volume.no_open:
        raise Refused(errno.ENOSYS)  # the kernel then opens without asking, for the mount's life
    flags = request.body.flags
    writing = _writes(flags)
    if writing:
        volume.writable()
        appending = flags & (os.O_APPEND | os.O_TRUNC) == os.O_APPEND
        volume.refuse_flagged(request.nodeid, appending=appending)
    file = volume.handles.file(request.nodeid)
    opened = await file.enter(writing=writing, reading=flags & os.O_ACCMODE != os.O_WRONLY)
    fh = volume.handles.new_fh()
    return replies.open_(request.unique, fh, opened.flags, opened.backing_id)


async def release(volume: Volume, request: Request) -> Reply:
    """A handle's last descriptor is closed."""
    body = request.body
    if volume.env.locks.any(request.nodeid):
        had_flock = body.release_flags & c.RELEASE_FLOCK_UNLOCK
        owner = body.lock_owner if had_flock else None
        await volume.env.locks.released(request.nodeid, body.fh, owner)
    file = volume.handles.find(request.nodeid)
    if file is not None:
        await file.leave(writing=_writes(body.flags))
    return replies.ok(request.unique)


async def flush(volume: Volume, request: Request) -> Reply:
    """close(2) of one descriptor: others see what was written from now on."""
    if volume.no_open:
        raise Refused(errno.ENOSYS)
    file = volume.handles.find(request.nodeid)
    try:
        if file is not None:
            await file.flush(closing=True)
    finally:
        if volume.env.locks.any(request.nodeid):
            await volume.env.locks.closed(request.nodeid, request.body.lock_owner)
    return replies.ok(request.unique)


async def fsync(volume: Volume, request: Request) -> Reply:
    """What was written survives a power loss."""
    file = volume.handles.find(request.nodeid)
    if file is not None:
        await file.flush(sync=True)
    if file is None or file.writing.writer is None:
        try:
            await volume.nodes.at(request.nodeid, volume.files.sync_file)
        except NotFound:  # removed, or given away, while it was open
            await volume.files.sync_metadata()
    return replies.ok(request.unique)


async def syncfs(volume: Volume, request: Request) -> Reply:
    """Everything of the mount survives a power loss."""
    await volume.handles.publish_all()
    await volume.files.sync_metadata()
    return replies.ok(request.unique)
