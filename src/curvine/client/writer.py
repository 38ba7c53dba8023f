# SPDX-License-Identifier: Apache-2.0
"""Writing a file made of blocks: anywhere in it, appending, truncating, reading back.

The file is a row of slots, each ``block_size`` long but the last. A write opens its slot's block
for writing (asking for workers where the slot is a hole) and goes to the workers at once, so bytes
are outside this process when ``write`` returns. ``flush`` publishes: every open block is completed
on its workers, then the master is told (commit). Rules kept (data-plane specification 4.3, B.1):

- A block that is finished is committed with the next AddBlock or CompleteFile, and again until a
  CompleteFile has confirmed it: AddBlock drops commits when the block it is asked for exists.
- Only the last slot may be short. A write behind a short last slot first extends the file by
  ResizeFile, whose new blocks are holes.
- Nothing that may have been committed is ever cancelled.

Concurrency: ``_lock`` guards ``_slots``, ``_open``, ``_pending`` and ``length``; a write holds it
only while it finds and opens its block, so data move side by side. Times and sizes: ms, bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from curvine.client.block_writer import BlockWriter
from curvine.client.local_file import Buffer, Data
from curvine.client.namespace import Namespace
from curvine.client.readback import ReadBack
from curvine.client.streams import Streams
from curvine.errors import (
    AbnormalData,
    CurvineError,
    InvalidArgument,
    IoFailed,
    NoAvailableWorker,
)
from curvine.model.block import AllocOpts, CommitBlock, ExtendedBlock, FileBlocks, LocatedBlock
from curvine.model.inode import FileStatus, SetAttr

_MAX_PENDING = 64  # commits carried along before a CompleteFile confirms them
_REPLACEMENTS = 2  # attempts to get other workers for a block that none took


class Slot(msgspec.Struct):
    """A block's place in the file. ``reported``: the master knows the block with this length."""

    located: LocatedBlock
    length: int
    reported: bool


