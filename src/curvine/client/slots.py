# SPDX-License-Identifier: Apache-2.0
"""The blocks of a file that is being written: found, opened, finished, committed.

The file is a row of slots, each ``block_size`` long but the last. Rules kept (data-plane
specification 4.3, B.1):

- A block that is finished is committed with the next AddBlock or CompleteFile, and again until a
  CompleteFile has confirmed it: AddBlock drops commits when the block it is asked for exists.
- Only the last slot may be short. A write behind a short last slot first extends the file by
  ResizeFile, whose new blocks are holes.
- A block that a resize has marked (``alloc_opts``) is carried out and committed before anything is
  written to it. The mark would cut the block again whenever somebody opens it, with what was
  written since; so where there is a mark, nothing unpublished lies behind it.
- Nothing that may have been committed is ever cancelled.

Everything here is used under the lock of :class:`curvine.client.writer.FileWriter`. Sizes: bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from curvine.client.block_put import put_block
from curvine.client.block_sync import sync_blocks
from curvine.client.block_writer import BlockWriter
from curvine.client.local_file import Buffer, Data
from curvine.client.namespace import Namespace
from curvine.client.readback import ReadBack
from curvine.client.replacement import replace_lost
from curvine.client.slot import (
    Slot,
    as_known,
    assign,
    mark_leftovers,
    open_writer,
    published,
)
from curvine.client.streams import Streams
from curvine.errors import (
    AbnormalData,
    CurvineError,
    IoFailed,
)
from curvine.model.block import AllocOpts, CommitBlock, FileBlocks, LocatedBlock
from curvine.model.inode import FileStatus, SetAttr
from curvine.model.worker import WorkerAddress

_MAX_PENDING = 64  # commits carried along before a CompleteFile confirms them


class FileSlots:
    """See the module. ``length`` is the file's with what is being written."""

    def __init__(self, streams: Streams, ns: Namespace, file: FileBlocks) -> None:
        self._streams = streams
        self._ns = ns
        self._path = file.status.path
        self._inode_id = file.status.id
        self.size = file.status.block_size
        if self.size <= 0:
            raise AbnormalData(f"{self._path} has no block size")
        self._open: dict[int, BlockWriter] = {}  # slot index -> writer, oldest first
        self._published = ReadBack(streams)
        self._pending: dict[int, CommitBlock] = {}
        self._unsynced = {located.block.id for located in file.blocks}  # perhaps, by whomever
        self._handles = max(1, streams.conf.max_cache_block_handles)
        self._slots: list[Slot] = []
        self.failure: CurvineError | None = None
        self.length = 0
        self._adopt(file)
        streams.writing[self._inode_id] += 1

    @property
    def path(self) -> str:
        """Where the file was when the master last described it."""
        return self._path

    @property
    def status(self) -> FileStatus:
        """The file as the master last described it, with the length as it is here."""
        return msgspec.structs.replace(self._status, len=self.length)

    @property
    def unconfirmed(self) -> bool:
        """Whether there are open blocks, or commits that the master did not confirm."""
        return bool(self._open or self._pending)

    def opened(self, index: int) -> BlockWriter | None:
        """The writer of slot ``index`` if it is open."""
        return self._open.get(index)

    async def writer(self, index: int, inner: int) -> BlockWriter:
        """The writer of slot ``index``, opened so that a write at ``inner`` can follow."""
        writer = self._open.get(index)
        if writer is not None:
            return writer
        if index > len(self._slots) or (
            index == len(self._slots) and self._slots and self._slot_len(-1) < self.size
        ):
            await self.resize(index * self.size + inner)
        await self._make_room()
        if index == len(self._slots):
            await self._add_block()
        slot = self._slots[index]
        await self._published.forget(index)
        if not slot.located.locs:
            slot.located = await assign(self._ns, self._path, slot.located.block)
        writer = self._open[index] = await self._open_writer(index, inner)
        if slot.located.block.alloc_opts is not None:
            await self.publish(sync=False)
            writer = self._open[index] = await self._open_writer(index, inner)
        return writer

    async def _open_writer(self, index: int, inner: int) -> BlockWriter:
        slot, replicas = self._slots[index], self._status.replicas
        where = self._streams, self._ns, self._path
        return await open_writer(*where, slot, inner, self.size, replicas=replicas)

    async def repair(self, index: int, writer: BlockWriter) -> None:
        """Replace what ``writer`` has lost: its block is published, copied, and opened again by the
        next write. Not with a real master, which knows no replacement."""
        if self._open.get(index) is writer and self._streams.forgets_stale and not self.failure:
            await self.finish([index], sync=False)

    async def put(self, data: Buffer, sync: bool) -> bool:
        """Write the whole of an empty file in one round trip to its workers; False: not possible
        this way (nothing has happened that stands in another one's way)."""
        if self.length or self._open or self._pending or len(self._slots) > 1:
            return False
        if any(slot.leftover for slot in self._slots):
            return False
        if not self._slots:
            await self._add_block()
        slot = self._slots[0]
        if not slot.located.locs or slot.located.block.alloc_opts is not None:
            return False
        written = await put_block(self._streams, slot.located, data, capacity=self.size, sync=sync)
        if written is None:
            slot.leftover = True
            return False
        commit, workers = written
        await self._finished(slot, commit, workers, sync)
        self.length = commit.block_len
        return True

    async def resume(self, length: int) -> bool:
        """Go on with what a writer that died has handed to the workers and never published.

        All its bytes that were answered lie below ``length``; what the workers hold behind it was
        not, and is cut off. Whether there may have been any.
        """
        found = False
        length = min(length, len(self._slots) * self.size)  # every byte had its block before
        blocks = -(-length // self.size)
        mark_leftovers(self._slots[blocks:])
        for index in range(blocks):
            slot = self._slots[index]
            if slot.located.block.alloc_opts is not None:
                continue  # a hole, or a resize that was not carried out: see the module
            if not slot.located.locs:  # never committed: the workers that it was given once
                slot.located = await assign(self._ns, self._path, slot.located.block)
            end = max(min(length - index * self.size, self.size), slot.length)
            await self._make_room()
            await self._published.forget(index)
            self._open[index] = await BlockWriter.open_patiently(
                self._streams, as_known(slot), offset=end, capacity=self.size, resume=True
            )
            self.length = max(self.length, index * self.size + end)
            found = True
        return found

    async def publish(self, sync: bool) -> None:
        """Make everything visible to others; with ``sync`` also durable."""
        await self.finish(None, sync)
        if sync:
            await self._sync_published()
        await self.complete(only_flush=True, sync=sync)

    async def _sync_published(self) -> None:
        """What was published without sync, here or by an earlier writer, becomes durable."""
        await sync_blocks(self._streams, published(self._slots, self._unsynced), self.size)
        self._unsynced.clear()

    def leave(self) -> None:
        """The file is not written here any more."""
        writing = self._streams.writing
        writing[self._inode_id] -= 1
        if writing[self._inode_id] <= 0:
            del writing[self._inode_id]

    def _is_alone(self) -> bool:
        return self._streams.writing[self._inode_id] == 1

    async def give_up(self) -> None:
        """Throw away what was not published."""
        writers, self._open = self._open, {}
        for writer in writers.values():
            await writer.abort()

    async def close_readers(self) -> None:
        """Release what was opened for reading back."""
        await self._published.close()

    async def abandon(self) -> None:
        """Give the file's place on the master up with what it knows already."""
        known = sum(slot.length for slot in self._slots if slot.reported)
        await self._ns.complete_file(
            self._path,
            inode_id=self._inode_id,
            length=known,
            commits=list(self._pending.values()),
            only_flush=False,
            drop_unused=not known and self._is_alone(),
        )

    async def _make_room(self) -> None:
        """Finish the oldest open block where there are many."""
        if len(self._open) >= self._handles:
            await self.finish([next(iter(self._open))], sync=False)

    async def _add_block(self) -> None:
        """Get a block for a new last slot. The slots before are full, and finished first."""
        last = len(self._slots) - 1
        if last in self._open:
            await self.finish([last], sync=False)
        if self._slots and self._slots[-1].length < self.size:
            raise IoFailed(f"{self._path}: the write before this one has failed")
        if len(self._pending) >= _MAX_PENDING:
            await self.publish(sync=False)
        suspects = self._streams.health.suspects()
        try:
            located = await self._ask_block(suspects)
        except CurvineError:
            if not suspects:
                raise
            located = await self._ask_block(())  # there may be no others
        if self._slots and located.block.id <= self._slots[-1].located.block.id:
            raise AbnormalData(f"{self._path}: the master's block ids do not ascend")
        self._slots.append(Slot(located, located.block.len, False))

    async def _ask_block(self, exclude: Sequence[int]) -> LocatedBlock:
        return await self._ns.add_block(
            self._path,
            inode_id=self._inode_id,
            commits=list(self._pending.values()),
            file_len=sum(slot.length for slot in self._slots),
            last_block=as_known(self._slots[-1]).block if self._slots else None,
            exclude=exclude,
        )

    def _slot_len(self, index: int) -> int:
        """Length of a slot with what its open writer is adding."""
        index %= len(self._slots)
        writer = self._open.get(index)
        return max(self._slots[index].length, writer.reach if writer else 0)

    async def finish(self, indexes: Sequence[int] | None, sync: bool) -> None:
        """Complete these slots' blocks (None: all) on their workers; commits wait in _pending."""
        indexes = list(self._open) if indexes is None else indexes
        writers = [(index, self._open.pop(index)) for index in indexes]
        results = await asyncio.gather(
            *(writer.finish(sync) for _, writer in writers), return_exceptions=True
        )
        failure: BaseException | None = None
        for (index, writer), result in zip(writers, results, strict=True):
            if isinstance(result, BaseException):
                failure = failure or result
                continue
            await self._finished(self._slots[index], result, writer.workers, sync)
            await self._published.forget(index)
        if failure is not None:
            self.failure = failure if isinstance(failure, CurvineError) else self.failure
            raise failure

    async def _finished(
        self, slot: Slot, commit: CommitBlock, workers: tuple[WorkerAddress, ...], sync: bool
    ) -> None:
        """Workers have published the slot's block; those that were lost are replaced."""
        # A worker that is avoided because it failed once may have cost the block a replica, too.
        doubtful = self._streams.health.doubtful
        wanted = max(len(slot.located.locs), self._status.replicas if doubtful else 0)
        if len(workers) < wanted:
            commit, workers = await replace_lost(
                self._streams, self._ns, slot.located, commit, workers, wanted - len(workers),
                capacity=self.size, sync=sync,
            )  # fmt: skip
        block = msgspec.structs.replace(slot.located.block, len=commit.block_len, alloc_opts=None)
        slot.located = LocatedBlock(block, workers, has_spdk=slot.located.has_spdk)
        slot.length = commit.block_len
        self._pending[commit.block_id] = commit
        if sync:
            self._unsynced.discard(commit.block_id)
        else:
            self._unsynced.add(commit.block_id)

    async def complete(
        self, *, only_flush: bool, sync: bool, set_attr: SetAttr | None = None
    ) -> None:
        """CompleteFile with every commit that is not confirmed yet."""
        file = await self._ns.complete_file(
            self._path,
            inode_id=self._inode_id,
            length=self.length,
            commits=list(self._pending.values()),
            only_flush=only_flush,
            set_attr=set_attr,
            sync=sync,
            drop_unused=not only_flush and not self.length and self._is_alone(),
        )
        self._pending.clear()
        for slot in self._slots:
            slot.reported = True
        if file is not None:
            self._adopt(file)

    def _adopt(self, file: FileBlocks) -> None:
        """Take the master's list of blocks."""
        self._status = file.status
        self._path = file.status.path or self._path
        self._slots = [Slot(located, located.block.len, True) for located in file.blocks]
        self.length = file.status.len

    async def resize(self, length: int) -> None:
        """Set the file's length on the master and of its blocks on their workers."""
        if self._open or self._pending:
            await self.publish(sync=False)
        await self._published.close()
        file = await self._ns.resize(self._path, AllocOpts(truncate=True, len=length))
        cut = await apply_allocations(self._streams, file)
        self._unsynced.update(
            located.block.id for located in file.blocks if located.block.alloc_opts is not None
        )
        self._adopt(file)
        if cut:  # some replicas are away: they must not count any more
            self._pending.update((commit.block_id, commit) for commit in cut)
            await self.complete(only_flush=True, sync=False)
        if self.length != length:
            raise IoFailed(f"{self._path} has {self.length} bytes after a resize to {length}")

    async def read(self, index: int, inner: int, size: int) -> Data:
        """``size`` bytes of a slot, unpublished ones included."""
        if index >= len(self._slots):
            return bytes(size)
        writer = self._open.get(index)
        if writer is not None:
            data = await writer.read(inner, size)
            if data is not None:
                return data
            await self.finish([index], sync=False)  # workers serve published blocks only
        return await self._published.read(index, as_known(self._slots[index]), inner, size)


async def apply_allocations(streams: Streams, file: FileBlocks) -> list[CommitBlock]:
    """Resize the stored blocks that the master's answer to ResizeFile marks.

    Open with the mark, then Complete with the block's length. Every replica has to follow, or it
    would show old bytes once the file grows again. Commits are returned where one did not: a master
    of ours drops it when it is told.
    """
    short: list[CommitBlock] = []
    for located in file.blocks:
        block = located.block
        if block.alloc_opts is None or not located.locs:
            continue
        writer = await BlockWriter.open_patiently(
            streams, located, offset=0, capacity=file.status.block_size
        )
        if len(writer.workers) != len(located.locs) and not streams.forgets_stale:
            await writer.abort()
            raise IoFailed(f"{file.status.path}: not every replica of block {block.id} is there")
        writer.length = block.alloc_opts.len
        commit = await writer.finish()
        if len(commit.locations) != len(located.locs):
            short.append(commit)
    return short
