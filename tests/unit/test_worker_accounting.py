# SPDX-License-Identifier: Apache-2.0
"""What a directory counts is what lies in it, after every path that a block can take."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curvine.errors import CurvineError
from curvine.model.block import AllocOpts
from curvine.model.inode import StorageType
from curvine.worker.blocks import OpenBlock
from curvine.worker.blockstore import BlockStore
from curvine.worker.iopool import IoPool
from curvine.worker.layout import Layout, bytes_used, new_identity
from curvine.worker.reclaim import reclaim
from curvine.worker.tiers import StorageDir, Tiers

KIB = 1024
MIB = 1024 * KIB
CAPACITY = 8 * MIB
# A file system takes whole blocks, at both ends of what is written next to a hole.
ROUNDING = 25 * 2 * 4096
PIECES = (1, 100 * KIB, 900 * KIB)


def make_dir(root: Path, name: str, limit: int) -> StorageDir:
    layout = Layout(str(root / name), "c")
    os.close(layout.prepare(wipe=False))
    return StorageDir(layout, new_identity("c", 1), StorageType.SSD, limit=limit)


def on_disk(where: StorageDir) -> int:
    """What the files of a directory take."""
    return sum(
        bytes_used(os.stat(os.path.join(top, name)))
        for top, _, names in os.walk(where.layout.root)
        for name in names
        if name.startswith("blk_")
    )


class Driver:
    """Takes blocks through random changes, as sessions would, within their rules."""

    def __init__(self, dirs: list[StorageDir], io: IoPool) -> None:
        self.dirs = dirs
        self.io = io
        self.sessions: dict[int, OpenBlock] = {}
        self.store = BlockStore(Tiers(dirs), io)

    async def step(self, kind: str, block: int, number: int) -> None:
        try:
            await self.act(kind, block, number)
        except CurvineError:
            pass  # a refusal must not count anything either

    async def act(self, kind: str, block: int, number: int) -> None:
        store, opened = self.store, self.sessions.get(block)
        size = PIECES[number % len(PIECES)]
        if kind == "open" and opened is None:
            alloc = AllocOpts(truncate=True, len=size) if number % 5 == 0 else None
            self.sessions[block] = await store.begin(
                block, StorageType.DISK, CAPACITY, alloc, resume=number % 2 == 0
            )
        elif kind == "leave" and opened is not None:
            store.detach(self.sessions.pop(block))
        elif kind == "write" and opened is not None:
            waiting = store.write(opened, number * 37_000, os.urandom(size))
            if waiting is not None:
                await waiting
        elif kind == "by itself" and opened is not None:
            await self.write_by_itself(opened, number * 53_000, size)
        elif kind == "complete" and opened is not None:
            written, published = store.index.lengths(block)
            length = max(written or 0, published or 0)
            await store.complete(block, length, CAPACITY, sync=number % 7 == 0)
            store.detach(self.sessions.pop(block))
        elif kind == "cancel" and opened is not None:
            await store.cancel(block)
            store.detach(self.sessions.pop(block))
        elif kind == "delete":
            await store.delete(block)
        elif kind == "restart":
            self.restart()

    async def write_by_itself(self, opened: OpenBlock, offset: int, size: int) -> None:
        held = await self.store.lend(opened, offset, by_path=False)
        if held is not None:
            held = await self.store.lend_more(opened, offset + size - 1)
            os.pwrite(held.fd, os.urandom(size), offset)

    def restart(self) -> None:
        self.store.close()
        self.sessions.clear()
        for where in self.dirs:
            where.used = where.reserved = 0
        self.store = BlockStore(Tiers(self.dirs), self.io)
        self.store.load()

    async def end(self) -> None:
        """Every session leaves; what is unfinished is given up, or ordered gone."""
        for opened in self.sessions.values():
            self.store.detach(opened)
        self.sessions.clear()
        for block, _, _ in await reclaim(self.store, 0):
            await self.store.delete(block)
        assert not self.store.index.open
        self.store.close()


KINDS = ("open", "write", "by itself", "leave", "complete", "cancel", "delete", "restart")
STEP = st.tuples(st.sampled_from(KINDS), st.integers(1, 3), st.integers(0, 20))


@settings(max_examples=60)
@given(steps=st.lists(STEP, max_size=25))
def test_every_path_leaves_the_right_account(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("a")
    limit = 6 * MIB
    dirs = [make_dir(root, "one", limit), make_dir(root, "two", limit)]
    io = IoPool(1)

    async def work() -> None:
        driver = Driver(dirs, io)
        for kind, block, number in steps:
            await driver.step(kind, block, number)
            driver.store.recount_lent()
            for where in dirs:
                assert where.reserved >= 0
                assert on_disk(where) <= limit + ROUNDING, "the cap is hard, staging included"
                assert where.used >= on_disk(where) - ROUNDING, "nothing lies there uncounted"
        await driver.end()

    asyncio.run(work())
    io.close()
    for where in dirs:
        assert where.reserved == 0
        assert where.used == on_disk(where)


def test_what_a_dead_client_left_is_reclaimed(tmp_path: Path) -> None:
    where = make_dir(tmp_path, "d", 6 * MIB)
    io = IoPool(1)

    async def work() -> None:
        store = BlockStore(Tiers([where]), io)
        for block in (1, 2):
            opened = await store.begin(block, StorageType.DISK, CAPACITY, None)
            waiting = store.write(opened, 0, b"hello")
            if waiting is not None:
                await waiting
            if block == 1:
                await store.complete(1, 5, CAPACITY, sync=False)
            store.detach(opened)
        rewrite = await store.begin(1, StorageType.DISK, CAPACITY, None)
        waiting = store.write(rewrite, 0, b"J")
        assert waiting is not None
        await waiting
        assert await reclaim(store, 0) == [(2, 5, StorageType.SSD)], "the rewrite has a session"
        store.detach(rewrite)
        assert await reclaim(store, 100) == []
        assert 1 in store.index.open
        assert await reclaim(store, 0) == [(2, 5, StorageType.SSD)]
        assert list(store.index.open) == [2]
        assert os.listdir(where.layout.staging_dir) == ["blk_2"]
        await store.delete(2)
        assert where.used == on_disk(where) == 5

    asyncio.run(work())
    io.close()
