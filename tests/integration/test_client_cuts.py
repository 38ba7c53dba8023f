# SPDX-License-Identifier: Apache-2.0
"""A connection with a worker that is cut at any frame, or the worker killed there: no error, no
byte lost, whichever replicas there are.

One session of a user is replayed with a cut at each of its request frames in turn, in each of four
places: before the worker sees it, in the middle of it, before its reply, in the middle of that.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cut_proxy import PLACES, Address, Cut, CutProxy

from curvine.client import streams
from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
CONTENT = random.Random(41).randbytes(3 * MIB)
LONG = int(os.environ.get("CURVINE_FAULT_ROUNDS", "1")) > 1  # every frame, in every place
pytestmark = pytest.mark.timeout(3600 if LONG else 300)


PATIENCE = 100  # s: a restart takes seconds, on a busy machine many


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_PATIENCE", PATIENCE)


@pytest.fixture(scope="module")
def keeper() -> Iterator[ThreadPoolExecutor]:
    """Starts workers while a loop runs; they die with the thread that started them."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def started(
    keeper: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MiniCluster]:
    cluster = MiniCluster(tmp_path_factory.mktemp("cluster"), workers=2)
    keeper.submit(cluster.start).result()
    yield cluster
    keeper.submit(cluster.stop).result()


@pytest.fixture
def cluster(started: MiniCluster, keeper: ThreadPoolExecutor) -> MiniCluster:
    start_all(started, keeper)
    return started


def start_all(cluster: MiniCluster, keeper: ThreadPoolExecutor) -> None:
    """Also wait for one that is just being started."""

    def start() -> None:
        for worker in cluster.workers:
            if not worker.running:
                worker.start()

    keeper.submit(start).result()


async def session(fs: UnifiedFileSystem) -> None:
    """Everything that a file can be asked for on a worker's connection."""
    expected = bytearray(CONTENT[: 2 * MIB + 50_000])
    writer = await fs.create("/file", block_size=2 * MIB)
    for offset in range(0, len(expected), 700_000):
        await writer.write(offset, expected[offset : offset + 700_000])
    await writer.flush()  # published, not durable
    await writer.flush(sync=True)  # durable as it is
    expected += b"appended"
    await writer.write(2 * MIB + 50_000, b"appended")
    expected[1000:1007] = b"changed"
    await writer.write(1000, b"changed")
    await writer.flush(sync=True)
    assert await writer.read(500, 1000) == expected[500:1500]
    await writer.write(len(expected), CONTENT[-300_000:])
    expected += CONTENT[-300_000:]
    await writer.close()
    reader = await fs.open_read("/file")
    for offset in (0, MIB, 2 * MIB - 10_000, 100, len(expected) - 200_000):
        size = min(200_000, len(expected) - offset)
        assert await reader.read(offset, size) == expected[offset : offset + size]
    await reader.close()
    await fs.resize("/file", 2 * MIB + 1000)
    await fs.resize("/file", 2 * MIB + 3000)
    assert await fs.read_file("/file") == expected[: 2 * MIB + 1000] + bytes(2000)
    await fs.write_file("/small", CONTENT[:60_000])
    assert await fs.read_file("/small") == CONTENT[:60_000]


async def checked(cluster: MiniCluster, cut: Cut | None, replicas: int, near: bool) -> CutProxy:
    """The session on a client of its own; what it left is there for another client as well."""
    conf = cluster.conf(
        short_circuit=near, replicas=replicas, rpc_retry_max_duration_ms=PATIENCE * 1000
    )
    async with ClusterClient(conf) as client:
        await client.handshake()
        fs = UnifiedFileSystem(client)
        with CutProxy(client.pool, cut) as proxy:
            await asyncio.wait_for(session(fs), 2 * PATIENCE)
        await fs.close()
    assert cut is None or cut.done, "the session never came to this frame"
    async with ClusterClient(conf) as client:
        await client.handshake()
        fs = UnifiedFileSystem(client)
        assert await fs.read_file("/small") == CONTENT[:60_000]
        assert (await fs.status("/file")).len == 2 * MIB + 3000
        for path in ("/file", "/small"):
            await fs.delete(path, False)
        await fs.close()
    return proxy


def sweep(
    cluster: MiniCluster,
    replicas: int,
    near: bool,
    cuts: Callable[[int], list[Cut]],
    before: Callable[[], None] = lambda: None,
) -> None:
    async def run() -> None:
        proxy = await checked(cluster, None, replicas, near)
        for number, request in enumerate(proxy.requests):
            for cut in cuts(number):
                before()
                try:
                    await checked(cluster, cut, replicas, near)
                except BaseException as error:
                    error.add_note(f"frame {number} {request}, {cut.place}, reset: {cut.reset}")
                    raise

    asyncio.run(run())


@pytest.mark.parametrize("near", [True, False], ids=["near", "remote"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_connections_cut_in_each_state(cluster: MiniCluster, replicas: int, near: bool) -> None:
    """In `make test` one place for each frame of one replica, and for every sixth of two."""

    def cuts(number: int) -> list[Cut]:
        if LONG:
            return [Cut(number, place, reset=r) for place in PLACES for r in (False, True)]
        if replicas == 2 and (number + near) % 6:
            return []
        turn = number // replicas + near
        return [Cut(number, PLACES[turn % 4], reset=turn // 4 % 2 == 1)]

    sweep(cluster, replicas, near, cuts)


@pytest.mark.parametrize("near", [True, False], ids=["near", "remote"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_workers_killed_in_each_state(
    cluster: MiniCluster, keeper: ThreadPoolExecutor, replicas: int, near: bool
) -> None:
    """The only replica is started again at once, one of two stays away; in `make test` at a few
    frames."""

    def kill(address: Address) -> None:
        port = int(address.rpartition("/")[2]) if isinstance(address, str) else address[1]
        worker = cluster.workers[cluster.worker_ports.index(port)]
        worker.kill()
        if replicas == 1:
            keeper.submit(worker.start)

    def cuts(number: int) -> list[Cut]:
        if LONG:
            return [Cut(number, place, then=kill) for place in PLACES]
        turn = number + 7 * replicas + 3 * near
        step = 48 if replicas == 2 else 24
        return [Cut(number, PLACES[turn // step % 4], then=kill)] if turn % step == 0 else []

    sweep(cluster, replicas, near, cuts, lambda: start_all(cluster, keeper))
