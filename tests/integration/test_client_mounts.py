# SPDX-License-Identifier: Apache-2.0
"""file:// mounts through the client: the source is the truth, reading fills the cache."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.client.cluster import ClusterClient
from curvine.client.fallback import FallbackReader
from curvine.client.mounts import CrossesMounts, IsAMount
from curvine.client.ufs_file import UfsFileReader
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import InvalidArgument, InvalidPath, NotFound, ReadOnly, Unsupported
from curvine.model.inode import FileType, SetAttr
from curvine.model.job import JobState
from curvine.model.mount import AccessMode, MountOptions
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
WEEK = 7 * 86_400_000
CONTENT = random.Random(7).randbytes(2 * MIB + 77)
Body = Callable[[UnifiedFileSystem, Path], Awaitable[None]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(CONTENT)
    (root / "file").chmod(0o640)
    (root / "sub" / "small").write_bytes(b"small")
    (root / "link").symlink_to("sub/small")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe"))).write_bytes(b"odd name")
    return root


def run(cluster: MiniCluster, source: Path, options: MountOptions, body: Body) -> None:
    """Mount ``source`` on /data, run the body, unmount and drop what was cached."""

    async def with_mount() -> None:
        async with ClusterClient(cluster.conf()) as connected:
            fs = UnifiedFileSystem(connected)
            await fs.mount("/data", f"file://{source}", options)
            try:
                await body(fs, source)
            finally:
                await fs.umount("/data")
                await fs.delete("/data", True)
                await fs.close()

    asyncio.run(with_mount())


async def get(fs: UnifiedFileSystem, path: str) -> tuple[bytes, type]:
    reader = await fs.open_read(path)
    try:
        return bytes(await reader.read(0, reader.length)), type(reader)
    finally:
        await reader.close()


async def until_cached(fs: UnifiedFileSystem, path: str) -> None:
    """Read until the copy serves; the load runs behind the readers."""
    deadline = time.monotonic() + 15
    while (await get(fs, path))[1] is not FallbackReader:
        assert time.monotonic() < deadline, "the file was never cached"
        await asyncio.sleep(0.05)


def test_the_first_read_fills_the_cache(cluster: MiniCluster, source: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        content, kind = await get(fs, "/data/file")
        assert (content, kind) == (CONTENT, UfsFileReader)
        before = await fs.status("/data/file")
        await until_cached(fs, "/data/file")
        assert (await get(fs, "/data/file"))[0] == CONTENT
        assert len((await fs.block_locations("/data/file")).blocks) == 1
        after = await fs.status("/data/file")
        assert before == after, "caching a file changes nothing that stat shows"
        assert after.mode == 0o640

    run(cluster, source, MountOptions(ttl_ms=WEEK), body)


def test_a_changed_source_is_seen_at_the_next_open(cluster: MiniCluster, source: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        await until_cached(fs, "/data/file")
        (root / "file").write_bytes(b"new content")
        assert (await get(fs, "/data/file"))[0] == b"new content"
        (root / "file").unlink()
        with pytest.raises(NotFound):
            await fs.open_read("/data/file")
        assert not await fs.exists("/data/file")

    run(cluster, source, MountOptions(ttl_ms=WEEK), body)


def test_the_tree_is_the_sources(cluster: MiniCluster, source: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        entries = {entry.name: entry for entry in await fs.list("/data")}
        assert set(entries) == {"file", "sub", "link", "\uf7ff\uf7fe"}
        assert entries["file"].len == len(CONTENT)
        assert (entries["link"].file_type, entries["link"].target) == (FileType.LINK, "sub/small")
        assert (await get(fs, "/data/\uf7ff\uf7fe"))[0] == b"odd name"
        assert [e.name for e in await fs.list("/data/sub")] == ["small"]
        pages = []
        after = None
        while page := await fs.list("/data", limit=2, start_after=after):
            pages += [entry.name for entry in page]
            after = page[-1].name
        assert pages == [entry.name for entry in await fs.list("/data")]
        status = await fs.status("/data")
        assert status.is_dir and status.id > 0
        assert [e.name for e in await fs.list("/")] == ["data"]
        with pytest.raises(InvalidPath, match="leads out"):
            await fs.status("/data/sub/../../etc")

    run(cluster, source, MountOptions(ttl_ms=WEEK), body)


def test_a_read_only_mount_refuses_changes(cluster: MiniCluster, source: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        assert fs.read_only("/data/x") and not fs.read_only("/elsewhere")
        for attempt in (
            fs.mkdir("/data/d"),
            fs.create("/data/new"),
            fs.open_write("/data/file"),
            fs.delete("/data/file"),
            fs.rename("/data/file", "/data/other"),
            fs.set_attr("/data/file", SetAttr(mode=0o777)),
            fs.resize("/data/file", 0),
            fs.symlink("x", "/data/l"),
        ):
            with pytest.raises(ReadOnly):
                await attempt
        for attempt in (fs.delete("/data", True), fs.rename("/data", "/other")):
            with pytest.raises(IsAMount):
                await attempt
        with pytest.raises(CrossesMounts):
            await fs.rename("/data/file", "/outside")
        assert (root / "file").read_bytes() == CONTENT

    run(cluster, source, MountOptions(ttl_ms=WEEK), body)


def test_a_writable_mount_changes_the_source(cluster: MiniCluster, source: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        await until_cached(fs, "/data/file")
        writer = await fs.create("/data/new", mode=0o600)
        await writer.write(0, b"0123456789")
        await writer.write(3, b"abc")
        assert await writer.read(0, 100) == b"012abc6789"
        await writer.close(SetAttr(mtime=1_600_000_000_000))
        assert (root / "new").read_bytes() == b"012abc6789"
        assert (root / "new").stat().st_mtime == 1_600_000_000
        writer = await fs.open_write("/data/new", append=True)
        await writer.write(writer.length, b"!")
        await writer.close()
        assert (root / "new").read_bytes() == b"012abc6789!"
        assert await fs.rename("/data/new", "/data/file")
        assert (await get(fs, "/data/file"))[0] == b"012abc6789!"
        await fs.mkdir("/data/d/e", create_parent=True)
        await fs.resize("/data/file", 3)
        await fs.set_attr("/data/file", SetAttr(mode=0o604))
        assert (root / "file").read_bytes() == b"012"
        assert (await fs.status("/data/file")).mode == 0o604
        await fs.delete("/data/d", recursive=True)
        with pytest.raises(Unsupported):
            await fs.link("/data/file", "/data/hard")
        assert sorted(p.name for p in root.iterdir() if p.name.isascii()) == ["file", "link", "sub"]

    options = MountOptions(ttl_ms=WEEK, access_mode=AccessMode.READ_WRITE)
    run(cluster, source, options, body)


def test_a_load_job_and_free(cluster: MiniCluster, source: Path) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        job = await fs.submit_load(f"file://{root}")
        status = await fs.wait_for_job(job.job_id)
        assert status.state == JobState.COMPLETED, status
        assert (await get(fs, "/data/sub/small")) == (b"small", FallbackReader)
        freed = await fs.free("/data", recursive=True)
        assert freed.inodes >= 2
        with pytest.raises(NotFound):
            await fs.block_locations("/data/file")
        assert (await get(fs, "/data/file"))[0] == CONTENT

    run(cluster, source, MountOptions(ttl_ms=WEEK, auto_cache=False), body)


def test_a_reader_goes_on_in_the_source_when_the_blocks_are_gone(
    cluster: MiniCluster, source: Path
) -> None:
    async def body(fs: UnifiedFileSystem, root: Path) -> None:
        await until_cached(fs, "/data/file")
        reader = await fs.open_read("/data/file")
        assert bytes(await reader.read(0, 10)) == CONTENT[:10]
        cluster.workers[0].kill()
        try:
            fresh = await fs.open_read("/data/file")
            assert bytes(await fresh.read(MIB, MIB)) == CONTENT[MIB : 2 * MIB]
            await fresh.close()
            assert bytes(await reader.read(MIB, 100)) == CONTENT[MIB : MIB + 100]
            await reader.close()
        finally:
            cluster.workers[0].start()

    run(cluster, source, MountOptions(ttl_ms=WEEK), body)


def test_wrong_mounts_are_refused(cluster: MiniCluster, tmp_path: Path) -> None:
    async def body() -> None:
        async with ClusterClient(cluster.conf()) as connected:
            fs = UnifiedFileSystem(connected)
            with pytest.raises(NotFound):
                await fs.mount("/m", f"file://{tmp_path}/missing", MountOptions())
            with pytest.raises(InvalidArgument, match=r"s3\.endpoint_url"):
                await fs.mount("/m", "s3://bucket/", MountOptions())
            with pytest.raises(InvalidArgument, match="choose a directory"):
                await fs.mount("/", f"file://{tmp_path}", MountOptions())
            with pytest.raises(InvalidArgument, match="means nothing"):
                wrong = MountOptions(add_properties={"file.chnk": "1"})
                await fs.mount("/m", f"file://{tmp_path}", wrong)
            assert not await fs.exists("/m")
            await fs.close()

    asyncio.run(body())


def test_the_blocking_face_and_fork(cluster: MiniCluster) -> None:
    with BlockingFileSystem(cluster.conf()) as fs:
        fs.mkdir("/blocking", create_parent=True)
        with fs.create("/blocking/file") as writer:
            writer.append(b"hello ")
            writer.append(b"world")
        with fs.open_read("/blocking/file") as reader:
            assert reader.read(0, 100) == b"hello world"
        with pytest.raises(ZeroDivisionError), fs.create("/blocking/other") as writer:
            writer.append(b"never seen")
            raise ZeroDivisionError
        assert fs.status("/blocking/other").len == 0
        child = os.fork()
        if child == 0:
            with fs.open_read("/blocking/file") as reader:
                os._exit(0 if reader.read(0, 5) == b"hello" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [entry.name for entry in fs.list("/blocking")] == ["file", "other"]
        fs.delete("/blocking", recursive=True)
