# SPDX-License-Identifier: Apache-2.0
"""What the master needs to keep data redundant and the cache from overflowing.

Facts about blocks (who holds them, how many copies are asked for), facts about cached files, what
eviction does to them, and notes: small values that the master keeps with the metadata, so that they
survive it (which workers are being decommissioned). Lengths are bytes, times ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from curvine.metadata.blocktable import BlockTable
from curvine.metadata.keys import Table, id_key, worker_block_key
from curvine.metadata.records import Block, Inode, decode_block, decode_inode
from curvine.metadata.rules import exports
from curvine.metadata.rules.attr import free_file
from curvine.metadata.values import ChangeKind
from curvine.model.block import block_owner
from curvine.model.inode import FreeResult, StorageState, StorageType, TtlAction

_NOTE = b"note/"


class BlockFacts(msgspec.Struct, frozen=True, gc=False):
    """A block as replication sees it. ``wanted``: copies that its file asks for."""

    id: int
    len: int
    storage_type: StorageType
    holders: tuple[int, ...]
    wanted: int
    is_open: bool  # somebody has the file open for writing
    mtime: int


class CachedFile(msgspec.Struct, frozen=True, gc=False):
    """A file whose data may be dropped, since the under storage has them."""

    inode_id: int
    path: str
    bytes: int  # over all replicas
    last_used: int  # what the metadata know of it


class Upkeep(BlockTable):
    """Facts and notes."""

    # -- redundancy ----------------------------------------------------------------------------

    def block_facts(self, block_id: int) -> BlockFacts | None:
        """None if no file has the block."""
        block = self._view.block(block_id)
        inode = self._view.inode(block_owner(block_id)) if block is not None else None
        return _facts(block, inode) if block is not None and inode is not None else None

    def facts_after(self, block_id: int, limit: int) -> tuple[list[BlockFacts], int]:
        """(facts of the committed among the next ``limit`` blocks, the last block looked at).

        The second is -1 at the end of the table.
        """
        rows = self._store.scan(Table.BLOCK, id_key(block_id + 1), None)
        blocks = [decode_block(value) for _, value in islice(rows, limit)]
        if not blocks:
            return [], -1
        inodes = self._view.inodes([block_owner(block.id) for block in blocks])
        found = [
            _facts(block, inode)
            for block, inode in zip(blocks, inodes, strict=True)
            if inode is not None and block.locations
        ]
        return found, blocks[-1].id

    def copies_wanted(self, inode_id: int) -> int:
        """Replicas that a file asks for, 0 if there is no such file."""
        inode = self._view.inode(inode_id)
        return max(inode.replicas, 1) if inode is not None else 0

    def is_pending_delete(self, worker_id: int, block_id: int) -> bool:
        """Whether the worker has been, or will be, told to delete the block."""
        if block_id < 0:
            return False
        return self._store.get(Table.PENDING, worker_block_key(worker_id, block_id)) is not None

    def order_delete(self, worker_id: int, block_id: int) -> None:
        """Have a worker delete what it has of a block that is not recorded there."""
        block = self._view.block(block_id)
        if block_id < 0:
            return
        if block is not None and any(worker == worker_id for worker, _ in block.locations):
            return
        draft = self._draft()
        draft.row(Table.PENDING, worker_block_key(worker_id, block_id), b"")
        self._commit(draft)

    # -- eviction ------------------------------------------------------------------------------

    def cached_file(self, inode_id: int) -> CachedFile | None:
        """The file if it may be evicted: cached, safe in the under storage (state Both), nobody
        writes it, and its TTL action is not None. Else None."""
        inode = self._view.inode(inode_id)
        path = self.path_of(inode_id) if inode is not None and _evictable(inode) else None
        if inode is None or path is None:
            return None
        size = sum(block.len * block.copies for block in self._view.blocks(inode))
        return CachedFile(inode_id, path, size, max(inode.mtime, inode.atime))

    def cached_after(self, inode_id: int, limit: int) -> tuple[list[tuple[int, int]], int]:
        """((inode id, last use) of the evictable among the next ``limit`` inodes, the last inode
        looked at); the second is -1 at the end."""
        rows = self._store.scan(Table.INODE, id_key(inode_id + 1), None)
        inodes = [decode_inode(value) for _, value in islice(rows, limit)]
        if not inodes:
            return [], -1
        found = [(i.id, max(i.mtime, i.atime)) for i in inodes if _evictable(i)]
        return found, inodes[-1].id

    def evict(self, inode_id: int, *, delete: bool = False) -> FreeResult:
        """Drop the data of an evictable file, or the cached file as a whole; zero if it is none."""
        file = self.cached_file(inode_id)
        if file is None:
            return FreeResult()
        if delete and exports.fs_mount(self._draft(), file.path) is None:
            return self.delete(file.path)  # in fs_mode that would delete the source as well
        draft = self._draft()
        inode = draft.existing(inode_id)
        result = free_file(draft, inode)
        draft.note(ChangeKind.ATTR, file.path, inode)
        self._commit(draft)
        return result

    # -- notes ---------------------------------------------------------------------------------

    def note(self, name: str) -> bytes | None:
        """The note of that name."""
        return self._store.get(Table.META, _NOTE + name.encode())

    def notes(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """(name, value) of all notes whose names begin with ``prefix``."""
        first = _NOTE + prefix.encode()
        for key, value in self._store.scan(Table.META, first, first + b"\xff"):
            yield key[len(_NOTE) :].decode(), value

    def put_notes(self, changes: Sequence[tuple[str, bytes | None]]) -> None:
        """Store notes, remove those whose value is None; all or none."""
        draft = self._draft()
        for name, value in changes:
            draft.row(Table.META, _NOTE + name.encode(), value)
        self._commit(draft)


def _facts(block: Block, inode: Inode) -> BlockFacts:
    return BlockFacts(
        block.id,
        block.len,
        inode.storage_type,
        tuple(worker for worker, _ in block.locations),
        max(inode.replicas, 1),
        bool(inode.writers),
        inode.mtime,
    )


def _evictable(inode: Inode) -> bool:
    return (
        inode.block_num > 0
        and inode.state is StorageState.BOTH
        and inode.ttl_action is not TtlAction.NONE
        and not inode.writers
        and not inode.is_dir
    )
