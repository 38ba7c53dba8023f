# SPDX-License-Identifier: Apache-2.0
"""docs/fluid.md: its blocks marked [tried] run, in their order, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curvine.fluid.options import _CANONICAL

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]
TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "fluid.md").read_text()
BLOCKS = re.findall(r"\*\*\[tried\]\*\*\n```sh\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = {"curvine-ready": "curvine.fluid.ready", "curvine-umount": "curvine.fluid.umount"}


def test_the_blocks_run(tmp_path: Path) -> None:
    assert len(BLOCKS) == len(re.findall(r"^\*\*\[tried\]\*\*$", PAGE, re.MULTILINE)) >= 5
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in PROGRAMS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    env = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path), "TMPDIR": str(tmp_path),
    }  # fmt: skip
    script = "set -euo pipefail\n" + "\n".join(BLOCKS)
    done = subprocess.run(["bash", "-c", script], cwd=TOP, env=env, capture_output=True, text=True,
                          timeout=150, check=False)  # fmt: skip
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "5 objects" not in done.stdout and "4 objects, no findings" in done.stdout
        assert '{"mounts":[{"mountPoint":"curvine:///data"' in done.stdout
        assert "\nhello\n" in done.stdout
        assert "verdict: nothing is wrong" in done.stdout
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if str(tmp_path) in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        for cluster in tmp_path.glob("tmp.*/cluster"):
            subprocess.run([sys.executable, "-m", "curvine.cli.main", "down", "--dir", cluster],
                           check=False, capture_output=True)  # fmt: skip


def test_files_and_options_that_it_names_exist() -> None:
    for path in re.findall(r"`(deploy/[\w./-]+|tests/[\w./-]+|curvine-docker/[\w./-]+)`", PAGE):
        assert (TOP / path).exists(), path
    for name in re.findall(r"^\| `([\w.-]+\.yaml)`", PAGE, re.MULTILINE):
        assert (TOP / "deploy" / "fluid" / name).exists(), name
    for option in re.findall(
        r"^\| `([a-z-]+)`(?: \(as `encryptOptions`\))? \|", PAGE, re.MULTILINE
    ):
        assert option in _CANONICAL, option
