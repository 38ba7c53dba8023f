# SPDX-License-Identifier: Apache-2.0
"""One inode with everything that is open on it: readers, the one writer, its mode in the kernel.

Rules (decisions 13 and 16):
- An inode has one mode from its first open to its last close: CACHED or PASSTHROUGH with one
  backing id. A handle of a passthrough inode that must not see the backing file (it writes, or the
  content is newer) gets DIRECT_IO on top: its reads and writes come to us.
- All handles share one writer. Whoever uses or changes ``writer`` holds ``lock``; the lock is fair,
  so writes happen in the order in which they came.
- While there is a writer, reads, size and mtime come from it.
- A reader is retired, never closed under a read that uses it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import NamedTuple

from curvine.errors import CurvineError, ReadOnly
from curvine.fuse.abi import constants as c
from curvine.fuse.attrs import Override
from curvine.fuse.contract import Data, Reader, Writer
from curvine.fuse.noderecords import FLAG_DIRTY, IO_CACHED, IO_NONE, IO_PASSTHROUGH
from curvine.fuse.refusals import Refused, Stale
from curvine.fuse.settings import SETTLE_MS
from curvine.fuse.surroundings import Surroundings
from curvine.model.inode import MAX_FILE_SIZE, FileStatus, SetAttr

_log = logging.getLogger(__name__)

Version = tuple[int, int]  # mtime in ms, length


class FileSlice(NamedTuple):
    """Bytes of a local file, to be sent without passing through Python."""

    fd: int
    offset: int
    size: int


class Opened(NamedTuple):
    """What an OPEN is answered with."""

    flags: int
    backing_id: int


class SharedReader:
    """A reader of all handles of an inode; closed when it is retired and unused."""

    def __init__(self, reader: Reader, fd: int | None) -> None:
        self.reader = reader
        self.fd = fd
        self.length = reader.length
        self.version: Version = (reader.status.mtime, reader.length)
        self.users = 0
        self.retired = False


class OpenFile:
    """The state of one open inode."""

    def __init__(self, env: Surroundings, nodeid: int, unused: Callable[[OpenFile], None]) -> None:
        self._env = env
        self._nodes = env.nodes
        self._unused = unused  # told when nobody has the inode open any more
        self.nodeid = nodeid
        self.lock = asyncio.Lock()
        self.opens = 0
        self.writers = 0
        self.io_mode = IO_NONE
        self.backing_id = 0
        self.backing_version: Version | None = None
        self.told: Version | None = None  # attributes that the kernel got last
        self.writer: Writer | None = None
        self.wrote_ms = 0  # time of the last change through the writer, 0 = none
        self._writer_path = ""
        self._times: SetAttr | None = None  # set by the user after the last write
        self._shared: SharedReader | None = None
        self._suid_cleared = False

    # -- opening and closing

    async def enter(self, *, writing: bool, reading: bool) -> Opened:
        """Count one more handle and decide how the kernel serves it."""
        self.opens += 1
        self.writers += writing
        try:
            async with self.lock:
                keep = await self._revalidate(writing=writing, reading=reading)
                opened = self._decide(writing=writing, keep=keep)
                self._nodes.table.opened(self.nodeid, self.io_mode, self.backing_id, writer=writing)
                return opened
        except BaseException:
            self.opens -= 1
            self.writers -= writing
            self._unused(self)
            raise

    def enter_created(self, writer: Writer | None) -> Opened:
        """Count the handle of a file that this very request created."""
        self.opens += 1
        if writer is not None:
            self.writers += 1
            if self.writer is None:
                self.writer = writer
                self._writer_path = self._nodes.path(self.nodeid)
                self._nodes.table.change_flags(self.nodeid, add=FLAG_DIRTY)
            else:  # somebody else's handle opened the same file a moment ago
                self._env.errands.run(writer.close())
        opened = self._decide(writing=writer is not None, keep=True)
        self._nodes.table.opened(
            self.nodeid, self.io_mode, self.backing_id, writer=writer is not None
        )
        return opened

    async def leave(self, *, writing: bool) -> None:
        """One handle less; the last one that writes completes the file."""
        if writing and self.writers:
            self.writers -= 1
        if self.writers == 0 and self.writer is not None:
            async with self.lock:
                if self.writers == 0:
                    await self._complete_or_abort()
        self.opens = max(self.opens - 1, 0)
        last = self.opens == 0
        if last:
            await self._forget_content()
        self._nodes.table.closed(self.nodeid, writer=writing)
        if last:
            self._unused(self)

    async def _forget_content(self) -> None:
        """After the last close: mode, backing file and reader go, an orphan is removed."""
        self.retire_reader()
        self._env.passthrough.close(self.backing_id)
        self.backing_id = 0
        self.backing_version = None
        self.io_mode = IO_NONE
        if self._nodes.is_orphan(self.nodeid):
            await self._env.orphans.remove(self.nodeid)

    async def _revalidate(self, *, writing: bool, reading: bool) -> bool:
        """Look at the file anew (close-to-open). Whether the kernel's pages are still right."""
        if writing and self._env.files.read_only(self._nodes.path(self.nodeid)):
            raise ReadOnly("the path is read-only")
        if self.writer is not None or not reading:
            return True
        if writing:  # the reader is opened when it is needed
            status = await self._nodes.at(self.nodeid, self._env.files.status)
            version = self._check(status)
            if self._shared is not None and self._shared.version != version:
                self.retire_reader()
        else:
            version = (await self._renew_reader()).version
        known, self.told = self.told or self._told_before(), version
        if known is not None and known != version:
            await self._env.attributes_changed(self.nodeid)
        return known == version

    def _told_before(self) -> Version | None:
        node = self._nodes.table.get(self.nodeid)
        return (node.mtime, node.length) if node.mtime or node.length else None

    def _check(self, status: FileStatus) -> Version:
        if not self._nodes.is_same(self.nodeid, status):
            raise Stale(f"another file took the place of node {self.nodeid}")
        return (status.mtime, status.len)

    def _decide(self, *, writing: bool, keep: bool) -> Opened:
        settings = self._env.settings
        if self.io_mode == IO_NONE:
            self.io_mode = IO_CACHED
            if not writing and self._may_pass_through():
                assert self._shared is not None and self._shared.fd is not None
                self.backing_id = self._env.passthrough.open(self._shared.fd)
                if self.backing_id:
                    self.io_mode = IO_PASSTHROUGH
                    self.backing_version = self._shared.version
        if self.io_mode == IO_PASSTHROUGH:
            current = self._shared.version if self._shared is not None else None
            fresh = not writing and self.writer is None and current == self.backing_version
            flags = c.FOPEN_PASSTHROUGH | (0 if fresh else c.FOPEN_DIRECT_IO)
        elif settings.direct_io or (settings.direct_on_stale and not keep):
            flags = c.FOPEN_DIRECT_IO
        else:
            flags = c.FOPEN_KEEP_CACHE if keep else 0
        if not writing:
            flags |= c.FOPEN_NOFLUSH
        if settings.non_seekable:
            flags |= c.FOPEN_NONSEEKABLE
        return Opened(flags, self.backing_id)

    def _may_pass_through(self) -> bool:
        env = self._env
        shared = self._shared
        if not env.passthrough.possible or shared is None or shared.fd is None:
            return False
        if shared.length == 0 or self.writer is not None or self.writers:
            return False
        if env.settings.read_path == "passthrough" or env.settings.read_only:
            return True
        if env.files.read_only(self._nodes.path(self.nodeid)):
            return True
        return env.clock.now_ms() - shared.version[0] >= SETTLE_MS

    # -- reading

    def slice_now(self, offset: int, size: int) -> FileSlice | None:
        """The bytes as a piece of a local file, if nothing needs to be waited for."""
        shared = self._shared
        if shared is None or shared.fd is None or self.writer is not None:
            return None
        if offset + size > shared.length:
            if self.told is not None and self.told != shared.version:
                return None
            size = max(shared.length - offset, 0)
        return FileSlice(shared.fd, offset, size)

    async def read(self, offset: int, size: int) -> Data | FileSlice:
        """The bytes, less than ``size`` only at the end of the file."""
        if self.writer is not None:
            async with self.lock:
                if self.writer is not None:
                    return await self.writer.read(offset, size)
        shared = self._shared
        behind = shared is not None and self.told is not None and self.told != shared.version
        if shared is None or (behind and offset + size > shared.length):
            async with self.lock:
                shared = await self._renew_reader() if self._shared is shared else self._shared
                assert shared is not None
        try:
            return await self._read_shared(shared, offset, size)
        except CurvineError as error:
            async with self.lock:
                renewed = await self._renew_reader()
            if renewed is shared:
                raise
            _log.info("node %d is read from its new content after: %s", self.nodeid, error)
            return await self._read_shared(renewed, offset, size)

    async def _read_shared(self, shared: SharedReader, offset: int, size: int) -> Data | FileSlice:
        size = min(size, shared.length - offset)
        if size <= 0:
            return b""
        if shared.fd is not None and not shared.retired:
            return FileSlice(shared.fd, offset, size)
        shared.users += 1
        try:
            return await shared.reader.read(offset, size)
        finally:
            shared.users -= 1
            self._close_if_unused(shared)

    async def _renew_reader(self) -> SharedReader:
        """Open the file anew; the reader in use stays if the content is the same."""
        files = self._env.files
        reader = await self._nodes.at(self.nodeid, files.open_read)
        try:
            self._check(reader.status)
        except Stale:
            await reader.close()
            raise
        current = self._shared
        if current is not None and current.version == (reader.status.mtime, reader.length):
            await reader.close()
            return current
        self.retire_reader()
        self._shared = SharedReader(reader, await reader.local_fd())
        return self._shared

    def retire_reader(self) -> None:
        """The content has changed, or nobody reads any more."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.retired = True
            self._close_if_unused(shared)

    def pin(self, fd: int) -> SharedReader | None:
        """Keep the reader of ``fd`` open while a thread uses it; give it to :meth:`unpin`."""
        shared = self._shared
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

    # -- writing

    def override(self) -> Override | None:
        """Size and mtime that the master does not know yet."""
        if self.writer is None:
            return None
        return Override(self.writer.length, self.wrote_ms)

    async def write(self, offset: int, data: Data, *, append: bool, req_id: int) -> None:
        """Return when the bytes are outside this process."""
        async with self.lock:
            writer = await self._ensure_writer(req_id)
            if append:
                offset = writer.length
            if offset + len(data) > MAX_FILE_SIZE:
                raise Refused(errno.EFBIG)
            await writer.write(offset, data)
            self._wrote(writer)

    async def truncate(self, length: int, *, req_id: int) -> None:
        """Set the length through the writer."""
        async with self.lock:
            writer = await self._ensure_writer(req_id, truncate=length == 0)
            if writer.length != length:
                await writer.truncate(length)
            self._wrote(writer)

    async def allocate(self, length: int, *, req_id: int) -> None:
        """Make the file at least ``length`` bytes long."""
        async with self.lock:
            writer = await self._ensure_writer(req_id)
            if writer.length < length:
                await writer.truncate(length)
                self._wrote(writer)

    def _wrote(self, writer: Writer) -> None:
        self.wrote_ms = self._env.clock.now_ms()
        self._times = None
        self._nodes.table.set_cookie(self.nodeid, writer.length)
        if self._shared is not None:
            self.retire_reader()

    async def _ensure_writer(self, req_id: int, *, truncate: bool = False) -> Writer:
        path = self._nodes.path(self.nodeid)
        if self.writer is not None and self._writer_path != path:
            await self._complete()  # a directory above was renamed: the writer goes by path
        if self.writer is None:
            files = self._env.files

            async def open_at(path: str) -> Writer:
                self._writer_path = path
                if truncate:
                    return await files.create(path, truncate=True, req_id=req_id)
                return await files.open_write(path, req_id=req_id)

            self.writer = await self._nodes.at(self.nodeid, open_at)
            self.wrote_ms = 0
            self._nodes.table.change_flags(self.nodeid, add=FLAG_DIRTY)
        return self.writer

    async def flush(self, *, sync: bool = False, closing: bool = False) -> None:
        """Publish what was written. ``closing``: a descriptor is being closed; when it is the only
        one that writes, the file is completed at once, so that close(2) gives its final times."""
        async with self.lock:
            writer = self.writer
            if writer is None:
                return
            if closing and self.writers == 1 and writer.dirty:
                await self._complete()
            elif sync or writer.dirty:
                await writer.flush(sync)

    async def set_times(self, opts: SetAttr) -> None:
        """The user sets times: what is dirty goes out first, and the close keeps these times."""
        await self.flush()
        if self.writer is not None:
            self._times = SetAttr(atime=opts.atime, mtime=opts.mtime)
            self.wrote_ms = 0

    async def complete(self) -> None:
        """End writing for now (before the file gets another path); a later write begins anew."""
        if self.writer is not None:
            async with self.lock:
                await self._complete()

    async def _complete(self) -> None:
        if self.writer is None:
            return
        times = self._times
        if times is None and self.wrote_ms:
            times = SetAttr(mtime=self.wrote_ms)
        await self.writer.close(times)
        self._writer_gone()

    def _writer_gone(self) -> None:
        self.writer = None
        self._times = None
        self.wrote_ms = 0
        self.retire_reader()
        self._nodes.table.change_flags(self.nodeid, remove=FLAG_DIRTY)

    async def _complete_or_abort(self) -> None:
        writer = self.writer
        try:
            await self._complete()
        except CurvineError as error:
            # Nobody waits for the answer of a RELEASE: the log is all that is left.
            _log.error("%s could not be completed: %s", self._writer_path, error)
            if writer is not None:
                self._writer_gone()
                await writer.abort()

    async def clear_set_ids(self, clear: int, req_id: int) -> None:
        """A write by somebody without rights takes setuid and setgid away (``clear``: of mode)."""
        if self._suid_cleared:
            return
        files = self._env.files
        status = await self._nodes.at(self.nodeid, files.status)
        mode = without_set_ids(status.mode)
        if mode & clear != status.mode & clear:
            opts = SetAttr(mode=mode)
            await self._nodes.at(self.nodeid, lambda p: files.set_attr(p, opts, req_id=req_id))
        self._suid_cleared = True

    def mode_changed(self) -> None:
        """The mode was set: the next write looks at it again."""
        self._suid_cleared = False


def without_set_ids(mode: int) -> int:
    """``mode`` without setuid, and without setgid where the group may execute."""
    mode &= ~0o4000
    return mode & ~0o2000 if mode & 0o010 else mode
