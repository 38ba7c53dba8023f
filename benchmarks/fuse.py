# SPDX-License-Identifier: Apache-2.0
"""How near does the mount come to the native file system of the same medium?

fio on one file (256 KiB and 4 KiB reads, sequential writes), ``ls -lR`` of 100,000 files, 20,000
files of 64 KiB opened, read and closed in random order by 16 processes on a read-write mount and on
a read-only one, and resident memory. Native and mounted runs alternate, medians of
CURVINE_BENCH_ROUNDS (5) rounds are compared. CURVINE_BENCH_SCALE=0.1 makes every number of files a
tenth, CURVINE_BENCH_LARGE_MIB (1024) is the file of fio, CURVINE_BENCH_DIR the medium.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from report import Report

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

ROUNDS = int(os.environ.get("CURVINE_BENCH_ROUNDS", "5"))
LARGE = int(os.environ.get("CURVINE_BENCH_LARGE_MIB", "1024"))
SCALE = float(os.environ.get("CURVINE_BENCH_SCALE", "1"))
TREE, TREE_DIRECTORIES = int(100_000 * SCALE), 100
SMALL, SMALL_SIZE, SMALL_PROCESSES = int(20_000 * SCALE), 64 * 1024, 16
CHILD = Path(__file__).with_name("peer_load.py")
NO_OPEN = ("-o", "ro", "--fuse.read_path", "no_open")
# Bounds of the issue that the figures are given beside, bytes.
IDLE_BOUND, MILLION_BOUND = 100 << 20, 300 << 20

FIO = (
    ("256 KiB sequential read", "read", "256k"),
    ("256 KiB random read", "randread", "256k"),
    ("4 KiB random read", "randread", "4k"),
)


def fio(path: Path, action: str, block: str) -> float:
    """Bytes per second of one thread."""
    # 4 KiB reads: enough of them to measure, not the whole file.
    span = f"--io_size={min(LARGE, 512)}m" if block == "4k" else f"--io_size={LARGE}m"
    words = [
        "fio", "--name=bench", f"--filename={path}", f"--rw={action}", f"--bs={block}",
        f"--size={LARGE}m", span, "--ioengine=psync", "--randrepeat=1", "--norandommap",
        "--invalidate=0", "--output-format=json",
    ]  # fmt: skip
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=600)
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return float(job["write" if action == "write" else "read"]["bw_bytes"])


def rewritten(path: Path) -> float:
    """Bytes per second of writing a new file in sequence, from open to close."""
    path.unlink(missing_ok=True)
    return fio(path, "write", "256k")


def in_turns(mounted: Callable[[], float], native: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, run alternately after one run of each that does not count."""
    mounted()
    native()
    pairs = [(mounted(), native()) for _ in range(ROUNDS)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def load(top: Path, action: str) -> float:
    """Files per second of the small files below ``top``."""
    words = [str(top), action, str(SMALL_PROCESSES), str(SMALL), str(SMALL_SIZE), "20"]
    command = [sys.executable, CHILD, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    return float(done.stdout)


def listed(top: Path) -> float:
    """Entries per second of ``ls -lR``."""
    began = time.monotonic()
    with subprocess.Popen(["ls", "-lR", top], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = sum(chunk.count(b"\n-") for chunk in iter(lambda: child.stdout.read(1 << 20), b""))
    if child.returncode or lines < TREE * 0.99:  # a line may be cut between two chunks
        raise SystemExit(f"ls -lR {top} shows {lines} of {TREE} files")
    return lines / (time.monotonic() - began)


def grow_trees(cluster: MiniCluster, native: Path) -> None:
    """The same empty files in the cluster's /tree and below ``native``."""
    with BlockingFileSystem(cluster.conf()) as fs, ThreadPoolExecutor(32) as pool:

        def grow(number: int) -> None:
            for file in range(number, TREE, TREE_DIRECTORIES):
                fs.write_file(f"/tree/d{number}/f{file}", b"")
                (native / f"d{number}" / f"f{file}").touch()

        fs.mkdir("/tree")
        for number in range(TREE_DIRECTORIES):
            fs.mkdir(f"/tree/d{number}")
            (native / f"d{number}").mkdir(parents=True)
        list(pool.map(grow, range(TREE_DIRECTORIES)))


def resident(mount: MiniMount) -> float:
    """Resident bytes of supervisor and server."""
    pids = [mount.pid, *mount.server_pids()]
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(float(text.partition("VmRSS:")[2].split()[0]) * 1024 for text in statuses)


def large_file(report: Report, mount: MiniMount, native: Path) -> None:
    """fio, reads then writes."""
    mounted = mount.target / "large"
    for path in (mounted, native / "large"):
        rewritten(path)
    for case, action, block in FIO:
        ours, reference = in_turns(
            partial(fio, mounted, action, block), partial(fio, native / "large", action, block)
        )
        report.compare(case, ours, reference, unit="B/s", reference_name="native")
    ours, reference = in_turns(
        partial(rewritten, mount.target / "new"), partial(rewritten, native / "new")
    )
    report.compare("256 KiB sequential write", ours, reference, unit="B/s", reference_name="native")


def tree(report: Report, cluster: MiniCluster, top: Path) -> None:
    """``ls -lR`` on a new mount, then again; and what the mount remembers."""
    native = top / "native-tree"
    grow_trees(cluster, native)
    with MiniMount(cluster.conf_path, top / "tree") as mount:
        report.compare("resident, idle, to 100 MiB", resident(mount), IDLE_BOUND, unit="B",
                       reference_name="bound")  # fmt: skip
        cold = listed(mount.target / "tree")
        ours, reference = in_turns(partial(listed, mount.target / "tree"), partial(listed, native))
        report.compare("ls -lR cold", cold, reference, unit="entries/s", reference_name="native")
        print(f"    {TREE:,} files cold: {TREE / cold:.2f} s")
        report.compare("ls -lR warm", ours, reference, unit="entries/s", reference_name="native")
        report.compare(f"resident, {TREE:,} nodes known", resident(mount), MILLION_BOUND, unit="B",
                       reference_name="bound for a million")  # fmt: skip


def small(report: Report, cluster: MiniCluster, top: Path) -> None:
    """Small files, read-write and read-only."""
    native = top / "native-small"
    native.mkdir()
    load(native, "create")
    with MiniMount(cluster.conf_path, top / "small") as mount:
        where = mount.target / "small"
        subprocess.run(["mkdir", where], check=True, timeout=60)
        load(where, "create")
    for case, arguments in (("read-write", ()), ("read-only, no_open", NO_OPEN)):
        with MiniMount(cluster.conf_path, top / "small", arguments=arguments) as mount:
            load(mount.target / "small", "read")
            ours, reference = in_turns(
                partial(load, mount.target / "small", "reread"), partial(load, native, "reread")
            )
        row = f"64 KiB files, {case}"
        report.compare(row, ours, reference, unit="files/s", reference_name="native")


def main() -> int:
    """Run and report."""
    if os.geteuid() or not Path("/dev/fuse").exists():
        print("fuse: mounting needs root and /dev/fuse")
        return 1
    if shutil.which("fio") is None:
        print("fuse: fio is not installed (Debian package fio)")
        return 1
    report = Report("fuse", __doc__ or "")
    medium = os.environ.get("CURVINE_BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="curvine-fuse-", dir=medium) as name:
        top = Path(name)
        (top / "native").mkdir()
        with MiniCluster(top / "cluster") as cluster:
            with MiniMount(cluster.conf_path, top / "mnt") as mount:
                large_file(report, mount, top / "native")
            tree(report, cluster, top)
            small(report, cluster, top)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
