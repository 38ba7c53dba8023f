# SPDX-License-Identifier: Apache-2.0
"""One mount as the operations see it: nodes, handles, the file system behind, and how to answer."""

from __future__ import annotations

import errno
import hashlib
import logging
import time

from curvine.errors import CurvineError, NotFound
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.replies import Attr
from curvine.fuse.abi.requests import Request
from curvine.fuse.attrs import (
    DIRECTORY_SIZE,
    FS_APPEND_FL,
    FS_IMMUTABLE_FL,
    Owners,
    attributes,
    file_flags,
    mode_of,
)
from curvine.fuse.contract import Measured
from curvine.fuse.handles import Handles
from curvine.fuse.nodes import FLAG_IMMUTABLE, Nodes
from curvine.fuse.reading import FileSlice
from curvine.fuse.refusals import Refused, Stale
from curvine.fuse.surroundings import Surroundings
from curvine.model.inode import FileStatus

# A reply: a complete message, its parts, a piece of a file (for READ), or nothing.
Reply = bytes | list[bytes | bytearray | memoryview] | FileSlice | None
_SIGN = 1 << 63
_MEASURED_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Volume:
    """What every operation gets beside its request."""

    def __init__(
        self, env: Surroundings, handles: Handles, owners: Owners, session_secret: bytes
    ) -> None:
        self.env = env
        self.files = env.files
        self.nodes: Nodes = env.nodes
        self.handles = handles
        self.owners = owners
        self.settings = env.settings
        self.beliefs = env.beliefs
        self._secret = session_secret
        self._used: int | None = None
        self._measure_at = 0.0
        self.no_open = env.settings.read_only and env.settings.read_path == "no_open"

    def request_id(self, request: Request, part: int = 0) -> int:
        """The id under which the master remembers this change: the same when the kernel sends the
        request again to a new server (decision 8). Negative, as every client's own ids."""
        text = b"%d.%d" % (request.unique & ~c.UNIQUE_RESEND, part)
        digest = hashlib.blake2b(text, key=self._secret, digest_size=8).digest()
        return (int.from_bytes(digest, "little") & (_SIGN - 1)) - _SIGN

    def takeover_id(self, nodeid: int) -> int:
        """The id of the change by which a restarted server opens a file for writing again."""
        text = b"takeover %d %d" % (nodeid, time.time_ns())
        digest = hashlib.blake2b(text, key=self._secret, digest_size=8).digest()
        return (int.from_bytes(digest, "little") & (_SIGN - 1)) - _SIGN

    async def used_bytes(self) -> int | None:
        """Bytes of the files below the mount's root, some seconds old at most; None = unknown."""
        now = self.env.clock.monotonic()
        if now >= self._measure_at and isinstance(self.files, Measured):
            self._measure_at = now + _MEASURED_SECONDS
            try:
                self._used = await self.files.used_bytes(self.nodes.root)
            except CurvineError as error:
                _log.debug("what the mount holds could not be asked: %s", error)
        return self._used

    # -- attributes

    async def status(self, nodeid: int) -> FileStatus:
        """The status of the very file that the node stands for.

        Of a file that another client has removed while it is open here: as it was.
        """
        try:
            return await self._status(nodeid)
        except NotFound:
            file = self.handles.find(nodeid)
            outlived = file.last_status() if file is not None and file.opens else None
            if outlived is None:
                raise
            self.nodes.mark_removed(nodeid)
            return outlived

    async def _status(self, nodeid: int) -> FileStatus:
        status = await self.nodes.at(nodeid, self.files.status)
        if not self.nodes.is_same(nodeid, status):
            # A rename within this mount may just have given the path to another file.
            status = await self.nodes.at(nodeid, self.files.status)
            if not self.nodes.is_same(nodeid, status):
                raise Stale(f"another file took the place of node {nodeid}")
        return status

    def attributes(self, nodeid: int, status: FileStatus) -> Attr:
        """What the kernel is told of a node; it is remembered that it was told."""
        nodes = self.nodes
        inode = nodes.table.inode(nodeid) or nodes.ino(status, nodes.root)
        flags = file_flags(status) if status.x_attr else 0
        if flags or nodes.chattr(nodeid):
            immutable, append = bool(flags & FS_IMMUTABLE_FL), bool(flags & FS_APPEND_FL)
            nodes.set_chattr(nodeid, immutable=immutable, append=append)
        if status.is_dir:
            return attributes(status, inode, self.owners)
        file = self.handles.find(nodeid)
        if file is None:
            nodes.table.remember(nodeid, status.len, status.mtime)
            return attributes(status, inode, self.owners)
        override = file.override()
        file.reading.tell((status.mtime, status.len))
        file.writing.told = file.writing.writer is not None
        nodes.table.remember(nodeid, status.len, status.mtime)
        links = None
        if nodes.is_orphan(nodeid):  # its name there is not one that anybody sees
            links = max(status.nlink - 1, nodes.table.components(nodeid) is not None)
        if nodes.is_removed(nodeid):
            links = 0
        return attributes(status, inode, self.owners, override=override, nlink=links)

    def attr_ms(self, nodeid: int) -> int:
        """How long attributes of a node that the kernel knows may be believed."""
        return self.beliefs.attr_ms(self.nodes.table.inode(nodeid))

    def nameless(self, nodeid: int) -> Attr:
        """Attributes of a directory or special file that was removed while it was in use."""
        now = int(time.time())
        node = self.nodes.table.get(nodeid)
        size = DIRECTORY_SIZE if node.mode >> 12 == 0o04 else node.length
        uid, gid = self.owners.uid, self.owners.gid
        times = (now, now, now, 0, 0, 0)
        return Attr(node.inode, size, (size + 511) >> 9, *times, node.mode, 0, uid, gid, 0, 4096)

    def entry(self, request: Request, parent: int, name: bytes, status: FileStatus) -> bytes:
        """The reply that gives the kernel a node for a name."""
        nodeid, attr = self.enter(parent, name, status)
        generation = self.nodes.table.generation(nodeid)
        entry_ms, attr_ms, _ = self.beliefs.of_entry(request.mark, parent, name, status)
        return replies.entry(request.unique, nodeid, generation, attr, entry_ms, attr_ms)

    def enter(self, parent: int, name: bytes, status: FileStatus) -> tuple[int, Attr]:
        """Node (one lookup more) and attributes of a name."""
        path = "" if status.id else self.nodes.child_path(parent, name)
        nodeid = self.nodes.intern(parent, name, status, path, mode_of(status))
        return nodeid, self.attributes(nodeid, status)

    # -- rights

    def writable(self) -> None:
        """Refuse a change on a read-only mount."""
        if self.settings.read_only:
            raise Refused(errno.EROFS)

    def refuse_flagged(self, *nodeids: int, appending: bool = False) -> None:
        """EPERM for what chattr +i forbids, or +a; ``appending``: append-only does not forbid it.

        Unknown nodes (0) are not flagged: the kernel looks a name up before it changes it.
        """
        for nodeid in nodeids:
            flags = self.nodes.chattr(nodeid)
            if flags & FLAG_IMMUTABLE or (flags and not appending):
                raise Refused(errno.EPERM)
