# SPDX-License-Identifier: Apache-2.0
"""Extended attributes, kept with the inode by the master (data-plane specification 6.5)."""

from __future__ import annotations

import errno

from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.refusals import Refused
from curvine.fuse.volume import Reply, Volume
from curvine.model.inode import SetAttr
from curvine.model.path import name_from_wire, name_to_wire

_CREATE = 1  # XATTR_CREATE
_REPLACE = 2  # XATTR_REPLACE
_LIST_LIMIT = 65536  # bytes, XATTR_LIST_MAX
_ABSENT = (b"security.",)  # asked for on many operations: answered without the master
_SUPPORTED = (b"user.", b"trusted.")  # trusted: the kernel asks for CAP_SYS_ADMIN
_INTERNAL = "curvine."  # the master's own


def _refuse_foreign(name: bytes) -> None:
    if not name.startswith(_SUPPORTED):
        raise Refused(errno.EOPNOTSUPP)


def _sized(request: Request, value: bytes) -> bytes:
    """The value, or its size when the caller asks for that (size 0)."""
    room = request.body.size
    if room == 0:
        return replies.xattr_size(request.unique, len(value))
    if len(value) > room:
        raise Refused(errno.ERANGE)
    return replies.data(request.unique, value)


async def getxattr(volume: Volume, request: Request) -> Reply:
    """One attribute."""
    name = request.names[0]
    if name.startswith(_ABSENT):
        raise Refused(errno.ENODATA)
    _refuse_foreign(name)
    value = (await volume.status(request.nodeid)).x_attr.get(name_to_wire(name))
    if value is None:
        raise Refused(errno.ENODATA)
    return _sized(request, value)


async def listxattr(volume: Volume, request: Request) -> Reply:
    """All names, each ended by a NUL."""
    status = await volume.status(request.nodeid)
    names = [n for n in status.x_attr if not n.startswith((_INTERNAL, "\0"))]
    listing = b"".join(name_from_wire(name) + b"\0" for name in sorted(names))
    if len(listing) > _LIST_LIMIT:
        raise Refused(errno.E2BIG)
    return _sized(request, listing)


async def setxattr(volume: Volume, request: Request) -> Reply:
    """Create or replace one attribute."""
    volume.writable()
    volume.refuse_flagged(request.nodeid)
    name, flags = request.names[0], request.body.flags
    if name.startswith(_ABSENT):
        raise Refused(errno.EOPNOTSUPP)
    _refuse_foreign(name)
    key = name_to_wire(name)
    value = bytes(request.data[: request.body.size])
    if flags & (_CREATE | _REPLACE):
        exists = key in (await volume.status(request.nodeid)).x_attr
        if flags & _CREATE and exists:
            raise Refused(errno.EEXIST)
        if flags & _REPLACE and not exists:
            raise Refused(errno.ENODATA)
    await _apply(volume, request, SetAttr(add_x_attr={key: value}))
    return replies.ok(request.unique)


async def removexattr(volume: Volume, request: Request) -> Reply:
    """Take one attribute away."""
    volume.writable()
    volume.refuse_flagged(request.nodeid)
    name = request.names[0]
    if name.startswith(_ABSENT):
        raise Refused(errno.ENODATA)
    _refuse_foreign(name)
    key = name_to_wire(name)
    if key not in (await volume.status(request.nodeid)).x_attr:
        raise Refused(errno.ENODATA)
    await _apply(volume, request, SetAttr(remove_x_attr=(key,)))
    return replies.ok(request.unique)


async def _apply(volume: Volume, request: Request, opts: SetAttr) -> None:
    req_id = volume.request_id(request)
    await volume.nodes.at(
        request.nodeid, lambda path: volume.files.set_attr(path, opts, req_id=req_id)
    )
