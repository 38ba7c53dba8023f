# SPDX-License-Identifier: Apache-2.0
"""How reads reach the bytes: passthrough, splice, copy, no-open; all give the same bytes."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.model.mount import MountOptions
from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import python, shell, start_python

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

BODY = random.Random(3).randbytes(9_000_000)
SUM = hashlib.sha256(BODY).hexdigest()

READ_AROUND = """
import hashlib, os, random, sys
fd = os.open(sys.argv[1], os.O_RDONLY); size = os.fstat(fd).st_size
whole = b"".join(iter(lambda: os.read(fd, 262_144), b""))
assert len(whole) == size; print(hashlib.sha256(whole).hexdigest())
generator = random.Random(1)
for _ in range(200):
    at = generator.randrange(size); n = generator.choice((1, 4096, 65_536, 1 << 20))
    assert os.pread(fd, n, at) == whole[at : at + n], at
assert os.pread(fd, 10, size) == b"" and os.pread(fd, 10, size - 3) == whole[-3:]
"""

# Open, wait until the server is frozen, read: only what needs no server comes.
READ_FROZEN = """
import os, sys
fd = os.open(os.path.join(os.environ["M"], "f"), os.O_RDONLY)
print("open"); sys.stdin.readline()
print(len(os.pread(fd, 65_536, 4_000_000)))
"""


def put(cluster: MiniCluster, path: str, body: bytes = BODY) -> None:
    with BlockingFileSystem(cluster.conf()) as files:
        with files.create(path, size_hint=len(body)) as writer:
            writer.write(0, body)


def frozen_read(mount: MiniMount, *, comes: bool) -> None:
    """Read while the server is stopped; the page cache is empty."""
    child = start_python(READ_FROZEN, mount.target)
    assert child.stdout is not None and child.stdin is not None
    server = max(mount.server_pids())
    try:
        assert child.stdout.readline() == "open\n"
        subprocess.run(["sh", "-c", "echo 1 > /proc/sys/vm/drop_caches"], check=True)
        os.kill(server, signal.SIGSTOP)
        child.stdin.write("\n")
        child.stdin.flush()
        if comes:
            assert child.communicate(timeout=20)[0] == "65536\n"
            return
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1)
    finally:
        os.kill(server, signal.SIGCONT)
    assert child.communicate(timeout=20)[0] == "65536\n"


@pytest.mark.parametrize("arguments", [(), ("--readonly", "true")], ids=["writable", "read-only"])
def test_a_cached_file_is_read_without_the_server(tmp_path: Path, arguments: Sequence[str]) -> None:
    with MiniCluster(tmp_path / "cluster") as cluster:
        put(cluster, "/f")
        time.sleep(5.1)  # on a writable mount a file has to have settled
        with MiniMount(cluster.conf_path, tmp_path / "mnt", arguments=arguments) as mount:
            assert python(READ_AROUND, mount.target, "f") == f"{SUM}\n"
            frozen_read(mount, comes=True)


@pytest.mark.parametrize("way", ["splice", "copy", "no_open"])
def test_other_ways_give_the_same_bytes(tmp_path: Path, way: str) -> None:
    settings = {"fuse": {"read_path": way, "readonly": True}}
    with MiniCluster(tmp_path / "cluster", settings=settings) as cluster:
        put(cluster, "/f")
        put(cluster, "/empty", b"")
        with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
            assert python(READ_AROUND, mount.target, "f") == f"{SUM}\n"
            assert shell("wc -c < empty; cat f f | wc -c", mount.target) == "0\n18000000\n"
            frozen_read(mount, comes=False)


def test_a_file_of_many_blocks(tmp_path: Path) -> None:
    settings = {"client": {"block_size": "1MB"}}
    with MiniCluster(tmp_path / "cluster", settings=settings) as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            with files.create("/f", block_size=1 << 20) as writer:
                writer.write(0, BODY)
            assert len(files.block_locations("/f").blocks) == 9
        with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
            assert python(READ_AROUND, mount.target, "f") == f"{SUM}\n"


def test_a_read_only_directory_of_an_under_storage(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "f").write_bytes(BODY)
    (source / "sub" / "g").write_text("g")
    (source / "sub" / os.fsdecode(b"caf\xe9")).write_text("bytes")
    (source / "link").symlink_to("sub/g")
    with MiniCluster(tmp_path / "cluster") as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            files.mkdir("/data")
            files.mount("/data", f"file://{source}", MountOptions())
        with MiniMount(cluster.conf_path, tmp_path / "mnt", fs_path="/data") as mount:
            assert python(READ_AROUND, mount.target, "f") == f"{SUM}\n"
            shell(f"diff -r . {source}; test $(cat link) = g", mount.target)
            refused = shell("touch f 2>&1 || true; echo x 2>&1 > new || true", mount.target)
            assert refused.count("Read-only file system") == 2, refused
            deadline = time.monotonic() + 20
            with BlockingFileSystem(cluster.conf()) as files:
                while files.status("/data/f").id and time.monotonic() < deadline:
                    time.sleep(0.1)
            shell(f"cmp f {source}/f; ls -lR | grep -c ^- | grep -qx 3", mount.target)
            frozen_read(mount, comes=True)


def test_another_clients_change_is_seen_at_the_next_open(tmp_path: Path) -> None:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
            for turn in range(5):
                body = f"version {turn} " * (turn + 1)
                put(cluster, "/f", body.encode())
                assert shell("cat f", mount.target) == body
