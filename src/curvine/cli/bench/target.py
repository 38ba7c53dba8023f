# SPDX-License-Identifier: Apache-2.0
"""What is measured: a cluster through the client library, or a directory through the kernel."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from curvine.errors import AbnormalData

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

T = TypeVar("T")


class Target(Protocol):
    """The operations that are timed. Paths are absolute; sizes bytes."""

    async def mkdir(self, path: str) -> None: ...

    async def create(self, path: str) -> None:
        """Make an empty file."""

    async def open(self, path: str) -> None:
        """Open a file for reading and close it."""

    async def stat(self, path: str) -> None: ...

    async def list(self, path: str) -> list[str]:
        """Names of the entries, sorted."""

    async def exists(self, path: str) -> bool: ...

    async def rename(self, src: str, dst: str) -> None: ...

    async def delete(self, path: str) -> None:
        """Remove an entry with all below it."""

    async def write(self, path: str, size: int, piece: bytes) -> None:
        """Write a file of ``size`` bytes in pieces."""

    async def read(self, path: str, size: int, piece: int) -> None:
        """Read a file of ``size`` bytes in pieces of ``piece``. AbnormalData if it is shorter."""


class ClusterTarget:
    """A cluster, through the client library."""

    def __init__(self, fs: UnifiedFileSystem) -> None:
        self._fs = fs

    async def mkdir(self, path: str) -> None:
        await self._fs.mkdir(path, create_parent=True)

    async def create(self, path: str) -> None:
        writer = await self._fs.create(path, truncate=True, size_hint=0)
        await writer.close()

    async def open(self, path: str) -> None:
        reader = await self._fs.open_read(path)
        await reader.close()

    async def stat(self, path: str) -> None:
        await self._fs.status(path)

    async def list(self, path: str) -> list[str]:
        return [row.name for row in await self._fs.list(path)]

    async def exists(self, path: str) -> bool:
        return await self._fs.exists(path)

    async def rename(self, src: str, dst: str) -> None:
        await self._fs.rename(src, dst)

    async def delete(self, path: str) -> None:
        await self._fs.delete(path, True)

    async def write(self, path: str, size: int, piece: bytes) -> None:
        writer = await self._fs.create(path, truncate=True, size_hint=size)
        try:
            for offset in range(0, size, len(piece)):
                await writer.write(offset, piece[: size - offset])
            await writer.close()
        except BaseException:
            await writer.abort()
            raise

    async def read(self, path: str, size: int, piece: int) -> None:
        reader = await self._fs.open_read(path)
        try:
            offset = 0
            while offset < size:
                data = await reader.read(offset, min(piece, size - offset))
                if not data:
                    raise AbnormalData(f"{path} ended at {offset} of {size} bytes")
                offset += len(data)
        finally:
            await reader.close()


class DirectoryTarget:
    """A directory of this machine (a mount), one thread for each that works at a time."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)

    async def mkdir(self, path: str) -> None:
        await self._run(lambda: os.makedirs(path, exist_ok=True))

    async def create(self, path: str) -> None:
        await self._run(lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)))

    async def open(self, path: str) -> None:
        await self._run(lambda: os.close(os.open(path, os.O_RDONLY)))

    async def stat(self, path: str) -> None:
        await self._run(lambda: os.stat(path))

    async def list(self, path: str) -> list[str]:
        return await self._run(lambda: sorted(os.listdir(path)))

    async def exists(self, path: str) -> bool:
        return await self._run(lambda: os.path.exists(path))

    async def rename(self, src: str, dst: str) -> None:
        await self._run(lambda: os.rename(src, dst))

    async def delete(self, path: str) -> None:
        await self._run(lambda: shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path))

    async def write(self, path: str, size: int, piece: bytes) -> None:
        def work() -> None:
            with open(path, "wb", buffering=0) as file:
                for offset in range(0, size, len(piece)):
                    file.write(piece[: size - offset])

        await self._run(work)

    async def read(self, path: str, size: int, piece: int) -> None:
        def work() -> None:
            buffer = bytearray(piece)
            with open(path, "rb", buffering=0) as file:
                left = size
                while left > 0 and (count := file.readinto(buffer)):
                    left -= count
            if left > 0:
                raise AbnormalData(f"{path} ended {left} bytes before its end")

        await self._run(work)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
