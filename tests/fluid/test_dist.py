# SPDX-License-Identifier: Apache-2.0
"""What `make all` lays out, moved away from its checkout and run with no environment but PATH."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
# The directory of this interpreter without the virtual environment around it.
PYTHON = os.path.dirname(os.path.realpath(sys.executable))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Dist:
    """An installed Curvine, used as its user would."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.home / command[0]), *command[1:]],
            env={"PATH": f"{PYTHON}:/usr/bin:/bin", "HOME": "/nonexistent"} | env,
            cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def must(self, *command: str, **env: str) -> str:
        result = self.run(*command, **env)
        assert result.returncode == 0, (command, result.stdout, result.stderr)
        return result.stdout


@pytest.fixture(scope="module")
def dist(built_dist: Path) -> Dist:
    return Dist(built_dist)


@pytest.fixture
def cluster(dist: Dist, tmp_path: Path) -> Iterator[Dist]:
    """Master and worker, started by the scripts, on free ports."""
    conf = dist.home / "conf" / "curvine-cluster.toml"
    sample = conf.read_text()
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    text = sample.replace("8995", str(ports[0])).replace("8997", str(ports[1]))
    text = re.sub(r"web_port = \d+", "web_port = 0", text)
    conf.write_text(text.replace('"/curvine-fuse"', f'"{tmp_path / "mnt"}"'))
    try:
        dist.must("bin/local-cluster.sh", "start")
        yield dist
    finally:
        dist.run("bin/curvine-fuse.sh", "stop")
        dist.must("bin/local-cluster.sh", "stop")
        conf.write_text(sample)


def test_nothing_points_back(dist: Dist) -> None:
    """No path of the checkout or of a virtual environment is inside."""
    needles = (str(TOP).encode(), b"/.venv/", sys.prefix.encode())
    for path in dist.home.rglob("*"):
        if path.is_file() and "dist-info" not in str(path) and path.suffix in ("", ".py", ".toml"):
            data = path.read_bytes()
            assert not any(needle in data for needle in needles), path


def test_programs_say_who_they_are(dist: Dist) -> None:
    for program in ("curvine-fuse", "curvine-server"):
        document = json.loads(dist.must(f"lib/{program}", "--version-json"))
        assert document["name"] == program
    for program in ("lib/curvine-master", "lib/curvine-worker", "bin/cv"):
        dist.must(program, "--version")
    assert dist.run("lib/curvine-server").returncode == 2


def test_scripts_start_a_cluster(cluster: Dist, tmp_path: Path) -> None:
    assert "running" in cluster.must("bin/curvine-master.sh", "status")
    assert "runs already" in cluster.must("bin/curvine-worker.sh", "start")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    cluster.must("bin/cv", "fs", "put", str(source), "/file")
    cluster.must("bin/local-cluster.sh", "restart")
    cluster.must("bin/cv", "fs", "get", "/file", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (cluster.home / "data").is_dir(), "a relative data_dir lies in CURVINE_HOME"
    assert cluster.must("bin/curvine-worker.sh", "stop")
    assert cluster.run("bin/curvine-worker.sh", "status").returncode == 3
    assert cluster.run("bin/curvine-master.sh", "reload").returncode == 2


@pytest.mark.fuse
def test_scripts_mount(cluster: Dist, tmp_path: Path) -> None:
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs root and /dev/fuse")
    target = tmp_path / "mnt"
    cluster.must("bin/cv", "fs", "mkdir", "/directory")
    cluster.must("bin/curvine-fuse.sh", "start")
    listed = subprocess.run(["ls", target], capture_output=True, text=True, timeout=30, check=True)
    assert "directory" in listed.stdout
    cluster.must("bin/curvine-fuse.sh", "reload")
    subprocess.run(["ls", target], timeout=30, check=True)
    cluster.must("bin/curvine-fuse.sh", "stop")
    assert str(target) not in Path("/proc/self/mounts").read_text()


def test_server_that_cannot_start(dist: Dist, tmp_path: Path) -> None:
    conf = tmp_path / "wrong.toml"
    conf.write_text("[master]\nrpc_port = 'x'\n")
    result = dist.run("bin/curvine-master.sh", "start", "--conf", str(conf))
    assert result.returncode == 1
    assert "rpc_port" in result.stderr
    assert dist.run("bin/curvine-master.sh", "status").returncode == 3


def test_python_that_is_too_old_or_unknown(dist: Dist, tmp_path: Path) -> None:
    """Another Python of the machine is taken if there is one; else it is said which are needed."""
    folder = tmp_path / "other"
    library = folder / "lib" / "python"
    shutil.copytree(dist.home / "lib" / "python", library, ignore=lambda d, n: set(n) - {
        "curvine_entry.py", "MACHINE"})  # fmt: skip
    (library / "cp39").mkdir()
    (folder / "lib" / "curvine-fuse").write_text((dist.home / "lib" / "curvine-fuse").read_text())
    result = subprocess.run(
        [sys.executable, folder / "lib" / "curvine-fuse"], env={"PATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("ERROR: ") and "Python 3.9" in result.stderr
    (tmp_path / "python3.9").write_text('#!/bin/sh\necho "taken: $1 $2"\n')
    (tmp_path / "python3.9").chmod(0o755)
    taken = subprocess.run(
        [sys.executable, folder / "lib" / "curvine-fuse", "--version"],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert taken.stdout.startswith("taken: ") and "--version" in taken.stdout