class FileWriter:
    """A file open for writing."""

    def __init__(self, streams: Streams, ns: Namespace, file: FileBlocks) -> None:
        self._streams = streams
        self._ns = ns
        self._path = file.status.path
        self._inode_id = file.status.id
        self._size = file.status.block_size
        if self._size <= 0:
            raise AbnormalData(f"{self._path} has no block size")
        self._lock = asyncio.Lock()
        self._open: dict[int, BlockWriter] = {}  # slot index -> writer, oldest first
        self._published = ReadBack(streams)
        self._pending: dict[int, CommitBlock] = {}
        self._failure: CurvineError | None = None
        self._closed = False
        self._handles = max(1, streams.conf.max_cache_block_handles)
        self.dirty = False
        self._slots: list[Slot] = []
        self.length = 0
        self._adopt(file)

    @property
    def status(self) -> FileStatus:
        """The file as the master last described it, with the length as it is here."""
        return msgspec.structs.replace(self._status, len=self.length)

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        if offset < 0:
            raise InvalidArgument("writes begin at 0 or later")
        start = 0
        while start < len(view):
            index, inner = divmod(offset + start, self._size)
            piece = view[start : start + self._size - inner]
            async with self._lock:
                self._check()
                writer = await self._writer(index, inner)
                self.dirty = True
                writer.begin(inner, len(piece))
            try:
                await writer.write(inner, piece)
            except CurvineError:
                self._failure = self._failure or writer.failure
                raise
            self.length = max(self.length, offset + start + len(piece))
            start += len(piece)

    async def read(self, offset: int, length: int) -> Data:
        """Up to ``length`` bytes, unpublished ones included."""
        parts: list[Data] = []
        async with self._lock:
            self._check()
            end = min(offset + length, self.length)
            while offset < end:
                index, inner = divmod(offset, self._size)
                size = min(self._size - inner, end - offset)
                parts.append(await self._read_slot(index, inner, size))
                offset += size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def truncate(self, length: int) -> None:
        """Set the length; bytes that appear are zeros."""
        async with self._lock:
            self._check()
            if length != self.length:
                await self._resize(length)

    async def recover(self, length: int) -> None:
        """Take over what an earlier writer handed to the workers and never published.

        That writer was killed; its answered bytes lie in the blocks' staging files, and the file
        is at least ``length`` long. Opening a block resumes its staging file.
        """
        async with self._lock:
            self._check()
            length = min(length, len(self._slots) * self._size)  # every byte had its block before
            for index in range(-(-length // self._size)):
                end = max(min(length - index * self._size, self._size), self._slots[index].length)
                writer = await self._writer(index, end)
                writer.begin(end, 0)
                await writer.write(end, b"")
            self.length = max(self.length, length)
            self.dirty = True

    async def flush(self, sync: bool = False) -> None:
        """Make everything visible to others; with ``sync`` also durable."""
        async with self._lock:
            self._check()
            if self.dirty or self._open or self._pending or sync:
                await self._publish(sync)

    async def close(self, set_attr: SetAttr | None = None) -> None:
        """Publish, finish, and apply ``set_attr`` last. A second call does nothing."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            await self._published.close()
            if self._failure is not None:
                await self._give_up()
                raise self._failure
            await self._finish(list(self._open), sync=False)
            await self._complete(only_flush=False, sync=False, set_attr=set_attr)
            self.dirty = False

    async def abort(self) -> None:
        """Give up what was not published, and the writer's place on the master."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            await self._published.close()
            await self._give_up()
            known = sum(slot.length for slot in self._slots if slot.reported)
            await self._ns.complete_file(
                self._path,
                inode_id=self._inode_id,
                length=known,
                commits=list(self._pending.values()),
                only_flush=False,
            )

    async def _give_up(self) -> None:
        writers, self._open = self._open, {}
        for writer in writers.values():
            await writer.abort()

    # --- slots (the lock is held) ---------------------------------------------------------------

    async def _writer(self, index: int, inner: int) -> BlockWriter:
        """The writer of slot ``index``, opened so that a write at ``inner`` can follow."""
        writer = self._open.get(index)
        if writer is not None:
            return writer
        if index > len(self._slots) or (
            index == len(self._slots) and self._slots and self._slot_len(-1) < self._size
        ):
            await self._resize(index * self._size + inner)
        if len(self._open) >= self._handles:
            await self._finish([next(iter(self._open))], sync=False)
        if index == len(self._slots):
            await self._add_block()
        slot = self._slots[index]
        await self._published.forget(index)
        if not slot.located.locs:
            slot.located = await self._assign(slot.located.block)
        writer = await self._open_writer(slot, inner)
        self._open[index] = writer
        return writer

    async def _open_writer(self, slot: Slot, inner: int) -> BlockWriter:
        """Open the slot's block; a block without data moves to other workers if none takes it."""
        exclude: list[int] = []
        while True:
            located = _as_known(slot)
            try:
                return await BlockWriter.open(
                    self._streams, located, offset=inner, capacity=self._size
                )
            except CurvineError:
                exclude += [worker.worker_id for worker in located.locs]
                has_data = slot.length and located.block.alloc_opts is None
                if has_data or len(exclude) > _REPLACEMENTS * max(1, len(located.locs)):
                    raise
            slot.located = await self._assign(slot.located.block, exclude)

    async def _assign(self, block: ExtendedBlock, exclude: Sequence[int] = ()) -> LocatedBlock:
        answer = await self._ns.assign_worker(self._path, block, exclude=exclude)
        if not answer.locs:
            raise NoAvailableWorker(f"{self._path}: no worker for block {block.id}")
        return LocatedBlock(block, answer.locs, has_spdk=answer.has_spdk)

    async def _add_block(self) -> None:
        """Get a block for a new last slot. The slots before are full, and finished first."""
        last = len(self._slots) - 1
        if last in self._open:
            await self._finish([last], sync=False)
        if self._slots and self._slots[-1].length < self._size:
            raise IoFailed(f"{self._path}: the write before this one has failed")
        if len(self._pending) >= _MAX_PENDING:
            await self._publish(sync=False)
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
            last_block=_as_known(self._slots[-1]).block if self._slots else None,
            exclude=exclude,
        )

    def _slot_len(self, index: int) -> int:
        """Length of a slot with what its open writer is adding."""
        index %= len(self._slots)
        writer = self._open.get(index)
        return max(self._slots[index].length, writer.reach if writer else 0)

    async def _finish(self, indexes: Sequence[int], sync: bool) -> None:
        """Complete the blocks of these slots on their workers; the commits wait in _pending."""
        writers = [(index, self._open.pop(index)) for index in indexes]
        results = await asyncio.gather(
            *(writer.finish(sync) for _, writer in writers), return_exceptions=True
        )
        failure: BaseException | None = None
        for (index, writer), result in zip(writers, results, strict=True):
            if isinstance(result, BaseException):
                failure = failure or result
                continue
            slot = self._slots[index]
            block = msgspec.structs.replace(
                slot.located.block, len=result.block_len, alloc_opts=None
            )
            slot.located = LocatedBlock(block, writer.workers, has_spdk=slot.located.has_spdk)
            slot.length = result.block_len
            self._pending[result.block_id] = result
            await self._published.forget(index)
        if failure is not None:
            if isinstance(failure, CurvineError):
                self._failure = failure
            raise failure

    async def _publish(self, sync: bool) -> None:
        await self._finish(list(self._open), sync)
        await self._complete(only_flush=True, sync=sync)
        self.dirty = False

    async def _complete(
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

    # --- resizing (the lock is held) ------------------------------------------------------------

    async def _resize(self, length: int) -> None:
        """Set the file's length on the master and of its blocks on their workers."""
        if self._open or self._pending:
            await self._publish(sync=False)
        await self._published.close()
        file = await self._ns.resize(self._path, AllocOpts(truncate=True, len=length))
        await apply_allocations(self._streams, file)
        self._adopt(file)
        if self.length != length:
            raise IoFailed(f"{self._path} has {self.length} bytes after a resize to {length}")
        self.dirty = False

    # --- reading back (the lock is held) --------------------------------------------------------

    async def _read_slot(self, index: int, inner: int, size: int) -> Data:
        if index >= len(self._slots):
            return bytes(size)
        writer = self._open.get(index)
        if writer is not None:
            data = await writer.read(inner, size)
            if data is not None:
                return data
            await self._finish([index], sync=False)  # workers serve published blocks only
        return await self._published.read(index, _as_known(self._slots[index]), inner, size)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise IoFailed(f"{self._path} is closed")


def _as_known(slot: Slot) -> LocatedBlock:
    """The slot's block with the length that its workers have published."""
    block = slot.located.block
    if block.len == slot.length:
        return slot.located
    return LocatedBlock(
        msgspec.structs.replace(block, len=slot.length), slot.located.locs,
        has_spdk=slot.located.has_spdk,
    )  # fmt: skip


async def apply_allocations(streams: Streams, file: FileBlocks) -> None:
    """Resize the stored blocks that the master's answer to ResizeFile marks.

    Open with the mark, then Complete with the block's length; every replica has to follow, or it
    would show old bytes once the file grows again.
    """
    for located in file.blocks:
        block = located.block
        if block.alloc_opts is None or not located.locs:
            continue
        writer = await BlockWriter.open(streams, located, offset=0, capacity=file.status.block_size)
        if len(writer.workers) != len(located.locs):
            await writer.abort()
            raise IoFailed(f"{file.status.path}: not every replica of block {block.id} is there")
        writer.length = block.alloc_opts.len
        await writer.finish()
