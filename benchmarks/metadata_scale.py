# SPDX-License-Identifier: Apache-2.0
"""What do many files cost the master: memory, start-up, random access, calls beside long walks?

The same questions to a namespace of 10,000 files and to one of N (``--files``, default 1,000,000),
in turns in one run. Files lie in directories of 1,000 and have one block each. Loading 10,000,000
in-process took 2 minutes (3 with neighbours) and 2.2 GB of disk on the 2-core machine where this
was written; with ``--keep DIR`` the store is made once and used again.
Usage: python benchmarks/metadata_scale.py [--files N] [--keep DIR] [--seconds S]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from metadata import Cell, Requests, ask, call, frame, register_worker
from metadata_load import PER_DIRECTORY, load, path_of
from report import Report

from curvine.model.inode import SetAttr
from curvine.testing.cluster import MiniCluster
from curvine.wire.codes import RpcCode
from curvine.wire.convert import fill_set_attr
from curvine.wire.frame import PREFIX_SIZE
from curvine.wire.pb import ext_pb2, master_pb2

FEW = 10_000
SHAPES = ((1, 1), (1, 64), (8, 16))
PAGE = 10_000  # entries of a snapshot page
ROUNDS = 3


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    return parser.parse_args()


def resident(pid: int) -> int:
    """Bytes of the process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} is gone")


def random_stats(files: int, seed: int) -> Requests:
    """Stats of files chosen uniformly, each time anew."""
    rng = random.Random(seed)
    while True:
        path = path_of(rng.randrange(files))
        yield frame(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest(path=path))


def made(requests: Iterator[bytes], count: int) -> Requests:
    """That many requests, made before the clock runs."""
    return iter([next(requests) for _ in range(count)])


class Many:
    """A running master over a namespace of ``files`` files."""

    def __init__(self, root: Path, files: int, report: Report) -> None:
        self.files = files
        store = root / "meta" / "namespace"
        if not store.exists():
            seconds = load(store, files)
            print(f"  {files:,} files loaded in {seconds:.0f} s", flush=True)
        size = sum(part.stat().st_size for part in store.iterdir())
        self.cluster = MiniCluster(root, workers=0)
        begun = time.perf_counter()
        self.cluster.start()
        self.start = time.perf_counter() - begun
        self.address = self.cluster.master_address
        self.pid = self.cluster.master.pid
        self.rss = resident(self.pid)
        print(
            f"  {files:>10,} files: {size / 1e9:.2f} GB on disk, start-up {self.start:.2f} s,"
            f" resident {self.rss / 2**20:.0f} MiB",
            flush=True,
        )
        report.rows.append(
            {"case": f"{files} files", "disk": size, "startup": self.start, "resident": self.rss}
        )
        register_worker(self.address)
        self.seed = 0

    def random_access(self, shape: tuple[int, int], seconds: float) -> Cell:
        """Uniform random stat."""
        self.seed += 1
        requests = made(random_stats(self.files, self.seed), int(80_000 * seconds) + 1000)
        return ask(self.pid, self.address, shape, requests, seconds)


