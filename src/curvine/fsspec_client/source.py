# SPDX-License-Identifier: Apache-2.0
"""The bytes of one open file for a synchronous reader: from a descriptor where they are near.

A file that is one block of this node's worker is read by the calling thread from the worker's file,
whose descriptor it was given (ARCHITECTURE.md, a warm read); everything else is asked of the
client's loop. A child process keeps the descriptor and opens everything else anew. Offsets and
lengths are bytes.
"""

from __future__ import annotations

import io
import logging
import mmap
import os
from collections.abc import Callable, Coroutine
from typing import Any

from curvine.client.blocking import LoopThread
from curvine.client.files import ReadableFile
from curvine.client.local_file import Data
from curvine.errors import CurvineError, IoFailed
from curvine.model.inode import FileStatus

log = logging.getLogger(__name__)

_PIECE = 1024 * 1024

Opening = Callable[[], Coroutine[Any, Any, ReadableFile]]


async def open_near(opening: Coroutine[Any, Any, ReadableFile]) -> tuple[ReadableFile, int]:
    """An open file, and a descriptor of our own of its bytes or -1."""
    reader = await opening
    try:
        fd = await reader.local_fd()
        return reader, -1 if fd is None else os.dup(fd)
    except BaseException:
        await reader.close()
        raise


async def read_range(reader: ReadableFile, offset: int, length: int) -> Data:
    """A range in pieces, so that the next ones are on their way while one is put in its place."""
    if length <= 2 * _PIECE:
        return await reader.read(offset, length)
    whole = io.BytesIO()  # hands its bytes out without another copy
    end = offset + length
    while offset < end:
        piece = await reader.read(offset, min(_PIECE, end - offset))
        if not piece:
            break
        whole.write(piece)
        offset += len(piece)
    return whole.getvalue()


class Source:
    """See the module. Safe for several threads, as long as none closes it."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._fd = -1
        self._reader: ReadableFile | None = None
        self._pid = os.getpid()
        self._map: memoryview | None = None
        self._closed = False
        self.status: FileStatus
        self.length = 0
        self._open()

    @property
    def local(self) -> bool:
        """Whether the calling thread reads the bytes itself."""
        return self._fd >= 0

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; fewer only at the end of the file."""
        length = min(length, self.length - offset)
        if length <= 0:
            return b""
        if self._fd >= 0:
            found = self._pread(offset, length)
            if found is not None:
                return found
        data = self._ask(offset, length)
        return data if isinstance(data, bytes) else bytes(data)

    def readinto(self, offset: int, target: memoryview) -> int:
        """Fill ``target`` as far as the file goes; how many bytes."""
        length = min(len(target), self.length - offset)
        if length <= 0:
            return 0
        view = target[:length]
        if self._fd >= 0:
            try:
                if os.preadv(self._fd, (view,), offset) == length:
                    return length
            except OSError as error:
                self._failed(error)
        view[:] = self.read(offset, length)
        return length

    def view(self, offset: int, length: int) -> memoryview:
        """Likewise without a copy where the bytes are local: pages of the worker's file.

        They stay valid after the source is closed and after the file was removed. Only a file that
        is made shorter in place takes its pages away.
        """
        length = max(0, min(length, self.length - offset))
        if self._fd < 0 or not length:
            return memoryview(self.read(offset, length))
        if self._map is None:
            pages = mmap.mmap(self._fd, self.length, mmap.MAP_SHARED, mmap.PROT_READ)
            self._map = memoryview(pages)
        return self._map[offset : offset + length]

    def close(self) -> None:
        """Release everything; views stay. A second call does nothing."""
        self._closed = True
        self._map = None
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        reader, self._reader = self._reader, None
        if reader is not None and self._pid == os.getpid():
            LoopThread.of_this_process().spawn(_close(reader))

    def _open(self, *, near: bool = True) -> None:
        thread = LoopThread.of_this_process()
        if near:
            reader, self._fd = thread.run(open_near(self._opening()))
        else:
            reader = thread.run(self._opening())
        self.status, self.length = reader.status, reader.length
        self._pid = os.getpid()
        if self._fd >= 0:
            thread.spawn(_close(reader))
        else:
            self._reader = reader

    def _pread(self, offset: int, length: int) -> bytes | None:
        """From the descriptor; None when it does not give them all (any more)."""
        parts: list[bytes] = []
        missing = length
        try:
            while missing:
                part = os.pread(self._fd, missing, offset)
                if not part:
                    break
                parts.append(part)
                missing -= len(part)
                offset += len(part)
        except OSError as error:
            self._failed(error)
            return None
        if missing:
            self._failed(IoFailed("the local file is too short"))
            return None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _failed(self, error: Exception) -> None:
        log.warning("%s is not read from its local file any more: %s", self.status.path, error)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _ask(self, offset: int, length: int) -> Data:
        if self._closed:
            raise ValueError("I/O operation on closed file.")
        if self._reader is None or self._pid != os.getpid():
            self._open(near=False)
        reader = self._reader
        assert reader is not None
        return LoopThread.of_this_process().run(read_range(reader, offset, length))


async def _close(reader: ReadableFile) -> None:
    try:
        await reader.close()
    except CurvineError as error:
        log.info("closing %s: %s", reader.status.path, error)
