# SPDX-License-Identifier: Apache-2.0
"""Bytes of objects: from requests into files, from files into answers, from file to file.

What a local worker holds leaves as slices of its block files (sendfile); the rest is read ahead by
the client library and passes in pieces. Offsets and sizes are bytes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

from curvine.client.files import ReadableFile, WritableFile
from curvine.client.reader import FileReader
from curvine.client.writer import FileWriter
from curvine.errors import AbnormalData
from curvine.rpc.bulk import FileSlice, is_resident

COPY_PIECE = 4 * 1024 * 1024
SMALL = 128 * 1024  # what is not larger leaves as one piece, together with its head
SMALL_BODY = 256 * 1024  # what is not larger is stored in one message; held in memory until then
_closing: set[asyncio.Task[None]] = set()


async def small_range(file: ReadableFile, offset: int, length: int) -> bytes:
    """``length`` bytes of an open file, at most SMALL. AbnormalData if there are fewer."""
    found = await _local(file, offset)
    if found is not None and found[2] >= length and is_resident(found[0], found[1], length):
        data: bytes | memoryview = os.pread(found[0], length, found[1])
    elif isinstance(file, FileReader) and not offset and length == file.length:
        data = await file.read_all()
    else:
        data = await file.read(offset, length)
    if len(data) < length:
        raise AbnormalData(f"{file.status.path} ended before {offset + length} bytes")
    return data if isinstance(data, bytes) else bytes(data)


def close_soon(file: ReadableFile) -> None:
    """Close a file without waiting for workers to be taken leave of."""
    if isinstance(file, FileReader) and file.close_now():
        return
    task = asyncio.ensure_future(file.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def file_pieces(
    file: ReadableFile, offset: int, length: int, piece: int, done: Callable[[], None]
) -> AsyncIterator[bytes | FileSlice]:
    """``length`` bytes of an open file from ``offset`` on; ``done`` is called when nobody goes on.

    ``piece``: how much is read at a time where it has to be read.
    """
    try:
        end = offset + length
        while offset < end:
            found = await _local(file, offset)
            if found is not None:
                fd, inner, size = found
                size = min(size, end - offset)
                yield FileSlice(fd, inner, size)
            else:
                data = await file.read(offset, min(piece, end - offset))
                if not data:
                    raise AbnormalData(f"{file.status.path} ended at {offset} of {end} bytes")
                size = len(data)
                yield bytes(data)
            offset += size
    finally:
        done()


async def _local(file: ReadableFile, offset: int) -> tuple[int, int, int] | None:
    """(descriptor, offset in it, bytes) of the local file that holds what comes next."""
    if isinstance(file, FileReader):
        return await file.local_range(offset)
    fd = await file.local_fd()
    return None if fd is None else (fd, offset, file.length - offset)


async def store_body(
    pieces: AsyncIterator[bytes | memoryview],
    writer: WritableFile,
    offset: int = 0,
    length: int | None = None,
) -> int:
    """Write a body; its length. One whose ``length`` is known to be small is sent in one message,
    where ``writer`` has an empty file."""
    small = length is not None and length <= SMALL_BODY
    if small and not offset and isinstance(writer, FileWriter):
        parts = [piece async for piece in pieces]
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        await writer.put(whole)
        return len(whole)
    start = offset
    async for piece in pieces:
        await writer.write(offset, piece)
        offset += len(piece)
    return offset - start


async def copy_range(
    source: ReadableFile,
    offset: int,
    length: int,
    writer: WritableFile,
    target: int,
    watch: Callable[[bytes | memoryview], None] | None = None,
) -> None:
    """Copy a range of one file into another; ``watch`` sees the bytes as they pass."""
    end = offset + length
    while offset < end:
        data = await source.read(offset, min(COPY_PIECE, end - offset))
        if not data:
            raise AbnormalData(f"{source.status.path} ended at {offset} of {end} bytes")
        if watch is not None:
            watch(data)
        await writer.write(target, data)
        offset += len(data)
        target += len(data)
