# SPDX-License-Identifier: Apache-2.0
"""fs_mode: the namespace is the truth, and everything below the mount reaches the under storage."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.resync import Resync
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import CurvineError
from curvine.model.inode import StorageState
from curvine.model.job import JobState, JobStatus, LoadCommand, PendingExports
from curvine.model.mount import MountInfo, MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from cv_runner import cv

MIB = 1 << 20
WEEK = 7 * 86_400_000
TREE = int(os.environ.get("CURVINE_TREE_FILES", "100"))  # 5000 for the long form
FS_MODE = MountOptions(write_type=WriteType.FS_MODE, ttl_ms=WEEK)
Body = Callable[[UnifiedFileSystem, Path], Awaitable[None]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    root.mkdir()
    return root


def run(cluster: MiniCluster, store: Path, body: Body) -> None:
    """Mount ``store`` in fs_mode at a place of its own, run the body, unmount."""

    async def with_mount() -> None:
        async with ClusterClient(cluster.conf()) as connected:
            fs = UnifiedFileSystem(connected)
            try:
                await fs.mount("/data", f"file://{store}", FS_MODE)
                await Resync(fs, await mount_of(fs)).run()
                await body(fs, store)
            finally:
                await settled(fs)
                await fs.umount("/data")
                await fs.delete("/data", True)
                await fs.close()

    asyncio.run(with_mount())


async def mount_of(fs: UnifiedFileSystem) -> MountInfo:
    return (await fs.mount_table())[0]


async def put(fs: UnifiedFileSystem, path: str, content: bytes) -> None:
    writer = await fs.create(path, exclusive=False, truncate=True)
    await writer.write(0, content)
    await writer.close()


async def get(fs: UnifiedFileSystem, path: str) -> bytes:
    reader = await fs.open_read(path)
    try:
        return b"".join([bytes(await reader.read(at, MIB)) for at in range(0, reader.length, MIB)])
    finally:
        await reader.close()


async def settled(fs: UnifiedFileSystem, timeout: float = 30.0) -> None:
    """Wait until nothing below the mount waits for its export."""
    deadline = time.monotonic() + timeout
    while True:
        found = await fs.cluster.admin.pending_exports("/", 10)
        if not found.waiting:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def ended(fs: UnifiedFileSystem, job: JobStatus, timeout: float = 60.0) -> JobStatus:
    deadline = time.monotonic() + timeout
    while not (now := await fs.job_status(job.job_id)).state.ended:
        assert time.monotonic() < deadline, now
        await asyncio.sleep(0.05)
    return now


def tree_of(root: Path) -> dict[str, bytes | None]:
    """Every file with its content, every directory with None."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


async def tree_in(fs: UnifiedFileSystem, path: str = "/data") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    pending = [path]
    while pending:
        for entry in await fs.list(pending.pop()):
            name = entry.path.removeprefix("/data/")
            found[name] = None if entry.is_dir else await get(fs, entry.path)
            if entry.is_dir:
                pending.append(entry.path)
    return found


