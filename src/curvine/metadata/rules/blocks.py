# SPDX-License-Identifier: Apache-2.0
"""Blocks of a file: allocate, commit, assign, resize (control-plane specification 5.9).

Invariants: ids ascend and are never used twice; the file's length is the sum of its blocks'
lengths (but for a file whose data are only in the under storage); commits never shorten a block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from curvine.errors import Common, DiskOutOfSpace, InvalidFileSize
from curvine.metadata.draft import Draft
from curvine.metadata.records import RECORD_VERSION, Block, Inode, status_of
from curvine.metadata.rules.attr import with_attributes
from curvine.metadata.values import ChangeKind
from curvine.model.block import MAX_SEQUENCE, AllocOpts, CommitBlock, block_id, block_owner
from curvine.model.inode import MAX_FILE_SIZE, FileStatus, FileType, SetAttr, StorageState

FALLOCATE_MODES = 0x01 | 0x10  # keep size, zero range; 0 is allowed as well
MAX_HOLES = 1 << 16  # blocks that one resize may add (8 TiB at 128 MiB)

Choose = Callable[[FileStatus], Sequence[int]]


def add_block(
    draft: Draft,
    path: str,
    inode_id: int,
    commits: Sequence[CommitBlock],
    file_len: int,
    last_block_id: int | None,
    choose: Choose,
) -> tuple[Inode, Block]:
    """The block that follows the caller's last one, allocated unless it exists already.

    An existing one is how a retry, or a second writer of the file, gets the same answer; commits
    are not looked at then.
    """
    inode = draft.resolve_file(path, inode_id)
    following = _following(draft, inode, last_block_id)
    if following is not None:
        if following.copies == 0:
            following = _assigned(draft, following, choose(status_of(inode, path)))
        return inode, following
    workers = tuple(dict.fromkeys(choose(status_of(inode, path))))
    if not workers:
        raise Common(f"No available worker found for a block of {path}")
    inode = _committed(draft, inode, commits)
    inode = _measured(inode, path, file_len)
    if inode.next_seq > MAX_SEQUENCE:
        raise Common(f"{path} has used up its {MAX_SEQUENCE + 1} block ids")
    block = Block(RECORD_VERSION, block_id(inode.id, inode.next_seq), preassigned=workers)
    draft.put_block(block, None)
    inode = replace(
        inode,
        next_seq=inode.next_seq + 1,
        block_num=inode.block_num + 1,
        mtime=draft.now,
        ctime=draft.now,
    )
    draft.put(inode)
    draft.note(ChangeKind.ATTR, path, inode)
    return inode, block


def with_first_block(draft: Draft, path: str, inode: Inode, choose: Choose) -> Inode:
    """An empty file with a block to be written, if ``choose`` knows workers for it."""
    if inode.block_num or inode.len or inode.kind is not FileType.FILE or not inode.block_size:
        return inode
    workers = choose(status_of(inode, path))
    if not workers:
        return inode
    return add_block(draft, path, inode.id, (), 0, None, lambda _: workers)[0]


def complete(
    draft: Draft,
    path: str,
    inode_id: int,
    length: int,
    client_name: str,
    commits: Sequence[CommitBlock],
    only_flush: bool,
    set_attr: SetAttr | None,
    drop_unused: bool = False,
) -> Inode:
    """Commit blocks and length; unless it is a flush, the writer leaves. ``drop_unused``: the last
    writer of an empty file has not used the block that came with it."""
    inode = draft.resolve_file(path, inode_id)
    fetched = set_attr is not None and set_attr.ufs_mtime and not only_flush
    if fetched and inode.state is StorageState.CV and client_name not in inode.writers:
        raise Common(f"{path} has changed while its data were fetched")
    inode = _measured(_committed(draft, inode, commits), path, length)
    inode = replace(inode, mtime=draft.now, ctime=draft.now)
    if not only_flush:
        if client_name in inode.writers:
            left = tuple(name for name in inode.writers if name != client_name)
            inode = replace(inode, writers=left)
        if set_attr is not None:
            inode = with_attributes(inode, set_attr, draft.now)
        if drop_unused and not inode.len and not inode.writers:
            inode = _without_unused(draft, inode)
    draft.put(inode)
    draft.note(ChangeKind.ATTR, path, inode)
    return inode


def assign_worker(
    draft: Draft, path: str, block: int, workers: Sequence[int], exclude: Collection[int]
) -> tuple[Inode, Block]:
    """Workers for a block that has none yet; a block that has some keeps them.

    Recorded workers that never committed and that the caller excludes (they failed) are replaced.
    """
    inode = draft.view.resolve(path)
    if inode is None or inode.is_dir:
        raise Common(f"{path} is not a file")
    found = draft.block(block) if block_owner(block) == inode.id else None
    if found is None:
        raise Common(f"{path} has no block {block}")
    failed = bool(found.preassigned) and all(worker in exclude for worker in found.preassigned)
    if not found.locations and (failed or not found.preassigned):
        found = _assigned(draft, found, workers)
    return inode, found


def resize(draft: Draft, path: str, opts: AllocOpts, available: int | None) -> Inode:
    """Truncate or extend to ``opts.len``; new room is holes without workers.

    ``available``: free bytes of the cluster, None if not to be looked at.
    """
    if opts.off != 0 or opts.len < 0:
        raise Common(f"{path} can not be resized from {opts.off} to {opts.len} bytes")
    if opts.len > MAX_FILE_SIZE:
        raise InvalidFileSize(f"{path}: {opts.len} bytes are more than {MAX_FILE_SIZE}")
    if not opts.truncate and opts.mode & ~FALLOCATE_MODES:
        raise Common(f"{path}: allocation mode {opts.mode:#x} is not supported")
    inode = draft.view.resolve(path)
    if inode is None:
        raise Common(f"File {path} not found")
    if inode.is_dir:
        raise Common(f"{path} is a directory")
    growth = opts.len - inode.len
    if not opts.truncate and available is not None and growth * inode.replicas > available:
        raise DiskOutOfSpace(f"{path} can not grow by {growth} bytes, {available} are available")
    if growth == 0:
        return inode
    if inode.state is StorageState.UFS and inode.len and opts.len:
        # Without its data the rest of the file would read as zeros.
        raise Common(f"The data of {path} are only in the under storage, load it to resize it")
    inode = _grown(draft, inode, path, opts) if growth > 0 else _cut(draft, inode, opts)
    inode = replace(
        inode,
        len=opts.len,
        state=StorageState.CV,
        ufs_mtime=0,
        mtime=draft.now,
        ctime=draft.now,
    )
    draft.put(inode)
    draft.note(ChangeKind.ATTR, path, inode)
    return inode


def check_layout(path: str, inode: Inode, blocks: Sequence[Block]) -> None:
    """Common if a block before the last is not full: readers would look in the wrong place."""
    for block in blocks[:-1]:
        if block.len != inode.block_size:
            raise Common(
                f"Block {block.id} of {path} has {block.len} bytes instead of {inode.block_size}"
            )


def _following(draft: Draft, inode: Inode, last_block_id: int | None) -> Block | None:
    """The block after the caller's last; None when it is to be allocated."""
    if inode.block_num == 0:
        return None
    if last_block_id == block_id(inode.id, inode.next_seq - 1):
        return None  # the usual case: the caller knows the newest block
    blocks = draft.view.blocks(inode)
    if last_block_id is None:
        return blocks[0] if blocks else None
    for at, block in enumerate(blocks):
        if block.id == last_block_id:
            return blocks[at + 1] if at + 1 < len(blocks) else None
    return None


