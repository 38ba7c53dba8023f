# SPDX-License-Identifier: Apache-2.0
"""How fast is a warm, cached, local file through the mount, beside the native file?

One 256 MiB file is written through the mount and, with the same bytes, beside it on the same native
file system. Both are read by the same program in turns (sequential 256 KiB, random 256 KiB, random
4 KiB; single thread, buffered), and the medians are compared. Target: sequential ratio >= 0.8.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from report import Report

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

SIZE = 256 * 1024 * 1024
ROUNDS = 5
READER = """
import os, random, sys, time
path, kind, piece = sys.argv[1], sys.argv[2], int(sys.argv[3])
fd = os.open(path, os.O_RDONLY)
size = os.fstat(fd).st_size
buffer = [bytearray(piece)]
count = size // piece if piece > 65536 else 100_000
random.seed(7)
if kind == "sequential":
    offsets = [n * piece for n in range(size // piece)]
else:
    offsets = [random.randrange(size // piece) * piece for _ in range(count)]
for offset in offsets[:64]:
    os.preadv(fd, buffer, offset)
began, total = time.perf_counter(), 0
for offset in offsets:
    total += os.preadv(fd, buffer, offset)
print(total / (time.perf_counter() - began))
"""
CASES = (("sequential", 262144), ("random", 262144), ("random", 4096))


def read(path: Path, kind: str, piece: int) -> float:
    """Bytes per second of one run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", READER, path, kind, str(piece)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return float(done.stdout)


def main() -> None:
    """Run and report."""
    report = Report("fuse_read", __doc__ or "")
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as name:
        top = Path(name)
        native, mounted = top / "native", top / "mnt" / "file"
        cluster = MiniCluster(top / "cluster")
        with cluster, MiniMount(cluster.conf_path, top / "mnt"):
            with open("/dev/urandom", "rb") as source, open(native, "wb") as out:
                for _ in range(SIZE >> 20):
                    out.write(source.read(1 << 20))
            subprocess.run(["cp", native, mounted], check=True, timeout=300)
            subprocess.run(["cmp", native, mounted], check=True, timeout=300)
            for kind, piece in CASES:
                ours, reference = [], []
                for _ in range(ROUNDS):
                    ours.append(read(mounted, kind, piece))
                    reference.append(read(native, kind, piece))
                report.compare(
                    f"{kind} {piece // 1024} KiB",
                    statistics.median(ours),
                    statistics.median(reference),
                    unit="B/s",
                    reference_name="native file",
                )
    report.write()


if __name__ == "__main__":
    main()
