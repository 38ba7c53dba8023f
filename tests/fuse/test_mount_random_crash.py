# SPDX-License-Identifier: Apache-2.0
"""Random operations on a mount while a process below it is killed again and again.

``CURVINE_CRASH_SECONDS`` makes each of the three tests longer (15 by default).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

SECONDS = float(os.environ.get("CURVINE_CRASH_SECONDS", "15"))
PROGRAM = Path(__file__).with_name("random_operations.py")
SETTINGS = {"client": {"rpc_retry_max_duration_ms": 30_000}}

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(int(SECONDS * 2) + 120)]


def run_under_kills(
    root: Path, seed: int, every: float, kill: Callable[[MiniCluster, MiniMount], None], *words: str
) -> None:
    """Run the program; call ``kill`` every so many seconds while it runs."""
    with (
        MiniCluster(root / "cluster", settings=SETTINGS) as cluster,
        MiniMount(cluster.conf_path, root / "mnt") as mount,
    ):
        program = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(mount.target), str(seed), str(SECONDS), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        kills = 0
        deadline = time.monotonic() + SECONDS * 2 + 90
        try:
            while program.poll() is None:
                assert time.monotonic() < deadline, "the program hangs"
                try:
                    program.wait(every)
                except subprocess.TimeoutExpired:
                    kill(cluster, mount)
                    kills += 1
        finally:
            program.kill()
        output, _ = program.communicate()
        assert program.returncode == 0, f"{output}\n{mount.output()[-4000:]}\n{cluster.logs()}"
        assert "all right" in output
        assert kills >= 2


def test_the_server_of_the_mount_is_killed(tmp_path: Path) -> None:
    killed: list[float] = []

    def kill(_: MiniCluster, mount: MiniMount) -> None:
        now = time.monotonic()
        ready = mount.output().count("has taken over") == len(killed)
        # The supervisor gives up after ten crashes a minute.
        if ready and sum(when > now - 60 for when in killed) < 9:
            killed.append(now)
            os.kill(max(mount.server_pids()), signal.SIGKILL)

    run_under_kills(tmp_path, int(time.time()), 1.5, kill)
    assert len(killed) >= 2


def test_the_worker_is_killed(tmp_path: Path) -> None:
    def kill(cluster: MiniCluster, _: MiniMount) -> None:
        cluster.workers[0].kill()
        cluster.workers[0].start()

    run_under_kills(tmp_path, int(time.time()), 3.0, kill, "nomap")


def test_the_master_is_killed(tmp_path: Path) -> None:
    def kill(cluster: MiniCluster, _: MiniMount) -> None:
        cluster.master.kill()
        cluster.master.start()

    run_under_kills(tmp_path, int(time.time()), 3.0, kill)
