# SPDX-License-Identifier: Apache-2.0
"""What a change below an fs_mode mount means in its under storage (data-plane specification 5.4).

Names are changed from here, content is copied by a worker (an export task). Times are ms.

Rules: a file is exported as it is when its turn comes, and left out if it has moved or gone by then
(whoever moved it takes care of it). A file is deleted from the under storage only while the object
still is the one that the deleted file stood for: an object that was changed behind our back stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from curvine.errors import AlreadyExists, Common, NotFound
from curvine.master.export_tasks import ExportTasks
from curvine.metadata.engine import Namespace
from curvine.metadata.ledger import ExportKind, ExportRow
from curvine.model.inode import FileStatus, FileType, StorageState
from curvine.model.mount import MountInfo, ufs_path_of
from curvine.ufs.base import Ufs
from curvine.ufs.credentials import stamp

_log = logging.getLogger(__name__)

OpenUfs = Callable[[str, Mapping[str, str]], Ufs]


class ExportSteps:
    """Carries out changes, each of which may be repeated."""

    def __init__(self, namespace: Namespace, tasks: ExportTasks, open_ufs: OpenUfs) -> None:
        self._namespace = namespace
        self._tasks = tasks
        self._open_ufs = open_ufs
        self._storages: dict[int, tuple[object, Ufs]] = {}

    async def close(self) -> None:
        """Let go of the under storages."""
        for _, ufs in self._storages.values():
            await ufs.close()
        self._storages.clear()

    async def apply(self, row: ExportRow) -> list[str]:
        """Carry out a change; files that are to be exported because of it."""
        mount = next((m for m in self._namespace.mounts() if m.mount_id == row.mount_id), None)
        if mount is None:
            _log.warning("%s is not exported: its mount is gone", row.path)
            return []
        ufs = self._storage(mount)
        if row.kind is ExportKind.MKDIR:
            await ufs.mkdir(ufs_path_of(mount, row.path), parents=True)
        elif row.kind is ExportKind.FILE:
            await self._file(mount, ufs, row)
        elif row.kind is ExportKind.RENAME:
            return await self._rename(mount, ufs, row)
        elif row.kind is ExportKind.DELETE:
            await self._delete(mount, ufs, row)
        elif ufs.capabilities.links:
            await self._link(mount, ufs, row)
        return []

    async def _file(self, mount: MountInfo, ufs: Ufs, row: ExportRow) -> None:
        try:
            status = self._namespace.status(row.path)
        except NotFound:
            return
        if status.id != row.inode_id or status.file_type is not FileType.FILE:
            return
        state = status.storage_policy.state
        if state is StorageState.UFS:
            return
        uri = ufs_path_of(mount, row.path)
        if state is StorageState.BOTH and await _is_there(ufs, uri, status):
            return
        await self._tasks.run(mount, status, uri)

    async def _delete(self, mount: MountInfo, ufs: Ufs, row: ExportRow) -> None:
        uri = ufs_path_of(mount, row.path)
        try:
            found = await ufs.stat(uri)
        except NotFound:
            return
        if found.is_dir != row.is_dir and not (row.is_dir or not found.is_dir):
            return  # another kind of thing has the name by now
        if (
            not row.is_dir
            and row.ufs_mtime
            and (found.len, found.mtime) != (row.len, row.ufs_mtime)
        ):
            _log.warning("%s was changed in the under storage, it is not deleted", uri)
            return
        if not row.is_dir and self._is_a_copy_of(row.path, found.mtime):
            return  # forgotten here and entered anew from the under storage (a resync)
        try:
            await ufs.delete(uri, recursive=row.is_dir)
        except NotFound:
            pass

    def _is_a_copy_of(self, path: str, mtime: int) -> bool:
        try:
            policy = self._namespace.status(path).storage_policy
        except NotFound:
            return False
        return policy.state is not StorageState.CV and policy.ufs_mtime == mtime

    async def _rename(self, mount: MountInfo, ufs: Ufs, row: ExportRow) -> list[str]:
        src, dst = ufs_path_of(mount, row.path), ufs_path_of(mount, row.target)
        await self._move(ufs, src, dst)
        known = self._namespace.file_of(row.inode_id)
        if known is None or known[0] != row.target:
            return []  # moved on or gone: a later change looks after it
        step = 0
        unsaved: list[str] = []
        for status in self._namespace.tree(row.target):
            step += 1
            if step % 200 == 0:
                await asyncio.sleep(0)
            if status.file_type is not FileType.FILE:
                continue
            if status.storage_policy.state is StorageState.CV:
                if status.is_complete:
                    unsaved.append(status.path)
            elif not ufs.capabilities.attributes:  # copies have times of their own
                await self._restamp(mount, ufs, status.path, status.id)
        return unsaved

    async def _move(self, ufs: Ufs, src: str, dst: str) -> None:
        """Rename in the under storage; a repetition finds the source gone, which is fine."""
        try:
            await ufs.stat(src)
        except NotFound:
            return
        try:
            await ufs.rename(src, dst)
        except NotFound:
            await ufs.mkdir(dst.rpartition("/")[0], parents=True)
            await ufs.rename(src, dst)

    async def _restamp(self, mount: MountInfo, ufs: Ufs, path: str, inode_id: int) -> None:
        known = self._namespace.file_of(inode_id)
        if known is None:
            return
        before = known[1].ufs_mtime
        try:
            found = await ufs.stat(ufs_path_of(mount, path))
        except NotFound:
            return
        if found.len == known[1].len:
            self._namespace.moved_in_ufs(inode_id, before, found.mtime)

    async def _link(self, mount: MountInfo, ufs: Ufs, row: ExportRow) -> None:
        uri = ufs_path_of(mount, row.path)
        for _ in range(2):
            try:
                await ufs.symlink(row.target, uri)
                return
            except AlreadyExists:
                if (await ufs.stat(uri)).target == row.target:
                    return
                await ufs.delete(uri)
            except NotFound:
                await ufs.mkdir(uri.rpartition("/")[0], parents=True)
        raise Common(f"{uri} cannot be made")

    def _storage(self, mount: MountInfo) -> Ufs:
        key = (mount.ufs_path, tuple(sorted(mount.properties.items())), stamp(mount.properties))
        known = self._storages.get(mount.mount_id)
        if known is not None and known[0] == key:
            return known[1]
        ufs = self._open_ufs(mount.ufs_path, mount.properties)
        self._storages[mount.mount_id] = (key, ufs)
        return ufs


async def _is_there(ufs: Ufs, uri: str, status: FileStatus) -> bool:
    try:
        found = await ufs.stat(uri)
    except NotFound:
        return False
    return (found.len, found.mtime) == (status.len, status.storage_policy.ufs_mtime)
