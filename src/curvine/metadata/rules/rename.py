# SPDX-License-Identifier: Apache-2.0
"""Rename: plain, without replacing, and exchange (control-plane specification 5.8).

Mount boundaries are checked by clients, not here.
"""

from __future__ import annotations

from msgspec.structs import replace

from curvine.errors import (
    AlreadyExists,
    Common,
    DirectoryNotEmpty,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotFound,
)
from curvine.metadata.draft import Draft
from curvine.metadata.records import Inode
from curvine.metadata.rules.remove import unlink
from curvine.metadata.rules.tree import ensure_parent, remove_name, touched_parent
from curvine.metadata.values import ChangeKind
from curvine.model.inode import RenameFlag
from curvine.model.path import is_under

Expected = tuple[int, int] | None  # the file that is to be replaced: inode id, mtime (ms)


def rename(draft: Draft, src: str, dst: str, flags: int, expected: Expected = None) -> bool:
    """Rename; False (and nothing done) when source and destination are the same path. NotFound
    or Common, and nothing done, unless ``dst`` is the file that is ``expected`` there."""
    exchange = flags == RenameFlag.EXCHANGE
    if src == "/":
        raise Common("The root directory can not be renamed")
    if src == dst:
        return False
    if is_under(dst, src):
        raise InvalidArgument(f"{src} can not be moved to {dst}, which lies inside it")
    if exchange and is_under(src, dst):
        raise InvalidArgument(f"{src} can not be exchanged with {dst}, which contains it")
    source = draft.resolve(src)
    target = draft.view.resolve(dst)
    if expected is not None:
        if target is None:
            raise NotFound(f"File {dst} not found")
        if (target.id, target.mtime) != expected:
            raise Common(f"{dst} is not the file that was expected there")
    draft.subject = source.id
    if exchange:
        _exchange(draft, src, dst, source, target)
    else:
        _move(draft, src, dst, source, target, bool(flags & RenameFlag.NO_REPLACE))
    return True


def _move(
    draft: Draft, src: str, dst: str, source: Inode, target: Inode | None, keep: bool
) -> None:
    if target is not None:
        if keep:
            raise AlreadyExists(f"{dst}  already exists")
        if target.is_dir and not source.is_dir:
            raise IsADirectory(f"{dst} is a directory")
        if source.is_dir and not target.is_dir:
            raise NotADirectory(f"{dst} is not a directory")
        if target.is_dir and target.len:
            raise DirectoryNotEmpty(f"{dst} is not empty")
        if target.id == source.id:
            return  # two names of one file: POSIX leaves both
    new_parent, new_name = ensure_parent(draft, dst, False, 0, "", "")
    old_parent, old_name = _place(draft, src)
    draft.note(ChangeKind.ENTRY, src, source)
    if target is not None:
        remove_name(draft, new_parent, new_name, target)
        if target.is_dir:
            draft.drop(target)
        else:
            unlink(draft, target, new_parent.id, new_name)
            if target.links:  # it lives on under other names
                draft.note(ChangeKind.ATTR, dst, target)
    remove_name(draft, draft.existing(old_parent.id), old_name, source)
    moved = relocated(source, (old_parent.id, old_name), (new_parent.id, new_name))
    moved = replace(moved, ctime=draft.now)
    draft.put(moved)
    draft.put_entry(new_parent.id, new_name, moved.id)
    parent = draft.existing(new_parent.id)
    draft.put(touched_parent(draft, parent, 1, 1 if moved.is_dir else 0))
    draft.note(ChangeKind.ENTRY, dst, moved)


def _exchange(draft: Draft, src: str, dst: str, source: Inode, target: Inode | None) -> None:
    """Both names swap; the two inodes keep their ctime."""
    if target is None:
        raise NotFound(f"File {dst} not found")
    if source.id == target.id:
        return
    first, first_name = _place(draft, src)
    second, second_name = _place(draft, dst)
    here, there = (first.id, first_name), (second.id, second_name)
    draft.put_entry(*here, target.id)
    draft.put_entry(*there, source.id)
    moved = relocated(source, here, there)
    moved_back = relocated(target, there, here)
    draft.put(moved)
    draft.put(moved_back)
    gained = int(target.is_dir) - int(source.is_dir)
    draft.put(touched_parent(draft, draft.existing(first.id), 0, gained))
    draft.put(touched_parent(draft, draft.existing(second.id), 0, -gained))
    draft.dirs_moved = source.is_dir or target.is_dir
    draft.note(ChangeKind.ENTRY, src, moved_back)
    draft.note(ChangeKind.ENTRY, dst, moved)


def _place(draft: Draft, path: str) -> tuple[Inode, str]:
    """(parent, name) of a path that is known to exist."""
    parent_path, _, name = path.rpartition("/")
    return draft.existing(draft.view.directory(parent_path)), name


def relocated(inode: Inode, old: tuple[int, str], new: tuple[int, str]) -> Inode:
    """The inode with one of its places changed."""
    if (inode.parent, inode.name) == old:
        return replace(inode, parent=new[0], name=new[1])
    return replace(inode, links=tuple(new if link == old else link for link in inode.links))
