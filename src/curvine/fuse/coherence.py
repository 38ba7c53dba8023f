# SPDX-License-Identifier: Apache-2.0
"""Making the kernel forget what others have changed (decision 6): push coherence.

Changes that the master pushes become notifications. A changed name is only marked to be looked up
again: a directory that somebody stands in stays where it is. Pages of files that nobody has open
need no word: a new time or length brings new pages (AUTO_INVAL_DATA). A known name is marked
twice: an answer that the kernel has taken from us, and not looked into yet, would undo the first.
A directory that was moved is not known by its path until it is looked up again. After a gap in
which changes may have been missed everything is forgotten. Own changes are not told, unless one
cluster's places overlap; the kernel has made them.

Concurrency: on the loop. Orders to the notifiers do not wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from curvine.client.change_source import ChangeEvent, ChangeKind, Changes
from curvine.client.watch import Mode
from curvine.fuse.belief import Beliefs, Source
from curvine.fuse.noderecords import ROOT
from curvine.fuse.nodes import Nodes
from curvine.fuse.notify import Notifier
from curvine.model.path import is_under, name_from_wire, relative, split

_AT_A_TIME = 512  # nodes forgotten before other work gets its turn
_PATIENCE = 5.0  # seconds for them
_AGAIN = 0.1  # seconds until a name is marked for the second time


class OpenContent(Protocol):
    """Who has files open."""

    def changed_elsewhere(self, nodeid: int) -> bool:
        """The content may be another one. Whether the kernel's pages have to go."""

    def all_changed_elsewhere(self) -> None:
        """The content of everything may be another one."""


