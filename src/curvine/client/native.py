# SPDX-License-Identifier: Apache-2.0
"""Files whose metadata live in the cluster: paths outside mounts, and fs_mode mounts.

In fs_mode the namespace is the truth; a file may still have its bytes only in the under storage
(state UFS): it is read from there, and copied in whole before it is changed.
Source: data-plane specification 4.3, 5.4.
"""

from __future__ import annotations

import re
import struct

import msgspec

from curvine.client.autocache import AutoCache
from curvine.client.cluster import ClusterClient
from curvine.client.cold_file import ColdFiles
from curvine.client.fallback import FallbackReader
from curvine.client.files import ReadableFile
from curvine.client.mounts import MountTable
from curvine.client.ufs_file import UfsFileReader
from curvine.client.writer import FileWriter
from curvine.errors import (
    AbnormalData,
    Common,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotFound,
)
from curvine.model.block import AllocOpts, FileBlocks
from curvine.model.inode import (
    CreateOpts,
    FileStatus,
    FileType,
    OpenFlag,
    SetAttr,
    StorageState,
)
from curvine.model.mount import MountInfo, ufs_path_of
from curvine.model.path import join, split
from curvine.ufs.base import UfsReader, copy_of

RDEV_ATTRIBUTE = "curvine.rdev"  # device number of a special file, u32 little endian
_PAGE = 10_000  # entries of one listing call
_COPY_PIECE = 4 * 1024 * 1024
Entries = list[FileStatus]  # inside the class the name "list" is a method
_PATTERN = re.compile(r"[*?\[]")


