# SPDX-License-Identifier: Apache-2.0
"""The kernel's side of the FUSE protocol, played by a test: requests in, replies out, no mount.

``Kernel`` sends request bytes to a session the way fs/fuse does and takes the replies apart. An
error reply becomes an ``OSError``. Node ids, handles and offsets are the protocol's.
"""

from __future__ import annotations

import asyncio
import errno
import os
from struct import Struct
from typing import Any, NamedTuple

from curvine.clock import Clock, SystemClock
from curvine.fuse.abi import constants as c
from curvine.fuse.abi.opcodes import Opcode
from curvine.fuse.abi.replies import Attr
from curvine.fuse.abi.requests import Request, decode
from curvine.fuse.abi.structs import FORGET_ONE, IN_HEADER
from curvine.fuse.attrs import Owners
from curvine.fuse.belief import Beliefs
from curvine.fuse.contract import FileSystem
from curvine.fuse.handles import Handles
from curvine.fuse.lockrecords import LockRecords
from curvine.fuse.locks import FileLocks
from curvine.fuse.noderecords import create_table
from curvine.fuse.nodes import ORPHANS, Nodes
from curvine.fuse.nodetable import NodeTable
from curvine.fuse.orphans import Orphans
from curvine.fuse.passthrough import Passthrough
from curvine.fuse.reading import FileSlice
from curvine.fuse.session import Session
from curvine.fuse.settings import Settings
from curvine.fuse.surroundings import Errands, Surroundings
from curvine.fuse.volume import Reply, Volume
from curvine.testing.memory_fs import MemoryFileSystem

_HEADER = IN_HEADER.size
_OUT = Struct("=IiQ")
_ENTRY = Struct("=QQQQII")
_ATTR = Struct("=QQQQQQIIIIIIIIII")
_OPEN = Struct("=QIi")
_DIRENT = Struct("=QQII")


class Entry(NamedTuple):
    """What LOOKUP and its like give."""

    nodeid: int
    generation: int
    entry_ms: int
    attr_ms: int
    attr: Attr


class Handle(NamedTuple):
    """What OPEN gives."""

    nodeid: int
    fh: int
    open_flags: int
    flags: int


class PassthroughLog(Passthrough):
    """Registrations without a device: ids are counted, closes are noted."""

    def __init__(self) -> None:
        super().__init__(None)
        self.opened: list[int] = []
        self.closed: list[int] = []

    @property
    def possible(self) -> bool:
        return True

    def open(self, fd: int) -> int:
        self.opened.append(fd)
        return len(self.opened)

    def close(self, backing_id: int) -> None:
        if backing_id:
            self.closed.append(backing_id)


def orphans_of(fs: MemoryFileSystem) -> list[str]:
    """What the orphan directories of all sessions hold."""
    hidden = (fs.root.children or {}).get(ORPHANS[1:])
    sessions = (hidden.children or {}).values() if hidden else ()
    return [name for session in sessions for name in session.children or ()]


