# SPDX-License-Identifier: Apache-2.0
"""`cv fluid doctor` in a mount's pod: real servers, real mounts, real mistakes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]
LEAVE_DEAD_MOUNT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"dead", os.fsencode(sys.argv[1]), b"fuse", 0, data):
    raise OSError(ctypes.get_errno(), "mount")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        with BlockingFileSystem(cluster.conf()) as fs:
            fs.mkdir("/data")
        yield cluster


def look(
    tmp_path: Path, masters: str, path: str = "/data", **options: str
) -> tuple[int, dict[str, list[tuple[str, str, str]]]]:
    """The results by check: (status, finding, fix)."""
    config = tmp_path / "config.json"
    mount = {"mountPoint": f"curvine://{path}", "name": "curvine",
             "options": {"master-endpoints": masters} | options}  # fmt: skip
    config.write_text(json.dumps({"mounts": [mount], "targetPath": str(tmp_path / "thin-fuse")}))
    done = subprocess.run(
        [sys.executable, "-m", "curvine.cli.main", "fluid", "doctor", "--config", str(config),
         "--output", "json"],
        env={"PATH": os.environ["PATH"], "CURVINE_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in json.loads(done.stdout)["results"]:
        found.setdefault(row["check"], []).append((row["status"], row["finding"], row["fix"]))
    return done.returncode, found


def test_masters(tmp_path: Path, cluster: MiniCluster) -> None:
    host, port = cluster.master_address
    check = "master of mount 'curvine'"
    code, found = look(tmp_path, f"{host}:{port}")
    assert found[check][0][0] == "ok", found
    assert found["/dev/fuse"][0][0] == found["privileges"][0][0] == "ok"
    # No mount was made: that is an error of its own.
    assert code == 1 and "nothing of FUSE is mounted" in found["mount"][0][1]
    assert "does not exist" in found["generated files"][0][1]
    status, finding, fix = look(tmp_path, f"{host}:{port}", "/none")[1][check][0]
    assert (status, "there is no /none" in finding, "cv fs mkdir" in fix) == ("error", True, True)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        closed = silent.getsockname()[1]
        status, finding, fix = look(tmp_path, f"127.0.0.1:{closed}")[1][check][0]
    assert (status, "refused" in finding, "8995" in fix) == ("error", True, True)
    status, finding, fix = look(tmp_path, "no-such-host.invalid:8995")[1][check][0]
    assert (status, "no address" in finding) == ("error", True)


def test_options_and_configuration(tmp_path: Path, cluster: MiniCluster) -> None:
    host, port = cluster.master_address
    _, found = look(tmp_path, f"{host}:{port}", **{"io-thread": "3"})
    assert "did you mean io-threads" in found["options"][0][1]
    _, found = look(tmp_path, "host")
    assert found["config"][0][0] == "error" and "master-endpoints" in found["config"][0][1]


def test_a_dead_mount(tmp_path: Path, cluster: MiniCluster) -> None:
    host, port = cluster.master_address
    target = tmp_path / "thin-fuse"
    target.mkdir()
    subprocess.run([sys.executable, "-c", LEAVE_DEAD_MOUNT, str(target)], check=True)
    try:
        _, found = look(tmp_path, f"{host}:{port}")
        assert "Transport endpoint is not connected" in found["mount"][0][1]
        assert "curvine-umount" in found["mount"][0][2]
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)
