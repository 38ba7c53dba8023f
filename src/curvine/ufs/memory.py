# SPDX-License-Identifier: Apache-2.0
"""An object store in memory: for tests, and the shortest form of the contract."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence

from curvine.errors import NotFound, UfsChanged
from curvine.ufs.base import Buffer
from curvine.ufs.objects import ObjectInfo, ObjectStore

_PAGE = 1000


class MemoryObjects(ObjectStore):
    """A dictionary."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[ObjectInfo, bytes]] = {}

    async def head(self, key: str) -> ObjectInfo:
        found = self._objects.get(key)
        if found is None:
            raise NotFound(f"no object {key}")
        return found[0]

    async def list(
        self, prefix: str, *, recursive: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[ObjectInfo]]:
        found: dict[str, ObjectInfo] = {}
        for key in sorted(self._objects):
            if not key.startswith(prefix):
                continue
            name, slash, _ = key[len(prefix) :].partition("/")
            if slash and not recursive:
                found[f"{prefix}{name}/"] = ObjectInfo(f"{prefix}{name}/", is_prefix=True)
            else:
                found[key] = self._objects[key][0]
        rows = list(found.values())[:limit]
        for start in range(0, len(rows), _PAGE):
            yield rows[start : start + _PAGE]

    async def read(self, info: ObjectInfo, offset: int, size: int) -> bytes | memoryview:
        now, data = self._objects.get(info.key, (None, b""))
        if now is None:
            raise NotFound(f"no object {info.key}")
        if now.etag != info.etag:
            raise UfsChanged(f"{info.key} changed while it was read")
        return memoryview(data)[offset : offset + size]

    async def put(self, key: str, data: Buffer) -> None:
        content = bytes(data)
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        info = ObjectInfo(key, len(content), time.time_ns() // 1_000_000, etag)
        self._objects[key] = (info, content)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], part_size: int) -> None:
        await self.put(key, b"".join([chunk async for chunk in chunks]))

    async def copy(self, source: ObjectInfo, key: str) -> None:
        await self.head(source.key)
        await self.put(key, self._objects[source.key][1])

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._objects.pop(key, None)