class NativeFiles:
    """The operations on paths that the master alone answers for. ``mount`` is fs_mode's or None."""

    def __init__(self, cluster: ClusterClient, mounts: MountTable, auto_cache: AutoCache) -> None:
        self._cluster = cluster
        self._ns = cluster.ns
        self._mounts = mounts
        self._cold = ColdFiles(cluster, auto_cache)

    async def list(self, path: str, limit: int | None, start_after: str | None) -> list[FileStatus]:
        """The entries of a directory, sorted bytewise; a listing without limit comes in pages."""
        if _PATTERN.search(path):
            return await self._list_literally(path, limit, start_after)
        entries: list[FileStatus] = []
        while limit is None or len(entries) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(entries))
            page = await self._ns.list_options(path, limit=size, start_after=start_after)
            entries += page
            if len(page) < size:
                break
            start_after = page[-1].name
        return entries

    async def open_read(self, mount: MountInfo | None, path: str) -> ReadableFile:
        """A reader of the file's blocks, or of the under storage where it has none."""
        try:
            file = await self._ns.block_locations(path)
        except Common as error:
            await self.explain(path, error)
            raise
        status = file.status
        if status.file_type == FileType.LINK:
            raise InvalidArgument(f"{path} is a symbolic link")
        if mount is None:
            return self._cluster.reader(file, patient=True)
        ufs, uri = self._mounts.storage(mount), ufs_path_of(mount, path)
        if status.storage_policy.state != StorageState.UFS:
            if status.storage_policy.state == StorageState.CV:  # changed here, not exported yet
                return self._cluster.reader(file, patient=True)
            return FallbackReader(
                status,
                self._cluster.reader(file),
                lambda: ufs.open_read(uri),
                still_same=lambda source: copy_of(status, source),
            )
        source = await self._source(mount, path, status)
        if not (mount.auto_cache and mount.ttl_ms > 0 and status.len):
            return UfsFileReader(status, source)

        async def loaded() -> ReadableFile | None:
            now = await self._ns.block_locations(path, fresh=True)
            if now.status.storage_policy.state != StorageState.BOTH or not copy_of(
                now.status, source
            ):
                return None
            return FallbackReader(
                now.status,
                self._cluster.reader(now),
                lambda: ufs.open_read(uri),
                still_same=lambda found: copy_of(status, found),
            )

        return self._cold.reader(status, source, uri, loaded)

    async def _source(self, mount: MountInfo, path: str, status: FileStatus) -> UfsReader:
        """The under storage's file, opened. AbnormalData if it is another one by now."""
        uri = ufs_path_of(mount, path)
        source = await self._mounts.storage(mount).open_read(uri)
        if not copy_of(status, source):
            await source.close()
            raise AbnormalData(f"{uri} is not the file any more that {path} stands for")
        return source

    async def create(
        self,
        path: str,
        opts: CreateOpts,
        *,
        exclusive: bool,
        truncate: bool,
        req_id: int | None,
        mount: MountInfo | None = None,
    ) -> FileWriter:
        """Open a file for writing, making it if it is not there."""
        if mount is not None and not truncate and not exclusive:
            await self._have_blocks(mount, path)
        flags = OpenFlag.WRONLY | OpenFlag.CREAT | (OpenFlag.TRUNC if truncate else 0)
        try:
            if exclusive:
                # OpenFile does not look at EXCL for a file that exists; CreateFile does.
                flags = flags & ~OpenFlag.TRUNC | OpenFlag.EXCL
                make = self._ns.create_file
            else:
                make = self._ns.open_file
            avoid = self._cluster.health.suspects()
            file = await make(path, opts, flags, first_block=True, exclude=avoid, req_id=req_id)
            return self._cluster.writer(file)
        except Common as error:
            await self.explain(path, error)
            raise

    async def open_write(
        self, mount: MountInfo | None, path: str, *, append: bool, req_id: int | None
    ) -> FileWriter:
        """Open an existing file for writing; one that lives in the under storage is copied in."""
        if mount is not None:
            await self._have_blocks(mount, path)
        flags = OpenFlag.WRONLY | (OpenFlag.APPEND if append else 0)
        opts = self._cluster.create_opts()
        try:
            file = await self._ns.open_file(path, opts, flags, req_id=req_id)
            return self._cluster.writer(file)
        except Common as error:
            await self.explain(path, error)
            raise

    async def _have_blocks(self, mount: MountInfo, path: str) -> None:
        try:
            status = await self._ns.status(path)
        except NotFound:
            return
        if status.storage_policy.state == StorageState.UFS and status.len:
            await self._copy_in(mount, path, status)

    async def _copy_in(self, mount: MountInfo, path: str, status: FileStatus) -> None:
        """Give a file that has its bytes only in the under storage its blocks.

        It stays a file of the under storage until the last call makes it one of both: a copy that
        fails half-way loses nothing, and name, owner and mode do not change.
        """
        source = UfsFileReader(status, await self._source(mount, path, status))
        try:
            writer = self._cluster.writer(FileBlocks(status))
            try:
                await _fill(source, writer)
                await writer.close(SetAttr(ufs_mtime=status.storage_policy.ufs_mtime))
            except BaseException:
                await writer.forsake()
                raise
        finally:
            await source.close()

    async def resize(self, path: str, length: int, req_id: int | None) -> FileStatus:
        """Set a file's length; bytes that appear are zeros."""
        alloc = AllocOpts(truncate=True, len=length)
        file = await self._ns.resize(path, alloc, req_id=req_id)
        await self._cluster.apply_allocations(file)
        return file.status

    async def mknod(
        self, path: str, opts: CreateOpts, file_type: FileType, rdev: int, req_id: int | None
    ) -> FileStatus:
        """Make a fifo, socket or device node."""
        attributes = {RDEV_ATTRIBUTE: struct.pack("<I", rdev)} if rdev else {}
        opts = msgspec.structs.replace(opts, file_type=file_type, x_attr=attributes)
        flags = OpenFlag.WRONLY | OpenFlag.CREAT | OpenFlag.EXCL
        return (await self._ns.create_file(path, opts, flags, req_id=req_id)).status

    async def explain(self, path: str, error: Common) -> None:
        """Find the reason of an error that masters do not name, and raise that instead."""
        try:
            if (await self._ns.status(path)).is_dir:
                raise IsADirectory(f"{path} is a directory") from error
            return
        except NotFound:
            parent = split(path)[0]
        try:
            if not (await self._ns.status(parent)).is_dir:
                raise NotADirectory(f"{parent} is not a directory") from error
        except NotFound:
            raise NotFound(f"{parent} does not exist") from error

    async def _list_literally(
        self, path: str, limit: int | None, start_after: str | None
    ) -> Entries:
        """A directory whose path has pattern characters: as a pattern that matches itself only."""
        await self._ns.status(path)  # a pattern without a match gives no error
        pattern = _PATTERN.sub(lambda match: f"[{match[0]}]", path)
        entries = [
            msgspec.structs.replace(entry, path=join(path, entry.name))
            for entry in await self._ns.list_status(pattern)
        ]
        if start_after is not None:
            after = start_after.encode("utf-8", "surrogatepass")
            entries = [e for e in entries if e.name.encode("utf-8", "surrogatepass") > after]
        return entries if limit is None else entries[:limit]


async def _fill(source: ReadableFile, writer: FileWriter) -> None:
    """Copy a whole file, so that it can be changed in part."""
    offset = 0
    while offset < source.length:
        data = await source.read(offset, min(_COPY_PIECE, source.length - offset))
        if not data:
            raise AbnormalData(f"{source.status.path} ended at {offset} of {source.length} bytes")
        await writer.write(offset, data)
        offset += len(data)
