# SPDX-License-Identifier: Apache-2.0
"""FALLOCATE, LSEEK and COPY_FILE_RANGE: operations on stretches of files."""

from __future__ import annotations

import asyncio
import errno
import os

from curvine.fuse.abi import replies
from curvine.fuse.abi.opcodes import Opcode
from curvine.fuse.abi.requests import Request
from curvine.fuse.contract import Data
from curvine.fuse.openfile import OpenFile
from curvine.fuse.reading import FileSlice
from curvine.fuse.refusals import Refused
from curvine.fuse.volume import Reply, Volume

_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16  # FALLOC_FL_...
_ZERO_LIMIT = 1 << 30  # bytes: zeros are written, so more than this is the program's business
_COPY_PIECE = 4 << 20
_COPY_LIMIT = 64 << 20  # bytes of one request: the program can be interrupted in between


async def fallocate(volume: Volume, request: Request) -> Reply:
    """Grow a file, promise room (which the cluster gives on writing), or fill with zeros."""
    volume.writable()
    body = request.body
    end = body.offset + body.length
    req_id = volume.request_id(request)
    if body.mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
        raise Refused(errno.EOPNOTSUPP)
    zeros = body.mode & (_PUNCH_HOLE | _ZERO_RANGE)
    if body.mode == _KEEP_SIZE:
        return replies.ok(request.unique)
    if zeros and body.length > _ZERO_LIMIT:
        raise Refused(errno.EOPNOTSUPP)
    file = volume.handles.file(request.nodeid)
    if zeros:
        await file.zero(body.offset, end, req_id=req_id)
    if not body.mode & _KEEP_SIZE:
        await file.allocate(end, req_id=req_id)
    return replies.ok(request.unique)


async def lseek(volume: Volume, request: Request) -> Reply:
    """SEEK_DATA and SEEK_HOLE: as the local block file has them; else all is data, and the hole is
    at the end."""
    status = await volume.status(request.nodeid)
    file = volume.handles.find(request.nodeid)
    override = file.override() if file is not None else None
    size = status.len if override is None else override.size
    offset, whence = request.body.offset, request.body.whence
    if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
        raise Refused(errno.EINVAL)
    if offset >= size:
        raise Refused(errno.ENXIO)
    piece = file.slice_now(0, size) if file is not None else None
    if piece is not None and piece.size == size:
        return replies.offset(request.unique, min(os.lseek(piece.fd, offset, whence), size))
    found = offset if whence == os.SEEK_DATA else size
    return replies.offset(request.unique, found)


async def copy_file_range(volume: Volume, request: Request) -> Reply:
    """Copy between two files of the mount without the bytes passing through the kernel."""
    volume.writable()
    body = request.body
    if body.flags:
        raise Refused(errno.EINVAL)
    source = volume.handles.file_for_read(request.nodeid)
    target = volume.handles.file(body.nodeid_out)
    wanted = min(body.len, _COPY_LIMIT)
    copied = 0
    while copied < wanted:
        data = await _read(source, body.off_in + copied, min(_COPY_PIECE, wanted - copied))
        if not data:
            break
        req_id = volume.request_id(request, 1 + copied // _COPY_PIECE)
        await target.write(body.off_out + copied, data, append=False, req_id=req_id)
        copied += len(data)
    if request.opcode == Opcode.COPY_FILE_RANGE:
        return replies.written(request.unique, copied)
    return replies.offset(request.unique, copied)


async def _read(file: OpenFile, offset: int, size: int) -> Data:
    found = await file.read(offset, size)
    if isinstance(found, FileSlice):
        pinned = file.reading.pin(found.fd)
        try:
            return await asyncio.to_thread(os.pread, found.fd, found.size, found.offset)
        finally:
            if pinned is not None:
                file.reading.unpin(pinned)
    return found
