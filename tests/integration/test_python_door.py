# SPDX-License-Identifier: Apache-2.0
"""curvine.connect, curvine.open and the data sets, on a real cluster; docs/python.md."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import curvine
from curvine.errors import AlreadyExists, DirectoryNotEmpty, InvalidArgument, NoMaster, NotFound
from curvine.testing.cluster import MiniCluster, free_port
from python_docs import run

FILES = int(os.environ.get("CURVINE_DATASET_FILES", "400"))
WORKERS = 8 if FILES > 1000 else 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.fixture
def client(cluster: MiniCluster) -> Iterator[curvine.Client]:
    with curvine.connect(config_path=str(cluster.conf_path)) as connected:
        yield connected


def test_examples_of_the_page(cluster: MiniCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURVINE_CONF_FILE", str(cluster.conf_path))
    assert run("python") >= 4


def test_client(client: curvine.Client, cluster: MiniCluster) -> None:
    client.write("/c/f", "äöü")
    assert client.read("cv:///c/f") == "äöü".encode()
    for offset, length in ((0, 2), (4, 100), (6, 1), (0, 0)):
        expected = "äöü".encode()[offset : offset + length]
        assert client.read_range("/c/f", offset, length) == expected
    assert client.tail("/c/f", 2) == "ü".encode() and client.tail("/c/f", 0) == b""
    with pytest.raises(InvalidArgument):
        client.read_range("/c/f", -1, 1)
    with pytest.raises(AlreadyExists):
        client.write("/c/f", b"", overwrite=False)
    with pytest.raises(DirectoryNotEmpty):
        client.remove("/c")
    with pytest.raises(NotFound):
        client.remove("/none")
    client.remove("/none", missing_ok=True)
    with pytest.raises(NotFound):
        client.mkdir("/d/e/f")
    client.mkdir("/d")
    client.mkdir("/d", exist_ok=True)
    with pytest.raises(AlreadyExists):
        client.mkdir("/d")
    client.copy("/c/f", "/d/g")
    with pytest.raises(AlreadyExists):
        client.rename("/c/f", "/d/g", replace=False)
    client.rename("/c/f", "/d/g")
    assert [entry.path for entry in client.walk("/d")] == ["/d/g"]
    assert {"/c", "/d"} <= {entry.path for entry in client.list()}
    host, port = cluster.master_address
    again: curvine.Client = pickle.loads(pickle.dumps(client))
    assert again.read(f"cv://{host}:{port}/d/g") == "äöü".encode()
    assert curvine.open(f"cv://{host}:{port}/d/g").read() == "äöü".encode()
    client.remove("/d", recursive=True)


def test_the_environment_may_change(
    cluster: MiniCluster, client: curvine.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """fsspec keeps file systems by their arguments: a notebook may name another cluster later."""
    client.write("/env", b"1")
    other = tmp_path / "other.toml"
    other.write_text(f'[client]\nmaster_addrs = "127.0.0.1:{free_port()}"\n')
    monkeypatch.setenv("CURVINE_CONF_FILE", str(other))
    with monkeypatch.context() as hurried:
        hurried.setattr("curvine.client.connect.PATIENCE", 0.2)  # s
        with pytest.raises(NoMaster):
            fsspec.filesystem("cv").cat_file("/env")
    monkeypatch.setenv("CURVINE_CONF_FILE", str(cluster.conf_path))
    assert fsspec.filesystem("cv").cat_file("/env") == b"1"
    assert fsspec.filesystem("cv") is fsspec.filesystem("cv")


def test_trees_come_and_go(client: curvine.Client, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for n in range(60):
        file = source / f"d{n % 7}" / f"{n}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(n * 5000))
    (source / "large.bin").write_bytes(os.urandom(9 << 20))
    client.upload(source, "/tree")
    client.download("/tree", tmp_path / "back")
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    back = tmp_path / "back"
    assert sorted(p.relative_to(back) for p in back.rglob("*") if p.is_file()) == names
    assert all((source / n).read_bytes() == (back / n).read_bytes() for n in names)


def test_a_map_outlives_its_file(client: curvine.Client) -> None:
    data = os.urandom(3 << 20)
    client.write("/mapped", data)
    pages = client.memory_map("/mapped")
    assert pages.readonly and len(pages) == len(data)
    client.write("/mapped", b"other")
    client.remove("/mapped")
    assert pages == data
    client.write("/empty", b"")
    assert client.memory_map("/empty") == b""


_PROGRAMS = {
    "left open": "f = curvine.open('cv:///late', 'wb'); f.write(b'kept')",
    "error": "f = curvine.open('cv:///e', 'wb'); f.write(b'x'); raise SystemExit(3)",
    "forked": "c = curvine.connect(); import os; "
    "os.fork() or os._exit(not c.exists('/')); os.wait()",
    "threads": "import threading; c = curvine.connect(); "
    "threading.Thread(target=lambda: [c.exists('/') for _ in range(50)], daemon=True).start()",
}


@pytest.mark.parametrize("program", _PROGRAMS.values(), ids=_PROGRAMS.keys())
def test_programs_end(cluster: MiniCluster, client: curvine.Client, program: str) -> None:
    env = {**os.environ, "CURVINE_CONF_FILE": str(cluster.conf_path)}
    done = subprocess.run(
        [sys.executable, "-c", f"import curvine; {program}"],
        env=env, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == (3 if "SystemExit" in program else 0) and not done.stderr
    if "late" in program:
        assert client.read("/late") == b"kept"


def _load(files: Any, indices: range, results: Any) -> None:
    try:
        results.put(sum(files.__getitems__(list(indices))))
    except BaseException as error:
        results.put(repr(error))


def _size(path: str, data: bytes) -> int:
    assert data == path.encode() * (len(data) // len(path))
    return len(data) // len(path)


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_worker_processes_share_a_data_set(client: curvine.Client, start: str) -> None:
    """As a DataLoader does it: batches by worker processes, the parent having used the client."""
    where = f"/images-{start}"
    names = [f"{where}/{n % 20}/{n}.raw" for n in range(FILES)]
    client.fs.pipe({name: name.encode() * (n % 50 + 1) for n, name in enumerate(names)})
    files = curvine.FileDataset(fs=client.fs, url=f"cv://{where}", pattern="*.raw", decode=_size)
    assert sorted(files.paths) == sorted(names)
    context = multiprocessing.get_context(start)
    results = context.Queue()
    batches = [range(k, FILES, WORKERS) for k in range(WORKERS)]
    workers = [context.Process(target=_load, args=(files, b, results)) for b in batches]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=100) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sum(found) == sum(n % 50 + 1 for n in range(FILES))
    stream = curvine.StreamDataset(files, prefetch=8)
    parts = [list(stream.share(rank, 3)) for rank in range(3)]
    assert sum(map(sum, parts)) == sum(found) and sum(map(len, parts)) == FILES
