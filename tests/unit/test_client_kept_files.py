# SPDX-License-Identifier: Apache-2.0
"""Descriptors that are kept for a while: duplicates, bounded in number and time, all closed."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest

from curvine.client import kept_files
from curvine.client.kept_files import SECONDS, KeptFiles
from curvine.client.node_cache import BlockKey
from curvine.clock import ManualClock


def on_a_loop(case: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(case)
    def test(**fixtures: object) -> None:
        async def run() -> None:
            await case(**fixtures)

        asyncio.run(run())

    return test


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("block")
    os.write(fd, b"content")
    yield fd
    os.close(fd)


def key(number: int, version: tuple[int, int] = (1, 1)) -> BlockKey:
    return BlockKey(number, 7, version)


def keeping(clock: ManualClock) -> KeptFiles:
    kept = KeptFiles(clock)
    kept.enabled = True
    return kept


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@on_a_loop
async def test_what_is_taken_belongs_to_who_takes_it(memory: int) -> None:
    kept = keeping(ManualClock())
    before = descriptors()
    kept.keep(key(1), memory)
    first, second = kept.take(key(1)), kept.take(key(1))
    assert first is not None and second is not None and first != second
    os.close(first)
    assert os.pread(second, 7, 0) == b"content"
    os.close(second)
    kept.close()
    assert descriptors() == before


@on_a_loop
async def test_another_version_of_the_file_is_not_found(memory: int) -> None:
    kept = keeping(ManualClock())
    kept.keep(key(1), memory)
    assert kept.take(key(1, (2, 2))) is None
    assert kept.take(key(2)) is None
    kept.close()


@on_a_loop
async def test_an_entry_ends_however_often_it_is_used(memory: int) -> None:
    clock = ManualClock()
    kept = keeping(clock)
    before = descriptors()
    kept.keep(key(1), memory)
    clock.advance(SECONDS / 2)
    kept.keep(key(2), memory)
    used = kept.take(key(1))
    assert used is not None
    os.close(used)
    clock.advance(SECONDS / 2)
    assert kept.take(key(1)) is None
    kept.sweep()
    assert len(kept) == 1
    clock.advance(SECONDS / 2)
    kept.sweep()
    assert len(kept) == 0
    assert descriptors() == before


@on_a_loop
async def test_the_oldest_goes_when_there_are_many(
    memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_files, "MOST", 2)
    kept = keeping(ManualClock())
    for number in (1, 2, 3, 3):
        kept.keep(key(number), memory)
    assert len(kept) == 2
    assert kept.take(key(1)) is None
    kept.drop(key(3))
    kept.drop(key(3))
    assert len(kept) == 1
    kept.close()


@on_a_loop
async def test_nothing_is_kept_where_it_is_not_wanted(memory: int) -> None:
    kept = KeptFiles(ManualClock())
    kept.keep(key(1), memory)
    kept.enabled = True
    kept.keep(None, memory)
    kept.keep(key(1), -1)
    assert len(kept) == 0
    assert kept.take(None) is None
    kept.drop(None)
