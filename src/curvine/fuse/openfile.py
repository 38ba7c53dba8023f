# SPDX-License-Identifier: Apache-2.0
"""One inode with everything that is open on it, and how the kernel serves it.

Rules (decisions 13 and 16):
- An inode has one mode from its first open to its last close: CACHED or PASSTHROUGH with one
  backing id. A handle of a passthrough inode that must not see the backing file (it writes, or the
  content is newer) gets DIRECT_IO on top: its reads and writes come to us.
- Whoever uses or changes the writer, or replaces the reader, holds ``lock``.
- While there is a writer, reads, size and mtime come from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from curvine.errors import CurvineError, ReadOnly
from curvine.fuse.abi import constants as c
from curvine.fuse.attrs import Override
from curvine.fuse.contract import Data, Writer
from curvine.fuse.noderecords import FLAG_DIRTY, IO_CACHED, IO_NONE, IO_PASSTHROUGH
from curvine.fuse.nodetable import Node
from curvine.fuse.reading import FileSlice, ReadSide, SharedReader, Version
from curvine.fuse.settings import LARGE_FILE, SETTLE_MS
from curvine.fuse.surroundings import Surroundings
from curvine.fuse.writing import WriteSide
from curvine.model.inode import FileStatus, SetAttr

_log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """What an OPEN is answered with."""

    flags: int
    backing_id: int


class OpenFile:
    """The state of one open inode. ``unused`` is told when nobody has it open any more."""

    def __init__(self, env: Surroundings, nodeid: int, unused: Callable[[OpenFile], None]) -> None:
        self._env = env
        self._nodes = env.nodes
        self._unused = unused
        self.nodeid = nodeid
        self.generation = env.nodes.table.generation(nodeid)
        self.lock = asyncio.Lock()
        self.opens = 0
        self.writers = 0
        self.reading = ReadSide(env, nodeid)
        self.writing = WriteSide(env, nodeid, self.reading.retire)
        self._io_mode = IO_NONE
        self._backing_id = 0
        self._backing_version: Version | None = None

    def restore(self, node: Node) -> bool:
        """Be what the node table says. Whether there is a writer to be taken over."""
        self.opens, self.writers = node.opens, node.writers
        self._io_mode, self._backing_id = node.io_mode, node.backing_id
        if node.io_mode == IO_PASSTHROUGH:
            self._backing_version = (node.mtime, node.length)
        return bool(node.flags & FLAG_DIRTY)

    # -- opening and closing

    async def enter(self, *, writing: bool, reading: bool) -> Opened:
        """Count one more handle and decide how the kernel serves it."""
        self.opens += 1
        self.writers += writing
        try:
            async with self.lock:
                keep = await self._revalidate(writing=writing, reading=reading)
                return self._admit(writing=writing, keep=keep)
        except BaseException:
            self.opens -= 1
            self.writers -= writing
            if not self.opens:
                self._unused(self)
            raise

    def enter_created(self, writer: Writer | None) -> Opened:
        """Count the handle of a file that this very request created."""
        self.opens += 1
        if writer is not None:
            self.writers += 1
            self.writing.adopt(writer)
        return self._admit(writing=writer is not None, keep=True)

    async def leave(self, *, writing: bool) -> None:
        """One handle less; the last one that writes completes the file."""
        if writing and self.writers:
            self.writers -= 1
        if self.writers == 0 and self.writing.writer is not None:
            async with self.lock:
                if self.writers == 0:
                    await self.writing.complete_or_abort()
        self.opens = max(self.opens - 1, 0)
        if self.opens:
            self._nodes.table.closed(self.nodeid, writer=writing)
            return
        self._env.passthrough.close(self._backing_id)
        self._backing_id, self._backing_version = 0, None
        self._io_mode = IO_NONE
        shared = self.reading.shared
        if shared is not None and not shared.reader.from_cache:
            self.reading.retire()  # the next open may find it cached
        if self._nodes.is_orphan(self.nodeid):
            self.reading.retire()
            await self._env.orphans.remove(self.nodeid)
        if not self.opens:
            self._unused(self)
        self._nodes.table.closed(self.nodeid, writer=writing)

    async def _revalidate(self, *, writing: bool, reading: bool) -> bool:
        """Look at the file anew (close-to-open). Whether the kernel's pages are still right."""
        if writing and self._env.files.read_only(self._nodes.path(self.nodeid)):
            raise ReadOnly("the path is read-only")
        side = self.reading
        if self.writing.writer is not None:
            return True
        if not reading:
            await side.look()  # that it is still there
            return True
        known = side.known()
        if side.shared is not None or writing:
            version = await side.look()
            if side.shared is None and not writing:
                version = (await side.renew()).version
        else:
            version = (await side.renew()).version
        if known == version:
            return True
        side.tell(version)
        if known is not None:
            await self._env.attributes_changed(self.nodeid)
        return False

    def _admit(self, *, writing: bool, keep: bool) -> Opened:
        opened = self._decide(writing=writing, keep=keep)
        self._nodes.table.opened(self.nodeid, self._io_mode, self._backing_id, writer=writing)
        return opened

    def _decide(self, *, writing: bool, keep: bool) -> Opened:
        settings = self._env.settings
        shared = self.reading.shared
        through = False
        if self._io_mode == IO_NONE:
            self._io_mode = IO_CACHED
            if shared is not None and not writing and self._may_pass_through(shared):
                self._backing_id = self._env.passthrough.open(shared.fd or 0)
                if self._backing_id:
                    self._io_mode = IO_PASSTHROUGH
                    self._backing_version = shared.version
        if self._io_mode == IO_PASSTHROUGH:
            current = shared.version if shared is not None else None
            idle = not writing and self.writing.writer is None
            fresh = idle and current == self._backing_version
            flags = c.FOPEN_PASSTHROUGH | (0 if fresh else c.FOPEN_DIRECT_IO)
            through = fresh
        elif settings.direct_io or (settings.direct_on_stale and not keep):
            flags = c.FOPEN_DIRECT_IO
        else:
            flags = c.FOPEN_KEEP_CACHE if keep else 0
        if not writing and not self._env.locks.any(self.nodeid):
            flags |= c.FOPEN_NOFLUSH  # where locks are held every close has to be told
        if settings.non_seekable:
            flags |= c.FOPEN_NONSEEKABLE
        self._count(through=through, writing=writing)
        return Opened(flags, self._backing_id)

    def _count(self, *, through: bool, writing: bool) -> None:
        opens, shared = self._env.opens, self.reading.shared
        if through:
            opens.passthrough += 1
        elif writing or shared is None or self.writing.writer is not None:
            opens.written += 1
        elif not shared.reader.from_cache:
            opens.source += 1
        elif shared.fd is not None:
            opens.local += 1
        else:
            opens.remote += 1

    def _may_pass_through(self, shared: SharedReader) -> bool:
        env = self._env
        if not env.passthrough.possible or shared.fd is None or shared.length == 0:
            return False
        if self.writing.writer is not None or self.writers:
            return False
        if env.settings.read_path == "passthrough" or env.settings.read_only:
            return True
        if env.files.read_only(self._nodes.path(self.nodeid)):
            return True
        if shared.length >= LARGE_FILE and shared.reader.status.is_complete:
            return True
        return env.clock.now_ms() - shared.version[0] >= SETTLE_MS

    # -- reading

    def slice_now(self, offset: int, size: int) -> FileSlice | None:
        """The bytes as a piece of a local file, if nothing needs to be waited for."""
        if self.writing.writer is not None:
            return None
        return self.reading.slice_now(offset, size)

    async def read(self, offset: int, size: int) -> Data | FileSlice:
        """The bytes, less than ``size`` only at the end of the file."""
        if self.writing.writer is not None:
            async with self.lock:
                if self.writing.writer is not None:
                    return await self.writing.writer.read(offset, size)
        side = self.reading
        shared = side.shared
        if shared is None or side.suspect or side.is_behind(offset, size):
            async with self.lock:
                if side.shared is None or side.suspect or side.shared is shared:
                    shared = await side.renew_for_read()
                else:
                    shared = side.shared
        try:
            return await side.read(shared, offset, size)
        except CurvineError as error:
            async with self.lock:
                renewed = await side.renew()
            if renewed is shared:
                raise
            _log.info("node %d is read from its new content after: %s", self.nodeid, error)
            return await side.read(renewed, offset, size)

    # -- writing

    def override(self) -> Override | None:
        """Size and mtime that the master does not know yet."""
        return self.writing.override()

    def last_status(self) -> FileStatus | None:
        """The file as it was last seen by whoever has it open."""
        if self.writing.writer is not None:
            return self.writing.writer.status
        shared = self.reading.shared
        return shared.reader.status if shared is not None else None

    async def write(self, offset: int, data: Data, *, append: bool, req_id: int) -> None:
        """Return when the bytes are outside this process."""
        async with self.lock:
            await self.writing.write(offset, data, append=append, req_id=req_id)

    async def truncate(self, length: int, *, req_id: int) -> None:
        """Set the length through the writer."""
        async with self.lock:
            await self.writing.truncate(length, req_id=req_id)

    async def allocate(self, length: int, *, req_id: int) -> None:
        """Make the file at least ``length`` bytes long."""
        async with self.lock:
            await self.writing.allocate(length, req_id=req_id)

    async def zero(self, start: int, end: int, *, req_id: int) -> None:
        """Write zeros over the part of [start, end) that the file has."""
        async with self.lock:
            await self.writing.zero(start, end, req_id=req_id)

    async def flush(self, *, sync: bool = False, closing: bool = False) -> None:
        """Publish what was written. ``closing``: a descriptor is being closed; when it is the only
        one that writes, the file is completed at once, so that close(2) gives its final times."""
        async with self.lock:
            await self.writing.flush(sync=sync, complete=closing and self.writers == 1)

    async def set_times(self, opts: SetAttr) -> None:
        """The user sets times: what is dirty goes out first, and the close keeps these times."""
        async with self.lock:
            await self.writing.flush(sync=False, complete=False)
            self.writing.keep_times(opts)

    async def complete(self) -> None:
        """End writing for now (before the file gets another path); a later write begins anew."""
        if self.writing.writer is not None:
            async with self.lock:
                await self.writing.complete()

    async def take_over(self, unpublished: int, req_id: int) -> None:
        """After a crash of the server: go on with the writer that died with it."""
        async with self.lock:
            await self.writing.take_over(unpublished, req_id)

    async def clear_set_ids(self, req_id: int) -> None:
        """A change by somebody without rights takes setuid and setgid away."""
        async with self.lock:
            await self.writing.clear_set_ids(req_id)
