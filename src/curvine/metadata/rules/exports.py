# SPDX-License-Identifier: Apache-2.0
"""What an under storage has to follow: the changes below fs_mode mounts (data-plane 5.4).

A change to export is part of the batch of the mutation that made it, so it can neither be lost nor
appear without it. What is recorded is what happened, in order; the content of a file is taken when
its export runs. Not followed, as in Curvine: attributes and extended attributes alone.
"""

from __future__ import annotations

from curvine.metadata.draft import Draft
from curvine.metadata.records import RECORD_VERSION, ExportKind, ExportRow, Inode
from curvine.model.inode import FileType, RenameFlag, StorageState
from curvine.model.mount import MountInfo, WriteType
from curvine.model.path import is_under, join


def fs_mount(draft: Draft, path: str) -> MountInfo | None:
    """The fs_mode mount that ``path`` lies below (its own directory is not exported)."""
    for mount in draft.view.mounts:
        if mount.write_type is WriteType.FS_MODE and is_under(path, mount.cv_path):
            return mount if path != mount.cv_path else None
    return None


def directory_made(draft: Draft, path: str, inode: Inode) -> None:
    """A directory appeared (with the parents that it needed)."""
    if draft.changes and (mount := fs_mount(draft, path)) is not None:
        draft.export(_row(draft, ExportKind.MKDIR, mount, path, inode))


def content_changed(draft: Draft, inode: Inode) -> None:
    """A file was closed or cut: each of its names gets the content.

    Its names are looked up: who writes a file by its id may know it by an older path.
    """
    if not draft.view.mounts or inode.kind is not FileType.FILE:
        return
    if inode.state is not StorageState.CV:
        return
    places = ((inode.parent, inode.name), *inode.links)
    for parent, name in places:
        above = _path_of(draft, parent)
        if above is not None and (mount := fs_mount(draft, join(above, name))) is not None:
            draft.export(_row(draft, ExportKind.FILE, mount, join(above, name), inode))


def name_added(draft: Draft, path: str, inode: Inode) -> None:
    """A file got another name."""
    if (mount := fs_mount(draft, path)) is not None and inode.kind is FileType.FILE:
        draft.export(_row(draft, ExportKind.FILE, mount, path, inode))


def link_made(draft: Draft, path: str, inode: Inode) -> None:
    """A symbolic link appeared."""
    if (mount := fs_mount(draft, path)) is not None:
        row = _row(draft, ExportKind.LINK, mount, path, inode, target=inode.target or "")
        draft.export(row)


def deleted(draft: Draft, path: str, inode: Inode) -> None:
    """A path is gone, with what was below it."""
    if (mount := fs_mount(draft, path)) is not None and _exists_there(inode):
        draft.export(_row(draft, ExportKind.DELETE, mount, path, inode))


def renamed(draft: Draft, src: str, dst: str, source: Inode, flags: int) -> None:
    """``source`` has moved from ``src`` to ``dst``; clients keep both on one mount."""
    if not draft.changes or not draft.view.mounts or not _exists_there(source):
        return
    mount, other = fs_mount(draft, src), fs_mount(draft, dst)
    if mount is None:
        if other is not None and source.kind is FileType.FILE:
            name_added(draft, dst, source)
        return
    if other is None or other.mount_id != mount.mount_id:
        draft.export(_row(draft, ExportKind.DELETE, mount, src, source))
        return
    if flags != RenameFlag.EXCHANGE:
        draft.export(_row(draft, ExportKind.RENAME, mount, src, source, target=dst))
        return
    aside = f"{dst}.curvine-exchange-{draft.view.state.epoch + 1}"
    second = draft.view.resolve(dst) or source
    draft.export(_row(draft, ExportKind.RENAME, mount, dst, second, target=aside))
    draft.export(_row(draft, ExportKind.RENAME, mount, src, source, target=dst))
    draft.export(_row(draft, ExportKind.RENAME, mount, aside, second, target=src))


def _exists_there(inode: Inode) -> bool:
    """Whether under storages can have such an entry at all (fifos and devices they cannot)."""
    return inode.kind in (FileType.DIR, FileType.FILE, FileType.LINK)


def _row(
    draft: Draft, kind: ExportKind, mount: MountInfo, path: str, inode: Inode, target: str = ""
) -> ExportRow:
    return ExportRow(
        RECORD_VERSION,
        kind,
        mount.mount_id,
        path,
        inode.id,
        target=target,
        is_dir=inode.is_dir,
        len=0 if inode.is_dir else inode.len,
        ufs_mtime=inode.ufs_mtime,
        time=draft.now,
    )


def _path_of(draft: Draft, inode_id: int) -> str | None:
    """The path of a directory; None when it is part of a deleted subtree."""
    names: list[str] = []
    while True:
        inode = draft.inode(inode_id)
        if inode is None:
            return None
        if inode.parent < 0:
            return "/" + "/".join(reversed(names))
        names.append(inode.name)
        inode_id = inode.parent
