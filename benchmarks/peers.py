# SPDX-License-Identifier: Apache-2.0
"""How does the mount compare with JuiceFS, SeaweedFS and rclone on the same medium?

``make bench-peers``. 4 processes, 4,000 files of 30 KiB in 20 directories, then one file of 512 MiB
by one process, on each file system in turn; medians of CURVINE_BENCH_ROUNDS rounds (3). A cold
column comes right after a new mount, a warm one right after the same was done once; the medium's
own pages are warm in both, so that software is compared and not disks. CURVINE_BENCH_FILES,
CURVINE_BENCH_LARGE_MIB and CURVINE_BENCH_DIR (the medium) set other conditions; words behind the
program's name choose systems.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from peer_systems import ALL, NotHere, System
from report import Report

PROCESSES, SIZE, DIRECTORIES = 4, 30 * 1024, 20
FILES = int(os.environ.get("CURVINE_BENCH_FILES", "4000"))
LARGE = int(os.environ.get("CURVINE_BENCH_LARGE_MIB", "512"))
ROUNDS = int(os.environ.get("CURVINE_BENCH_ROUNDS", "3"))
CHILD = Path(__file__).with_name("peer_load.py")

# What is done, in this order: column, action, whether on a new mount, times it is done.
# The figure of a warm column is that of its last time.
STEPS = (
    ("create", "create", False, 1),
    ("stat cold", "stat", True, 1),
    ("stat warm", "stat", False, 3),
    ("read cold", "read", True, 1),
    ("read warm", "reread", False, 2),
    ("unlink", "unlink", False, 1),
    ("seq write", "write", False, 1),
    ("seq read", "scan", True, 1),
)

Figures = dict[str, dict[str, list[float]]]  # column -> system -> rounds


def one(where: Path, action: str) -> float:
    """One run of the load."""
    count = LARGE if action in ("write", "scan") else FILES
    words = [str(where), action, str(PROCESSES), str(count), str(SIZE), str(DIRECTORIES)]
    done = subprocess.run(
        [sys.executable, CHILD, *words], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise RuntimeError(f"{action} in {where} failed: {done.stdout}{done.stderr}")
    return float(done.stdout)


def measure(system: System, turn: int, figures: Figures) -> None:
    """One round on one system."""
    where = system.target / f"round{turn}"
    subprocess.run(["mkdir", where], check=True, timeout=60)
    for column, action, anew, times in STEPS:
        if anew:
            system.remount()
        for _ in range(times):
            speed = one(where, action)
        figures[column][system.name].append(speed)
    subprocess.run(["rm", "-r", where], check=True, timeout=300)


def started(top: Path, wanted: list[str]) -> list[System]:
    """The systems that can be measured here; the others are named with their reason."""
    systems = []
    for kind in ALL:
        if wanted and kind.name not in wanted:
            continue
        system = kind(top / kind.name)
        try:
            system.start()
        except NotHere as reason:
            print(f"  NOT MEASURED: {kind.name}: {reason}", flush=True)
            continue
        systems.append(system)
    return systems


def table(figures: Figures, names: list[str]) -> None:
    """One line a column, with the best peer and our ratio to it."""
    width = 11
    print("  " + "per second".ljust(width) + "".join(name.rjust(width) for name in names))
    for column, by_name in figures.items():
        medians = {name: statistics.median(by_name[name]) for name in names}
        large = column.startswith("seq")
        cells = (f"{m / 1e6:,.0f} MB" if large else f"{m:,.0f}" for m in medians.values())
        peers = {n: m for n, m in medians.items() if n not in ("native", "curvine")}
        line = "  " + column.ljust(width) + "".join(cell.rjust(width) for cell in cells)
        if peers and "curvine" in medians:
            best = max(peers, key=peers.__getitem__)
            line += f"   {medians['curvine'] / peers[best]:6.2f} of {best}"
        print(line, flush=True)


def main() -> int:
    """Run and report."""
    if os.geteuid() or not Path("/dev/fuse").exists():
        print("peers: mounting needs root and /dev/fuse")
        return 1
    report = Report("peers", __doc__ or "")
    figures: Figures = defaultdict(lambda: defaultdict(list))
    medium = os.environ.get("CURVINE_BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="curvine-peers-", dir=medium) as top:
        systems = started(Path(top), sys.argv[1:])
        try:
            for turn in range(ROUNDS):
                for system in systems:
                    measure(system, turn, figures)
        finally:
            for system in systems:
                system.stop()
    names = [system.name for system in systems]
    table(figures, names)
    for column, by_name in figures.items():
        for name in names:
            if name != "curvine" and "curvine" in names:
                report.compare(
                    column, statistics.median(by_name["curvine"]), statistics.median(by_name[name]),
                    unit="B/s" if column.startswith("seq") else "/s", reference_name=name,
                )  # fmt: skip
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
