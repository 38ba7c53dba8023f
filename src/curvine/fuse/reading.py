# SPDX-License-Identifier: Apache-2.0
"""The reading side of an open inode: one reader for all its handles, replaced when content changes.

A reader is retired, never closed under a read that uses it. ``told`` is the version (mtime, length)
whose attributes the kernel got last: a reader of another version is behind or ahead of what the
kernel believes. Methods marked "lock" are called by whoever holds the inode's lock.
"""

from __future__ import annotations

from typing import NamedTuple

from curvine.errors import NotFound
from curvine.fuse.contract import Data, Reader
from curvine.fuse.refusals import Stale
from curvine.fuse.surroundings import Surroundings
from curvine.model.inode import FileStatus

TRUST_SECONDS = 60.0  # the master has to see now and then that a file is used
Version = tuple[int, int]  # mtime in ms, length in bytes


class FileSlice(NamedTuple):
    """Bytes of a local file, to be sent without passing through Python."""

    fd: int
    offset: int
    size: int


class SharedReader:
    """A reader of all handles of an inode; closed when it is retired and unused."""

    def __init__(self, reader: Reader, fd: int | None, opened: float) -> None:
        self.reader = reader
        self.fd = fd
        self.opened = opened  # monotonic seconds
        self.length = reader.length
        self.version: Version = (reader.status.mtime, reader.length)
        self.users = 0
        self.retired = False


class ReadSide:
    """See the module."""

    def __init__(self, env: Surroundings, nodeid: int) -> None:
        self._env = env
        self._nodeid = nodeid
        self.shared: SharedReader | None = None
        self.told: Version | None = None
        self.told_at = 0.0  # monotonic seconds
        self.suspect = False  # somebody else changed the file since the reader was opened

    # -- versions

    def tell(self, version: Version) -> None:
        """The kernel is given the attributes of this version."""
        self.told = version
        self.told_at = self._env.clock.monotonic()

    def known(self) -> Version | None:
        """What the kernel was told last, by this server or the one before."""
        if self.told is not None:
            return self.told
        node = self._env.nodes.table.get(self._nodeid)
        return (node.mtime, node.length) if node.mtime or node.length else None

    def version_of(self, status: FileStatus) -> Version:
        """The version of this very file; Stale when the path leads to another one."""
        if not self._env.nodes.is_same(self._nodeid, status):
            raise Stale(f"another file took the place of node {self._nodeid}")
        return (status.mtime, status.len)

    async def look(self) -> Version:
        """Ask for the file's version; a reader of another one is retired (lock)."""
        shared = self.shared
        settings = self._env.settings
        if shared is not None and self.told == shared.version and self._is_right(shared):
            return shared.version
        if shared is not None and settings.read_only and self.told == shared.version:
            age = self._env.clock.monotonic() - self.told_at
            if age * 1000 < settings.attr_ms:
                return shared.version  # as old as the kernel itself would believe
        status = await self._env.nodes.at(self._nodeid, self._env.files.status)
        version = self.version_of(status)
        if self.shared is not None and (self.suspect or self.shared.version != version):
            self.retire()
        return version

    def _is_right(self, shared: SharedReader) -> bool:
        """Whether the reader is known to be that of the file as it is now."""
        if self.suspect or self._env.clock.monotonic() - shared.opened >= TRUST_SECONDS:
            return False
        # Asking may bring a change.
        return self._env.beliefs.is_current(self._nodeid) and not self.suspect

    async def renew_for_read(self) -> SharedReader:
        """As ``renew``; who has a file open goes on reading it when another client removes it."""
        shared = self.shared
        try:
            return await self.renew()
        except NotFound:
            if shared is None or self.shared is not shared:
                raise
            self.suspect = False
            return shared

    async def renew(self) -> SharedReader:
        """Open the file anew; the reader in use stays if the content is the same (lock)."""
        suspect, self.suspect = self.suspect, False
        try:
            return await self._renew(suspect)
        except BaseException:
            self.suspect = self.suspect or suspect
            raise

    async def _renew(self, suspect: bool) -> SharedReader:
        reader = await self._env.nodes.at(self._nodeid, self._env.files.open_read)
        try:
            version = self.version_of(reader.status)
        except Stale:
            await reader.close()
            raise
        current = self.shared
        if current is not None and current.version == version and not suspect:
            await reader.close()
            return current
        fd = await reader.local_fd()
        self.retire()
        self.shared = SharedReader(reader, fd, self._env.clock.monotonic())
        return self.shared

    def retire(self) -> None:
        """The content has changed, or nobody reads any more."""
        shared, self.shared = self.shared, None
        self.suspect = False
        if shared is not None:
            shared.retired = True
            self._close_if_unused(shared)

    # -- bytes

    def is_behind(self, offset: int, size: int) -> bool:
        """Whether these bytes may lie beyond what the reader knows of the file."""
        shared = self.shared
        return (
            shared is not None
            and offset + size > shared.length
            and self.told is not None
            and self.told != shared.version
        )

    def slice_now(self, offset: int, size: int) -> FileSlice | None:
        """The bytes as a piece of a local file, if nothing needs to be waited for."""
        shared = self.shared
        if shared is None or shared.fd is None or self.suspect or self.is_behind(offset, size):
            return None
        return FileSlice(shared.fd, offset, max(min(size, shared.length - offset), 0))

    async def read(self, shared: SharedReader, offset: int, size: int) -> Data | FileSlice:
        """The bytes through a given reader."""
        size = min(size, shared.length - offset)
        if size <= 0:
            return b""
        if shared.fd is not None and not shared.retired:
            return FileSlice(shared.fd, offset, size)
        shared.users += 1
        try:
            return await shared.reader.read(offset, size)
        finally:
            self.unpin(shared)

    def pin(self, fd: int) -> SharedReader | None:
        """Keep the reader of ``fd`` open while a thread uses it; give it to :meth:`unpin`."""
        shared = self.shared
        if shared is None or shared.fd != fd:
            return None
        shared.users += 1
        return shared

    def unpin(self, shared: SharedReader) -> None:
        shared.users -= 1
        self._close_if_unused(shared)

    def _close_if_unused(self, shared: SharedReader) -> None:
        if shared.retired and shared.users == 0:
            self._env.errands.run(shared.reader.close())
