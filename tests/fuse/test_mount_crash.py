# SPDX-License-Identifier: Apache-2.0
"""The server of a mount is killed in the middle of everything; programs on the mount go on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell, start_python

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

WRITER = """
import os, random, sys
os.chdir(os.environ["M"]); random.seed(5)
pieces = [random.randbytes(200_000) for _ in range(20)]
fd = os.open("f", os.O_CREAT | os.O_RDWR); gone = os.open("gone", os.O_CREAT | os.O_RDWR)
os.write(gone, b"still here"); os.unlink("gone"); where = os.open("d", os.O_RDONLY)
for piece in pieces[:10]: os.write(fd, piece)
print("half"); sys.stdin.readline()
for piece in pieces[10:]: os.write(fd, piece)
assert os.pread(fd, 1 << 30, 0) == b"".join(pieces); os.fsync(fd); os.close(fd)
assert open("f", "rb").read() == b"".join(pieces)
assert os.pread(gone, 99, 0) == b"still here" and os.fstat(gone).st_nlink == 0; os.close(gone)
assert sorted(os.listdir(where)) == ["a", "b"]
print("whole")
"""

# Turns of create, write, fsync, rename, read, list and unlink until told to stop.
BUSY = """
import os, random, select, sys
os.chdir(os.environ["M"]); mine = sys.argv[1]; random.seed(mine); os.mkdir(mine); turn = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    body = random.randbytes(random.choice((0, 10, 5000, 150_000))); turn += 1
    fd = os.open(f"{mine}/new", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    assert os.write(fd, body) == len(body); os.fsync(fd); os.close(fd)
    os.rename(f"{mine}/new", f"{mine}/{turn % 3}")
    assert open(f"{mine}/{turn % 3}", "rb").read() == body
    if turn % 5 == 4: os.unlink(f"{mine}/{turn % 3}")
    assert "new" not in os.listdir(mine)
print("turns", turn)
"""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[MiniMount]:
    cluster = MiniCluster(tmp_path / "cluster")
    with cluster, MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
        yield mount


def kill_server(mount: MiniMount) -> None:
    before = mount.output().count("has taken over")
    os.kill(max(mount.server_pids()), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while mount.output().count("has taken over") == before:
        assert time.monotonic() < deadline, mount.output()
        time.sleep(0.02)


def finish(child: subprocess.Popen[str], timeout: float = 60) -> str:
    output, _ = child.communicate("\n", timeout=timeout)
    assert child.returncode == 0, output
    return output


def test_open_files_and_directories_survive_the_server(mounted: MiniMount) -> None:
    shell("mkdir d; touch d/a d/b", mounted.target)
    child = start_python(WRITER, mounted.target)
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    kill_server(mounted)
    assert finish(child) == "whole\n"
    shell("test ! -e gone; ls -la", mounted.target)


def test_bytes_that_were_written_and_not_published_survive_the_server(mounted: MiniMount) -> None:
    code = """
import os, sys
os.chdir(os.environ["M"]); fd = os.open("f", os.O_CREAT | os.O_RDWR)
for i in range(10): os.write(fd, bytes([i]) * 100_000)
print("written"); sys.stdin.readline(); os.close(fd)
"""
    child = start_python(code, mounted.target)
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    kill_server(mounted)
    finish(child)
    shell(
        "test $(stat -c %s f) = 1000000; "
        "for i in 0 1 2 3 4 5 6 7 8 9; do test $(tail -c +$((i*100000+1)) f | head -c 1 "
        "| od -An -tu1) = $i; done",
        mounted.target,
    )


def test_four_busy_processes_notice_nothing_of_three_crashes(mounted: MiniMount) -> None:
    children = [start_python(BUSY, mounted.target, str(i)) for i in range(4)]
    for _ in range(3):
        time.sleep(1.0)
        kill_server(mounted)
    time.sleep(1.0)
    for child in children:
        assert int(finish(child).split()[1]) > 3


def test_the_mount_waits_for_a_master_that_was_killed(tmp_path: Path) -> None:
    patient = {"client": {"rpc_retry_max_duration_ms": 60_000}}  # whatever a start takes here
    with MiniCluster(tmp_path / "cluster", settings=patient) as cluster:
        with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
            children = [start_python(BUSY, mount.target, str(i)) for i in range(3)]
            for _ in range(2):
                time.sleep(1.0)
                cluster.master.kill()
                time.sleep(0.3)
                cluster.master.start()
            time.sleep(1.0)
            for child in children:
                assert int(finish(child).split()[1]) > 3


def test_a_program_that_hangs_on_a_dead_master_can_be_killed(tmp_path: Path) -> None:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
            shell("echo x > f", mount.target)
            cluster.master.pause()
            time.sleep(1.2)
            child = start_python("import os; os.stat(os.environ['M'] + '/f')", mount.target)
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(timeout=1.5)
            child.kill()
            child.wait(timeout=10)
            cluster.master.resume()
            shell("cat f", mount.target)
