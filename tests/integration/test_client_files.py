# SPDX-License-Identifier: Apache-2.0
"""Reading and writing through a real master and workers, near and over TCP, 1 and 2 replicas."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import AlreadyExists, IsADirectory, NotFound
from curvine.model.inode import FileType, SetAttr
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
ACTIONS = ("write", "write", "write", "read", "flush", "truncate", "reopen")
Body = Callable[[UnifiedFileSystem], Awaitable[None]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running


@pytest.fixture(params=["near", "remote", "two-replicas", "two-remote"])
def run(cluster: MiniCluster, request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Run a body against the cluster; blocks are 1 MiB, so small files have several."""
    client: dict[str, object] = {"block_size": MIB}
    if request.param in ("remote", "two-remote"):
        client["short_circuit"] = False
    if request.param.startswith("two"):
        client["replicas"] = 2

    def run_body(body: Body) -> None:
        async def with_fs() -> None:
            async with ClusterClient(cluster.conf(**client)) as connected:
                fs = UnifiedFileSystem(connected)
                root = f"/{request.param}"
                await fs.mkdir(root, create_parent=True)
                try:
                    await body(fs)
                finally:
                    await fs.delete(root, True)
                    await fs.close()

        asyncio.run(with_fs())

    run_body.root = f"/{request.param}"  # type: ignore[attr-defined]  # where the test works
    return run_body


async def put(fs: UnifiedFileSystem, path: str, content: bytes, **options: object) -> None:
    writer = await fs.create(path, block_size=MIB, **options)  # type: ignore[arg-type]  # as given
    await writer.write(0, content)
    await writer.close()


async def get(fs: UnifiedFileSystem, path: str) -> bytes:
    reader = await fs.open_read(path)
    try:
        return bytes(await reader.read(0, reader.length))
    finally:
        await reader.close()


def test_what_was_written_is_read(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture
    content = random.Random(1).randbytes(3 * MIB + 12_345)

    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, f"{root}/file", content)
        status = await fs.status(f"{root}/file")
        assert (status.len, status.is_complete) == (len(content), True)
        assert await get(fs, f"{root}/file") == content
        reader = await fs.open_read(f"{root}/file")
        choose = random.Random(2)
        ranges = [(choose.randrange(len(content)), choose.randrange(1, 200_000)) for _ in range(60)]
        parts = await asyncio.gather(*(reader.read(o, n) for o, n in ranges))
        for (offset, size), part in zip(ranges, parts, strict=True):
            assert part == content[offset : offset + size]
        assert await reader.read(len(content), 10) == b""
        got = bytearray()
        while len(got) < len(content):
            got += await reader.read(len(got), 131_072)
        assert got == content
        await reader.close()

    run(body)