def test_what_is_written_reaches_the_store(cluster: MiniCluster, store: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        await fs.mkdir("/data/a/b", create_parent=True)
        await fs.mkdir("/data/empty")
        await put(fs, "/data/a/b/one", b"one")
        big = random.Random(1).randbytes(3 * MIB + 5)
        await put(fs, "/data/big", big)
        await settled(fs)
        assert tree_of(root) == {
            "a": None, "a/b": None, "empty": None, "a/b/one": b"one", "big": big
        }  # fmt: skip
        policy = (await fs.status("/data/big")).storage_policy
        assert policy.state is StorageState.BOTH
        assert policy.ufs_mtime == (root / "big").stat().st_mtime_ns // 1_000_000
        assert (await fs.free("/data/big")).inodes == 1
        assert (await fs.status("/data/big")).storage_policy.state is StorageState.UFS
        assert await get(fs, "/data/big") == big

    run(cluster, store, body)


def test_renames_deletions_and_changes_follow_in_order(cluster: MiniCluster, store: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        for round_ in range(20):
            await put(fs, "/data/tmp", b"%d" % round_)
            await fs.rename("/data/tmp", "/data/final")
        await fs.mkdir("/data/d")
        await put(fs, "/data/d/x", b"x")
        await put(fs, "/data/d/y", b"y")
        await fs.rename("/data/d", "/data/e")
        await fs.delete("/data/e/y")
        await fs.resize("/data/e/x", 0)
        await put(fs, "/data/gone", b"gone")
        await fs.delete("/data/gone")
        await fs.mkdir("/data/gone")
        await put(fs, "/data/gone/file", b"again")
        await fs.symlink("e/x", "/data/link")
        await settled(fs)
        assert (root / "link").readlink() == Path("e/x")
        (root / "link").unlink()
        assert tree_of(root) == {
            "final": b"19", "e": None, "e/x": b"", "gone": None, "gone/file": b"again"
        }  # fmt: skip

    run(cluster, store, body)


def test_random_operations_leave_both_sides_equal(cluster: MiniCluster, store: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        chance = random.Random(os.environ.get("CURVINE_SEED", "5"))
        names = ["a", "b", "c", "d/a", "d/b", "d/e/a", "f/a"]
        for count in range(150):
            path, other = (f"/data/{name}" for name in chance.sample(names, 2))
            try:
                match chance.randrange(6):
                    case 0 | 1 | 2:
                        parent = path.rpartition("/")[0]
                        await fs.mkdir(parent, create_parent=True)
                        await put(fs, path, b"%d" % count * chance.randrange(1, 3000))
                    case 3:
                        await fs.rename(path, other)
                    case 4:
                        await fs.delete(path, True)
                    case 5:
                        await fs.rename(path.rpartition("/")[0], "/data/g")
            except CurvineError:
                pass
        await settled(fs)
        assert await tree_in(fs) == tree_of(root)

    run(cluster, store, body)


def test_a_failing_export_is_kept_shown_and_retried(cluster: MiniCluster, store: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        (root / "dir").write_bytes(b"in the way of a directory")
        await fs.mkdir("/data/dir")
        await put(fs, "/data/dir/file", b"content")
        await put(fs, "/data/free", b"goes on")
        deadline = time.monotonic() + 20
        while not (root / "free").exists() or not (
            failing := [e for e in (await shown(fs)).exports if e.failure]
        ):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert {entry.path for entry in failing} == {"/data/dir"}
        said = await asyncio.to_thread(cv, "--conf", cluster.conf_path, "umount", "/data", code=1)
        assert "cv exports /data" in said and await fs.mount_of("/data") is not None
        cluster.master.kill()
        cluster.master.start()
        assert (await shown(fs)).waiting == 2, "what was not done is still to be done"
        (root / "dir").unlink()
        await settled(fs, 60)
        assert (root / "dir" / "file").read_bytes() == b"content"

    run(cluster, store, body)


async def shown(fs: UnifiedFileSystem) -> PendingExports:
    return await fs.cluster.admin.pending_exports("/data", 100)


def test_an_export_job_sees_files_whose_directory_is_renamed_first(
    cluster: MiniCluster, store: Path
) -> None:
    """The rename asks for the files anew; the job that waits for them is told all the same."""

    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        await fs.mkdir("/data/d")
        await settled(fs)
        away = root.with_name("away")
        root.rename(away)
        root.write_bytes(b"a file where the directory was: every change fails")
        for number in range(5):
            await put(fs, f"/data/d/{number}", b"x")
        await fs.rename("/data/d", "/data/moved")
        job = await fs.submit_export("/data")
        root.unlink()
        away.rename(root)
        assert (await ended(fs, job)).state is JobState.COMPLETED
        assert tree_of(root) == {"moved": None} | {f"moved/{n}": b"x" for n in range(5)}

    run(cluster, store, body)


def test_kills_lose_no_export(cluster: MiniCluster, store: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        contents = {f"f{n}": random.Random(n).randbytes(200_000) for n in range(60)}
        for number, (name, content) in enumerate(contents.items()):
            await put(fs, f"/data/{name}", content)
            if number == 20:
                cluster.workers[0].kill()
                cluster.workers[0].start()
            if number == 40:
                cluster.master.kill()
                cluster.master.start()
        await settled(fs, 60)
        assert tree_of(root) == contents
        states = {(await fs.status(f"/data/{n}")).storage_policy.state for n in contents}
        assert states == {StorageState.BOTH}

    run(cluster, store, body)


def test_a_write_copies_the_rest_in_first(cluster: MiniCluster, store: Path) -> None:
    (store / "old").write_bytes(b"x" * 100_000)

    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        shutil.move(root / "old", root.parent / "aside")
        with pytest.raises(CurvineError):
            await fs.open_write("/data/old", append=True)
        policy = (await fs.status("/data/old")).storage_policy
        assert policy.state is StorageState.UFS, "nothing was taken apart"
        shutil.move(root.parent / "aside", root / "old")
        writer = await fs.open_write("/data/old", append=True)
        await writer.write(100_000, b"more")
        await writer.close()
        await settled(fs)
        assert (root / "old").read_bytes() == b"x" * 100_000 + b"more"
        assert await get(fs, "/data/old") == b"x" * 100_000 + b"more"

    run(cluster, store, body)


def test_loads_and_exports_of_a_tree(cluster: MiniCluster, store: Path) -> None:
    content = {f"d{n % 5}/f{n}": random.Random(n).randbytes(1000 + n) for n in range(TREE)}
    for name, data in content.items():
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(data)

    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        job = await ended(fs, await fs.submit_load("/data"))
        assert (job.state, job.files and job.files.done) == (JobState.COMPLETED, TREE)
        status = await fs.status("/data/d0/f0")
        assert status.storage_policy.state is StorageState.BOTH
        assert len((await fs.block_locations("/data/d0/f0")).blocks) == 1
        again = await ended(fs, await fs.submit_load("/data"))
        assert again.files and again.files.skipped == TREE, "what is cached is left alone"
        await put(fs, "/data/d1/new", b"new")
        shutil.rmtree(root / "d2")
        job = await ended(fs, await fs.submit_export("/data"))
        assert (job.state, job.target_path) == (JobState.COMPLETED, f"file://{root}")
        now = {name: data for name, data in tree_of(root).items() if data is not None}
        assert now == {**content, "d1/new": b"new"}
        jobs = await fs.cluster.admin.jobs()
        assert {listed.kind for listed in jobs} == {"load", "export"}

    run(cluster, store, body)


def test_jobs_go_on_after_kills(cluster: MiniCluster, store: Path) -> None:
    content = {f"f{n}": random.Random(n).randbytes(2 * MIB) for n in range(40)}
    for name, data in content.items():
        (store / name).write_bytes(data)

    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        job = await fs.cluster.admin.submit_load(LoadCommand("/data", overwrite=True))
        cluster.master.kill()
        cluster.workers[1].kill()
        cluster.master.start()
        cluster.workers[1].start()
        final = await ended(fs, job)
        assert final.state is JobState.COMPLETED, final
        for name, data in content.items():
            status = await fs.status(f"/data/{name}")
            assert status.storage_policy.state is StorageState.BOTH
            (root / name).unlink()
            assert await get(fs, f"/data/{name}") == data, "from the blocks, and right"
            (root / name).write_bytes(data)

    run(cluster, store, body)


def test_resync_follows_what_happened_behind_our_back(cluster: MiniCluster, store: Path) -> None:
    for name in ("kept", "changed", "gone", "dir/gone", "dir/kept", "old/gone"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(name.encode())

    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        await ended(fs, await fs.submit_load("/data"))
        (root / "gone").unlink()
        (root / "dir" / "gone").unlink()
        shutil.rmtree(root / "old")
        (root / "changed").write_bytes(b"changed behind our back")
        (root / "new").write_bytes(b"new")
        mount = (await fs.mount_table())[0]
        before = await tree_names(fs)
        dry = await Resync(fs, mount, dry_run=True).run()
        assert (dry.removed, dry.replaced, dry.added) == (4, 1, 1)
        assert await tree_names(fs) == before
        writer = await fs.create("/data/mine", exclusive=True, truncate=True)
        await writer.write(0, b"not exported yet")
        await writer.flush()
        done = await Resync(fs, mount).run()
        assert (done.removed, done.replaced, done.added) == (4, 1, 1)
        await writer.close()
        await settled(fs)
        assert await tree_in(fs) == tree_of(root)
        assert (root / "changed").read_bytes() == b"changed behind our back"
        assert (root / "mine").read_bytes() == b"not exported yet"

    run(cluster, store, body)


async def tree_names(fs: UnifiedFileSystem) -> set[str]:
    names: set[str] = set()
    pending = ["/data"]
    while pending:
        for entry in await fs.list(pending.pop()):
            names.add(entry.path)
            if entry.is_dir:
                pending.append(entry.path)
    return names
