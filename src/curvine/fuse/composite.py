# SPDX-License-Identifier: Apache-2.0
"""Several places, of one cluster or of many, in one mount (decision 22).

Each place is a Curvine path shown at a path of the mount. The deepest place that a path lies under
serves it; directories that only lead to places are synthetic and read-only. Inode numbers of the
first place are the cluster's own, those of place n carry n above bit 48; roots of places have a
hash of their path, so that a place whose cluster is away is still listed.

A file that loses its last name while it is open goes to the orphan directory of its own cluster;
the place is told by its inode number, which is the orphan's name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from curvine.client.mounts import CrossesMounts
from curvine.errors import AlreadyExists, CurvineError, NotFound, ReadOnly
from curvine.fuse.contract import FileSystem, Reader, Recoverable, Writer
from curvine.fuse.nodes import ORPHANS, PLACE_SHIFT
from curvine.fuse.placenumbers import PlaceName, PlaceNumbers
from curvine.model.inode import FileStatus, FileType, SetAttr
from curvine.model.lock import FileLock
from curvine.model.path import ROOT, is_under, join, relative, split
from curvine.model.worker import FilesystemInfo

_log = logging.getLogger(__name__)

_INFO_SECONDS = 3.0  # a cluster that is away does not hold up statfs for longer


@dataclass(frozen=True)
class Place:
    """One directory of the mount: ``fs_path`` of a cluster, shown at ``path``."""

    path: str
    fs_path: str
    files: FileSystem
    read_only: bool = False
    cluster: object = field(default_factory=object)  # places of one cluster share it
    cluster_name: str = ""  # the same in every server of a mount

    @property
    def name(self) -> PlaceName:
        """What stays the same when the place is made again."""
        return PlaceName(self.path, self.fs_path, self.cluster_name)

    def inner(self, path: str) -> str:
        """The cluster's path for a path of the mount."""
        rest = "" if path == self.path else relative(path, self.path)
        return join(self.fs_path, rest) if rest else self.fs_path


