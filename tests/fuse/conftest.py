# SPDX-License-Identifier: Apache-2.0
"""One mounted cluster for a whole module; each test gets a directory of its own in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniMount]:
    root = tmp_path_factory.mktemp("mounted")
    cluster = MiniCluster(root / "cluster")
    with cluster, MiniMount(cluster.conf_path, root / "mnt") as mount:
        yield mount


@pytest.fixture
def place(shared_mount: MiniMount, request: pytest.FixtureRequest) -> Path:
    """An empty directory on the mount."""
    name = re.sub(r"\W+", "_", request.node.name)
    shell(f"mkdir {name}", shared_mount.target)
    return shared_mount.target / name
