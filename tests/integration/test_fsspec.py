# SPDX-License-Identifier: Apache-2.0
"""The fsspec file system on a real cluster: what fsspec's own suite does not look at."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from curvine.errors import ConfigError, InvalidArgument, NoMaster
from curvine.fsspec_client import CurvineFileSystem
from curvine.testing.cluster import MiniCluster, free_port

MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("fsspec")) as running:
        yield running


@pytest.fixture
def fs(cluster: MiniCluster) -> CurvineFileSystem:
    return CurvineFileSystem(config_path=str(cluster.conf_path))


@pytest.fixture
def place(fs: CurvineFileSystem, request: pytest.FixtureRequest) -> str:
    path = f"/{request.node.name.replace('[', '-').replace(']', '')}"
    fs.mkdir(path)
    return path


def test_bytes_are_bytes(fs: CurvineFileSystem, place: str) -> None:
    """What the upstream client damages: arbitrary bytes, longer than a native chunk."""
    data = os.urandom(9 * MIB + 17)
    with fs.open(f"{place}/f", "wb") as file:
        for start in range(0, len(data), 300_001):
            file.write(data[start : start + 300_001])
        assert file.tell() == len(data)
    assert fs.cat_file(f"{place}/f") == data
    assert fs.info(f"{place}/f")["size"] == len(data)
    with fs.open(f"{place}/f", "rb") as file:
        assert file.read(10) == data[:10]
        file.seek(-1000, 2)
        assert file.read() == data[-1000:]
        target = bytearray(5 * MIB)
        file.seek(3)
        assert file.readinto(target) == len(target)
        assert target == data[3 : 3 + 5 * MIB]


@pytest.mark.parametrize("short_circuit", [True, False], ids=["local", "remote"])
def test_ranges_of_many_files(cluster: MiniCluster, place: str, short_circuit: bool) -> None:
    fs = CurvineFileSystem(config_path=str(cluster.conf_path), short_circuit=short_circuit)
    content = {f"{place}/{n}": os.urandom(n * 70_001) for n in range(40)}
    fs.pipe(content)
    assert fs.cat(list(content)) == content
    paths = [path for path in content for _ in range(3)]
    starts = [0, 100, -50] * len(content)
    ends = [10, 140_000, None] * len(content)
    expected = [content[p][slice(s, e)] for p, s, e in zip(paths, starts, ends, strict=True)]
    assert fs.cat_ranges(paths, starts, ends) == expected
    missing = fs.cat_ranges([paths[-1], f"{place}/none"], 0, 5)
    assert missing[0] == content[paths[-1]][:5] and isinstance(missing[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([f"{place}/none"], 0, 5, on_error="raise")
    with fs.open(paths[-1], "rb") as file:
        assert file.local == short_circuit
        assert file.read(50_000) == content[paths[-1]][:50_000]
        assert bytes(file.memory_map()) == content[paths[-1]]


def test_other_caches_than_ours(fs: CurvineFileSystem, place: str) -> None:
    data = os.urandom(3 * MIB)
    fs.pipe_file(f"{place}/f", data)
    for kind in ("none", "readahead", "bytes", "all", "first", "background", "blockcache", "mmap"):
        with fs.open(f"{place}/f", "rb", cache_type=kind, block_size=100_000) as file:
            file.seek(MIB)
            assert file.read(300_000) == data[MIB : MIB + 300_000], kind
            again = pickle.loads(pickle.dumps(file))
            assert again.read(10) == data[MIB + 300_000 :][:10]


def test_lines_and_text(fs: CurvineFileSystem, place: str) -> None:
    lines = [f"zeile {n} äöü\n" for n in range(5000)]
    with fs.open(f"{place}/t", "w", encoding="utf-8") as file:
        file.writelines(lines)
    with fs.open(f"{place}/t", "r", encoding="utf-8") as file:
        assert list(file) == lines
    with fs.open(f"{place}/t", "rb") as file:
        assert file.readline() == lines[0].encode() and len(list(file)) == len(lines) - 1
    with fs.open(f"{place}/t.gz", "wt", compression="infer") as file:
        file.write("".join(lines))
    assert fs.cat_file(f"{place}/t.gz")[:2] == b"\x1f\x8b"
    with fs.open(f"{place}/t.gz", "rt", compression="infer") as file:
        assert file.read() == "".join(lines)


def test_nothing_shows_before_flush_and_all_after(fs: CurvineFileSystem, place: str) -> None:
    with fs.open(f"{place}/f", "wb", block_size=1000) as file:
        file.write(b"a" * 5000)
        file.flush()
        assert fs.cat_file(f"{place}/f") == b"a" * 5000
        file.write(b"b" * 10)
    assert fs.cat_file(f"{place}/f") == b"a" * 5000 + b"b" * 10
    with fs.open(f"{place}/f", "ab") as file:
        assert file.tell() == 5010
        file.write(b"c")
    assert fs.tail(f"{place}/f", 2) == b"bc"
    with fs.open(f"{place}/new", "ab") as file:
        file.write(b"x")
    assert fs.cat_file(f"{place}/new") == b"x"


def test_an_error_in_the_block_gives_the_file_up(fs: CurvineFileSystem, place: str) -> None:
    for size in (10, 5 * MIB):
        with pytest.raises(ZeroDivisionError):
            with fs.open(f"{place}/f", "wb") as file:
                file.write(b"x" * size)
                raise ZeroDivisionError
        assert not fs.exists(f"{place}/f")


def test_transactions(fs: CurvineFileSystem, place: str) -> None:
    fs.pipe_file(f"{place}/old", b"old")
    fs.pipe_file(f"{place}/log", b"1")
    with fs.transaction:
        with fs.open(f"{place}/old", "wb") as file:
            file.write(b"new")
        with fs.open(f"{place}/big", "wb") as file:
            file.write(b"x" * 6 * MIB)
        with fs.open(f"{place}/log", "ab") as file:
            file.write(b"2")
        assert fs.cat_file(f"{place}/old") == b"old" and not fs.exists(f"{place}/big")
        assert fs.cat_file(f"{place}/log") == b"1"
    assert fs.cat_file(f"{place}/old") == b"new" and fs.size(f"{place}/big") == 6 * MIB
    assert fs.cat_file(f"{place}/log") == b"12"
    with pytest.raises(ZeroDivisionError), fs.transaction:
        with fs.open(f"{place}/old", "wb") as file:
            file.write(b"newer")
        with fs.open(f"{place}/log", "ab") as file:
            file.write(b"3")
        raise ZeroDivisionError
    assert fs.cat_file(f"{place}/old") == b"new" and fs.cat_file(f"{place}/log") == b"12"
    assert sorted(fs.ls(place, detail=False)) == [f"{place}/{n}" for n in ("big", "log", "old")]


def test_names(fs: CurvineFileSystem, place: str) -> None:
    strange = os.fsdecode(b"caf\xe9 [1]*?.bin")
    fs.pipe({f"{place}/a/b/c.txt": b"1", f"{place}/a/d.txt": b"22", f"{place}/{strange}": b"3"})
    assert fs.find(place) == sorted(
        [f"{place}/a/b/c.txt", f"{place}/a/d.txt", f"{place}/{strange}"]
    )
    assert fs.glob(f"{place}/**/*.txt") == [f"{place}/a/b/c.txt", f"{place}/a/d.txt"]
    assert fs.du(f"{place}/a") == 3
    assert [root for root, _, _ in fs.walk(f"cv://{place}")][-1] == f"{place}/a/b"
    assert fs.cat_file(f"{place}/{strange}") == b"3"
    fs.mv(f"{place}/a", f"{place}/z", recursive=True)
    assert fs.isdir(f"{place}/z/b") and not fs.exists(f"{place}/a")
    fs.mv(f"{place}/z/d.txt", f"{place}/z/b/")
    assert fs.ls(f"{place}/z/b", detail=False) == [f"{place}/z/b/c.txt", f"{place}/z/b/d.txt"]
    with pytest.raises(FileExistsError):
        fs.mkdir(f"{place}/z")
    with pytest.raises(FileNotFoundError):
        fs.mkdir(f"{place}/no/parent", create_parents=False)
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{place}/none")
    with pytest.raises(NotADirectoryError):
        fs.rmdir(f"{place}/z/b/c.txt")
    before = fs.modified(f"{place}/z/b/c.txt")
    fs.touch(f"{place}/z/b/c.txt", truncate=False)
    assert fs.modified(f"{place}/z/b/c.txt") >= before and fs.cat_file(f"{place}/z/b/c.txt") == b"1"
    fs.rm(place, recursive=True)
    assert not fs.exists(place)


def test_urls() -> None:
    urls = ("/d/f", "cv:///d/f", "cv://d/f", "curvine:///d//f/", "d/f", "cv:/d/f")
    urls += ("cv://h:8995/d/f", "cv://a:1,b:2/d/f")
    assert {CurvineFileSystem._strip_protocol(url) for url in urls} == {"/d/f"}
    kwargs = CurvineFileSystem._get_kwargs_from_urls
    assert kwargs("cv://a:1,b:2/x") == {"master_addrs": "a:1,b:2"}
    assert kwargs("curvine://[::1]:8995/x") == {"master_addrs": "[::1]:8995"}
    assert kwargs("cv:///x") == {} == kwargs("/x")


def test_url_names_the_master(cluster: MiniCluster, place: str) -> None:
    host, port = cluster.master_address
    with fsspec.open(f"curvine://{host}:{port}{place}/f", "wb") as file:
        file.write(b"through a URL")
    with fsspec.open(f"cv://{host}:{port}{place}/f", "rt") as file:
        assert file.read() == "through a URL"


def test_listings_are_coherent(cluster: MiniCluster, fs: CurvineFileSystem, place: str) -> None:
    """Another client's changes show in the next call, however often this one asked before."""
    other = CurvineFileSystem(config_path=str(cluster.conf_path), skip_instance_cache=True)
    for n in range(70):
        other.pipe_file(f"{place}/f", b"x" * n)
        assert fs.info(f"{place}/f")["size"] == n and len(fs.cat_file(f"{place}/f")) == n
    other.rm_file(f"{place}/f")
    assert fs.ls(place) == [] and not fs.exists(f"{place}/f")


