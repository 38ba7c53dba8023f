# SPDX-License-Identifier: Apache-2.0
"""``cv fuse``: freeing a mount whose server hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount, mount_line
from cv_runner import cv

pytestmark = pytest.mark.fuse


def test_a_hanging_mount_is_aborted(tmp_path: Path) -> None:
    target = tmp_path / "mnt"
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, target) as mount,
    ):
        rows = {row["path"]: row for row in json.loads(cv("fuse", "list", "--output", "json"))}
        assert rows[str(target)]["state"] == "live"
        pids = mount.server_pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            with subprocess.Popen(["stat", target / "nothing"], stderr=subprocess.PIPE) as victim:
                with pytest.raises(subprocess.TimeoutExpired):
                    victim.wait(0.5)
                assert "aborted" in cv("fuse", "abort", target)
                assert victim.wait(10) == 1
                assert victim.stderr is not None and b"nothing" in victim.stderr.read()
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert mount_line(target) is None
        assert "cv fuse list" in cv("fuse", "abort", target, code=1)
        assert cv("fuse", "umount", target) == "not mounted\n"
    assert "not of Curvine" in cv("fuse", "abort", "/proc", code=1)
