# SPDX-License-Identifier: Apache-2.0
"""What dead clients leave behind: unfinished blocks that no session goes on with.

A writer that comes back does so within seconds, so after a long time nobody will. An unpublished
rewrite is given up; the published generation stays. A block that was never published may be all
there is of a file, so the master is asked: it orders those deleted whose file is gone (the report
of a block that is being written, data-plane specification 2.9). Times are monotonic seconds.
"""

from __future__ import annotations

from time import monotonic

from curvine.model.inode import StorageType
from curvine.worker.blockstore import BlockStore

Unfinished = tuple[int, int, StorageType]  # block id, length, medium


async def reclaim(store: BlockStore, idle: float) -> list[Unfinished]:
    """Give up what has been idle for so long; returns the blocks to ask the master about."""
    before = monotonic() - idle
    questions: list[Unfinished] = []
    for open_block in list(store.index.open.values()):
        busy = open_block.users or open_block.ended or open_block.lock.locked()
        if busy or open_block.idle_since > before:
            continue
        held = open_block.staging
        if held is not None and open_block.id not in store.index.published:
            questions.append((open_block.id, held.length(), held.dir.storage_type))
            open_block.idle_since = monotonic()  # ask again after as long
        else:
            await store.give_up(open_block)
    return questions
