# SPDX-License-Identifier: Apache-2.0
"""Deleting: files, links, directories, and subtrees too large for one batch (5.8).

A large subtree is detached first: its name goes in one small batch, so it is gone for everybody at
once; :func:`reclaim` then takes it apart in bounded steps. The list of detached directories is
part of the store, so a crash between steps loses nothing and leaks nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from curvine.errors import Common, DirectoryNotEmpty, NotFound
from curvine.metadata.draft import Draft, View
from curvine.metadata.keys import Table, id_key
from curvine.metadata.records import Inode
from curvine.metadata.rules.tree import remove_name
from curvine.metadata.values import ChangeKind
from curvine.model.inode import FreeResult
from curvine.model.mount import MountInfo
from curvine.model.path import is_under

DETACHED_PARENT = 0  # parent id of the root of a detached subtree


class Reclaimed(NamedTuple):
    """One step of reclaiming a detached directory."""

    looked_at: int  # inodes
    last: str  # name behind which the next step goes on
    released: FreeResult = FreeResult()
    detached: tuple[int, ...] = ()  # its sub-directories, detached roots now
    is_done: bool = False  # the directory itself is gone


def expected_at(draft: Draft, path: str, expected: tuple[int, int] | None) -> Inode | None:
    """What is at ``path``. Common if it is not the file ``expected`` (inode id, mtime in ms)."""
    inode = draft.view.resolve(path)
    if expected is not None and inode is not None and (inode.id, inode.mtime) != expected:
        raise Common(f"{path} is not the file that was expected there")
    return inode


def delete(
    draft: Draft, path: str, recursive: bool, mounts: tuple[MountInfo, ...], at_once: int
) -> FreeResult:
    """Delete a path; what a detached subtree holds is counted while it is reclaimed."""
    for mount in mounts:
        if path == mount.cv_path:
            raise Common(f"{path} is a mount point, unmount it first")
        if recursive and path != "/" and is_under(mount.cv_path, path):
            raise Common(f"{path} contains the mount point {mount.cv_path}, unmount it first")
    if path == "/":
        raise Common("The root directory can not be deleted")
    inode = draft.resolve(path)
    parent_path, _, name = path.rpartition("/")
    parent = draft.existing(draft.view.directory(parent_path))
    if inode.is_dir and inode.len and not recursive:
        raise DirectoryNotEmpty(f"{path} is not empty")
    draft.subject = inode.id
    draft.note(ChangeKind.ENTRY, path, inode)
    remove_name(draft, parent, name, inode)
    if not inode.is_dir:
        return unlink(draft, inode, parent.id, name)
    subtree = _subtree(draft.view, inode, at_once)
    if subtree is None:
        detach(draft, inode)
        return FreeResult()
    files = size = 0
    for child in reversed(subtree):
        if child[0].is_dir:
            draft.drop(child[0])
        else:
            # Read again: another name of the same file may have gone a moment ago.
            result = unlink(draft, draft.existing(child[0].id), child[1], child[2])
            files += result.inodes
            size += result.bytes
    draft.drop(inode)
    return FreeResult(files, size)


def unlink(draft: Draft, inode: Inode, parent_id: int, name: str) -> FreeResult:
    """One name of a file is gone; the last one takes inode and blocks along.

    The entry and the parent have been dealt with by the caller.
    """
    if inode.nlink > 1:
        draft.put(without_link(draft, inode, parent_id, name))
        return FreeResult()
    size = 0
    for block in draft.view.blocks(inode):
        size += block.len * block.copies
        draft.drop_block(block)
    draft.drop(inode)
    return FreeResult(1, size)


def without_link(draft: Draft, inode: Inode, parent_id: int, name: str) -> Inode:
    """The inode with one hard link less; another place becomes the main one if need be."""
    links = inode.links
    main = (inode.parent, inode.name)
    if main == (parent_id, name):
        main, links = links[0], links[1:]
    else:
        links = tuple(link for link in links if link != (parent_id, name))
    return replace(
        inode, nlink=inode.nlink - 1, parent=main[0], name=main[1], links=links, ctime=draft.now
    )


def detach(draft: Draft, inode: Inode) -> None:
    """Make a nameless directory the root of a subtree to reclaim. It no longer expires."""
    draft.put(replace(inode, parent=DETACHED_PARENT, ttl_ms=0))
    draft.row(Table.DETACHED, id_key(inode.id), b"")
    draft.dirs_moved = True


def reclaim(draft: Draft, root_id: int, limit: int, after: str = "") -> Reclaimed:
    """Take up to ``limit`` names behind ``after`` out of a detached directory.

    Sub-directories become detached roots themselves, a root that has no further name is removed.
    """
    root = draft.inode(root_id)
    if root is None:
        draft.row(Table.DETACHED, id_key(root_id), None)
        return Reclaimed(1, "", is_done=True)
    files = size = 0
    detached: list[int] = []
    children: list[tuple[str, int]] = []
    for child in draft.view.children(root_id, after):
        children.append(child)
        if len(children) == limit:
            break
    for name, inode_id in children:
        draft.drop_entry(root_id, name)
        inode = draft.inode(inode_id)
        if inode is None:
            continue
        if inode.is_dir:
            detach(draft, inode)
            detached.append(inode_id)
        else:
            result = unlink(draft, inode, root_id, name)
            files += result.inodes
            size += result.bytes
    is_done = len(children) < limit
    if is_done:
        draft.drop(root)
        draft.row(Table.DETACHED, id_key(root_id), None)
    else:
        draft.put(replace(root, len=max(root.len - len(children), 0)))
    draft.dirs_moved = False  # no path led here any more
    last = children[-1][0] if children else ""
    return Reclaimed(len(children) + 1, last, FreeResult(files, size), tuple(detached), is_done)


def _subtree(view: View, root: Inode, limit: int) -> list[tuple[Inode, int, str]] | None:
    """(inode, parent id, name) of all below ``root``, parents first; None if above ``limit``."""
    found: list[tuple[Inode, int, str]] = []
    if root.len > limit:
        return None
    pending = [root]
    while pending:
        directory = pending.pop()
        names = list(view.children(directory.id))
        if len(found) + len(names) > limit:
            return None
        inodes = view.inodes([inode_id for _, inode_id in names])
        for (name, inode_id), inode in zip(names, inodes, strict=True):
            if inode is None:
                raise NotFound(f"Inode {inode_id}, entry {name!r} of {directory.id}, is missing")
            found.append((inode, directory.id, name))
            if inode.is_dir:
                if len(found) + inode.len > limit:
                    return None
                pending.append(inode)
    return found
