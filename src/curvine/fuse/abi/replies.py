# SPDX-License-Identifier: Apache-2.0
"""Replies to the kernel: each function gives the complete message, header included.

How long the kernel may believe an answer is given in milliseconds. One write to the device is one
message; it goes to the descriptor that the request was read from.
Source: include/uapi/linux/fuse.h, fs/fuse/dev.c.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from curvine.fuse.abi.structs import OUT_HEADER

_HEADER = OUT_HEADER.size  # 16
_ATTR = "QQQQQQIIIIIIIIII"  # 88 bytes
_ATTR_OUT = Struct("=IiQ" + "QI4x" + _ATTR)
_ENTRY = "QQQQII" + _ATTR  # 128 bytes
_ENTRY_OUT = Struct("=IiQ" + _ENTRY)
_OPEN_OUT = Struct("=IiQ" + "QIi")
_CREATE_OUT = Struct("=IiQ" + _ENTRY + "QIi")
_WRITE_OUT = Struct("=IiQ" + "I4x")
_STATFS_OUT = Struct("=IiQ" + "QQQQQIII28x")
_LK_OUT = Struct("=IiQ" + "QQII")
_U64_OUT = Struct("=IiQ" + "Q")
_IOCTL_OUT = Struct("=IiQ" + "iIII")
_ENTRY_ONLY = Struct("=" + _ENTRY)
_DIRENT = Struct("=QQII")


class Attr(NamedTuple):
    """fuse_attr in wire order. ``mode`` has the file type; ``blocks`` are 512 bytes each."""

    ino: int
    size: int
    blocks: int
    atime: int
    mtime: int
    ctime: int
    atimensec: int
    mtimensec: int
    ctimensec: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    blksize: int
    flags: int = 0


def error(unique: int, errno: int) -> bytes:
    """``errno`` is positive; 0 is a success without a body."""
    return OUT_HEADER.pack(_HEADER, -errno, unique)


def ok(unique: int) -> bytes:
    return OUT_HEADER.pack(_HEADER, 0, unique)


def header(unique: int, payload_size: int) -> bytes:
    """The header alone, for a payload that follows by ``writev`` or ``splice``."""
    return OUT_HEADER.pack(_HEADER + payload_size, 0, unique)


def data(unique: int, payload: bytes | bytearray | memoryview) -> bytes:
    """READ, READLINK, READDIR, GETXATTR ... for payloads that are bytes already."""
    return OUT_HEADER.pack(_HEADER + len(payload), 0, unique) + payload


def attr(unique: int, attributes: Attr, valid_ms: int) -> bytes:
    """GETATTR and SETATTR."""
    seconds, rest = divmod(valid_ms, 1000)
    return _ATTR_OUT.pack(_ATTR_OUT.size, 0, unique, seconds, rest * 1_000_000, *attributes)


def entry(
    unique: int,
    nodeid: int,
    generation: int,
    attributes: Attr,
    entry_valid_ms: int,
    attr_valid_ms: int,
) -> bytes:
    """LOOKUP, MKNOD, MKDIR, SYMLINK, LINK. Node id 0 with a time is a negative entry."""
    es, er = divmod(entry_valid_ms, 1000)
    sec, rest = divmod(attr_valid_ms, 1000)
    return _ENTRY_OUT.pack(
        _ENTRY_OUT.size, 0, unique,
        nodeid, generation, es, sec, er * 1_000_000, rest * 1_000_000, *attributes,
    )  # fmt: skip


_NO_ATTR = Attr(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def negative_entry(unique: int, valid_ms: int) -> bytes:
    """'There is no such name', which the kernel may keep for ``valid_ms``."""
    return entry(unique, 0, 0, _NO_ATTR, valid_ms, 0)


def open_(unique: int, fh: int, open_flags: int, backing_id: int = 0) -> bytes:
    """OPEN and OPENDIR; ``backing_id`` counts only with FOPEN_PASSTHROUGH."""
    return _OPEN_OUT.pack(_OPEN_OUT.size, 0, unique, fh, open_flags, backing_id)


def create(
    unique: int,
    nodeid: int,
    generation: int,
    attributes: Attr,
    entry_valid_ms: int,
    attr_valid_ms: int,
    fh: int,
    open_flags: int,
    backing_id: int = 0,
) -> bytes:
    """CREATE and TMPFILE: an entry and an open in one."""
    es, er = divmod(entry_valid_ms, 1000)
    sec, rest = divmod(attr_valid_ms, 1000)
    return _CREATE_OUT.pack(
        _CREATE_OUT.size, 0, unique,
        nodeid, generation, es, sec, er * 1_000_000, rest * 1_000_000, *attributes,
        fh, open_flags, backing_id,
    )  # fmt: skip


def written(unique: int, size: int) -> bytes:
    """WRITE and COPY_FILE_RANGE: bytes taken."""
    return _WRITE_OUT.pack(_WRITE_OUT.size, 0, unique, size)


def xattr_size(unique: int, size: int) -> bytes:
    """GETXATTR and LISTXATTR with size 0."""
    return _WRITE_OUT.pack(_WRITE_OUT.size, 0, unique, size)


def statfs(
    unique: int,
    *,
    blocks: int,
    bfree: int,
    bavail: int,
    files: int,
    ffree: int,
    bsize: int,
    namelen: int = 255,
) -> bytes:
    """STATFS; blocks are ``bsize`` bytes each (also the fragment size)."""
    return _STATFS_OUT.pack(
        _STATFS_OUT.size, 0, unique, blocks, bfree, bavail, files, ffree, bsize, namelen, bsize
    )


def lock(unique: int, start: int, end: int, kind: int, pid: int) -> bytes:
    """GETLK."""
    return _LK_OUT.pack(_LK_OUT.size, 0, unique, start, end, kind, pid)


def offset(unique: int, value: int) -> bytes:
    """LSEEK, BMAP and COPY_FILE_RANGE_64: one 64-bit number."""
    return _U64_OUT.pack(_U64_OUT.size, 0, unique, value)


def ioctl(unique: int, result: int, payload: bytes = b"") -> bytes:
    """IOCTL of the restricted (well-formed) kind."""
    size = _IOCTL_OUT.size + len(payload)
    return _IOCTL_OUT.pack(size, 0, unique, result, 0, 0, 0) + payload


class DirectoryBuffer:
    """The payload of READDIR or READDIRPLUS, filled until ``limit`` (the request's size).

    ``next_offset`` is an opaque cookie: the kernel sends it back to go on *after* that entry.
    """

    __slots__ = ("_limit", "_parts", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []

    def _append(self, prefix: bytes, ino: int, next_offset: int, kind: int, name: bytes) -> bool:
        length = _DIRENT.size + len(prefix) + len(name)
        padded = (length + 7) & ~7
        if self._size + padded > self._limit:
            return False
        self._parts += (
            prefix,
            _DIRENT.pack(ino, next_offset, len(name), kind),
            name,
            b"\0" * (padded - length),
        )
        self._size += padded
        return True

    def add(self, ino: int, next_offset: int, mode: int, name: bytes) -> bool:
        """READDIR. False: it does not fit, nothing was added. ``mode`` is an st_mode."""
        return self._append(b"", ino, next_offset, (mode >> 12) & 0o17, name)

    def add_plus(
        self,
        nodeid: int,
        generation: int,
        attributes: Attr,
        entry_valid_ms: int,
        attr_valid_ms: int,
        next_offset: int,
        name: bytes,
    ) -> bool:
        """READDIRPLUS. An added entry with a node id counts as one LOOKUP of it ("." and ".." do
        not: give node id 0 and only ino and mode are used). False: nothing was added."""
        es, er = divmod(entry_valid_ms, 1000)
        sec, rest = divmod(attr_valid_ms, 1000)
        prefix = _ENTRY_ONLY.pack(
            nodeid, generation, es, sec, er * 1_000_000, rest * 1_000_000, *attributes
        )
        kind = (attributes.mode >> 12) & 0o17
        return self._append(prefix, attributes.ino, next_offset, kind, name)

    def __len__(self) -> int:
        return self._size

    def message(self, unique: int) -> bytes:
        """The complete reply."""
        return b"".join((OUT_HEADER.pack(_HEADER + self._size, 0, unique), *self._parts))


def plus_size(name: bytes) -> int:
    """Bytes that a READDIRPLUS entry takes: ask before a node is counted as looked up."""
    return (_ENTRY_ONLY.size + _DIRENT.size + len(name) + 7) & ~7
