# SPDX-License-Identifier: Apache-2.0
"""The namespace in pages: snapshot and delta (control-plane specification 5.16), and walks.

A page token is the path of the last entry. Resuming goes by components, so that no sibling is
skipped, and does not need that path to exist any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from curvine.errors import Common
from curvine.metadata.expiry import Expiry
from curvine.metadata.records import Inode, status_of
from curvine.metadata.values import (
    Change,
    ChangeKind,
    DeltaPage,
    SnapshotEntry,
    SnapshotPage,
    StoredFile,
)
from curvine.model.inode import ROOT_INODE_ID
from curvine.model.path import components, join

_MAX_DELTA = 200_000  # paths; a larger delta is dearer than a snapshot


class Snapshots(Expiry):
    """Paging through the namespace."""

    def walk(self, path: str = "/", after: str | None = None) -> Iterator[tuple[str, Inode]]:
        """(path, inode) of ``path`` and everything below, parents first, names in byte order.

        ``after``: a path at or below ``path``; the walk goes on behind it.
        """
        frames: list[tuple[str, Iterator[tuple[str, int]]]] = []
        if after is None:
            inode = self._view.resolve(path)
            if inode is None:
                return
            yield path, inode
            if inode.is_dir:
                frames.append((path, self._view.children(inode.id)))
        else:
            frames = self._frames_behind(path, after)
        while frames:
            directory, children = frames[-1]
            name, inode_id = next(children, ("", 0))
            if not inode_id:
                frames.pop()
                continue
            child = self._view.inode(inode_id)
            if child is None:
                continue  # deleted since the directory was opened
            child_path = join(directory, name)
            yield child_path, child
            if child.is_dir:
                frames.append((child_path, self._view.children(inode_id)))

    def snapshot_page(self, token: str | None = None, page_size: int = 10_000) -> SnapshotPage:
        """A page of the whole tree, the root first; ``next_token`` None on the last page."""
        _check_page_size(page_size)
        walk = self.walk("/", token or None)
        found = list(islice(walk, page_size))
        more = next(walk, None) is not None
        return SnapshotPage(
            tuple(SnapshotEntry(path, self._entry(path, inode)) for path, inode in found),
            found[-1][0] if more and found else None,
            self.epoch,
        )

    def delta_page(
        self,
        from_epoch: int,
        target_epoch: int | None = None,
        token: str | None = None,
        page_size: int = 10_000,
    ) -> DeltaPage:
        """Paths that changed after ``from_epoch``, byte-sorted, in their current state."""
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
        paths = self._changed_paths(changes) if changes is not None else None
        if paths is None:
            return DeltaPage((), None, from_epoch, target, full_snapshot_required=True)
        rest = sorted((path for path in paths if not token or _key(path) > _key(token)), key=_key)
        page = rest[:page_size]
        entries = []
        for path in page:
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
        return StoredFile(status_of(inode, path, path.rpartition("/")[2]))

    def _changed_paths(self, changes: list[Change]) -> set[str] | None:
        """Changed paths, new or moved directories with all below; None if that is too much."""
        paths: set[str] = set()
        for change in changes:
            if change.kind is not ChangeKind.ENTRY:
                paths.add(change.path)
                continue
            parent = change.path.rpartition("/")[0] or "/"
            paths.update((change.path, parent))
            for path, _ in self.walk(change.path):
                paths.add(path)
                if len(paths) > _MAX_DELTA:
                    return None
        return paths

    def _frames_behind(self, path: str, after: str) -> list[tuple[str, Iterator[tuple[str, int]]]]:
        """The open directories of a walk that has just yielded ``after``."""
        frames: list[tuple[str, Iterator[tuple[str, int]]]] = []
        directory_id = self._view.directory(path) if path != "/" else ROOT_INODE_ID
        at = path
        for name in components(after)[len(components(path)) :]:
            if not directory_id:
                return frames
            frames.append((at, self._view.children(directory_id, name)))
            at = join(at, name)
            directory_id = self._view.directory(at)
        if directory_id:
            frames.append((at, self._view.children(directory_id)))
        return frames


def _key(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")


def _check_page_size(page_size: int) -> None:
    if page_size <= 0:
        raise Common("A metadata page holds at least one entry")
