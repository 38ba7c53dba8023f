# SPDX-License-Identifier: Apache-2.0
"""How many round trips a small file costs, and that what saves them loses nothing."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import ConnectionLost
from curvine.testing.cluster import MiniCluster
from curvine.wire.codes import RpcCode

CONTENT = os.urandom(64 * 1024)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running


class Trips:
    """Calls to the master by code, and waits for workers, since the last look."""

    def __init__(self, fs: UnifiedFileSystem) -> None:
        self._stats = fs.cluster.streams.stats
        self._calls: Counter[int] = Counter()
        self._waits = 0
        self.taken()

    def taken(self) -> tuple[dict[int, int], int]:
        calls = Counter({code: sum(d.buckets) for code, d in self._stats.calls.items()})
        waits = self._stats.block_trips
        result = dict(calls - self._calls), waits - self._waits
        self._calls, self._waits = calls, waits
        return result


def run(
    cluster: MiniCluster, body: Callable[[UnifiedFileSystem], Awaitable[None]], **client: object
) -> None:
    async def with_fs() -> None:
        async with ClusterClient(cluster.conf(**client)) as connected:
            await connected.handshake()
            fs = UnifiedFileSystem(connected)
            await fs.exists("/")
            await body(fs)
            await fs.close()

    asyncio.run(with_fs())


@pytest.mark.parametrize("short_circuit", [True, False])
@pytest.mark.parametrize("replicas", [1, 2])
def test_round_trips_of_a_whole_file(
    cluster: MiniCluster, short_circuit: bool, replicas: int
) -> None:
    path = f"/whole-{short_circuit}-{replicas}"

    async def body(fs: UnifiedFileSystem) -> None:
        trips = Trips(fs)
        await fs.write_file(path, CONTENT)
        calls = {RpcCode.OPEN_FILE: 1, RpcCode.COMPLETE_FILE: 1}
        assert trips.taken() == (calls, replicas), "replicas are written side by side"
        assert await fs.read_file(path) == CONTENT
        assert trips.taken() == ({RpcCode.GET_BLOCK_LOCATIONS: 1}, 1)
        file = await fs.block_locations(path)
        assert (file.status.len, file.status.is_complete) == (len(CONTENT), True)
        assert len(file.blocks[0].locs) == replicas
        trips.taken()
        await fs.write_file(path, b"other")
        assert await fs.read_file(path) == b"other"

    run(cluster, body, short_circuit=short_circuit, replicas=replicas)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_round_trips_of_a_file_written_piece_by_piece(
    cluster: MiniCluster, short_circuit: bool
) -> None:
    """As the mount does: create, write, write, close."""

    async def body(fs: UnifiedFileSystem) -> None:
        trips = Trips(fs)
        writer = await fs.create(f"/pieces-{short_circuit}", exclusive=True)
        assert trips.taken() == ({RpcCode.CREATE_FILE: 1}, 0)
        await writer.write(0, CONTENT)
        await writer.write(len(CONTENT), CONTENT)
        # Opened; where the worker is not local, each piece goes there.
        assert trips.taken() == ({}, 1 if short_circuit else 3)
        await writer.close()
        assert trips.taken() == ({RpcCode.COMPLETE_FILE: 1}, 1)
        assert await fs.read_file(f"/pieces-{short_circuit}") == CONTENT * 2

    run(cluster, body, short_circuit=short_circuit)


def test_an_unused_first_block_leaves_nothing_behind(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await (await fs.create("/empty")).close()
        assert (await fs.block_locations("/empty")).blocks == ()
        await fs.write_file("/nothing", b"")
        assert (await fs.block_locations("/nothing")).blocks == ()
        assert await fs.read_file("/nothing") == b""
        writer = await fs.open_write("/empty")
        await writer.write(3, b"x")
        await writer.close()
        assert await fs.read_file("/empty") == b"\0\0\0x"
        writer = await fs.create("/grown")
        await writer.truncate(100_000)
        await writer.close()
        assert await fs.read_file("/grown") == bytes(100_000)
        await fs.resize((await fs.status("/nothing")).path, 10)
        assert await fs.read_file("/nothing") == bytes(10)
        # Two writers: the first to leave takes nothing away from the other.
        one, two = await fs.create("/shared"), await fs.open_write("/shared")
        await one.close()
        await two.write(0, b"two")
        await two.close()
        assert await fs.read_file("/shared") == b"two"

    run(cluster, body)


def test_a_worker_that_dies_before_its_first_block(cluster: MiniCluster) -> None:
    """The block that came with the file goes to another worker."""

    async def body(fs: UnifiedFileSystem) -> None:
        for number in range(4):
            writer = await fs.create(f"/moved-{number}")
            if not number:
                cluster.workers[0].kill()
            await writer.write(0, CONTENT)
            await writer.close()
            await fs.write_file(f"/moved-whole-{number}", CONTENT)
            for path in (f"/moved-{number}", f"/moved-whole-{number}"):
                assert await fs.read_file(path) == CONTENT
        cluster.workers[0].start()
        await fs.write_file("/after", CONTENT)  # pooled connections of the dead one
        assert await fs.read_file("/after") == CONTENT

    run(cluster, body)


def test_files_can_be_made_without_workers(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        for worker in cluster.workers:
            worker.stop()
        await (await fs.create("/no-workers")).close()
        assert (await fs.status("/no-workers")).len == 0
        for worker in cluster.workers:
            worker.start()

    run(cluster, body)


def test_fsync_reaches_every_block_and_replica(cluster: MiniCluster) -> None:
    """Blocks that were finished before, without sync, are brought to the medium as well: once."""

    async def body(fs: UnifiedFileSystem) -> None:
        trips = Trips(fs)
        mib = 1 << 20
        writer = await fs.create("/synced", block_size=mib)
        await writer.write(0, bytes(3 * mib + 10))  # three blocks are finished on the way
        trips.taken()
        await writer.flush(sync=True)
        assert trips.taken()[1] == 2 * 4, "three that were published and the open one, two replicas"
        await writer.write(3 * mib + 10, b"more")
        await writer.flush()
        trips.taken()
        await writer.flush(sync=True)
        assert trips.taken()[1] == 2, "the one that was published since"
        await writer.flush(sync=True)
        assert trips.taken()[1] == 0
        await writer.close()
        again = await fs.open_write("/synced")  # what others may have left in memory
        trips.taken()
        await again.flush(sync=True)
        assert trips.taken()[1] == 2 * 4
        await again.close()
        assert await fs.read_file("/synced") == bytes(3 * mib + 10) + b"more"

    run(cluster, body, replicas=2, block_size=1 << 20)


def test_a_file_that_was_closed_is_synced_later(cluster: MiniCluster) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await fs.write_file("/later", CONTENT)
        trips = Trips(fs)
        await fs.sync_file("/later")
        calls, waits = trips.taken()
        assert waits == 2 and calls[RpcCode.SYNC_METADATA] == 1
        cluster.workers[0].kill()
        await fs.sync_file("/later")
        cluster.workers[1].kill()
        with pytest.raises(ConnectionLost):
            await fs.sync_file("/later")  # after its patience

    async def again(fs: UnifiedFileSystem) -> None:
        waiting = asyncio.ensure_future(fs.sync_file("/later"))
        await asyncio.wait({waiting}, timeout=0.3)
        assert not waiting.done(), "it waits for one of them"
        await asyncio.to_thread(cluster.workers[1].start)
        await waiting
        await asyncio.to_thread(cluster.workers[0].start)

    run(cluster, body, replicas=2, rpc_retry_max_duration_ms=5000)
    run(cluster, again, replicas=2, rpc_retry_max_duration_ms=60_000)  # workers may start slowly
