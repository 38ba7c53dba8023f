# SPDX-License-Identifier: Apache-2.0
"""Tables of the metadata store and their keys. All integers in keys are big endian.

INODE         inode id (8)                    Inode
ENTRY         parent id (8) + name (UTF-8)    version (1) + inode id (8)
BLOCK         block id (8)                    Block; the id begins with its inode's id
WORKER_BLOCK  worker id (4) + block id (8)    storage type (1): which blocks a worker holds
PENDING       worker id (4) + block id (8)    empty: deletions the worker has not confirmed
TTL           expiry bucket (8) + inode (8)   empty: at or before the inode's true expiry
DETACHED      inode id (8)                    empty: roots of deleted subtrees to reclaim
RETRY         epoch (8)                       RetryRow: answered request ids, oldest first
LOCK          inode id (8)                    LockRow
MOUNT         mount id (4)                    MountRow
META          text                            engine state, format version
EXPORT        epoch (8) + number (2)          ExportRow: changes that the under storage has to get
JOB           text                            rows of the master's load and export jobs
"""

from __future__ import annotations

import struct
from enum import IntEnum

from curvine.model.block import SEQUENCE_BITS


class Table(IntEnum):
    """Column families, by their position in :data:`TABLE_NAMES`."""

    META = 0
    INODE = 1
    ENTRY = 2
    BLOCK = 3
    WORKER_BLOCK = 4
    PENDING = 5
    TTL = 6
    DETACHED = 7
    RETRY = 8
    LOCK = 9
    MOUNT = 10
    EXPORT = 11
    JOB = 12


TABLE_NAMES = tuple(table.name.lower() for table in Table)

STATE_KEY = b"state"
FORMAT_KEY = b"format"
BOOT_KEY = b"boot"  # boot id and "open" while the store is in use

ENTRY_VERSION = 1
TTL_BUCKET_MS = 60_000

_WORKER_BLOCK = struct.Struct(">IQ")
_PAIR = struct.Struct(">QQ")
_ENTRY = struct.Struct(">BQ")

worker_block_key = _WORKER_BLOCK.pack
ttl_key = _PAIR.pack


def id_key(number: int) -> bytes:
    """Key of an inode, block or epoch."""
    return number.to_bytes(8, "big")


def export_key(epoch: int, number: int) -> bytes:
    """Key of a change to export: they sort in the order in which they were made."""
    return epoch.to_bytes(8, "big") + number.to_bytes(2, "big")


def mount_key(mount_id: int) -> bytes:
    """Key of a mount."""
    return mount_id.to_bytes(4, "big")


def entry_key(parent_id: int, name: str) -> bytes:
    """Key of a name in a directory."""
    return parent_id.to_bytes(8, "big") + name.encode("utf-8", "surrogatepass")


def entry_name(key: bytes) -> str:
    """The name in an entry key."""
    return key[8:].decode("utf-8", "surrogatepass")


def entry_value(inode_id: int) -> bytes:
    """What an entry stores."""
    return _ENTRY.pack(ENTRY_VERSION, inode_id)


def entry_inode(value: bytes) -> int:
    """The inode id an entry stands for."""
    return int.from_bytes(value[1:9], "big")


def children_range(parent_id: int) -> tuple[bytes, bytes]:
    """[first, end) of the entries of a directory."""
    return parent_id.to_bytes(8, "big"), (parent_id + 1).to_bytes(8, "big")


def blocks_range(inode_id: int) -> tuple[bytes, bytes]:
    """[first, end) of the blocks of a file."""
    return id_key(inode_id << SEQUENCE_BITS), id_key((inode_id + 1) << SEQUENCE_BITS)


def worker_range(worker_id: int) -> tuple[bytes, bytes]:
    """[first, end) of a worker's rows in WORKER_BLOCK and PENDING."""
    first = worker_id.to_bytes(4, "big")
    return first, first + b"\xff" * 9  # longer than any key of the worker


def worker_key_block(key: bytes) -> int:
    """The block id in a WORKER_BLOCK or PENDING key."""
    return int.from_bytes(key[4:], "big")


def ttl_key_parts(key: bytes) -> tuple[int, int]:
    """(expiry bucket in ms, inode id) of a TTL key."""
    bucket, inode_id = _PAIR.unpack(key)
    return bucket, inode_id