def test_flush_shows_bytes_and_writing_goes_on(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture

    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create(f"{root}/log", block_size=MIB)
        expected = b""
        for round_number in range(5):
            piece = bytes([round_number]) * 300_000
            await writer.write(len(expected), piece)
            expected += piece
            assert writer.dirty
            await writer.flush(sync=round_number % 2 == 0)
            assert not writer.dirty
            assert await get(fs, f"{root}/log") == expected
        await writer.write(100, b"in the middle")
        expected = expected[:100] + b"in the middle" + expected[113:]
        assert await writer.read(0, len(expected) + 5) == expected
        await writer.close(SetAttr(mtime=1_600_000_000_000))
        assert await get(fs, f"{root}/log") == expected
        status = await fs.status(f"{root}/log")
        assert (status.mtime, status.is_complete) == (1_600_000_000_000, True)

    run(body)


def test_append_continues_the_last_block(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture

    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, f"{root}/file", b"a" * 700_000)
        for index in range(4):
            writer = await fs.open_write(f"{root}/file", append=True)
            assert writer.length == 700_000 + index * 400_000
            await writer.write(writer.length, bytes([index]) * 400_000)
            await writer.close()
        expected = b"a" * 700_000 + b"".join(bytes([i]) * 400_000 for i in range(4))
        assert await get(fs, f"{root}/file") == expected

    run(body)


def test_truncate_extend_and_holes(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture

    async def body(fs: UnifiedFileSystem) -> None:
        path = f"{root}/file"
        content = random.Random(3).randbytes(2 * MIB + 1000)
        writer = await fs.create(path, block_size=MIB)
        await writer.write(0, content)
        await writer.truncate(MIB + 10)
        assert await writer.read(0, 3 * MIB) == content[: MIB + 10]
        await writer.truncate(MIB + 500)
        await writer.write(4 * MIB + 7, b"far")
        expected = bytearray(4 * MIB + 10)
        expected[: MIB + 10] = content[: MIB + 10]
        expected[4 * MIB + 7 :] = b"far"
        assert writer.length == len(expected)
        assert await writer.read(0, len(expected)) == expected
        await writer.write(3 * MIB - 2, b"hole")
        expected[3 * MIB - 2 : 3 * MIB + 2] = b"hole"
        await writer.close()
        assert await get(fs, path) == expected
        await fs.resize(path, 2 * MIB - 1)
        assert await get(fs, path) == expected[: 2 * MIB - 1]
        await fs.resize(path, 3 * MIB)
        assert await get(fs, path) == expected[: 2 * MIB - 1] + bytes(MIB + 1)
        await fs.resize(path, 0)
        assert await get(fs, path) == b""

    run(body)


def test_random_operations_agree_with_a_model(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture

    async def body(fs: UnifiedFileSystem) -> None:
        choose = random.Random(4)
        path = f"{root}/file"
        model = bytearray()
        writer = await fs.create(path, block_size=MIB)
        for step in range(120):
            action = choose.choice(
                ["write", "write", "write", "read", "flush", "truncate", "reopen"]
            )
            if action == "write":
                offset = choose.randrange(min(len(model) + 300_000, 5 * MIB))
                data = choose.randbytes(choose.randrange(1, 400_000))
                await writer.write(offset, data)
                if len(model) < offset + len(data):
                    model.extend(bytes(offset + len(data) - len(model)))
                model[offset : offset + len(data)] = data
            elif action == "read" and model:
                offset, size = choose.randrange(len(model)), choose.randrange(1, 500_000)
                assert await writer.read(offset, size) == model[offset : offset + size], step
            elif action == "flush":
                await writer.flush()
                assert await get(fs, path) == model, step
            elif action == "truncate":
                length = choose.randrange(len(model) + 200_000)
                await writer.truncate(length)
                model = model[:length] + bytes(max(0, length - len(model)))
            elif action == "reopen":
                await writer.close()
                assert await get(fs, path) == model, step
                writer = await fs.open_write(path)
            assert writer.length == len(model), (step, action)
        await writer.close()
        assert await get(fs, path) == model

    run(body)


def test_concurrent_writes_of_one_file(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture

    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create(f"{root}/file", block_size=MIB)
        pieces = {i * 100_000: bytes([i]) * 100_000 for i in range(40)}
        await asyncio.gather(*(writer.write(offset, data) for offset, data in pieces.items()))
        await writer.close()
        assert await get(fs, f"{root}/file") == b"".join(pieces.values())

    run(body)


def test_the_namespace(run: Callable[[Body], None]) -> None:
    root = run.root  # type: ignore[attr-defined]  # see the fixture

    async def body(fs: UnifiedFileSystem) -> None:
        await fs.mkdir(f"{root}/d", mode=0o750, owner="alice", group="users")
        await put(fs, f"{root}/d/a", b"1", mode=0o600, owner="bob")
        with pytest.raises(AlreadyExists):
            await fs.create(f"{root}/d/a", exclusive=True)
        with pytest.raises(IsADirectory):
            await fs.open_read(f"{root}/d")
        with pytest.raises(NotFound):
            await fs.open_read(f"{root}/d/missing")
        await fs.symlink("a", f"{root}/d/l", owner="bob")
        assert (await fs.link(f"{root}/d/a", f"{root}/d/b")).nlink == 2
        fifo = await fs.mknod(f"{root}/d/p", file_type=FileType.FIFO, mode=0o644)
        assert fifo.file_type == FileType.FIFO
        names = [status.name for status in await fs.list(f"{root}/d")]
        assert names == ["a", "b", "l", "p"]
        page = await fs.list(f"{root}/d", limit=2, start_after="a")
        assert [status.name for status in page] == ["b", "l"]
        assert await fs.rename(f"{root}/d/a", f"{root}/d/z")
        assert not await fs.exists(f"{root}/d/a")
        assert (await fs.set_attr(f"{root}/d/z", SetAttr(mode=0o777))).mode == 0o777
        assert (await fs.status(f"{root}/d/z")).owner == "bob"
        await fs.mkdir(f"{root}/d/x[1]*")
        await put(fs, f"{root}/d/x[1]*/inside", b"")
        assert [s.name for s in await fs.list(f"{root}/d/x[1]*")] == ["inside"]
        await fs.delete(f"{root}/d", recursive=True)
        assert not await fs.exists(f"{root}/d")

    run(body)


def test_a_known_size_gives_one_block_with_a_descriptor(cluster: MiniCluster) -> None:
    async def body() -> None:
        async with ClusterClient(cluster.conf(block_size=MIB)) as connected:
            fs = UnifiedFileSystem(connected)
            content = os.urandom(5 * MIB + 3)
            writer = await fs.create("/big", size_hint=len(content))
            for offset in range(0, len(content), MIB):
                await writer.write(offset, content[offset : offset + MIB])
            await writer.close()
            assert len((await fs.block_locations("/big")).blocks) == 1
            reader = await fs.open_read("/big")
            fd = await reader.local_fd()
            assert fd is not None
            assert os.pread(fd, len(content) + 1, 0) == content
            await reader.close()
            await fs.delete("/big")
            await fs.close()

    asyncio.run(body())


def test_abort_leaves_the_published_bytes(cluster: MiniCluster, tmp_path: Path) -> None:
    async def body() -> None:
        async with ClusterClient(cluster.conf(block_size=MIB)) as connected:
            fs = UnifiedFileSystem(connected)
            writer = await fs.create("/aborted")
            await writer.write(0, b"published")
            await writer.flush()
            await writer.write(0, b"discarded and longer" * 1000)
            await writer.abort()
            assert await get(fs, "/aborted") == b"published"
            assert (await fs.status("/aborted")).is_complete
            await fs.delete("/aborted")
            await fs.close()

    asyncio.run(body())
