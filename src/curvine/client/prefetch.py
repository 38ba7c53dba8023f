# SPDX-License-Identifier: Apache-2.0
"""Reading ahead of sequential readers, and leaving random ones alone.

A file is cut into slices of fixed size. While reads follow each other, the next slices are
fetched before they are asked for, ever more of them (2, 4, ... ``depth``); several readers at
once are one stream as long as they stay near each other, which is what the kernel's read-ahead
looks like from here. A read elsewhere is fetched exactly as asked. Offsets and sizes are bytes.

Concurrency: all methods run on the event loop. ``_slices`` holds one Task per slice, made by the
first that wants it and awaited by all; nothing else is shared between two awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from curvine.client.local_file import Data
from curvine.errors import IoFailed

Fetch = Callable[[int, int], Awaitable[Data]]

_FIRST_WINDOW = 2  # slices fetched ahead when a stream begins
_BEHIND = 2  # slices kept behind the newest read, for readers that run side by side


class Prefetcher:
    """Slices of one file of ``length`` bytes, fetched with ``fetch(offset, size)``. At most
    ``depth`` of them are fetched ahead; it may be changed at any time."""

    def __init__(
        self, fetch: Fetch, length: int, *, slice_size: int, depth: int, threshold: int
    ) -> None:
        self._fetch = fetch
        self._length = length
        self._slice = slice_size
        self.depth = depth
        self._threshold = threshold
        self._slices: dict[int, asyncio.Task[Data]] = {}
        self._next = 0  # where a sequential reader would go on
        self._streak = threshold  # reads in sequence; a fresh reader counts as sequential
        self._window = _FIRST_WINDOW

    async def read(self, offset: int, size: int) -> Data:
        """``size`` bytes at ``offset``; the range lies inside the file."""
        if not self._follows(offset, size):
            return await self._fetch(offset, size)
        first, last = offset // self._slice, (offset + size - 1) // self._slice
        tasks = [self._want(index) for index in range(first, last + 1)]
        self._ahead(last)
        if len(tasks) == 1:
            piece = await self._take(first, tasks[0])
            start = offset - first * self._slice
            if start == 0 and size == len(piece):
                return piece
            return memoryview(piece)[start : start + size]
        pieces = [memoryview(await self._take(first + i, task)) for i, task in enumerate(tasks)]
        pieces[0] = pieces[0][offset - first * self._slice :]
        pieces[-1] = pieces[-1][: offset + size - last * self._slice]
        return b"".join(pieces)

    @property
    def busy(self) -> bool:
        """Whether slices are kept or being fetched."""
        return bool(self._slices)

    async def close(self) -> None:
        """Stop what is being fetched."""
        slices, self._slices = self._slices, {}
        for task in slices.values():
            task.cancel()
        if slices:
            await asyncio.gather(*slices.values(), return_exceptions=True)

    def _follows(self, offset: int, size: int) -> bool:
        """Note the read; whether it belongs to a sequential stream."""
        near = -self._slice * _BEHIND <= offset - self._next <= self._slice
        if near:
            self._next = max(self._next, offset + size)
            self._streak += 1
        else:
            self._next = offset + size
            self._streak = 0
            self._window = _FIRST_WINDOW
        return self._streak >= self._threshold

    def _want(self, index: int) -> asyncio.Task[Data]:
        task = self._slices.get(index)
        if task is None:
            start = index * self._slice
            size = min(self._slice, self._length - start)
            task = asyncio.ensure_future(self._load(start, size))
            # A slice that nobody comes back for may fail; whoever wants it later fetches it anew.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._slices[index] = task
        return task

    async def _load(self, start: int, size: int) -> Data:
        return await self._fetch(start, size)

    async def _take(self, index: int, task: asyncio.Task[Data]) -> Data:
        """The slice's bytes; a reader that is cancelled leaves the slice to the others."""
        try:
            return await asyncio.shield(task)
        except BaseException as error:
            if task.done() and self._slices.get(index) is task:
                del self._slices[index]
            if task.cancelled():  # by ``close``; whoever waits here was not cancelled
                raise IoFailed("the file was closed while it was read") from error
            raise

    def _ahead(self, last: int) -> None:
        """Start the slices after ``last`` and forget those far behind."""
        end = (self._length + self._slice - 1) // self._slice
        known = max((index for index in self._slices if index <= last + self.depth), default=last)
        if known <= last + self._window // 2:  # half of the window is used up: widen and refill
            for index in range(last + 1, min(last + 1 + min(self._window, self.depth), end)):
                self._want(index)
            self._window = min(self._window * 2, self.depth)
        newest = self._next // self._slice
        for index in list(self._slices):
            # Not cancelled: another reader may be waiting for it. It ends unseen.
            if not newest - _BEHIND <= index <= newest + self.depth + 1:
                del self._slices[index]
