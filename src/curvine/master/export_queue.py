# SPDX-License-Identifier: Apache-2.0
"""The order in which changes reach an under storage: per path, not one after the other.

Two changes have to keep their order when a path of one is, holds, or lies in a path of the other;
all others may run side by side. Pure: entries go in oldest first, :meth:`ExportQueue.add` links
each to those before it that it has to wait for, and ends free those that waited. Nothing here
waits, stores or does.
"""

from __future__ import annotations

from collections import deque

from curvine.metadata.records import ExportKind, ExportRow


class Entry:
    """One change on its way. ``waits``: entries that have to end before it may begin."""

    __slots__ = (
        "attempts", "failed_ms", "failure", "first_failed_ms", "followers", "key", "permanent",
        "row", "running", "waits",
    )  # fmt: skip

    def __init__(self, key: bytes, row: ExportRow) -> None:
        self.key = key
        self.row = row
        self.waits = 0
        self.followers: list[Entry] = []
        self.running = False
        self.attempts = 0  # that failed
        self.failure = ""  # the last one's reason
        self.first_failed_ms = 0
        self.failed_ms = 0
        self.permanent = False  # what failed last will hardly be better by itself

    @property
    def paths(self) -> tuple[str, ...]:
        """What the change is about."""
        row = self.row
        return (row.path, row.target) if row.kind is ExportKind.RENAME else (row.path,)


class _Node:
    """A component of a path, while entries are about it or about something below it."""

    __slots__ = ("below", "entries")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.entries: list[Entry] = []


class ExportQueue:
    """Entries that have not ended, and which of them may run."""

    def __init__(self) -> None:
        self._root = _Node()
        self._entries: dict[bytes, Entry] = {}
        self.ready: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> object:
        return iter(self._entries.values())

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything that has not ended, oldest first."""
        return tuple(self._entries.values())

    def add(self, key: bytes, row: ExportRow) -> Entry:
        """Take the next change. A file that is to be exported, has not begun and would only be
        exported again is left to the newer entry: ask :meth:`superseded` first."""
        entry = Entry(key, row)
        before: dict[int, Entry] = {}
        for path in entry.paths:
            self._collect(path, row.kind in (ExportKind.DELETE, ExportKind.RENAME), before)
        for earlier in before.values():
            earlier.followers.append(entry)
        entry.waits = len(before)
        for path in entry.paths:
            self._node(path).entries.append(entry)
        self._entries[key] = entry
        if not entry.waits:
            self.ready.append(entry)
        return entry

    def superseded(self, row: ExportRow) -> Entry | None:
        """A waiting export of the same content of the same path, which makes another needless."""
        if row.kind is not ExportKind.FILE:
            return None
        node = self._find(row.path)
        if node is None or not node.entries:
            return None
        last = node.entries[-1]
        same = last.row.kind is ExportKind.FILE and last.row.inode_id == row.inode_id
        return last if same and not last.running else None

    def end(self, entry: Entry) -> None:
        """The change is in the under storage, or void: those that waited for it go on."""
        if self._entries.pop(entry.key, None) is None:
            return
        for path in entry.paths:
            self._remove(path, entry)
        for follower in entry.followers:
            follower.waits -= 1
            if not follower.waits:
                self.ready.append(follower)

    def _collect(self, path: str, with_below: bool, found: dict[int, Entry]) -> None:
        node: _Node | None = self._root
        for part in path.split("/")[1:]:
            node = node.below.get(part) if node is not None else None
            if node is None:
                return
            found.update((id(entry), entry) for entry in node.entries)
        if node is not None and with_below:
            pending = list(node.below.values())
            while pending:
                inner = pending.pop()
                found.update((id(entry), entry) for entry in inner.entries)
                pending.extend(inner.below.values())

    def _find(self, path: str) -> _Node | None:
        node = self._root
        for part in path.split("/")[1:]:
            below = node.below.get(part)
            if below is None:
                return None
            node = below
        return node

    def _node(self, path: str) -> _Node:
        node = self._root
        for part in path.split("/")[1:]:
            node = node.below.setdefault(part, _Node())
        return node

    def _remove(self, path: str, entry: Entry) -> None:
        parts = path.split("/")[1:]
        way = [self._root]
        for part in parts:
            below = way[-1].below.get(part)
            if below is None:
                return
            way.append(below)
        if entry in way[-1].entries:
            way[-1].entries.remove(entry)
        for above, part, node in zip(way[-2::-1], parts[::-1], way[:0:-1], strict=True):
            if node.entries or node.below:
                return
            del above.below[part]
