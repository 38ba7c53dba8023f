# SPDX-License-Identifier: Apache-2.0
"""UNLINK, RMDIR and RENAME: what happens to a name, and to an open file that loses its last one.

A file that somebody has open moves to the orphan directory instead of being deleted. When it is
renamed over, the two names are exchanged first (atomic: the target name never vanishes), then the
old file, now under the source name, moves away.
"""

from __future__ import annotations

import errno
import stat

from curvine.errors import AlreadyExists, CurvineError, NotFound
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.refusals import Refused
from curvine.fuse.volume import Reply, Volume
from curvine.model.inode import RenameFlag

_KNOWN_FLAGS = int(RenameFlag.NO_REPLACE | RenameFlag.EXCHANGE)


async def unlink(volume: Volume, request: Request) -> Reply:
    """Take a name away from a file."""
    volume.writable()
    nodes, parent, name = volume.nodes, request.nodeid, request.names[0]
    victim = nodes.table.find(parent, name)
    volume.refuse_flagged(parent, victim)
    await nodes.settled(parent)
    with nodes.moving(victim):
        path = nodes.child_path(parent, name)
        if _must_live_on(volume, victim):
            await _complete(volume, victim)
            try:
                await volume.env.orphans.take_in(path, victim, volume.request_id(request))
            except NotFound:
                raise
            except CurvineError:  # an under storage cannot move a file there
                await volume.files.delete(path, req_id=volume.request_id(request, 1))
                nodes.table.unlink(parent, name)
            else:
                nodes.table.unlink(parent, name)
                volume.env.orphans.mark(victim)
        else:
            await volume.files.delete(path, req_id=volume.request_id(request))
            if request.resent and victim:
                await volume.env.orphans.discard(victim)  # open when a dead server was asked
            nodes.table.unlink(parent, name)
            volume.handles.content_gone(victim)
    return replies.ok(request.unique)


async def rmdir(volume: Volume, request: Request) -> Reply:
    """Remove an empty directory."""
    volume.writable()
    nodes, parent, name = volume.nodes, request.nodeid, request.names[0]
    victim = nodes.table.find(parent, name)
    volume.refuse_flagged(parent, victim)
    await nodes.settled(parent)
    with nodes.moving(victim):
        path = nodes.child_path(parent, name)
        await volume.files.delete(path, req_id=volume.request_id(request))
        nodes.table.unlink(parent, name)
    return replies.ok(request.unique)


async def rename(volume: Volume, request: Request) -> Reply:
    """rename(2)."""
    return await _rename(volume, request, 0)


async def rename2(volume: Volume, request: Request) -> Reply:
    """renameat2(2) with RENAME_NOREPLACE or RENAME_EXCHANGE."""
    flags = request.body.flags
    if flags & ~_KNOWN_FLAGS or flags == _KNOWN_FLAGS:
        raise Refused(errno.EINVAL)
    return await _rename(volume, request, flags)


async def _rename(volume: Volume, request: Request, flags: int) -> Reply:
    volume.writable()
    nodes, parent, new_parent = volume.nodes, request.nodeid, request.body.newdir
    name, new_name = request.names
    await nodes.settled(parent)
    await nodes.settled(new_parent)
    moved = nodes.table.find(parent, name)
    victim = nodes.table.find(new_parent, new_name)
    volume.refuse_flagged(parent, moved, victim)
    volume.refuse_flagged(new_parent, appending=True)
    with nodes.moving(moved, victim):
        src, dst = nodes.child_path(parent, name), nodes.child_path(new_parent, new_name)
        for nodeid in (moved, victim):
            await _complete(volume, nodeid)
        req_id = volume.request_id(request)
        if flags == RenameFlag.EXCHANGE:
            await volume.files.rename(src, dst, flags, req_id=req_id)
            nodes.table.exchange(parent, name, new_parent, new_name)
        elif victim != moved and _must_live_on(volume, victim):
            if flags & RenameFlag.NO_REPLACE:
                raise AlreadyExists(dst)
            await _rename_over_open(volume, request, src, dst, victim)
            nodes.table.rename(parent, name, new_parent, new_name)
            if nodes.table.components(victim) is None:
                volume.env.orphans.mark(victim)
        else:
            await volume.files.rename(src, dst, flags, req_id=req_id)
            if request.resent and victim and victim != moved:
                await _finish_rename_over_open(volume, request, src, victim)
            nodes.table.rename(parent, name, new_parent, new_name)
            volume.handles.content_gone(victim)
    return replies.ok(request.unique)


async def _rename_over_open(
    volume: Volume, request: Request, src: str, dst: str, victim: int
) -> None:
    files = volume.files
    try:
        await files.rename(src, dst, RenameFlag.EXCHANGE, req_id=volume.request_id(request))
    except NotFound:
        # Another client removed one of the two: a plain rename says which.
        await files.rename(src, dst, RenameFlag.NONE, req_id=volume.request_id(request, 2))
        return
    await volume.env.orphans.take_in(src, victim, volume.request_id(request, 1))


async def _finish_rename_over_open(volume: Volume, request: Request, src: str, victim: int) -> None:
    """A dead server may have begun, when the victim was open: it has exchanged the two names, which
    is what the master remembers under this request, and perhaps put the old file away."""
    try:
        left = await volume.files.status(src)
    except NotFound:
        pass
    else:
        if volume.nodes.table.inode(victim) == left.id:
            await volume.files.delete(src, req_id=volume.request_id(request, 1))
    await volume.env.orphans.discard(victim)


def _must_live_on(volume: Volume, nodeid: int) -> bool:
    """Whether the node is an open file about to lose the last name that we know of."""
    if not nodeid or not volume.handles.is_open(nodeid):
        return False
    table = volume.nodes.table
    return stat.S_ISREG(table.get(nodeid).mode) and len(table.names(nodeid)) == 1


async def _complete(volume: Volume, nodeid: int) -> None:
    """Before a file gets another path: its writer, which goes by path, ends."""
    file = volume.handles.find(nodeid) if nodeid else None
    if file is not None:
        await file.complete()
