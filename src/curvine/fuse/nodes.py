# SPDX-License-Identifier: Apache-2.0
"""From the kernel's node ids to paths and back, over the node table.

The master is asked by path, the kernel asks by node. A rename in flight makes a path wrong for a
moment; so an operation first waits for renames of its node or of a directory above it, and when the
master says "not found", it waits for all renames in flight and tries again if the path is another
one now. A node that lost its last name while it was open lives in the orphan directory under the
number of its inode; any other nameless node is stale.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from curvine.errors import NotFound
from curvine.fuse.noderecords import FLAG_UNLINKED
from curvine.fuse.nodetable import NodeTable
from curvine.fuse.refusals import Refused, Stale
from curvine.model.inode import FileStatus
from curvine.model.path import ROOT, is_under, join, name_to_wire

T = TypeVar("T")

ORPHANS = "/.curvine.orphans"  # hidden directory of the namespace: one directory per session in it
FLAG_ORPHAN = 8  # node flag: the file lies in the orphan directory
FLAG_IMMUTABLE, FLAG_APPEND = 32, 64  # node flags: chattr +i and +a, as last seen
FLAG_MOVED = 128  # node flag: another client moved the directory; it was not looked up since
FLAG_REMOVED = 16  # node flag: another client removed the file while it was open here
NAME_LIMIT = 255  # bytes of one name
PLACE_SHIFT = 48  # inode ids of a cluster stay far below; the number of a place stands above
_HASHED = 1 << 62  # marks inode numbers made from a path; ids of the master stay far below
_MAIN_MOUNT = 0


class Nodes:
    """The nodes of one mount whose root directory is ``root``."""

    def __init__(self, table: NodeTable, root: str, session: str) -> None:
        self.table = table
        self.root = root
        self.orphanage = join(ORPHANS, session)
        self._prefix = "" if root == ROOT else root
        self._moving: dict[int, asyncio.Future[None]] = {}

    # -- paths

    def path(self, nodeid: int) -> str:
        """Where the node's file is now. Stale when it has no name any more."""
        names = self.table.components(nodeid) if nodeid in self.table else None
        if names is None:
            if self.is_orphan(nodeid):
                return self.orphan_path(nodeid)
            raise Stale(f"node {nodeid} has no name")
        if not names:
            return self.root
        return f"{self._prefix}/{name_to_wire(b'/'.join(names))}"

    def child_path(self, parent: int, name: bytes) -> str:
        """The path of ``name`` in the directory ``parent``."""
        if len(name) > NAME_LIMIT:
            raise Refused(errno.ENAMETOOLONG)
        path = join(self.path(parent), name_to_wire(name))
        if path.startswith(ORPHANS) and is_under(path, ORPHANS):
            raise NotFound(f"{path} does not exist")
        return path

    def orphan_path(self, nodeid: int) -> str:
        """Where an open file without a name is kept."""
        return join(self.orphanage, str(self.table.inode(nodeid)))

    async def at(self, nodeid: int, call: Callable[[str], Awaitable[T]]) -> T:
        """``call`` with the node's path, repeated when a rename was under way.

        Stale instead of NotFound: the kernel had a name that another client has taken away since,
        and looks it up anew before it gives an answer.
        """
        try:
            return await self._resolved(nodeid, lambda: self.path(nodeid), call)
        except Stale:
            raise
        except NotFound as error:
            raise Stale(str(error)) from error

    async def at_child(self, parent: int, name: bytes, call: Callable[[str], Awaitable[T]]) -> T:
        """``call`` with the path of a name in a directory, likewise."""
        return await self._resolved(parent, lambda: self.child_path(parent, name), call)

    async def _resolved(
        self, nodeid: int, path_of: Callable[[], str], call: Callable[[str], Awaitable[T]]
    ) -> T:
        while True:
            if self._moving:
                await self.settled(nodeid)
            path = path_of()
            try:
                return await call(path)
            except NotFound:
                while self._moving:
                    await asyncio.wait(self._moving.values())
                if path_of() == path:
                    raise

    # -- renames in flight

    async def settled(self, nodeid: int) -> None:
        """Wait until no rename of the node or of a directory above it is in flight."""
        while (pending := self._pending(nodeid)) is not None:
            await asyncio.wait((pending,))

    def _pending(self, nodeid: int) -> asyncio.Future[None] | None:
        while self._moving:
            found = self._moving.get(nodeid)
            if found is not None:
                return found
            names = self.table.names(nodeid) if nodeid in self.table else None
            if not names:
                return None
            nodeid = names[0][0]
        return None

    @contextmanager
    def moving(self, *nodeids: int) -> Iterator[None]:
        """Announce that the names of these nodes (0 = unknown ones) are about to change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        held = [n for n in dict.fromkeys(nodeids) if n and n not in self._moving]
        for nodeid in held:
            self._moving[nodeid] = future
        try:
            yield
        finally:
            for nodeid in held:
                del self._moving[nodeid]
            future.set_result(None)

    # -- inodes

    def ino(self, status: FileStatus, path: str) -> int:
        """st_ino: the master's id, or a stable hash for what only the under storage has."""
        if status.id:
            return status.id
        digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return (int.from_bytes(digest, "little") & (_HASHED - 1)) | _HASHED

    @staticmethod
    def is_hashed(ino: int) -> bool:
        """Whether an inode number was made from a path."""
        return bool(ino & _HASHED)

    @staticmethod
    def tag(ino: int) -> int:
        """The part of an inode number that tells the place."""
        return ino >> PLACE_SHIFT << PLACE_SHIFT

    def intern(self, parent: int, name: bytes, status: FileStatus, path: str, mode: int) -> int:
        """The node for a name that was just looked up (one lookup more)."""
        ino = self.ino(status, path)
        nlink = status.nlink
        return self.table.intern(parent, name, _MAIN_MOUNT, ino, mode, nlink=nlink)

    def is_same(self, nodeid: int, status: FileStatus) -> bool:
        """Whether ``status`` is of the file that the node stands for."""
        inode = self.table.inode(nodeid)
        return inode in (0, status.id) or status.id == 0 or bool(inode & _HASHED)

    def is_orphan(self, nodeid: int) -> bool:
        """Whether the node's file lies in the orphan directory."""
        return nodeid in self.table and bool(self.table.change_flags(nodeid) & FLAG_ORPHAN)

    def set_chattr(self, nodeid: int, *, immutable: bool, append: bool) -> None:
        """Remember what chattr has set on the file."""
        add = FLAG_IMMUTABLE * immutable | FLAG_APPEND * append
        self.table.change_flags(nodeid, add=add, remove=FLAG_IMMUTABLE | FLAG_APPEND)

    def chattr(self, nodeid: int) -> int:
        """FLAG_IMMUTABLE and FLAG_APPEND as far as they were seen; 0 for an unknown node."""
        flags = self.table.change_flags(nodeid) if nodeid in self.table else 0
        return flags & (FLAG_IMMUTABLE | FLAG_APPEND)

    def mark_removed(self, nodeid: int) -> None:
        """Another client removed the file, which is open here."""
        self.table.change_flags(nodeid, add=FLAG_REMOVED)

    def is_removed(self, nodeid: int) -> bool:
        """Whether another client removed the file while it was open here."""
        return nodeid in self.table and bool(self.table.change_flags(nodeid) & FLAG_REMOVED)

    def is_unlinked(self, nodeid: int) -> bool:
        """Whether this mount removed the node's last name."""
        return nodeid in self.table and bool(self.table.change_flags(nodeid) & FLAG_UNLINKED)
