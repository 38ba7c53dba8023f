# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/python.md that need other libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from python_docs import run


def test_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with MiniCluster(tmp_path / "cluster") as cluster:
        monkeypatch.setenv("CURVINE_CONF_FILE", str(cluster.conf_path))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        assert run("python clients") >= 4