def _assigned(draft: Draft, block: Block, workers: Sequence[int]) -> Block:
    if not workers:
        raise Common(f"No available worker found for block {block.id}")
    assigned = replace(block, preassigned=tuple(dict.fromkeys(workers)))
    draft.put_block(assigned, block)
    return assigned


def _committed(draft: Draft, inode: Inode, commits: Sequence[CommitBlock]) -> Inode:
    """Apply commits: lengths grow, the reported replicas replace what was known.

    A replica that the writer did not name was not written by it and is stale. A commit without
    locations (a careless client) stands for the workers that the block was assigned to.
    """
    total = inode.block_bytes
    for commit in commits:
        block = draft.block(commit.block_id) if block_owner(commit.block_id) == inode.id else None
        if block is None:
            raise Common(f"Block {commit.block_id} is not a block of inode {inode.id}")
        locations = tuple(
            {where.worker_id: int(where.storage_type) for where in commit.locations}.items()
        )
        if not locations:
            locations = block.locations or tuple(
                (worker, int(inode.storage_type)) for worker in block.preassigned
            )
        done = Block(
            RECORD_VERSION, block.id, max(block.len, commit.block_len), None, (), locations
        )
        total += done.len - block.len
        draft.put_block(done, block)
    return inode if total == inode.block_bytes else replace(inode, block_bytes=total)


