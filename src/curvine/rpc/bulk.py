# SPDX-License-Identifier: Apache-2.0
"""Bytes of files to sockets without passing through Python: sendfile(2), and what it needs.

``sendfile`` on a non-blocking socket waits for nothing but the disk. So a slice that is not in the
page cache is read once by a thread first (``warm``), and sent by the loop afterwards.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

PIECE = 1024 * 1024  # residency is checked, and a cold file warmed, in pieces of this size
_PAGE = 4096
_probe = bytearray(1)
# Kernels and file systems that cannot tell: the file is then taken to be in memory (tmpfs is).
_CANNOT_TELL = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class FileSlice(NamedTuple):
    """``length`` bytes at ``offset`` of an open file. The fd stays the caller's and stays open
    until the slice has been sent."""

    fd: int
    offset: int
    length: int


def is_resident(fd: int, offset: int, length: int) -> bool:
    """Whether reading the range would not wait for a disk, judged by its first and last page."""
    if length <= 0:
        return True
    last = offset + length - 1
    try:
        os.preadv(fd, (_probe,), offset, os.RWF_NOWAIT)
        if last // _PAGE != offset // _PAGE:
            os.preadv(fd, (_probe,), last, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _CANNOT_TELL:
            return True
        raise
    return True


def warm(fd: int, offset: int, length: int) -> None:
    """Bring a range into the page cache. Blocks: threads only. Closes ``fd``, a duplicate."""
    try:
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)
        buffer = bytearray(min(length, PIECE))
        end = offset + length
        while offset < end:
            read = os.preadv(fd, (memoryview(buffer)[: end - offset],), offset)
            if not read:
                return
            offset += read
    finally:
        os.close(fd)


def read_exactly(fd: int, offset: int, into: memoryview) -> int:
    """Fill ``into`` from a file; fewer bytes than asked for only at the end of the file."""
    done = 0
    while done < len(into):
        read = os.preadv(fd, (into[done:],), offset + done)
        if not read:
            break
        done += read
    return done
