# SPDX-License-Identifier: Apache-2.0
"""A mutation being drafted: what a rule reads and writes, before anything is stored.

A rule reads through the draft (its own changes over the committed :class:`View`), writes into it,
and :meth:`Draft.batch` gives the records, indexes included. Nothing is stored until the engine
applies that batch, so a rule that raises has changed nothing. The clock is read once, by the
engine: ``now`` is an argument like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec.structs import replace

from curvine.errors import AbnormalData, Common, NotFound
from curvine.metadata.keys import (
    TTL_BUCKET_MS,
    Table,
    entry_key,
    export_key,
    id_key,
    ttl_key,
    worker_block_key,
)
from curvine.metadata.records import (
    RECORD_VERSION,
    Batch,
    Block,
    ExportRow,
    Inode,
    State,
    encode,
)
from curvine.metadata.values import ChangeKind
from curvine.model.inode import StorageState, TtlAction
from curvine.model.mount import MountInfo

MAX_FORMER = 8  # lost workers remembered per block; older ones start from nothing when they return


class View(Protocol):
    """Committed state, as far as rules look at it."""

    state: State
    mounts: tuple[MountInfo, ...]

    def inode(self, inode_id: int) -> Inode | None: ...

    def child(self, parent_id: int, name: str) -> int: ...

    def children(self, parent_id: int, after: str = "") -> Iterator[tuple[str, int]]: ...

    def inodes(self, inode_ids: list[int]) -> list[Inode | None]: ...

    def block(self, block_id: int) -> Block | None: ...

    def blocks(self, inode: Inode) -> list[Block]: ...

    def resolve(self, path: str) -> Inode | None: ...

    def directory(self, path: str) -> int: ...


class Draft:
    """One mutation over a view."""

    __slots__ = (
        "_blocks",
        "_entries",
        "_inodes",
        "_rows",
        "changes",
        "dirs",
        "dirs_moved",
        "exports",
        "files",
        "first_new",
        "mounts_changed",
        "next_inode",
        "now",
        "subject",
        "view",
    )

    def __init__(self, view: View, now: int) -> None:
        self.view = view
        self.now = now
        state = view.state
        self.next_inode = state.next_inode
        self.dirs = state.dirs
        self.files = state.files
        self.dirs_moved = False
        self.mounts_changed = False
        self.subject = 0  # the inode that a replay of this request is about
        self.changes: list[tuple[ChangeKind, str, int, int, str]] = []
        self.exports: list[tuple[bytes, ExportRow]] = []
        self._inodes: dict[int, Inode | None] = {}
        self.first_new = state.next_inode  # ids from here on did not exist before
        self._entries: dict[bytes, int] = {}
        self._blocks: dict[int, Block | None] = {}
        self._rows: list[tuple[int, bytes, bytes | None]] = []

    # -- reading -------------------------------------------------------------------------------

    def inode(self, inode_id: int) -> Inode | None:
        """The inode as this draft leaves it."""
        if inode_id in self._inodes:
            return self._inodes[inode_id]
        return self.view.inode(inode_id)

    def existing(self, inode_id: int) -> Inode:
        """An inode that another record refers to; its absence is damage, not a missing path."""
        inode = self.inode(inode_id)
        if inode is None:
            raise AbnormalData(f"Inode {inode_id} is referred to but does not exist")
        return inode

    def child(self, parent_id: int, name: str) -> int:
        """Inode id of a name, 0 if there is none."""
        if self._entries:
            key = entry_key(parent_id, name)
            if key in self._entries:
                return self._entries[key]
        return self.view.child(parent_id, name)

    def resolve(self, path: str) -> Inode:
        """The inode of a path as it was before this draft; NotFound if there is none."""
        inode = self.view.resolve(path)
        if inode is None:
            raise NotFound(f"File {path} not found")
        return inode

    def resolve_file(self, path: str, inode_id: int = 0) -> Inode:
        """A file by id (if > 0) or path; NotFound if missing, Common for a directory."""
        if inode_id > 0:
            inode = self.inode(inode_id)
            if inode is None:
                raise NotFound(f"File {path} (inode {inode_id}) not found")
        else:
            inode = self.resolve(path)
        if inode.is_dir:
            raise Common(f"{path} is a directory")
        return inode

    def block(self, block_id: int) -> Block | None:
        """The block as this draft leaves it."""
        if block_id in self._blocks:
            return self._blocks[block_id]
        return self.view.block(block_id)

    # -- writing -------------------------------------------------------------------------------

    def allocate(self) -> int:
        """A new inode id, never used before."""
        inode_id = self.next_inode
        self.next_inode = inode_id + 1
        return inode_id

    def put(self, inode: Inode) -> None:
        """Store an inode."""
        self._inodes[inode.id] = inode

    def drop(self, inode: Inode) -> None:
        """Remove an inode and its locks; its blocks are the caller's business."""
        self._inodes[inode.id] = None
        self._rows.append((Table.LOCK, id_key(inode.id), None))
        if inode.is_dir:
            self.dirs -= 1
            self.dirs_moved = True
        else:
            self.files -= 1

    def put_entry(self, parent_id: int, name: str, inode_id: int) -> None:
        """Let a name stand for an inode."""
        self._entries[entry_key(parent_id, name)] = inode_id

    def drop_entry(self, parent_id: int, name: str) -> None:
        """Remove a name."""
        self._entries[entry_key(parent_id, name)] = 0

    def put_block(self, block: Block, before: Block | None) -> None:
        """Store a block; the index of the workers that hold it follows.

        Replicas that ``before`` had and ``block`` lacks are stale: their workers must delete them,
        those that are away as soon as they are back.
        """
        self._blocks[block.id] = block
        old = before.locations if before is not None else ()
        workers = {worker for worker, _ in block.locations}
        if before is not None and before.former != block.former:
            for worker in before.former:
                if worker not in block.former and worker not in workers:
                    self._rows.append((Table.PENDING, worker_block_key(worker, block.id), b""))
        if old == block.locations:
            return
        for worker, kind in block.locations:
            key = worker_block_key(worker, block.id)
            self._rows.append((Table.WORKER_BLOCK, key, bytes((kind,))))
            self._rows.append((Table.PENDING, key, None))
        for worker, _ in old:
            if worker not in workers:
                key = worker_block_key(worker, block.id)
                self._rows.append((Table.WORKER_BLOCK, key, None))
                self._rows.append((Table.PENDING, key, b""))

    def drop_block(self, block: Block) -> None:
        """Remove a block and have every worker that may hold some of it delete it."""
        self._blocks[block.id] = None
        for worker, _ in block.locations:
            key = worker_block_key(worker, block.id)
            self._rows.append((Table.WORKER_BLOCK, key, None))
            self._rows.append((Table.PENDING, key, b""))
        for worker in (*block.preassigned, *block.former):
            self._rows.append((Table.PENDING, worker_block_key(worker, block.id), b""))

    def lose_replica(self, block: Block, worker_id: int, *, may_return: bool = False) -> Block:
        """The worker no longer holds the block, and is not to be told. ``may_return``: it is the
        worker that is gone, with its replica."""
        left = tuple(where for where in block.locations if where[0] != worker_id)
        former = tuple(known for known in block.former if known != worker_id)
        if may_return:
            former = (*former, worker_id)[-MAX_FORMER:]
        changed = replace(block, locations=left, former=former)
        self._blocks[block.id] = changed
        self._rows.append((Table.WORKER_BLOCK, worker_block_key(worker_id, block.id), None))
        return changed

    def row(self, table: Table, key: bytes, value: bytes | None) -> None:
        """Store or remove (None) a row of an index table."""
        self._rows.append((table, key, value))

    def export(self, change: ExportRow) -> None:
        """Have the under storage follow, in the order of these calls."""
        key = export_key(self.view.state.epoch + 1, len(self.exports))
        self.exports.append((key, change))
        self._rows.append((Table.EXPORT, key, encode(change)))

    def note(self, kind: ChangeKind, path: str, inode: Inode) -> None:
        """Tell watchers about ``path``, once the batch is in the log."""
        parent, name = inode.parent, inode.name
        if inode.links:  # several names: the one that ``path`` ends with
            above, _, name = path.rpartition("/")
            parent = self.view.directory(above)
        self.changes.append((kind, path, inode.id, parent, name))

    # -- result --------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self._inodes or self._entries or self._blocks or self._rows)

    def batch(self) -> Batch:
        """The records of this mutation, TTL index included."""
        for inode_id, inode in self._inodes.items():
            new = expiry_bucket(inode) if inode is not None and inode.ttl_ms else 0
            old = 0
            if inode_id < self.first_new:
                before = self.view.inode(inode_id)
                if before is not None and before.ttl_ms:
                    old = expiry_bucket(before)
            if old != new:
                if old:
                    self._rows.append((Table.TTL, ttl_key(old, inode_id), None))
                if new:
                    self._rows.append((Table.TTL, ttl_key(new, inode_id), b""))
        state = self.view.state
        return Batch(
            RECORD_VERSION,
            State(RECORD_VERSION, state.epoch + 1, self.next_inode, self.dirs, self.files),
            self._inodes,
            self._entries,
            self._blocks,
            self._rows,
            self.dirs_moved,
            self.mounts_changed,
        )


def expiry(inode: Inode) -> int:
    """When the inode expires (ms), 0 for never (5.12)."""
    if inode.ttl_ms <= 0 or inode.ttl_action is TtlAction.NONE:
        return 0
    return inode.mtime + inode.ttl_ms


def expiry_bucket(inode: Inode) -> int:
    """The start of the minute in which the inode has to be looked at, 0 for never.

    A file whose action is Free and that holds no copy of under-storage data has nothing to free.
    """
    if (
        inode.ttl_action is TtlAction.FREE
        and not inode.is_dir
        and inode.state is not StorageState.BOTH
    ):
        return 0
    when = expiry(inode)
    return max(when - when % TTL_BUCKET_MS, 1) if when > 0 else 0
