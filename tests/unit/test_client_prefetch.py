# SPDX-License-Identifier: Apache-2.0
"""The prefetcher gives the right bytes, reads ahead of streams, and leaves random readers alone."""

from __future__ import annotations

import asyncio
import random

import pytest

from curvine.client.prefetch import Prefetcher
from curvine.errors import IoFailed

CONTENT = random.Random(1).randbytes(1_000_003)
SLICE = 10_000


class Source:
    """A real in-memory file that notes what was fetched and fails where told."""

    def __init__(self) -> None:
        self.fetched: list[tuple[int, int]] = []
        self.failing = False

    async def fetch(self, offset: int, size: int) -> bytes:
        self.fetched.append((offset, size))
        await asyncio.sleep(0)
        if self.failing:
            raise IoFailed("no such luck")
        return CONTENT[offset : offset + size]


def make(source: Source) -> Prefetcher:
    return Prefetcher(source.fetch, len(CONTENT), slice_size=SLICE, depth=8, threshold=7)


def test_a_sequential_reader_fetches_every_slice_once_and_ahead() -> None:
    async def body() -> None:
        source = Source()
        reader = make(source)
        got = bytearray()
        while len(got) < len(CONTENT):
            got += await reader.read(len(got), min(3_333, len(CONTENT) - len(got)))
            if len(got) == 3_333:
                assert len(source.fetched) >= 3, "the slices after the first are under way"
        assert got == CONTENT
        assert len(source.fetched) == 101
        assert len(reader._slices) <= 13
        await reader.close()

    asyncio.run(body())


def test_concurrent_reads_of_one_stream_share_slices() -> None:
    async def body() -> None:
        source = Source()
        reader = make(source)
        parts = await asyncio.gather(*(reader.read(i * 1_000, 1_000) for i in range(60)))
        assert b"".join(parts) == CONTENT[:60_000]
        assert len(source.fetched) == len(set(source.fetched))
        await reader.close()

    asyncio.run(body())


def test_random_reads_fetch_what_was_asked() -> None:
    async def body() -> None:
        source = Source()
        reader = make(source)
        choose = random.Random(2)
        for _ in range(50):
            offset = choose.randrange(500_000, len(CONTENT) - 5_000)
            assert await reader.read(offset, 4_096) == CONTENT[offset : offset + 4_096]
        assert sum(size for _, size in source.fetched) <= 60 * 4_096
        await reader.close()

    asyncio.run(body())


def test_a_failed_slice_is_fetched_again() -> None:
    async def body() -> None:
        source = Source()
        reader = make(source)
        source.failing = True
        with pytest.raises(IoFailed):
            await reader.read(0, 100)
        source.failing = False
        await asyncio.sleep(0.01)
        assert await reader.read(0, 100) == CONTENT[:100]
        await reader.close()

    asyncio.run(body())


def test_a_cancelled_reader_does_not_take_the_slice_from_the_others() -> None:
    async def body() -> None:
        source = Source()
        reader = make(source)
        first = asyncio.ensure_future(reader.read(0, 100))
        second = asyncio.ensure_future(reader.read(100, 100))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == CONTENT[100:200]
        await reader.close()

    asyncio.run(body())
