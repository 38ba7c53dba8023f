# SPDX-License-Identifier: Apache-2.0
"""Readers of the published blocks of a file that is being written here.

A worker that alone has a block and went away is waited for, as the writer does.

A reader keeps showing the bytes that were there when it was opened, so the writer has every block
forgotten that it publishes anew. Offsets are inside the block.
"""

from __future__ import annotations

import asyncio

from curvine.client.block_reader import BlockReader
from curvine.client.local_file import Data
from curvine.client.streams import RETRY_PAUSE, Streams
from curvine.errors import NoAvailableWorker
from curvine.model.block import LocatedBlock

_CHUNK = 1024 * 1024


class ReadBack:
    """Block readers by slot; used under the writer's lock."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._readers: dict[int, BlockReader] = {}

    async def read(self, index: int, located: LocatedBlock, inner: int, size: int) -> Data:
        """``size`` bytes; what lies behind the block's end is zeros."""
        inside = max(0, min(size, located.block.len - inner))
        if not inside:
            return bytes(size)
        deadline = self._streams.now() + self._streams.patience
        while True:
            reader = self._readers.get(index)
            if reader is None:
                reader = self._readers[index] = BlockReader(self._streams, located, _CHUNK)
            try:
                data = await reader.read(inner, inside)
                break
            except NoAvailableWorker:
                await self.forget(index)  # a reader does not ask a worker twice
                if self._streams.now() > deadline:
                    raise
            await asyncio.sleep(RETRY_PAUSE)
        return data if inside == size else bytes(data) + bytes(size - inside)

    async def forget(self, index: int) -> None:
        """The block of a slot is about to change."""
        reader = self._readers.pop(index, None)
        if reader is not None:
            await reader.close()

    async def close(self) -> None:
        """Release every connection."""
        for index in list(self._readers):
            await self.forget(index)
