# SPDX-License-Identifier: Apache-2.0
"""The view of the store that rules read: RocksDB through three bounded caches.

- inodes and directory entries: two generations each. A full young generation becomes the old one,
  what is used again moves back; nothing is counted or linked on a hit.
- paths of directories -> inode id: void as a whole when any directory moves or goes.

The caches hold committed state only: :meth:`CachedView.absorb` is called after the batch is in the
log. One thread owns the view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from curvine.errors import Common
from curvine.metadata.keys import (
    STATE_KEY,
    Table,
    blocks_range,
    children_range,
    entry_inode,
    entry_key,
    entry_name,
    id_key,
)
from curvine.metadata.records import (
    Batch,
    Block,
    Inode,
    State,
    decode_block,
    decode_inode,
    decode_mount,
    decode_state,
)
from curvine.metadata.store import Store
from curvine.model.inode import ROOT_INODE_ID
from curvine.model.mount import MountInfo

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """A bounded map that forgets what was not used for a while (at most 2 x ``limit`` entries)."""

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        young = self._young
        young[key] = value
        if len(young) > self._limit:
            self._old = young
            self._young = {}

    def drop(self, key: K) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class CachedView:
    """Committed namespace state. Implements ``draft.View``."""

    def __init__(self, store: Store, cached_inodes: int) -> None:
        self.store = store
        self._inodes: Generations[int, Inode] = Generations(cached_inodes)
        self._entries: Generations[bytes, int] = Generations(cached_inodes)
        self._dirs: dict[str, int] = {}
        self._dirs_limit = cached_inodes
        self.dirs_moved = 0  # batches that moved or removed directories
        self.cached_inode = self._inodes.get
        raw = store.get(Table.META, STATE_KEY)
        self.state = decode_state(raw) if raw is not None else State()
        self.mounts: tuple[MountInfo, ...] = self._read_mounts()

    def inode(self, inode_id: int) -> Inode | None:
        """The inode of that id."""
        inode = self._inodes.get(inode_id)
        if inode is None and inode_id > 0:  # callers pass on what peers say
            raw = self.store.get(Table.INODE, inode_id.to_bytes(8, "big"))
            if raw is not None:
                inode = decode_inode(raw)
                self._inodes.put(inode_id, inode)
        return inode

    def child(self, parent_id: int, name: str) -> int:
        """Inode id of ``name`` in a directory, 0 if there is none."""
        key = entry_key(parent_id, name)
        inode_id = self._entries.get(key)
        if inode_id is None:
            raw = self.store.get(Table.ENTRY, key)
            if raw is None:
                return 0
            inode_id = int.from_bytes(raw[1:9], "big")
            self._entries.put(key, inode_id)
        return inode_id

    def children(self, parent_id: int, after: str = "") -> Iterator[tuple[str, int]]:
        """(name, inode id) in byte order of the names, from behind ``after``."""
        first, end = children_range(parent_id)
        if after:
            first = entry_key(parent_id, after) + b"\0"
        for key, value in self.store.scan(Table.ENTRY, first, end):
            yield entry_name(key), entry_inode(value)

    def inodes(self, inode_ids: list[int]) -> list[Inode | None]:
        """Many inodes in one read. What is not cached is not put into the cache (listings)."""
        cached = [self._inodes.get(inode_id) for inode_id in inode_ids]
        missing = [at for at, inode in enumerate(cached) if inode is None]
        if missing:
            keys = [id_key(inode_ids[at]) for at in missing]
            for at, raw in zip(missing, self.store.get_many(Table.INODE, keys), strict=True):
                cached[at] = decode_inode(raw) if raw is not None else None
        return cached

    def block(self, block_id: int) -> Block | None:
        """The block of that id."""
        if block_id < 0:  # as above
            return None
        raw = self.store.get(Table.BLOCK, id_key(block_id))
        return decode_block(raw) if raw is not None else None

    def blocks(self, inode: Inode) -> list[Block]:
        """The blocks of a file, ids ascending."""
        if inode.block_num == 0:
            return []
        if inode.block_num == 1 and inode.next_seq == 1:
            block = self.block(inode.id << 24)
            return [block] if block is not None else []
        first, end = blocks_range(inode.id)
        return [decode_block(value) for _, value in self.store.scan(Table.BLOCK, first, end)]

    def resolve(self, path: str) -> Inode | None:
        """The inode of a path, None if missing. Common for a path that cannot be (5.2)."""
        if path == "/":
            return self.inode(ROOT_INODE_ID)
        parent, _, name = path.rpartition("/")
        if not name or path[0] != "/":
            raise Common(f"Path {path!r} is invalid, it must start with '/' and not end with it")
        parent_id = self._dirs.get(parent) or self.directory(parent)
        if not parent_id:
            return None
        inode_id = self.child(parent_id, name)
        if not inode_id:
            return None
        return self._inodes.get(inode_id) or self.inode(inode_id)

    def warm(self, paths: Iterable[str]) -> None:
        """Take into the caches what these paths lead to, as far as their directories are known.

        Many records in one read cost two thirds of what they cost one by one.
        """
        dirs, entries, inodes = self._dirs, self._entries, self._inodes
        keys: list[bytes] = []
        wanted: list[int] = []
        for path in paths:
            parent, _, name = path.rpartition("/")
            parent_id = dirs.get(parent)
            if parent_id is None:
                continue
            key = entry_key(parent_id, name)
            inode_id = entries.get(key)
            if inode_id is None:
                keys.append(key)
            elif inodes.get(inode_id) is None:
                wanted.append(inode_id)
        for key, row in zip(keys, self.store.get_many(Table.ENTRY, keys), strict=True):
            if row is not None:
                inode_id = entry_inode(row)
                entries.put(key, inode_id)
                if inodes.get(inode_id) is None:
                    wanted.append(inode_id)
        rows = self.store.get_many(Table.INODE, [id_key(inode_id) for inode_id in wanted])
        for inode_id, row in zip(wanted, rows, strict=True):
            if row is not None:
                inodes.put(inode_id, decode_inode(row))

    def directory(self, path: str) -> int:
        """Inode id of the directory ``path`` ("" is the root), 0 if it is not one."""
        if not path:
            return ROOT_INODE_ID
        known = self._dirs.get(path)
        if known is not None:
            return known
        inode_id = ROOT_INODE_ID
        for name in path[1:].split("/"):
            inode_id = self.child(inode_id, name)  # a file has no entries, so it ends the walk
            if not inode_id:
                return 0
        inode = self.inode(inode_id)
        if inode is None or not inode.is_dir:
            return 0
        if len(self._dirs) >= self._dirs_limit:
            self._dirs.clear()
        self._dirs[path] = inode_id
        return inode_id

    def absorb(self, batch: Batch) -> None:
        """Take over a batch that is in the log."""
        self.state = batch.state
        for inode_id, inode in batch.inodes.items():
            if inode is None:
                self._inodes.drop(inode_id)
            else:
                self._inodes.put(inode_id, inode)
        for key, inode_id in batch.entries.items():
            if inode_id:
                self._entries.put(key, inode_id)
            else:
                self._entries.drop(key)
        if batch.dirs_moved:
            self.dirs_moved += 1
            self._dirs.clear()
        if batch.mounts_changed:
            self.mounts = self._read_mounts()

    def _read_mounts(self) -> tuple[MountInfo, ...]:
        rows = self.store.scan(Table.MOUNT, b"", None)
        return tuple(decode_mount(value).mount for _, value in rows)

    def forget(self) -> None:
        """Drop every cached entry, keep the state."""
        limit = self._dirs_limit
        self._inodes = Generations(limit)
        self.cached_inode = self._inodes.get
        self._entries = Generations(limit)
        self._dirs = {}
