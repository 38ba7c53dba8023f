# SPDX-License-Identifier: Apache-2.0
"""How many small files are written and read back a second, and what does each cost in messages?

20,000 files of 64 KiB in 20 directories, 16 threads, through the blocking client and through the
mount, beside the same threads on the native file system. Round trips are counted by the client:
calls to the master, and waits for a worker, of a file. CURVINE_BENCH_FILES sets another number.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from report import Report

from curvine.client.blocking import BlockingFileSystem
from curvine.client.stats import ClientStats
from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

FILES = int(os.environ.get("CURVINE_BENCH_FILES", "20000"))
SIZE = 64 * 1024
THREADS = 16
DIRECTORIES = 20

# The same through system calls: prints files per second of writing, and of reading.
NATIVE = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
top, files, size, threads, directories = sys.argv[1], *map(int, sys.argv[2:6])
data = os.urandom(size)
for number in range(directories):
    os.mkdir(f"{top}/d{number}")
def name(number): return f"{top}/d{number % directories}/f{number}"
def write(number):
    fd = os.open(name(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(fd, data)
    os.close(fd)
def read(number):
    fd = os.open(name(number), os.O_RDONLY)
    assert len(os.read(fd, size)) == size
    os.close(fd)
for work in (write, read):
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for _ in pool.map(work, range(files), chunksize=16): pass
        print(files / (time.perf_counter() - began))
"""


def native(top: Path) -> tuple[float, float]:
    """Files a second, written and read, below ``top``."""
    words = [str(top), str(FILES), str(SIZE), str(THREADS), str(DIRECTORIES)]
    command = [sys.executable, "-c", NATIVE, *words]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800).stdout
    written, read = map(float, out.split())
    return written, read


class Counted:
    """Round trips since the last look."""

    def __init__(self, stats: ClientStats) -> None:
        self._stats = stats
        self._before = self._now()

    def _now(self) -> tuple[int, int]:
        calls = sum(sum(row.buckets) for row in self._stats.calls.values())
        return calls, self._stats.block_trips

    def each(self) -> str:
        before, self._before = self._before, self._now()
        calls, trips = (now - then for now, then in zip(self._before, before, strict=True))
        return f"{calls / FILES:.2f} calls to the master, {trips / FILES:.2f} to a worker, a file"


def ours(cluster: MiniCluster) -> tuple[float, float]:
    """The same through the blocking client."""
    data = os.urandom(SIZE)
    with BlockingFileSystem(cluster.conf()) as fs:
        for number in range(DIRECTORIES):
            fs.mkdir(f"/d{number}")

        def name(number: int) -> str:
            return f"/d{number % DIRECTORIES}/f{number}"

        def read(number: int) -> None:
            if len(fs.read_file(name(number))) != SIZE:
                raise SystemExit(f"{name(number)} has another length")

        works: tuple[Callable[[int], None], ...] = (lambda n: fs.write_file(name(n), data), read)
        stats = fs.client_stats()
        counted = Counted(stats)
        speeds = []
        for work in works:
            with ThreadPoolExecutor(THREADS) as pool:
                began = time.perf_counter()
                for _ in pool.map(work, range(FILES), chunksize=16):
                    pass
                speeds.append(FILES / (time.perf_counter() - began))
            print(f"  {counted.each()}")
    return speeds[0], speeds[1]


def main() -> None:
    """Run and report."""
    report = Report("small_files", __doc__ or "")
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as top:
        (Path(top) / "native").mkdir()
        reference = native(Path(top) / "native")
        cases = {}
        with MiniCluster(Path(top) / "cluster") as cluster:
            cases["client"] = ours(cluster)
        if os.geteuid() == 0 and Path("/dev/fuse").exists():
            cluster = MiniCluster(Path(top) / "mounted")
            with cluster, MiniMount(cluster.conf_path, Path(top) / "mnt") as mount:
                cases["mount"] = native(mount.target)
        else:
            print("  the mount was not measured: it needs root and /dev/fuse")
    for case, speeds in cases.items():
        for action, mine, other in zip(("write", "read"), speeds, reference, strict=True):
            row = f"{case}: {action}"
            report.compare(row, mine, other, unit="files/s", reference_name="native")
    report.write()


if __name__ == "__main__":
    main()
