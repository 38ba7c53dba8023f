# SPDX-License-Identifier: Apache-2.0
"""Fluid's document as values: the fixtures that Fluid's own code rendered, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curvine.errors import ConfigError
from curvine.fluid.runtime_config import (
    CONFIG_PATHS,
    DatasetMount,
    find_config,
    parse_config,
    read_config,
    searched_paths,
)

FIXTURES = Path(__file__).parents[1] / "data" / "fluid"


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda p: p.name)
def test_fixtures_parse(path: Path) -> None:
    config = read_config(str(path))
    assert config.target_path.startswith("/runtime-mnt/")
    assert config.access_modes


def test_the_final_newline_is_no_change() -> None:
    first = read_config(str(FIXTURES / "01-seed-minimal.config.json"))
    assert first == read_config(str(FIXTURES / "15-seed-minimal-as-installed.config.json"))
    assert first.read_only
    (mount,) = first.mounts
    assert (mount.fs_path, mount.effective_path) == ("/data", "/curvine")


def test_mounts_of_two_clusters() -> None:
    config = read_config(str(FIXTURES / "05-two-mounts.config.json"))
    assert [mount.effective_path for mount in config.mounts] == ["/", "/test"]
    assert [mount.read_only for mount in config.mounts] == [False, True]
    assert config.mounts[1].shared
    assert not config.read_only


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ([], False),
        (["ReadOnlyMany"], True),
        (["ReadWriteMany"], False),
        (["ReadOnlyMany", "ReadWriteOnce"], False),
        (["ReadWriteOncePod"], False),
    ],
)
def test_access_modes(modes: list[str], expected: bool) -> None:
    assert parse_config(json.dumps({"accessModes": modes}).encode(), "x").read_only is expected


def test_leniency() -> None:
    """Nulls, missing and extra keys, a byte-order mark, real JSON values (contract 10.4)."""
    document = {
        "mounts": [
            {
                "mountPoint": " curvine:///d ",
                "options": {"a": True, "b": 3, "c": None, "d": ["x:1", "y:2"]},
                "encryptOptions": {"e": "/etc/fluid/secrets/s/k"},
                "readOnly": "true",
                "extra": {},
            },
            {"mountPoint": "curvine:///e", "options": None},
        ],
        "targetPath": None,
        "accessModes": None,
    }
    config = parse_config(b"\xef\xbb\xbf" + json.dumps(document).encode(), "x")
    assert config.mounts[0].options == {
        "a": "true",
        "b": "3",
        "d": "x:1,y:2",
        "e": "/etc/fluid/secrets/s/k",
    }
    assert config.mounts[0].read_only
    assert config.mounts[1].options == {}


@pytest.mark.parametrize(
    ("mount_point", "expected"),
    [
        ("curvine:///data", "/data"),
        ("curvine://data", "/data"),
        ("curvine:///", "/"),
        ("CURVINE:///a//b/", "/a/b"),
        ("curvinefs:///x", "/x"),
        ("cv://a/b", "/a/b"),
        ("/plain", "/plain"),
        ("plain", "/plain"),
        ("curvine:///Grüße 'x'", "/Grüße 'x'"),
    ],
)
def test_curvine_paths(mount_point: str, expected: str) -> None:
    assert DatasetMount(mount_point=mount_point).fs_path == expected


@pytest.mark.parametrize(
    ("mount_point", "text"),
    [
        ("s3://bucket/x", "s3://"),
        ("pvc://claim", "pvc://"),
        ("dataset://ns/name", "dataset://"),
        ("curvine://master:8995/data", "master-endpoints"),
        ("curvine:///a\0b", "NUL"),
    ],
)
def test_mount_points_of_others(mount_point: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        _ = DatasetMount(mount_point=mount_point).fs_path


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "line 1 column 1"),
        (b'{"mounts": [\n  {"mountPoint": }]}', "line 2 column 18"),
        (b'{"a": 1} trailing', "line 1 column 10"),
        (b"[]", "JSON object"),
        (b'{"mounts": {}}', "mounts must be a JSON array"),
        (b'{"mounts": [3]}', r"mounts\[0\] must be a JSON object"),
        (b'{"mounts": [{"name": "x"}]}', r"mounts\[0\] has no mountPoint"),
        (b'{"mounts": [{"mountPoint": 7}]}', "mountPoint must be a text"),
        (b'{"mounts": [{"mountPoint": "a", "options": []}]}', "options must be a JSON object"),
        (b'{"mounts": [{"mountPoint": "a", "options": {"k": {}}}]}', "options.k must be a text"),
        (b'{"mounts": [{"mountPoint": "a", "readOnly": 3}]}', "true or false"),
        (b'{"targetPath": "/a\\ud800"}', "not Unicode"),
        (b'{"targetPath": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_broken_documents(data: bytes, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        parse_config(data, "/etc/fluid/config/config.json")
    assert str(caught.value).startswith("/etc/fluid/config/config.json")


def test_search_order(tmp_path: Path) -> None:
    assert searched_paths({}) == CONFIG_PATHS
    named = tmp_path / "runtime.json"
    env = {"FLUID_RUNTIME_CONFIG_PATH": str(named)}
    assert find_config(env) is None
    named.touch()
    assert find_config(env) == str(named)
