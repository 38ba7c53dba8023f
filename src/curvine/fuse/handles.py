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
import resource
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from curvine.errors import CurvineError
from curvine.fuse.openfile import OpenFile
from curvine.fuse.settings import SETTLE_MS
from curvine.fuse.surroundings import Surroundings
from curvine.model.inode import FileStatus

_log = logging.getLogger(__name__)
_RESTING_SECONDS = 10.0
_GENERATION_SHIFT = 48

Page = tuple[list[FileStatus], bool]  # entries in order, and whether they are the last ones


class DirectoryHandle:
    """A listing in progress: names already fetched, and the page that entries are taken from."""

    def __init__(self, nodeid: int) -> None:
        self.nodeid = nodeid
        self.lock = asyncio.Lock()
        self.mark = 0  # of the page: how many changes had been told when it was asked for
        self.restart()

    def restart(self) -> None:
        """Begin anew (rewinddir): new entries appear."""
        self._names: list[str] = []
        self._page: list[FileStatus] = []  # the entries of _names[_first:]
        self._first = 0
        self._complete = False

    def shrink(self) -> None:
        """Drop the page in use: it is fetched again when the listing goes on."""
        if not self.lock.locked():
            self._page, self._first = [], len(self._names)

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
    """Everything open in one mount, and what was open a moment ago.

    A file that was read rests for some seconds after its last close with its reader: opening it
    again then costs one look at its status. FORGET makes node ids mean something else, hence the
    comparison of generations.
    """

    def __init__(self, env: Surroundings, generation: int = 0) -> None:
        self._env = env
        self._table = env.nodes.table
        self._open: dict[int, OpenFile] = {}
        self._resting: OrderedDict[int, OpenFile] = OrderedDict()
        self._sweeping = False
        # Each may hold a descriptor; the others are for connections, devices and logs.
        self._resting_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._directories: dict[int, DirectoryHandle] = {}
        self._next = (generation & 0x7FFF) << _GENERATION_SHIFT

    def new_fh(self) -> int:
        """A handle number that no earlier server of this mount has given out."""
        self._next += 1
        return self._next

    def counts(self) -> tuple[int, int, int]:
        """Open files, those among them that somebody writes, open directories."""
        opened = [file for file in self._open.values() if file.opens]
        return len(opened), sum(file.writers > 0 for file in opened), len(self._directories)

    # -- files

    def find(self, nodeid: int) -> OpenFile | None:
        """The state of a node, if it has any."""
        found = self._open.get(nodeid)
        if found is not None and not found.opens:
            current = self._table.generation(nodeid) if nodeid in self._table else None
            if found.generation != current:
                self._drop(found)
                return None
        return found

    def file(self, nodeid: int) -> OpenFile:
        """The state of a node that is being opened, or is open."""
        found = self.find(nodeid)
        if found is None:
            found = self._open[nodeid] = OpenFile(self._env, nodeid, self._rest)
        return found

    def file_for_read(self, nodeid: int) -> OpenFile:
        """Likewise for a READ, which on no-open mounts comes without any OPEN."""
        found = self._open.get(nodeid)
        if found is not None and found.opens:
            return found
        found = self.file(nodeid)
        self._rest(found, reading=True)
        return found

    def is_open(self, nodeid: int) -> bool:
        """Whether somebody has the node open."""
        found = self._open.get(nodeid)
        return found is not None and found.opens > 0

    def changed_elsewhere(self, nodeid: int) -> bool:
        """Another client changed the file. Whether pages of it may be wrong without the kernel
        noticing it by its time and length."""
        found = self._open.get(nodeid)
        if found is not None:
            found.reading.suspect = True
            if found.opens:
                return True
        return self._table.mtime(nodeid) > self._env.clock.now_ms() - SETTLE_MS

    def all_changed_elsewhere(self) -> None:
        """Changes may have been missed."""
        for found in self._open.values():
            found.reading.suspect = True

    def content_gone(self, nodeid: int) -> None:
        """The file was deleted: a reader that rests must not keep its blocks on a disk."""
        found = self._open.get(nodeid)
        if found is not None and not found.opens and not found.lock.locked():
            self._drop(found)

    def _rest(self, file: OpenFile, *, reading: bool = False) -> None:
        """Nobody has the inode open: keep its reader for a while, or let everything go."""
        if self._open.get(file.nodeid) is not file:
            return
        shared = file.reading.shared
        if not reading and (shared is None or shared.fd is None):
            self._drop(file)
            return
        self._resting[file.nodeid] = file
        self._resting.move_to_end(file.nodeid)
        if len(self._resting) > self._resting_limit:
            self._wake_or_drop(self._resting.popitem(last=False)[1])
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_RESTING_SECONDS / 2, self._sweep)

    def _sweep(self) -> None:
        """Let those go whose reader is old: content may have moved to a better place."""
        self._sweeping = False
        before = self._env.clock.monotonic() - _RESTING_SECONDS
        for nodeid, file in list(self._resting.items()):
            shared = file.reading.shared
            if file.opens or shared is None or shared.opened < before:
                del self._resting[nodeid]
                self._wake_or_drop(file)
        if self._resting:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_RESTING_SECONDS / 2, self._sweep)

    def shrink(self) -> None:
        """Let go of what is only kept for speed: readers at rest, pages of listings."""
        while self._resting:
            self._wake_or_drop(self._resting.popitem(last=False)[1])
        for handle in self._directories.values():
            handle.shrink()

    def _wake_or_drop(self, file: OpenFile) -> None:
        if not file.opens and not file.lock.locked():
            self._drop(file)

    def _drop(self, file: OpenFile) -> None:
        file.reading.retire()
        if self._open.get(file.nodeid) is file:
            del self._open[file.nodeid]
        self._resting.pop(file.nodeid, None)

    async def restore(self, request_id: Callable[[int], int]) -> int:
        """Take over what a dead server had open, before any request is served. How many files."""
        unfinished: list[tuple[OpenFile, int]] = []
        nodes = [self._table.get(nodeid) for nodeid in self._table.open_nodes()]
        for node in nodes:
            file = self.file(node.nodeid)
            if file.restore(node):
                unfinished.append((file, node.cookie))
        for file, unpublished in unfinished:
            await file.take_over(unpublished, request_id(file.nodeid))
        return len(nodes)

    async def publish_all(self) -> None:
        """Make every write visible and durable (SYNCFS)."""
        for file in list(self._open.values()):
            await file.flush(sync=True)

    async def close_all(self) -> None:
        """Complete every file (the mount ends)."""
        for file in list(self._open.values()):
            try:
                await file.complete()
            except CurvineError as error:
                _log.error("node %d could not be completed: %s", file.nodeid, error)
            file.reading.retire()

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
