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
from curvine.rpc.reading import new_buffer

Buffer = bytes | bytearray | memoryview
Data = bytes | memoryview  # what readers give: a view where the bytes already lie in a buffer
T = TypeVar("T")

INLINE_LIMIT = 1024 * 1024  # larger copies would hold the loop for too long
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_TELL = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # files in memory, old kernels
_SLOW = 0.005  # s; a write on the loop that took longer sends the next ones to threads ...
_SLOW_FOR = 1.0  # ... for this long (s)
_slow_until = [0.0]  # monotonic


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
    if len(data) <= INLINE_LIMIT and began > _slow_until[0]:
        try:
            _write_all(fd, offset, data)
        except OSError as error:
            raise _translated(error) from error
        now = time.monotonic()
        if now - began > _SLOW:
            _slow_until[0] = now + _SLOW_FOR
        return
    await _in_thread(_write_all, fd, offset, data)


def read_cached(fd: int, offset: int, size: int) -> Data | None:
    """The bytes if none of them has to be fetched from a disk."""
    buffer = new_buffer(size)
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
