# SPDX-License-Identifier: Apache-2.0
"""One name space over the cluster and the under storages mounted into it.

Every path is first looked up in the mount table: cache_mode mounts go to client.cached_mount,
everything else to client.native. This class only routes; it is what FUSE, `cv`, S3 and fsspec
call. Mutating methods take ``req_id``: the same id again does not execute the call again (where
the master answers; under storages have no such memory). Times are ms, sizes bytes.
Source: data-plane specification 5.
"""

from __future__ import annotations

import builtins
from typing import Any

import msgspec

from curvine.client.autocache import AutoCache
from curvine.client.cached_mount import CachedMounts
from curvine.client.cluster import ClusterClient
from curvine.client.door import ClusterDoor
from curvine.client.files import ReadableFile, WritableFile
from curvine.client.local_file import Buffer, Data
from curvine.client.mount_secrets import MountSecrets
from curvine.client.mounts import CrossesMounts, IsAMount, MountTable
from curvine.client.native import NativeFiles
from curvine.client.whole_files import read_whole, write_whole
from curvine.errors import Common, InvalidArgument, Unsupported
from curvine.model.block import FileBlocks
from curvine.model.inode import (
    CreateOpts,
    FileStatus,
    FileType,
    FreeResult,
    MkdirOpts,
    SetAttr,
    StoragePolicy,
)
from curvine.model.lock import FileLock
from curvine.model.mount import MountInfo, WriteType

Entries = builtins.list[FileStatus]  # inside the class the name "list" is a method


