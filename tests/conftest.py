# SPDX-License-Identifier: Apache-2.0
"""What every test shares: what this machine can do, and a loud skip where it cannot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from curvine.testing.cluster import MiniCluster
from curvine.testing.mounting import MiniMount

# A runner in the background is started with SIGINT ignored, and so would be all that tests start:
# their Ctrl-C would do nothing.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("default")


def why_no_fuse() -> str | None:
    """The reason why a mount cannot be made here, or None."""
    if not Path("/dev/fuse").exists():
        return "no /dev/fuse on this machine"
    if os.geteuid() != 0:
        return "mounting needs root"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_fuse()
    if reason is None:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError(f"CI must really mount, but there is {reason}")
    for item in items:
        if item.get_closest_marker("fuse"):
            item.add_marker(pytest.mark.skip(reason=f"FUSE TESTS DID NOT RUN: {reason}"))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[MiniCluster, Path]]:
    """A real cluster and its root mounted read-write; look at the mount from other processes."""
    cluster = MiniCluster(tmp_path / "cluster")
    with cluster, MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
        yield cluster, mount.target
