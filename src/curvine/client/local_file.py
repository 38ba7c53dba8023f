# SPDX-License-Identifier: Apache-2.0
"""Positional reads and writes of local files from an event loop.

What the page cache answers at once is done on the loop; what has to wait for a disk, and large
copies, run in a thread. Offsets and sizes are bytes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from typing import TypeVar

from curvine.errors import CurvineError, DiskOutOfSpace, IoFailed
from curvine.rpc.bulk import is_resident
from curvine.rpc.reading import new_buffer

Buffer = bytes | bytearray | memoryview
Data = bytes | memoryview  # what readers give: a view where the bytes already lie in a buffer
T = TypeVar("T")

# Above this, whether a range is in memory is told by its ends: a large copy with RWF_NOWAIT takes
# half as long again (measured).
_PROBED = 64 * 1024
INLINE_LIMIT = 1024 * 1024  # larger copies would hold the loop for too long
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_TELL = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # files in memory, old kernels


class _Pace:
    """Whether writes on the loop have to wait for a disk just now.

    One that took longer than ``_SLOW`` sends the next ones to threads for a moment (it may only
    have lost the processor), several in a row for ever longer.
    """

    _SLOW = 0.005  # s
    _FIRST, _LONGEST = 0.02, 1.0  # s

    def __init__(self) -> None:
        self._until = 0.0  # monotonic
        self._pause = self._FIRST

    def allows(self, now: float) -> bool:
        return now >= self._until

    def took(self, began: float) -> None:
        now = time.monotonic()
        if now - began > self._SLOW:
            self._until = now + self._pause
            self._pause = min(self._pause * 4, self._LONGEST)
        elif now - self._until > self._pause:
            self._pause = self._FIRST


_pace = _Pace()


async def read_file(fd: int, offset: int, size: int) -> Data:
    """Up to ``size`` bytes; fewer only at the end of the file. IoFailed."""
    if size <= INLINE_LIMIT:
        try:
            found = read_cached(fd, offset, size)
        except OSError as error:
            raise _translated(error) from error
        if found is not None:
            return found
    return await _in_thread(_read_all, fd, offset, size)


async def write_file(fd: int, offset: int, data: Buffer) -> None:
    """Write all of ``data``. DiskOutOfSpace, IoFailed."""
    began = time.monotonic()
    if len(data) <= INLINE_LIMIT and _pace.allows(began):
        try:
            _write_all(fd, offset, data)
        except OSError as error:
            raise _translated(error) from error
        _pace.took(began)
        return
    await _in_thread(_write_all, fd, offset, data)


def write_now(fd: int, offset: int, data: Buffer) -> bool:
    """Write all of ``data`` if that needs no thread; False: use :func:`write_file`."""
    began = time.monotonic()
    if len(data) > INLINE_LIMIT or not _pace.allows(began):
        return False
    try:
        written = os.pwrite(fd, data, offset)
    except OSError:
        return False
    _pace.took(began)
    return written == len(data)


def read_cached(fd: int, offset: int, size: int) -> Data | None:
    """The bytes if none of them has to be fetched from a disk."""
    buffer = new_buffer(size)
    if size >= _PROBED:
        if not is_resident(fd, offset, size):
            return None
        read = os.preadv(fd, (buffer,), offset)
        return buffer if read == size else None
    try:
        read = os.preadv(fd, (buffer,), offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in _CANNOT_TELL:
            raise
        read = os.preadv(fd, (buffer,), offset)
    return buffer if read == size else None


async def _in_thread(call: Callable[..., T], *arguments: object) -> T:
    job = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait((job,))  # the buffer and the descriptor are the caller's again
        raise
    except OSError as error:
        raise _translated(error) from error


def _translated(error: OSError) -> CurvineError:
    if isinstance(error, CurvineError):
        return error
    kind = DiskOutOfSpace if error.errno in _NO_SPACE else IoFailed
    return kind(f"block file: {error.strerror or error}")


def _read_all(fd: int, offset: int, size: int) -> bytes:
    first = os.pread(fd, size, offset)
    if len(first) == size or not first:
        return first
    parts = [first]
    done = len(first)
    while done < size:
        part = os.pread(fd, size - done, offset + done)
        if not part:
            break
        parts.append(part)
        done += len(part)
    return b"".join(parts)


def _write_all(fd: int, offset: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
