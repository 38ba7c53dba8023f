# SPDX-License-Identifier: Apache-2.0
"""Servers that die or hang under a reader or writer: right bytes, and errors only where due."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.client.writer import FileWriter
from curvine.errors import CurvineError, IoFailed, NoAvailableWorker
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
CONTENT = random.Random(11).randbytes(8 * MIB)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path, workers=2) as running:
        yield running


def run(
    cluster: MiniCluster, body: Callable[[UnifiedFileSystem], Awaitable[None]], **client: object
) -> None:
    async def with_fs() -> None:
        conf = cluster.conf(**{"block_size": MIB, "short_circuit": False, **client})
        async with ClusterClient(conf) as connected:
            fs = UnifiedFileSystem(connected)
            await body(fs)
            await fs.close()

    asyncio.run(with_fs())


async def put(fs: UnifiedFileSystem, path: str, content: bytes) -> None:
    writer = await fs.create(path, block_size=MIB)
    await writer.write(0, content)
    await writer.close()


async def get(fs: UnifiedFileSystem, path: str) -> bytes:
    reader = await fs.open_read(path)
    try:
        return bytes(await reader.read(0, reader.length))
    finally:
        await reader.close()


@pytest.mark.parametrize("short_circuit", [True, False])
def test_a_worker_killed_under_a_reader(cluster: MiniCluster, short_circuit: bool) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, "/file", CONTENT)
        reader = await fs.open_read("/file")
        got = bytearray()
        while len(got) < len(CONTENT):
            if len(got) == 2 * MIB:
                cluster.workers[0].kill()
            got += await reader.read(len(got), 128 * 1024)
        assert got == CONTENT
        await reader.close()
        began = time.monotonic()
        assert await get(fs, "/file") == CONTENT
        assert time.monotonic() - began < 2, "the dead worker is remembered"

    run(cluster, body, replicas=2, short_circuit=short_circuit)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_closing_a_reader_that_reads(cluster: MiniCluster, short_circuit: bool) -> None:
    """Its reads end, and whoever gets their connection next gets no answers meant for them."""

    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, "/file", CONTENT)
        for turns in range(12):
            reader = await fs.open_read("/file")
            await reader.read(turns * 1000, 1000)
            reads = [asyncio.ensure_future(reader.read(at * MIB + 7, MIB // 2)) for at in range(7)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await reader.close()
            assert await get(fs, "/file") == CONTENT
            for at, read in enumerate(reads):
                try:
                    assert await read == CONTENT[at * MIB + 7 : at * MIB + 7 + MIB // 2]
                except IoFailed as error:
                    assert "closed" in str(error)

    run(cluster, body, short_circuit=short_circuit)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_a_worker_killed_under_a_writer(cluster: MiniCluster, short_circuit: bool) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        for offset in range(0, len(CONTENT), 100_000):
            if offset == 2_500_000:
                cluster.workers[0].kill()
            await writer.write(offset, CONTENT[offset : offset + 100_000])
        await writer.close()
        assert await get(fs, "/file") == CONTENT

    run(cluster, body, replicas=2, short_circuit=short_circuit)


def test_a_block_moves_to_another_worker_when_its_own_is_dead(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        cluster.workers[1].kill()
        await put(fs, "/file", CONTENT)
        assert await get(fs, "/file") == CONTENT

    run(cluster, body, replicas=1)


def test_a_lost_last_replica_is_an_error_and_a_returned_one_is_used(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, "/file", CONTENT[: 3 * MIB])
        for worker in cluster.workers:
            worker.kill()
        with pytest.raises(NoAvailableWorker):
            await get(fs, "/file")
        for worker in cluster.workers:
            worker.start()
        assert await get(fs, "/file") == CONTENT[: 3 * MIB]

    run(cluster, body, rpc_retry_max_duration_ms=1000)


def test_pooled_connections_survive_a_restart_of_the_worker(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, "/file", CONTENT)
        reader = await fs.open_read("/file")
        assert await reader.read(0, 1000) == CONTENT[:1000]
        for worker in cluster.workers:
            worker.stop()
            worker.start()
        assert await reader.read(MIB, 5 * MIB) == CONTENT[MIB : 6 * MIB]
        await reader.close()
        await put(fs, "/other", CONTENT)
        assert await get(fs, "/other") == CONTENT

    run(cluster, body)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_a_hanging_worker_is_left_after_the_time_out(
    cluster: MiniCluster, short_circuit: bool
) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await put(fs, "/file", CONTENT)
        cluster.workers[0].pause()
        try:
            assert await get(fs, "/file") == CONTENT
            began = time.monotonic()
            assert await get(fs, "/file") == CONTENT
            assert time.monotonic() - began < 0.9, "the hanging worker is remembered"
        finally:
            cluster.workers[0].resume()

    run(cluster, body, replicas=2, short_circuit=short_circuit, data_timeout_ms=1000)


def test_a_master_killed_under_a_writer(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        await writer.write(0, CONTENT[: 3 * MIB])
        await writer.flush(sync=True)
        cluster.master.kill()
        cluster.master.start()
        assert await get(fs, "/file") == CONTENT[: 3 * MIB]
        for _ in range(100):  # workers introduce themselves to the new master
            try:
                await writer.write(3 * MIB, CONTENT[3 * MIB :])
                break
            except CurvineError:
                await asyncio.sleep(0.1)
        await writer.close()
        assert await get(fs, "/file") == CONTENT

    run(cluster, body)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_bytes_of_a_killed_writer_are_recovered(cluster: MiniCluster, short_circuit: bool) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        await writer.write(0, CONTENT[:100_000])
        await writer.flush()
        for offset in range(100_000, 2_500_000, 100_000):
            await writer.write(offset, CONTENT[offset : offset + 100_000])
        await writer.write(50, b"rewritten")
        # No close: the process of this writer is gone, its connections with it.

    async def next_process(fs: UnifiedFileSystem) -> None:
        assert (await fs.status("/file")).len < 2_500_000
        writer = await fs.open_write("/file")
        assert isinstance(writer, FileWriter)
        await writer.recover(2_500_000)
        assert (writer.length, writer.dirty) == (2_500_000, True)
        await writer.write(2_500_000, b"more")
        await writer.close()
        expected = CONTENT[:50] + b"rewritten" + CONTENT[59:2_500_000] + b"more"
        assert await get(fs, "/file") == expected

    run(cluster, body, short_circuit=short_circuit)
    run(cluster, next_process, short_circuit=short_circuit)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_what_a_killed_writer_was_not_told_of_is_begun_anew(
    cluster: MiniCluster, short_circuit: bool
) -> None:
    """Its worker was killed as well and has parts of a write that nobody waits for any more."""

    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=MIB)
        await writer.write(0, CONTENT[:100_000])  # its server dies before it can answer

    async def next_process(fs: UnifiedFileSystem) -> None:
        writer = await fs.open_write("/file")
        assert isinstance(writer, FileWriter)
        await writer.recover(0)
        await writer.write(40, b"asked for again")
        await writer.close()
        assert await get(fs, "/file") == bytes(40) + b"asked for again"

    cluster.workers[1].kill()  # there is no other worker to go to
    run(cluster, body, short_circuit=short_circuit)
    cluster.workers[0].kill()
    cluster.workers[0].start()
    run(cluster, next_process, short_circuit=short_circuit)
