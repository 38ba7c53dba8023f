# SPDX-License-Identifier: Apache-2.0
"""``make demo`` from Fluid's configuration to a checked dataset, and its cleaning up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"
pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CURVINE_", "FLUID_"))}
    return subprocess.Popen(
        [sys.executable, DEMO, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**env, "TMPDIR": str(tmp_path)},
    )


def left_behind(tmp_path: Path) -> list[str]:
    """Mounts and processes that still name the directory."""
    found = [
        line for line in Path("/proc/self/mounts").read_text().splitlines() if str(tmp_path) in line
    ]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in command:
            found.append(command)
    return found + [str(path) for path in tmp_path.iterdir()]


def test_demo_shows_the_main_job(tmp_path: Path) -> None:
    child = start(tmp_path)
    text, _ = child.communicate(timeout=280)
    assert child.returncode == 0, text
    assert "the checksums agree" in text
    assert "fuse.curvinefs-thin" in text  # the mount's line, as Fluid's checks want it
    assert re.search(r"SSD: [\d.]+MiB of 4.00GiB", text)
    assert left_behind(tmp_path) == []


def test_demo_cleans_up_when_interrupted(tmp_path: Path) -> None:
    child = start(tmp_path)
    assert child.stdout is not None
    for line in child.stdout:
        if "the dataset is a directory" in line:
            break
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 1
    deadline = time.monotonic() + 10
    while left_behind(tmp_path):
        assert time.monotonic() < deadline, left_behind(tmp_path)
        time.sleep(0.1)
