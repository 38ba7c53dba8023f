# SPDX-License-Identifier: Apache-2.0
"""How long the kernel may believe an answer.

While masters push every change of what a mount shows (client.watch), the kernel is told to believe
for ``LONG_MS``; ``coherence`` takes back what others change. Missing names are believed on
read-only mounts only: who was told of a new file finds it at once. Otherwise the short times of the
settings hold. They always do for what an under storage holds (cache_mode mounts,
inode id 0): nobody tells its changes.

A change may come in while an answer that does not know it is on its way. So each request remembers
how many changes had been told when it began (``mark``), and what was changed since is not to be
believed at all.

Concurrency: on the loop; nothing waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from curvine.fuse.contract import Watched
from curvine.fuse.noderecords import ROOT
from curvine.fuse.nodes import FLAG_MOVED, Nodes
from curvine.fuse.settings import Settings
from curvine.model.inode import FileStatus
from curvine.model.path import join, relative

LONG_MS = 3_600_000  # a change that never reached us is not believed for ever
SETTLE_SECONDS = 1.0  # listings of a directory that others change are not kept by the kernel
_REMEMBERED = 4096  # changes
_SETTLING = 1024  # directories


class Belief(NamedTuple):
    """Times of one answer, ms."""

    entry_ms: int
    attr_ms: int
    negative_ms: int


NOT_AT_ALL = Belief(0, 0, 0)


class Source(NamedTuple):
    """One place of the mount: ``fs_path`` of a cluster, shown at ``path`` of the mount's own file
    system. Inode numbers of the cluster carry ``tag`` there."""

    path: str
    fs_path: str
    files: Watched
    tag: int = 0

    def outer(self, path: str) -> str:
        """The mount's path for a path of the cluster at or below ``fs_path``."""
        return self.path if path == self.fs_path else join(self.path, relative(path, self.fs_path))

    def inner(self, path: str) -> str:
        """The cluster's path for a path of the mount at or below ``path``."""
        return self.fs_path if path == self.path else join(self.fs_path, relative(path, self.path))


class Since(NamedTuple):
    """What was changed since something was asked for."""

    names: frozenset[bytes]  # in one directory
    inodes: frozenset[int]


