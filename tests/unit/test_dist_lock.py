# SPDX-License-Identifier: Apache-2.0
"""The lock file of `make all` holds what the program needs, in the versions that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

TOP = Path(__file__).parents[2]


def pinned(name: str) -> dict[str, str]:
    lines = re.findall(r"^([a-z0-9._-]+)==(\S+)", (TOP / name).read_text(), re.MULTILINE)
    return dict(lines)


def test_same_versions_as_tested() -> None:
    shipped, tested = pinned("requirements-dist.lock"), pinned("requirements-dev.lock")
    assert shipped
    assert {n: v for n, v in shipped.items() if tested.get(n) != v} == {}


def test_every_dependency_is_shipped() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[; ]", line)[0].lower() for line in project["dependencies"]}
    assert names <= set(pinned("requirements-dist.lock"))
