# SPDX-License-Identifier: Apache-2.0
"""Which worker holds what: reports, lost workers, deletions to confirm (6.2 to 6.7).

Locations are part of the block records and indexed by worker; both are durable, because workers
report in full only when they start. A deletion stays pending until its worker confirms it, across
restarts of the master.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from curvine.errors import BlockNotFound
from curvine.metadata.answers import StoredFile
from curvine.metadata.core import Op
from curvine.metadata.draft import Draft
from curvine.metadata.keys import Table, worker_block_key, worker_key_block, worker_range
from curvine.metadata.mutations import Mutations
from curvine.metadata.records import Block, Inode, stored_block
from curvine.metadata.rules import blocks, exports
from curvine.metadata.values import ChangeKind, LostBlocks, StoredBlock
from curvine.model.block import AllocOpts, block_owner
from curvine.model.inode import StorageState, StorageType, TtlAction

_SWEEP_STEP = 100  # blocks of a worker looked at in one batch

Reported = tuple[int, int, StorageType]  # block id, length, medium


class BlockTable(Mutations):
    """Block locations by worker, and the length of files."""

    def resize(
        self, path: str, opts: AllocOpts, *, available: int | None = None, req_id: int = 0
    ) -> StoredFile:
        """Truncate or extend; ``available`` is the cluster's free space in bytes."""
        if seen := self._replayed(Op.RESIZE, req_id):
            return self._file(path, self._seen_inode(path, seen))

        def rule(draft: Draft) -> Inode:
            inode = blocks.resize(draft, path, opts, available)
            if not inode.writers and not draft.is_empty:
                exports.content_changed(draft, inode)
            draft.subject = inode.id
            return inode

        return self._file(path, self._mutate(Op.RESIZE, req_id, rule))

    def assign_worker(
        self,
        path: str,
        block_id: int,
        workers: Sequence[int],
        *,
        exclude: Collection[int] = (),
        req_id: int = 0,
    ) -> StoredBlock:
        """Record ``workers`` for a block that has none (or only failed ones, ``exclude``)."""
        inode, block = self._mutate(
            Op.ASSIGN_WORKER,
            req_id,
            lambda draft: blocks.assign_worker(draft, path, block_id, workers, exclude),
        )
        return stored_block(inode, block)

    def block_report(
        self,
        worker_id: int,
        added: Sequence[Reported] = (),
        removed: Sequence[int] = (),
        *,
        full: bool = False,
        taken_back: list[int] | None = None,
    ) -> tuple[int, ...]:
        """Take in a report; the result is what the worker should delete.

        ``added`` are finalised or staged blocks, ``removed`` confirmed deletions. A block that no
        file has any more, or whose deletion is pending, gets no location. ``full`` marks a batch of
        a full report, see :meth:`full_report_finish`. ``taken_back`` gets the blocks whose replicas
        on this worker had been given up when it was lost, and count again.
        """
        if full:
            self.full_report_begin(worker_id)
        draft = self._draft()
        orphans = []
        for block_id, _, storage_type in added:
            if not self._take_replica(
                draft, worker_id, block_id, storage_type, taken_back=taken_back
            ):
                orphans.append(block_id)
        for block_id in removed:
            if block_id < 0:
                continue
            draft.row(Table.PENDING, worker_block_key(worker_id, block_id), None)
            block = draft.block(block_id)
            if block is None:
                draft.row(Table.WORKER_BLOCK, worker_block_key(worker_id, block_id), None)
            elif any(worker == worker_id for worker, _ in block.locations):
                self._lose(draft, block, worker_id)
        self._commit(draft)
        return tuple(orphans)

    def full_report_begin(self, worker_id: int) -> None:
        """From now on, blocks that clients commit to this worker are not held against its report.

        Call it when the worker starts; repeated calls within one report change nothing.
        """
        self._reports.setdefault(worker_id, set())

    def full_report_finish(self, worker_id: int, ids: Collection[int]) -> LostBlocks:
        """The report named ``ids`` and nothing else: all other locations of the worker go."""
        return _total(self.full_report_steps(worker_id, ids))

    def full_report_steps(self, worker_id: int, ids: Collection[int]) -> Iterator[LostBlocks]:
        """The same in bounded steps, so that the caller can serve others in between."""
        known = ids if isinstance(ids, (set, frozenset)) else frozenset(ids)
        try:
            yield from self._sweep(worker_id, known)
        finally:
            self._reports.pop(worker_id, None)

    def drop_worker(self, worker_id: int, *, forget: bool = False) -> LostBlocks:
        """The worker is lost: all its locations go.

        Its pending deletions stay, for it may come back, and its replicas are remembered as long as
        the blocks are not written again; ``forget`` drops the deletions as well.
        """
        lost = _total(self.drop_worker_steps(worker_id))
        if forget:
            self._store.drop_range(Table.PENDING, *worker_range(worker_id))
        return lost

    def drop_worker_steps(self, worker_id: int) -> Iterator[LostBlocks]:
        """The same in bounded steps."""
        self._reports.pop(worker_id, None)
        yield from self._sweep(worker_id, frozenset(), may_return=True)

    def add_replica(
        self, block_id: int, worker_id: int, storage_type: StorageType, length: int | None = None
    ) -> None:
        """A copy made by replication is complete. BlockNotFound if no file has the block, or not
        with ``length`` bytes any more."""
        draft = self._draft()
        block = draft.block(block_id)
        if block is None or (length is not None and block.len != length):
            raise BlockNotFound(f"Block {block_id} not found")
        if not self._take_replica(draft, worker_id, block_id, storage_type, invited=True):
            raise BlockNotFound(f"Block {block_id} is to be deleted on worker {worker_id}")
        self._commit(draft)

    def drop_replica(self, block_id: int, worker_id: int) -> None:
        """Give up one replica (it is damaged, or one too many); its worker is told to delete it."""
        draft = self._draft()
        block = draft.block(block_id)
        if block is not None and any(worker == worker_id for worker, _ in block.locations):
            self._lose(draft, block, worker_id)
            draft.row(Table.PENDING, worker_block_key(worker_id, block_id), b"")
            self._commit(draft)

    def missing_replica(self, block_id: int, worker_id: int) -> None:
        """The worker says that it does not have the replica that is recorded."""
        draft = self._draft()
        block = draft.block(block_id)
        if block is not None and any(worker == worker_id for worker, _ in block.locations):
            self._lose(draft, block, worker_id)
            self._commit(draft)

    def worker_blocks(self, worker_id: int, after: int = -1) -> Iterator[int]:
        """Ids of the blocks that a worker holds, ascending, from behind ``after``."""
        first, end = worker_range(worker_id)
        if after >= 0:
            first = worker_block_key(worker_id, after + 1)
        for key, _ in self._store.scan(Table.WORKER_BLOCK, first, end):
            yield worker_key_block(key)

    # -- deletions -----------------------------------------------------------------------------

    def pending_deletes(self, worker_id: int, limit: int = 10_000) -> tuple[int, ...]:
        """Blocks that the worker is to delete and has not confirmed, at most ``limit``."""
        rows = self._store.scan(Table.PENDING, *worker_range(worker_id))
        return tuple(worker_key_block(key) for key, _ in islice(rows, limit))

    def confirm_deleted(self, worker_id: int, ids: Sequence[int]) -> None:
        """The worker has deleted these, or never had them."""
        self.block_report(worker_id, (), ids)

    # -- parts ---------------------------------------------------------------------------------

    def _draft(self) -> Draft:
        return Draft(self._view, self._clock.now_ms())

    def _take_replica(
        self,
        draft: Draft,
        worker_id: int,
        block_id: int,
        storage_type: StorageType,
        *,
        invited: bool = False,
        taken_back: list[int] | None = None,
    ) -> bool:
        """Record a replica; False if the worker should delete it instead.

        Of a block that has replicas elsewhere, nobody may bring another one that was not
        ``invited`` and is not remembered: it can be older than they are.
        """
        block = draft.block(block_id)
        if block is None:
            return False
        if self._store.get(Table.PENDING, worker_block_key(worker_id, block_id)) is not None:
            return False
        where = (worker_id, int(storage_type))
        if where in block.locations:
            return True
        others = tuple(known for known in block.locations if known[0] != worker_id)
        known_here = len(others) < len(block.locations) or worker_id in block.former
        if others and not invited and not known_here:
            return False
        former = tuple(known for known in block.former if known != worker_id)
        if taken_back is not None and len(former) < len(block.former):
            taken_back.append(block_id)
        draft.put_block(replace(block, locations=(*others, where), former=former), block)
        return True

    def _sweep(
        self, worker_id: int, keep: Collection[int], *, may_return: bool = False
    ) -> Iterator[LostBlocks]:
        ids = self.worker_blocks(worker_id)
        while chunk := list(islice(ids, _SWEEP_STEP)):
            fresh = self._reports.get(worker_id, ())
            draft = self._draft()
            under: list[int] = []
            lost: list[int] = []
            detached: list[int] = []
            for block_id in chunk:
                if block_id in keep or block_id in fresh:
                    continue
                block = draft.block(block_id)
                if block is None:
                    draft.row(Table.WORKER_BLOCK, worker_block_key(worker_id, block_id), None)
                    continue
                left, inode, gone = self._lose(draft, block, worker_id, may_return)
                if not left.locations:
                    lost.append(block_id)
                elif inode is not None and len(left.locations) < inode.replicas:
                    under.append(block_id)
                if gone and inode is not None:
                    detached.append(inode.id)
            self._commit(draft)
            yield LostBlocks(tuple(under), tuple(lost), tuple(detached))

    def _lose(
        self, draft: Draft, block: Block, worker_id: int, may_return: bool = False
    ) -> tuple[Block, Inode | None, bool]:
        """One replica is gone: (what is left, its file, whether that fell back to the UFS)."""
        left = draft.lose_replica(block, worker_id, may_return=may_return)
        inode = draft.inode(block_owner(block.id))
        if (
            left.locations
            or inode is None
            or inode.state is not StorageState.BOTH
            or inode.ttl_action is not TtlAction.DELETE
        ):
            return left, inode, False
        fallen = replace(inode, state=StorageState.UFS)
        draft.put(fallen)
        path = self.path_of(inode.id)
        if path is not None:
            draft.note(ChangeKind.ATTR, path, fallen)
        return left, fallen, True


def _total(steps: Iterator[LostBlocks]) -> LostBlocks:
    under: list[int] = []
    lost: list[int] = []
    detached: list[int] = []
    for step in steps:
        under += step.under_replicated
        lost += step.lost
        detached += step.detached
    return LostBlocks(tuple(under), tuple(lost), tuple(detached))