class UnifiedFileSystem(ClusterDoor):
    """See the module. Close it before the cluster client that it uses."""

    def __init__(self, cluster: ClusterClient) -> None:
        conf = cluster.conf.client
        mounts = MountTable(
            cluster.admin.mount_table,
            cluster.clock,
            conf.mount_update_ttl_ms,
            MountSecrets(cluster.admin.mount_secrets),
        )
        super().__init__(cluster, mounts)
        self._auto_cache = AutoCache(cluster.admin.submit_load, cluster.clock)
        self._cached = CachedMounts(cluster, self._mounts, self._auto_cache)
        self._native = NativeFiles(cluster, self._mounts, self._auto_cache)

    async def close(self) -> None:
        """Stop background work and release the under storages."""
        await self._auto_cache.close()
        await self._mounts.close()

    # --- reads ----------------------------------------------------------------------------------

    async def status(self, path: str) -> FileStatus:
        """stat; a link is not followed."""
        cached = await self._cache_mode(path)
        if cached is not None:
            return await self._cached.status(cached, path)
        return await self.cluster.ns.status(path)

    async def exists(self, path: str) -> bool:
        """Whether the path resolves."""
        cached = await self._cache_mode(path)
        if cached is not None:
            return await self._cached.exists(cached, path)
        return await self.cluster.ns.exists(path)

    async def list(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> Entries:
        """Entries of a directory sorted bytewise by name, those after ``start_after`` only."""
        cached = await self._cache_mode(path)
        if cached is not None:
            return await self._cached.list(cached, path, limit, start_after)
        return await self._native.list(path, limit, start_after)

    async def list_stored(self, path: str) -> Entries:
        """Entries that the cluster itself has: below a cache_mode mount the cached copies."""
        return await self._native.list(path, None, None)

    async def block_locations(self, path: str) -> FileBlocks:
        """The blocks of a file or of the cached copy of one. NotFound when it is not cached."""
        return await self.cluster.ns.block_locations(path, fresh=True)

    async def open_read(self, path: str) -> ReadableFile:
        """Open a file for reading."""
        mount = await self._mount(path)
        if mount is not None and mount.write_type == WriteType.CACHE_MODE:
            return await self._cached.open_read(mount, path)
        return await self._native.open_read(mount, path)

    async def read_file(self, path: str) -> Data:
        """All bytes of a file."""
        return await read_whole(await self.open_read(path))

    def read_only(self, path: str) -> bool:
        """Whether changes at ``path`` are refused, as far as is known without waiting."""
        mount = self._mounts.cached(path) if self._unified else None
        return (
            mount is not None
            and mount.write_type == WriteType.CACHE_MODE
            and self._cached.read_only(mount)
        )

    async def mount_of(self, path: str) -> MountInfo | None:
        """The mount that ``path`` lies under."""
        return await self._mount(path)

    # --- changes --------------------------------------------------------------------------------

    async def mkdir(
        self,
        path: str,
        *,
        mode: int = 0o755,
        owner: str = "",
        group: str = "",
        create_parent: bool = False,
        req_id: int | None = None,
    ) -> FileStatus:
        """Make a directory. AlreadyExists, unless ``create_parent`` and it is a directory."""
        cached = await self._cache_mode(path)
        if cached is not None:
            status = await self._cached.mkdir(cached, path, mode=mode, create_parent=create_parent)
            return await self._given(cached, status, owner, group)
        opts = MkdirOpts(create_parent=create_parent, mode=mode, owner=owner, group=group)
        try:
            return await self.cluster.ns.mkdir(path, opts, req_id=req_id)
        except Common as error:
            await self._native.explain(path, error)
            raise

    async def create(
        self,
        path: str,
        *,
        mode: int = 0o644,
        owner: str = "",
        group: str = "",
        exclusive: bool = False,
        truncate: bool = True,
        block_size: int | None = None,
        size_hint: int | None = None,
        create_parent: bool = False,
        req_id: int | None = None,
    ) -> WritableFile:
        """Open a file for writing, making it if it is not there.

        ``size_hint`` is the length that the file will have, where it is known: it then becomes
        one block. ``truncate`` empties an existing file, ``exclusive`` refuses one.
        """
        mount = await self._mount(path)
        if mount is not None and mount.write_type == WriteType.CACHE_MODE:
            writer = await self._cached.create(
                mount, path, mode=mode, exclusive=exclusive, truncate=truncate
            )
            await self._given(mount, writer.status, owner, group)
            return writer
        opts = self.cluster.create_opts(
            mode=mode, owner=owner, group=group, create_parent=create_parent,
            block_size=block_size, size_hint=size_hint,
        )  # fmt: skip
        return await self._native.create(
            path, _under(mount, opts), exclusive=exclusive, truncate=truncate, req_id=req_id,
            mount=mount,
        )  # fmt: skip

    async def open_write(
        self, path: str, append: bool = False, *, req_id: int | None = None
    ) -> WritableFile:
        """Open an existing file for writing anywhere in it; its content stays."""
        mount = await self._mount(path)
        if mount is not None and mount.write_type == WriteType.CACHE_MODE:
            return await self._cached.open_write(mount, path, append=append)
        return await self._native.open_write(mount, path, append=append, req_id=req_id)

    async def write_file(self, path: str, data: Buffer, **options: Any) -> None:
        """Make a file of ``data``, replacing what is there. ``options`` as of :meth:`create`."""
        writer = await self.create(path, **{"size_hint": len(data), **options})
        await write_whole(writer, data)

    async def delete(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> FreeResult:
        """Remove an entry. DirectoryNotEmpty without ``recursive``."""
        cached = await self._cache_mode(path)
        if cached is not None:
            await self._cached.delete(cached, path, recursive)
            return FreeResult()
        await self._not_a_mount(path)
        return await self.cluster.ns.delete(path, recursive, req_id=req_id)

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        """Move an entry; False when both paths are the same. CrossesMounts between mounts."""
        await self._not_a_mount(src)
        await self._not_a_mount(dst)
        mount, other = await self._mount(src), await self._mount(dst)
        if not _same_mount(mount, other):
            raise CrossesMounts(f"{src} and {dst} are on different mounts")
        if mount is not None and mount.write_type == WriteType.CACHE_MODE:
            return await self._cached.rename(mount, src, dst, flags)
        return await self.cluster.ns.rename(src, dst, flags, req_id=req_id)

    async def set_attr(
        self, path: str, changes: SetAttr, *, req_id: int | None = None
    ) -> FileStatus:
        """Change attributes; the new status."""
        cached = await self._cache_mode(path)
        if cached is not None:
            return await self._cached.set_attr(cached, path, changes)
        return await self.cluster.ns.set_attr(path, changes, req_id=req_id)

    async def resize(self, path: str, length: int, *, req_id: int | None = None) -> FileStatus:
        """Set a file's length. For a file that is open here use its writer's truncate."""
        mount = await self._mount(path)
        if mount is not None and mount.write_type == WriteType.CACHE_MODE:
            return await self._cached.resize(mount, path, length)
        if mount is not None:
            await (await self._native.open_write(mount, path, append=False, req_id=None)).close()
        return await self._native.resize(path, length, req_id)

    async def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        """The lock in the way of ``lock``, if any; Unsupported below a cache_mode mount."""
        await self._lockable(path)
        return await self.cluster.ns.get_lock(path, lock)

    async def set_lock(
        self, path: str, lock: FileLock, *, req_id: int | None = None
    ) -> FileLock | None:
        """Take or release a lock; the conflicting one when it was not granted."""
        await self._lockable(path)
        return await self.cluster.ns.set_lock(path, lock, req_id=req_id)

    async def _lockable(self, path: str) -> None:
        if await self._cache_mode(path) is not None:
            raise Unsupported(f"{path}: the cluster keeps no locks for files of an under storage")

    async def symlink(
        self,
        target: str,
        path: str,
        *,
        owner: str = "",
        group: str = "",
        mode: int = 0o777,
        req_id: int | None = None,
    ) -> FileStatus:
        """Make a symbolic link at ``path``."""
        cached = await self._cache_mode(path)
        if cached is not None:
            return await self._cached.symlink(cached, target, path)
        await self.cluster.ns.symlink(
            target, path, mode=mode, owner=owner, group=group, req_id=req_id
        )
        return await self.cluster.ns.status(path)

    async def link(self, src: str, dst: str, *, req_id: int | None = None) -> FileStatus:
        """Make ``dst`` another name of the file ``src``."""
        mount, other = await self._mount(src), await self._mount(dst)
        if not _same_mount(mount, other):
            raise CrossesMounts(f"{src} and {dst} are on different mounts")
        if mount is not None and mount.write_type == WriteType.CACHE_MODE:
            raise Unsupported(f"{src}: files of an under storage have one name")
        await self.cluster.ns.link(src, dst, req_id=req_id)
        return await self.cluster.ns.status(dst)

    async def mknod(
        self,
        path: str,
        *,
        file_type: FileType,
        mode: int = 0o644,
        owner: str = "",
        group: str = "",
        rdev: int = 0,
        req_id: int | None = None,
    ) -> FileStatus:
        """Make a fifo, socket or device node."""
        if await self._cache_mode(path) is not None:
            raise Unsupported(f"{path}: an under storage has no special files")
        opts = self.cluster.create_opts(mode=mode, owner=owner, group=group)
        return await self._native.mknod(path, opts, file_type, rdev, req_id)

    async def free(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> FreeResult:
        """Drop cached data whose source is an under storage."""
        mount = await self._mount(path)
        if mount is None:
            raise InvalidArgument(f"{path} is under no mount: nothing else holds its data")
        ns = self.cluster.ns
        if mount.write_type == WriteType.FS_MODE:
            return await ns.free(path, recursive, req_id=req_id)
        if path != mount.cv_path:
            return await ns.delete(path, recursive, req_id=req_id)
        freed = [await ns.delete(entry.path, recursive) for entry in await ns.list_status(path)]
        return FreeResult(sum(f.inodes for f in freed), sum(f.bytes for f in freed))

    # --- small parts ----------------------------------------------------------------------------

    async def _mount(self, path: str) -> MountInfo | None:
        return await self._mounts.find(path) if self._unified else None

    async def _cache_mode(self, path: str) -> MountInfo | None:
        mount = await self._mount(path)
        return mount if mount is not None and mount.write_type == WriteType.CACHE_MODE else None

    async def _not_a_mount(self, path: str) -> None:
        """Refuse to take away a mount's directory, or one above it."""
        if not self._unified:
            return
        for mount in await self._mounts.all():
            if mount.cv_path == path or mount.cv_path.startswith(path.rstrip("/") + "/"):
                raise IsAMount(f"{mount.cv_path} is a mount; unmount it first")

    async def _given(
        self, mount: MountInfo, status: FileStatus, owner: str, group: str
    ) -> FileStatus:
        """Give a new entry of an under storage to whom it was made for, where owners exist."""
        if (not owner and not group) or (owner, group) == (status.owner, status.group):
            return status
        changes = SetAttr(owner=owner or None, group=group or None)
        return await self._cached.set_attr(mount, status.path, changes)


def _under(mount: MountInfo | None, opts: CreateOpts) -> CreateOpts:
    """Options with what an fs_mode mount prescribes for its files."""
    if mount is None:
        return opts
    policy = opts.storage_policy
    return msgspec.structs.replace(
        opts,
        replicas=mount.replicas or opts.replicas,
        block_size=mount.block_size or opts.block_size,
        storage_policy=StoragePolicy(
            storage_type=mount.storage_type if mount.storage_type is not None
            else policy.storage_type,
            ttl_ms=mount.ttl_ms,
            ttl_action=mount.ttl_action,
        ),
    )  # fmt: skip


def _same_mount(one: MountInfo | None, other: MountInfo | None) -> bool:
    """Whether both are the same row of the table (it may have been changed in between)."""
    if one is None or other is None:
        return one is other
    return one.mount_id == other.mount_id
