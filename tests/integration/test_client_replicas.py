# SPDX-License-Identifier: Apache-2.0
"""Two replicas: a worker that is killed or hangs makes no error and costs no bytes, no replica."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster, Process

MIB = 1 << 20
CONTENT = random.Random(12).randbytes(6 * MIB)
ROUNDS = int(os.environ.get("CURVINE_FAULT_ROUNDS", "1"))  # of each kill, for the long form

Body = Callable[[UnifiedFileSystem], Awaitable[None]]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster"), workers=3) as running:
        yield running


@pytest.fixture
def cluster(started: MiniCluster) -> MiniCluster:
    """All workers run, and nothing is there."""
    for worker in started.workers:
        if not worker.running:
            worker.start()
    return started


@pytest.fixture(params=[True, False], ids=["near", "remote"])
def run(cluster: MiniCluster, request: pytest.FixtureRequest) -> Callable[[Body], None]:
    def run_body(body: Body, **client: object) -> None:
        async def with_fs() -> None:
            options = {"replicas": 2, "block_size": MIB, "short_circuit": request.param, **client}
            async with ClusterClient(cluster.conf(**options)) as connected:
                await connected.handshake()
                fs = UnifiedFileSystem(connected)
                await body(fs)
                for entry in await fs.list("/"):
                    await fs.delete(entry.path, True)
                await fs.close()

        asyncio.run(with_fs())

    return run_body


async def holders(fs: UnifiedFileSystem, path: str) -> list[set[int]]:
    """The ports of the workers of every block."""
    file = await fs.block_locations(path)
    return [{worker.rpc_port for worker in block.locs} for block in file.blocks]


def at(cluster: MiniCluster, port: int) -> Process:
    return cluster.workers[cluster.worker_ports.index(port)]


def test_a_write_goes_on_and_keeps_its_replicas(
    cluster: MiniCluster, run: Callable[[Body], None]
) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        for number in range(ROUNDS):
            path = f"/file-{number}"
            victim = cluster.workers[number % 3]
            writer = await fs.create(path, block_size=MIB)
            for offset in range(0, len(CONTENT), 100_000):
                if offset == 2_500_000:
                    victim.kill()
                await writer.write(offset, CONTENT[offset : offset + 100_000])
            await writer.close()
            assert await fs.read_file(path) == CONTENT
            port = cluster.worker_ports[number % 3]
            for block in (await holders(fs, path))[2:]:
                assert len(block - {port}) == 2, "another worker took the place of the dead one"
            victim.start()

    run(body)


def test_what_was_written_survives_one_worker_after_the_other(
    cluster: MiniCluster, run: Callable[[Body], None]
) -> None:
    """Each answered write has its two replicas again, also in the middle of a block."""

    async def body(fs: UnifiedFileSystem) -> None:
        for number in range(ROUNDS):
            path = f"/file-{number}"
            writer = await fs.create(path, block_size=16 * MIB)
            await writer.write(0, CONTENT[: 2 * MIB])
            victims = random.Random(number).sample(cluster.workers, 2)
            for begin, victim in zip((2 * MIB, 4 * MIB), victims, strict=True):
                victim.kill()
                await writer.write(begin, CONTENT[begin : begin + 2 * MIB])
                if number % 2:
                    await writer.flush()
            await writer.close()
            assert await fs.read_file(path) == CONTENT
            for victim in victims:
                victim.start()

    run(body)


def test_published_blocks_are_changed_without_the_dead_replica(
    cluster: MiniCluster, run: Callable[[Body], None]
) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        await writer.write(0, CONTENT[: MIB // 2])
        await writer.flush(sync=True)
        (before,) = await holders(fs, "/file")
        port = min(before)
        at(cluster, port).kill()
        began = time.monotonic()
        await writer.write(1000, b"changed")
        await writer.flush(sync=True)
        await writer.write(MIB // 2, b"appended")
        await writer.close()
        assert time.monotonic() - began < 10, "it did not wait for the dead worker"
        expected = CONTENT[:1000] + b"changed" + CONTENT[1007 : MIB // 2] + b"appended"
        assert await fs.read_file("/file") == expected
        at(cluster, port).start()  # with the old bytes
        for _ in range(20):
            (now,) = await holders(fs, "/file")
            assert port not in now
            assert await fs.read_file("/file") == expected
        assert len(now) == 2
        await fs.resize("/file", 2000)
        assert await fs.read_file("/file") == expected[:2000]

    run(body)


def test_truncation_without_one_replica(cluster: MiniCluster, run: Callable[[Body], None]) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await fs.write_file("/file", CONTENT[:MIB])
        (before,) = await holders(fs, "/file")
        port = min(before)
        at(cluster, port).kill()
        await fs.resize("/file", 1000)
        await fs.resize("/file", 3000)
        at(cluster, port).start()
        for _ in range(10):
            assert await fs.read_file("/file") == CONTENT[:1000] + bytes(2000)
        assert port not in (await holders(fs, "/file"))[0]

    run(body)


def test_a_hanging_worker_delays_readers_for_a_moment(
    cluster: MiniCluster, run: Callable[[Body], None]
) -> None:
    """Time-outs are far away (two minutes): what helps is asking the other replica."""

    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        await writer.write(0, CONTENT)
        await writer.close()
        reader = await fs.open_read("/file")
        assert await reader.read(0, 1000) == CONTENT[:1000]
        cluster.workers[0].pause()
        try:
            longest = 0.0
            for offset in range(0, len(CONTENT), 128 * 1024):
                began = time.monotonic()
                piece = await reader.read(offset, 128 * 1024)
                longest = max(longest, time.monotonic() - began)
                assert piece == CONTENT[offset : offset + 128 * 1024]
            assert longest < 5, "about a second on a quiet machine"
            assert await asyncio.wait_for(fs.read_file("/file"), 10) == CONTENT
        finally:
            cluster.workers[0].resume()
        await reader.close()

    run(body)


def test_a_hanging_worker_is_left_out_of_a_write(
    cluster: MiniCluster, run: Callable[[Body], None]
) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        await writer.write(0, CONTENT[:1000])
        cluster.workers[0].pause()
        try:
            await asyncio.wait_for(writer.write(1000, CONTENT[1000:]), 30)
            await asyncio.wait_for(writer.close(), 30)
            assert await asyncio.wait_for(fs.read_file("/file"), 30) == CONTENT
        finally:
            cluster.workers[0].resume()

    run(body, data_timeout_ms=700)  # type: ignore[call-arg]  # keys of [client]
