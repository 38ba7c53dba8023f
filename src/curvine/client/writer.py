# SPDX-License-Identifier: Apache-2.0
"""Writing a file made of blocks: anywhere in it, appending, truncating, reading back.

A write opens the block of its slot for writing (asking for workers where the slot is a hole) and
goes to the workers at once, so bytes are outside this process when ``write`` returns. ``flush``
publishes: every open block is completed on its workers, then the master is told (commit).
:mod:`curvine.client.slots` keeps the blocks. Source: data-plane specification 4.3.

Concurrency: ``_lock`` guards ``_slots``; a write holds it only while it finds and opens its block,
so data move side by side. Times and sizes: ms, bytes.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from curvine.client.block_put import PUT_LIMIT
from curvine.client.local_file import Buffer, Data
from curvine.client.namespace import Namespace
from curvine.client.slots import FileSlots
from curvine.client.streams import Streams
from curvine.errors import CurvineError, InvalidArgument, IoFailed
from curvine.model.block import FileBlocks
from curvine.model.inode import FileStatus, SetAttr


class FileWriter:
    """A file open for writing. ``dirty``: something is not published yet."""

    def __init__(self, streams: Streams, ns: Namespace, file: FileBlocks) -> None:
        self._slots = FileSlots(streams, ns, file)
        self._stats = streams.stats
        self._lock = asyncio.Lock()
        self._closed = False
        self.dirty = False

    @property
    def length(self) -> int:
        """The file's length with what was written here."""
        return self._slots.length

    @property
    def status(self) -> FileStatus:
        """The file as the master last described it, with the length as it is here."""
        return self._slots.status

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        if offset < 0:
            raise InvalidArgument("writes begin at 0 or later")
        slots = self._slots
        started = perf_counter()
        if self._write_now(offset, view):
            self._stats.wrote(len(view), started)
            return
        start = 0
        while start < len(view):
            index, inner = divmod(offset + start, slots.size)
            piece = view[start : start + slots.size - inner]
            async with self._lock:
                self._check()
                writer = await slots.writer(index, inner)
                self.dirty = True
                writer.begin(inner, len(piece))
            try:
                await writer.write(inner, piece)
            except CurvineError:
                slots.failure = slots.failure or writer.failure
                raise
            slots.length = max(slots.length, offset + start + len(piece))
            if writer.lost:
                async with self._lock:
                    await slots.repair(index, writer)
            start += len(piece)
        self._stats.wrote(len(view), started)

    def _write_now(self, offset: int, data: memoryview) -> bool:
        """Write into an open block of this node, if nobody has to be waited for."""
        slots = self._slots
        if self._lock.locked() or self._closed or slots.failure is not None:
            return False
        index, inner = divmod(offset, slots.size)
        writer = slots.opened(index)
        end = inner + len(data)
        if writer is None or end > slots.size or not writer.write_now(inner, data):
            return False
        self.dirty = True
        slots.length = max(slots.length, offset + len(data))
        return True

    async def put(self, data: Buffer, sync: bool = False) -> None:
        """Write the whole of a new file; small ones in one round trip. ``close`` publishes it."""
        started = perf_counter()
        async with self._lock:
            self._check()
            if 0 < len(data) <= min(PUT_LIMIT, self._slots.size):
                self.dirty = True
                if await self._slots.put(data, sync):
                    self._stats.wrote(len(data), started)
                    return
        await self.write(0, data)

    async def read(self, offset: int, length: int) -> Data:
        """Up to ``length`` bytes, unpublished ones included."""
        parts: list[Data] = []
        slots = self._slots
        async with self._lock:
            self._check()
            end = min(offset + length, slots.length)
            while offset < end:
                index, inner = divmod(offset, slots.size)
                size = min(slots.size - inner, end - offset)
                parts.append(await slots.read(index, inner, size))
                offset += size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def truncate(self, length: int) -> None:
        """Set the length; bytes that appear are zeros."""
        async with self._lock:
            self._check()
            if length != self._slots.length:
                await self._slots.resize(length)
                self.dirty = False

    async def recover(self, length: int) -> None:
        """Take over what an earlier writer handed to the workers and never published.

        That writer was killed; its answered bytes lie in the blocks' staging files, and the file
        was ``length`` bytes long for it. IoFailed if a worker does not have them any more.
        """
        async with self._lock:
            self._check()
            if await self._slots.resume(length):
                self.dirty = True

    async def flush(self, sync: bool = False) -> None:
        """Make everything visible to others; with ``sync`` also durable."""
        async with self._lock:
            self._check()
            if self.dirty or self._slots.unconfirmed or sync:
                await self._slots.publish(sync)
                self.dirty = False

    async def close(self, set_attr: SetAttr | None = None) -> None:
        """Publish, finish, and apply ``set_attr`` last. A second call does nothing."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            slots = self._slots
            try:
                await slots.close_readers()
                if slots.failure is not None:
                    await slots.give_up()
                    raise slots.failure
                await slots.finish(None, sync=False)
                await slots.complete(only_flush=False, sync=False, set_attr=set_attr)
            finally:
                slots.leave()
            self.dirty = False

    async def abort(self) -> None:
        """Give up what was not published, and the writer's place on the master."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                await self._slots.close_readers()
                await self._slots.give_up()
                await self._slots.abandon()
            finally:
                self._slots.leave()

    async def forsake(self) -> None:
        """Give up what was not published; the file on the master stays as it is."""
        async with self._lock:
            if not self._closed:
                self._closed = True
                await self._slots.close_readers()
                await self._slots.give_up()

    def _check(self) -> None:
        if self._slots.failure is not None:
            raise self._slots.failure
        if self._closed:
            raise IoFailed(f"{self._slots.path} is closed")
