# SPDX-License-Identifier: Apache-2.0
"""A directory whose medium fails under a running worker, and a worker restarted without one.

The medium is an ext4 on a loop device that is shut down by force: every access is then an I/O
error, as with a dead disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster

SETTINGS = {
    "master": {"heartbeat_interval": "300ms", "block_replication_retry_interval": "300ms"},
    "worker": {"scrub_rate": "0"},
    "client": {"replicas": 2, "block_size": "1MB"},
}
FILES = {f"/f{index}": os.urandom(900_000 + index) for index in range(8)}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a small ext4."""
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(300 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True, check=False)
    if (
        made.returncode
        or subprocess.run(
            ["mount", "-o", "loop", image, point], capture_output=True, check=False
        ).returncode
    ):
        if os.environ.get("CI"):
            pytest.fail("a loop device cannot be mounted here")
        pytest.skip("needs root, mkfs.ext4 and loop devices")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=False)


def kill_file_system(point: Path) -> None:
    """Shut an ext4 down as if its device were gone (linux/fs.h: FS_IOC_SHUTDOWN, NOLOGFLUSH)."""
    fd = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))
    finally:
        os.close(fd)


def settled(what: Callable[[], bool], cluster: MiniCluster, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"it did not happen in time\n{cluster.logs()}"
        time.sleep(0.05)


async def store(fs: UnifiedFileSystem) -> None:
    for path, data in FILES.items():
        file = await fs.create(path, mode=0o644, truncate=False)
        await file.write(0, data)
        await file.close()


async def write_on(fs: UnifiedFileSystem) -> None:
    """New files, more than there are directories."""
    for index in range(4):
        file = await fs.create(f"/new{index}", mode=0o644)
        await file.write(0, b"goes where it can" * 1000)
        await file.close()


async def check(fs: UnifiedFileSystem) -> None:
    for path, data in FILES.items():
        reader = await fs.open_read(path)
        assert bytes(await reader.read(0, reader.length)) == data, path
        await reader.close()


def play(cluster: MiniCluster, *steps: Callable[[UnifiedFileSystem], object]) -> None:
    async def run() -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            for step in steps:
                await step(fs)  # type: ignore[misc]  # steps are coroutine functions
            await fs.close()

    asyncio.run(run())


def copies(cluster: MiniCluster, without: Path) -> dict[str, int]:
    """Block file name -> how many there are outside of one directory."""
    count: dict[str, int] = {}
    for path in cluster.root.parent.glob("**/active/*/*/blk_*"):
        if not path.is_relative_to(without):
            count[path.name] = count.get(path.name, 0) + 1
    return count


def test_a_directory_that_starts_to_fail(tmp_path: Path, disk: Path) -> None:
    point = disk
    cluster = MiniCluster(tmp_path / "c", workers=2, settings=SETTINGS)
    conf = cluster.workers[0].conf
    here = f"[SSD]{cluster.root}/worker-0/data"
    text = conf.read_text()
    assert here in text
    conf.write_text(text.replace(f'["{here}"]', f'["{here}", "[SSD]{point}/data"]'))
    with cluster:
        play(cluster, store, check)
        on_disk = list(point.glob("data/*/active/*/*/blk_*"))
        assert 0 < len(on_disk) < len(FILES)
        kill_file_system(point)
        play(cluster, check, write_on)  # nobody notices
        settled(lambda: "blocks in it are given up" in cluster.workers[0].output(), cluster)
        settled(lambda: set(copies(cluster, point).values()) == {2}, cluster)
        play(cluster, check, write_on)


def test_a_worker_restarted_with_half_its_disks(tmp_path: Path) -> None:
    cluster = MiniCluster(
        tmp_path / "c", workers=2, settings=SETTINGS, data_dirs=("[SSD]one", "[SSD]two")
    )
    with cluster:
        play(cluster, store)
        two = cluster.root / "worker-0" / "two"
        lost = list(two.glob("*/active/*/*/blk_*"))
        assert 0 < len(lost) < len(FILES)
        conf = cluster.workers[0].conf
        cluster.workers[0].stop()
        conf.write_text(conf.read_text().replace(f', "[SSD]{two}"', ""))
        cluster.workers[0].start()
        play(cluster, check)
        settled(lambda: set(copies(cluster, two).values()) == {2}, cluster)
        play(cluster, check)
