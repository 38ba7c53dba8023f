# SPDX-License-Identifier: Apache-2.0
"""A worker with a real master: registration, deletions, outages, load tasks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.writer import FileWriter
from curvine.errors import NotFound, UfsFailed
from curvine.model.block import LocatedBlock
from curvine.model.inode import CreateOpts, OpenFlag, StorageType, TtlAction
from curvine.model.job import JobState, JobStatus, LoadCommand, LoadJob, LoadTask
from curvine.model.mount import MountInfo, MountOptions
from curvine.model.worker import WorkerAddress
from curvine.testing.cluster import MiniCluster
from curvine.ufs.base import Ufs, UfsReader, UfsStatus
from curvine.ufs.registry import open_ufs
from curvine.worker.blockstore import BlockStore
from curvine.worker.budget import Budget
from curvine.worker.iopool import IoPool
from curvine.worker.loading import Loader
from curvine.worker.tiers import Tiers

WEEK = 7 * 86_400_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path / "cluster") as running:
        yield running


def block_files(cluster: MiniCluster) -> dict[str, bytes]:
    found = cluster.root.glob("worker-*/data/*/active/*/*/blk_*")
    blocks = {}
    for path in found:
        try:
            blocks[path.name] = path.read_bytes()
        except FileNotFoundError:
            pass  # just removed
    return blocks


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not await what():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def write(client: ClusterClient, path: str, data: bytes) -> LocatedBlock:
    """A one-block file, by the calls that every client makes."""
    opts = CreateOpts(client_name=client.client_name, create_parent=True)
    file = await client.ns.open_file(path, opts, OpenFlag.WRONLY | OpenFlag.CREAT)
    writer = FileWriter(client.streams, client.ns, file)
    await writer.write(0, data)
    await writer.close()
    return (await client.ns.block_locations(path)).blocks[0]


async def finished(client: ClusterClient, source: str) -> JobStatus:
    job = await client.admin.submit_load(LoadCommand(source_path=source, overwrite=True))
    status = job

    async def ended() -> bool:
        nonlocal status
        status = await client.admin.job_status(job.job_id)
        return status.state.ended

    await until(ended)
    return status


def test_deletions_and_outages(cluster: MiniCluster) -> None:
    async def work() -> None:
        async with ClusterClient(cluster.conf()) as client:
            for number in range(3):
                await write(client, f"/f{number}", b"x" * 1000)
            assert len(block_files(cluster)) == 3
            await client.ns.delete("/f0", False)

            async def two_left() -> bool:
                return len(block_files(cluster)) == 2

            await until(two_left)
            cluster.workers[0].kill()  # deletion ordered while the worker is away
            await client.ns.delete("/f1", False)
            cluster.workers[0].start()

            async def one_left() -> bool:
                return len(block_files(cluster)) == 1

            await until(one_left)
            cluster.master.kill()  # and a restarted master finds the worker by itself
            await asyncio.sleep(2.5)
            cluster.master.start()

            async def back() -> bool:
                return len((await client.handshake()).live_workers) == 1

            await until(back)
            located = (await client.ns.block_locations("/f2")).blocks[0]
            assert located.block.len == 1000 and located.locs
            info = (await client.handshake()).live_workers[0]
            assert info.fs_used == 1000 and info.storages[0].block_num == 1
            assert info.storages[0].dir_path.endswith("/data/mini"), "with the cluster id"
            assert cluster.workers[0].stop() == 0

            async def gone() -> bool:
                totals = await client.handshake()
                return not totals.live_workers and len(totals.lost_workers) == 1

            await until(gone, 3.0)

    asyncio.run(work())
    assert "Traceback" not in cluster.logs()


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_load(cluster: MiniCluster, tmp_path: Path, size: int) -> None:
    source = tmp_path / "ufs" / "sub"
    source.mkdir(parents=True)
    data = os.urandom(size)
    (source / "file").write_bytes(data)
    (source / "file").chmod(0o640)
    source.chmod(0o750)
    root = f"file://{tmp_path}/ufs"

    async def work() -> None:
        async with ClusterClient(cluster.conf()) as client:
            await client.admin.mount(
                "/data", root, MountOptions(ttl_ms=WEEK, ttl_action=TtlAction.DELETE)
            )
            job = await finished(client, root)
            assert (job.state, job.progress.loaded_size) == (JobState.COMPLETED, size), job
            file = await client.ns.block_locations("/data/sub/file")
            assert (file.status.len, file.status.mode & 0o777) == (size, 0o640)
            above = await client.ns.status("/data/sub")
            assert above.mode & 0o777 == 0o750, "the source's mode, not the file's"
            assert len(file.blocks) == (1 if size else 0)
            mtime = (source / "file").stat().st_mtime_ns // 1_000_000
            assert file.status.storage_policy.ufs_mtime == mtime
            assert list(block_files(cluster).values()) == ([data] if size else [])
            (source / "file").write_bytes(b"changed")
            job = await finished(client, root)
            assert job.state is JobState.COMPLETED
            assert (await client.ns.status("/data/sub/file")).len == 7

    asyncio.run(work())
    assert "Traceback" not in cluster.logs()


class ChangingUfs(Ufs):
    """A real under storage whose files seem to be touched after ``stats`` looks at them."""

    def __init__(self, inner: Ufs, stats: int) -> None:
        self._inner = inner
        self._stats = stats
        self.capabilities = inner.capabilities

    async def stat(self, uri: str) -> UfsStatus:
        self._stats -= 1
        found = await self._inner.stat(uri)
        if self._stats < 0:
            return UfsStatus(found.name, False, found.len, found.mtime + 1)
        return found

    async def list(self, uri: str) -> list[UfsStatus]:
        return await self._inner.list(uri)

    async def open_read(self, uri: str, *, ahead: int = 0) -> UfsReader:
        return await self._inner.open_read(uri, ahead=ahead)


@pytest.mark.parametrize("stats", [1, 9])
def test_load_through_the_client_and_a_changing_source(
    cluster: MiniCluster, tmp_path: Path, stats: int
) -> None:
    """Blocks of other workers go through the client; a source that changes leaves nothing."""
    source = tmp_path / "ufs"
    source.mkdir()
    data = os.urandom(20_000_000)
    (source / "file").write_bytes(data)
    root = f"file://{source}"
    job = LoadJob(
        job_id="job", source_path=root, target_path="/data", block_size=16 << 20, replicas=1,
        storage_type=StorageType.DISK, ttl_ms=WEEK, ttl_action=TtlAction.DELETE,
        mount=MountInfo("/data", root, 1), create_time=0, overwrite=True,
    )  # fmt: skip
    me = WorkerAddress(0, "", "", 0)
    task = LoadTask(job, "task", me, f"{root}/file", "/data/file", 0)

    async def work() -> None:
        io = IoPool(1)
        async with ClusterClient(cluster.conf()) as client:
            ufs = ChangingUfs(open_ufs(root, {}), stats)
            loader = Loader(client, BlockStore(Tiers([]), io), 0, ufs, task, Budget(64 << 20))
            if stats > 2:
                await loader.run()
                file = await client.ns.block_locations("/data/file")
                assert [b.block.len for b in file.blocks] == [16 << 20, 20_000_000 - (16 << 20)]
                stored = block_files(cluster)
                assert b"".join(stored[f"blk_{b.block.id}"] for b in file.blocks) == data
            else:
                with pytest.raises(UfsFailed):
                    await loader.run()
                with pytest.raises(NotFound):
                    await client.ns.status("/data/file")

                async def nothing_left() -> bool:
                    return not block_files(cluster)

                await until(nothing_left)
        io.close()

    asyncio.run(work())
