# SPDX-License-Identifier: Apache-2.0
"""The one table of FUSE operations: decode, dispatch, logs and tests are derived from it.

Source: include/uapi/linux/fuse.h (7.45) and the request builders of fs/fuse. Knows no descriptor.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from curvine.fuse.abi import structs as s


class Opcode(IntEnum):
    """Numbers of the operations (in_header.opcode)."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52
    COPY_FILE_RANGE_64 = 53


class Operation(NamedTuple):
    """One operation: what follows the header of its request, and whether it is answered.

    ``names`` NUL-terminated byte strings follow the body; what is left after them is ``data``.
    """

    opcode: int
    name: str  # lower case, for dispatch (``op_<name>``), logs and metrics
    body: type[Any] | None
    names: int
    replies: bool
    since: int  # protocol minor that introduced it


def _row(
    opcode: Opcode,
    body: type[Any] | None = None,
    *,
    names: int = 0,
    replies: bool = True,
    since: int = 1,
) -> Operation:
    return Operation(int(opcode), opcode.name.lower(), body, names, replies, since)


OPERATIONS: tuple[Operation, ...] = (
    _row(Opcode.LOOKUP, names=1),
    _row(Opcode.FORGET, s.ForgetIn, replies=False),
    _row(Opcode.GETATTR, s.GetattrIn),
    _row(Opcode.SETATTR, s.SetattrIn),
    _row(Opcode.READLINK),
    _row(Opcode.SYMLINK, names=2),  # new name, target
    _row(Opcode.MKNOD, s.MknodIn, names=1),
    _row(Opcode.MKDIR, s.MkdirIn, names=1),
    _row(Opcode.UNLINK, names=1),
    _row(Opcode.RMDIR, names=1),
    _row(Opcode.RENAME, s.RenameIn, names=2),  # old, new
    _row(Opcode.LINK, s.LinkIn, names=1),  # header's node is the new parent
    _row(Opcode.OPEN, s.OpenIn),
    _row(Opcode.READ, s.ReadIn),
    _row(Opcode.WRITE, s.WriteIn),
    _row(Opcode.STATFS),
    _row(Opcode.RELEASE, s.ReleaseIn),
    _row(Opcode.FSYNC, s.FsyncIn),
    _row(Opcode.SETXATTR, s.SetxattrIn, names=1),  # data = value
    _row(Opcode.GETXATTR, s.GetxattrIn, names=1),
    _row(Opcode.LISTXATTR, s.GetxattrIn),
    _row(Opcode.REMOVEXATTR, names=1),
    _row(Opcode.FLUSH, s.FlushIn),
    _row(Opcode.INIT, s.InitIn),
    _row(Opcode.OPENDIR, s.OpenIn),
    _row(Opcode.READDIR, s.ReadIn),
    _row(Opcode.RELEASEDIR, s.ReleaseIn),
    _row(Opcode.FSYNCDIR, s.FsyncIn),
    _row(Opcode.GETLK, s.LkIn, since=7),
    _row(Opcode.SETLK, s.LkIn, since=7),
    _row(Opcode.SETLKW, s.LkIn, since=7),
    _row(Opcode.ACCESS, s.AccessIn, since=3),
    _row(Opcode.CREATE, s.CreateIn, names=1, since=3),
    _row(Opcode.INTERRUPT, s.InterruptIn, replies=False, since=7),
    _row(Opcode.BMAP, s.BmapIn, since=8),
    _row(Opcode.DESTROY, since=8),
    _row(Opcode.IOCTL, s.IoctlIn, since=11),
    _row(Opcode.POLL, s.PollIn, since=11),
    _row(Opcode.NOTIFY_REPLY, s.NotifyRetrieveIn, replies=False, since=15),
    _row(Opcode.BATCH_FORGET, s.BatchForgetIn, replies=False, since=16),  # data: FORGET_ONE each
    _row(Opcode.FALLOCATE, s.FallocateIn, since=19),
    _row(Opcode.READDIRPLUS, s.ReadIn, since=21),
    _row(Opcode.RENAME2, s.Rename2In, names=2, since=23),
    _row(Opcode.LSEEK, s.LseekIn, since=24),
    _row(Opcode.COPY_FILE_RANGE, s.CopyFileRangeIn, since=28),
    _row(Opcode.SETUPMAPPING, since=31),
    _row(Opcode.REMOVEMAPPING, since=31),
    _row(Opcode.SYNCFS, s.SyncfsIn, since=34),
    _row(Opcode.TMPFILE, s.CreateIn, names=1, since=37),
    _row(Opcode.STATX, s.StatxIn, since=39),
    _row(Opcode.COPY_FILE_RANGE_64, s.CopyFileRangeIn, since=45),
)

BY_OPCODE: dict[int, Operation] = {row.opcode: row for row in OPERATIONS}
