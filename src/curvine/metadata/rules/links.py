# SPDX-License-Identifier: Apache-2.0
"""Symbolic and hard links (control-plane specification 5.8)."""

from __future__ import annotations

from msgspec.structs import replace

from curvine.errors import AlreadyExists, Common
from curvine.metadata.draft import Draft
from curvine.metadata.records import RECORD_VERSION, Inode
from curvine.metadata.rules.remove import unlink
from curvine.metadata.rules.tree import (
    MODE_MASK,
    SETGID,
    add_name,
    ensure_parent,
    remove_name,
)
from curvine.metadata.values import ChangeKind
from curvine.model.inode import MAX_NAMES, FileType


def symlink(
    draft: Draft, target: str, path: str, force: bool, mode: int, owner: str, group: str
) -> Inode:
    """A symbolic link at ``path``; ``force`` replaces an existing link by a new inode."""
    existing = draft.view.resolve(path)
    if existing is not None and (existing.kind is not FileType.LINK or not force):
        raise AlreadyExists(f"{path}  already exists")
    parent, name = ensure_parent(draft, path, False, 0, "", "")
    if existing is not None:
        remove_name(draft, parent, name, existing)
        unlink(draft, existing, parent.id, name)
        parent = draft.existing(parent.id)
    inode = Inode(
        RECORD_VERSION,
        draft.allocate(),
        FileType.LINK,
        parent.id,
        name,
        mode & MODE_MASK,
        owner,
        parent.group if parent.mode & SETGID else group,
        draft.now,
        draft.now,
        target=target,
    )
    draft.files += 1
    add_name(draft, parent, name, inode)
    draft.note(ChangeKind.ENTRY, path, inode)
    return inode


def link(draft: Draft, src: str, dst: str) -> Inode:
    """A further name for anything but a directory; missing parents of the name are made.

    A real master refuses fifos, sockets and devices; POSIX lets them have names.
    """
    inode = draft.resolve(src)
    if inode.is_dir:
        raise Common(f"{src} is a directory, it can not be linked")
    if draft.view.resolve(dst) is not None:
        raise AlreadyExists(f"{dst}  already exists")
    if inode.nlink >= MAX_NAMES:
        raise Common(f"{src} has {inode.nlink} names, the most that a file can have")
    parent, name = ensure_parent(draft, dst, True, 0o755, inode.owner, inode.group)
    linked = replace(
        inode,
        nlink=inode.nlink + 1,
        links=(*inode.links, (parent.id, name)),
        ctime=draft.now,
    )
    add_name(draft, parent, name, linked)
    draft.note(ChangeKind.ENTRY, dst, linked)
    draft.note(ChangeKind.ATTR, src, linked)
    return linked