def test_asynchronous_use(cluster: MiniCluster, place: str) -> None:
    async def use(round_: int) -> None:
        fs = CurvineFileSystem(config_path=str(cluster.conf_path), asynchronous=True)
        await fs._pipe_file(f"{place}/{round_}", b"async")
        assert await fs._cat_file(f"cv://{place}/{round_}", 1, 3) == b"sy"
        assert len(await fs._ls(place)) == round_ + 1
        await fs.aclose()

    for round_ in range(3):  # a new loop each time, the same cached instance
        asyncio.run(use(round_))


def test_many_threads(fs: CurvineFileSystem, place: str) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(20):
                path = f"{place}/{number}-{n}"
                fs.pipe_file(path, path.encode())
                assert fs.cat_file(path) == path.encode()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(fs.ls(place)) == 160


def _child(fs: CurvineFileSystem, file: Any, path: str, results: Any) -> None:
    try:
        held = file.read(4)
        results.put((held, fs.cat_file(path), fs.ls(path.rpartition("/")[0], detail=False)))
    except BaseException as error:
        results.put(repr(error))


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("short_circuit", [True, False], ids=["local", "remote"])
def test_child_processes(cluster: MiniCluster, place: str, start: str, short_circuit: bool) -> None:
    fs = CurvineFileSystem(config_path=str(cluster.conf_path), short_circuit=short_circuit)
    fs.pipe_file(f"{place}/f", b"0123456789")
    context = multiprocessing.get_context(start)
    results = context.Queue()
    with fs.open(f"{place}/f", "rb") as file:
        assert file.read(3) == b"012"
        children = [
            context.Process(target=_child, args=(fs, file, f"{place}/f", results)) for _ in range(3)
        ]
        for child in children:
            child.start()
        found = [results.get(timeout=60) for _ in children]
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        assert found == [(b"3456", b"0123456789", [f"{place}/f"])] * 3
        assert file.read(4) == b"3456"  # the parent's place is its own
    assert fs.cat_file(f"{place}/f") == b"0123456789"


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("curvine.client.connect.PATIENCE", 0.2)  # s
    port = free_port()
    fs = CurvineFileSystem(f"127.0.0.1:{port}", skip_instance_cache=True)
    for call in (lambda: fs.exists("/x"), lambda: fs.isdir("/x"), lambda: fs.ls("/")):
        with pytest.raises(NoMaster, match=rf"no master answers at 127.0.0.1:{port}.*cv up"):
            call()
    for name in ("CURVINE_CONF_FILE", "CURVINE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="no cluster is configured"):
        CurvineFileSystem()
    with pytest.raises(ConfigError, match=r"replcas.*did you mean replicas"):
        CurvineFileSystem(f"127.0.0.1:{port}", replcas=2)
    with pytest.raises(ConfigError, match="replicas"):
        CurvineFileSystem(f"127.0.0.1:{port}", replicas="many")


def test_options_reach_the_cluster(cluster: MiniCluster, place: str) -> None:
    fs = CurvineFileSystem(config_path=str(cluster.conf_path), block_size="4MB", ttl_ms="1h")
    with fs.open(f"{place}/f", "wb") as file:
        file.write(b"x" * 9 * MIB)
    assert fs.cat_file(f"{place}/f") == b"x" * 9 * MIB
    with pytest.raises(InvalidArgument, match="mode 'r\\+b'"):
        fs.open(f"{place}/f", "r+b")
    strict = CurvineFileSystem(config_path=str(cluster.conf_path), auto_mkdir=False)
    with pytest.raises(FileNotFoundError):
        strict.pipe_file(f"{place}/no/f", b"")
