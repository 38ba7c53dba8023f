# SPDX-License-Identifier: Apache-2.0
"""Which cached files were used last (or most), in four bytes a file.

Inode ids are handed out in order, so a page of 256 consecutive ones is an array of 32-bit values; 0
stands for "not tracked". Under ``lru`` a value is the second of the last use, under ``lfu`` its
upper 8 bits count uses (halved for every idle day) and the lower 24 are the minute of the last
one, so smaller always means "goes first". Bounded by ``capacity`` files: beyond it the page that
was begun first is forgotten, and ``is_partial`` tells that the tracked files are not all.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator

PAGE = 256
_DAY = 1440  # minutes
_MINUTES = (1 << 24) - 1


class Recency:
    """See the module. Times given are ms since the epoch."""

    def __init__(self, capacity: int, policy: str = "lru") -> None:
        self._frequent = policy == "lfu"
        self._pages: dict[int, array[int]] = {}
        self._max_pages = max(1, -(-capacity // PAGE))
        self._tracked = 0
        self.is_partial = False

    def __len__(self) -> int:
        return self._tracked

    def touch(self, inode_id: int, now_ms: int) -> None:
        """The file was used."""
        page = self._pages.get(inode_id // PAGE)
        if page is None:
            page = self._new_page(inode_id // PAGE)
        at = inode_id % PAGE
        old = page[at]
        if not old:
            self._tracked += 1
        page[at] = self._frequency(old, now_ms) if self._frequent else now_ms // 1000

    def learn(self, inode_id: int, used_ms: int) -> None:
        """The file exists and was last used then, as far as the metadata know."""
        page = self._pages.get(inode_id // PAGE)
        if page is None or not page[inode_id % PAGE]:
            self.touch(inode_id, used_ms)

    def forget(self, inode_id: int) -> None:
        """The file is gone, or has no data any more."""
        page = self._pages.get(inode_id // PAGE)
        if page is not None and page[inode_id % PAGE]:
            page[inode_id % PAGE] = 0
            self._tracked -= 1
            if not any(page):
                del self._pages[inode_id // PAGE]

    def coldest(self, count: int) -> Iterator[list[int] | None]:
        """Walk over all files: None after each bounded step, at last the ids of the ``count``
        that go first, in that order."""
        heap: list[tuple[int, int]] = []  # (-value, -inode): the warmest of the candidates first
        for step, (number, page) in enumerate(list(self._pages.items())):
            base = number * PAGE
            for at, value in enumerate(page):
                if not value:
                    continue
                if len(heap) < count:
                    heapq.heappush(heap, (-value, -(base + at)))
                elif value < -heap[0][0]:
                    heapq.heapreplace(heap, (-value, -(base + at)))
            if step % 32 == 31:
                yield None
        yield [-inode for _, inode in sorted(heap, reverse=True)]

    def _new_page(self, number: int) -> array[int]:
        if len(self._pages) >= self._max_pages:
            oldest = next(iter(self._pages))
            self._tracked -= sum(1 for value in self._pages.pop(oldest) if value)
            self.is_partial = True
        page = self._pages[number] = array("I", bytes(4 * PAGE))
        return page

    def _frequency(self, old: int, now_ms: int) -> int:
        minute = (now_ms // 60_000) & _MINUTES
        idle_days = ((minute - (old & _MINUTES)) & _MINUTES) // _DAY if old else 0
        uses = min((old >> 24 >> min(idle_days, 8)) + 1, 255)
        return uses << 24 | minute
