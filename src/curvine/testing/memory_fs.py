# SPDX-License-Identifier: Apache-2.0
"""A small file system in memory with the semantics of the unified client file system.

For tests of doors (FUSE operations above all) without a master and workers: the rules are those of
the control-plane specification 5.5 to 5.9, seen from the client. Times are ms from the given clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from curvine import errors
from curvine.clock import Clock, SystemClock
from curvine.model.inode import (
    DEFAULT_BLOCK_SIZE,
    MAX_NAMES,
    ROOT_INODE_ID,
    FileStatus,
    FileType,
    FreeResult,
    RenameFlag,
    SetAttr,
)
from curvine.model.lock import FileLock, Locks, conflict, with_lock
from curvine.model.path import ROOT, components, is_under, join, split
from curvine.model.worker import FilesystemInfo

RDEV_ATTRIBUTE = "curvine.rdev"
Data = bytes | bytearray | memoryview


class Inode:
    """A file or directory; ``children`` is None for everything but directories."""

    def __init__(self, number: int, file_type: FileType, mode: int, now: int) -> None:
        self.number = number
        self.file_type = file_type
        self.mode = mode
        self.owner = ""
        self.group = ""
        self.mtime = self.atime = self.ctime = now
        self.data = bytearray()
        self.target: str | None = None
        self.x_attr: dict[str, bytes] = {}
        self.links = 2 if file_type == FileType.DIR else 1
        self.children: dict[str, Inode] | None = {} if file_type == FileType.DIR else None
        self.writers = 0

    def status(self, path: str) -> FileStatus:
        """What stat tells of this inode under ``path``."""
        is_dir = self.children is not None
        size = len(self.children or ()) if is_dir else len(self.data)
        return FileStatus(
            id=self.number,
            path=path,
            name=split(path)[1],
            is_dir=is_dir,
            mtime=self.mtime,
            atime=self.atime,
            children_num=size if is_dir else 0,
            is_complete=not is_dir and self.writers == 0,
            len=size,
            replicas=0 if is_dir else 1,
            block_size=0 if is_dir else DEFAULT_BLOCK_SIZE,
            file_type=self.file_type,
            x_attr=dict(self.x_attr),
            owner=self.owner,
            group=self.group,
            mode=self.mode,
            target=self.target,
            nlink=self.links,
            ctime=self.ctime,
        )


class MemoryReader:
    """Reads the bytes that the file had, and has, under its inode."""

    def __init__(self, inode: Inode, path: str, local: bool) -> None:
        self._inode = inode
        self._local = local
        self._fd: int | None = None
        self.status = inode.status(path)
        self.length = self.status.len
        self.from_cache = True

    async def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.length)
        return bytes(self._inode.data[offset:end])

    async def local_fd(self) -> int | None:
        if self._local and self._fd is None:
            self._fd = os.memfd_create("block", os.MFD_CLOEXEC)
            os.write(self._fd, self._inode.data)
        return self._fd

    async def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class MemoryWriter:
    """Changes an inode; others see it after flush or close."""

    def __init__(self, fs: MemoryFileSystem, inode: Inode, path: str) -> None:
        self._fs = fs
        self._inode = inode
        self._path = path
        self._staged = bytearray(inode.data)
        self.dirty = False
        self.closed = False
        inode.writers += 1

    @property
    def status(self) -> FileStatus:
        return self._inode.status(self._path)

    @property
    def length(self) -> int:
        return len(self._staged)

    async def write(self, offset: int, data: Data) -> None:
        self._fs.check("write", self._path)
        if offset > len(self._staged):
            self._staged.extend(bytes(offset - len(self._staged)))
        self._staged[offset : offset + len(data)] = data
        self.dirty = True

    async def read(self, offset: int, length: int) -> bytes:
        return bytes(self._staged[offset : offset + length])

    async def truncate(self, length: int) -> None:
        if length < len(self._staged):
            del self._staged[length:]
        else:
            self._staged.extend(bytes(length - len(self._staged)))
        self.dirty = True

    async def flush(self, sync: bool = False) -> None:
        self._fs.check("flush", self._path)
        if self.dirty:
            self._inode.data = bytearray(self._staged)
            self._inode.mtime = self._inode.ctime = self._fs.clock.now_ms()
            self.dirty = False

    async def close(self, set_attr: SetAttr | None = None) -> None:
        if self.closed:
            return
        await self.flush()
        self._inode.mtime = self._inode.ctime = self._fs.clock.now_ms()  # as a real master does
        if set_attr is not None:
            self._fs.apply_attributes(self._inode, set_attr)
        self.closed = True
        self._inode.writers -= 1

    async def abort(self) -> None:
        self.closed = True
        self._inode.writers -= 1


class MemoryLocks:
    """File locks by the rules of the master, without their expiry."""

    clock: Clock
    check: Callable[[str, str], None]
    _find: Callable[[str], Inode]

    def __init__(self) -> None:
        self._locks: dict[int, Locks] = {}

    async def get_lock(self, path: str, lock: FileLock) -> FileLock | None:
        self.check("get_lock", path)
        return conflict(self._locks.get(self._find(path).number, ()), lock)

    async def set_lock(
        self, path: str, lock: FileLock, *, req_id: int | None = None
    ) -> FileLock | None:
        self.check("set_lock", path)
        inode = self._find(path)
        held = self._locks.get(inode.number, ())
        other = conflict(held, lock)
        if other is None:
            self._locks[inode.number] = with_lock(held, lock, self.clock.now_ms())
        return other


class MemoryFileSystem(MemoryLocks):
    """The namespace. ``faults`` maps (method, path) to an error that the next such call raises."""

    def __init__(self, clock: Clock | None = None, local_files: bool = False) -> None:
        super().__init__()
        self.clock = clock or SystemClock()
        self.local_files = local_files
        self.faults: dict[tuple[str, str], errors.CurvineError] = {}
        self.calls: list[tuple[str, str]] = []
        self.read_only_prefixes: list[str] = []
        self._next = ROOT_INODE_ID
        self.root = self._new(FileType.DIR, 0o755)

    # -- reads

    async def status(self, path: str) -> FileStatus:
        self.check("status", path)
        return self._find(path).status(path)

    async def exists(self, path: str) -> bool:
        try:
            self._find(path)
        except errors.NotFound:
            return False
        return True

    async def list(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> Sequence[FileStatus]:
        self.check("list", path)
        inode = self._find(path)
        if inode.children is None:
            return [inode.status(path)]
        names = sorted(inode.children, key=str.encode)
        if start_after is not None:
            names = [name for name in names if name.encode() > start_after.encode()]
        return [inode.children[name].status(join(path, name)) for name in names[:limit]]

    async def filesystem_info(self) -> FilesystemInfo:
        used = sum(len(inode.data) for inode in _walk(self.root))
        return FilesystemInfo("memory", (), 1, 0, 0, 1 << 30, (1 << 30) - used, used, 0, 0)

    def read_only(self, path: str) -> bool:
        return any(is_under(path, prefix) for prefix in self.read_only_prefixes)

    async def open_read(self, path: str) -> MemoryReader:
        self.check("open_read", path)
        return MemoryReader(self._file(path), path, self.local_files)

    # -- changes

    async def open_write(
        self, path: str, append: bool = False, *, req_id: int | None = None
    ) -> MemoryWriter:
        self._change("open_write", path)
        return MemoryWriter(self, self._file(path), path)

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
    ) -> MemoryWriter:
        self._change("create", path)
        parent, name = self._parent(path)
        inode = (parent.children or {}).get(name)
        if inode is None:
            inode = self._add(path, FileType.FILE, mode, owner, group)
        elif exclusive:
            raise errors.AlreadyExists(path)
        elif inode.children is not None:
            raise errors.IsADirectory(path)
        elif truncate:
            inode.data = bytearray()
            inode.mtime = inode.ctime = self.clock.now_ms()
        return MemoryWriter(self, inode, path)

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
    ) -> FileStatus:
        self._change("mknod", path)
        inode = self._add(path, file_type, mode, owner, group)
        if rdev:
            inode.x_attr[RDEV_ATTRIBUTE] = rdev.to_bytes(4, "little")
        return inode.status(path)

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
        self._change("mkdir", path)
        if create_parent:
            parent = split(path)[0]
            if not await self.exists(parent):
                await self.mkdir(parent, mode=mode, owner=owner, group=group, create_parent=True)
            elif await self.exists(path) and self._find(path).children is not None:
                return await self.status(path)
        inode = self._add(path, FileType.DIR, mode, owner, group)
        self._parent(path)[0].links += 1
        return inode.status(path)

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
        self._change("symlink", path)
        inode = self._add(path, FileType.LINK, mode, owner, group)
        inode.target = target
        return inode.status(path)

    async def link(self, src: str, dst: str, *, req_id: int | None = None) -> FileStatus:
        self._change("link", dst)
        inode = self._find(src)
        if inode.children is not None or inode.links >= MAX_NAMES:
            raise errors.Common(f"{src} is a directory, or has as many names as there may be")
        parent, name = self._parent(dst)
        assert parent.children is not None
        if name in parent.children:
            raise errors.AlreadyExists(dst)
        parent.children[name] = inode
        inode.links += 1
        inode.ctime = parent.mtime = parent.ctime = self.clock.now_ms()
        return inode.status(dst)

    async def delete(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> FreeResult:
        self._change("delete", path)
        inode = self._find(path)
        if inode.children and not recursive:
            raise errors.DirectoryNotEmpty(path)
        self._drop(path)
        return FreeResult()

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        self._change("rename", src)
        self._change("rename", dst)
        if src == dst:
            return False
        if is_under(dst, src):
            raise errors.InvalidArgument(f"{dst} is inside {src}")
        moved = self._find(src)
        parent, name = self._parent(dst)
        assert parent.children is not None
        victim = parent.children.get(name)
        source, source_name = self._parent(src)
        assert source.children is not None
        now = self.clock.now_ms()
        if flags == RenameFlag.EXCHANGE:
            if victim is None:
                raise errors.NotFound(dst)
            parent.children[name], source.children[source_name] = moved, victim
        else:
            if victim is not None:
                if flags & RenameFlag.NO_REPLACE:
                    raise errors.AlreadyExists(dst)
                if victim is moved:
                    return True
                self._check_replace(moved, victim, dst)
                self._drop(dst)
            del source.children[source_name]
            parent.children[name] = moved
            if moved.children is not None:
                source.links -= 1
                parent.links += 1
        moved.ctime = source.mtime = source.ctime = parent.mtime = parent.ctime = now
        return True

    async def set_attr(self, path: str, opts: SetAttr, *, req_id: int | None = None) -> FileStatus:
        self._change("set_attr", path)
        inode = self._find(path)
        self.apply_attributes(inode, opts)
        return inode.status(path)

    async def resize(self, path: str, length: int, *, req_id: int | None = None) -> FileStatus:
        self._change("resize", path)
        inode = self._file(path)
        inode.data[:] = inode.data[:length].ljust(length, b"\0")
        inode.mtime = inode.ctime = self.clock.now_ms()
        return inode.status(path)

    async def sync_file(self, path: str) -> None:
        self.check("sync_file", path)

    async def sync_metadata(self) -> None:
        self.check("sync_metadata", ROOT)

    # -- inside

    def check(self, method: str, path: str) -> None:
        """Count the call, and raise the fault that is set for it."""
        self.calls.append((method, path))
        fault = self.faults.pop((method, path), None)
        if fault is not None:
            raise fault

    def apply_attributes(self, inode: Inode, opts: SetAttr) -> None:
        """Change what ``opts`` names; ctime becomes now."""
        for field in ("owner", "group", "mode", "atime", "mtime"):
            value = msgspec.structs.asdict(opts)[field]
            if value is not None:
                setattr(inode, field, value)
        inode.x_attr.update(opts.add_x_attr)
        for name in opts.remove_x_attr:
            inode.x_attr.pop(name, None)
        inode.ctime = self.clock.now_ms()

    def _change(self, method: str, path: str) -> None:
        self.check(method, path)
        if self.read_only(path):
            raise errors.ReadOnly(path)

    def _new(self, file_type: FileType, mode: int) -> Inode:
        inode = Inode(self._next, file_type, mode, self.clock.now_ms())
        self._next += 1
        return inode

    def _find(self, path: str) -> Inode:
        inode = self.root
        for name in components(path):
            child = (inode.children or {}).get(name)
            if child is None:
                raise errors.NotFound(f"{path} does not exist")
            inode = child
        return inode

    def _file(self, path: str) -> Inode:
        inode = self._find(path)
        if inode.children is not None:
            raise errors.IsADirectory(path)
        return inode

    def _parent(self, path: str) -> tuple[Inode, str]:
        parent, name = split(path)
        inode = self._find(parent)
        if inode.children is None:
            raise errors.ParentNotDirectory(parent)
        return inode, name

    def _add(self, path: str, file_type: FileType, mode: int, owner: str, group: str) -> Inode:
        parent, name = self._parent(path)
        assert parent.children is not None
        if name in parent.children:
            raise errors.AlreadyExists(path)
        inode = self._new(file_type, mode)
        inode.owner = owner
        inode.group = group
        if parent.mode & 0o2000:
            inode.group = parent.group
            inode.mode |= 0o2000 if file_type == FileType.DIR else 0
        parent.children[name] = inode
        parent.mtime = parent.ctime = self.clock.now_ms()
        return inode

    def _drop(self, path: str) -> None:
        parent, name = self._parent(path)
        assert parent.children is not None
        inode = parent.children.pop(name)
        inode.links -= 1
        parent.mtime = parent.ctime = inode.ctime = self.clock.now_ms()
        if inode.children is not None:
            parent.links -= 1

    @staticmethod
    def _check_replace(moved: Inode, victim: Inode, path: str) -> None:
        if victim.children is None and moved.children is not None:
            raise errors.NotADirectory(path)
        if victim.children is not None and moved.children is None:
            raise errors.IsADirectory(path)
        if victim.children:
            raise errors.DirectoryNotEmpty(path)


def _walk(inode: Inode) -> Sequence[Inode]:
    """An inode and everything below it."""
    found = [inode]
    for child in (inode.children or {}).values():
        found.extend(_walk(child))
    return found
