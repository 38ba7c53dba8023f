# SPDX-License-Identifier: Apache-2.0
"""file://: a directory of this machine (or one mounted on it) as under storage.

Names that are not UTF-8, links, modes and owners are kept, which no library does (decision 26).
Every path is resolved below the root that the storage was opened with, and cannot leave it. All
calls run in threads: the directory may be a network mount that hangs.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from curvine.errors import (
    AlreadyExists,
    CurvineError,
    DirectoryNotEmpty,
    DiskOutOfSpace,
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    ReadOnly,
    UfsFailed,
)
from curvine.model.inode import FileType, SetAttr
from curvine.model.path import name_from_wire, name_to_wire
from curvine.ufs.base import Buffer, Capabilities, Ufs, UfsReader, UfsStatus, UfsWriter
from curvine.ufs.beneath import open_beneath

_PREFIX = "file://"
_LOOK = os.O_PATH | os.O_NOFOLLOW
_MS = 1_000_000  # ns

_TYPES = {
    stat.S_IFDIR: FileType.DIR,
    stat.S_IFREG: FileType.FILE,
    stat.S_IFLNK: FileType.LINK,
    stat.S_IFIFO: FileType.FIFO,
    stat.S_IFCHR: FileType.CHAR,
    stat.S_IFBLK: FileType.BLOCK,
    stat.S_IFSOCK: FileType.SOCKET,
}

_ERRORS: dict[int, type[CurvineError]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.ENOTEMPTY: DirectoryNotEmpty,
    errno.EISDIR: IsADirectory,
    errno.ENOTDIR: NotADirectory,
    errno.ENOSPC: DiskOutOfSpace,
    errno.EDQUOT: DiskOutOfSpace,
    errno.EROFS: ReadOnly,
    errno.EXDEV: InvalidPath,
    errno.ELOOP: InvalidArgument,
    errno.EINVAL: InvalidArgument,
    errno.ENAMETOOLONG: InvalidPath,
}

T = TypeVar("T")
Entries = list[UfsStatus]  # inside PosixUfs the name "list" is a method
Found = list[tuple[bytes, UfsStatus]]


async def _in_thread(call: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(call, *args))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn OSError into the domain's errors; the text names the file."""
    try:
        yield
    except OSError as error:
        kind = _ERRORS.get(error.errno or 0, UfsFailed)
        reason = (
            "it leads out of the mounted directory"
            if error.errno == errno.EXDEV
            else (error.strerror or str(error))
        )
        failure = kind(f"{what}: {reason}")
        if kind is UfsFailed and error.errno:
            failure.errno = error.errno  # EACCES and the like tell the caller more than EIO
        raise failure from error


@functools.lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """The name of a user id; the number as text when it has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@functools.lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    """The name of a group id; the number as text when it has none here."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user_id(name: str | None) -> int:
    if name is None:
        return -1
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise InvalidArgument(f"no user {name!r} on this machine") from None


def _group_id(name: str | None) -> int:
    if name is None:
        return -1
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise InvalidArgument(f"no group {name!r} on this machine") from None


def _status(name: bytes, info: os.stat_result, target: bytes | None) -> UfsStatus:
    kind = _TYPES.get(stat.S_IFMT(info.st_mode), FileType.FILE)
    return UfsStatus(
        name=name_to_wire(name),
        is_dir=kind == FileType.DIR,
        len=info.st_size if kind == FileType.FILE else 0,
        mtime=info.st_mtime_ns // _MS,
        atime=info.st_atime_ns // _MS,
        ctime=info.st_ctime_ns // _MS,
        file_type=kind,
        mode=stat.S_IMODE(info.st_mode),
        owner=user_name(info.st_uid),
        group=group_name(info.st_gid),
        nlink=info.st_nlink,
        target=None if target is None else name_to_wire(target),
    )


class PosixReader(UfsReader):
    """An open local file; its descriptor may be handed to the kernel."""

    def __init__(self, fd: int, what: str) -> None:
        info = os.fstat(fd)
        self.length = info.st_size
        self.mtime = info.st_mtime_ns // _MS
        self._fd = fd
        self._what = what

    async def read_at(self, offset: int, size: int) -> bytes:
        with _translated(self._what):
            return await _in_thread(os.pread, self._open_fd(), size, offset)

    def local_fd(self) -> int | None:
        return self._fd if self._fd >= 0 else None

    async def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            await _in_thread(os.close, fd)

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise UfsFailed(f"{self._what} is closed")
        return self._fd


