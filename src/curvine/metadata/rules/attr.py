# SPDX-License-Identifier: Apache-2.0
"""Changing attributes and freeing cached data (control-plane specification 5.8, 5.11)."""

from __future__ import annotations

from msgspec.structs import replace

from curvine.metadata.draft import Draft
from curvine.metadata.records import Inode
from curvine.metadata.rules.tree import CTIME_XATTR, MODE_MASK
from curvine.model.inode import FreeResult, SetAttr, StorageState, TtlAction


def with_attributes(inode: Inode, opts: SetAttr, now: int) -> Inode:
    """The inode with what ``opts`` names changed; ``replicas`` is accepted and ignored."""
    ttl_action = inode.ttl_action
    if opts.ttl_action is not None and ttl_action is not TtlAction.FREE:
        ttl_action = opts.ttl_action
    synced = opts.ufs_mtime is not None and opts.ufs_mtime > 0 and not inode.is_dir
    return replace(
        inode,
        owner=inode.owner if opts.owner is None else opts.owner,
        group=inode.group if opts.group is None else opts.group,
        mode=inode.mode if opts.mode is None else opts.mode & MODE_MASK,
        atime=inode.atime if opts.atime is None else opts.atime,
        mtime=inode.mtime if opts.mtime is None else opts.mtime,
        ttl_ms=inode.ttl_ms if opts.ttl_ms is None else opts.ttl_ms,
        ttl_action=ttl_action,
        xattrs=_xattrs(inode.xattrs, opts),
        ufs_mtime=(opts.ufs_mtime or 0) if synced else inode.ufs_mtime,
        state=StorageState.BOTH if synced else inode.state,
        ctime=now,
    )


def inherited(opts: SetAttr) -> SetAttr:
    """What a recursive change passes on to everything below."""
    return SetAttr(owner=opts.owner, group=opts.group, mode=opts.mode)


def free_file(draft: Draft, inode: Inode) -> FreeResult:
    """Drop cached data by the file's own TTL action; zero if there was nothing to drop."""
    both = inode.state is StorageState.BOTH
    if inode.ttl_action is TtlAction.NONE or inode.is_dir:
        return FreeResult()
    if inode.ttl_action is TtlAction.FREE and not both:
        return FreeResult()
    if not both and not inode.block_num:
        return FreeResult()
    size = 0
    for block in draft.view.blocks(inode):
        size += block.len * block.copies
        draft.drop_block(block)
    draft.put(
        replace(
            inode,
            state=StorageState.UFS if both else inode.state,
            ufs_mtime=inode.ufs_mtime if inode.ttl_action is TtlAction.FREE else 0,
            block_num=0,
            block_bytes=0,
            mtime=draft.now,
            ctime=draft.now,
        )
    )
    return FreeResult(1, size)


def _xattrs(current: dict[str, bytes] | None, opts: SetAttr) -> dict[str, bytes] | None:
    if not opts.add_x_attr and not opts.remove_x_attr:
        return current
    changed = dict(current or {})
    changed.update(opts.add_x_attr)
    for key in opts.remove_x_attr:
        changed.pop(key, None)
    changed.pop(CTIME_XATTR, None)
    return changed or None
