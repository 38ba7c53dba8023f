# SPDX-License-Identifier: Apache-2.0
"""Blocks that wait for something to happen, and are looked at when it does.

They are in the queue as well, to be looked at after a while whatever happens; so what is forgotten
here for want of room only takes longer.
"""

from __future__ import annotations

from collections.abc import Collection

from curvine.model.block import block_owner

MAX_WAITING = 100_000


class CopyWaits:
    """Blocks by what they wait for."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._no_worker: set[int] = set()
        self._written: dict[int, set[int]] = {}  # by the file that is being written

    def for_a_worker(self, block_id: int) -> None:
        """Nobody can give the block, or take it."""
        if len(self._no_worker) < self._limit:
            self._no_worker.add(block_id)

    def for_the_writer(self, block_id: int) -> None:
        """Somebody has its file open."""
        owner = block_owner(block_id)
        if owner in self._written or len(self._written) < self._limit:
            self._written.setdefault(owner, set()).add(block_id)

    def worker_came(self) -> Collection[int]:
        """Take those that a worker may help."""
        waiting, self._no_worker = self._no_worker, set()
        return waiting

    def closed(self, inode_id: int) -> Collection[int]:
        """Take those of a file that nobody writes any more."""
        return self._written.pop(inode_id, ())