class PosixWriter(UfsWriter):
    """A local file being written in place."""

    def __init__(self, fd: int, what: str) -> None:
        self.length = os.fstat(fd).st_size
        self._fd = fd
        self._what = what

    async def write_at(self, offset: int, data: Buffer) -> None:
        with _translated(self._what):
            await _in_thread(_pwrite_all, self._open_fd(), data, offset)
        self.length = max(self.length, offset + len(data))

    async def read_at(self, offset: int, size: int) -> bytes:
        """Bytes of the file as they are now; needs a file opened by open_update."""
        with _translated(self._what):
            return await _in_thread(os.pread, self._open_fd(), size, offset)

    async def truncate(self, length: int) -> None:
        with _translated(self._what):
            await _in_thread(os.ftruncate, self._open_fd(), length)
        self.length = length

    async def sync(self) -> None:
        with _translated(self._what):
            await _in_thread(os.fsync, self._open_fd())

    def local_fd(self) -> int | None:
        """The descriptor being written through, owned by the writer."""
        return self._fd if self._fd >= 0 else None

    async def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with _translated(self._what):
                await _in_thread(os.close, fd)

    async def abort(self) -> None:
        await self.close()

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise UfsFailed(f"{self._what} is closed")
        return self._fd


class PosixUfs(Ufs):
    """The directory (or single file) named by a file:// URI."""

    capabilities = Capabilities(
        write=True,
        append=True,
        random_write=True,
        rename=True,
        attributes=True,
        links=True,
        cheap_stat=True,
        local_files=True,
    )

    def __init__(self, root: str) -> None:
        self._root_uri = root.rstrip("/")
        self._root = _local(root)
        if not self._root.startswith(b"/"):
            raise InvalidArgument(f"{root!r} names another machine; write file:///path")
        self._root_fd = -1

    async def stat(self, uri: str) -> UfsStatus:
        with _translated(uri):
            return await _in_thread(self._stat, self._relative(uri))

    async def list(self, uri: str) -> list[UfsStatus]:
        with _translated(uri):
            return await _in_thread(self._list, self._relative(uri))

    async def open_read(self, uri: str, *, ahead: int = 0) -> UfsReader:
        with _translated(uri):
            return await _in_thread(self._open_read, self._relative(uri), uri)

    async def open_write(
        self, uri: str, *, mode: int = 0o644, append: bool = False, size_hint: int | None = None
    ) -> UfsWriter:
        keep = 0 if append else os.O_TRUNC
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | keep
        with _translated(uri):
            return await _in_thread(self._open_write, self._relative(uri), uri, flags, mode)

    async def open_update(self, uri: str) -> UfsWriter:
        flags = os.O_RDWR | os.O_NOFOLLOW
        with _translated(uri):
            return await _in_thread(self._open_write, self._relative(uri), uri, flags, 0)

    async def mkdir(self, uri: str, *, mode: int = 0o755, parents: bool = False) -> None:
        with _translated(uri):
            await _in_thread(self._mkdir, self._relative(uri), mode, parents)

    async def delete(self, uri: str, *, recursive: bool = False) -> None:
        with _translated(uri):
            await _in_thread(self._delete, self._relative(uri), recursive)

    async def rename(self, src: str, dst: str) -> None:
        with _translated(f"{src} to {dst}"):
            await _in_thread(self._rename, self._relative(src), self._relative(dst))

    async def set_attr(self, uri: str, changes: SetAttr) -> None:
        with _translated(uri):
            await _in_thread(self._set_attr, self._relative(uri), changes)

    async def symlink(self, target: str, uri: str) -> None:
        with _translated(uri):
            await _in_thread(self._symlink, name_from_wire(target), self._relative(uri))

    async def close(self) -> None:
        fd, self._root_fd = self._root_fd, -1
        if fd >= 0:
            os.close(fd)

    # --- in a thread ----------------------------------------------------------------------------

    def _stat(self, path: bytes) -> UfsStatus:
        fd = self._open(path, _LOOK)
        try:
            info = os.fstat(fd)
            target = os.readlink(b"", dir_fd=fd) if stat.S_ISLNK(info.st_mode) else None
        finally:
            os.close(fd)
        return _status(path.rpartition(b"/")[2] or self._root.rpartition(b"/")[2], info, target)

    def _list(self, path: bytes) -> Entries:
        fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        found: Found = []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    try:
                        info = entry.stat(follow_symlinks=False)
                        link = stat.S_ISLNK(info.st_mode)
                        target = os.readlink(name, dir_fd=fd) if link else None
                    except FileNotFoundError:
                        continue  # removed while we list
                    found.append((name, _status(name, info, target)))
        finally:
            os.close(fd)
        found.sort(key=lambda pair: pair[0])
        return [status for _, status in found]

    def _open_read(self, path: bytes, what: str) -> PosixReader:
        # O_NONBLOCK: a FIFO must not hold the thread; it means nothing for regular files.
        fd = self._open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            is_dir = stat.S_ISDIR(os.fstat(fd).st_mode)
            os.close(fd)
            kind = IsADirectory if is_dir else InvalidArgument
            raise kind(f"{what} is not a regular file")
        return PosixReader(fd, what)

    def _open_write(self, path: bytes, what: str, flags: int, mode: int) -> PosixWriter:
        return PosixWriter(self._open(path, flags, mode), what)

    def _mkdir(self, path: bytes, mode: int, parents: bool) -> None:
        if not path:
            if not parents:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
            return
        try:
            with self._parent(path) as (parent, name):
                os.mkdir(name, mode, dir_fd=parent)
        except FileNotFoundError:
            if not parents:
                raise
            self._mkdir(path.rpartition(b"/")[0], mode, True)
            self._mkdir(path, mode, True)
        except FileExistsError:
            if not parents or not self._stat(path).is_dir:
                raise

    def _delete(self, path: bytes, recursive: bool) -> None:
        if not path:
            raise OSError(errno.EBUSY, "the mounted directory itself is not deleted")
        with self._parent(path) as (parent, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                _remove_directory(parent, name, recursive)
            else:
                os.unlink(name, dir_fd=parent)

    def _rename(self, src: bytes, dst: bytes) -> None:
        with self._parent(src) as (old, old_name), self._parent(dst) as (new, new_name):
            os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)

    def _set_attr(self, path: bytes, changes: SetAttr) -> None:
        with self._parent(path) as (parent, name):
            if changes.owner is not None or changes.group is not None:
                uid, gid = _user_id(changes.owner), _group_id(changes.group)
                os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
            info = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if changes.mode is not None and not stat.S_ISLNK(info.st_mode):
                os.chmod(name, changes.mode, dir_fd=parent)
            if changes.atime is not None or changes.mtime is not None:
                atime = info.st_atime_ns if changes.atime is None else changes.atime * _MS
                mtime = info.st_mtime_ns if changes.mtime is None else changes.mtime * _MS
                os.utime(name, ns=(atime, mtime), dir_fd=parent, follow_symlinks=False)

    def _symlink(self, target: bytes, path: bytes) -> None:
        with self._parent(path) as (parent, name):
            os.symlink(target, name, dir_fd=parent)

    # --- paths ----------------------------------------------------------------------------------

    def _relative(self, uri: str) -> bytes:
        """The path of ``uri`` below the root, b"" for the root itself."""
        if uri.rstrip("/") == self._root_uri:
            return b""
        if not uri.startswith(self._root_uri + "/"):
            raise InvalidPath(f"{uri!r} is not under {self._root_uri}/")
        return name_from_wire(uri[len(self._root_uri) :].strip("/"))

    def _open(self, path: bytes, flags: int, mode: int = 0) -> int:
        if self._root_fd < 0:
            self._root_fd = os.open(self._root, os.O_PATH | os.O_CLOEXEC)
        if not path and not stat.S_ISDIR(os.fstat(self._root_fd).st_mode):
            return os.open(self._root, flags | os.O_CLOEXEC, mode)  # rooted at a single file
        return open_beneath(self._root_fd, path, flags, mode)

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """A descriptor of the directory that holds ``path``, and the name in it."""
        above, _, name = path.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise OSError(errno.EINVAL, "this is no name of an entry")
        fd = self._open(above, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd, name
        finally:
            os.close(fd)


def _local(uri: str) -> bytes:
    """The local path of a file:// URI; relative when the URI names a host."""
    path = uri[len(_PREFIX) :]
    return name_from_wire(path.removeprefix("localhost") if path.startswith("localhost/") else path)


def _pwrite_all(fd: int, data: Buffer, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _remove_directory(parent: int, name: bytes, recursive: bool) -> None:
    """Remove a directory, with what is in it when asked; links are removed, not followed."""
    if recursive:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            with os.scandir(fd) as entries:
                for entry in list(entries):
                    if entry.is_dir(follow_symlinks=False):
                        _remove_directory(fd, os.fsencode(entry.name), True)
                    else:
                        os.unlink(os.fsencode(entry.name), dir_fd=fd)
        finally:
            os.close(fd)
    os.rmdir(name, dir_fd=parent)
