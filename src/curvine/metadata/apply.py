# SPDX-License-Identifier: Apache-2.0
"""The one way a batch becomes state: for a live mutation, a replayed journal and a follower."""

from __future__ import annotations

from curvine.metadata.cache import CachedView
from curvine.metadata.keys import STATE_KEY, Table, entry_value
from curvine.metadata.records import Batch, encode

_META, _INODE, _ENTRY, _BLOCK = (
    int(Table.META),
    int(Table.INODE),
    int(Table.ENTRY),
    int(Table.BLOCK),
)


def rows_of(batch: Batch) -> list[tuple[int, bytes, bytes | None]]:
    """The batch as (table, key, value or None to delete), in the order to apply."""
    rows: list[tuple[int, bytes, bytes | None]] = [(_META, STATE_KEY, encode(batch.state))]
    add = rows.append
    for inode_id, inode in batch.inodes.items():
        key = inode_id.to_bytes(8, "big")
        add((_INODE, key, encode(inode) if inode is not None else None))
    for key, inode_id in batch.entries.items():
        add((_ENTRY, key, entry_value(inode_id) if inode_id else None))
    for block_id, block in batch.blocks.items():
        key = block_id.to_bytes(8, "big")
        add((_BLOCK, key, encode(block) if block is not None else None))
    rows += batch.rows
    return rows


def apply(view: CachedView, batch: Batch) -> None:
    """Write the batch to the log, then show it to readers. An error leaves both as they were."""
    view.store.commit(rows_of(batch))
    view.absorb(batch)
