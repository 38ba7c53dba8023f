# SPDX-License-Identifier: Apache-2.0
"""What every test shares: what this machine can do, and a loud skip where it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