class Coherence:
    """See the module. ``names`` writes what never waits for a file's bytes, ``pages`` the rest."""

    def __init__(
        self,
        nodes: Nodes,
        beliefs: Beliefs,
        content: OpenContent,
        names: Notifier,
        pages: Notifier,
    ) -> None:
        self._nodes = nodes
        self._table = nodes.table
        self._beliefs = beliefs
        self._content = content
        self._names = names
        self._pages = pages
        self._sources: tuple[Source, ...] = ()
        self._stops: list[Callable[[], None]] = []
        self._walk: asyncio.Task[None] | None = None
        self._again: set[tuple[int, bytes]] = set()
        self.told = 0  # events
        self.forgotten = 0  # times that everything was

    # -- life

    def follow(self, sources: Sequence[Source]) -> None:
        """Watch what is shown from now on."""
        for stop in self._stops:
            stop()
        if self._sources:
            self.forget_everything()  # other places, or the same at other paths
        self._sources = tuple(sources)
        self._beliefs.rest_on(sources)
        clusters: dict[int, list[Source]] = {}
        for source in sources:
            clusters.setdefault(id(source.files.watch), []).append(source)
        self._stops = [self._listen(of_one) for of_one in clusters.values()]

    def _listen(self, sources: list[Source]) -> Callable[[], None]:
        watch = sources[0].files.watch
        watch.skip_own(not _overlap([source.fs_path for source in sources]))
        watch.start([source.fs_path for source in sources])
        return watch.listen(lambda changes: self._changed(sources, changes))

    async def succeed(self) -> None:
        """A server before this one has promised what it cannot keep any more: once changes are
        told again, everything is forgotten."""
        for source in self._sources:
            while not await source.files.watch.wait(Mode.PUSH, Mode.POLL, timeout=60.0):
                pass
        self.forget_everything()

    def close(self) -> None:
        """Stop."""
        for stop in self._stops:
            stop()
        if self._walk is not None:
            self._walk.cancel()
        for notifier in (self._names, self._pages):
            notifier.close()

    # -- changes

    def _changed(self, sources: list[Source], changes: Changes) -> None:
        if changes.reset:
            self.forget_everything()
            return
        self.told += len(changes.events)
        named = Counter(e.inode_id for e in changes.events if e.kind is ChangeKind.ENTRY)
        for event in changes.events:
            for source in sources:
                if event.kind is ChangeKind.ATTR:
                    self._inode(event.inode_id | source.tag)
                elif is_under(source.fs_path, event.path):
                    self.forget_everything()  # what the place is has changed
                elif is_under(event.path, source.fs_path):
                    self._entry(source, event, moved=named[event.inode_id] > 1)

    def _inode(self, inode: int) -> None:
        self._beliefs.changed(0, b"", inode)
        nodeid = self._table.by_inode(0, inode)
        if nodeid:
            drop = self._content.changed_elsewhere(nodeid)
            self._names.attributes(nodeid)
            if drop:
                self._pages.content(nodeid)

    def _entry(self, source: Source, event: ChangeEvent, *, moved: bool) -> None:
        name = name_from_wire(split(event.path)[1])
        inode = event.inode_id | source.tag if event.inode_id else 0
        parent = self._directory(source, event)
        directory = self._table.inode(parent) if parent else event.parent_id | source.tag
        self._beliefs.changed(directory, name, inode)
        node = self._table.by_inode(0, inode) if inode else 0
        if parent:
            known = self._table.find(parent, name)
            same = event.parent_id and not moved and known and known == node
            if same and self._table.has_children(node):
                self.forget_everything()  # all of it was removed, or a mount came or went
                return
            self._names.entry(parent, name, expire_only=True)
            self._names.content(parent)  # a kept listing goes with the attributes
            if known:
                self._mark_again(parent, name)
            if known and known != node:
                self._names.attributes(known)
        if node and self._table.is_directory(node):
            self._beliefs.moved(node)
            self._names.content(node)
        elif node:
            self._names.attributes(node)

    def _mark_again(self, parent: int, name: bytes) -> None:
        if not self._again:
            asyncio.get_running_loop().call_later(_AGAIN, self._mark_now)
        self._again.add((parent, name))

    def _mark_now(self) -> None:
        marked, self._again = self._again, set()
        for parent, name in marked:
            self._names.entry(parent, name, expire_only=True)

    def _directory(self, source: Source, event: ChangeEvent) -> int:
        """The node of the directory that an event's name is in, 0 when the kernel has none."""
        found = 0
        if event.parent_id > 0:
            found = self._table.by_inode(0, event.parent_id | source.tag)
        above = split(event.path)[0]
        if found or (event.parent_id > 0 and above != source.fs_path):
            return found
        node = ROOT
        for part in relative(source.outer(above), self._nodes.root).split("/"):
            node = self._table.find(node, name_from_wire(part)) if part and node else node
        return node

    # -- forgetting

    def forget_everything(self) -> None:
        """Make the kernel ask for every name and every attribute again."""
        self.forgotten += 1
        self._beliefs.all_changed()
        self._content.all_changed_elsewhere()
        each_name = not self._names.all_names()
        if self._walk is not None:
            self._walk.cancel()
        self._walk = asyncio.get_running_loop().create_task(self._forget_nodes(each_name))

    async def _forget_nodes(self, each_name: bool) -> None:
        for nodeids in _batches(self._table.nodes()):
            for nodeid in nodeids:
                if nodeid not in self._table:
                    continue
                if each_name:
                    for parent, name in self._table.names(nodeid):
                        self._names.entry(parent, name, expire_only=True)
                if self._table.is_directory(nodeid):
                    self._names.content(nodeid)
                else:
                    self._names.attributes(nodeid)
            await asyncio.to_thread(self._names.drain, _PATIENCE)


def _batches(nodes: Iterator[int]) -> Iterator[list[int]]:
    while batch := list(islice(nodes, _AT_A_TIME)):
        yield batch


def _overlap(paths: Sequence[str]) -> bool:
    """Whether a change through one place is seen through another."""
    return any(
        number != other and is_under(path, paths[other])
        for number, path in enumerate(paths)
        for other in range(len(paths))
    )
