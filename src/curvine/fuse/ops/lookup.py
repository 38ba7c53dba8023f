# SPDX-License-Identifier: Apache-2.0
"""LOOKUP, FORGET and BATCH_FORGET: which names the kernel knows."""

from __future__ import annotations

from curvine.errors import NotFound
from curvine.fuse.abi import replies, requests
from curvine.fuse.abi.constants import ROOT_ID
from curvine.fuse.abi.requests import Request
from curvine.fuse.attrs import mode_of
from curvine.fuse.volume import Reply, Volume
from curvine.model.inode import FileStatus


async def lookup(volume: Volume, request: Request) -> Reply:
    """A name becomes a node."""
    name = request.names[0]
    if name in (b".", b".."):
        return await _lookup_dots(volume, request, name)
    try:
        status = await volume.nodes.at_child(request.nodeid, name, volume.files.status)
    except NotFound:
        volume.nodes.table.missing(request.nodeid, name)
        valid_ms = volume.beliefs.of_missing(request.mark, request.nodeid, name)
        if valid_ms:
            return replies.negative_entry(request.unique, valid_ms)
        raise
    return volume.entry(request, request.nodeid, name, status)


async def _lookup_dots(volume: Volume, request: Request, name: bytes) -> Reply:
    """What a server of NFS exports asks: the node itself, or its parent."""
    nodeid = request.nodeid
    if name == b".." and nodeid != ROOT_ID:
        nodeid = volume.nodes.table.get(nodeid).parent
    status: FileStatus = await volume.status(nodeid)
    attr = volume.attributes(nodeid, status)
    if nodeid != ROOT_ID:
        node = volume.nodes.table.get(nodeid)
        volume.nodes.intern(node.parent, node.name, status, "", mode_of(status))
    generation = volume.nodes.table.generation(nodeid)
    return replies.entry(request.unique, nodeid, generation, attr, 0, 0)


def forget(volume: Volume, request: Request) -> Reply:
    """The kernel gives lookups back; nobody waits for an answer."""
    table = volume.nodes.table
    for nodeid, count in requests.forgets(request):
        if nodeid in table:
            table.forget(nodeid, count)
    return None
