# SPDX-License-Identifier: Apache-2.0
"""Names and directories: parents, mkdir, adding and removing a name (5.2, 5.3, 5.5)."""

from __future__ import annotations

from msgspec.structs import replace

from curvine.errors import AlreadyExists, Common
from curvine.metadata.draft import Draft
from curvine.metadata.records import RECORD_VERSION, Inode
from curvine.metadata.values import ChangeKind
from curvine.model.inode import ROOT_INODE_ID, FileType, MkdirOpts

MODE_MASK = 0o7777
TREE_TOP_MODE = 0o777  # of the root and of mount points, as a real Curvine makes them
SETGID = 0o2000
CTIME_XATTR = "\0curvine.ctime"  # where a real master keeps ctime; clients can not touch it


def split_new(path: str) -> tuple[str, str]:
    """(parent path, name) of a path about to be created; Common where no name can be."""
    parent, _, name = path.rpartition("/")
    if not path.startswith("/"):
        raise Common(f"Path {path!r} is invalid, it must start with '/'")
    check_name(path, name)
    return parent, name


def check_name(path: str, name: str) -> None:
    """Common for a name that no directory can hold."""
    if name in {"", ".", ".."} or "\0" in name:
        raise Common(f"Path {path!r} is invalid, {name!r} can not be the name of a file")


def user_xattrs(x_attr: dict[str, bytes]) -> dict[str, bytes] | None:
    """Attributes to store: the caller's without those reserved to the master."""
    if CTIME_XATTR in x_attr:
        x_attr = {key: value for key, value in x_attr.items() if key != CTIME_XATTR}
    return x_attr or None


def ensure_parent(
    draft: Draft, path: str, create: bool, mode: int, owner: str, group: str
) -> tuple[Inode, str]:
    """The parent directory of ``path``, made with all ancestors if ``create``, and the name.

    A missing parent is Common, not NotFound: clients must not fall back on it.
    """
    parent_path, name = split_new(path)
    parent_id = draft.view.directory(parent_path)
    if parent_id:
        return draft.existing(parent_id), name
    if not create:
        raise Common(f"Parent directory of {path} does not exist or is not a directory")
    parent = draft.existing(ROOT_INODE_ID)
    at = ""
    for part in parent_path[1:].split("/"):
        at = f"{at}/{part}"
        child_id = draft.child(parent.id, part)
        if child_id:
            parent = draft.existing(child_id)
            if not parent.is_dir:
                raise Common(f"{at} is not a directory, so {path} can not be created")
        else:
            check_name(path, part)
            parent = new_directory(draft, parent, at, part, MkdirOpts(False, mode, owner, group))
    return parent, name


def new_directory(draft: Draft, parent: Inode, path: str, name: str, opts: MkdirOpts) -> Inode:
    """A new empty directory in ``parent``."""
    policy = opts.storage_policy
    setgid = parent.mode & SETGID
    inode = Inode(
        RECORD_VERSION,
        draft.allocate(),
        FileType.DIR,
        parent.id,
        name,
        (opts.mode & MODE_MASK) | setgid,
        opts.owner,
        parent.group if setgid else opts.group,
        draft.now,
        draft.now,
        nlink=2,
        storage_type=policy.storage_type,
        ttl_ms=policy.ttl_ms,
        ttl_action=policy.ttl_action,
        xattrs=user_xattrs(opts.x_attr),
    )
    draft.dirs += 1
    add_name(draft, parent, name, inode)
    draft.note(ChangeKind.ENTRY, path, inode)
    return inode


def add_name(draft: Draft, parent: Inode, name: str, inode: Inode) -> None:
    """Store ``inode`` under ``name``; the parent's count, times and nlink follow."""
    draft.put(inode)
    draft.put_entry(parent.id, name, inode.id)
    draft.put(touched_parent(draft, parent, 1, 1 if inode.kind is FileType.DIR else 0))


def remove_name(draft: Draft, parent: Inode, name: str, inode: Inode) -> None:
    """Take ``name`` out of its parent; the inode itself is the caller's business."""
    draft.drop_entry(parent.id, name)
    draft.put(touched_parent(draft, parent, -1, -1 if inode.is_dir else 0))
    if inode.is_dir:
        draft.dirs_moved = True


def touched_parent(draft: Draft, parent: Inode, names: int, subdirectories: int) -> Inode:
    """The parent after ``names`` were added to it, ``subdirectories`` of them directories."""
    return replace(
        parent,
        len=parent.len + names,
        nlink=parent.nlink + subdirectories,
        mtime=draft.now,
        ctime=draft.now,
    )


def mkdir(draft: Draft, path: str, opts: MkdirOpts) -> Inode:
    """Make a directory; with create_parent an existing one is fine (5.5)."""
    if path == "/":
        raise Common("The root directory always exists, it can not be created")
    existing = draft.view.resolve(path)
    if existing is not None:
        if existing.is_dir and opts.create_parent:
            return existing
        raise AlreadyExists(f"{path}  already exists")
    parent, name = ensure_parent(draft, path, opts.create_parent, opts.mode, opts.owner, opts.group)
    return new_directory(draft, parent, path, name, opts)
