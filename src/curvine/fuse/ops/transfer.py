# SPDX-License-Identifier: Apache-2.0
"""READ and WRITE."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any

from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.requests import Request
from curvine.fuse.openfile import OpenFile
from curvine.fuse.reading import FileSlice
from curvine.fuse.volume import Reply, Volume


def read(volume: Volume, request: Request) -> Reply | Coroutine[Any, Any, Reply]:
    """Bytes of a file: a piece of a local file at once, or whatever has to be waited for."""
    body = request.body
    file = volume.handles.file_for_read(request.nodeid)
    found = file.slice_now(body.offset, body.size)
    if found is not None:
        return found if found.size else replies.ok(request.unique)
    return _read(file, request)


async def _read(file: OpenFile, request: Request) -> Reply:
    found = await file.read(request.body.offset, request.body.size)
    if isinstance(found, FileSlice):
        return found
    return [replies.header(request.unique, len(found)), found]


async def write(volume: Volume, request: Request) -> Reply:
    """Answered when the bytes are outside this process."""
    volume.writable()
    body = request.body
    data = request.data[: body.size]
    file = volume.handles.file(request.nodeid)
    req_id = volume.request_id(request)
    # A server that died may have appended already: the kernel's offset puts it into the same place.
    append = bool(body.flags & os.O_APPEND) and not request.resent
    await file.write(body.offset, data, append=append, req_id=req_id)
    if body.write_flags & c.WRITE_KILL_SUIDGID:
        await file.clear_set_ids(volume.request_id(request, 1))
    if body.flags & (os.O_DSYNC | os.O_SYNC):
        await file.flush(sync=True)
    return replies.written(request.unique, body.size)
