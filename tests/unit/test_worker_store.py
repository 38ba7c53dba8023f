# SPDX-License-Identifier: Apache-2.0
"""The block store without a network: generations, accounting, scan, tiers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curvine.errors import Common, ConfigError, DiskOutOfSpace, IoFailed
from curvine.model.block import AllocOpts
from curvine.model.inode import StorageType
from curvine.worker.blockstore import BlockStore
from curvine.worker.iopool import IoPool
from curvine.worker.layout import Layout, block_of_name, boot_id, new_identity
from curvine.worker.staging import copy_range
from curvine.worker.sums import Note, write_note
from curvine.worker.tiers import StorageDir, Tiers

MIB = 1 << 20
BLOCK = (5 << 48) + (3 << 32) + 7


def make_dir(
    root: Path, name: str, kind: StorageType = StorageType.SSD, limit: int | None = None
) -> StorageDir:
    layout = Layout(str(root / name), "c")
    os.close(layout.prepare(wipe=False))
    return StorageDir(layout, new_identity("c", 1), kind, limit=limit)


@pytest.fixture
def io() -> Iterator[IoPool]:
    pool = IoPool(2)
    yield pool
    pool.close()


def make_store(io: IoPool, *dirs: StorageDir) -> BlockStore:
    store = BlockStore(Tiers(dirs), io)
    store.load()
    return store


async def put(store: BlockStore, block: int, data: bytes, *, capacity: int = MIB) -> None:
    opened = await store.begin(block, StorageType.DISK, capacity, None)
    waiting = store.write(opened, 0, data)
    if waiting is not None:
        await waiting
    await store.complete(block, len(data), capacity, sync=False)
    store.detach(opened)


def content(store: BlockStore, block: int) -> bytes:
    fd, view = store.index.open_file(block)
    try:
        return os.pread(fd, view.len, 0)
    finally:
        os.close(fd)


class TestLayout:
    def test_paths(self, tmp_path: Path) -> None:
        layout = Layout(str(tmp_path), "c")
        assert layout.active_path(BLOCK) == f"{tmp_path}/c/active/b5/b3/blk_{BLOCK}"
        assert layout.staging_path(BLOCK) == f"{tmp_path}/c/staging/blk_{BLOCK}"
        assert layout.active_path(16793993216).endswith("/active/b0/b3/blk_16793993216")

    def test_names(self) -> None:
        assert block_of_name("blk_12") == 12
        for name in ("blk_", "blk_-1", "blk_1x", "12", "blk_١", "xblk_1"):
            assert block_of_name(name) is None, name

    def test_identity_round_trip(self, tmp_path: Path) -> None:
        layout = Layout(str(tmp_path), "c")
        os.close(layout.prepare(wipe=False))
        assert layout.load_identity() is None
        mine = new_identity("c", None)
        layout.store_identity(mine, 5)
        assert layout.load_identity() == mine and 0 < mine.worker_id < 1 << 32

    def test_wipe_and_lock(self, tmp_path: Path) -> None:
        layout = Layout(str(tmp_path), "c")
        lock = layout.prepare(wipe=False)
        Path(layout.staging_path(1)).write_text("x")
        with pytest.raises(ConfigError, match="another worker"):
            layout.prepare(wipe=False)
        os.close(lock)
        os.close(layout.prepare(wipe=True))
        assert not os.path.exists(layout.staging_path(1))

    def test_broken_version_file_is_named(self, tmp_path: Path) -> None:
        layout = Layout(str(tmp_path), "c")
        os.close(layout.prepare(wipe=False))
        Path(layout.root, "version").write_text("cluster_id = ")
        with pytest.raises(ConfigError, match="version"):
            layout.load_identity()


class TestTiers:
    def test_round_robin_type_and_spill(self, tmp_path: Path) -> None:
        mem = make_dir(tmp_path, "mem", StorageType.MEM, 10 * MIB)
        one = make_dir(tmp_path, "one", StorageType.SSD, 100 * MIB)
        two = make_dir(tmp_path, "two", StorageType.SSD, 100 * MIB)
        tiers = Tiers([mem, one, two])
        assert {tiers.choose(StorageType.SSD, MIB) for _ in range(2)} == {one, two}
        assert tiers.choose(StorageType.MEM, MIB) is mem
        assert tiers.choose(StorageType.MEM, 50 * MIB) in (one, two)
        assert {tiers.choose(StorageType.DISK, MIB) for _ in range(3)} == {mem, one, two}
        assert tiers.choose(StorageType.HDD, MIB) in (mem, one, two)
        assert tiers.choose(StorageType.SSD, 1 << 40) in (one, two)  # space as used
        one.failed = True
        assert tiers.choose(StorageType.SSD, MIB) is two

    def test_full(self, tmp_path: Path) -> None:
        only = make_dir(tmp_path, "d", limit=MIB)
        assert only.charge(MIB) and not only.charge(1)
        with pytest.raises(Common):
            Tiers([only]).choose(StorageType.DISK, MIB)
        only.release(MIB)
        assert only.available == MIB

    def test_reservations(self, tmp_path: Path) -> None:
        only = make_dir(tmp_path, "d", limit=10 * MIB)
        assert only.reserve(5 * MIB, 2) and not only.reserve(3 * MIB, 2)
        assert only.reserve(3 * MIB) and only.available == 2 * MIB
        only.unreserve(8 * MIB)
        assert only.available == 10 * MIB

    def test_slow_calls_go_to_threads(self, tmp_path: Path) -> None:
        disk, mem = make_dir(tmp_path, "d"), make_dir(tmp_path, "m", StorageType.MEM)
        for where in (disk, mem):
            where.took(1.0)
        assert disk.slow and not mem.slow


class TestStore:
    def test_accounting_follows_the_bytes(self, tmp_path: Path, io: IoPool) -> None:
        where = make_dir(tmp_path, "d")
        store = make_store(io, where)

        async def work() -> None:
            opened = await store.begin(1, StorageType.DISK, 128 * MIB, None)
            assert where.used == 0
            store.write(opened, 0, b"x" * 5000)
            assert where.used == 5000
            await store.complete(1, 5000, 128 * MIB, sync=False)
            assert where.used == 5000
            again = await store.begin(1, StorageType.DISK, 128 * MIB, None)
            waiting = store.write(again, 0, b"y")
            assert waiting is not None
            await waiting
            assert where.used == 10000
            await store.complete(1, 5000, 128 * MIB, sync=True)
            assert where.used == 5000
            assert await store.delete(1) == 5000
            assert where.used == 0 and await store.delete(1) == 0

        asyncio.run(work())

    def test_lent_by_path_promises_the_whole_block(self, tmp_path: Path, io: IoPool) -> None:
        where = make_dir(tmp_path, "d", limit=10 * MIB)
        store = make_store(io, where)

        async def work() -> None:
            opened = await store.begin(1, StorageType.DISK, 4 * MIB, None)
            held = await store.lend(opened, 0, by_path=True)
            assert held is not None and where.reserved == 4 * MIB
            second = await store.begin(2, StorageType.DISK, 4 * MIB, None)
            assert await store.lend(second, 0, by_path=True) is None
            os.pwrite(held.fd, b"x" * 3000, 0)
            assert store.index.view(1).len == 3000
            store.detach(opened)
            assert (where.reserved, where.used) == (0, 3000)
            await store.complete(1, 3000, 4 * MIB, sync=False)
            assert content(store, 1) == b"x" * 3000
            await store.cancel(2)
            assert (where.reserved, where.used) == (0, 3000)

        asyncio.run(work())

    def test_lent_by_descriptor_asks_for_more(self, tmp_path: Path, io: IoPool) -> None:
        where = make_dir(tmp_path, "d", limit=150 * MIB)
        other = make_dir(tmp_path, "o", limit=400 * MIB)
        store = make_store(io, where, other)
        huge = 64 << 30

        async def work() -> None:
            opened = await store.begin(1, StorageType.DISK, huge, None)
            first = await store.lend(opened, 0, by_path=False)
            assert first is not None and first.dir is where
            assert (first.promised, where.reserved) == (64 * MIB, 64 * MIB)
            os.pwrite(first.fd, b"x" * MIB, 63 * MIB)
            store.recount_lent()
            assert (where.used, where.reserved) == (MIB, 0)  # a hole takes nothing
            os.pwrite(first.fd, bytes(63 * MIB), 0)
            more = await store.lend_more(opened, 64 * MIB)
            assert more is first and more.promised > 72 * MIB
            assert where.used == 64 * MIB and where.reserved == more.promised - 64 * MIB
            os.pwrite(first.fd, bytes(64 * MIB), 64 * MIB)
            moved = await store.lend_more(opened, 190 * MIB)
            assert moved is not first and moved.dir is other and moved.promised > 190 * MIB
            assert (where.used, where.reserved) == (0, 0)
            assert os.pread(moved.fd, 4, 63 * MIB) == b"xxxx"
            os.pwrite(moved.fd, bytes(260 * MIB), 128 * MIB)
            with pytest.raises(DiskOutOfSpace):
                await store.lend_more(opened, 450 * MIB)
            await store.complete(1, 388 * MIB, huge, sync=False)
            assert (other.used, other.reserved) == (388 * MIB, 0)
            store.detach(opened)

        asyncio.run(work())

    def test_holes_take_nothing(self, tmp_path: Path, io: IoPool) -> None:
        where = make_dir(tmp_path, "d", limit=10 * MIB)
        store = make_store(io, where)

        async def work() -> None:
            opened = await store.begin(1, StorageType.DISK, 1 << 40, None)
            for offset, data, used in ((1 << 35, b"far", 3), (0, b"near", 7)):
                waiting = store.write(opened, offset, data)
                if waiting is not None:  # the machine is busy
                    await waiting
                assert where.used == used
            await store.complete(1, (1 << 35) + 3, 1 << 40, sync=False)
            assert 0 < where.used < MIB
            again = await store.begin(1, StorageType.DISK, 1 << 40, None)
            waiting = store.write(again, 2, b"AR")
            assert waiting is not None
            await waiting  # a copy, of the data only
            await store.complete(1, (1 << 35) + 3, 1 << 40, sync=False)
            fd, _ = store.index.open_file(1)
            assert (os.pread(fd, 4, 0), os.pread(fd, 9, 1 << 35)) == (b"neAR", b"far")
            os.close(fd)
            assert 0 < where.used < MIB
            sized = await store.begin(2, StorageType.DISK, 1 << 40, AllocOpts(True, 1 << 38))
            assert sized.staging is not None and sized.staging.size == 1 << 38
            await store.complete(2, 1 << 38, 1 << 40, sync=False)
            assert where.used < MIB

        asyncio.run(work())

    def test_full_directory_moves_the_block(self, tmp_path: Path, io: IoPool) -> None:
        small = make_dir(tmp_path, "s", StorageType.MEM, 10_000)
        large = make_dir(tmp_path, "l", StorageType.HDD, 30_000)
        store = make_store(io, small, large)

        async def work() -> None:
            opened = await store.begin(1, StorageType.MEM, 8_000, None)
            opened.capacity = 50_000
            store.write(opened, 0, b"a" * 8_000)
            assert opened.staging is not None and opened.staging.dir is small
            waiting = store.write(opened, 8_000, b"b" * 8_000)
            assert waiting is not None
            await waiting
            assert opened.staging.dir is large and (small.used, large.used) == (0, 16_000)
            with pytest.raises(DiskOutOfSpace):
                await store.write(opened, 16_000, b"c" * 20_000)  # type: ignore[misc]
            assert large.used == 16_000
            await store.complete(1, 16_000, 50_000, sync=False)
            assert content(store, 1) == b"a" * 8_000 + b"b" * 8_000

        asyncio.run(work())

    def test_fill_copies_and_notices_a_short_source(self, tmp_path: Path, io: IoPool) -> None:
        store = make_store(io, make_dir(tmp_path, "d"))
        source = tmp_path / "source"
        source.write_bytes(b"0123456789")
        fd = os.open(source, os.O_RDONLY)

        async def work() -> None:
            opened = await store.begin(1, StorageType.DISK, MIB, None)
            await store.fill(opened, 0, fd, 2, 8)
            with pytest.raises(IoFailed):
                await store.fill(opened, 8, fd, 5, 20)

        try:
            asyncio.run(work())
        finally:
            os.close(fd)

    def test_scan_cuts_what_was_never_published(self, tmp_path: Path, io: IoPool) -> None:
        where = make_dir(tmp_path, "d")
        store = make_store(io, where)

        async def work() -> None:
            await put(store, 1, b"hello")
            opened = await store.begin(1, StorageType.DISK, MIB, None)
            waiting = store.write(opened, 5, b" you")
            assert waiting is not None
            await waiting

        asyncio.run(work())
        store.close()
        path = where.layout.active_path(1)
        again = make_store(io, make_dir_again(where))
        assert content(again, 1) == b"hello"
        assert os.path.getsize(path) == 9, "somebody may come to go on"
        again.close()
        write_note(path, Note(5, boot_id() ^ 1))
        again = make_store(io, make_dir_again(where))
        assert content(again, 1) == b"hello"
        assert os.path.getsize(path) == 5

    def test_scan_of_a_block_in_two_directories(self, tmp_path: Path, io: IoPool) -> None:
        one, two = make_dir(tmp_path, "one"), make_dir(tmp_path, "two")
        for where, data, when in ((one, b"new", 2), (two, b"old", 1)):
            path = Path(where.layout.active_path(9))
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
            os.utime(path, (when, when))
        store = make_store(io, one, two)
        assert content(store, 9) == b"new" and len(store.index) == 1
        assert not os.path.exists(two.layout.active_path(9)) and two.used == 0

    def test_reports(self, tmp_path: Path, io: IoPool) -> None:
        store = make_store(io, make_dir(tmp_path, "d"))

        async def work() -> None:
            await put(store, 1, b"hello")
            opened = await store.begin(2, StorageType.DISK, MIB, None)
            waiting = store.write(opened, 0, b"abc")
            if waiting is not None:  # the disk was slow a moment ago
                await waiting
            rewrite = await store.begin(1, StorageType.DISK, MIB, None)
            waiting = store.write(rewrite, 0, b"J")
            if waiting is not None:  # as long as the copy of what is there goes on
                await waiting
            assert sorted(store.index.inventory()) == [
                (1, 5, StorageType.SSD, True),
                (2, 3, StorageType.SSD, False),
            ]

        asyncio.run(work())


def make_dir_again(where: StorageDir) -> StorageDir:
    return StorageDir(where.layout, where.identity, where.storage_type)


def test_copy_between_file_systems(tmp_path: Path) -> None:
    """Where the kernel cannot copy by range, sendfile does."""
    source, target = tmp_path / "a", Path("/dev/shm") / f"curvine-test-{os.getpid()}"
    source.write_bytes(bytes(range(256)) * 1000)
    out = os.open(target, os.O_RDWR | os.O_CREAT)
    inp = os.open(source, os.O_RDONLY)
    try:
        assert copy_range(inp, 100, out, 50, 200_000) == 200_000
        assert os.pread(out, 300_000, 50) == (bytes(range(256)) * 1000)[100:200_100]
        assert copy_range(inp, 255_999, out, 0, 50) == 1
    finally:
        os.close(inp)
        os.close(out)
        target.unlink()


STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 300), st.binary(min_size=1, max_size=120)),
    st.tuples(st.just("append"), st.just(0), st.binary(min_size=1, max_size=120)),
    st.tuples(st.just("publish"), st.integers(0, 30), st.just(b"")),
    st.tuples(st.just("cancel"), st.just(0), st.just(b"")),
    st.tuples(st.just("restart"), st.just(0), st.just(b"")),
)


@settings(max_examples=40)
@given(steps=st.lists(STEP, max_size=12))
def test_any_order_of_writes_against_a_model(
    steps: list[tuple[str, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A published block reads as the model at every step, whatever is written beside it."""
    where = make_dir(tmp_path_factory.mktemp("m"), "d")
    io = IoPool(1)

    async def work() -> None:
        store = make_store(io, where)
        await put(store, 1, b"start")
        published, draft = b"start", b"start"
        opened = None
        for kind, number, data in steps:
            if kind in {"write", "append"}:
                if opened is None:
                    opened = await store.begin(1, StorageType.DISK, MIB, None)
                at = len(draft) if kind == "append" else number
                waiting = store.write(opened, at, data)
                if waiting is not None:
                    await waiting
                draft = draft.ljust(at, b"\0")[:at] + data + draft[at + len(data) :]
            elif kind == "publish" and opened is not None:
                published = draft = draft.ljust(len(draft) + number, b"\0")
                await store.complete(1, len(published), MIB, sync=False)
                store.detach(opened)
                opened = None
            elif kind == "cancel" and opened is not None:
                await store.cancel(1)
                store.detach(opened)
                opened, draft = None, published
            elif kind == "restart":
                store.close()
                where.used = where.reserved = 0
                store = make_store(io, where)
                opened, draft = None, published
            assert content(store, 1) == published
        store.close()

    asyncio.run(work())
    io.close()
