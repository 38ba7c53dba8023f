# SPDX-License-Identifier: Apache-2.0
"""SYMLINK, READLINK and LINK."""

from __future__ import annotations

import errno

from curvine.errors import Common
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.refusals import Refused
from curvine.fuse.volume import Reply, Volume
from curvine.model.inode import MAX_NAMES
from curvine.model.path import name_from_wire, name_to_wire

_TARGET_LIMIT = 4095  # bytes, PATH_MAX without its NUL


async def symlink(volume: Volume, request: Request) -> Reply:
    """Make a symbolic link; its text is stored as it is."""
    volume.writable()
    volume.refuse_flagged(request.nodeid, appending=True)
    name, target = request.names
    if len(target) > _TARGET_LIMIT:
        raise Refused(errno.ENAMETOOLONG)
    owner, group = volume.owners.user(request.uid), volume.owners.group(request.gid)
    req_id = volume.request_id(request)
    status = await volume.nodes.at_child(
        request.nodeid,
        name,
        lambda path: volume.files.symlink(
            name_to_wire(target), path, owner=owner, group=group, req_id=req_id
        ),
    )
    return volume.entry(request, request.nodeid, name, status)


async def readlink(volume: Volume, request: Request) -> Reply:
    """The text of a symbolic link."""
    status = await volume.status(request.nodeid)
    if status.target is None:
        raise Refused(errno.EINVAL)
    return replies.data(request.unique, name_from_wire(status.target))


async def link(volume: Volume, request: Request) -> Reply:
    """Give a file one more name."""
    volume.writable()
    nodes, name, source = volume.nodes, request.names[0], request.body.oldnodeid
    volume.refuse_flagged(request.nodeid, appending=True)
    volume.refuse_flagged(source)
    if nodes.is_orphan(source) and nodes.table.components(source) is None:
        raise Refused(errno.ENOENT)
    await nodes.settled(source)
    src = nodes.path(source)
    req_id = volume.request_id(request)
    try:
        status = await nodes.at_child(
            request.nodeid, name, lambda dst: volume.files.link(src, dst, req_id=req_id)
        )
    except Common:  # the wire has no kind for it
        if (await volume.status(source)).nlink >= MAX_NAMES:
            raise Refused(errno.EMLINK) from None
        raise
    return volume.entry(request, request.nodeid, name, status)
