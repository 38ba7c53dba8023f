# SPDX-License-Identifier: Apache-2.0
"""How long does a worker's start look for a million blocks, beside a plain walk with stat?

Makes directories with CURVINE_BENCH_BLOCKS (1,000,000) small block files, whose inodes are in the
kernel's cache afterwards, and takes the inventory in a process of its own; the reference is
os.scandir and stat of the same files in another. Target: under 20 s; resident memory per block is
the second row, beside what 100 bytes a block would take.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from report import Report

BLOCKS = int(os.environ.get("CURVINE_BENCH_BLOCKS", "1000000"))
PER_DIRECTORY = 1 << 14

MAKE = """
import os, sys
from curvine.worker.layout import Layout, boot_id
from curvine.worker.sums import Note, write_note
layout, count, step = Layout(sys.argv[1], "c"), int(sys.argv[2]), int(sys.argv[3])
os.close(layout.prepare(wipe=False))
note = Note(1, boot_id(), 20, (1,))
for number in range(count):
    path = layout.active_path(number // step * (1 << 32) + number % step)
    if number % step == 0:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x")
    write_note(fd, note)
    os.close(fd)
"""
SCAN = """
import resource, sys, time
from curvine.model.inode import StorageType
from curvine.worker.inventory import take_inventory
from curvine.worker.layout import Layout, new_identity
from curvine.worker.tiers import StorageDir, Tiers
layout = Layout(sys.argv[1], "c")
tiers = Tiers([StorageDir(layout, new_identity("c", 1), StorageType.SSD)])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
published, _ = take_inventory(tiers, summed=True)
took = time.perf_counter() - began
print(took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, len(published))
"""
WALK = """
import os, sys, time
began, count = time.perf_counter(), 0
for top, _, names in os.walk(sys.argv[1]):
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.is_file():
                entry.stat()
                count += 1
print(time.perf_counter() - began, 0, count)
"""


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Run and report."""
    report = Report("scan", __doc__ or "")
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as top:
        run(MAKE, top, BLOCKS, PER_DIRECTORY)
        run(WALK, top)
        walked, _, files = map(float, run(WALK, Path(top) / "c" / "active").split())
        seconds, memory, found = map(float, run(SCAN, top).split())
        assert found == files == BLOCKS, (found, files)
        report.compare(f"{BLOCKS} blocks", seconds, walked, unit="s", reference_name="walk")
        report.compare("memory", memory / BLOCKS, 100.0, unit="B/block", reference_name="100 bytes")
    report.write()


if __name__ == "__main__":
    main()
