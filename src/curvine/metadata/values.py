# SPDX-License-Identifier: Apache-2.0
"""What the engine hands out besides the model: stored blocks, changes, limits, results.

A :class:`StoredBlock` knows worker ids only; turning them into addresses of registered workers is
the master's business (control-plane specification 5.9).
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from curvine.model.block import AllocOpts, BlockLocation
from curvine.model.inode import FileType, StorageType, TtlAction


class StoredBlock(msgspec.Struct, frozen=True, gc=False):
    """A block as the master keeps it. ``preassigned`` counts until the first commit."""

    id: int
    len: int
    storage_type: StorageType
    file_type: FileType
    alloc_opts: AllocOpts | None = None
    preassigned: tuple[int, ...] = ()
    locations: tuple[BlockLocation, ...] = ()

    @property
    def worker_ids(self) -> tuple[int, ...]:
        """Workers that hold the block, or are to receive it."""
        if self.locations:
            return tuple(location.worker_id for location in self.locations)
        return self.preassigned


class ChangeKind(IntEnum):
    """What a watcher must forget. Numbers are those of the Watch message."""

    ATTR = 1  # attributes or content of the inode
    ENTRY = 2  # what the name stands for; implies ATTR of the parent


class Change(msgspec.Struct, frozen=True, gc=False):
    """One visible consequence of a mutation, told after it is in the log."""

    path: str
    inode_id: int
    parent_id: int
    name: str
    kind: ChangeKind
    epoch: int


class ExpiredInode(msgspec.Struct, frozen=True, gc=False):
    """An inode whose time to live is over; ``bucket`` is where the TTL index has it (ms)."""

    inode_id: int
    path: str
    is_dir: bool
    action: TtlAction
    bucket: int


class Deletion(msgspec.Struct):
    """A deleted subtree that is being reclaimed for somebody who waits for its counts."""

    left: set[int]  # detached directories of it
    files: int = 0
    bytes: int = 0  # over all replicas


class LostBlocks(msgspec.Struct, frozen=True):
    """What the disappearance of replicas left behind.

    ``under_replicated``: blocks with fewer replicas than their file asks for, at least one left.
    ``lost``: blocks without any replica. ``detached``: files that fell back to the under storage.
    """

    under_replicated: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    detached: tuple[int, ...] = ()


class Limits(msgspec.Struct, frozen=True, gc=False):
    """Bounds that the master's configuration sets ([master], section 8.3)."""

    min_replication: int = 1
    max_replication: int = 100  # exclusive
    min_block_size: int = 1 << 20
    max_block_size: int = 100 << 30  # exclusive, bytes
    max_path_len: int = 8000  # bytes
    max_path_depth: int = 1000  # parts of the path split on "/", the leading empty one included
    lock_expire_ms: int = 300_000
    retry_cache_size: int = 100_000  # entries, 0 switches the cache off
    retry_cache_ttl_ms: int = 600_000
    delete_at_once: int = 200  # inodes; a larger subtree is detached and reclaimed in steps
    change_ring: int = 100_000  # changes kept for watchers and delta pages
    cached_inodes: int = 65_536  # per generation of the inode cache, two generations
