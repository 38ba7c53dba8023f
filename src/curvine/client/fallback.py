# SPDX-License-Identifier: Apache-2.0
"""A reader of cached blocks that goes on in the under storage when the blocks fail.

After the first failure every read comes from the under storage, provided that its file still is
the one that was cached (``still_same``); if it is not, the reader gets the error of the cache.
Source: data-plane specification 5.5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from curvine.client.files import ReadableFile
from curvine.client.local_file import Data
from curvine.errors import CurvineError, InvalidArgument
from curvine.model.inode import FileStatus
from curvine.ufs.base import UfsReader

log = logging.getLogger(__name__)

OpenSource = Callable[[], Awaitable[UfsReader]]


class FallbackReader:
    """``cached`` first, then what ``open_source`` opens. ``source`` may be open already."""

    def __init__(
        self,
        status: FileStatus,
        cached: ReadableFile,
        open_source: OpenSource,
        *,
        still_same: Callable[[UfsReader], bool],
        source: UfsReader | None = None,
        on_fallback: Callable[[], None] = lambda: None,
    ) -> None:
        self.status = status
        self.length = cached.length
        self._cached = cached
        self._open_source = open_source
        self._still_same = still_same
        self._source = source
        self._on_fallback = on_fallback
        self._fallen = False
        self._lock = asyncio.Lock()

    @property
    def from_cache(self) -> bool:
        return not self._fallen

    async def read(self, offset: int, length: int) -> Data:
        length = min(length, self.length - offset)
        if length <= 0:
            return b""
        if not self._fallen:
            try:
                return await self._cached.read(offset, length)
            except InvalidArgument:
                raise
            except CurvineError as error:
                source = await self._fall(error)
        else:
            source = await self._opened()
        return await source.read_at(offset, length)

    async def local_fd(self) -> int | None:
        return None if self._fallen else await self._cached.local_fd()

    async def close(self) -> None:
        await self._cached.close()
        source, self._source = self._source, None
        if source is not None:
            await source.close()

    async def _fall(self, error: CurvineError) -> UfsReader:
        try:
            source = await self._opened()
        except CurvineError as second:
            log.warning("%s: neither cache nor source: %s; %s", self.status.path, error, second)
            raise error from second
        if not self._still_same(source):
            log.warning("%s: the cache failed and the source has changed", self.status.path)
            raise error
        if not self._fallen:
            self._fallen = True
            self._on_fallback()
            log.warning("%s: the cache failed, the source is read: %s", self.status.path, error)
        return source

    async def _opened(self) -> UfsReader:
        async with self._lock:
            if self._source is None:
                self._source = await self._open_source()
            return self._source
