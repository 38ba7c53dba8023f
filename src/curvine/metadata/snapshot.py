# SPDX-License-Identifier: Apache-2.0
"""The namespace in pages: snapshot and delta (control-plane specification 5.16), and walks.

A page token is the path of the last entry. Resuming goes by components, so that no sibling is
skipped, and does not need that path to exist any more.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice

from curvine.errors import Common
from curvine.metadata.answers import DeltaPage, SnapshotEntry, SnapshotPage, StoredFile
from curvine.metadata.expiry import Expiry
from curvine.metadata.records import Inode
from curvine.metadata.stepping import Steps, finish
from curvine.metadata.values import (
    Change,
    ChangeKind,
)
from curvine.model.inode import ROOT_INODE_ID
from curvine.model.path import components, join

_CHUNK = 100  # entries looked at in one piece of work
_MAX_DELTA = 200_000  # paths; a larger delta is dearer than a snapshot

_Frame = tuple[str, Iterator[tuple[str, Inode]]]  # a directory's path, its children to come
_END: tuple[str, Inode | None] = ("", None)


class Snapshots(Expiry):
    """Paging through the namespace."""

    def walk(self, path: str = "/", after: str | None = None) -> Iterator[tuple[str, Inode]]:
        """(path, inode) of ``path`` and everything below, parents first, names in byte order.

        ``after``: a path at or below ``path``; the walk goes on behind it.
        """
        frames: list[_Frame] = []
        if after is None:
            inode = self._view.resolve(path)
            if inode is None:
                return
            yield path, inode
            if inode.is_dir:
                frames.append((path, self._children(inode.id)))
        else:
            frames = self._frames_behind(path, after)
        while frames:
            directory, children = frames[-1]
            name, child = next(children, _END)
            if child is None:
                frames.pop()
                continue
            child_path = join(directory, name)
            yield child_path, child
            if child.is_dir:
                frames.append((child_path, self._children(child.id)))

    def _children(self, directory_id: int, after: str = "") -> Iterator[tuple[str, Inode]]:
        """(name, inode) of a directory; those deleted since the call began are left out.

        What is not cached is not put into the cache: a walk must not drive out what is in use.
        """
        names = self._view.children(directory_id, after)
        while chunk := list(islice(names, _CHUNK)):
            inodes = self._view.inodes([inode_id for _, inode_id in chunk])
            for (name, _), inode in zip(chunk, inodes, strict=True):
                if inode is not None:
                    yield name, inode

    def snapshot_page(self, token: str | None = None, page_size: int = 10_000) -> SnapshotPage:
        """A page of the whole tree, the root first; ``next_token`` None on the last page."""
        chunks = self.snapshot_chunks(token, page_size)
        entries: list[SnapshotEntry] = []
        while True:
            try:
                entries += next(chunks)
            except StopIteration as stop:
                next_token, epoch = stop.value
                return SnapshotPage(tuple(entries), next_token, epoch)

    def snapshot_chunks(
        self, token: str | None = None, page_size: int = 10_000
    ) -> Generator[list[SnapshotEntry], None, tuple[str | None, int]]:
        """The same a bounded piece at a time; returns (next token, epoch).

        The epoch is that of the beginning: what changes between two pieces is newer.
        """
        _check_page_size(page_size)
        epoch = self.epoch
        walk = self.walk("/", token or None)
        last, left = None, page_size
        while left:
            found = list(islice(walk, min(left, _CHUNK)))
            if not found:
                return None, epoch
            yield [SnapshotEntry(path, self._entry(path, inode)) for path, inode in found]
            last = found[-1][0]
            left -= len(found)
        return (last if next(walk, None) is not None else None), epoch

    def delta_page(
        self,
        from_epoch: int,
        target_epoch: int | None = None,
        token: str | None = None,
        page_size: int = 10_000,
    ) -> DeltaPage:
        """Paths that changed after ``from_epoch``, byte-sorted, in their current state."""
        return finish(self.delta_steps(from_epoch, target_epoch, token, page_size))

    def delta_steps(
        self,
        from_epoch: int,
        target_epoch: int | None = None,
        token: str | None = None,
        page_size: int = 10_000,
    ) -> Steps[DeltaPage]:
        """The same in steps."""
        _check_page_size(page_size)
        now = self.epoch
        target = now if target_epoch is None else target_epoch
        if target > now:
            raise Common(f"Epoch {target} lies in the future, the newest is {now}")
        if from_epoch > target:
            raise Common(f"Epoch {from_epoch} is newer than {target}")
        if from_epoch == target == now:
            return DeltaPage((), None, from_epoch, target)
        changes = self.changes_since(from_epoch) if target == now else None
        paths = None
        if changes is not None:
            paths = yield from self._changed_paths(changes)
        if paths is None:
            return DeltaPage((), None, from_epoch, target, full_snapshot_required=True)
        rest = sorted((path for path in paths if not token or _key(path) > _key(token)), key=_key)
        page = rest[:page_size]
        entries = []
        for number, path in enumerate(page, 1):
            if number % _CHUNK == 0:
                yield
            inode = self._view.resolve(path)
            entries.append(
                SnapshotEntry(path, self._entry(path, inode) if inode is not None else None)
            )
        return DeltaPage(
            tuple(entries), page[-1] if len(rest) > page_size else None, from_epoch, target
        )

    # -- parts ---------------------------------------------------------------------------------

    def _entry(self, path: str, inode: Inode) -> StoredFile:
        if inode.block_num:
            return self._file(path, inode)
        return StoredFile(inode, path)

    def _changed_paths(self, changes: list[Change]) -> Steps[set[str] | None]:
        """Changed paths, new or moved directories with all below; None if that is too much."""
        paths: set[str] = set()
        for number, change in enumerate(changes, 1):
            if number % _CHUNK == 0:
                yield
            if change.kind is not ChangeKind.ENTRY:
                paths.add(change.path)
                continue
            parent = change.path.rpartition("/")[0] or "/"
            paths.update((change.path, parent))
            for below, (path, _) in enumerate(self.walk(change.path), 1):
                paths.add(path)
                if len(paths) > _MAX_DELTA:
                    return None
                if below % _CHUNK == 0:
                    yield
        return paths

    def _frames_behind(self, path: str, after: str) -> list[_Frame]:
        """The open directories of a walk that has just yielded ``after``."""
        frames: list[_Frame] = []
        directory_id = self._view.directory(path) if path != "/" else ROOT_INODE_ID
        at = path
        for name in components(after)[len(components(path)) :]:
            if not directory_id:
                return frames
            frames.append((at, self._children(directory_id, name)))
            at = join(at, name)
            directory_id = self._view.directory(at)
        if directory_id:
            frames.append((at, self._children(directory_id)))
        return frames


def _key(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")


def _check_page_size(page_size: int) -> None:
    if page_size <= 0:
        raise Common("A metadata page holds at least one entry")
