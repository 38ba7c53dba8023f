# SPDX-License-Identifier: Apache-2.0
"""The contract of an object store: flat keys, whole objects, no directories.

What ``ufs.object_ufs`` builds its directories on; one implementation for each engine. Keys are
text without a leading slash; a key that ends in "/" is the marker of a directory. Sizes are bytes,
times ms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

import msgspec

from curvine.ufs.base import Buffer

PART = 16 * 1024 * 1024  # of a multipart upload
MOST_PARTS = 10_000  # S3 and what imitates it
STREAMS = 4  # parts of one upload in flight


class ObjectInfo(msgspec.Struct, frozen=True, gc=False):
    """One object, or (``is_prefix``) a common prefix of several, whose key ends in "/"."""

    key: str
    size: int = 0
    mtime: int = 0
    etag: str | None = None
    is_prefix: bool = False


class ObjectStore(ABC):
    """One bucket. Errors: NotFound for a key that is not there, else UfsFailed and its kinds."""

    writable = True
    part_size = PART

    @abstractmethod
    async def head(self, key: str) -> ObjectInfo:
        """The object of exactly that key."""

    async def head_and_start(self, key: str, size: int) -> tuple[ObjectInfo, bytes | memoryview]:
        """``head`` and up to ``size`` bytes from the start of that version, with one request where
        the engine can."""
        return await self.head(key), b""

    @abstractmethod
    def list(
        self, prefix: str, *, recursive: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[ObjectInfo]]:
        """Objects whose keys begin with ``prefix`` (empty, or ending in "/"), page by page. Without
        ``recursive`` what lies behind a further "/" is told as one prefix. About ``limit`` of them
        are enough for the caller."""

    @abstractmethod
    async def read(self, info: ObjectInfo, offset: int, size: int) -> bytes | memoryview:
        """Exactly that range of the object as ``head`` or ``list`` told it. UfsChanged if it is
        another one by now."""

    @abstractmethod
    async def put(self, key: str, data: Buffer) -> None:
        """Create or replace the object with one request."""

    @abstractmethod
    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], part_size: int) -> None:
        """Create or replace the object from what ``chunks`` yields. If that raises, the upload is
        aborted, nothing is left, and its exception comes out."""

    @abstractmethod
    async def copy(self, source: ObjectInfo, key: str) -> None:
        """Copy inside the store."""

    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there count as deleted."""

    async def close(self) -> None:  # noqa: B027  # an empty default: not every engine holds something
        """Release connections."""
