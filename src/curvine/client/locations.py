# SPDX-License-Identifier: Apache-2.0
"""Files with their block locations, as the master last told them: opening a hot file costs no call.

An entry is believed only while a watch tells of every change (client.watch), and for ``_KEEP``
seconds: the master has to see now and then that the file is used, or it would evict it. Files that
are being written are not kept, nor those with several names. Own changes are forgotten at once.

A client that looks up the same paths again and again begins to watch the directory that holds them.

Concurrency: on one loop. A look-up under way is marked when a change meets its path, and its answer
is then not kept: it may be older than the change.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from curvine.client.change_source import ChangeKind, Changes
from curvine.client.watch import ChangeWatch
from curvine.clock import Clock
from curvine.model.block import FileBlocks
from curvine.model.path import ROOT, is_under, split

_LIMIT = 4096  # files
_KEEP = 60.0  # s
_DIRECTORIES = 4 * _LIMIT  # names of directories, some of no use any more
_MOST_BLOCKS = 64  # of a file that is kept
_REPEATS = 32  # look-ups of known paths that make it worth while to watch

Fetch = Callable[[str], Awaitable[FileBlocks]]


class _Lookup:
    """A question to the master that is not answered yet."""

    __slots__ = ("path", "stale")

    def __init__(self, path: str) -> None:
        self.path = path
        self.stale = False


class LocationCache:
    """See the module."""

    def __init__(self, watch: ChangeWatch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._files: OrderedDict[str, tuple[FileBlocks, float]] = OrderedDict()
        self._paths: dict[int, set[str]] = {}  # inode id -> its paths among the files
        self._above: Counter[str] = Counter()  # directories above the files
        self._lookups: set[_Lookup] = set()
        self._seen: OrderedDict[str, None] = OrderedDict()  # asked for while not watched
        self._repeats = 0
        self._common: str | None = None  # directory of what was asked for again
        watch.listen(self._changed)

    def get(self, path: str) -> FileBlocks | None:
        """The file, if nothing has changed it since it was asked for."""
        entry = self._files.get(path)
        if entry is None or not self._watch.is_current(path):
            return None
        entry = self._files.get(path)  # looking for changes may have taken it away
        if entry is None or self._clock.monotonic() - entry[1] >= _KEEP:
            return None
        self._files.move_to_end(path)
        return entry[0]

    async def fetch(self, path: str, ask: Fetch) -> FileBlocks:
        """The file from the master, kept where that is allowed."""
        if not self._watch.is_current(path):
            self._note(path)
            return await ask(path)
        lookup = _Lookup(path)
        self._lookups.add(lookup)
        try:
            file = await ask(path)
        finally:
            self._lookups.discard(lookup)
        kept = file.status.is_complete and (file.status.nlink or 1) == 1
        if kept and not lookup.stale and len(file.blocks) <= _MOST_BLOCKS:
            self._keep(path, file)
        return file

    def forget(self, path: str) -> None:
        """``path`` is being changed by this client, or its workers do not have what they should."""
        self._drop(path, below=True)

    def _keep(self, path: str, file: FileBlocks) -> None:
        self._drop_one(path)
        self._files[path] = (file, self._clock.monotonic())
        self._paths.setdefault(file.status.id, set()).add(path)
        self._above.update(_directories(path))
        if len(self._files) > _LIMIT:
            self._drop_one(next(iter(self._files)))

    def _changed(self, changes: Changes) -> None:
        if changes.reset:
            self._files.clear()
            self._paths.clear()
            self._above.clear()
            for lookup in self._lookups:
                lookup.stale = True
            return
        if not self._files and not self._lookups:
            return
        for event in changes.events:
            for path in tuple(self._paths.get(event.inode_id, ())):  # other names of the file
                self._drop(path, below=False)
            self._drop(event.path, below=event.kind is ChangeKind.ENTRY)

    def _drop(self, path: str, *, below: bool) -> None:
        for lookup in self._lookups:
            lookup.stale = lookup.stale or is_under(lookup.path, path)
        if path in self._files:
            self._drop_one(path)
        elif below and self._above[path] > 0:
            for known in [known for known in self._files if is_under(known, path)]:
                self._drop_one(known)

    def _drop_one(self, path: str) -> None:
        entry = self._files.pop(path, None)
        if entry is not None:
            inode = entry[0].status.id
            self._above.subtract(_directories(path))
            names = self._paths[inode]
            names.discard(path)
            if not names:
                del self._paths[inode]
            if len(self._above) > _DIRECTORIES:
                self._above = +self._above  # without those that count nothing

    def _note(self, path: str) -> None:
        """Count look-ups that a watch would have saved."""
        if self._watch.covers(path):
            return
        if path not in self._seen:
            self._seen[path] = None
            if len(self._seen) > _LIMIT:
                self._seen.popitem(last=False)
            return
        self._repeats += 1
        parent = split(path)[0]
        while self._common is not None and not is_under(parent, self._common):
            self._common = split(self._common)[0]
        self._common = self._common or parent
        if self._repeats >= _REPEATS:
            self._watch.start((self._common,))
            self._repeats = 0
            self._common = None
            self._seen.clear()


def _directories(path: str) -> list[str]:
    """Every directory above ``path``."""
    found = []
    while path != ROOT:
        path = split(path)[0]
        found.append(path)
    return found