class Probe(threading.Thread):
    """One stat after another of the same few files, as long as something else goes on."""

    def __init__(self, address: tuple[str, int], pid: int) -> None:
        super().__init__()
        self.address = address
        self.pid = pid
        self.cells: list[Cell] = []
        self.over = threading.Event()

    def run(self) -> None:
        requests = random_stats(FEW, 1)
        while not self.over.is_set():
            self.cells.append(ask(self.pid, self.address, (1, 1), requests, 0.5))

    def end(self) -> tuple[float, float]:
        """(median of the medians, worst 99th percentile) in seconds."""
        self.over.set()
        self.join()
        medians = sorted(cell.p50 for cell in self.cells)
        return medians[len(medians) // 2], max(cell.p99 for cell in self.cells)


def page_through(address: tuple[str, int], seconds: float) -> int:
    """Snapshot pages one after another for some seconds, or to the end; entries seen."""
    token, seen = "", 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        request = master_pb2.GetCvMetadataSnapshotPageRequest(page_size=PAGE, page_token=token)
        answer = call(address, frame(RpcCode.GET_CV_METADATA_SNAPSHOT_PAGE, request))
        page = master_pb2.GetCvMetadataSnapshotPageResponse.FromString(answer[PREFIX_SIZE:])
        seen += len(page.entries)
        token = page.next_page_token
        if not token:
            break
    return seen


def list_all(address: tuple[str, int], files: int, seconds: float) -> int:
    """Directories listed one after another, as ``cv fs count`` does; entries seen."""
    seen = 0
    end = time.perf_counter() + seconds
    for number in range(0, files, PER_DIRECTORY):
        if time.perf_counter() > end:
            break
        path = path_of(number).rpartition("/")[0]
        request = master_pb2.ListStatusRequest(path=path, need_location=False)
        answer = call(address, frame(RpcCode.LIST_STATUS, request))
        seen += len(master_pb2.ListStatusResponse.FromString(answer[PREFIX_SIZE:]).statuses)
    return seen


def count_all(address: tuple[str, int]) -> int:
    """The sums of everything, as ``cv fs count /`` asks for them; what was counted."""
    while True:
        request = ext_pb2.ContentSummaryRequest(path="/", wait_ms=500)
        answer = call(address, frame(RpcCode.CONTENT_SUMMARY, request))
        sums = ext_pb2.ContentSummaryResponse.FromString(answer[PREFIX_SIZE:])
        if sums.complete:
            return sums.files + sums.directories


def change_all(address: tuple[str, int], path: str) -> None:
    """A recursive change of mode."""
    request = master_pb2.SetAttrRequest(path=path)
    fill_set_attr(request.opts, SetAttr(recursive=True, mode=0o640))
    call(address, frame(RpcCode.SET_ATTR, request))


def beside(report: Report, name: str, many: Many, work: object) -> None:
    """Latency of a single stat while ``work`` goes on, in milliseconds."""
    probe = Probe(many.address, many.pid)
    probe.start()
    begun = time.perf_counter()
    seen = work()  # type: ignore[operator]
    seconds = time.perf_counter() - begun
    p50, p99 = probe.end()
    pace = f", {seen / seconds:,.0f} entries/s" if seen else f", {seconds:.1f} s"
    print(f"  stat beside {name}{pace}: p50 {p50 * 1e3:.2f} ms, worst p99 {p99 * 1e3:.2f} ms")
    report.rows.append({"case": f"beside {name}", "p50": p50, "p99": p99, "entries": seen})


def compare(report: Report, few: Many, many: Many, seconds: float) -> None:
    """Random access to few and to many files, in turns."""
    for shape in SHAPES:
        pairs = [
            (few.random_access(shape, seconds), many.random_access(shape, seconds))
            for _ in range(ROUNDS)
        ]
        ours = sorted(pair[1].per_cpu for pair in pairs)[ROUNDS // 2]
        reference = sorted(pair[0].per_cpu for pair in pairs)[ROUNDS // 2]
        report.compare(
            f"random stat, {shape[0]} x {shape[1]}",
            ours,
            reference,
            unit="call/cpu s",
            reference_name=f"{few.files:,} files",
        )
        p99 = [sorted(pair[i].p99 for pair in pairs)[ROUNDS // 2] * 1e3 for i in (0, 1)]
        rate = [sorted(pair[i].rate for pair in pairs)[ROUNDS // 2] for i in (0, 1)]
        print(
            f"    {few.files:,} files {rate[0]:,.0f}/s p99 {p99[0]:.2f} ms,"
            f" {many.files:,} files {rate[1]:,.0f}/s p99 {p99[1]:.2f} ms,"
            f" {rate[0] / rate[1]:.2f} times slower"
        )


def main() -> None:
    """Run and report."""
    args = options()
    report = Report("metadata_scale", __doc__ or "")
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as place:
        few = Many(Path(place) / "few", FEW, report)
        many = Many(args.keep or Path(place) / "many", args.files, report)
        try:
            compare(report, few, many, args.seconds)
            beside(report, "nothing", many, lambda: time.sleep(2))
            long = 10 * args.seconds
            beside(report, "snapshot pages", many, lambda: page_through(many.address, long))
            beside(report, "listing", many, lambda: list_all(many.address, many.files, long))
            beside(report, "counting all", many, lambda: count_all(many.address))
            beside(report, "chmod -R of 10,000", few, lambda: change_all(few.address, "/data"))
            rss = resident(many.pid)
            print(f"  resident after all this: {rss / 2**20:.0f} MiB")
            report.rows.append({"case": "resident at the end", "resident": rss})
        finally:
            few.cluster.stop()
            many.cluster.stop()
    report.write()


if __name__ == "__main__":
    main()