class Kernel:
    """One mounted volume without a mount. ``restart`` is the crash of the server."""

    def __init__(
        self,
        files: FileSystem,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        passthrough: Passthrough | None = None,
    ) -> None:
        self.files = files
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.passthrough = passthrough or Passthrough(None)
        self.table_fd = create_table(1 << 12)
        self.changed: list[int] = []  # nodes whose attributes the kernel was told to forget
        self.stale: list[int] = []  # likewise, without waiting for it
        self.uid = self.gid = 0
        self._unique = 0
        self._generation = 0
        self._build()

    def _build(self) -> None:
        table = NodeTable(self.table_fd)
        nodes = Nodes(table, self.settings.root, f"test.{os.getpid()}.0")

        async def attributes_changed(nodeid: int) -> None:
            self.changed.append(nodeid)

        env = Surroundings(
            files=self.files,
            nodes=nodes,
            orphans=Orphans(self.files, nodes),
            locks=FileLocks(self.files, nodes, LockRecords(self.table_fd, "kernel"), "kernel"),
            settings=self.settings,
            clock=self.clock,
            passthrough=self.passthrough,
            errands=Errands(),
            beliefs=Beliefs(self.settings, nodes),
            attributes_changed=attributes_changed,
            attributes_stale=self.stale.append,
        )
        handles = Handles(env, self._generation)
        owners = Owners(self.settings.uid, self.settings.gid, self.clock)
        self.volume = Volume(env, handles, owners, table.secret)
        self.session = Session(self.volume)

    async def restart(self) -> None:
        """A new server over the same node table, as after ``kill -9``."""
        self._generation += 1
        self._build()
        await self.volume.handles.restore(self.volume.takeover_id)

    def close(self) -> None:
        os.close(self.table_fd)

    # -- the wire

    def message(
        self, opcode: int, nodeid: int, body: bytes = b"", *, unique: int | None = None
    ) -> Request:
        """A request as the session gets it."""
        self._unique += 2
        unique = self._unique if unique is None else unique
        length = _HEADER + len(body)
        head = IN_HEADER.pack(length, opcode, unique, nodeid, self.uid, self.gid, 1, 0)
        return decode(memoryview(head + body))

    async def send(self, request: Request) -> bytes:
        """The payload of the reply; OSError for an error reply."""
        answers: list[Reply] = []
        task = self.session.serve(request, lambda _req, reply: answers.append(reply))
        if task is not None:
            await task
        assert len(answers) == 1, "a request is answered once"
        return _payload(request, answers[0])

    async def call(self, opcode: int, nodeid: int, body: bytes = b"") -> bytes:
        """One request and its reply."""
        return await self.send(self.message(opcode, nodeid, body))

    # -- names

    async def lookup(self, parent: int, name: str | bytes) -> Entry:
        return _entry(await self.call(Opcode.LOOKUP, parent, _name(name)))

    async def walk(self, path: str) -> Entry:
        """LOOKUP of every component from the root."""
        found = Entry(c.ROOT_ID, 0, 0, 0, Attr(*[0] * 15))
        for name in path.strip("/").split("/"):
            found = await self.lookup(found.nodeid, name)
        return found

    def forget(self, *nodes: tuple[int, int]) -> None:
        body = Struct("=I4x").pack(len(nodes)) + b"".join(FORGET_ONE.pack(*n) for n in nodes)
        self.session.serve(self.message(Opcode.BATCH_FORGET, 0, body), lambda _r, _a: None)

    async def mkdir(self, parent: int, name: str, mode: int = 0o755, umask: int = 0) -> Entry:
        body = Struct("=II").pack(mode, umask) + _name(name)
        return _entry(await self.call(Opcode.MKDIR, parent, body))

    async def mknod(self, parent: int, name: str, mode: int, rdev: int = 0) -> Entry:
        body = Struct("=III4x").pack(mode, rdev, 0) + _name(name)
        return _entry(await self.call(Opcode.MKNOD, parent, body))

    async def symlink(self, parent: int, name: str, target: str) -> Entry:
        return _entry(await self.call(Opcode.SYMLINK, parent, _name(name) + _name(target)))

    async def readlink(self, nodeid: int) -> bytes:
        return await self.call(Opcode.READLINK, nodeid)

    async def link(self, nodeid: int, parent: int, name: str) -> Entry:
        body = Struct("=Q").pack(nodeid) + _name(name)
        return _entry(await self.call(Opcode.LINK, parent, body))

    async def unlink(self, parent: int, name: str) -> None:
        await self.call(Opcode.UNLINK, parent, _name(name))

    async def rmdir(self, parent: int, name: str) -> None:
        await self.call(Opcode.RMDIR, parent, _name(name))

    async def rename(
        self, parent: int, name: str, newdir: int, new_name: str, flags: int = 0
    ) -> None:
        body = Struct("=QI4x").pack(newdir, flags) + _name(name) + _name(new_name)
        await self.call(Opcode.RENAME2, parent, body)

    # -- attributes

    async def getattr(self, nodeid: int) -> Attr:
        payload = await self.call(Opcode.GETATTR, nodeid, Struct("=I4xQ").pack(0, 0))
        return Attr(*_ATTR.unpack_from(payload, 16))

    async def setattr(self, nodeid: int, valid: int, **fields: int) -> Attr:
        order = ("fh", "size", "lock_owner", "atime", "mtime", "ctime", "atimensec", "mtimensec")
        values = [fields.get(name, 0) for name in order]
        rest = [fields.get(name, 0) for name in ("ctimensec", "mode", "uid", "gid")]
        body = Struct("=I4xQQQQQQIIII4xII4x").pack(valid, *values, *rest)
        payload = await self.call(Opcode.SETATTR, nodeid, body)
        return Attr(*_ATTR.unpack_from(payload, 16))

    async def setxattr(self, nodeid: int, name: str, value: bytes, flags: int = 0) -> None:
        body = Struct("=II").pack(len(value), flags) + _name(name) + value
        await self.call(Opcode.SETXATTR, nodeid, body)

    async def getxattr(self, nodeid: int, name: str, room: int = 4096) -> bytes:
        return await self.call(Opcode.GETXATTR, nodeid, Struct("=I4x").pack(room) + _name(name))

    async def listxattr(self, nodeid: int, room: int = 4096) -> bytes:
        return await self.call(Opcode.LISTXATTR, nodeid, Struct("=I4x").pack(room))

    async def removexattr(self, nodeid: int, name: str) -> None:
        await self.call(Opcode.REMOVEXATTR, nodeid, _name(name))

    # -- files

    async def create(
        self, parent: int, name: str | bytes, mode: int = 0o644, flags: int = os.O_RDWR
    ) -> tuple[Entry, Handle]:
        body = Struct("=IIII").pack(flags | os.O_CREAT, mode, 0, 0) + _name(name)
        payload = await self.call(Opcode.CREATE, parent, body)
        entry = _entry(payload)
        fh, open_flags, _ = _OPEN.unpack_from(payload, 128)
        return entry, Handle(entry.nodeid, fh, open_flags, flags)

    async def open(self, nodeid: int, flags: int = os.O_RDONLY) -> Handle:
        payload = await self.call(Opcode.OPEN, nodeid, Struct("=II").pack(flags, 0))
        fh, open_flags, _ = _OPEN.unpack(payload)
        return Handle(nodeid, fh, open_flags, flags)

    async def read(self, handle: Handle, offset: int, size: int) -> bytes:
        body = Struct("=QQIIQI4x").pack(handle.fh, offset, size, 0, 0, handle.flags)
        return await self.call(Opcode.READ, handle.nodeid, body)

    async def write(self, handle: Handle, offset: int, data: bytes, write_flags: int = 0) -> int:
        body = Struct("=QQIIQI4x").pack(handle.fh, offset, len(data), write_flags, 0, handle.flags)
        payload = await self.call(Opcode.WRITE, handle.nodeid, body + data)
        return int.from_bytes(payload[:4], "little")

    async def flush(self, handle: Handle) -> None:
        await self.call(Opcode.FLUSH, handle.nodeid, Struct("=Q8xQ").pack(handle.fh, 0))

    async def fsync(self, handle: Handle) -> None:
        await self.call(Opcode.FSYNC, handle.nodeid, Struct("=QI4x").pack(handle.fh, 0))

    async def release(self, handle: Handle) -> None:
        body = Struct("=QIIQ").pack(handle.fh, handle.flags, 0, 0)
        await self.call(Opcode.RELEASE, handle.nodeid, body)

    async def close_handle(self, handle: Handle) -> None:
        """close(2) of the only descriptor of a handle."""
        if not handle.open_flags & c.FOPEN_NOFLUSH:
            await self.flush(handle)
        await self.release(handle)

    async def fallocate(self, handle: Handle, offset: int, length: int, mode: int = 0) -> None:
        body = Struct("=QQQI4x").pack(handle.fh, offset, length, mode)
        await self.call(Opcode.FALLOCATE, handle.nodeid, body)

    async def lseek(self, handle: Handle, offset: int, whence: int) -> int:
        body = Struct("=QQI4x").pack(handle.fh, offset, whence)
        payload = await self.call(Opcode.LSEEK, handle.nodeid, body)
        return int.from_bytes(payload[:8], "little")

    # -- directories

    async def opendir(self, nodeid: int) -> Handle:
        payload = await self.call(Opcode.OPENDIR, nodeid, Struct("=II").pack(0, 0))
        fh, open_flags, _ = _OPEN.unpack(payload)
        return Handle(nodeid, fh, open_flags, 0)

    async def readdir(
        self, handle: Handle, offset: int = 0, size: int = 4096, *, plus: bool = False
    ) -> list[tuple[str, int, int]]:
        """(name, inode, cookie) of one reply."""
        opcode = Opcode.READDIRPLUS if plus else Opcode.READDIR
        body = Struct("=QQIIQI4x").pack(handle.fh, offset, size, 0, 0, 0)
        payload = await self.call(opcode, handle.nodeid, body)
        found: list[tuple[str, int, int]] = []
        position = 0
        while position < len(payload):
            position += 128 if plus else 0
            ino, cookie, length, _ = _DIRENT.unpack_from(payload, position)
            name = payload[position + 24 : position + 24 + length]
            found.append((os.fsdecode(name), ino, cookie))
            position += (24 + length + 7) & ~7
        return found

    async def names(self, nodeid: int, *, plus: bool = False, size: int = 4096) -> list[str]:
        """A whole listing without the dots."""
        handle = await self.opendir(nodeid)
        found: list[str] = []
        cookie = 0
        while page := await self.readdir(handle, cookie, size, plus=plus):
            found.extend(name for name, _, _ in page)
            cookie = page[-1][2]
        await self.call(Opcode.RELEASEDIR, nodeid, Struct("=QIIQ").pack(handle.fh, 0, 0, 0))
        return found[2:]

    async def write_file(self, parent: int, name: str, data: bytes) -> Entry:
        """Create, write, close."""
        entry, handle = await self.create(parent, name)
        await self.write(handle, 0, data)
        await self.close_handle(handle)
        return entry

    async def read_file(self, nodeid: int, size: int = 1 << 20) -> bytes:
        """Open, read, close."""
        handle = await self.open(nodeid)
        data = await self.read(handle, 0, size)
        await self.close_handle(handle)
        return data


def _name(name: str | bytes) -> bytes:
    return (os.fsencode(name) if isinstance(name, str) else name) + b"\0"


def _payload(request: Request, reply: Reply) -> bytes:
    if isinstance(reply, FileSlice):
        return os.pread(reply.fd, reply.size, reply.offset)
    assert reply is not None
    message = reply if isinstance(reply, bytes) else b"".join(bytes(part) for part in reply)
    length, error, unique = _OUT.unpack_from(message)
    assert (length, unique) == (len(message), request.unique)
    if error:
        raise OSError(-error, errno.errorcode.get(-error, str(error)))
    return message[16:]


def _entry(payload: bytes) -> Entry:
    nodeid, generation, entry_s, attr_s, entry_ns, attr_ns = _ENTRY.unpack_from(payload)
    attr = Attr(*_ATTR.unpack_from(payload, _ENTRY.size))
    entry_ms = entry_s * 1000 + entry_ns // 1_000_000
    return Entry(nodeid, generation, entry_ms, attr_s * 1000 + attr_ns // 1_000_000, attr)


def run(work: Any) -> Any:
    """Run a test's coroutine on a loop of its own."""
    return asyncio.run(work)
