# SPDX-License-Identifier: Apache-2.0
"""``CurvineFileSystem``: the cluster for everything that speaks fsspec.

Each method with a leading underscore is a coroutine; fsspec adds the one that waits. Synchronous
calls run on the process's client loop, so a file system may be used by many threads, and by child
processes however they were started: a child connects anew. Nothing is listed from a cache: every
listing is the master's, every status the master's or one that its push keeps true.
Source: data-plane specification 9.3.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync

from curvine.client.block_put import GET_LIMIT
from curvine.client.blocking import LoopThread
from curvine.client.connect import Masters, UsualPlace, configuration
from curvine.client.files import ReadableFile
from curvine.client.unified import UnifiedFileSystem
from curvine.client.whole_files import read_whole
from curvine.errors import Common, InvalidArgument, NotADirectory, NotFound
from curvine.fsspec_client.file import CurvineFile, CurvineWriter
from curvine.fsspec_client.sessions import Sessions
from curvine.fsspec_client.source import Source, read_range
from curvine.fsspec_client.transfer import Transfers
from curvine.fsspec_client.urls import (
    PROTOCOLS,
    info_of,
    masters_of,
    path_of,
    python_path,
    wire_path,
)
from curvine.model.inode import FileStatus, FileType, SetAttr
from curvine.model.path import ROOT, join, split

_FSSPEC_OPTIONS = ("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache")
_AT_ONCE = 64  # files of one bulk call that are under way together
_MOST_LINKS = 40  # followed before a chain counts as a circle, as in the kernel

Info = dict[str, Any]


class CurvineFileSystem(Transfers, AsyncFileSystem):
    """See the module.

    ``master_addrs`` ("host:port,..."), ``config_path`` and every key of ``[client]`` (for example
    ``replicas``, ``block_size``, ``short_circuit``; other sections as "auth.token_file") say which
    cluster and how; without them the usual places are looked at. ``auto_mkdir``: writing makes
    missing parent directories.
    """

    _extra_tokenize_attributes = ("usual_place",)
    usual_place = UsualPlace()
    protocol = PROTOCOLS
    root_marker = ROOT
    cachable = True

    def __init__(
        self,
        master_addrs: Masters | None = None,
        config_path: str | os.PathLike[str] | None = None,
        *,
        auto_mkdir: bool = True,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in _FSSPEC_OPTIONS if name in options}
        self._conf = configuration(master_addrs, config_path, options)
        self._sessions = Sessions(self._conf)
        self.auto_mkdir = auto_mkdir
        super().__init__(
            asynchronous=asynchronous,
            loop=loop or LoopThread.of_this_process().loop,
            batch_size=batch_size or _AT_ONCE,
            **own,
        )

    # --- who serves the calls --------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of synchronous calls: this process's own, in a child as well."""
        return LoopThread.of_this_process().loop

    async def unified(self) -> UnifiedFileSystem:
        """The client of the running loop, connected. NoMaster, ConfigError."""
        return await self._sessions.current()

    def close(self) -> None:
        """Close the connections of synchronous use; the next call opens them again."""
        sync(self.loop, self.aclose)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._sessions.close()

    # --- names -----------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return path_of(os.fspath(path))

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        masters = masters_of(path)
        return {"master_addrs": masters} if masters else {}

    @property
    def fsid(self) -> str:
        """The cluster, not the way to it."""
        masters = ",".join(f"{host}:{port}" for host, port in self._conf.client_master_addrs())
        return f"curvine-{self._conf.cluster_id}-{masters}"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Nothing to do: no listing is kept."""

    # --- what is there ---------------------------------------------------------------------------

    async def status(self, path: str, *, follow: bool = True) -> FileStatus:
        """An entry as the cluster describes it; links at its end are followed."""
        fs = await self.unified()
        place = wire_path(path)
        for _ in range(_MOST_LINKS):
            status = await fs.status(place)
            if not follow or status.file_type is not FileType.LINK or status.target is None:
                return status
            place = status.target if status.target.startswith("/") else _beside(place, status)
        raise InvalidArgument(f"{path}: too many symbolic links")

    async def _info(self, path: str, **_: Any) -> Info:
        path = self._strip_protocol(path)
        status = await self.status(path, follow=False)
        info = info_of(status, path)
        if info["islink"]:
            try:
                aim = info_of(await self.status(path), path)
            except FileNotFoundError:
                return info  # it leads nowhere
            return {**aim, "islink": True, "destination": info.get("destination")}
        return info

    async def _exists(self, path: str, **_: Any) -> bool:
        fs = await self.unified()
        try:
            return await fs.exists(wire_path(self._strip_protocol(path)))
        except NotADirectoryError:
            return False

    async def _isdir(self, path: str) -> bool:
        return await self._type(path) == "directory"

    async def _isfile(self, path: str) -> bool:
        return await self._type(path) == "file"

    async def _type(self, path: str) -> str | None:
        try:
            kind: str = (await self._info(path))["type"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return kind

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        fs = await self.unified()
        place = wire_path(path)
        try:
            entries = await fs.list(place)
        except (NotADirectory, Common, InvalidArgument):
            entries = []
        if not entries or entries[0].path == place:
            status = await self.status(path)  # a file, an empty directory, a link, or nothing
            if not status.is_dir:
                return [await self._info(path)] if detail else [path]
            if status.path != place:
                entries = await fs.list(status.path)
        names = [join(path, python_path(entry.name)) for entry in entries]
        if not detail:
            return names
        return [info_of(entry, name) for entry, name in zip(entries, names, strict=True)]

    def created(self, path: str) -> datetime:
        """When the entry last changed in any way (ctime): the cluster keeps no other."""
        return datetime.fromtimestamp(self.info(path)["created"], UTC)

    def modified(self, path: str) -> datetime:
        """When the content last changed."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def ukey(self, path: str) -> str:
        """A text that changes whenever the content does."""
        info = self.info(path)
        return f"{info['ino']}-{info['mtime']}-{info['size']}"

    checksum = ukey

    # --- changes ---------------------------------------------------------------------------------

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        fs = await self.unified()
        place = wire_path(self._strip_protocol(path))
        try:
            await fs.mkdir(place)
        except (NotFound, Common):  # the latter where somebody makes the parent just now
            if not create_parents:
                raise
            await fs.mkdir(split(place)[0], create_parent=True)
            await fs.mkdir(place)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not exist_ok:
            await self._mkdir(path, create_parents=True)
            return
        place = wire_path(self._strip_protocol(path))
        if place != ROOT:
            await (await self.unified()).mkdir(place, create_parent=True)

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        if not (await self.status(path, follow=False)).is_dir:
            raise NotADirectory(f"{path} is not a directory")
        await (await self.unified()).delete(wire_path(path))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        sync(self.loop, self._rmdir, path)

    async def _rm_file(self, path: str, **_: Any) -> None:
        await (await self.unified()).delete(wire_path(self._strip_protocol(path)))

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **_: Any,
    ) -> None:
        if maxdepth is not None:
            await super()._rm(path, recursive, batch_size, maxdepth)
            return
        fs = await self.unified()
        places = await self._expand_path(path, recursive=False)
        await asyncio.gather(*(fs.delete(wire_path(place), recursive) for place in places))

    def rm_file(self, path: str) -> None:
        """Remove a file, or an empty directory."""
        sync(self.loop, self._rm_file, path)

    async def _touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        path = self._strip_protocol(path)
        if truncate or not await self._exists(path):
            await self.put_bytes(path, b"")
            return
        now = int(datetime.now(UTC).timestamp() * 1000)
        status = await self.status(path)
        await (await self.unified()).set_attr(status.path, SetAttr(mtime=now, atime=now))

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file; with ``truncate`` False only renew the times of one that exists."""
        sync(self.loop, self._touch, path, truncate, **kwargs)

    # --- files -----------------------------------------------------------------------------------

    async def open_reader(self, path: str) -> ReadableFile:
        """The client's own reader of a file, on the running loop; links are followed."""
        fs = await self.unified()
        place = wire_path(path)
        try:
            return await fs.open_read(place)
        except InvalidArgument:
            status = await self.status(path)
            if status.path == place:
                raise
            return await fs.open_read(status.path)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        cache_type: str | None = None,
        **_: Any,
    ) -> CurvineFile | CurvineWriter:
        if mode == "rb":
            return CurvineFile(
                self, path, block_size=block_size, cache_type=cache_type,
                cache_options=cache_options,
            )  # fmt: skip
        if mode in ("wb", "xb", "ab"):
            return CurvineWriter(self, path, mode, block_size=block_size, autocommit=autocommit)
        raise InvalidArgument(f"{path}: mode {mode!r}; files open as rb, wb, xb or ab")

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Bytes [start, end) of a file; negative positions count from its end."""
        path = self._strip_protocol(path)
        if start is None and end is None:
            small = LoopThread.of_this_process().run(self._small_file(path))
            if small is not None:
                return small
        source = Source(lambda: self.open_reader(path))
        try:
            start, end, _length = slice(start, end).indices(source.length)
            return source.read(start, end - start)
        finally:
            source.close()

    async def _small_file(self, path: str) -> bytes | None:
        """All bytes of a file that one message brings: sooner than a descriptor would come."""
        reader = await self.open_reader(path)
        if reader.length <= GET_LIMIT:
            return bytes(await read_whole(reader))
        await reader.close()
        return None

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        reader = await self.open_reader(path)
        if start is None and end is None and reader.length <= GET_LIMIT:
            data = await read_whole(reader)
        else:
            try:
                first, last, _step = slice(start, end).indices(reader.length)
                data = await read_range(reader, first, max(0, last - first))
            finally:
                await reader.close()
        return data if isinstance(data, bytes) else bytes(data)


def _beside(path: str, status: FileStatus) -> str:
    """Where a relative link leads, "." and ".." resolved by name."""
    return os.path.normpath(join(split(path)[0], status.target or ""))
