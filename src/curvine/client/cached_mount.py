# SPDX-License-Identifier: Apache-2.0
"""cache_mode mounts: the under storage is the truth, the cluster holds copies of its files.

Listing, stat and changes go to the under storage; only reading a file may be served by a copy.
A copy is valid while it carries the source's mtime and has not expired. Where asking the source
costs about a system call, or the mount says so (read_verify_ufs), it is compared with it at every
open: by etag where the store gives one, else by length and mtime. What is missing is read from the
source, and loaded behind the reader.
Source: data-plane specification 5.3. Beyond it: a rename drops the copy of what it replaced,
attributes are changed where the storage keeps them, links are made where it has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from curvine.client.autocache import AutoCache
from curvine.client.cluster import ClusterClient
from curvine.client.cold_file import ColdFiles
from curvine.client.fallback import FallbackReader
from curvine.client.files import ReadableFile, WritableFile
from curvine.client.mounts import IsAMount, MountTable
from curvine.client.ufs_file import UfsFileReader, UfsFileWriter
from curvine.errors import (
    AlreadyExists,
    CurvineError,
    NotFound,
    ReadOnly,
    Unsupported,
    UnsupportedUfsRead,
)
from curvine.model.block import FileBlocks
from curvine.model.inode import FileStatus, SetAttr, valid_copy
from curvine.model.mount import AccessMode, MountInfo, ufs_path_of
from curvine.model.path import is_under
from curvine.ufs.base import OPEN_MODE, Ufs, UfsReader, UfsStatus, UfsWriter, copy_of

log = logging.getLogger(__name__)

Entries = list[FileStatus]  # inside the class the name "list" is a method

_LISTING_TTL = 5.0  # seconds in which the next page may come from the same listing
_LISTINGS = 8


class CachedMounts:
    """The operations on paths under cache_mode mounts; every one is told the mount."""

    def __init__(self, cluster: ClusterClient, mounts: MountTable, auto_cache: AutoCache) -> None:
        self._cluster = cluster
        self._cold = ColdFiles(cluster, auto_cache)
        self._mounts = mounts
        self._auto_cache = auto_cache
        self._listings: dict[str, tuple[float, list[FileStatus]]] = {}
        # Files that this process writes: stores of whole objects do not show them before the end.
        self._written: dict[str, UfsFileWriter] = {}

    # --- reads ----------------------------------------------------------------------------------

    async def status(self, mount: MountInfo, path: str) -> FileStatus:
        """The entry as the source has it, or as a valid copy tells where asking is dear."""
        ufs, uri = self._place(mount, path)
        if path == mount.cv_path:
            own = await self._cluster.ns.status(path)
            source = (await ufs.stat(uri)).file_status(path)
            return msgspec.structs.replace(source, id=own.id, name=own.name)
        if path in self._written:
            return self._written[path].status
        if not ufs.capabilities.cheap_stat and not mount.read_verify_ufs:
            copy = await self._copy_status(path)
            if copy is not None:
                return copy
        return (await ufs.stat(uri)).file_status(path, self._block_size(mount))

    async def exists(self, mount: MountInfo, path: str) -> bool:
        """Whether the source has the entry."""
        if path in self._written:
            return True
        ufs, uri = self._place(mount, path)
        try:
            await ufs.stat(uri)
        except NotFound:
            return False
        return True

    async def list(
        self, mount: MountInfo, path: str, limit: int | None, start_after: str | None
    ) -> list[FileStatus]:
        """The source's entries; later pages come from the listing of the first."""
        now = self._cluster.clock.monotonic()
        known = self._listings.get(path) if start_after is not None else None
        if known is not None and now - known[0] < _LISTING_TTL:
            entries = known[1]
        else:
            ufs, uri = self._place(mount, path)
            size = self._block_size(mount)
            entries = [
                status.file_status(f"{path.rstrip('/')}/{status.name}", size)
                for status in await ufs.list(uri)
            ]
            entries = _with_written(self._written, path, entries)
            if limit is not None:
                while len(self._listings) >= _LISTINGS:
                    del self._listings[next(iter(self._listings))]
                self._listings[path] = (now, entries)
        if start_after is not None:
            after = start_after.encode("utf-8", "surrogatepass")
            entries = [e for e in entries if e.name.encode("utf-8", "surrogatepass") > after]
        return entries if limit is None else entries[:limit]

    async def open_read(self, mount: MountInfo, path: str) -> ReadableFile:
        """A reader of the copy with the source behind it, or of the source alone."""
        ufs, uri = self._place(mount, path)
        copy = await self._copy(path)
        verify = mount.read_verify_ufs or ufs.capabilities.cheap_stat
        source: UfsReader | None = None
        if verify or copy is None:
            try:
                source = await self._open_source(mount, ufs, uri)
            except NotFound:
                raise
            except CurvineError:
                if copy is None or mount.read_verify_ufs:
                    raise  # without proof the copy may be used only where none was asked for
        if copy is not None and (source is None or copy_of(copy.status, source)):
            self._cluster.counters["client_cache_hits"] += 1
            self._cluster.streams.stats.hits[mount.mount_id] += 1
            return self._cached_reader(ufs, uri, copy, source)
        if source is None:
            source = await self._open_source(mount, ufs, uri)
        stats = self._cluster.streams.stats
        self._cluster.counters["client_cache_misses"] += 1
        stats.misses[mount.mount_id] += 1
        if ufs.capabilities.attributes:
            found = await ufs.stat(uri)
        else:
            found = UfsStatus(
                path.rpartition("/")[2], False, source.length, source.mtime, mode=OPEN_MODE
            )
        status = found.file_status(path, self._block_size(mount))
        if not (mount.auto_cache and mount.ttl_ms > 0 and source.length > 0):
            return UfsFileReader(status, source)

        async def loaded() -> ReadableFile | None:
            now = await self._copy(path, fresh=True)
            if now is None or not copy_of(now.status, source):
                return None
            return self._cached_reader(ufs, uri, now, None)

        return self._cold.reader(status, source, uri, loaded)

    def read_only(self, mount: MountInfo) -> bool:
        """Whether changes are refused."""
        return mount.access_mode == AccessMode.READ_ONLY

    # --- changes --------------------------------------------------------------------------------

    async def create(
        self, mount: MountInfo, path: str, *, mode: int, exclusive: bool, truncate: bool
    ) -> WritableFile:
        """Open a file of the source for writing, making it if it is not there."""
        self._writable(mount, path)
        if exclusive and await self.exists(mount, path):
            raise AlreadyExists(f"{path} already exists")
        if not truncate and not exclusive and await self.exists(mount, path):
            return await self.open_write(mount, path, append=False)
        ufs, uri = self._place(mount, path)
        await self._drop_copy(path)
        writer = await ufs.open_write(uri, mode=mode)
        return await self._writer(mount, ufs, uri, path, writer, mode)

    async def open_write(self, mount: MountInfo, path: str, *, append: bool) -> WritableFile:
        """Open an existing file of the source for writing."""
        self._writable(mount, path)
        ufs, uri = self._place(mount, path)
        await self._drop_copy(path)
        if ufs.capabilities.random_write:
            writer = await ufs.open_update(uri)
        else:
            writer = await ufs.open_write(uri, append=append)
        return await self._writer(mount, ufs, uri, path, writer)

    async def mkdir(
        self, mount: MountInfo, path: str, *, mode: int, create_parent: bool
    ) -> FileStatus:
        """Make a directory in the source."""
        self._writable(mount, path)
        ufs, uri = self._place(mount, path)
        await ufs.mkdir(uri, mode=mode, parents=create_parent)
        return (await ufs.stat(uri)).file_status(path)

    async def delete(self, mount: MountInfo, path: str, recursive: bool) -> None:
        """Remove an entry from the source, and its copy."""
        if path == mount.cv_path:
            raise IsAMount(f"{path} is a mount; unmount it first")
        self._writable(mount, path)
        ufs, uri = self._place(mount, path)
        being_written = self._written.get(path)
        if being_written is not None:
            being_written.forget()
        try:
            await ufs.delete(uri, recursive=recursive)
        except NotFound:
            if being_written is None:
                raise
        await self._drop_copy(path)

    async def rename(self, mount: MountInfo, src: str, dst: str, flags: int) -> bool:
        """Move an entry inside the source; both copies are dropped."""
        self._writable(mount, src)
        if flags:
            raise Unsupported(f"{src}: the under storage has no such rename")
        if src == dst:
            return False
        ufs, uri = self._place(mount, src)
        for path, writer in list(self._written.items()):
            if is_under(path, src):
                await writer.flush(sync=True)  # what is not in the store yet would stay behind
        await ufs.rename(uri, ufs_path_of(mount, dst))
        await self._drop_copy(src)
        await self._drop_copy(dst)
        return True

    async def set_attr(self, mount: MountInfo, path: str, changes: SetAttr) -> FileStatus:
        """Change attributes where the source keeps them; elsewhere nothing happens."""
        self._writable(mount, path)
        ufs, uri = self._place(mount, path)
        if ufs.capabilities.attributes:
            await ufs.set_attr(uri, changes)
        return await self.status(mount, path)

    async def resize(self, mount: MountInfo, path: str, length: int) -> FileStatus:
        """Set the length of a file of the source."""
        writer = await self.open_write(mount, path, append=False)
        await writer.truncate(length)
        await writer.close()
        return await self.status(mount, path)

    async def symlink(self, mount: MountInfo, target: str, path: str) -> FileStatus:
        """Make a symbolic link in the source."""
        self._writable(mount, path)
        ufs, uri = self._place(mount, path)
        await ufs.symlink(target, uri)
        return (await ufs.stat(uri)).file_status(path)

    # --- copies ---------------------------------------------------------------------------------

    async def _copy(self, path: str, *, fresh: bool = False) -> FileBlocks | None:
        """The cached copy if it is valid. Any error is a miss (specification 5.5)."""
        try:
            file = await self._cluster.ns.block_locations(path, fresh=fresh)
        except CurvineError as error:
            if not isinstance(error, NotFound):
                log.info("%s: the copy is not used: %s", path, error)
            return None
        return file if valid_copy(file.status, self._cluster.clock.now_ms()) else None

    async def _copy_status(self, path: str) -> FileStatus | None:
        try:
            status = await self._cluster.ns.status(path)
        except CurvineError:
            return None
        if status.is_dir or not valid_copy(status, self._cluster.clock.now_ms()):
            return None
        return msgspec.structs.replace(status, id=0, mtime=status.storage_policy.ufs_mtime)

    def _cached_reader(
        self, ufs: Ufs, uri: str, copy: FileBlocks, source: UfsReader | None
    ) -> ReadableFile:
        mtime = copy.status.storage_policy.ufs_mtime
        status = msgspec.structs.replace(copy.status, id=0, mtime=mtime)
        return FallbackReader(
            status,
            self._cluster.reader(copy),
            lambda: ufs.open_read(uri),
            still_same=lambda now: copy_of(copy.status, now),
            source=source,
            on_fallback=self._count("client_fallbacks"),
        )

    async def _drop_copy(self, path: str) -> None:
        try:
            await self._cluster.ns.delete(path, True)
        except NotFound:
            pass
        except CurvineError as error:
            # A copy that stays is found out by its mtime at the next verified open.
            log.warning("%s: the old copy was not deleted: %s", path, error)

    # --- small parts ----------------------------------------------------------------------------

    def _place(self, mount: MountInfo, path: str) -> tuple[Ufs, str]:
        return self._mounts.storage(mount), ufs_path_of(mount, path)

    async def _open_source(self, mount: MountInfo, ufs: Ufs, uri: str) -> UfsReader:
        if not self._cluster.conf.client.enable_rust_read_ufs:
            raise UnsupportedUfsRead(f"{uri} is not cached, and direct reads are switched off")
        return await ufs.open_read(uri)

    async def _writer(
        self,
        mount: MountInfo,
        ufs: Ufs,
        uri: str,
        path: str,
        writer: UfsWriter,
        mode: int = 0,
    ) -> WritableFile:
        try:
            found = await ufs.stat(uri)
        except NotFound:  # it comes into being when it is complete
            name = path.rpartition("/")[2]
            found = UfsStatus(name, False, mtime=self._cluster.clock.now_ms(), mode=mode)

        def finished(published: bool) -> None:
            if self._written.get(path) is made:
                del self._written[path]
            self._listings.clear()
            if published:
                self._auto_cache.forget(uri)
                if mount.write_cache:
                    self._auto_cache.missed(uri)

        made = UfsFileWriter(
            ufs, uri, found.file_status(path, self._block_size(mount)), writer, finished,
            # A load may have made a copy of what was there before, or be about to.
            lambda: self._drop_copy(path),
        )  # fmt: skip
        if not ufs.capabilities.local_files:
            self._written[path] = made
        return made

    def _writable(self, mount: MountInfo, path: str) -> None:
        if self.read_only(mount):
            raise ReadOnly(f"{path} is on a read-only mount")
        self._listings.clear()

    def _block_size(self, mount: MountInfo) -> int:
        return mount.block_size or self._cluster.conf.client.block_size

    def _count(self, name: str) -> Callable[[], None]:
        def count() -> None:
            self._cluster.counters[name] += 1

        return count


def _with_written(written: dict[str, UfsFileWriter], directory: str, entries: Entries) -> Entries:
    """A listing with the files in it that are being written here."""
    here = {
        writer.status.name: writer.status
        for path, writer in written.items()
        if path.rpartition("/")[0] == directory.rstrip("/")
    }
    if not here:
        return entries
    named = {entry.name: entry for entry in entries} | here
    return [named[n] for n in sorted(named, key=lambda n: n.encode("utf-8", "surrogatepass"))]
