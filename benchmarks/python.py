# SPDX-License-Identifier: Apache-2.0
"""How fast does Python read the cluster, beside local files and beside s3fs on the same data?

One SeaweedFS S3 server holds a bucket. s3fs reads it; the cluster has it mounted in cache_mode and
loaded, and is read through CurvineFileSystem, with short circuit (the worker is on this node) and
without (every byte by TCP); the same bytes as local files are the third reader. All in one process,
everything warm, the best of several rounds in turn. Needs `build/clients` (make test-clients).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from report import Report

import curvine
from curvine.client.blocking import BlockingFileSystem
from curvine.model.job import JobState
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from curvine.testing.object_servers import ACCESS, SECRET, SeaweedServer

CLIENTS = Path(__file__).parents[1] / "build" / "clients" / "bin" / "python"
MIB = 1 << 20
LARGE = 64 * MIB
SMALL, SMALL_SIZE = 200, 64 * 1024
ROWS = 4_000_000
ROUNDS = 7
Work = Callable[[], object]


def best(works: dict[str, Work]) -> dict[str, float]:
    """Seconds of each, the best of ROUNDS taken in turn after one that warms up."""
    times = dict.fromkeys(works, float("inf"))
    for round_ in range(ROUNDS + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if round_:
                times[name] = min(times[name], time.perf_counter() - began)
    return times


def make_files(top: Path) -> None:
    """The data set as local files."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = np.random.default_rng(1)
    (top / "small").mkdir(parents=True)
    (top / "large.bin").write_bytes(numbers.bytes(LARGE))
    for n in range(SMALL):
        (top / "small" / f"{n}.bin").write_bytes(numbers.bytes(SMALL_SIZE))
    columns = {f"c{n}": numbers.random(ROWS) for n in range(4)}
    columns["key"] = numbers.integers(0, 1000, ROWS)
    pq.write_table(pa.table(columns), top / "t.parquet", row_group_size=ROWS // 8)


def read_by_pieces(file: object) -> None:
    with file:  # type: ignore[attr-defined]  # any file object
        while file.read(MIB):  # type: ignore[attr-defined]  # likewise
            pass


def measure(report: Report, systems: dict[str, tuple[object, str, object]]) -> None:
    """``systems``: name -> (fsspec file system, its directory, Arrow's file system)."""
    import pyarrow.parquet as pq

    names = [f"{n}.bin" for n in range(SMALL)]
    cases: dict[str, tuple[float, Callable[[object, str, object], Work]]] = {
        "cat_file 64 MiB": (LARGE, lambda fs, d, _: lambda: fs.cat_file(f"{d}/large.bin")),
        "open().read() 64 MiB": (LARGE, lambda fs, d, _: lambda: fs.open(f"{d}/large.bin").read()),
        "open(), 1 MiB reads": (
            LARGE, lambda fs, d, _: lambda: read_by_pieces(fs.open(f"{d}/large.bin"))
        ),
        "200 x cat_file 64 KiB": (
            SMALL * SMALL_SIZE,
            lambda fs, d, _: lambda: [fs.cat_file(f"{d}/small/{n}") for n in names],
        ),
        "cat of 200 x 64 KiB": (
            SMALL * SMALL_SIZE, lambda fs, d, _: lambda: fs.cat([f"{d}/small/{n}" for n in names])
        ),
        "parquet, 2 of 5 columns": (
            ROWS * 16,
            lambda _, d, arrow: lambda: pq.read_table(
                f"{d}/t.parquet", filesystem=arrow, columns=["c1", "key"]
            ),
        ),
        "parquet, all columns": (
            ROWS * 40, lambda _, d, arrow: lambda: pq.read_table(f"{d}/t.parquet", filesystem=arrow)
        ),
    }  # fmt: skip
    for case, (size, make) in cases.items():
        times = best({name: make(*system) for name, system in systems.items()})
        speed = {name: size / seconds for name, seconds in times.items()}
        for ours in ("short circuit", "TCP"):
            for reference in ("local", "s3fs"):
                report.compare(
                    f"{case}, {ours}", speed[ours], speed[reference], unit="B/s",
                    reference_name=reference,
                )  # fmt: skip


def main() -> None:
    """Run and report."""
    if find_spec("s3fs") is None or find_spec("pyarrow") is None:
        if not CLIENTS.exists():
            print("python: NOT RUN, it needs pyarrow and s3fs: `make test-clients` first")
            return
        os.execv(CLIENTS, [str(CLIENTS), *sys.argv])
    import pyarrow.fs
    import s3fs
    from fsspec.implementations.local import LocalFileSystem

    report = Report("python", __doc__ or "")
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as directory:
        top = Path(directory)
        local = top / "local"
        make_files(local)
        server = SeaweedServer(top / "s3")
        server.start()
        try:
            server.make_bucket("bench")
            s3 = s3fs.S3FileSystem(
                key=ACCESS, secret=SECRET, client_kwargs={"endpoint_url": server.endpoint}
            )
            s3.put(str(local), "bench/set", recursive=True)
            with MiniCluster(top / "cluster") as cluster:
                load(cluster, server)
                conf = str(cluster.conf_path)
                near = curvine.CurvineFileSystem(config_path=conf)
                far = curvine.CurvineFileSystem(config_path=conf, short_circuit=False)
                plain = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(s3))
                measure(
                    report,
                    {
                        "local": (LocalFileSystem(), str(local), pyarrow.fs.LocalFileSystem()),
                        "s3fs": (s3, "bench/set", plain),
                        "short circuit": (near, "/bench/set", curvine.arrow_filesystem(near)),
                        "TCP": (far, "/bench/set", curvine.arrow_filesystem(far)),
                    },
                )
        finally:
            server.kill()
    report.write()


def load(cluster: MiniCluster, server: SeaweedServer) -> None:
    """Mount the bucket and bring all of it into the cache."""
    with BlockingFileSystem(cluster.conf()) as fs:
        options = MountOptions(write_type=WriteType.CACHE_MODE, add_properties=server.properties)
        fs.mount("/bench", "s3://bench", options)
        job = fs.submit_load("/bench/set")
        while not (status := fs.job_status(job.job_id)).state.ended:
            time.sleep(0.2)
        if status.state is not JobState.COMPLETED:
            print(f"  load: {status.state.name} {status.progress.message}")


if __name__ == "__main__":
    main()
