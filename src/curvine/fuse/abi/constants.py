# SPDX-License-Identifier: Apache-2.0
"""Numbers of the FUSE kernel protocol 7.45: flags, limits, notify codes, device ioctls.

The comment behind a group or a line is the protocol minor that introduced it (7.x). Names are the
kernel's own without the ``FUSE_`` prefix. Source: include/uapi/linux/fuse.h. Knows no descriptor.
"""

from __future__ import annotations

KERNEL_VERSION = 7
KERNEL_MINOR = 45
# The oldest kernel protocol that is served (Linux 5.10 speaks 7.32; upstream asks for 7.31).
MINIMUM_MINOR = 31

ROOT_ID = 1
NAME_MAX = 255
MIN_READ_BUFFER = 8192
# What a read from the device must have room for beyond the bytes of a WRITE: two 40-byte structs.
WRITE_HEADROOM = 80

# unique: bit 63 marks a request sent again after NOTIFY_RESEND (7.40). The reply carries it too.
UNIQUE_RESEND = 1 << 63
# unique: bit 0 marks the INTERRUPT of the request with the same number without it.
UNIQUE_INTERRUPT = 1

# --- INIT flags (bit 32 and up travel in flags2, valid only together with INIT_EXT) --------------
ASYNC_READ = 1 << 0  # 7.6
POSIX_LOCKS = 1 << 1  # 7.7
FILE_OPS = 1 << 2  # 7.9
ATOMIC_O_TRUNC = 1 << 3  # 7.9
EXPORT_SUPPORT = 1 << 4  # 7.10
BIG_WRITES = 1 << 5  # 7.9
DONT_MASK = 1 << 6  # 7.12
SPLICE_WRITE = 1 << 7  # 7.14
SPLICE_MOVE = 1 << 8  # 7.14
SPLICE_READ = 1 << 9  # 7.14
FLOCK_LOCKS = 1 << 10  # 7.17
HAS_IOCTL_DIR = 1 << 11  # 7.18
AUTO_INVAL_DATA = 1 << 12  # 7.20
DO_READDIRPLUS = 1 << 13  # 7.21
READDIRPLUS_AUTO = 1 << 14  # 7.21
ASYNC_DIO = 1 << 15  # 7.22
WRITEBACK_CACHE = 1 << 16  # 7.23; excludes PASSTHROUGH
NO_OPEN_SUPPORT = 1 << 17  # 7.23; kernel tells: OPEN may be answered ENOSYS
PARALLEL_DIROPS = 1 << 18  # 7.25
HANDLE_KILLPRIV = 1 << 19  # 7.26
POSIX_ACL = 1 << 20  # 7.26
ABORT_ERROR = 1 << 21  # 7.27
MAX_PAGES = 1 << 22  # 7.28
CACHE_SYMLINKS = 1 << 23  # 7.28
NO_OPENDIR_SUPPORT = 1 << 24  # 7.29
EXPLICIT_INVAL_DATA = 1 << 25  # 7.30
MAP_ALIGNMENT = 1 << 26  # 7.31
SUBMOUNTS = 1 << 27  # 7.32
HANDLE_KILLPRIV_V2 = 1 << 28  # 7.33
SETXATTR_EXT = 1 << 29  # 7.33; never asked for: SETXATTR keeps its 8-byte struct
INIT_EXT = 1 << 30  # 7.36
SECURITY_CTX = 1 << 32  # 7.36; never asked for
HAS_INODE_DAX = 1 << 33  # 7.36
CREATE_SUPP_GROUP = 1 << 34  # 7.38; never asked for
HAS_EXPIRE_ONLY = 1 << 35  # 7.38
DIRECT_IO_ALLOW_MMAP = 1 << 36  # 7.39
PASSTHROUGH = 1 << 37  # 7.40; needs max_stack_depth >= 1 and CAP_SYS_ADMIN
NO_EXPORT_SUPPORT = 1 << 38  # 7.40
HAS_RESEND = 1 << 39  # 7.40
ALLOW_IDMAP = 1 << 40  # 7.41
OVER_IO_URING = 1 << 41  # 7.42
REQUEST_TIMEOUT = 1 << 42  # 7.43

# --- OPEN, OPENDIR and CREATE replies ------------------------------------------------------------
FOPEN_DIRECT_IO = 1 << 0
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_NONSEEKABLE = 1 << 2  # 7.10
FOPEN_CACHE_DIR = 1 << 3  # 7.28
FOPEN_STREAM = 1 << 4  # 7.31
FOPEN_NOFLUSH = 1 << 5  # 7.35; ignored under WRITEBACK_CACHE
FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6  # 7.38
FOPEN_PASSTHROUGH = 1 << 7  # 7.40; backing_id names the registered file

# --- request flags -------------------------------------------------------------------------------
FATTR_MODE = 1 << 0
FATTR_UID = 1 << 1
FATTR_GID = 1 << 2
FATTR_SIZE = 1 << 3
FATTR_ATIME = 1 << 4
FATTR_MTIME = 1 << 5
FATTR_FH = 1 << 6
FATTR_ATIME_NOW = 1 << 7
FATTR_MTIME_NOW = 1 << 8
FATTR_LOCKOWNER = 1 << 9
FATTR_CTIME = 1 << 10  # 7.23
FATTR_KILL_SUIDGID = 1 << 11  # 7.33

GETATTR_FH = 1 << 0
READ_LOCKOWNER = 1 << 1
WRITE_CACHE = 1 << 0  # the handle is a guess: page-cache write-back
WRITE_LOCKOWNER = 1 << 1
WRITE_KILL_SUIDGID = 1 << 2  # 7.31
RELEASE_FLUSH = 1 << 0
RELEASE_FLOCK_UNLOCK = 1 << 1  # 7.17
FSYNC_FDATASYNC = 1 << 0
LK_FLOCK = 1 << 0
OPEN_KILL_SUIDGID = 1 << 0  # 7.33
ATTR_SUBMOUNT = 1 << 0  # 7.32
ATTR_DAX = 1 << 1  # 7.36
IOCTL_COMPAT = 1 << 0
IOCTL_UNRESTRICTED = 1 << 1
IOCTL_RETRY = 1 << 2
IOCTL_32BIT = 1 << 3
IOCTL_DIR = 1 << 4

# --- notifications: the number stands in out_header.error, unique is 0 ---------------------------
NOTIFY_POLL = 1  # 7.11
NOTIFY_INVAL_INODE = 2  # 7.12
NOTIFY_INVAL_ENTRY = 3  # 7.12
NOTIFY_STORE = 4  # 7.15
NOTIFY_RETRIEVE = 5  # 7.15
NOTIFY_DELETE = 6  # 7.18
NOTIFY_RESEND = 7  # 7.40
NOTIFY_INC_EPOCH = 8  # 7.44
NOTIFY_PRUNE = 9  # 7.45
EXPIRE_ONLY = 1 << 0  # 7.38, notify_inval_entry.flags

# --- ioctls of /dev/fuse -------------------------------------------------------------------------
_MAGIC = 229


def _ioc(direction: int, number: int, size: int) -> int:
    """A Linux ioctl number (asm-generic layout: x86-64 and arm64)."""
    return direction << 30 | size << 16 | _MAGIC << 8 | number


DEV_IOC_CLONE = _ioc(2, 0, 4)  # 7.23: u32, the fd of a mounted /dev/fuse
DEV_IOC_BACKING_OPEN = _ioc(1, 1, 16)  # 7.40: fuse_backing_map, returns the id
DEV_IOC_BACKING_CLOSE = _ioc(1, 2, 4)  # 7.40: u32, the id
