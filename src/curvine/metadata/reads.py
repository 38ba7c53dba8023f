# SPDX-License-Identifier: Apache-2.0
"""Reading the namespace: stat, list, block lists (control-plane specification 5.7, 5.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from curvine.errors import Common, NotFound
from curvine.metadata.answers import StoredFile
from curvine.metadata.core import Core
from curvine.metadata.records import Inode, status_of, stored_block
from curvine.metadata.rules.blocks import check_layout
from curvine.metadata.rules.glob import compile_component, is_pattern
from curvine.metadata.rules.mounts import find_mount
from curvine.metadata.values import StoredBlock
from curvine.model.block import block_owner
from curvine.model.inode import ROOT_INODE_ID, FileStatus
from curvine.model.mount import MountInfo
from curvine.model.path import join

_LIST_CHUNK = 200  # inodes read at once while listing

Known = tuple[Inode, int]  # the record that a path stood for, and the directories' moves so far


Listed = tuple[str, Inode]  # path, record


def listed_status(row: Listed) -> FileStatus:
    """What stat of a listed path tells."""
    path, inode = row
    return status_of(inode, path)


class Reads(Core):
    """Everything that changes nothing."""

    def status(self, path: str) -> FileStatus:
        """Stat; links are not followed. NotFound if missing."""
        inode, _ = self.known(path)
        return status_of(inode, path)

    def known(self, path: str) -> Known:
        """The record of a path, and what to ask :meth:`is_unchanged` about later. NotFound."""
        inode = self._view.resolve(path)
        if inode is None:
            raise NotFound(f"File {path} not found")
        return inode, self._view.dirs_moved

    def warm(self, paths: Iterable[str]) -> None:
        """Read what a run of paths will need in a few reads of the store instead of two each."""
        self._view.warm(paths)

    def is_unchanged(self, known: Known) -> bool:
        """Whether the path still stands for that very record. A False may be a false alarm."""
        inode, dirs_moved = known
        view = self._view
        return view.dirs_moved == dirs_moved and view.cached_inode(inode.id) is inode

    def status_of_inode(self, inode_id: int) -> FileStatus | None:
        """Stat by inode id, with a path that leads there; None if it has none."""
        inode = self._view.inode(inode_id)
        path = self.path_of(inode_id)
        if inode is None or path is None:
            return None
        return status_of(inode, path)

    def exists(self, path: str) -> bool:
        """Whether the path resolves."""
        return self._view.resolve(path) is not None

    def path_of(self, inode_id: int) -> str | None:
        """A path of the inode, None if it is gone or part of a deleted subtree."""
        if inode_id == ROOT_INODE_ID:
            return "/"
        names: list[str] = []
        while inode_id != ROOT_INODE_ID:
            inode = self._view.inode(inode_id)
            if inode is None:
                return None
            names.append(inode.name)
            inode_id = inode.parent
        return "/" + "/".join(reversed(names))

    def list_status(self, path: str) -> list[FileStatus]:
        """The children of a directory in byte order, or the file itself.

        A pattern that exists as a path is that path; otherwise every match is listed.
        """
        return [listed_status(row) for row in self.listing(path)]

    def listing(self, path: str) -> Iterator[Listed]:
        """The same as records, one by one, read as it is asked for."""
        inode = self._view.resolve(path)
        if inode is not None:
            yield from self._listed(path, inode)
            return
        if not is_pattern(path):
            raise NotFound(f"File {path} not found")
        for match, matched in self._matches(path):
            yield from self._listed(match, matched)

    def list_options(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> list[FileStatus]:
        """At most ``limit`` children that sort behind ``start_after``."""
        return [listed_status(row) for row in self.page(path, limit, start_after)]

    def page(
        self, path: str, limit: int | None = None, start_after: str | None = None
    ) -> Iterator[Listed]:
        """The same as records, one by one, read as it is asked for."""
        if limit is not None and limit < 0:
            raise Common(f"{path}: a list limit of {limit} is not possible")
        inode = self._view.resolve(path)
        if inode is None:
            if is_pattern(path):
                raise Common(f"{path} is a pattern, which can not be listed in pages")
            raise NotFound(f"File {path} not found")
        if not inode.is_dir:
            name = path.rpartition("/")[2]
            behind = not start_after or name.encode() > start_after.encode()
            if behind and limit != 0:
                yield path, inode
            return
        yield from islice(self._listed(path, inode, start_after or "", limit), limit)

    def file_blocks(self, path: str) -> StoredFile:
        """A file with its blocks. Common for a directory, or a block list readers cannot use."""
        inode = self._view.resolve(path)
        if inode is None:
            raise NotFound(f"File {path} not found")
        if inode.is_dir:
            raise Common(f"{path} is a directory")
        blocks = self._view.blocks(inode)
        if len(blocks) > 1:
            check_layout(path, inode, blocks)
        return StoredFile(inode, path, tuple(stored_block(inode, block) for block in blocks))

    def stored_block(self, block_id: int) -> StoredBlock | None:
        """One block by its id, None if no file has it."""
        block = self._view.block(block_id)
        inode = self._view.inode(block_owner(block_id)) if block is not None else None
        return stored_block(inode, block) if inode is not None and block is not None else None

    def counts(self) -> tuple[int, int]:
        """(directories without the root, files)."""
        state = self._view.state
        return state.dirs, state.files

    def mounts(self) -> tuple[MountInfo, ...]:
        """The mount table."""
        return self._view.mounts

    def mount_info(self, path: str) -> MountInfo | None:
        """The mount that a Curvine path or an under-storage URI lies in."""
        return find_mount(self._view.mounts, path)

    # -- parts ---------------------------------------------------------------------------------

    def _file(self, path: str, inode: Inode) -> StoredFile:
        """A file with its blocks as they are."""
        blocks = self._view.blocks(inode)
        return StoredFile(inode, path, tuple(stored_block(inode, block) for block in blocks))

    def _listed(
        self, path: str, inode: Inode, after: str = "", limit: int | None = None
    ) -> Iterator[Listed]:
        """The children of a directory, or the file itself."""
        if not inode.is_dir:
            yield path, inode
            return
        children = self._view.children(inode.id, after)
        size = _LIST_CHUNK if limit is None else min(_LIST_CHUNK, max(limit, 1))
        while chunk := list(islice(children, size)):
            inodes = self._view.inodes([inode_id for _, inode_id in chunk])
            for (name, _), child in zip(chunk, inodes, strict=True):
                if child is not None:
                    yield join(path, name), child

    def _matches(self, pattern: str) -> Iterator[tuple[str, Inode]]:
        """(path, inode) of everything that a pattern matches, in order."""
        root = self._view.inode(ROOT_INODE_ID)
        level = [("/", root)] if root is not None else []
        for part in pattern[1:].split("/"):
            matcher = compile_component(part)
            following = []
            for path, inode in level:
                if not inode.is_dir:
                    continue
                if matcher is None:
                    child_id = self._view.child(inode.id, part)
                    names = [(part, child_id)] if child_id else []
                else:
                    children = self._view.children(inode.id)
                    names = [pair for pair in children if matcher.fullmatch(pair[0])]
                for name, child_id in names:
                    child = self._view.inode(child_id)
                    if child is not None:
                        following.append((join(path, name), child))
            level = following
        yield from level
