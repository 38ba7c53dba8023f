# SPDX-License-Identifier: Apache-2.0
"""MKDIR, and reading directories.

Cookies: 1 stands behind ".", 2 behind "..", 2 + n behind entry n (counted from 1). A page of
``list_limit`` entries is fetched at a time, so a listing of any size takes bounded memory.
"""

from __future__ import annotations

import stat

from curvine.errors import NotFound
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.replies import Attr, DirectoryBuffer
from curvine.fuse.abi.requests import Request
from curvine.fuse.attrs import mode_of
from curvine.fuse.handles import Page
from curvine.fuse.nodes import ORPHANS
from curvine.fuse.volume import Reply, Volume
from curvine.model.inode import FileStatus
from curvine.model.path import ROOT, name_from_wire

_DOTS = (b".", b"..")
_HIDDEN = ORPHANS[1:]


async def mkdir(volume: Volume, request: Request) -> Reply:
    """Make a directory."""
    volume.writable()
    volume.refuse_flagged(request.nodeid, appending=True)
    name = request.names[0]
    owner, group = volume.owners.user(request.uid), volume.owners.group(request.gid)
    mode = request.body.mode & ~request.body.umask & 0o7777
    req_id = volume.request_id(request)
    status = await volume.nodes.at_child(
        request.nodeid,
        name,
        lambda p: volume.files.mkdir(p, mode=mode, owner=owner, group=group, req_id=req_id),
    )
    return volume.entry(request, request.nodeid, name, status)


def opendir(volume: Volume, request: Request) -> Reply:
    """A listing begins; nothing is fetched yet."""
    kept = volume.settings.cache_readdir or volume.beliefs.may_keep_listing(request.nodeid)
    flags = c.FOPEN_KEEP_CACHE | c.FOPEN_CACHE_DIR if kept else 0
    fh = volume.handles.open_directory(request.nodeid)
    return replies.open_(request.unique, fh, flags)


def releasedir(volume: Volume, request: Request) -> Reply:
    """The listing ends."""
    volume.handles.close_directory(request.body.fh)
    return replies.ok(request.unique)


async def fsyncdir(volume: Volume, request: Request) -> Reply:
    """Names that were made so far survive a power loss."""
    await volume.files.sync_metadata()
    return replies.ok(request.unique)


async def readdir(volume: Volume, request: Request) -> Reply:
    """Names only."""
    return await _read(volume, request, plus=False)


async def readdirplus(volume: Volume, request: Request) -> Reply:
    """Names with attributes; each is a LOOKUP as well."""
    return await _read(volume, request, plus=True)


async def _read(volume: Volume, request: Request, *, plus: bool) -> Reply:
    handle = volume.handles.directory(request.body.fh, request.nodeid)
    index = request.body.offset
    limit = request.body.size
    buffer = DirectoryBuffer(limit)

    async def fetch(after: str | None) -> Page:
        handle.mark = volume.beliefs.count
        return await _page(volume, request.nodeid, after)

    async with handle.lock:
        if index == 0:
            handle.restart()
        while index < 2:
            if not _add_dots(volume, buffer, request.nodeid, index, plus=plus):
                return buffer.message(request.unique)
            index += 1
        while (status := await handle.entry(index - 2, fetch)) is not None:
            index += 1
            if _is_hidden(volume, request.nodeid, status):
                continue
            if plus and len(buffer) + replies.plus_size(name_from_wire(status.name)) > limit:
                break  # before its node is counted as looked up
            mark = handle.mark
            if not _add(volume, buffer, request.nodeid, status, mark, index, plus=plus):
                break
    return buffer.message(request.unique)


async def _page(volume: Volume, nodeid: int, after: str | None) -> Page:
    limit = volume.settings.list_limit
    try:
        found = await volume.nodes.at(nodeid, lambda p: volume.files.list(p, limit, after))
    except NotFound:
        return [], True  # removed while it was open: an empty directory, says POSIX
    return list(found), len(found) < limit


def _add_dots(
    volume: Volume, buffer: DirectoryBuffer, nodeid: int, index: int, *, plus: bool
) -> bool:
    table = volume.nodes.table
    if index == 1 and nodeid in table:
        nodeid = table.get(nodeid).parent or nodeid
    ino = table.inode(nodeid) if nodeid in table else 0
    ino = ino or c.ROOT_ID
    if not plus:
        return buffer.add(ino, index + 1, stat.S_IFDIR, _DOTS[index])
    attr = Attr(ino, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR, 0, 0, 0, 0, 0)
    return buffer.add_plus(0, 0, attr, 0, 0, index + 1, _DOTS[index])


def _is_hidden(volume: Volume, parent: int, status: FileStatus) -> bool:
    """Our own directory of orphans, and names that no call of the kernel can carry."""
    if status.name == _HIDDEN:
        return volume.nodes.path(parent) == ROOT
    return len(status.name) > c.NAME_MAX // 4 and len(name_from_wire(status.name)) > c.NAME_MAX


def _add(
    volume: Volume,
    buffer: DirectoryBuffer,
    parent: int,
    status: FileStatus,
    mark: int,
    cookie: int,
    *,
    plus: bool,
) -> bool:
    name = name_from_wire(status.name)
    if not plus:
        ino = status.id or volume.nodes.ino(status, volume.nodes.child_path(parent, name))
        return buffer.add(ino, cookie, mode_of(status), name)
    nodeid, attr = volume.enter(parent, name, status)
    generation = volume.nodes.table.generation(nodeid)
    entry_ms, attr_ms, _ = volume.beliefs.of_entry(mark, parent, name, status)
    return buffer.add_plus(nodeid, generation, attr, entry_ms, attr_ms, cookie, name)
