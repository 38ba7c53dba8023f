# SPDX-License-Identifier: Apache-2.0
"""Creating files and opening them for writing (control-plane specification 5.6).

Writers are a set of names, no lease and no exclusivity: several writers of one file are legal.
"""

from __future__ import annotations

from msgspec.structs import replace

from curvine.errors import AlreadyExists, Common, NotFound
from curvine.metadata.draft import Draft
from curvine.metadata.records import RECORD_VERSION, Inode
from curvine.metadata.rules.tree import (
    MODE_MASK,
    SETGID,
    add_name,
    ensure_parent,
    user_xattrs,
)
from curvine.metadata.values import ChangeKind, Limits
from curvine.model.inode import CreateOpts, FileType, OpenFlag, StorageState

# Members and bits by name of their own: on this path the enumerations' machinery is a third of all.
_DIR, _FILE, _LINK = FileType.DIR, FileType.FILE, FileType.LINK
_CREAT, _EXCL, _TRUNC = int(OpenFlag.CREAT), int(OpenFlag.EXCL), int(OpenFlag.TRUNC)

# Complete at once: nobody writes to them through blocks.
_SPECIAL = frozenset({FileType.FIFO, FileType.CHAR, FileType.BLOCK, FileType.SOCKET})


def create(draft: Draft, path: str, opts: CreateOpts, flags: int, limits: Limits) -> Inode:
    """Create a file, or overwrite it where flags say so. The order of checks is the wire's."""
    if not flags & _CREAT:
        raise Common(f"Creating {path} needs the CREAT flag")
    check_request(path, opts, limits)
    existing = draft.view.resolve(path)
    if existing is not None:
        if existing.is_dir:
            raise Common(f"{path} is a directory")
        if flags & _EXCL or not flags & _TRUNC:
            raise AlreadyExists(f"{path}  already exists")
        return overwrite(draft, path, existing, opts, limits)
    parent, name = ensure_parent(draft, path, opts.create_parent, opts.mode, opts.owner, opts.group)
    return _new_file(draft, parent, path, name, opts)


def open_write(draft: Draft, path: str, opts: CreateOpts, flags: int, limits: Limits) -> Inode:
    """Open for writing: creates if missing and asked to. EXCL is not looked at."""
    existing = draft.view.resolve(path)
    if existing is None:
        if not flags & _CREAT:
            raise NotFound(f"File {path} not found")
        return create(draft, path, opts, flags, limits)
    if existing.is_dir:
        raise Common(f"{path} is a directory")
    if flags & _TRUNC:
        return overwrite(draft, path, existing, opts, limits)
    inode = replace(
        existing,
        writers=_joined(existing.writers, opts.client_name),
        state=StorageState.CV,
        ufs_mtime=0,
    )
    if inode != existing:
        draft.put(inode)
        draft.note(ChangeKind.ATTR, path, inode)
    return inode


def check_request(path: str, opts: CreateOpts, limits: Limits) -> None:
    """Common for what no file can be created with."""
    size = len(path)  # of at most four bytes each: few paths have to be encoded to be measured
    if size * 4 > limits.max_path_len < len(path.encode("utf-8", "surrogatepass")):
        raise Common(f"Path is too long, at most {limits.max_path_len} bytes are allowed")
    if path.count("/") >= limits.max_path_depth:
        raise Common(f"Path is too deep, at most {limits.max_path_depth} parts are allowed")
    if not replicas_fit(opts, limits):
        raise Common(
            f"{path}: {opts.replicas} replicas are outside"
            f" {limits.min_replication} to {limits.max_replication - 1}"
        )
    if not block_size_fits(opts, limits):
        raise Common(
            f"{path}: block size {opts.block_size} is outside"
            f" {limits.min_block_size} to {limits.max_block_size - 1} bytes"
        )
    if opts.file_type is _DIR or opts.file_type is _LINK:
        raise Common(f"{path}: a {opts.file_type.name.lower()} is not made by creating a file")


def replicas_fit(opts: CreateOpts, limits: Limits) -> bool:
    """Whether the replica count is allowed."""
    return limits.min_replication <= opts.replicas < limits.max_replication


def block_size_fits(opts: CreateOpts, limits: Limits) -> bool:
    """Whether the block size is allowed."""
    return limits.min_block_size <= opts.block_size < limits.max_block_size


def overwrite(draft: Draft, path: str, inode: Inode, opts: CreateOpts, limits: Limits) -> Inode:
    """Empty a file for a new writer; id, mode, owner, attributes, writers and sequence stay.

    OpenFile does not refuse odd replica counts or block sizes here; what is out of bounds then
    leaves the file's own value in place.
    """
    if inode.kind is FileType.LINK:
        raise Common(f"{path} is a symbolic link, it can not be overwritten")
    for block in draft.view.blocks(inode):
        draft.drop_block(block)
    policy = opts.storage_policy
    inode = replace(
        inode,
        len=0,
        block_num=0,
        block_bytes=0,
        replicas=opts.replicas if replicas_fit(opts, limits) else inode.replicas,
        block_size=opts.block_size if block_size_fits(opts, limits) else inode.block_size,
        storage_type=policy.storage_type,
        ttl_ms=policy.ttl_ms,
        ttl_action=policy.ttl_action,
        state=StorageState.CV,
        ufs_mtime=0,
        mtime=draft.now,
        ctime=draft.now,
        writers=_joined(inode.writers, opts.client_name),
    )
    draft.put(inode)
    draft.note(ChangeKind.ATTR, path, inode)
    return inode


def _new_file(draft: Draft, parent: Inode, path: str, name: str, opts: CreateOpts) -> Inode:
    policy = opts.storage_policy
    kind = opts.file_type
    complete = opts.sync_ufs_meta or (kind is not _FILE and kind in _SPECIAL)
    inode = Inode(
        RECORD_VERSION,
        draft.allocate(),
        kind,
        parent.id,
        name,
        opts.mode & MODE_MASK,
        opts.owner,
        parent.group if parent.mode & SETGID else opts.group,
        draft.now,
        draft.now,
        len=max(opts.ufs_len, 0) if opts.sync_ufs_meta else 0,
        storage_type=policy.storage_type,
        ttl_ms=policy.ttl_ms,
        ttl_action=policy.ttl_action,
        ufs_mtime=policy.ufs_mtime if opts.sync_ufs_meta else 0,
        state=StorageState.UFS if opts.sync_ufs_meta else StorageState.CV,
        replicas=opts.replicas,
        block_size=opts.block_size,
        writers=() if complete else (opts.client_name,),
        xattrs=user_xattrs(opts.x_attr),
    )
    draft.files += 1
    add_name(draft, parent, name, inode)
    draft.note(ChangeKind.ENTRY, path, inode)
    return inode


def _joined(writers: tuple[str, ...], client_name: str) -> tuple[str, ...]:
    return writers if client_name in writers else (*writers, client_name)
