# SPDX-License-Identifier: Apache-2.0
"""Two mounts of one cluster whose kernels believe for an hour: what one changes the other shows.

CURVINE_PUSH_ROUNDS sets how many changes and races are tried, and holds the bound of one second.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount
from curvine.testing.outside import shell

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(3600)]

PROGRAM = Path(__file__).with_name("push_rounds.py")
ROUNDS = os.environ.get("CURVINE_PUSH_ROUNDS", "150")
LIMIT = "1" if "CURVINE_PUSH_ROUNDS" in os.environ else "60"  # s; nobody waits when all is right
SEED = os.environ.get("CURVINE_PUSH_SEED", str(random.randrange(1 << 30)))
UNCACHED = ("--attr-timeout-ms", "0", "--entry-timeout-ms", "0", "--negative-timeout-ms", "0")


class Mounts(NamedTuple):
    """Two that cache, and one that asks for everything."""

    one: Path
    other: Path
    truth: Path


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounts]:
    root = tmp_path_factory.mktemp("push")
    with (
        MiniCluster(root / "cluster") as cluster,
        MiniMount(cluster.conf_path, root / "a") as one,
        MiniMount(cluster.conf_path, root / "b") as other,
        MiniMount(cluster.conf_path, root / "c", arguments=UNCACHED) as truth,
    ):
        yield Mounts(one.target, other.target, truth.target)


@pytest.mark.parametrize("way", ["flushed", "races"])
def test_two_mounts_show_the_same(way: str, mounts: Mounts) -> None:
    shell(f"mkdir {way}", mounts.one)
    places = [str(mount / way) for mount in mounts]
    command = [sys.executable, str(PROGRAM), way, ROUNDS, SEED, LIMIT, *places]
    print(shell(shlex.join(command), mounts.one, timeout=3000))
