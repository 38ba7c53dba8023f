# SPDX-License-Identifier: Apache-2.0
"""Blocks move between tiers: hot ones up, cold ones down, and nothing is lost by a kill."""

from __future__ import annotations

import asyncio
import os
import random
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
ROUNDS = int(os.environ.get("CURVINE_FAULT_ROUNDS", "3"))  # kills
QUICK = {"tier_interval": "50ms", "tier_move_rate": "1GB", "scrub_rate": "0"}
CONTENT = {f"/f{n}": random.Random(n).randbytes(MIB + n) for n in range(12)}

Body = Callable[[UnifiedFileSystem], Awaitable[None]]


def start(tmp_path: Path, *dirs: str, **worker: object) -> MiniCluster:
    settings = {"master": {"heartbeat_interval": "200ms"}, "worker": {**QUICK, **worker}}
    return MiniCluster(tmp_path / "c", settings=settings, data_dirs=dirs)


def play(cluster: MiniCluster, body: Body, **client: object) -> None:
    async def run() -> None:
        async with ClusterClient(cluster.conf(**client)) as connected:
            await connected.handshake()
            fs = UnifiedFileSystem(connected)
            await body(fs)
            await fs.close()

    asyncio.run(run())


async def settled(what: Callable[[], bool], cluster: MiniCluster) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, f"it did not happen in time\n{cluster.logs()}"
        await asyncio.sleep(0.02)


def stored(cluster: MiniCluster, tier: str = "*") -> dict[str, int]:
    """Block files of a tier: name -> length."""
    found = (cluster.root / "worker-0").glob(f"{tier}/*/active/*/*/blk_*")
    return {path.name: path.stat().st_size for path in found if path.exists()}


def left_over(cluster: MiniCluster) -> list[Path]:
    return list((cluster.root / "worker-0").glob("*/*/staging/*"))


async def metric(fs: UnifiedFileSystem, name: str) -> float:
    info = await fs.filesystem_info()
    port = info.live_workers[0].address.web_port

    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    for line in (await asyncio.to_thread(fetch)).splitlines():
        if line.split("{")[0].split(" ")[0] == name:
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


async def store(fs: UnifiedFileSystem) -> None:
    for path, data in CONTENT.items():
        await fs.write_file(path, data)


async def check(fs: UnifiedFileSystem) -> None:
    for path, data in CONTENT.items():
        assert await fs.read_file(path) == data, path


async def counted_right(fs: UnifiedFileSystem, cluster: MiniCluster) -> None:
    """What the worker believes to be used is what lies on its disks."""
    assert await metric(fs, "fs_used") == sum(map(len, CONTENT.values()))
    assert sum(stored(cluster).values()) == sum(map(len, CONTENT.values()))


def test_hot_blocks_go_up_and_readers_keep_theirs(tmp_path: Path) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await store(fs)
        assert len(stored(cluster, "slow")) == len(CONTENT)
        early = await fs.open_read("/f3")
        fd = await early.local_fd()
        assert fd is not None
        for _ in range(4):
            async with asyncio.timeout(10):
                assert await fs.read_file("/f3") == CONTENT["/f3"]
        await settled(lambda: len(stored(cluster, "slow")) == len(CONTENT) - 1, cluster)
        assert list(stored(cluster, "fast").values()) == [len(CONTENT["/f3"])]
        assert os.fstat(fd).st_nlink == 0, "the old file is gone, its reader keeps it"
        assert await early.read(0, len(CONTENT["/f3"])) == CONTENT["/f3"]
        await early.close()
        await check(fs)
        await counted_right(fs, cluster)
        assert await metric(fs, "worker_promoted_blocks") == 1

        writer = await fs.open_write("/f3", append=True)  # and it can be written to
        await writer.write(len(CONTENT["/f3"]), b"more")
        await writer.close()
        assert await fs.read_file("/f3") == CONTENT["/f3"] + b"more"
        await fs.delete("/f3", False)
        await settled(lambda: not stored(cluster, "fast"), cluster)

    with start(tmp_path, "[SSD:8MB]fast", "[HDD:64MB]slow") as cluster:
        play(cluster, body, storage_type="hdd", block_size="16MB")


def test_a_full_tier_gives_cold_blocks_away(tmp_path: Path) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await store(fs)
        for _ in range(4):
            await fs.read_file("/f11")
        await settled(lambda: sum(stored(cluster, "fast").values()) <= 8 * MIB, cluster)
        await check(fs)
        await counted_right(fs, cluster)
        assert len(CONTENT["/f11"]) in stored(cluster, "fast").values(), "the hot one stays"
        assert await metric(fs, "worker_demoted_blocks") >= 4

    with start(
        tmp_path, "[SSD:16MB]fast", "[HDD:64MB]slow", tier_high_water=0.5, tier_low_water=0.5
    ) as cluster:
        play(cluster, body, storage_type="ssd", block_size="2MB")


def test_kills_while_blocks_move(tmp_path: Path) -> None:
    """Whenever the worker dies: every block is there, once, and right."""

    async def heat(fs: UnifiedFileSystem) -> None:
        for _ in range(4):
            await check(fs)

    async def after(fs: UnifiedFileSystem) -> None:
        await check(fs)
        await counted_right(fs, cluster)

    tiers = ("[SSD:64MB]{}one", "[HDD:64MB]{}two"), ("[HDD:64MB]{}one", "[SSD:64MB]{}two")
    with start(tmp_path, *(tier.format("") for tier in tiers[0]), tier_move_rate="16MB") as cluster:
        play(cluster, store, storage_type="hdd", block_size="16MB")
        (worker,) = cluster.workers
        moments = random.Random(7)
        conf, here = worker.conf.read_text(), f"{cluster.root}/worker-0/"
        first = ", ".join(f'"{tier.format(here)}"' for tier in tiers[0])
        assert first in conf
        for number in range(ROUNDS):
            play(cluster, heat)
            fast = "two" if number % 2 else "one"
            enough = min(len(stored(cluster, fast)) + moments.randrange(1, 4), len(CONTENT))
            asyncio.run(settled(lambda f=fast, n=enough: len(stored(cluster, f)) >= n, cluster))
            worker.kill()
            assert len(stored(cluster)) == len(CONTENT)
            then = ", ".join(f'"{tier.format(here)}"' for tier in tiers[(number + 1) % 2])
            worker.conf.write_text(conf.replace(first, then))
            worker.start()
            play(cluster, after, short_circuit=False)
            assert len(stored(cluster, "one")) + len(stored(cluster, "two")) == len(CONTENT)
            assert not left_over(cluster)
