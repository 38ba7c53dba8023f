# SPDX-License-Identifier: Apache-2.0
"""A file on its way into the cache: what is fetched next, what is there, who waits for it.

Offsets are bytes of the file. Everything happens on the event loop.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator

PIECE = 16 * 1024 * 1024  # of a download; a server reads its own chunks once if they are aligned
START = 4 * 1024 * 1024  # the first piece, which readers wait for: it comes with the file's size


class Filling:
    """What is there of one file."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # of what is there, disjoint and in order
        self._ends: list[int] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted: deque[int] = deque()
        self._ended = False

    def add(self, start: int, end: int) -> None:
        """Bytes from ``start`` up to ``end`` are there."""
        at = bisect_right(self._starts, start)
        if at and self._ends[at - 1] == start:
            at -= 1
            self._ends[at] = end
        else:
            self._starts.insert(at, start)
            self._ends.insert(at, end)
        if at + 1 < len(self._starts) and self._starts[at + 1] == end:
            self._ends[at] = self._ends.pop(at + 1)
            del self._starts[at + 1]
        self._wake()

    def has(self, start: int, end: int) -> bool:
        """Whether all of that is there."""
        at = bisect_right(self._starts, start)
        return bool(at) and end <= self._ends[at - 1]

    async def until(self, start: int, end: int) -> bool:
        """Wait for that to be there, which is fetched next; False if it will not be."""
        if not self.has(start, end):
            self._wanted.append(start)
        while not self.has(start, end):
            if self._ended:
                return False
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        return True

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._wake()

    def pieces(self, start: int, size: int) -> Iterator[tuple[int, int]]:
        """Offsets and sizes of the pieces of the block at ``start``: in order, but first what
        somebody waits for."""
        left = dict(_cut(start, size))
        while left:
            offset = self._first(left)
            yield offset, left.pop(offset)

    def _first(self, left: dict[int, int]) -> int:
        while self._wanted:
            wanted = self._wanted.popleft()
            for offset in (wanted - wanted % PIECE, wanted - wanted % PIECE + START):
                if offset <= wanted < offset + left.get(offset, 0):
                    return offset
        return next(iter(left))

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)


def _cut(start: int, size: int) -> Iterator[tuple[int, int]]:
    offset, end = start, start + size
    if start == 0:
        offset = min(START, end)
        yield 0, offset
    while offset < end:
        piece = min(PIECE - offset % PIECE, end - offset)
        yield offset, piece
        offset += piece