class Beliefs:
    """See the module. Without sources there are only the short times."""

    def __init__(self, settings: Settings, nodes: Nodes) -> None:
        self._nodes = nodes
        self._table = nodes.table
        self._short = Belief(settings.entry_ms, settings.attr_ms, settings.negative_ms)
        self._long = Belief(
            LONG_MS if settings.auto_entry else settings.entry_ms,
            LONG_MS if settings.auto_attr else settings.attr_ms,
            LONG_MS if settings.auto_negative else settings.negative_ms,
        )
        self.count = 0  # changes told so far
        self._moved = 0  # ``count`` when others last moved a known directory, 0 = never
        self._floor = 0  # an answer asked for when fewer had been told is not believed
        self._recent: deque[tuple[int, bytes, int]] = deque(maxlen=_REMEMBERED)
        self._settling: dict[int, float] = {}  # inode of a directory -> until when (loop time)
        self._sources: dict[int, Source] = {}  # by tag
        # The last question of ``since``: entries of one listing ask the same again and again.
        self._answered: tuple[tuple[int, int, int], Since | None] = ((0, 0, 0), None)

    # -- what was told

    def rest_on(self, sources: Sequence[Source]) -> None:
        """From now on these are watched."""
        self._sources = {source.tag: source for source in sources}

    def changed(self, directory: int, name: bytes, inode: int) -> None:
        """Somebody changed an inode, or a name in the inode ``directory`` (0: only the inode)."""
        self.count += 1
        self._recent.append((directory, name, inode))
        if directory:
            now = asyncio.get_running_loop().time()
            if len(self._settling) >= _SETTLING:
                self._settling = {d: at for d, at in self._settling.items() if at > now}
            if len(self._settling) < _SETTLING:
                self._settling[directory] = now + SETTLE_SECONDS

    def moved(self, nodeid: int) -> None:
        """Somebody moved or removed a directory (told by ``changed`` too): what is found by the
        path that is known of it may be another one's."""
        self._moved = self.count
        self._table.change_flags(nodeid, add=FLAG_MOVED)

    def all_changed(self) -> None:
        """Anything may have changed."""
        self.count += 1
        self._recent.clear()
        self._floor = self.count

    # -- what may be believed

    def attr_ms(self, inode: int) -> int:
        """How long attributes of an inode that the kernel knows already are right."""
        return self._of(inode).attr_ms

    def of_entry(self, mark: int, parent: int, name: bytes, status: FileStatus) -> Belief:
        """Times for ``name`` in directory node ``parent``, with its attributes."""
        inode = status.id
        belief = self._of(inode)
        if self._moved and not self._is_known(mark, parent, status):
            return NOT_AT_ALL
        if belief is self._short or (status.is_dir and not self._is_told(inode, parent, name)):
            return self._short
        if mark != self.count and self._is_stale(mark, parent, name, inode):
            return NOT_AT_ALL
        return belief

    def of_missing(self, mark: int, parent: int, name: bytes) -> int:
        """How long ``name`` in directory node ``parent`` may be taken not to be there, ms."""
        directory = self._table.inode(parent)
        belief = self._of(directory)
        if self._moved and (mark < self._moved or not self._is_in_place(parent)):
            return 0
        if belief is self._short or not self._is_told(directory, parent):
            return self._short.negative_ms
        if mark != self.count and self._is_stale(mark, parent, name, 0):
            return 0
        return belief.negative_ms

    def may_keep_listing(self, nodeid: int) -> bool:
        """Whether the kernel may answer the next listing of a directory by itself."""
        inode = self._table.inode(nodeid)
        if self._of(inode) is self._short or not self._is_told(inode, nodeid):
            return False
        if self._moved and not self._is_in_place(nodeid):
            return False
        until = self._settling.get(inode)
        return until is None or asyncio.get_running_loop().time() >= until

    def is_current(self, nodeid: int) -> bool:
        """Whether everything that anybody was told to have happened to the node is known here."""
        inode = self._table.inode(nodeid)
        source = self._sources.get(self._nodes.tag(inode))
        return (
            source is not None
            and not self._nodes.is_hashed(inode)
            and source.files.watch.is_current(source.fs_path)
        )

    def since(self, mark: int, parent: int) -> Since | None:
        """What was changed since ``mark``; None: too much to tell."""
        asked = (mark, self.count, parent)
        if self._answered[0] != asked:
            self._answered = (asked, self._since(mark, self._table.inode(parent)))
        return self._answered[1]

    def _since(self, mark: int, directory: int) -> Since | None:
        count = self.count - mark
        if mark < self._floor or count > len(self._recent):
            return None
        recent = list(islice(reversed(self._recent), count))
        names = (name for above, name, _ in recent if above == directory)
        return Since(frozenset(names), frozenset(inode for _, _, inode in recent))

    def _of(self, inode: int) -> Belief:
        if not inode or self._nodes.is_hashed(inode):
            return self._short
        source = self._sources.get(self._nodes.tag(inode))
        return self._long if source is not None and source.files.watch.is_fed else self._short

    def _is_known(self, mark: int, parent: int, status: FileStatus) -> bool:
        """Whether what was found is what the kernel asked for, though directories were moved. A
        directory that was is in its place again."""
        if mark < self._moved or not self._is_in_place(parent):
            return False
        node = self._table.by_inode(0, status.id) if status.is_dir and status.id else 0
        if node:
            self._table.change_flags(node, remove=FLAG_MOVED)
        return True

    def _is_in_place(self, nodeid: int) -> bool:
        """Whether no directory on the known path of a directory was moved by others."""
        table = self._table
        while nodeid != ROOT and nodeid in table:
            if table.change_flags(nodeid) & FLAG_MOVED:
                return False
            names = table.names(nodeid)
            if not names:
                return False
            nodeid = names[0][0]
        return True

    def _is_stale(self, mark: int, parent: int, name: bytes, inode: int) -> bool:
        found = self.since(mark, parent)
        return found is None or name in found.names or (inode != 0 and inode in found.inodes)

    def _is_told(self, inode: int, nodeid: int, name: bytes = b"") -> bool:
        """Whether the master speaks for the directory ``nodeid``, or ``name`` in it: no under
        storage that nobody watches lies behind it."""
        source = self._sources[self._nodes.tag(inode)]
        if not source.files.has_untold:
            return True
        nodes = self._nodes
        path = nodes.child_path(nodeid, name) if name else nodes.path(nodeid)
        return source.files.told(source.inner(path))
