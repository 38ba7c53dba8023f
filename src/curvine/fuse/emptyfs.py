# SPDX-License-Identifier: Apache-2.0
"""The file system of a mount that has nothing to show: an empty read-only root.

Fluid may start a Dataset without mounts; its mount point must be there and answer nevertheless.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from curvine.errors import NotFound, ReadOnly
from curvine.fuse.contract import Reader, Writer
from curvine.model.inode import ROOT_INODE_ID, FileStatus, FileType, SetAttr
from curvine.model.lock import FileLock
from curvine.model.path import ROOT
from curvine.model.worker import FilesystemInfo


def _absent(path: str) -> NoReturn:
    raise NotFound(f"{path} does not exist")


def _refused() -> NoReturn:
    raise ReadOnly("the mount is empty and read-only")


class EmptyFileSystem:
    """Satisfies ``contract.FileSystem``."""

    async def status(self, path: str) -> FileStatus:
        if path != ROOT:
            _absent(path)
        return FileStatus(
            ROOT_INODE_ID, ROOT, "", True, 0, 0, file_type=FileType.DIR, mode=0o755, nlink=2
        )

    async def list(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> Sequence[FileStatus]:
        return [] if path == ROOT else _absent(path)

    async def filesystem_info(self) -> FilesystemInfo:
        return FilesystemInfo("", (), 1, 0, 0, 0, 0, 0, 0, 0)

    def read_only(self, path: str) -> bool:
        return True

    async def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        _absent(path)

    async def set_lock(
        self, path: str, lock: FileLock, *, req_id: int | None = None
    ) -> FileLock | None:
        _absent(path)

    async def sync_file(self, path: str) -> None:
        _absent(path)

    async def sync_metadata(self) -> None:
        return None

    async def open_read(self, path: str) -> Reader:
        _absent(path)

    async def open_write(
        self, path: str, append: bool = False, *, req_id: int | None = None
    ) -> Writer:
        _refused()

    async def create(self, path: str, **options: object) -> Writer:
        _refused()

    async def mknod(self, path: str, **options: object) -> FileStatus:
        _refused()

    async def mkdir(self, path: str, **options: object) -> FileStatus:
        _refused()

    async def symlink(self, target: str, path: str, **options: object) -> FileStatus:
        _refused()

    async def link(self, src: str, dst: str, *, req_id: int | None = None) -> FileStatus:
        _refused()

    async def delete(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> object:
        _refused()

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        _refused()

    async def set_attr(self, path: str, opts: SetAttr, *, req_id: int | None = None) -> FileStatus:
        _refused()

    async def resize(self, path: str, length: int, *, req_id: int | None = None) -> object:
        _refused()
