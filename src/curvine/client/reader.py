# SPDX-License-Identifier: Apache-2.0
"""Reading a file made of blocks: positional, safe for concurrent calls, ahead of streams.

Blocks whose file a local worker passed are read directly; what comes over the network is
prefetched for sequential readers. When no replica of a block can be read, its locations are asked
for once more; a patient reader goes on asking while a worker has been away for less than
``Streams.patience``: it may be restarting. Offsets and lengths are bytes.
Source: data-plane specification 1.8 and 4.2.

Concurrency: every method runs on the event loop. Block readers are made on demand and kept;
beyond ``max_cache_block_handles`` the oldest that nobody uses is closed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from time import perf_counter

from curvine.client.block_put import GET_LIMIT
from curvine.client.block_reader import BlockReader
from curvine.client.local_file import Data
from curvine.client.prefetch import Prefetcher
from curvine.client.streams import Streams
from curvine.errors import AbnormalData, ConnectionLost, IsADirectory, NoAvailableWorker
from curvine.model.block import FileBlocks, LocatedBlock
from curvine.model.inode import FileStatus

_MAX_CHUNK = 16 * 1024 * 1024  # of one message
_DEPTH = 8  # slices read ahead at most
_AHEAD = 32 * 1024 * 1024  # bytes read ahead by all readers of a client, about
_PAUSE, _LONGEST_PAUSE = 0.1, 0.8  # s before workers that went away are asked again

Refresh = Callable[[], Awaitable[FileBlocks]]


class FileReader:
    """A file open for reading. ``refresh`` asks for the file's blocks again. ``patient``: there is
    no other place where the bytes could come from."""

    def __init__(
        self,
        streams: Streams,
        file: FileBlocks,
        refresh: Refresh | None = None,
        *,
        patient: bool = False,
    ) -> None:
        if file.status.is_dir:
            raise IsADirectory(f"{file.status.path} is a directory")
        conf = streams.conf
        self.status: FileStatus = file.status
        self.length: int = file.status.len
        self.from_cache = True
        self._streams = streams
        self._refresh = refresh
        self._patient = patient
        self._slice = conf.read_slice_size or conf.read_chunk_size * conf.read_chunk_num
        self._chunk = min(self._slice, _MAX_CHUNK)
        status = file.status
        self._version = (status.mtime, status.changed) if status.is_complete else None
        self._blocks: tuple[LocatedBlock, ...] = ()
        self._starts: list[int] = []
        self._set_blocks(file)
        self._open: dict[int, BlockReader] = {}  # index -> reader, oldest first
        self._handles = max(1, conf.max_cache_block_handles)
        self._refreshing = asyncio.Lock()
        self._depth = _DEPTH if conf.enable_smart_prefetch else 1
        self._reads_ahead = False
        self._ahead = Prefetcher(
            self._fetch,
            self.length,
            slice_size=self._slice,
            depth=self._depth,
            threshold=conf.sequential_read_threshold,
        )

    async def read(self, offset: int, length: int) -> Data:
        """Up to ``length`` bytes at ``offset``; fewer only at the end of the file."""
        started = perf_counter()
        data = self._read_now(offset, length)
        if data is None:
            data = await self._read(offset, length)
        self._streams.stats.read(len(data), started)
        return data

    def _read_now(self, offset: int, length: int) -> Data | None:
        """Likewise for what an open block of this node has in memory; None: use ``_read``."""
        if length <= 0 or offset + length > self.length:
            return None
        index = bisect_right(self._starts, offset) - 1
        reader = self._open.get(index)
        if reader is None:
            return None
        return reader.read_now(offset - self._starts[index], length)

    async def read_all(self) -> Data:
        """The whole file; a small one in one round trip. For files that are read once."""
        if len(self._blocks) == 1 and 0 < self.length <= GET_LIMIT and not self._open:
            started = perf_counter()
            try:
                data = await self._reader(0).read_all()
            except NoAvailableWorker:
                pass  # the long way round: other locations, other errors
            else:
                self._streams.stats.read(self.length, started)
                return data[: self.length]
        return await self.read(0, self.length)

    async def _read(self, offset: int, length: int) -> Data:
        length = min(length, self.length - offset)
        if length <= 0:
            return b""
        index = self._index(offset)
        near = await self._reader(index).is_near()
        inside = offset + length <= self._starts[index] + self._blocks[index].block.len
        if near and inside:
            return await self._read_block(index, offset - self._starts[index], length)
        if near:
            return await self._fetch(offset, length)
        self._share_ahead()
        return await self._ahead.read(offset, length)

    def _share_ahead(self) -> None:
        """Many readers at once read ahead less each: more would not fit the processor's cache."""
        if not self._reads_ahead:
            self._reads_ahead = True
            self._streams.readers_ahead += 1
        share = _AHEAD // (self._slice * max(1, self._streams.readers_ahead))
        self._ahead.depth = max(min(share, self._depth), min(2, self._depth))

    async def local_fd(self) -> int | None:
        """A descriptor whose bytes [0, length) are the file's: one block, on a local worker."""
        if len(self._blocks) != 1 or self._blocks[0].block.len != self.length:
            return None
        return await self._reader(0).local_fd()

    async def local_range(self, offset: int) -> tuple[int, int, int] | None:
        """(descriptor, offset in it, bytes from there to the block's end) of a local block file.

        For splice and sendfile of files with several blocks. The descriptor is this reader's and
        may be closed by the next call to it; None where the block is not local or a hole.
        """
        if not 0 <= offset < self.length:
            return None
        index = self._index(offset)
        fd = await self._reader(index).local_fd()
        if fd is None:
            return None
        inner = offset - self._starts[index]
        return fd, inner, self._blocks[index].block.len - inner

    def close_now(self) -> bool:
        """Close if there is nobody to wait for; False: use ``close``."""
        if self._reads_ahead or self._ahead.busy:
            return False
        for index, reader in list(self._open.items()):
            if not reader.close_now():
                return False
            del self._open[index]
        return True

    async def close(self) -> None:
        """Release every connection and descriptor. A second call does nothing."""
        if self._reads_ahead:
            self._reads_ahead = False
            self._streams.readers_ahead -= 1
        await self._ahead.close()
        readers, self._open = self._open, {}
        for reader in readers.values():
            await reader.close()

    # --- blocks ---------------------------------------------------------------------------------

    def _set_blocks(self, file: FileBlocks) -> None:
        starts, end = [], 0
        for located in file.blocks:
            starts.append(end)
            end += located.block.len
        if end < self.length:
            raise AbnormalData(
                f"{file.status.path} has {self.length} bytes, but its blocks hold {end}; "
                "its data are lost or still in the under storage only"
            )
        self._blocks = file.blocks
        self._starts = starts

    def _index(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1

    def _reader(self, index: int) -> BlockReader:
        reader = self._open.get(index)
        if reader is None:
            if len(self._open) >= self._handles:
                self._close_oldest()
            reader = BlockReader(self._streams, self._blocks[index], self._chunk, self._version)
            self._open[index] = reader
        return reader

    def _close_oldest(self) -> None:
        for index, reader in self._open.items():
            if not reader.users:
                del self._open[index]
                closing = asyncio.ensure_future(reader.close())
                closing.add_done_callback(lambda done: done.cancelled() or done.exception())
                return

    async def _fetch(self, offset: int, length: int) -> Data:
        """Exactly ``length`` bytes, from as many blocks as they lie in, all at once."""
        parts = []
        end = offset + length
        while offset < end:
            index = self._index(offset)
            inner = offset - self._starts[index]
            size = min(self._blocks[index].block.len - inner, end - offset)
            parts.append((index, inner, size))
            offset += size
        if len(parts) == 1:
            return await self._read_block(*parts[0])
        return b"".join(await asyncio.gather(*(self._read_block(*part) for part in parts)))

    async def _read_block(self, index: int, inner: int, size: int) -> Data:
        pause = 0.0
        while True:
            reader = self._reader(index)
            try:
                return await reader.read(inner, size)
            except NoAvailableWorker as error:
                if pause and not self._may_come_back(index, error):
                    raise
                await asyncio.sleep(pause)
                if not await self._relocate(index, reader):
                    raise
            pause = min(max(_PAUSE, pause * 2), _LONGEST_PAUSE)

    def _may_come_back(self, index: int, error: NoAvailableWorker) -> bool:
        """Whether a worker of the block went away a moment ago."""
        streams = self._streams
        return (
            self._patient
            and isinstance(error.__cause__, ConnectionLost)
            and any(
                streams.health.just_left(worker, streams.patience)
                for worker in self._blocks[index].locs
            )
        )

    async def _relocate(self, index: int, failed: BlockReader) -> bool:
        """Ask where the blocks are now; whether another attempt makes sense."""
        if self._refresh is None:
            return False
        async with self._refreshing:
            if self._open.get(index) is not failed:
                return True  # another read has asked
            file = await self._refresh()
            same = tuple(b.block.id for b in file.blocks[: len(self._blocks)])
            if same != tuple(b.block.id for b in self._blocks):
                return False  # it is another file now, or was rewritten
            if file.blocks[index].block.len < self._blocks[index].block.len:
                return False
            del self._open[index]
            lens = [b.block.len for b in self._blocks]
            self._blocks = tuple(
                LocatedBlock(old.block, new.locs, old.offset, new.has_spdk)
                for old, new in zip(self._blocks, file.blocks[: len(lens)], strict=True)
            )
        await failed.close()
        return True
