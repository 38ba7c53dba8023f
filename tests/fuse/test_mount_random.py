# SPDX-License-Identifier: Apache-2.0
"""Random operations on a file of the mount and on a native one: every answer must be the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import start_python

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

SECONDS = float(os.environ.get("CURVINE_RANDOM_SECONDS", "6"))
LIMIT = 3_000_000

PROGRAM = """
import mmap, os, random, sys, time
seed, seconds, native, limit = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
random.seed(seed)
pair = (os.path.join(os.environ["M"], f"r{seed}"), os.path.join(native, f"r{seed}"))
handles = [[os.open(path, os.O_CREAT | os.O_RDWR) for path in pair]]
log = []

def both(call):
    results = [call(side) for side in (0, 1)]
    assert results[0] == results[1], (seed, len(log), log[-10:])
    return results[0]

def whole(side):
    with open(pair[side], "rb") as file:
        return file.read()

def append(data):
    for path in pair:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND); os.write(fd, data); os.close(fd)

def patch(side, fds, at, data):
    with mmap.mmap(fds[side], 0) as map:
        map[at : at + len(data)] = data; map.flush()

end = time.monotonic() + seconds
while time.monotonic() < end:
    kind = random.choice(
        "write write write write read read read read truncate ftruncate append fsync reopen reopen "
        "another rename patch whole stat stat".split()
    )
    fds = random.choice(handles); size = os.fstat(fds[1]).st_size; log.append((kind, size))
    if kind == "write":
        at = random.choice((random.randrange(limit), random.randrange(size + 1), size))
        data = random.randbytes(random.choice((1, 100, 4096, 65_536, 200_000)))
        both(lambda side: os.pwrite(fds[side], data, at))
    elif kind == "read":
        at, count = random.randrange(size + 5000), random.choice((1, 100, 4096, 500_000))
        both(lambda side: os.pread(fds[side], count, at))
    elif kind in ("truncate", "ftruncate"):
        length = random.choice((0, random.randrange(limit), size))
        for side in (0, 1):
            os.truncate(pair[side] if kind == "truncate" else fds[side], length)
    elif kind == "append":
        append(random.randbytes(random.choice((1, 1000, 100_000))))
    elif kind == "fsync":
        os.fsync(fds[0])
    elif kind == "reopen":
        for side in (0, 1):
            os.close(fds[side]); fds[side] = os.open(pair[side], os.O_RDWR)
    elif kind == "another" and len(handles) < 4:
        handles.append([os.open(path, os.O_RDWR) for path in pair])
    elif kind == "another":
        for fd in handles.pop(): os.close(fd)
    elif kind == "rename":
        os.rename(pair[0], pair[0] + "~"); os.rename(pair[0] + "~", pair[0])
    elif kind == "patch" and size > 100:
        at, data = random.randrange(size - 50), random.randbytes(20)
        both(lambda side: patch(side, fds, at, data))
    elif kind == "whole":
        both(whole)
    else:
        both(lambda side: os.stat(pair[side]).st_size)
for fds in handles:
    for fd in fds: os.close(fd)
both(whole); print("operations", len(log))
"""


@pytest.mark.parametrize("crashes", [0, 2], ids=["quiet", "server killed twice"])
@pytest.mark.parametrize("block_size", ["128MB", "1MB"])
def test_the_mount_and_a_native_file_never_differ(
    tmp_path: Path, block_size: str, crashes: int
) -> None:
    settings = {"client": {"block_size": block_size}}
    native = tmp_path / "native"
    native.mkdir()
    with MiniCluster(tmp_path / "cluster", settings=settings) as cluster:
        with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
            children = [
                start_python(
                    PROGRAM, mount.target, str(seed), str(SECONDS), str(native), str(LIMIT)
                )
                for seed in (1, 2)
            ]
            for _ in range(crashes):
                time.sleep(SECONDS / 3)
                os.kill(max(mount.server_pids()), signal.SIGKILL)
            for child in children:
                output, _ = child.communicate(timeout=SECONDS + 60)
                assert child.returncode == 0, output[-3000:]
