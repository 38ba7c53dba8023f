# SPDX-License-Identifier: Apache-2.0
"""What `make all` lays out, built once for the tests of this folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built_dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built for this Python and moved away from where it was built."""
    built = tmp_path_factory.mktemp("build") / "dist"
    subprocess.run(
        [sys.executable, TOP / "distribution" / "build.py", "--output", built], check=True
    )
    moved = tmp_path_factory.mktemp("other place") / "curvine"
    shutil.move(built, moved)
    return moved
