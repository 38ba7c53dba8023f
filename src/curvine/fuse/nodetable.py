# SPDX-License-Identifier: Apache-2.0
"""The node table: what the kernel believes about our nodes.

The supervisor makes the memfd and holds it; the server maps it and writes it *before* it replies,
so that its successor knows every node after a ``kill -9``. A node costs 128 bytes (256 more for a
name longer than 32 bytes) instead of an object. A killed server may leave a lookup count too high
(its reply was not sent), never too low. Layout and crash repair: ``noderecords``.
Source: design decision 15.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from curvine.errors import Common
from curvine.fuse import noderecords as f
from curvine.fuse.noderecords import Records


class Node(NamedTuple):
    """Everything the table knows of a node (a copy)."""

    nodeid: int
    inode: int
    mount: int
    mode: int  # st_mode
    parent: int
    name: bytes
    lookups: int
    generation: int
    io_mode: int
    backing_id: int
    opens: int
    writers: int
    flags: int
    length: int  # bytes at the last open
    mtime: int  # at the last open, the server's unit
    cookie: int  # the server's


class NodeReads:
    """What can be asked of the table."""

    def __init__(self, fd: int) -> None:
        self._r = Records(fd)
        self.negotiated = f.load_negotiated(fd)
        self.secret = bytes(self._r.u8[f.SECRET_AT : f.SECRET_AT + 16])

    def close(self) -> None:
        self._r.close()

    def __len__(self) -> int:
        return self._r.u32[f.COUNT]

    # --- reading -------------------------------------------------------------------------------

    def _at(self, nodeid: int) -> int:
        """Byte position of a live node; a node id of the kernel that is not known is our fault."""
        r = self._r
        at = r.base + nodeid * f.RECORD
        if not 0 < nodeid < r.u32[f.HIGH] or r.u8[at + f.STATE] != f.STATE_NODE:
            raise Common(f"node {nodeid} is not in the table")
        return at

    def __contains__(self, nodeid: int) -> bool:
        r = self._r
        at = r.base + nodeid * f.RECORD
        return 0 < nodeid < r.u32[f.HIGH] and r.u8[at + f.STATE] == f.STATE_NODE

    def get(self, nodeid: int) -> Node:
        at = self._at(nodeid)
        r = self._r
        q, w, h = at >> 3, at >> 2, at >> 1
        named = r.u16[h + f.FLAGS] & f.FLAG_NAMED
        return Node(
            nodeid=nodeid,
            inode=r.u64[q],
            mount=r.u16[h + f.MOUNT],
            mode=r.u32[w + f.MODE],
            parent=r.u32[w + f.PARENT],
            name=r.name_of(nodeid) if named else b"",
            lookups=r.u64[q + f.LOOKUPS],
            generation=r.u32[w + f.GENERATION],
            io_mode=r.u8[at + f.IO_MODE],
            backing_id=r.u32[w + f.BACKING],
            opens=r.u32[w + f.OPENS],
            writers=r.u32[w + f.WRITERS],
            flags=r.u16[h + f.FLAGS],
            length=r.u64[q + f.LENGTH],
            mtime=r.i64[q + f.MTIME],
            cookie=r.u64[q + f.COOKIE],
        )

    def find(self, parent: int, name: bytes) -> int:
        """The node of a name as far as the table knows, or 0."""
        slot = self._r.find_name(parent, name)
        return self._owner(slot) if slot else 0

    def by_inode(self, mount: int, inode: int) -> int:
        """The node of an inode, or 0."""
        return self._r.find_inode(mount, inode)

    def inode(self, nodeid: int) -> int:
        return self._r.u64[self._at(nodeid) >> 3]

    def mtime(self, nodeid: int) -> int:
        return self._r.i64[(self._at(nodeid) >> 3) + f.MTIME]

    def generation(self, nodeid: int) -> int:
        return self._r.u32[(self._at(nodeid) >> 2) + f.GENERATION]

    def is_generation(self, nodeid: int, generation: int) -> bool:
        """Whether the node is known and still the one that it was."""
        return nodeid in self and self.generation(nodeid) == generation

    def components(self, nodeid: int) -> list[bytes] | None:
        """Names from the root to the node ([] for the root), None if it has no name any more."""
        r = self._r
        names: list[bytes] = []
        while nodeid != f.ROOT:
            at = self._at(nodeid)
            if not r.u16[(at >> 1) + f.FLAGS] & f.FLAG_NAMED:
                return None
            names.append(r.name_of(nodeid))
            nodeid = r.u32[(at >> 2) + f.PARENT]
        names.reverse()
        return names

    def names(self, nodeid: int) -> list[tuple[int, bytes]]:
        """Every known (parent, name) of a node, newest first."""
        r = self._r
        at = self._at(nodeid)
        found: list[tuple[int, bytes]] = []
        if r.u16[(at >> 1) + f.FLAGS] & f.FLAG_NAMED:
            found.append((r.u32[(at >> 2) + f.PARENT], r.name_of(nodeid)))
        alias = r.u32[(at >> 2) + f.ALIASES]
        while alias:
            w = (r.base + alias * f.RECORD) >> 2
            found.append((r.u32[w + f.PARENT], r.name_of(alias)))
            alias = r.u32[w + f.ALIASES]
        return found

    def has_children(self, nodeid: int) -> bool:
        """Whether the kernel knows a name in it."""
        return self._r.u32[(self._at(nodeid) >> 2) + f.CHILDREN] > 0

    def is_directory(self, nodeid: int) -> bool:
        return self._r.u32[(self._at(nodeid) >> 2) + f.MODE] >> 12 == 0o04

    def nodes(self) -> Iterator[int]:
        """Every node id (a walk over the whole table: for a restart, not for a request)."""
        r = self._r
        for slot in range(f.ROOT, r.u32[f.HIGH]):
            if r.u8[r.base + slot * f.RECORD + f.STATE] == f.STATE_NODE:
                yield slot

    def idle_nodes(self, start: int, wanted: int) -> tuple[int, list[int]]:
        """Up to ``wanted`` nodes that the kernel could forget, from slot ``start`` on and round:
        named, not open, no known names below. Also the slot to go on from."""
        r = self._r
        found: list[int] = []
        high = r.u32[f.HIGH]
        slot = start if f.ROOT < start < high else f.ROOT + 1
        for _ in range(min(high - f.ROOT - 1, 16 * wanted)):
            if slot >= high:
                slot = f.ROOT + 1
            at = r.base + slot * f.RECORD
            w = at >> 2
            if r.u8[at + f.STATE] == f.STATE_NODE and not (
                r.u32[w + f.OPENS] or r.u32[w + f.CHILDREN]
            ):
                found.append(slot)
                if len(found) >= wanted:
                    break
            slot += 1
        return slot + 1, found

    def open_nodes(self) -> Iterator[int]:
        """Nodes with open handles: what a restarted server has to take over."""
        r = self._r
        return (n for n in self.nodes() if r.u32[((r.base + n * f.RECORD) >> 2) + f.OPENS])

    def _owner(self, slot: int) -> int:
        r = self._r
        at = r.base + slot * f.RECORD
        return r.u32[(at >> 2) + f.TARGET] if r.u8[at + f.STATE] == f.STATE_ALIAS else slot


class NodeTable(NodeReads):
    """The rules: which node a name or an inode means, and when a node may be forgotten."""

    # --- names and lookups ---------------------------------------------------------------------

    def intern(
        self, parent: int, name: bytes, mount: int, inode: int, mode: int, *, nlink: int = 1
    ) -> int:
        """The node that (parent, name) means from now on, with one lookup more.

        An inode that is known keeps its node. Its former name is replaced, or kept beside the new
        one when it has several links. Another node that had this name loses it.
        """
        r = self._r
        r.u32[f.BUSY] = 1
        node = r.find_inode(mount, inode)
        slot = r.find_name(parent, name)
        displaced = 0
        if slot and self._owner(slot) != node:
            displaced = self._owner(slot)
            self._detach(slot)
            slot = 0
        if not node:
            node = r.take()
            at = r.base + node * f.RECORD
            r.u8[at + f.STATE] = f.STATE_NODE
            r.link_inode(node, mount, inode)
        at = r.base + node * f.RECORD
        r.u32[(at >> 2) + f.MODE] = mode
        r.u64[(at >> 3) + f.LOOKUPS] += 1
        if node != f.ROOT and not slot:
            self._add_name(node, parent, name, keep=nlink > 1 and mode >> 12 != 0o04)
        elif slot and slot != node:  # an older name, now known to be right
            self._detach(slot)
            self._add_name(node, parent, name, keep=True)
            self._unpin(parent)
        if displaced:  # after the new name: its directory must not be collected in between
            self._unpin(parent)
            self._collect(displaced)
        r.u32[f.BUSY] = 0
        return node

    def _add_name(self, node: int, parent: int, name: bytes, *, keep: bool) -> None:
        """Give a node its newest name; the one it had becomes an alias or goes."""
        r = self._r
        at = r.base + node * f.RECORD
        flags = r.u16[(at >> 1) + f.FLAGS]
        old = (r.u32[(at >> 2) + f.PARENT], r.name_of(node)) if flags & f.FLAG_NAMED else None
        if old:
            r.unlink_name(node)
            r.u16[(at >> 1) + f.FLAGS] = flags & ~f.FLAG_NAMED
            if keep:
                self._add_alias(node, *old)
        r.set_name(node, name)
        r.link_name(node, parent, name)
        r.u16[(at >> 1) + f.FLAGS] = (flags | f.FLAG_NAMED) & ~f.FLAG_UNLINKED
        r.u32[((r.base + parent * f.RECORD) >> 2) + f.CHILDREN] += 1
        if old and not keep:
            self._unpin(old[0])

    def _add_alias(self, node: int, parent: int, name: bytes) -> None:
        """The parent stays pinned: the name moves from the node's record to the alias."""
        r = self._r
        alias = r.take()
        at = r.base + alias * f.RECORD
        w = at >> 2
        r.u32[w + f.TARGET] = node
        r.set_name(alias, name)
        r.link_name(alias, parent, name)
        r.u16[(at >> 1) + f.FLAGS] = f.FLAG_NAMED
        node_w = (r.base + node * f.RECORD) >> 2
        r.u32[w + f.ALIASES] = r.u32[node_w + f.ALIASES]
        r.u32[node_w + f.ALIASES] = alias
        r.u8[at + f.STATE] = f.STATE_ALIAS

    def _detach(self, slot: int) -> int:
        """Take one name away: an alias, or the newest of a node (an alias takes its place).

        Gives the directory that this name was in; the caller unpins it."""
        r = self._r
        at = r.base + slot * f.RECORD
        parent = r.u32[(at >> 2) + f.PARENT]
        r.unlink_name(slot)
        if r.u8[at + f.STATE] == f.STATE_ALIAS:
            self._free_alias(r.u32[(at >> 2) + f.TARGET], slot)
            return parent
        r.u16[(at >> 1) + f.FLAGS] &= ~f.FLAG_NAMED
        r.drop_name(slot)
        alias = r.u32[(at >> 2) + f.ALIASES]
        if alias:
            alias_parent = r.u32[((r.base + alias * f.RECORD) >> 2) + f.PARENT]
            name = r.name_of(alias)
            r.unlink_name(alias)
            self._free_alias(slot, alias)
            r.set_name(slot, name)
            r.link_name(slot, alias_parent, name)
            r.u16[(at >> 1) + f.FLAGS] |= f.FLAG_NAMED
        return parent

    def _free_alias(self, node: int, alias: int) -> None:
        r = self._r
        position = ((r.base + node * f.RECORD) >> 2) + f.ALIASES
        while r.u32[position] != alias:
            position = ((r.base + r.u32[position] * f.RECORD) >> 2) + f.ALIASES
        r.u32[position] = r.u32[((r.base + alias * f.RECORD) >> 2) + f.ALIASES]
        r.give_back(alias)

    def _unpin(self, parent: int) -> None:
        self._r.u32[((self._r.base + parent * f.RECORD) >> 2) + f.CHILDREN] -= 1
        self._collect(parent)

    def _collect(self, node: int) -> bool:
        """Free a node that nobody holds, then its directories likewise. Whether one was freed."""
        r = self._r
        waiting = [node]
        freed = 0
        while waiting:
            candidate = waiting.pop()
            at = r.base + candidate * f.RECORD
            held = r.u64[(at >> 3) + f.LOOKUPS] or r.u32[(at >> 2) + f.CHILDREN]
            if held or r.u32[(at >> 2) + f.OPENS] or r.u8[at + f.STATE] != f.STATE_NODE:
                continue
            while r.u16[(at >> 1) + f.FLAGS] & f.FLAG_NAMED:
                parent = self._detach(candidate)
                r.u32[((r.base + parent * f.RECORD) >> 2) + f.CHILDREN] -= 1
                waiting.append(parent)
            r.unlink_inode(candidate)
            r.give_back(candidate)
            freed += 1
        return freed > 0

    def forget(self, nodeid: int, count: int) -> bool:
        """The kernel gives back ``count`` lookups. True: the node is gone."""
        if nodeid == f.ROOT:
            return False
        r = self._r
        at = self._at(nodeid) >> 3
        left = r.u64[at + f.LOOKUPS] - count
        r.u64[at + f.LOOKUPS] = max(left, 0)
        if left > 0:
            return False
        r.u32[f.BUSY] = 1
        freed = self._collect(nodeid)
        r.u32[f.BUSY] = 0
        return freed

    def missing(self, parent: int, name: bytes) -> None:
        """A name is not there any more, says the cluster: its node goes by another, if it has one.
        A node's last name is kept; by it the node is told from one that never had a name."""
        slot = self._r.find_name(parent, name)
        if slot and len(self.names(self._owner(slot))) > 1:
            self._r.u32[f.BUSY] = 1
            self._unpin(self._detach(slot))
            self._r.u32[f.BUSY] = 0

    def unlink(self, parent: int, name: bytes) -> int:
        """A name was removed. Its node (marked FLAG_UNLINKED if that was its last), or 0."""
        slot = self._r.find_name(parent, name)
        if not slot:
            return 0
        node = self._owner(slot)
        r = self._r
        r.u32[f.BUSY] = 1
        directory = self._detach(slot)
        at = (r.base + node * f.RECORD) >> 1
        if not r.u16[at + f.FLAGS] & f.FLAG_NAMED:
            r.u16[at + f.FLAGS] |= f.FLAG_UNLINKED
        self._unpin(directory)
        self._collect(node)
        r.u32[f.BUSY] = 0
        return node

    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes) -> int:
        """A name was moved over another, whose node loses it. The moved node, or 0 if unknown."""
        node = self.find(parent, name)
        if node and node == self.find(new_parent, new_name):
            return node  # one file under both names: rename(2) leaves both
        self.unlink(new_parent, new_name)
        slot = self._r.find_name(parent, name)
        if not slot:
            return 0
        r = self._r
        r.u32[f.BUSY] = 1
        held = ((r.base + node * f.RECORD) >> 3) + f.LOOKUPS
        r.u64[held] += 1  # while it has no name
        directory = self._detach(slot)
        self._add_name(node, new_parent, new_name, keep=True)
        r.u64[held] -= 1
        self._unpin(directory)
        r.u32[f.BUSY] = 0
        return node

    def exchange(self, parent: int, name: bytes, other_parent: int, other_name: bytes) -> None:
        """Two names were swapped (RENAME_EXCHANGE)."""
        parked = b"\0exchange"  # no name of the kernel contains a NUL
        self.rename(parent, name, f.ROOT, parked)
        self.rename(other_parent, other_name, parent, name)
        self.rename(f.ROOT, parked, other_parent, other_name)

    # --- what a node is ------------------------------------------------------------------------

    def rebind(self, nodeid: int, mount: int, inode: int) -> None:
        """The same node stands for another inode now (a cached copy got an inode of its own)."""
        at = self._at(nodeid)
        r = self._r
        if (r.u16[(at >> 1) + f.MOUNT], r.u64[at >> 3]) == (mount, inode):
            return
        r.u32[f.BUSY] = 1
        r.unlink_inode(nodeid)
        r.link_inode(nodeid, mount, inode)
        r.u32[f.BUSY] = 0

    def set_mode(self, nodeid: int, mode: int) -> None:
        self._r.u32[(self._at(nodeid) >> 2) + f.MODE] = mode

    def set_cookie(self, nodeid: int, cookie: int) -> None:
        self._r.u64[(self._at(nodeid) >> 3) + f.COOKIE] = cookie

    def change_flags(self, nodeid: int, *, add: int = 0, remove: int = 0) -> int:
        """The server's flags of a node, changed; gives the result."""
        at = (self._at(nodeid) >> 1) + f.FLAGS
        remove &= ~f.FLAG_NAMED
        self._r.u16[at] = (self._r.u16[at] & ~remove) | (add & ~f.FLAG_NAMED)
        return self._r.u16[at]

    def remember(self, nodeid: int, length: int, mtime: int) -> bool:
        """Length and mtime seen at an open. True: the same as the last time (pages may be kept)."""
        at = self._at(nodeid) >> 3
        r = self._r
        same = r.u64[at + f.LENGTH] == length and r.i64[at + f.MTIME] == mtime
        r.u64[at + f.LENGTH] = length
        r.i64[at + f.MTIME] = mtime
        return same

    def opened(
        self, nodeid: int, io_mode: int, backing_id: int = 0, *, writer: bool = False
    ) -> int:
        """One open handle more; how many there are. A node keeps the mode of its first open."""
        at = self._at(nodeid)
        r = self._r
        if not r.u32[(at >> 2) + f.OPENS]:
            r.u8[at + f.IO_MODE] = io_mode
            r.u32[(at >> 2) + f.BACKING] = backing_id
        r.u32[(at >> 2) + f.WRITERS] += writer
        r.u32[(at >> 2) + f.OPENS] += 1
        return r.u32[(at >> 2) + f.OPENS]

    def closed(self, nodeid: int, *, writer: bool = False) -> int:
        """One open handle less; how many are left. The last close ends mode and backing id."""
        at = self._at(nodeid)
        r = self._r
        w = at >> 2
        if writer and r.u32[w + f.WRITERS]:
            r.u32[w + f.WRITERS] -= 1
        left = max(r.u32[w + f.OPENS] - 1, 0)
        if not left:
            r.u8[at + f.IO_MODE] = f.IO_NONE
            r.u32[w + f.BACKING] = 0
            r.u32[w + f.WRITERS] = 0
        r.u32[w + f.OPENS] = left
        if not left:
            r.u32[f.BUSY] = 1
            self._collect(nodeid)
            r.u32[f.BUSY] = 0
        return left
