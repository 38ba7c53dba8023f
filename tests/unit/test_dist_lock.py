# SPDX-License-Identifier: Apache-2.0
"""The lock file of `make all` holds what the program needs, in the versions that are tested."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("wheel", "home"),
    [
        ("pure-1-py3-none-any.whl", "common"),
        ("stable-1-cp39-abi3-manylinux2014_x86_64.whl", "common"),
        # a wheel for the stable ABI of Python 3.13, beside one for 3.11: neither is for all
        ("awscrt-1-cp311-abi3-manylinux2014_x86_64.whl", "cp312"),
        ("uvloop-1-cp312-cp312-manylinux2014_x86_64.whl", "cp312"),
    ],
)
def test_each_python_gets_wheels_that_load_in_it(wheel: str, home: str) -> None:
    build = runpy.run_path(str(TOP / "distribution" / "build.py"))
    shared = {"pure-1-py3-none-any.whl", "stable-1-cp39-abi3-manylinux2014_x86_64.whl"}
    assert build["home_of"](Path(wheel), "3.12", shared) == home
