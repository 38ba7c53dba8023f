# SPDX-License-Identifier: Apache-2.0
"""IOCTL: the inode flags of lsattr and chattr (immutable, append-only), kept with the inode.

The kernel asks who may set them (CAP_LINUX_IMMUTABLE) and leaves it to us what they forbid; see
``Volume.refuse_flagged``. Source: include/uapi/linux/fs.h, data-plane specification 6.5.
"""

from __future__ import annotations

import errno
from struct import Struct

from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.attrs import FLAGS_ATTRIBUTE, FS_APPEND_FL, FS_IMMUTABLE_FL, file_flags
from curvine.fuse.refusals import Refused
from curvine.fuse.volume import Reply, Volume
from curvine.model.inode import SetAttr

_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602
_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_FSXATTR = Struct("=5I8x")  # xflags, extsize, nextents, projid, cowextsize
_WORD = Struct("=I")
_KNOWN = FS_IMMUTABLE_FL | FS_APPEND_FL
# The same flags as struct fsxattr has them.
_XFLAGS = ((FS_IMMUTABLE_FL, 0x8), (FS_APPEND_FL, 0x10))


async def ioctl(volume: Volume, request: Request) -> Reply:
    """FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR and FSSETXATTR; ENOTTY for the rest."""
    command = request.body.cmd
    if command == _GETFLAGS:
        return replies.ioctl(request.unique, 0, _word(request, await _flags(volume, request)))
    if command == _FSGETXATTR:
        flags = await _flags(volume, request)
        xflags = sum(theirs for ours, theirs in _XFLAGS if flags & ours)
        return replies.ioctl(request.unique, 0, _FSXATTR.pack(xflags, 0, 0, 0, 0))
    if command == _SETFLAGS:
        if len(request.data) < _WORD.size:
            raise Refused(errno.EINVAL)
        await _set(volume, request, _WORD.unpack_from(request.data)[0])
    elif command == _FSSETXATTR:
        if len(request.data) < _FSXATTR.size:
            raise Refused(errno.EINVAL)
        xflags, extent_size, _, project, cow_size = _FSXATTR.unpack_from(request.data)
        if extent_size or project or cow_size or xflags & ~sum(theirs for _, theirs in _XFLAGS):
            raise Refused(errno.EOPNOTSUPP)
        await _set(volume, request, sum(ours for ours, theirs in _XFLAGS if xflags & theirs))
    else:
        raise Refused(errno.ENOTTY)
    return replies.ioctl(request.unique, 0)


def _word(request: Request, value: int) -> bytes:
    """The flags as the caller's word: 4 bytes, or 8 from a program that asks for a long."""
    return value.to_bytes(min(max(request.body.out_size, 4), 8), "little")


async def _flags(volume: Volume, request: Request) -> int:
    return file_flags(await volume.status(request.nodeid))


async def _set(volume: Volume, request: Request, flags: int) -> None:
    volume.writable()
    if flags & ~_KNOWN:
        raise Refused(errno.EOPNOTSUPP)
    opts = SetAttr(add_x_attr={FLAGS_ATTRIBUTE: _WORD.pack(flags)})
    if not flags:
        opts = SetAttr(remove_x_attr=(FLAGS_ATTRIBUTE,))
    req_id = volume.request_id(request)
    status = await volume.nodes.at(
        request.nodeid, lambda path: volume.files.set_attr(path, opts, req_id=req_id)
    )
    volume.attributes(request.nodeid, status)
