# SPDX-License-Identifier: Apache-2.0
"""A mount with a memory budget keeps it under load, and what asks it goes on."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell
from cv_runner import cv

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

LIMIT = 128 << 20
ARGUMENTS = ("--fuse.memory-limit", str(LIMIT), "--client.short-circuit=false")
LOAD = """
set +o pipefail
set +o pipefail
mkdir many; (cd many; for i in $(seq 600); do echo $i > f$i; done) &
for i in 1 2 3 4; do
  (yes "line $i" | head -c 32000000 > in$i; dd if=in$i of=out$i bs=1M status=none) &
done
wait
ls -lR . | wc -l
for i in 1 2 3 4; do cmp in$i out$i & done; wait
test $(cat many/* | sort -n | tail -1) = 600
"""


def test_a_budget_is_kept_and_shown(tmp_path: Path) -> None:
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, tmp_path / "mnt", arguments=ARGUMENTS) as mount,
    ):
        shell(LOAD, mount.target, timeout=120)
        shown = json.loads(cv("fuse", "stats", mount.target, "--output", "json"))
        status = Path(f"/proc/{shown['pid']}/status").read_text()
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        assert int(peak) << 10 < LIMIT
        assert shown["memory"]["limit"] == LIMIT and 0 < shown["memory"]["used"] < LIMIT
        assert shown["bytes"]["copied"] > 100_000_000  # what the kernel asked of workers


def test_the_kernel_gives_nodes_back_where_memory_is_short(tmp_path: Path) -> None:
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(
            cluster.conf_path, tmp_path / "mnt", arguments=("--fuse.memory-limit", "48MB")
        ) as mount,
    ):
        shell("mkdir d; for i in $(seq 200); do echo $i > d/f$i; done", mount.target)
        deadline = time.monotonic() + 20
        while True:
            shown = json.loads(cv("fuse", "stats", mount.target, "--output", "json"))
            if shown["nodes"] < 20:
                break
            assert time.monotonic() < deadline, shown["nodes"]
        shell("test $(cat d/* | sort -n | tail -1) = 200", mount.target)


def test_stats_of_a_busy_mount_and_an_upgrade_under_it(tmp_path: Path) -> None:
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, tmp_path / "mnt") as mount,
    ):
        script = "for i in $(seq 30); do echo $i > f$i; cat f$i; mv f$i g$i; rm g$i; done"
        said: list[str] = []
        busy = threading.Thread(target=lambda: said.append(shell(script, mount.target)))
        busy.start()
        lines = cv("fuse", "stats", mount.target, "--count", "1", "--interval", "0.3").splitlines()
        assert f"{mount.target}: server {mount.server_pids()[0]}, 0 restarts" in lines[0]
        assert "passthrough" in lines[1] and lines[2].split()[:2] == ["OPERATION", "OPS/S"]
        assert any(line.startswith("Create ") for line in lines), lines
        before = mount.server_pids()
        assert f"from {before[0]}" in cv("fuse", "upgrade", mount.target)
        assert mount.server_pids() != before
        busy.join(60)
        assert said == ["".join(f"{i}\n" for i in range(1, 31))]
        document = json.loads(cv("fuse", "stats", mount.target, "--output", "json"))
        assert document["restarts"] == 1 and document["supervisor"] == mount.pid
    assert "nothing is mounted" in cv("fuse", "stats", mount.target, code=1)
    assert "not of Curvine" in cv("fuse", "upgrade", "/proc", code=1)
