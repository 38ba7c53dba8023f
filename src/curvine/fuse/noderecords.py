# SPDX-License-Identifier: Apache-2.0
"""The memory of the node table: records, names and hash chains in a memfd, without rules.

Layout: one header page; two arrays of hash chains (by name, by inode); records; long names; room
for the locks of the mount (``lockrecords``). A record is a *node* (slot number = the kernel's node
id) or an *alias*, one further name of a node with hard links. A structural change is bracketed by
the header's ``busy`` word: a process that maps the table and finds it set, or that hashes names
differently, rebuilds chains, counts and free list from the records. One writer at a time, no locks.
Sizes in bytes.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct

from curvine.errors import Common
from curvine.fuse.abi.negotiation import Negotiated

ROOT = 1
DEFAULT_CAPACITY = 1 << 24  # records; address space only, memory is taken as it is used

IO_NONE, IO_CACHED, IO_PASSTHROUGH, IO_DIRECT = range(4)

# Node flags. FLAG_NAMED is the table's; the others belong to the server.
FLAG_NAMED = 1
FLAG_UNLINKED = 2  # the last name went away through this mount while it was open
FLAG_DIRTY = 4  # has writes that are not completed

_MAGIC = 0x31454C4241544E43  # "CNTABLE1"
_BUCKETS = 1 << 20
_PAGE = 4096
RECORD = 128
_INLINE = 32
_LONG = 256
LOCKS_SIZE = 1 << 20  # bytes behind everything else, for ``lockrecords``

# Header words (u32 index). Bytes 64..80 are the session secret, 128.. the negotiated values.
CAPACITY, HIGH, FREE, COUNT, BUSY, PROBE, LONG_HIGH, LONG_FREE = range(2, 10)
SECRET_AT = 64
_NEGOTIATED_AT = 128
_NEGOTIATED = Struct("=7Q")

# Record fields: u64 index, then u32 index, then u16 and u8 index within the record.
INODE, LOOKUPS, LENGTH, MTIME, COOKIE = range(5)
PARENT, GENERATION, CHILDREN, OPENS, BACKING, NEXT_NAME, NEXT_INODE = range(10, 17)
ALIASES, MODE, HASH = 17, 18, 19  # ALIASES: of a node the first alias, of an alias the next
WRITERS, LONG_INDEX = 22, 23
TARGET = WRITERS  # of an alias: its node
MOUNT, FLAGS, NAME_LEN = 40, 42, 43
IO_MODE, STATE = 82, 83
_NAME_AT = 96
STATE_FREE, STATE_NODE, STATE_ALIAS = range(3)


def _size(capacity: int) -> int:
    return _PAGE + 8 * _BUCKETS + capacity * (RECORD + _LONG) + LOCKS_SIZE


def locks_at(fd: int) -> int:
    """Where the room for locks begins in the table's memfd: on a page."""
    return os.fstat(fd).st_size - LOCKS_SIZE


def create_table(capacity: int = DEFAULT_CAPACITY) -> int:
    """A new empty table with its root node; the descriptor of its memfd."""
    fd = os.memfd_create("curvine-nodes")
    os.ftruncate(fd, _size(capacity))
    words = Struct("=Q8I").pack(_MAGIC, capacity, ROOT + 1, 0, 1, 0, 0, 1, 0)
    os.pwrite(fd, words, 0)
    os.pwrite(fd, os.urandom(16), SECRET_AT)
    root = bytearray(RECORD)
    Struct("=QQ").pack_into(root, 0, 0, 1)
    Struct("=I").pack_into(root, 4 * PARENT, ROOT)
    Struct("=I").pack_into(root, 4 * MODE, 0o040755)
    root[STATE] = STATE_NODE
    os.pwrite(fd, root, _PAGE + 8 * _BUCKETS + ROOT * RECORD)
    return fd


def store_negotiated(fd: int, agreed: Negotiated) -> None:
    """Keep the outcome of INIT for every server of this mount."""
    os.pwrite(fd, _NEGOTIATED.pack(*agreed), _NEGOTIATED_AT)


def load_negotiated(fd: int) -> Negotiated:
    return Negotiated._make(_NEGOTIATED.unpack(os.pread(fd, _NEGOTIATED.size, _NEGOTIATED_AT)))


