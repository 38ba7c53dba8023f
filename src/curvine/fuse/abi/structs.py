# SPDX-License-Identifier: Apache-2.0
"""Layouts of the requests of the FUSE protocol, as named tuples over ``struct``.

Host byte order; padding is skipped by ``x`` codes. Sizes are bytes,
times seconds plus nanoseconds. A layout that has grown is given in the form that Linux 5.10 and
later send. Source: include/uapi/linux/fuse.h.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

IN_HEADER = Struct("=IIQQIIIH2x")  # len opcode unique nodeid uid gid pid total_extlen(8-byte units)
OUT_HEADER = Struct("=IiQ")  # len error(-errno, or a notify code) unique


class ForgetIn(NamedTuple):
    nlookup: int


class BatchForgetIn(NamedTuple):
    entries: int  # FORGET_ONE records that follow


FORGET_ONE = Struct("=QQ")  # nodeid nlookup


class GetattrIn(NamedTuple):
    flags: int
    fh: int  # valid with GETATTR_FH


class SetattrIn(NamedTuple):
    valid: int
    fh: int
    size: int
    lock_owner: int
    atime: int
    mtime: int
    ctime: int
    atimensec: int
    mtimensec: int
    ctimensec: int
    mode: int
    uid: int
    gid: int


class MknodIn(NamedTuple):
    mode: int
    rdev: int
    umask: int


class MkdirIn(NamedTuple):
    mode: int
    umask: int


class RenameIn(NamedTuple):
    newdir: int


class Rename2In(NamedTuple):
    newdir: int
    flags: int


class LinkIn(NamedTuple):
    oldnodeid: int


class OpenIn(NamedTuple):
    flags: int  # O_...
    open_flags: int


class CreateIn(NamedTuple):
    flags: int
    mode: int
    umask: int
    open_flags: int


class ReadIn(NamedTuple):
    """READ, READDIR and READDIRPLUS."""

    fh: int
    offset: int
    size: int
    read_flags: int
    lock_owner: int
    flags: int


class WriteIn(NamedTuple):
    fh: int
    offset: int
    size: int
    write_flags: int
    lock_owner: int
    flags: int


class ReleaseIn(NamedTuple):
    fh: int
    flags: int
    release_flags: int
    lock_owner: int


class FlushIn(NamedTuple):
    fh: int
    lock_owner: int


class FsyncIn(NamedTuple):
    fh: int
    fsync_flags: int


class SetxattrIn(NamedTuple):
    size: int
    flags: int


class GetxattrIn(NamedTuple):
    """GETXATTR and LISTXATTR; size 0 asks for the size."""

    size: int


class LkIn(NamedTuple):
    fh: int
    owner: int
    start: int
    end: int
    type: int
    pid: int
    lk_flags: int


class AccessIn(NamedTuple):
    mask: int


class InitIn(NamedTuple):
    """The part that every kernel of 7.6 and later sends; flags2 is read apart (7.36)."""

    major: int
    minor: int
    max_readahead: int
    flags: int


class InterruptIn(NamedTuple):
    unique: int


class BmapIn(NamedTuple):
    block: int
    blocksize: int


class IoctlIn(NamedTuple):
    fh: int
    flags: int
    cmd: int
    arg: int
    in_size: int
    out_size: int


class PollIn(NamedTuple):
    fh: int
    kh: int
    flags: int
    events: int


class FallocateIn(NamedTuple):
    fh: int
    offset: int
    length: int
    mode: int


class LseekIn(NamedTuple):
    fh: int
    offset: int
    whence: int


class CopyFileRangeIn(NamedTuple):
    fh_in: int
    off_in: int
    nodeid_out: int
    fh_out: int
    off_out: int
    len: int
    flags: int


class NotifyRetrieveIn(NamedTuple):
    offset: int
    size: int


class SyncfsIn(NamedTuple):
    padding: int


class StatxIn(NamedTuple):
    getattr_flags: int
    fh: int
    sx_flags: int
    sx_mask: int


# One line per body, in the order of the classes above.
LAYOUTS: dict[type[Any], Struct] = {
    ForgetIn: Struct("=Q"),
    BatchForgetIn: Struct("=I4x"),
    GetattrIn: Struct("=I4xQ"),
    SetattrIn: Struct("=I4xQQQQQQIIII4xII4x"),
    MknodIn: Struct("=III4x"),
    MkdirIn: Struct("=II"),
    RenameIn: Struct("=Q"),
    Rename2In: Struct("=QI4x"),
    LinkIn: Struct("=Q"),
    OpenIn: Struct("=II"),
    CreateIn: Struct("=IIII"),
    ReadIn: Struct("=QQIIQI4x"),
    WriteIn: Struct("=QQIIQI4x"),
    ReleaseIn: Struct("=QIIQ"),
    FlushIn: Struct("=Q8xQ"),
    FsyncIn: Struct("=QI4x"),
    SetxattrIn: Struct("=II"),
    GetxattrIn: Struct("=I4x"),
    LkIn: Struct("=QQQQIII4x"),
    AccessIn: Struct("=I4x"),
    InitIn: Struct("=IIII"),
    InterruptIn: Struct("=Q"),
    BmapIn: Struct("=QI4x"),
    IoctlIn: Struct("=QIIQII"),
    PollIn: Struct("=QQII"),
    FallocateIn: Struct("=QQQI4x"),
    LseekIn: Struct("=QQI4x"),
    CopyFileRangeIn: Struct("=QQQQQQQ"),
    NotifyRetrieveIn: Struct("=8xQI20x"),
    SyncfsIn: Struct("=Q"),
    StatxIn: Struct("=I4xQII"),
}
