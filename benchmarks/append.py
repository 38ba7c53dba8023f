# SPDX-License-Identifier: Apache-2.0
"""How much is written to a device for each byte appended with fsync, beside the file system itself?

4 KiB are appended and synced, thousands of times, to one file: by pwrite and fsync on an ext4 on a
loop device, and through the client to a worker whose directory lies on another such ext4. Counted:
sectors that the loop devices were asked to write. Target: <= 1.5 times. The rows of the master say
what its log adds on the device of the metadata. Needs root and loop devices.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from report import Report

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.testing.cluster import MiniCluster

APPENDS = int(os.environ.get("CURVINE_BENCH_APPENDS", "10000"))
PIECE = os.urandom(4096)


@contextmanager
def device(top: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """(mount point, statistics file) of a fresh ext4."""
    image, point = top / f"{name}.img", top / name
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    minor = os.minor(point.stat().st_dev)
    try:
        yield point, Path(f"/sys/block/loop{minor}/stat")
    finally:
        subprocess.run(["umount", "-l", point], check=False)


def written(stat: Path) -> int:
    """Bytes that the device was asked to write so far."""
    os.sync()
    return int(stat.read_text().split()[6]) * 512


def native(point: Path) -> float:
    began = time.perf_counter()
    fd = os.open(point / "file", os.O_WRONLY | os.O_CREAT)
    for index in range(APPENDS):
        os.pwrite(fd, PIECE, index * len(PIECE))
        os.fsync(fd)
    os.close(fd)
    return time.perf_counter() - began


async def ours(cluster: MiniCluster) -> float:
    async with ClusterClient(cluster.conf()) as client:
        fs = UnifiedFileSystem(client)
        began = time.perf_counter()
        file = await fs.create("/file", mode=0o644)
        for index in range(APPENDS):
            await file.write(index * len(PIECE), PIECE)
            await file.flush(sync=True)
        await file.close()
        took = time.perf_counter() - began
        await fs.close()
        return took


def main() -> None:
    """Run and report."""
    report = Report("append", __doc__ or "")
    if os.geteuid():
        print("  not run: mounting a loop device needs root")
        return
    size = APPENDS * len(PIECE)
    with (
        tempfile.TemporaryDirectory(prefix="curvine-bench-") as name,
        device(Path(name), "native") as (native_point, native_stat),
        device(Path(name), "blocks") as (block_point, block_stat),
        device(Path(name), "meta") as (meta_point, meta_stat),
    ):
        before = written(native_stat)
        native_seconds = native(native_point)
        native_bytes = written(native_stat) - before
        cluster = MiniCluster(
            Path(name) / "cluster",
            settings={
                "master": {"meta_dir": str(meta_point / "meta")},
                "worker": {"scrub_rate": "0"},
            },
        )
        conf = cluster.workers[0].conf
        text = conf.read_text()
        conf.write_text(text.replace(f"{cluster.root}/worker-0/data", f"{block_point}/data"))
        with cluster:
            before, meta_before = written(block_stat), written(meta_stat)
            seconds = asyncio.run(ours(cluster))
            bytes_written = written(block_stat) - before
            meta_bytes = written(meta_stat) - meta_before
    for case, mine, other in (
        ("bytes written per byte", bytes_written / size, native_bytes / size),
        ("with the master's log", (bytes_written + meta_bytes) / size, native_bytes / size),
    ):
        report.compare(case, mine, other, unit="", reference_name="ext4")
    report.compare(
        "appends with fsync", APPENDS / seconds, APPENDS / native_seconds,
        unit="/s", reference_name="ext4",
    )  # fmt: skip
    report.write()


if __name__ == "__main__":
    main()
