# SPDX-License-Identifier: Apache-2.0
"""What is stored, with everything resolved: no record needs a rule or a clock to be applied.

Records are msgpack arrays whose first element is the record's version; fields are only ever
appended (with a default), so that older records read and newer ones can be read by older code.
A mutation's records form one :class:`Batch`: what the write-ahead log, a journal and a follower
get. Times are ms, lengths bytes.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from curvine.metadata.values import StoredBlock
from curvine.model.block import AllocOpts, BlockLocation
from curvine.model.inode import (
    ROOT_INODE_ID,
    FileStatus,
    FileType,
    StoragePolicy,
    StorageState,
    StorageType,
    TtlAction,
)
from curvine.model.mount import MountInfo

RECORD_VERSION = 1
FORMAT_VERSION = 1


class Inode(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file, directory, link or special file.

    ``parent`` and ``name`` say where it is (for several hard links: one of the places, the others
    are in ``links``). ``len`` is bytes, for a directory the number of its entries. ``ctime`` 0
    means that nothing has changed since creation. ``block_bytes`` is the sum of the block lengths.
    """

    v: int
    id: int
    kind: FileType
    parent: int
    name: str
    mode: int
    owner: str
    group: str
    mtime: int
    atime: int
    ctime: int = 0
    nlink: int = 1
    len: int = 0
    storage_type: StorageType = StorageType.DISK
    ttl_ms: int = 0
    ttl_action: TtlAction = TtlAction.NONE
    ufs_mtime: int = 0
    state: StorageState = StorageState.CV
    replicas: int = 0
    block_size: int = 0
    next_seq: int = 0
    block_num: int = 0
    block_bytes: int = 0
    writers: tuple[str, ...] = ()
    target: str | None = None
    xattrs: dict[str, bytes] | None = None
    links: tuple[tuple[int, str], ...] = ()

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return self.kind is FileType.DIR


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One block. ``alloc``: (truncate, len, off, mode); ``locations``: (worker id, storage type).

    ``preassigned`` are the workers chosen before the first commit, kept so that deletion reaches
    them. ``former`` are workers that were lost with a replica of the present content: it counts
    again when they come back before the block is written again. No location, no pre-assigned
    worker and ``alloc`` set: a hole.
    """

    v: int
    id: int
    len: int = 0
    alloc: tuple[bool, int, int, int] | None = None
    preassigned: tuple[int, ...] = ()
    locations: tuple[tuple[int, int], ...] = ()
    former: tuple[int, ...] = ()

    @property
    def copies(self) -> int:
        """Workers that hold the block, or may hold part of it."""
        return len(self.locations) or len(self.preassigned)


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The engine's counters after a batch. Counts leave the root out."""

    v: int = RECORD_VERSION
    epoch: int = 0
    next_inode: int = ROOT_INODE_ID + 1
    dirs: int = 0
    files: int = 0


class RetryRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An answered request: its id, when, which operation, and the inode it was about (0: none)."""

    v: int
    req_id: int
    time: int
    op: int
    inode_id: int = 0


class LockItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One lock of a :class:`LockRow`; ``start`` and ``end`` are inclusive."""

    client_id: str
    owner_id: int
    pid: int
    acquire_time: int
    lock_type: int
    flavor: int
    start: int
    end: int


class LockRow(msgspec.Struct, frozen=True, array_like=True):
    """All locks of one inode."""

    v: int
    locks: tuple[LockItem, ...]


class MountRow(msgspec.Struct, frozen=True, array_like=True):
    """One mount."""

    v: int
    mount: MountInfo


class ExportKind(IntEnum):
    """What the under storage of an fs_mode mount has to follow. Stored: never renumber."""

    MKDIR = 1
    FILE = 2  # the content of the file, as it is when the export runs
    RENAME = 3
    DELETE = 4
    LINK = 5


class ExportRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change to export. ``target`` is where a rename leads, or what a link points to.

    ``len`` and ``ufs_mtime`` of a deleted file are those of the object that it stood for; a
    ``ufs_mtime`` of 0 says that it was changed in the cluster, or that it is a directory.
    """

    v: int
    kind: ExportKind
    mount_id: int
    path: str
    inode_id: int
    target: str = ""
    is_dir: bool = False
    len: int = 0
    ufs_mtime: int = 0
    time: int = 0


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """All records of one mutation: applied as a whole or not at all.

    None (0 for an entry) removes. ``rows`` are (table, key, value or None) of the index tables.
    ``dirs_moved``: a directory was moved or removed, so paths known by heart are void.
    ``mounts_changed``: the rows touch the mount table, which is kept in memory.
    """

    v: int
    state: State
    inodes: dict[int, Inode | None]
    entries: dict[bytes, int]
    blocks: dict[int, Block | None]
    rows: list[tuple[int, bytes, bytes | None]]
    dirs_moved: bool = False
    mounts_changed: bool = False


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_inode = msgspec.msgpack.Decoder(Inode).decode
decode_block = msgspec.msgpack.Decoder(Block).decode
decode_state = msgspec.msgpack.Decoder(State).decode
decode_retry = msgspec.msgpack.Decoder(RetryRow).decode
decode_locks = msgspec.msgpack.Decoder(LockRow).decode
decode_mount = msgspec.msgpack.Decoder(MountRow).decode
decode_export = msgspec.msgpack.Decoder(ExportRow).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode


def status_of(inode: Inode, path: str) -> FileStatus:
    """What stat of ``path`` tells; the root has no name."""
    is_dir = inode.kind is FileType.DIR
    return FileStatus(
        id=inode.id,
        path=path,
        name=path.rpartition("/")[2],
        is_dir=is_dir,
        mtime=inode.mtime,
        atime=inode.atime,
        children_num=inode.len if is_dir else 0,
        is_complete=not is_dir and not inode.writers,
        len=inode.len,
        replicas=inode.replicas,
        block_size=inode.block_size,
        file_type=inode.kind,
        x_attr=inode.xattrs or {},
        storage_policy=StoragePolicy(
            inode.storage_type, inode.ttl_ms, inode.ttl_action, inode.ufs_mtime, inode.state
        ),
        owner=inode.owner,
        group=inode.group,
        mode=inode.mode,
        target=inode.target,
        nlink=inode.nlink,
        ctime=inode.ctime or None,
    )


def stored_block(inode: Inode, block: Block) -> StoredBlock:
    """A block as callers see it."""
    return StoredBlock(
        block.id,
        block.len,
        inode.storage_type,
        inode.kind,
        AllocOpts(*block.alloc) if block.alloc is not None else None,
        block.preassigned,
        tuple(BlockLocation(worker, StorageType(kind)) for worker, kind in block.locations),
    )