def hash_seed(fd: int) -> int:
    """A PYTHONHASHSEED for every server of this table, so that their names hash alike."""
    return int.from_bytes(os.pread(fd, 4, SECRET_AT), "little") or 1


def _probe() -> int:
    """Differs between processes that hash names differently."""
    return hash(b"curvine") & 0xFFFFFFFF | 1


class Records:
    """The mapped memory and its chains; no rules."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        view = memoryview(self._map)
        self.u8 = view
        self.u16 = view.cast("H")
        self.u32 = view.cast("I")
        self.u64 = view.cast("Q")
        self.i64 = view.cast("q")
        if self.u64[0] != _MAGIC:
            raise Common("the descriptor is not a node table of this version")
        self.capacity = self.u32[CAPACITY]
        self.names = _PAGE // 4  # u32 index of the name chains
        self.inodes = self.names + _BUCKETS
        self.base = _PAGE + 8 * _BUCKETS
        self.longs = self.base + self.capacity * RECORD
        if not self.u32[PROBE]:  # a new table
            self.u32[PROBE] = _probe()
        elif self.u32[BUSY] or self.u32[PROBE] != _probe():
            self.rebuild()

    def close(self) -> None:
        for view in (self.u16, self.u32, self.u64, self.i64, self.u8):
            view.release()
        self._map.close()

    # --- names ---------------------------------------------------------------------------------

    def name_of(self, slot: int) -> bytes:
        at = self.base + slot * RECORD
        length = self.u16[(at >> 1) + NAME_LEN]
        if length <= _INLINE:
            return bytes(self.u8[at + _NAME_AT : at + _NAME_AT + length])
        start = self.longs + self.u32[(at >> 2) + LONG_INDEX] * _LONG
        return bytes(self.u8[start : start + length])

    def set_name(self, slot: int, name: bytes) -> None:
        at = self.base + slot * RECORD
        self.drop_name(slot)
        length = len(name)
        if length <= _INLINE:
            start = at + _NAME_AT
        else:
            index = self._take_long()
            self.u32[(at >> 2) + LONG_INDEX] = index
            start = self.longs + index * _LONG
        self.u8[start : start + length] = name
        self.u16[(at >> 1) + NAME_LEN] = length

    def drop_name(self, slot: int) -> None:
        at = self.base + slot * RECORD
        if self.u16[(at >> 1) + NAME_LEN] > _INLINE:
            index = self.u32[(at >> 2) + LONG_INDEX]
            self.u32[(self.longs + index * _LONG) >> 2] = self.u32[LONG_FREE]
            self.u32[LONG_FREE] = index
        self.u16[(at >> 1) + NAME_LEN] = 0

    def _take_long(self) -> int:
        index = self.u32[LONG_FREE]
        if index:
            self.u32[LONG_FREE] = self.u32[(self.longs + index * _LONG) >> 2]
            return index
        index = self.u32[LONG_HIGH]
        self.u32[LONG_HIGH] = index + 1
        return index

    # --- slots ---------------------------------------------------------------------------------

    def take(self) -> int:
        slot = self.u32[FREE]
        if slot:
            self.u32[FREE] = self.u32[((self.base + slot * RECORD) >> 2) + NEXT_NAME]
        else:
            slot = self.u32[HIGH]
            if slot >= self.capacity:
                raise Common(f"the node table is full ({self.capacity} nodes)")
            self.u32[HIGH] = slot + 1
        self.u32[COUNT] += 1
        return slot

    def give_back(self, slot: int) -> None:
        """Free a record; only its generation survives, one higher."""
        at = self.base + slot * RECORD
        self.drop_name(slot)
        generation = self.u32[(at >> 2) + GENERATION]
        self.u8[at : at + RECORD] = bytes(RECORD)
        self.u32[(at >> 2) + GENERATION] = (generation + 1) & 0xFFFFFFFF
        self.u32[(at >> 2) + NEXT_NAME] = self.u32[FREE]
        self.u32[FREE] = slot
        self.u32[COUNT] -= 1

    # --- chains --------------------------------------------------------------------------------

    def find_name(self, parent: int, name: bytes) -> int:
        """The record (node or alias) of a name, or 0."""
        key = (hash(name) ^ parent * 0x9E3779B1) & 0xFFFFFFFF
        u32 = self.u32
        slot = u32[self.names + (key & (_BUCKETS - 1))]
        while slot:
            at = (self.base + slot * RECORD) >> 2
            same = u32[at + HASH] == key and u32[at + PARENT] == parent
            if same and self.name_of(slot) == name:
                return slot
            slot = u32[at + NEXT_NAME]
        return 0

    def link_name(self, slot: int, parent: int, name: bytes) -> None:
        at = (self.base + slot * RECORD) >> 2
        key = (hash(name) ^ parent * 0x9E3779B1) & 0xFFFFFFFF
        bucket = self.names + (key & (_BUCKETS - 1))
        self.u32[at + PARENT] = parent
        self.u32[at + HASH] = key
        self.u32[at + NEXT_NAME] = self.u32[bucket]
        self.u32[bucket] = slot

    def unlink_name(self, slot: int) -> None:
        key = self.u32[((self.base + slot * RECORD) >> 2) + HASH]
        self._unchain(self.names + (key & (_BUCKETS - 1)), slot, NEXT_NAME)

    def _inode_bucket(self, mount: int, inode: int) -> int:
        return self.inodes + (hash((mount, inode)) & (_BUCKETS - 1))

    def find_inode(self, mount: int, inode: int) -> int:
        u32 = self.u32
        slot = u32[self._inode_bucket(mount, inode)]
        while slot:
            at = self.base + slot * RECORD
            if self.u64[at >> 3] == inode and self.u16[(at >> 1) + MOUNT] == mount:
                return slot
            slot = u32[(at >> 2) + NEXT_INODE]
        return 0

    def link_inode(self, slot: int, mount: int, inode: int) -> None:
        at = self.base + slot * RECORD
        bucket = self._inode_bucket(mount, inode)
        self.u64[at >> 3] = inode
        self.u16[(at >> 1) + MOUNT] = mount
        self.u32[(at >> 2) + NEXT_INODE] = self.u32[bucket]
        self.u32[bucket] = slot

    def unlink_inode(self, slot: int) -> None:
        at = self.base + slot * RECORD
        bucket = self._inode_bucket(self.u16[(at >> 1) + MOUNT], self.u64[at >> 3])
        self._unchain(bucket, slot, NEXT_INODE)

    def _unchain(self, bucket: int, slot: int, link: int) -> None:
        u32 = self.u32
        position = bucket
        while u32[position] != slot:
            if not u32[position]:
                return  # not chained: nothing to take out
            position = ((self.base + u32[position] * RECORD) >> 2) + link
        u32[position] = u32[((self.base + slot * RECORD) >> 2) + link]

    # --- repair --------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Make chains, counts and free list agree with the records."""
        u32 = self.u32
        u32[BUSY] = 1
        high = u32[HIGH]
        self._map.madvise(mmap.MADV_REMOVE, _PAGE, self.base - _PAGE)  # chains become zeros
        u32[FREE] = u32[COUNT] = 0
        for slot in range(ROOT, high):
            at = self.base + slot * RECORD
            u32[(at >> 2) + CHILDREN] = 0
            if self.u8[at + STATE] == STATE_NODE:
                u32[(at >> 2) + ALIASES] = 0
        for slot in range(ROOT, high):
            self._rebuild_record(slot)
        u32[PROBE] = _probe()
        u32[BUSY] = 0

    def _rebuild_record(self, slot: int) -> None:
        at = self.base + slot * RECORD
        u32 = self.u32
        state = self.u8[at + STATE]
        if state == STATE_ALIAS:
            target = self.base + u32[(at >> 2) + TARGET] * RECORD
            if self.u8[target + STATE] != STATE_NODE:
                state = STATE_FREE  # its node was being freed
            else:
                u32[(at >> 2) + ALIASES] = u32[(target >> 2) + ALIASES]
                u32[(target >> 2) + ALIASES] = slot
        if state == STATE_FREE:
            self.u8[at + STATE] = STATE_FREE
            u32[(at >> 2) + NEXT_NAME] = u32[FREE]
            u32[FREE] = slot
            return
        u32[COUNT] += 1
        if state == STATE_NODE:
            self.link_inode(slot, self.u16[(at >> 1) + MOUNT], self.u64[at >> 3])
        if self.u16[(at >> 1) + FLAGS] & FLAG_NAMED:
            parent = u32[(at >> 2) + PARENT]
            self.link_name(slot, parent, self.name_of(slot))
            u32[((self.base + parent * RECORD) >> 2) + CHILDREN] += 1
