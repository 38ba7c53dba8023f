# SPDX-License-Identifier: Apache-2.0
"""Which function serves which operation.

What is not here is answered with ENOSYS, which the kernel remembers where it asks often (ACCESS,
POLL, BMAP), or as ``REFUSALS`` says. STATX is refused on purpose: no master knows when a file was
born, and the kernel then answers stat(1), which asks for that, from its cache.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from typing import Any

from curvine.fuse.abi.opcodes import Opcode
from curvine.fuse.abi.requests import Request
from curvine.fuse.ops import (
    attr,
    directory,
    extent,
    file,
    ioctl,
    link,
    lock,
    lookup,
    rename,
    transfer,
    xattr,
)
from curvine.fuse.volume import Reply, Volume

Handler = Callable[[Volume, Request], Reply | Coroutine[Any, Any, Reply]]

HANDLERS: dict[int, Handler] = {
    Opcode.LOOKUP: lookup.lookup,
    Opcode.FORGET: lookup.forget,
    Opcode.BATCH_FORGET: lookup.forget,
    Opcode.GETATTR: attr.getattr_,
    Opcode.SETATTR: attr.setattr_,
    Opcode.STATFS: attr.statfs,
    Opcode.READLINK: link.readlink,
    Opcode.SYMLINK: link.symlink,
    Opcode.LINK: link.link,
    Opcode.MKNOD: file.mknod,
    Opcode.CREATE: file.create,
    Opcode.OPEN: file.open_,
    Opcode.RELEASE: file.release,
    Opcode.FLUSH: file.flush,
    Opcode.FSYNC: file.fsync,
    Opcode.SYNCFS: file.syncfs,
    Opcode.FALLOCATE: extent.fallocate,
    Opcode.LSEEK: extent.lseek,
    Opcode.GETLK: lock.getlk,
    Opcode.SETLK: lock.setlk,
    Opcode.SETLKW: lock.setlkw,
    Opcode.COPY_FILE_RANGE: extent.copy_file_range,
    Opcode.COPY_FILE_RANGE_64: extent.copy_file_range,
    Opcode.IOCTL: ioctl.ioctl,
    Opcode.READ: transfer.read,
    Opcode.WRITE: transfer.write,
    Opcode.MKDIR: directory.mkdir,
    Opcode.OPENDIR: directory.opendir,
    Opcode.READDIR: directory.readdir,
    Opcode.READDIRPLUS: directory.readdirplus,
    Opcode.RELEASEDIR: directory.releasedir,
    Opcode.FSYNCDIR: directory.fsyncdir,
    Opcode.UNLINK: rename.unlink,
    Opcode.RMDIR: rename.rmdir,
    Opcode.RENAME: rename.rename,
    Opcode.RENAME2: rename.rename2,
    Opcode.GETXATTR: xattr.getxattr,
    Opcode.SETXATTR: xattr.setxattr,
    Opcode.LISTXATTR: xattr.listxattr,
    Opcode.REMOVEXATTR: xattr.removexattr,
}

REFUSALS: dict[int, int] = {
    Opcode.TMPFILE: errno.EOPNOTSUPP,
}
