# SPDX-License-Identifier: Apache-2.0
"""Files of an under storage behind the faces of client.files.

Source: data-plane specification 5.3. Offsets and lengths are bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from curvine.client.local_file import Buffer, Data
from curvine.client.prefetch import Prefetcher
from curvine.errors import Unsupported
from curvine.model.inode import FileStatus, SetAttr
from curvine.ufs.base import Ufs, UfsReader, UfsWriter

_SLICE = 4 * 1024 * 1024  # object stores want large ranges
_DEPTH = 4
_THRESHOLD = 3


class UfsFileReader:
    """An under-storage file open for reading."""

    def __init__(self, status: FileStatus, reader: UfsReader) -> None:
        self.status = status
        self.length = reader.length
        self.from_cache = False
        self._reader = reader
        self._prefetcher: Prefetcher | None = None
        if reader.local_fd() is None:  # what a request to a server costs is worth reading ahead
            self._prefetcher = Prefetcher(
                reader.read_at, self.length, slice_size=_SLICE, depth=_DEPTH, threshold=_THRESHOLD
            )

    async def read(self, offset: int, length: int) -> Data:
        length = min(length, self.length - offset)
        if length <= 0:
            return b""
        if self._prefetcher is not None:
            return await self._prefetcher.read(offset, length)
        return await self._reader.read_at(offset, length)

    async def local_fd(self) -> int | None:
        return self._reader.local_fd()

    async def close(self) -> None:
        if self._prefetcher is not None:
            await self._prefetcher.close()
        await self._reader.close()


class UfsFileWriter:
    """An under-storage file open for writing.

    Stores that only take bytes in order get them in order: a write elsewhere is refused.
    ``published`` is told each time that a store of whole objects has what was written, ``finished``
    once at the end whether the file was published.
    """

    def __init__(
        self,
        ufs: Ufs,
        uri: str,
        status: FileStatus,
        writer: UfsWriter,
        finished: Callable[[bool], None],
        published: Callable[[], Awaitable[None]],
    ) -> None:
        self._published = published
        self._ufs = ufs
        self._uri = uri
        self._status = status
        self._writer = writer
        self._finished = finished
        self._lock = asyncio.Lock()
        self._closed = False
        self._forgotten = False
        self.dirty = False

    @property
    def length(self) -> int:
        return self._writer.length

    @property
    def status(self) -> FileStatus:
        return msgspec.structs.replace(self._status, len=self._writer.length)

    async def write(self, offset: int, data: Buffer) -> None:
        self.dirty = True
        if self._ufs.capabilities.random_write:
            await self._writer.write_at(offset, data)
            return
        async with self._lock:
            if offset != self._writer.length:
                raise Unsupported(f"{self._uri}: this under storage takes bytes in order only")
            await self._writer.write_at(offset, data)

    async def read(self, offset: int, length: int) -> Data:
        length = min(length, self.length - offset)
        if length <= 0:
            return b""
        if not self._ufs.capabilities.random_write:
            raise Unsupported(f"{self._uri}: unfinished files of this under storage cannot be read")
        return await self._writer.read_at(offset, length)

    async def truncate(self, length: int) -> None:
        if length != self.length:
            self.dirty = True
            await self._writer.truncate(length)

    async def flush(self, sync: bool = False) -> None:
        # Stores of whole objects show to others only what was published.
        if not self._forgotten and (sync or not self._ufs.capabilities.local_files):
            await self._writer.sync()
            await self._tell_published()
        self.dirty = False

    def forget(self) -> None:
        """The name was deleted: go on without one, and publish nothing any more."""
        self._forgotten = not self._ufs.capabilities.local_files

    async def close(self, set_attr: SetAttr | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        if self._forgotten:
            await self.abort()
            return
        try:
            await self._writer.close()
        except BaseException:
            self._finished(False)
            raise
        self.dirty = False
        if set_attr is not None and self._ufs.capabilities.attributes:
            await self._ufs.set_attr(self._uri, set_attr)
        await self._tell_published()
        self._finished(True)

    async def _tell_published(self) -> None:
        if not self._ufs.capabilities.local_files:
            await self._published()

    async def abort(self) -> None:
        self._closed = True
        self._finished(False)
        await self._writer.abort()
