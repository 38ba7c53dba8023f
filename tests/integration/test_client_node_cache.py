# SPDX-License-Identifier: Apache-2.0
"""The read cache of a node without a worker: filled by reading, shared, never stale, bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.node_cache import NodeCache
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
CONTENT = os.urandom(3 * MIB + 123)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def run(
    cluster: MiniCluster,
    directory: Path,
    body: Callable[[UnifiedFileSystem, NodeCache], Awaitable[None]],
    size: int = 64 * MIB,
) -> None:
    """A client that no worker's socket answers, as on another node."""

    async def with_fs() -> None:
        conf = cluster.conf(
            short_circuit=False, node_cache_dir=str(directory), node_cache_size=size
        )
        async with ClusterClient(conf) as connected:
            fs = UnifiedFileSystem(connected)
            cache = connected.streams.node_cache
            assert cache is not None
            await body(fs, cache)
            await fs.close()

    asyncio.run(with_fs())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # background work brings it about
            await asyncio.sleep(0.01)


async def local(fs: UnifiedFileSystem, path: str) -> bytes | None:
    """What a passthrough read would see; None: there is no descriptor."""
    reader = await fs.open_read(path)
    try:
        fd = await reader.local_fd()
        return None if fd is None else os.pread(fd, reader.length + 1, 0)
    finally:
        await reader.close()


def test_what_was_read_is_here_for_the_next(cluster: MiniCluster, tmp_path: Path) -> None:
    async def body(fs: UnifiedFileSystem, cache: NodeCache) -> None:
        await fs.write_file("/file", CONTENT)
        assert await fs.read_file("/file") == CONTENT
        await until(lambda: cache.filled == 1)
        assert await local(fs, "/file") == CONTENT
        before = fs.cluster.streams.stats.block_trips
        assert await fs.read_file("/file") == CONTENT
        assert fs.cluster.streams.stats.block_trips == before, "no worker was asked"
        # Written again, also with the same length: other bytes at once.
        other = bytes(len(CONTENT))
        await fs.write_file("/file", other)
        assert await local(fs, "/file") is None
        assert await fs.read_file("/file") == other
        await until(lambda: cache.filled == 2)
        assert await local(fs, "/file") == other

    async def another_process(fs: UnifiedFileSystem, cache: NodeCache) -> None:
        assert await local(fs, "/file") is None, "compared with its checksum first"
        await until(lambda: bool(cache._trusted))
        assert await local(fs, "/file") == bytes(len(CONTENT))
        assert cache.filled == 0

    run(cluster, tmp_path, body)
    run(cluster, tmp_path, another_process)
    assert all(path.stat().st_mode & 0o77 == 0 for path in tmp_path.rglob("*"))


def test_a_damaged_file_is_not_served(cluster: MiniCluster, tmp_path: Path) -> None:
    async def body(fs: UnifiedFileSystem, cache: NodeCache) -> None:
        await fs.write_file("/damaged", CONTENT)
        await fs.read_file("/damaged")
        await until(lambda: cache.filled == 1)

    async def again(fs: UnifiedFileSystem, cache: NodeCache) -> None:
        assert await fs.read_file("/damaged") == CONTENT
        await until(lambda: not path.exists())
        assert await fs.read_file("/damaged") == CONTENT
        await until(lambda: cache.filled == 1)
        assert await local(fs, "/damaged") == CONTENT

    run(cluster, tmp_path, body)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(b"flipped")
    run(cluster, tmp_path, again)


def test_it_stays_within_its_size(cluster: MiniCluster, tmp_path: Path) -> None:
    async def body(fs: UnifiedFileSystem, cache: NodeCache) -> None:
        for number in range(12):
            await fs.write_file(f"/many-{number}", CONTENT[:MIB])
            assert await fs.read_file(f"/many-{number}") == CONTENT[:MIB]
            await until(lambda expected=number + 1: cache.filled == expected)  # type: ignore[misc]
        used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        assert 3 * MIB <= used <= 4 * MIB
        assert await local(fs, "/many-11") == CONTENT[:MIB]
        await fs.write_file("/too-large", CONTENT)
        assert await fs.read_file("/too-large") == CONTENT
        assert cache.filled == 12

    run(cluster, tmp_path, body, size=4 * MIB)
