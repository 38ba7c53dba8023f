# SPDX-License-Identifier: Apache-2.0
"""What is open in a mount: files by node, directories by handle.

Handles of files carry no state of their own: the kernel tells node and flags with every request,
the rest is per inode (``openfile``) and comes back from the node table after a crash of the server.
A directory handle keeps the names it has given out, so that offsets stay right while entries come
and go; after a crash it starts with what the directory holds then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from curvine.errors import CurvineError
from curvine.fuse.noderecords import IO_PASSTHROUGH
from curvine.fuse.openfile import OpenFile
from curvine.fuse.surroundings import Surroundings
from curvine.model.inode import FileStatus

_log = logging.getLogger(__name__)
_UNOPENED_LIMIT = 256  # files that are read without having been opened (no-open mounts)
_GENERATION_SHIFT = 48

Page = tuple[list[FileStatus], bool]  # entries in order, and whether they are the last ones


class DirectoryHandle:
    """A listing in progress: names already fetched, and the page that entries are taken from."""

    def __init__(self, nodeid: int) -> None:
        self.nodeid = nodeid
        self.lock = asyncio.Lock()
        self.restart()

    def restart(self) -> None:
        """Begin anew (rewinddir): new entries appear."""
        self._names: list[str] = []
        self._page: list[FileStatus] = []  # the entries of _names[_first:]
        self._first = 0
        self._complete = False

    async def entry(
        self, index: int, fetch: Callable[[str | None], Awaitable[Page]]
    ) -> FileStatus | None:
        """Entry ``index``, None behind the last one. ``fetch`` gives the page after a name."""
        while not self._first <= index < len(self._names):
            if index < self._first:  # seekdir backwards: fetch from that place on again
                del self._names[index:]
            elif self._complete:
                return None
            self._first = len(self._names)
            after = self._names[-1] if self._names else None
            self._page, self._complete = await fetch(after)
            self._names.extend(status.name for status in self._page)
        return self._page[index - self._first]


class Handles:
    """Everything open in one mount."""

    def __init__(self, env: Surroundings, generation: int = 0) -> None:
        self._env = env
        self._open: dict[int, OpenFile] = {}
        self._unopened: OrderedDict[int, None] = OrderedDict()
        self._directories: dict[int, DirectoryHandle] = {}
        self._next = (generation & 0x7FFF) << _GENERATION_SHIFT

    def new_fh(self) -> int:
        """A handle number that no earlier server of this mount has given out."""
        self._next += 1
        return self._next

    # -- files

    def find(self, nodeid: int) -> OpenFile | None:
        """The state of a node, if it has any."""
        return self._open.get(nodeid)

    def file(self, nodeid: int) -> OpenFile:
        """The state of a node that is being opened, or is open."""
        found = self._open.get(nodeid)
        if found is None:
            found = self._open[nodeid] = OpenFile(self._env, nodeid, self._drop)
        return found

    def file_for_read(self, nodeid: int) -> OpenFile:
        """Likewise for a READ, which on no-open mounts comes without any OPEN."""
        found = self._open.get(nodeid)
        if found is not None and found.opens:
            return found
        found = self.file(nodeid)
        self._unopened[nodeid] = None
        self._unopened.move_to_end(nodeid)
        if len(self._unopened) > _UNOPENED_LIMIT:
            oldest = self._open.get(self._unopened.popitem(last=False)[0])
            if oldest is not None:
                self._drop(oldest)
        return found

    def is_open(self, nodeid: int) -> bool:
        """Whether somebody has the node open."""
        found = self._open.get(nodeid)
        return found is not None and found.opens > 0

    def _drop(self, file: OpenFile) -> None:
        """Let the state of an inode go that nobody has open."""
        if file.opens == 0 and file.writer is None and not file.lock.locked():
            file.retire_reader()
            if self._open.get(file.nodeid) is file:
                del self._open[file.nodeid]

    def told(self, nodeid: int, mtime: int, length: int) -> None:
        """The kernel gets these attributes of a file."""
        self._env.nodes.table.remember(nodeid, length, mtime)
        found = self._open.get(nodeid)
        if found is not None:
            found.told = (mtime, length)

    def restore(self) -> int:
        """Take over what a dead server had open. How many files."""
        table = self._env.nodes.table
        count = 0
        for nodeid in table.open_nodes():
            node = table.get(nodeid)
            file = self.file(nodeid)
            file.opens = node.opens
            file.writers = node.writers
            file.io_mode = node.io_mode
            file.backing_id = node.backing_id
            if node.io_mode == IO_PASSTHROUGH:
                file.backing_version = (node.mtime, node.length)
            count += 1
        return count

    async def publish_all(self) -> None:
        """Make every write visible (SYNCFS)."""
        for file in list(self._open.values()):
            await file.flush(sync=True)

    async def close_all(self) -> None:
        """Complete every file (the mount ends)."""
        for file in list(self._open.values()):
            try:
                await file.complete()
            except CurvineError as error:
                _log.error("node %d could not be completed: %s", file.nodeid, error)
            file.retire_reader()

    # -- directories

    def open_directory(self, nodeid: int) -> int:
        """A new handle of a directory."""
        fh = self.new_fh()
        self._directories[fh] = DirectoryHandle(nodeid)
        return fh

    def directory(self, fh: int, nodeid: int) -> DirectoryHandle:
        """The handle, made anew if a dead server had given it out."""
        found = self._directories.get(fh)
        if found is None:
            found = self._directories[fh] = DirectoryHandle(nodeid)
        return found

    def close_directory(self, fh: int) -> None:
        self._directories.pop(fh, None)
