# SPDX-License-Identifier: Apache-2.0
"""Blocks: the pieces of a file that workers store.

A block id is (inode id << 24) | sequence, the sequence growing for ever within its file
(control-plane specification 5.1). ``len`` is a block's current length in bytes; the wire calls it
``block_size`` in ExtendedBlockProto, which misleads.
"""

from __future__ import annotations

import msgspec

from curvine.model.inode import FileStatus, FileType, StorageType
from curvine.model.worker import WorkerAddress

SEQUENCE_BITS = 24
MAX_SEQUENCE = (1 << SEQUENCE_BITS) - 1


def block_id(inode_id: int, sequence: int) -> int:
    """The id of block ``sequence`` of file ``inode_id``."""
    return (inode_id << SEQUENCE_BITS) | sequence


def block_owner(block: int) -> int:
    """The inode id that a block id belongs to."""
    return block >> SEQUENCE_BITS


class AllocOpts(msgspec.Struct, frozen=True, gc=False):
    """Pending sizing of a block or file: truncate to, or allocate, ``len`` bytes.

    ``mode`` holds fallocate bits: 0, 1 (keep size) and 16 (zero range) are accepted.
    """

    truncate: bool
    len: int
    off: int = 0
    mode: int = 0


class BlockLocation(msgspec.Struct, frozen=True, gc=False):
    """A replica: which worker, on what medium."""

    worker_id: int
    storage_type: StorageType = StorageType.DISK


class CommitBlock(msgspec.Struct, frozen=True):
    """A block that workers have finished, as its writer reports it to the master."""

    block_id: int
    block_len: int
    locations: tuple[BlockLocation, ...]


class ExtendedBlock(msgspec.Struct, frozen=True, gc=False):
    """A block as readers and writers name it. ``len`` is its current length in bytes."""

    id: int
    len: int
    storage_type: StorageType = StorageType.DISK
    file_type: FileType = FileType.FILE
    alloc_opts: AllocOpts | None = None


class LocatedBlock(msgspec.Struct, frozen=True):
    """A block and the workers that hold it. No workers and ``alloc_opts`` = a hole (zeros)."""

    block: ExtendedBlock
    locs: tuple[WorkerAddress, ...] = ()
    offset: int = 0
    has_spdk: bool = False


class FileBlocks(msgspec.Struct, frozen=True):
    """A file and its blocks in file order, ids ascending."""

    status: FileStatus
    blocks: tuple[LocatedBlock, ...] = ()
