# SPDX-License-Identifier: Apache-2.0
"""A cache smaller than what is read through it: old files go, new ones fit, the bytes are right."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from pathlib import Path

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import CurvineError
from curvine.model.inode import StorageState
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
SETTINGS = {
    "master": {
        "heartbeat_interval": "200ms",
        "worker_check_interval": "500ms",
        "enable_quota_eviction": True,
    },
}


def used_bytes(cluster: MiniCluster) -> int:
    return sum(path.stat().st_size for path in cluster.root.glob("worker-0/data/**/blk_*"))


def metric(cluster: MiniCluster, name: str) -> float:
    port = cluster.conf().master.web_port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


def test_a_small_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    source = tmp_path / "ufs"
    source.mkdir()
    contents = {f"f{index:02}": os.urandom(6 * MIB) for index in range(16)}
    for name, data in contents.items():
        (source / name).write_bytes(data)

    async def work(cluster: MiniCluster) -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            options = MountOptions(write_type=WriteType.CACHE_MODE, ttl_ms=7 * 86_400_000)
            await fs.mount("/cache", f"file://{source}", options)
            for name in contents:  # 96 MiB through a cache of 64 MiB
                job = await fs.submit_load(f"file://{source}/{name}")
                assert (await fs.wait_for_job(job.job_id)).state.name == "COMPLETED"
                await read(fs, "f00")  # the one that is wanted all the time
                assert used_bytes(cluster) <= 64 * MIB
                await asyncio.sleep(0.4)  # the worker's numbers reach the master
            deadline = time.monotonic() + 15
            while used_bytes(cluster) > 52 * MIB:
                assert time.monotonic() < deadline, cluster.logs()
                await asyncio.sleep(0.1)
            both = set()
            for name in contents:
                try:
                    status = await client.ns.status(f"/cache/{name}")
                except CurvineError:
                    continue
                if status.storage_policy.state is StorageState.BOTH:
                    both.add(name)
            assert {"f00", "f14", "f15"} <= both, both
            assert not both & {"f01", "f02", "f03"}, both
            for name in contents:
                await read(fs, name)
            assert metric(cluster, "eviction_files_deleted") >= 5
            assert metric(cluster, "eviction_bytes_freed") >= 30 * MIB
            await fs.close()

    async def read(fs: UnifiedFileSystem, name: str) -> None:
        reader = await fs.open_read(f"/cache/{name}")
        assert bytes(await reader.read(0, 6 * MIB)) == contents[name]
        await reader.close()

    with MiniCluster(
        tmp_path / "cluster", settings=SETTINGS, data_dirs=("[SSD:64MB]data",)
    ) as cluster:
        asyncio.run(work(cluster))