def _without_unused(draft: Draft, inode: Inode) -> Inode:
    """An empty file without the blocks that nobody has written to."""
    if not inode.block_num:
        return inode
    unused = draft.view.blocks(inode)
    if any(block.locations or block.len or block.alloc for block in unused):
        return inode
    for block in unused:
        draft.drop_block(block)
    return replace(inode, block_num=0)


def _measured(inode: Inode, path: str, file_len: int) -> Inode:
    """The inode with its length grown to ``file_len``; Common if the blocks do not add up."""
    length = max(inode.len, file_len)
    only_ufs = inode.len > 0 and (inode.block_num == 0 or inode.state is StorageState.UFS)
    if length != inode.block_bytes and not only_ufs:
        raise Common(
            f"{path}: a length of {length} bytes was reported,"
            f" but its blocks hold {inode.block_bytes}"
        )
    return inode if length == inode.len else replace(inode, len=length)


def _grown(draft: Draft, inode: Inode, path: str, opts: AllocOpts) -> Inode:
    size = inode.block_size
    if size <= 0:
        raise Common(f"{path} is not a file of blocks, it can not grow")
    missing = opts.len - inode.block_bytes
    blocks = draft.view.blocks(inode)
    if blocks and blocks[-1].len < size:
        last = blocks[-1]
        grown = min(size, last.len + missing)
        missing -= grown - last.len
        draft.put_block(
            # One that was never committed has no bytes: it reads as zeros by its alloc alone.
            replace(
                last,
                len=grown,
                alloc=_alloc(opts, grown) if last.alloc or not last.locations else None,
            ),
            last,
        )
    added = -(-missing // size)
    if added > MAX_HOLES or inode.next_seq + added > MAX_SEQUENCE + 1:
        raise InvalidFileSize(f"{path}: {opts.len} bytes are too many blocks of {size} bytes")
    for sequence in range(inode.next_seq, inode.next_seq + added):
        length = min(size, missing)
        missing -= length
        draft.put_block(
            Block(RECORD_VERSION, block_id(inode.id, sequence), length, _alloc(opts, length)), None
        )
    return replace(
        inode,
        next_seq=inode.next_seq + added,
        block_num=inode.block_num + added,
        block_bytes=opts.len,
    )


def _cut(draft: Draft, inode: Inode, opts: AllocOpts) -> Inode:
    end = kept = 0
    for block in draft.view.blocks(inode):
        start, end = end, end + block.len
        if start < opts.len and end <= opts.len:
            kept += 1
        elif start < opts.len:
            kept += 1
            rest = opts.len - start
            cut = replace(block, len=rest, alloc=_alloc(opts, rest), former=())
            draft.put_block(cut, block)
        else:
            draft.drop_block(block)
    return replace(inode, block_num=kept, block_bytes=min(opts.len, end))


def _alloc(opts: AllocOpts, length: int) -> tuple[bool, int, int, int]:
    return (opts.truncate, length, 0, opts.mode)