class CompositeFileSystem:
    """Satisfies ``contract.FileSystem``."""

    def __init__(
        self, places: Sequence[Place], now_ms: int, numbers: PlaceNumbers | None = None
    ) -> None:
        self._numbers = numbers or PlaceNumbers()
        self._places: dict[int, Place] = {}  # all that this server ever showed, by number
        self._now_ms = now_ms
        self.show(places)

    @property
    def shown(self) -> tuple[Place, ...]:
        """The places that are seen now."""
        return self._shown

    def tag(self, place: Place) -> int:
        """What the inode numbers of a place carry."""
        return self._numbers.of(place.name) << PLACE_SHIFT

    def show(self, places: Sequence[Place]) -> None:
        """From now on these places are seen; what is open in others stays usable."""
        self._shown = tuple(places)
        self._numbers.show(place.name for place in places)
        for place in places:
            self._places[self._numbers.of(place.name)] = place
        self._deepest_first = sorted(places, key=lambda p: len(p.path), reverse=True)
        self._leading = {ROOT}  # synthetic, unless a place lies over them
        for place in places:
            parent = split(place.path)[0]
            while parent != ROOT:
                self._leading.add(parent)
                parent = split(parent)[0]

    # -- finding

    def _place(self, path: str) -> Place | None:
        for place in self._deepest_first:
            if is_under(path, place.path):
                return place
        return None

    def _orphans_place(self, path: str) -> Place:
        """The place that an orphan's name tells."""
        name = split(path)[1]
        number = int(name) >> PLACE_SHIFT if name.isdecimal() else min(self._places, default=0)
        if number not in self._places:
            raise NotFound(path)
        return self._places[number]

    def _at(self, path: str) -> tuple[FileSystem, str]:
        """Who serves ``path``, under which path of its own. NotFound for synthetic directories."""
        if is_under(path, ORPHANS):
            return self._orphans_place(path).files, path
        place = self._place(path)
        if place is None:
            raise NotFound(f"{path} does not exist")
        return place.files, place.inner(path)

    def _change(self, path: str) -> tuple[FileSystem, str]:
        """Likewise for a change."""
        if self.read_only(path) or any(place.path == path for place in self._shown):
            raise ReadOnly(f"{path} cannot be changed")
        return self._at(path)

    def _tagged(self, status: FileStatus, path: str) -> FileStatus:
        if any(place.path == path for place in self._shown):
            return msgspec.structs.replace(status, id=0, name=split(path)[1])
        return self._numbered(status, self._number(path))

    def _number(self, path: str) -> int:
        orphan = is_under(path, ORPHANS)
        place = self._orphans_place(path) if orphan else self._place(path)
        return self._numbers.of(place.name) if place is not None else 0

    @staticmethod
    def _numbered(status: FileStatus, number: int) -> FileStatus:
        if not number or not status.id:
            return status
        return msgspec.structs.replace(status, id=status.id | number << PLACE_SHIFT)

    def _wrapped(self, file: Any, path: str) -> Any:
        number = self._number(path)  # stays when the place is not shown any more
        return _Tagged(file, lambda status: self._numbered(status, number))

    def _synthetic(self, path: str) -> FileStatus:
        return FileStatus(
            0, path, split(path)[1], True, self._now_ms, self._now_ms,
            file_type=FileType.DIR, mode=0o555, nlink=2,
        )  # fmt: skip

    def read_only(self, path: str) -> bool:
        if is_under(path, ORPHANS):
            return False
        place = self._place(path)
        return place is None or place.read_only or place.files.read_only(place.inner(path))

    # -- reads

    async def status(self, path: str) -> FileStatus:
        if path in self._leading and self._place(path) is None:
            return self._synthetic(path)
        files, inner = self._at(path)
        return self._tagged(await files.status(inner), path)

    async def list(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> Sequence[FileStatus]:
        if path == ORPHANS:
            return await self._orphan_sessions()
        page: list[FileStatus] = []
        if self._place(path) is not None:
            files, inner = self._at(path)
            found = await files.list(inner, limit, start_after)
            page = [self._tagged(status, join(path, status.name)) for status in found]
        elif path not in self._leading:
            raise NotFound(f"{path} does not exist")
        last = page[-1].name.encode() if limit is not None and len(page) >= limit else None
        after = start_after.encode() if start_after is not None else b""
        shown = {status.name: status for status in page}
        for name in self._names_below(path):
            if name.encode() > after and (last is None or name.encode() <= last):
                shown[name] = self._synthetic(join(path, name))
        return [shown[name] for name in sorted(shown, key=str.encode)][:limit]

    def _names_below(self, path: str) -> Iterable[str]:
        """Names in ``path`` that are places or lead to one."""
        below = {place.path for place in self._shown} | self._leading
        return {split(p)[1] for p in below if p != ROOT and split(p)[0] == path}

    async def open_read(self, path: str) -> Reader:
        files, inner = self._at(path)
        reader: Reader = self._wrapped(await files.open_read(inner), path)
        return reader

    def parts(self) -> tuple[Any, ...]:
        """The file systems behind, one of each cluster."""
        return tuple({id(place.cluster): place.files for place in self._shown}.values())

    async def filesystem_info(self) -> FilesystemInfo:
        """The sums over all clusters that answer."""
        tasks = [asyncio.ensure_future(files.filesystem_info()) for files in self.parts()]
        done, late = await asyncio.wait(tasks, timeout=_INFO_SECONDS) if tasks else ((), ())
        for task in late:
            task.cancel()
        infos = [task.result() for task in done if task.exception() is None]
        return FilesystemInfo(
            active_master="",
            journal_nodes=(),
            inode_dir_num=sum(i.inode_dir_num for i in infos),
            inode_file_num=sum(i.inode_file_num for i in infos),
            block_num=sum(i.block_num for i in infos),
            capacity=sum(i.capacity for i in infos),
            available=sum(i.available for i in infos),
            fs_used=sum(i.fs_used for i in infos),
            non_fs_used=sum(i.non_fs_used for i in infos),
            reserved_bytes=sum(i.reserved_bytes for i in infos),
        )

    async def sync_file(self, path: str) -> None:
        files, inner = self._at(path)
        await files.sync_file(inner)

    async def sync_metadata(self) -> None:
        await asyncio.gather(*(files.sync_metadata() for files in self.parts()))

    # -- changes

    async def open_write(
        self, path: str, append: bool = False, *, req_id: int | None = None
    ) -> Writer:
        files, inner = self._change(path)
        writer: Writer = self._wrapped(await files.open_write(inner, append, req_id=req_id), path)
        return writer

    async def create(self, path: str, **options: Any) -> Writer:
        files, inner = self._change(path)
        writer: Writer = self._wrapped(await files.create(inner, **options), path)
        return writer

    async def mknod(self, path: str, **options: Any) -> FileStatus:
        return await self._made(path, lambda f, p: f.mknod(p, **options))

    async def mkdir(self, path: str, **options: Any) -> FileStatus:
        if is_under(path, ORPHANS):  # made in the right cluster when a file moves there
            return self._synthetic(path)
        if path == ROOT and not self.read_only(path):  # the directory that is mounted is missing
            files, inner = self._at(path)
            return self._tagged(await files.mkdir(inner, **options), path)
        return await self._made(path, lambda f, p: f.mkdir(p, **options))

    async def symlink(self, target: str, path: str, **options: Any) -> FileStatus:
        return await self._made(path, lambda f, p: f.symlink(target, p, **options))

    async def _made(
        self, path: str, make: Callable[[FileSystem, str], Awaitable[FileStatus]]
    ) -> FileStatus:
        files, inner = self._change(path)
        return self._tagged(await make(files, inner), path)

    async def link(self, src: str, dst: str, *, req_id: int | None = None) -> FileStatus:
        files, source, target = self._both(src, dst)
        return self._tagged(await files.link(source, target, req_id=req_id), dst)

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        if is_under(dst, ORPHANS):
            files, source = self._change(src)
            try:
                await files.mkdir(split(dst)[0], mode=0o700, create_parent=True)
            except AlreadyExists:
                pass
            return await files.rename(source, dst, flags, req_id=req_id)
        files, source, target = self._both(src, dst)
        return await files.rename(source, target, flags, req_id=req_id)

    def _both(self, src: str, dst: str) -> tuple[FileSystem, str, str]:
        files, source = self._change(src)
        _, target = self._change(dst)
        if self._place(src) is not self._place(dst):
            raise CrossesMounts(f"{src} and {dst} are different places")
        return files, source, target

    async def delete(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> object:
        if split(path)[0] == ORPHANS:
            await self._delete_session(path)
            return None
        files, inner = self._change(path)
        return await files.delete(inner, recursive, req_id=req_id)

    async def set_attr(
        self, path: str, opts: SetAttr, /, *, req_id: int | None = None
    ) -> FileStatus:
        files, inner = self._at(path)
        if self.read_only(path):
            raise ReadOnly(f"{path} cannot be changed")
        return self._tagged(await files.set_attr(inner, opts, req_id=req_id), path)

    async def resize(self, path: str, length: int, *, req_id: int | None = None) -> object:
        files, inner = self._change(path)
        return await files.resize(inner, length, req_id=req_id)

    async def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        files, inner = self._at(path)
        return await files.get_lock(inner, lock)

    async def set_lock(
        self, path: str, lock: FileLock, *, req_id: int | None = None
    ) -> FileLock | None:
        files, inner = self._at(path)
        return await files.set_lock(inner, lock, req_id=req_id)

    # -- orphan directories of every cluster

    async def _orphan_sessions(self) -> Sequence[FileStatus]:
        found: dict[str, FileStatus] = {}
        for sessions in await self._everywhere(lambda files: files.list(ORPHANS)):
            found.update({status.name: status for status in sessions})
        return list(found.values())

    async def _delete_session(self, path: str) -> None:
        await self._everywhere(lambda files: files.delete(path, recursive=True))

    async def _everywhere(self, ask: Callable[[FileSystem], Awaitable[Any]]) -> Sequence[Any]:
        """What clusters answer; one that is away holds nobody up, least of all the end."""

        async def of(place: Place) -> Sequence[Any]:
            try:
                async with asyncio.timeout(_INFO_SECONDS):
                    return [await ask(place.files)]
            except (CurvineError, TimeoutError) as error:
                _log.debug("orphans of the cluster behind %s: %s", place.path, error)
                return []

        places = {id(place.cluster): place for place in self._places.values()}
        answers = await asyncio.gather(*(of(place) for place in places.values()))
        return [answer for found in answers for answer in found]


class _Tagged:
    """An open file whose status carries the mount's own inode number."""

    def __init__(self, file: Any, tag: Callable[[FileStatus], FileStatus]) -> None:
        self._file = file
        self._tag = tag

    @property
    def status(self) -> FileStatus:
        return self._tag(self._file.status)

    async def recover(self, length: int) -> None:
        if isinstance(self._file, Recoverable):
            await self._file.recover(length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
