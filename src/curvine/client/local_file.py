# SPDX-License-Identifier: Apache-2.0
"""Positional reads and writes of local files from an event loop.

What the page cache answers at once is done on the loop; what has to wait for a disk, and large
copies, run in a thread. Offsets and sizes are bytes.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TypeVar

from curvine.errors import CurvineError, DiskOutOfSpace, IoFailed
from curvine.rpc.bulk import is_resident

Buffer = bytes | bytearray | memoryview
Data = bytes | memoryview  # what readers give: a view where the bytes already lie in a buffer
T = TypeVar("T")

INLINE_LIMIT = 128 * 1024  # larger copies would hold the loop for tens of microseconds and more
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


async def read_file(fd: int, offset: int, size: int) -> bytes:
    """Up to ``size`` bytes; fewer only at the end of the file. IoFailed."""
    if size <= INLINE_LIMIT:
        try:
            if is_resident(fd, offset, size):
                return _read_all(fd, offset, size)
        except OSError as error:
            raise _translated(error) from error
    return await _in_thread(_read_all, fd, offset, size)


async def write_file(fd: int, offset: int, data: Buffer) -> None:
    """Write all of ``data``. DiskOutOfSpace, IoFailed."""
    if len(data) <= INLINE_LIMIT:
        try:
            _write_all(fd, offset, data)
        except OSError as error:
            raise _translated(error) from error
        return
    await _in_thread(_write_all, fd, offset, data)


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
