# SPDX-License-Identifier: Apache-2.0
"""What the FUSE server needs from a file system behind it.

The unified client file system satisfies this, and so does ``testing.memory_fs``; the operations
know nothing else, so they are tested without a kernel, a master or a worker. Offsets and lengths
are bytes, paths are absolute paths of the namespace, ``req_id`` makes a mutation repeatable
(decision 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from curvine.client.watch import ChangeWatch
from curvine.model.inode import FileStatus, FileType, SetAttr
from curvine.model.lock import FileLock
from curvine.model.worker import FilesystemInfo

Data = bytes | bytearray | memoryview


class Reader(Protocol):
    """A file opened for reading; every call may run beside every other."""

    @property
    def status(self) -> FileStatus: ...

    @property
    def length(self) -> int: ...

    @property
    def from_cache(self) -> bool:
        """Whether the cache serves it; else the next open may find it cached."""

    async def read(self, offset: int, length: int) -> Data: ...

    async def local_fd(self) -> int | None:
        """A descriptor whose bytes [0, length) are the file, the reader's own; None = no such."""

    async def close(self) -> None: ...


class Writer(Protocol):
    """A file opened for writing; calls are made one after another."""

    @property
    def status(self) -> FileStatus: ...

    @property
    def length(self) -> int: ...

    @property
    def dirty(self) -> bool:
        """Whether bytes or a length are not yet visible to others."""

    async def write(self, offset: int, data: Data) -> None:
        """Return when the bytes are outside this process; ``data`` is not kept."""

    async def read(self, offset: int, length: int) -> Data: ...

    async def truncate(self, length: int) -> None: ...

    async def flush(self, sync: bool = False) -> None: ...

    async def close(self, set_attr: SetAttr | None = None) -> None: ...

    async def abort(self) -> None: ...


@runtime_checkable
class Recoverable(Protocol):
    """A writer that can take over what a killed one had handed out and not published."""

    async def recover(self, length: int) -> None:
        """The file is at least ``length`` long, the bytes are where they were written to."""


@runtime_checkable
class Measured(Protocol):
    """A file system that knows what a directory amounts to."""

    async def used_bytes(self, path: str) -> int | None:
        """Bytes of all files below ``path``; None where nobody keeps that sum."""


@runtime_checkable
class Watched(Protocol):
    """A file system that is told what others change."""

    @property
    def watch(self) -> ChangeWatch: ...

    @property
    def has_untold(self) -> bool:
        """Whether there are paths for which ``told`` is False."""

    def told(self, path: str) -> bool:
        """Whether the watch tells all changes of ``path``."""


class FileSystem(Protocol):
    """The namespace. Errors are those of ``curvine.errors``."""

    async def status(self, path: str) -> FileStatus: ...

    async def list(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> Sequence[FileStatus]:
        """Children by name, bytewise; ``limit`` at a time after ``start_after``."""

    async def filesystem_info(self) -> FilesystemInfo: ...

    def read_only(self, path: str) -> bool:
        """Whether changes at ``path`` are refused, as far as is known without waiting."""

    async def open_read(self, path: str) -> Reader: ...

    async def open_write(
        self, path: str, append: bool = False, *, req_id: int | None = None
    ) -> Writer: ...

    async def create(
        self,
        path: str,
        *,
        mode: int = 0o644,
        owner: str = "",
        group: str = "",
        exclusive: bool = False,
        truncate: bool = False,
        block_size: int | None = None,
        size_hint: int | None = None,
        req_id: int | None = None,
    ) -> Writer: ...

    async def mknod(
        self,
        path: str,
        *,
        file_type: FileType,
        mode: int,
        owner: str,
        group: str,
        rdev: int = 0,
        req_id: int | None = None,
    ) -> FileStatus: ...

    async def mkdir(
        self,
        path: str,
        *,
        mode: int = 0o755,
        owner: str = "",
        group: str = "",
        create_parent: bool = False,
        req_id: int | None = None,
    ) -> FileStatus: ...

    async def symlink(
        self,
        target: str,
        path: str,
        *,
        owner: str = "",
        group: str = "",
        mode: int = 0o777,
        req_id: int | None = None,
    ) -> FileStatus: ...

    async def link(self, src: str, dst: str, *, req_id: int | None = None) -> FileStatus: ...

    async def delete(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> object: ...

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool: ...

    async def set_attr(
        self, path: str, opts: SetAttr, /, *, req_id: int | None = None
    ) -> FileStatus: ...

    async def resize(self, path: str, length: int, *, req_id: int | None = None) -> object: ...

    async def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        """The lock that stands in the way. Unsupported: this file has no locks of its own."""

    async def set_lock(
        self, path: str, lock: FileLock, *, req_id: int | None = None
    ) -> FileLock | None:
        """Take or release; the lock in the way when it was not granted. Unsupported likewise."""

    async def sync_file(self, path: str) -> None:
        """A file that is not open for writing, and all metadata, are on stable storage."""

    async def sync_metadata(self) -> None: ...
