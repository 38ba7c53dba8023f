# SPDX-License-Identifier: Apache-2.0
"""Replicas with real processes: a worker dies and its blocks are copied, it returns and spare
replicas go; a worker is decommissioned and its data are moved before it is done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster

SETTINGS = {
    "master": {
        "worker_check_interval": "500ms",
        "worker_blacklist_interval": "2s",
        "worker_lost_interval": "4s",
        "block_replication_retry_interval": "500ms",
        "heartbeat_interval": "300ms",
    },
    "client": {"replicas": 2, "block_size": "1MB"},
}
FILES = {f"/d/f{index}": os.urandom(700_000 * (index + 1)) for index in range(4)}  # 1 to 3 blocks


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path / "cluster", workers=3, settings=SETTINGS) as running:
        yield running


async def until(what: Callable[[], Awaitable[bool]], cluster: MiniCluster, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await what():
        assert time.monotonic() < deadline, f"it did not happen in time\n{cluster.logs()}"
        await asyncio.sleep(0.1)


async def store_files(fs: UnifiedFileSystem) -> None:
    await fs.mkdir("/d", mode=0o755, owner="u", group="g")
    for path, data in FILES.items():
        file = await fs.create(
            path, mode=0o644, owner="u", group="g", exclusive=True, truncate=False
        )
        await file.write(0, data)
        await file.close()


async def holders(client: ClusterClient, path: str) -> list[set[int]]:
    """The workers of each block of a file."""
    located = await client.ns.block_locations(path)
    return [{worker.worker_id for worker in block.locs} for block in located.blocks]


async def all_holders(client: ClusterClient) -> list[set[int]]:
    return [workers for path in FILES for workers in await holders(client, path)]


def block_files(cluster: MiniCluster, worker: int) -> dict[str, str]:
    """Name -> digest of every published block of a worker."""
    found = cluster.root.glob(f"worker-{worker}/data/*/active/*/*/blk_*")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def check_replicas(cluster: MiniCluster, workers: tuple[int, ...], copies: int) -> None:
    """Every block lies ``copies`` times on these workers, the same everywhere."""
    seen: dict[str, list[str]] = {}
    for worker in workers:
        for name, digest in block_files(cluster, worker).items():
            seen.setdefault(name, []).append(digest)
    assert {name: len(digests) for name, digests in seen.items()} == dict.fromkeys(seen, copies)
    assert all(len(set(digests)) == 1 for digests in seen.values())


async def check_contents(fs: UnifiedFileSystem) -> None:
    for path, data in FILES.items():
        reader = await fs.open_read(path)
        assert bytes(await reader.read(0, len(data))) == data
        await reader.close()


async def worker_id_of(client: ClusterClient, port: int) -> int:
    info = await client.admin.filesystem_info()
    everybody = (*info.live_workers, *info.blacklist_workers, *info.decommission_workers)
    return next(w.address.worker_id for w in everybody if w.address.rpc_port == port)


def test_blocks_of_a_lost_worker_are_copied_and_spare_ones_trimmed(cluster: MiniCluster) -> None:
    async def work() -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            await store_files(fs)
            lost = await worker_id_of(client, cluster.worker_ports[0])
            assert any(lost in workers for workers in await all_holders(client))
            cluster.workers[0].kill()

            async def repaired() -> bool:
                return all(
                    len(workers) == 2 and lost not in workers
                    for workers in await all_holders(client)
                )

            await until(repaired, cluster, 120)
            check_replicas(cluster, (1, 2), 2)
            await check_contents(fs)
            cluster.workers[0].start()  # with all the blocks it had

            async def trimmed() -> bool:
                names = [block_files(cluster, worker) for worker in range(3)]
                total = sum(len(blocks) for blocks in names)
                now = await all_holders(client)
                return total == 2 * len(now) and all(len(workers) == 2 for workers in now)

            await until(trimmed, cluster, 120)
            check_replicas(cluster, (0, 1, 2), 2)
            await check_contents(fs)
            await fs.close()

    asyncio.run(work())


def admin(cluster: MiniCluster, path: str) -> str:
    """What the master's HTTP answers to an administrator on its own host."""
    port = cluster.conf().master.web_port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return str(reply.read().decode())


def test_decommission_moves_data_and_outlives_the_master(cluster: MiniCluster) -> None:
    leaving = f"127.0.0.1:{cluster.worker_ports[1]}"

    async def work() -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            await store_files(fs)
            worker_id = await worker_id_of(client, cluster.worker_ports[1])
            held = [workers for workers in await all_holders(client) if worker_id in workers]
            assert held, "it has something to move"
            assert f"{worker_id}," in admin(cluster, f"/add-dcm?workers={leaving}")
            cluster.master.kill()  # at once: the order is on disk
            cluster.master.start()

            async def is_done() -> bool:
                workers = json.loads(admin(cluster, "/api/workers"))["live_workers"]
                row = next(w for w in workers if w["address"]["worker_id"] == worker_id)
                assert row["status"] == "Decommission"
                return bool(row["decommission"]["done"])

            await until(is_done, cluster, 120)
            for workers in await all_holders(client):
                assert len(workers - {worker_id}) == 2
            check_replicas(cluster, (0, 2), 2)
            cluster.master.kill()
            cluster.master.start()
            assert await is_done(), "known without looking again"
            cluster.workers[1].kill()
            await check_contents(fs)
            cluster.workers[1].start()
            assert await is_done(), "a restart of the worker does not bring it back"
            file = await fs.create(
                "/d/new", mode=0o644, owner="u", group="g", exclusive=True, truncate=False
            )
            await file.write(0, b"x" * 100)
            await file.close()
            assert worker_id not in (await holders(client, "/d/new"))[0]
            assert f"{worker_id}," in admin(cluster, f"/remove-dcm?workers={leaving}")

            async def spare_is_gone() -> bool:
                return all(len(workers) == 2 for workers in await all_holders(client))

            await until(spare_is_gone, cluster, 120)
            await check_contents(fs)
            await fs.close()

    asyncio.run(work())


def test_files_written_with_fewer_copies_are_completed(tmp_path: Path) -> None:
    with MiniCluster(tmp_path / "cluster", workers=2, settings=SETTINGS) as cluster:
        cluster.workers[1].stop()

        async def work() -> None:
            async with ClusterClient(cluster.conf()) as client:
                fs = UnifiedFileSystem(client)
                await store_files(fs)
                assert {len(workers) for workers in await all_holders(client)} == {1}
                cluster.workers[1].start()

                async def complete() -> bool:
                    return {len(workers) for workers in await all_holders(client)} == {2}

                await until(complete, cluster, 120)
                check_replicas(cluster, (0, 1), 2)
                await fs.close()

        asyncio.run(work())
