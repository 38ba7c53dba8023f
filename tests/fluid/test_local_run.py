# SPDX-License-Identifier: Apache-2.0
"""`cv fluid run`: the seed's manifests mount on this machine, and the mount follows the files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]
DEPLOY = Path(__file__).parents[2] / "deploy" / "fluid"


def until(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline and process.poll() is None, log.read_text()
        time.sleep(0.1)


def look(path: Path) -> str:
    """A file as another process sees it."""
    result = subprocess.run(["cat", str(path)], capture_output=True, text=True, check=False)
    return result.stdout


def test_the_manifests_mount_here(tmp_path: Path) -> None:
    files = []
    for name in ("profile", "dataset", "thinruntime"):
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text((DEPLOY / f"curvine-{name}.yaml").read_text())
    target, log = tmp_path / "mounted", tmp_path / "log"
    with MiniCluster(tmp_path / "cluster") as cluster, BlockingFileSystem(cluster.conf()) as fs:
        for folder in ("/data", "/other"):
            fs.mkdir(folder)
            fs.write_file(f"{folder}/testfile", f"in {folder}\n".encode())
        masters = ",".join(f"{h}:{p}" for h, p in cluster.conf().client_master_addrs())
        command = [sys.executable, "-m", "curvine.cli.main", "--master-addrs", masters, "fluid",
                   "run", "--at", str(target), "--dir", str(tmp_path / "pod"),
                   *map(str, files)]  # fmt: skip
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))
        try:
            until(lambda: look(target / "testfile") == "in /data\n", process, log)
            assert "Configuration generated successfully!" in log.read_text()
            files[1].write_text(files[1].read_text().replace("curvine:///data", "curvine:///other"))
            until(lambda: look(target / "testfile") == "in /other\n", process, log)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
            subprocess.run(["umount", "-l", str(target)], check=False, capture_output=True)
