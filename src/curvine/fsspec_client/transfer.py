# SPDX-License-Identifier: Apache-2.0
"""The part of the fsspec file system that moves whole files."""

from __future__ import annotations

import asyncio
import getpass
import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any

from fsspec.asyn import sync
from fsspec.callbacks import DEFAULT_CALLBACK

from curvine.client.files import ReadableFile, WritableFile
from curvine.client.local_file import Buffer
from curvine.client.mounts import CrossesMounts
from curvine.client.unified import UnifiedFileSystem
from curvine.client.whole_files import write_whole
from curvine.errors import CurvineError, NotFound
from curvine.fsspec_client.urls import wire_path
from curvine.model.inode import FileStatus, RenameFlag
from curvine.model.path import join, split

PIECE = 4 * 1024 * 1024  # bytes of a large copy that are in memory at once
_SMALL = 1024 * 1024  # files up to this are sent in one message


class Transfers:
    """Mixed into CurvineFileSystem, which gives it the connected client and the names."""

    auto_mkdir: bool

    @property
    @abstractmethod
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of synchronous calls."""

    @abstractmethod
    async def unified(self) -> UnifiedFileSystem:
        """The client of the running loop."""

    @abstractmethod
    async def open_reader(self, path: str) -> ReadableFile:
        """A reader of a file."""

    @abstractmethod
    async def status(self, path: str, *, follow: bool = True) -> FileStatus:
        """An entry as the cluster describes it."""

    @classmethod
    @abstractmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The path of a URL."""

    # --- writing ---------------------------------------------------------------------------------

    async def open_writer(
        self, path: str, *, exclusive: bool = False, size: int | None = None
    ) -> WritableFile:
        """A writer of a new file, or of an emptied one."""
        fs = await self.unified()
        place = wire_path(path)
        options: dict[str, Any] = {
            "owner": _user(), "exclusive": exclusive, "size_hint": size,
            "mode": 0o666 & ~fs.cluster.conf.client.umask, "create_parent": self.auto_mkdir,
        }  # fmt: skip
        try:
            return await fs.create(place, **options)
        except NotFound:
            if not self.auto_mkdir:
                raise
            await fs.mkdir(split(place)[0], create_parent=True)
            return await fs.create(place, **options)

    async def put_bytes(self, path: str, data: Buffer, *, exclusive: bool = False) -> None:
        """Make a file of ``data``: one round trip for a small one."""
        await write_whole(await self.open_writer(path, exclusive=exclusive, size=len(data)), data)

    async def open_appender(self, path: str) -> WritableFile:
        """A writer at the end of a file, which is made if it is not there."""
        fs = await self.unified()
        try:
            return await fs.open_write((await self.status(path)).path, append=True)
        except NotFound:
            return await self.open_writer(path)

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        data = memoryview(value).cast("B")
        await self.put_bytes(self._strip_protocol(path), data, exclusive=mode == "create")

    # --- inside the cluster ----------------------------------------------------------------------

    async def rename_entry(self, src: str, dst: str, flags: RenameFlag = RenameFlag.NONE) -> None:
        """Move an entry; what is at ``dst`` is replaced as rename(2) does it."""
        fs = await self.unified()
        source, target = wire_path(src), wire_path(dst)
        try:
            await fs.rename(source, target, flags)
        except NotFound:
            parent = split(target)[0]
            if not self.auto_mkdir or await fs.exists(parent):
                raise
            await fs.mkdir(parent, create_parent=True)
            await fs.rename(source, target, flags)

    async def remove_if_there(self, path: str, *, empty: int | None = None) -> None:
        """Remove a file that may be gone already; with ``empty`` only if it is that inode still,
        and nothing was published in it."""
        fs = await self.unified()
        try:
            if empty is not None:
                status = await fs.status(wire_path(path))
                if status.id != empty or status.len:
                    return
            await fs.delete(wire_path(path))
        except FileNotFoundError:
            pass

    async def _mv_file(self, path1: str, path2: str, **_: Any) -> None:
        await self._move(self._strip_protocol(path1), self._strip_protocol(path2))

    async def _mv(self, path1: str, path2: str, **_: Any) -> None:
        src, dst = self._strip_protocol(path1), self._strip_protocol(path2)
        if src == dst:
            return
        try:
            into = str(path2).endswith("/") or (await self.status(dst)).is_dir
        except FileNotFoundError:
            into = False
        await self._move(src, join(dst, split(src)[1]) if into else dst)

    def mv(
        self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        """Move an entry, a directory with all below it, in one step; into ``path2`` where that is a
        directory. Patterns and lists are copied and removed one by one."""
        single = isinstance(path1, str) and isinstance(path2, str) and maxdepth is None
        if single and not any(sign in path1 for sign in "*?["):
            sync(self.loop, self._mv, path1, path2)
        else:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)  # type: ignore[misc]  # fsspec's

    async def _move(self, src: str, dst: str) -> None:
        try:
            await self.rename_entry(src, dst)
        except CrossesMounts:
            if (await self.status(src, follow=False)).is_dir:
                raise  # a tree is copied by those who know that it is not one step
            await self._cp_file(src, dst)
            await (await self.unified()).delete(wire_path(src))

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        src, dst = self._strip_protocol(path1), self._strip_protocol(path2)
        if (await self.status(src)).is_dir:
            await (await self.unified()).mkdir(wire_path(dst), create_parent=True)
            return
        reader = await self.open_reader(src)
        try:
            writer = await self.open_writer(dst, size=reader.length)
            await _fill(writer, reader)
        finally:
            await reader.close()

    # --- to and from this machine ----------------------------------------------------------------

    async def _put_file(
        self, lpath: str, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite",
        **_: Any,
    ) -> None:  # fmt: skip
        path = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            await (await self.unified()).mkdir(wire_path(path), create_parent=True)
            return
        with open(lpath, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            callback.set_size(size)
            if size <= _SMALL:
                await self.put_bytes(path, file.read(), exclusive=mode == "create")
                callback.relative_update(size)
                return
            writer = await self.open_writer(path, exclusive=mode == "create", size=size)
            try:
                offset = 0
                while piece := await asyncio.to_thread(os.pread, file.fileno(), PIECE, offset):
                    await writer.write(offset, piece)
                    offset += len(piece)
                    callback.relative_update(len(piece))
            except BaseException:
                await writer.abort()
                raise
            await writer.close()

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        path = self._strip_protocol(rpath)
        if hasattr(lpath, "write"):
            await self._copy_out(path, lpath, callback)
            return
        if (await self.status(path)).is_dir:
            os.makedirs(lpath, exist_ok=True)
            return
        if parent := os.path.dirname(lpath):
            os.makedirs(parent, exist_ok=True)
        partial = f"{os.fspath(lpath)}.curvine-partial"
        try:
            with open(partial, "wb", buffering=0) as out:
                await self._copy_out(path, out, callback)
            os.replace(partial, lpath)  # an interrupted copy never looks whole
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise

    async def _copy_out(self, path: str, out: Any, callback: Any) -> None:
        reader = await self.open_reader(path)
        try:
            callback.set_size(reader.length)
            fd = await reader.local_fd()
            if fd is not None and hasattr(out, "fileno"):
                await asyncio.to_thread(_copy_descriptor, fd, out.fileno(), reader.length)
                callback.relative_update(reader.length)
                return
            offset = 0
            while piece := await reader.read(offset, PIECE):
                await asyncio.to_thread(_write_all, out, piece)
                offset += len(piece)
                callback.relative_update(len(piece))
        finally:
            await reader.close()

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Byte ranges of one or more files, each file opened once, all ranges at once."""
        if not isinstance(paths, list):
            raise TypeError("cat_ranges takes a list of paths")
        begins, stops = _spread(starts, len(paths)), _spread(ends, len(paths))
        wanted: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            wanted.setdefault(self._strip_protocol(path), []).append(index)
        results: list[Any] = [None] * len(paths)
        limit = asyncio.Semaphore(batch_size or 64)

        async def of_one(path: str, indices: list[int]) -> None:
            async with limit:
                try:
                    reader = await self.open_reader(path)
                except (CurvineError, OSError) as error:
                    for index in indices:
                        results[index] = error
                    return
                try:
                    await asyncio.gather(*(one(reader, index) for index in indices))
                finally:
                    await reader.close()

        async def one(reader: ReadableFile, index: int) -> None:
            try:
                first, last, _step = slice(begins[index], stops[index]).indices(reader.length)
                results[index] = bytes(await reader.read(first, last - first))
            except (CurvineError, OSError) as error:
                results[index] = error

        await asyncio.gather(*(of_one(path, indices) for path, indices in wanted.items()))
        if on_error != "return":
            for result in results:
                if isinstance(result, Exception):
                    raise result
        return results


async def _fill(writer: WritableFile, reader: ReadableFile) -> None:
    try:
        offset = 0
        while piece := await reader.read(offset, PIECE):
            await writer.write(offset, piece)
            offset += len(piece)
    except BaseException:
        await writer.abort()
        raise
    await writer.close()


def _copy_descriptor(source: int, target: int, length: int) -> None:
    offset = 0
    while offset < length:
        sent = os.sendfile(target, source, offset, length - offset)
        if not sent:
            raise NotFound(f"a block file ended at {offset} of {length} bytes")
        offset += sent


def _write_all(out: Any, piece: Buffer) -> None:
    view = memoryview(piece)
    while view:
        view = view[out.write(view) :]


def _spread(value: Any, count: int) -> Sequence[int | None]:
    if value is None or isinstance(value, int):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise ValueError(f"{len(values)} positions for {count} paths")
    return values


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
