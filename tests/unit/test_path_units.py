# SPDX-License-Identifier: Apache-2.0
"""Paths, names that are not UTF-8, sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvine.errors import InvalidPath
from curvine.model import path
from curvine.model.mount import MountInfo, cv_path_of, mount_of_uri, ufs_path_of
from curvine.units import format_duration, format_size, parse_duration, parse_size


@given(st.binary(max_size=60))
def test_names_survive_the_wire(name: bytes) -> None:
    text = path.name_to_wire(name)
    text.encode("utf-8")  # legal protobuf text
    assert path.name_from_wire(text) == name


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_different_names_stay_different(one: bytes, two: bytes) -> None:
    assert (one == two) == (path.name_to_wire(one) == path.name_to_wire(two))


def test_utf8_names_are_left_alone() -> None:
    assert path.name_to_wire("Straße 北京.txt".encode()) == "Straße 北京.txt"


@pytest.mark.parametrize(
    ("raw", "clean"), [("/", "/"), ("//", "/"), ("/a//b/", "/a/b"), ("/a/./..", "/a/./..")]
)
def test_normalize(raw: str, clean: str) -> None:
    assert path.normalize(raw) == clean


@pytest.mark.parametrize("raw", ["", "a/b", "/a\0b"])
def test_normalize_refuses(raw: str) -> None:
    with pytest.raises(InvalidPath):
        path.normalize(raw)


def test_split_join_and_under() -> None:
    assert path.split("/a/b") == ("/a", "b")
    assert path.split("/a") == ("/", "a")
    assert path.split("/") == ("/", "")
    assert path.join("/", "a") == "/a"
    assert path.is_under("/ab", "/a") is False
    assert path.is_under("/a/b", "/a") and path.is_under("/a", "/a") and path.is_under("/a", "/")


@pytest.mark.parametrize(
    ("cv", "ufs", "cv_file", "uri"),
    [
        ("/m", "s3://b/dir", "/m/x/y", "s3://b/dir/x/y"),
        ("/m", "s3://b/", "/m/x", "s3://b/x"),
        ("/m", "file:///srv/data", "/m", "file:///srv/data"),
        ("/a/m", "file:///a/m", "/a/m/a/m", "file:///a/m/a/m"),
    ],
)
def test_mount_mapping(cv: str, ufs: str, cv_file: str, uri: str) -> None:
    mount = MountInfo(cv_path=cv, ufs_path=ufs, mount_id=1)
    assert ufs_path_of(mount, cv_file) == uri
    assert cv_path_of(mount, uri) == cv_file
    assert mount_of_uri((mount,), uri) is mount
    assert mount_of_uri((mount,), "s3://bb/x") is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("128MB", 1 << 27),
        ("1.5g", 3 << 29),
        ("4KiB", 4096),
        ("5Gi", 5 << 30),
        ("10", 10),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "ms"),
    [("7d", 604_800_000), ("90", 90), ("1.5h", 5_400_000), ("300ms", 300), ("2 Minutes", 120_000)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "MB", "12XB", "-1KB", "1..5"])
def test_bad_values_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_formats() -> None:
    assert format_size(12 * 1024 * 1024) == "12.00MiB"
    assert format_size(17) == "17B"
    assert format_duration(604_800_000) == "7d"
    assert format_duration(1500) == "1500ms"
    assert format_duration(0) == "0ms"
