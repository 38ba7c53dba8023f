# SPDX-License-Identifier: Apache-2.0
"""kill -9 of everything at random: master, workers, the servers of two mounts, while programs work.

The programs know what every file has to hold; each change has to succeed, whatever is killed below
it. ``CURVINE_CHAOS_SECONDS`` (20) of it; ``CURVINE_CHAOS_SEED`` repeats the order of kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

SECONDS = float(os.environ.get("CURVINE_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CURVINE_CHAOS_SEED", "0")) or int(time.time())
FILES = Path(__file__).parents[1] / "fuse" / "random_operations.py"
TREE = Path(__file__).with_name("tree_operations.py")
SETTINGS = {"client": {"rpc_retry_max_duration_ms": 60_000}}
MOUNT_KILLS_A_MINUTE = 8  # the supervisor gives up after ten crashes a minute

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(int(SECONDS * 3) + 240)]


class Killer:
    """Kills one process at a time and sees to it that it comes back."""

    def __init__(self, cluster: MiniCluster, mounts: list[MiniMount]) -> None:
        self._cluster = cluster
        self._mounts = mounts
        self._when: dict[int, list[float]] = {index: [] for index in range(len(mounts))}
        self.done: dict[str, int] = {"master": 0, "worker": 0, "mount": 0}

    def kill_something(self, chance: random.Random) -> None:
        kind = chance.choice(("master", "worker", "worker", "mount", "mount"))
        if kind == "master":
            self._cluster.master.kill()
            time.sleep(chance.choice((0, 0, 1)))
            self._cluster.master.start()
        elif kind == "worker":
            worker = chance.choice(self._cluster.workers)
            worker.kill()
            time.sleep(chance.choice((0, 0, 1)))
            worker.start()
        elif not self._kill_a_mount(chance):
            return
        self.done[kind] += 1

    def _kill_a_mount(self, chance: random.Random) -> bool:
        index = chance.randrange(len(self._mounts))
        mount, when, now = self._mounts[index], self._when[index], time.monotonic()
        back = mount.output().count("has taken over") == len(when)
        if not back or sum(then > now - 60 for then in when) >= MOUNT_KILLS_A_MINUTE:
            return False
        when.append(now)
        os.kill(max(mount.server_pids()), signal.SIGKILL)
        return True


def test_programs_survive_whatever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with (
        MiniCluster(tmp_path / "cluster", settings=SETTINGS, workers=2) as cluster,
        MiniMount(cluster.conf_path, tmp_path / "one") as one,
        MiniMount(cluster.conf_path, tmp_path / "two") as two,
    ):
        mounts = [one, two]
        programs = [
            subprocess.Popen(
                [sys.executable, program, mount.target, str(number), str(SECONDS), *words],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for number, (program, mount, *words) in enumerate(
                ((FILES, one, "nomap"), (FILES, two, "nomap"), (TREE, one), (TREE, two)), 1
            )
        ]  # fmt: skip
        killer = Killer(cluster, mounts)
        deadline = time.monotonic() + SECONDS * 2 + 120
        try:
            while any(program.poll() is None for program in programs):
                assert time.monotonic() < deadline, f"a program hangs (seed {SEED})"
                if any(program.poll() for program in programs):
                    break
                time.sleep(chance.uniform(0.5, 3))
                killer.kill_something(chance)
        finally:
            for program in programs:
                program.kill()
        said = [program.communicate()[0] for program in programs]
        for program, output in zip(programs, said, strict=True):
            if program.returncode not in (0, -signal.SIGKILL):
                logs = "".join(mount.output()[-3000:] for mount in mounts) + cluster.logs()
                pytest.fail(f"seed {SEED}\n{output}\n{logs}")
        assert all("all right" in output for output in said), f"seed {SEED}\n" + "\n".join(said)
        print(f"seed {SEED}: killed {killer.done}\n" + "".join(said), file=sys.stderr)
        assert sum(killer.done.values()) >= 3
