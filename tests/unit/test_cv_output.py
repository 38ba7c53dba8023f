# SPDX-License-Identifier: Apache-2.0
"""How `cv` prints and what it understands: tables, JSON, paths, options, workloads."""

from __future__ import annotations

import click
import pytest

from curvine.cli.bench.command import place_of
from curvine.cli.bench.workload import (
    METADATA,
    OPERATIONS,
    Samples,
    parse_workload,
    percentile,
)
from curvine.cli.fs.listing import permissions, printable
from curvine.cli.mount_options import Wish, canonical_uri, check_consistent, parse_properties
from curvine.cli.mount_table import HEADER, mount_row
from curvine.cli.nodes import parse_node
from curvine.cli.output import grid_lines, plain, table_lines
from curvine.cli.paths import PATH_OR_URI, cluster_path
from curvine.cli.summary import bytes_text, hit_ratio, percentage
from curvine.errors import CurvineError, InvalidArgument, InvalidPath
from curvine.model.inode import FileStatus, FileType, StoragePolicy, StorageType, TtlAction
from curvine.model.mount import MountInfo, WriteType

WEEK = 7 * 86_400_000


def test_a_table_is_aligned_and_ends_without_blanks() -> None:
    lines = table_lines(("NAME", "SIZE"), [("a", 1), ("longer", 1234)], right="SIZE")
    assert lines == ["NAME    SIZE", "a          1", "longer  1234"]


def test_a_table_that_does_not_fit_becomes_blocks() -> None:
    rows = [("a" * 50, "b" * 40), ("c", "d")]
    assert len(table_lines(("ONE", "TWO"), rows, room=None)[1]) == 92
    assert table_lines(("ONE", "TWO"), rows, room=80) == [
        f"ONE: {'a' * 50}", f"TWO: {'b' * 40}", "", "ONE: c", "TWO: d",
    ]  # fmt: skip
    assert table_lines(("ONE", "TWO"), [("c", "d")], room=8) == ["ONE  TWO", "c    d"]


def test_the_mount_table_keeps_upstreams_shape() -> None:
    row = ["1", "/data", "s3://bucket/", *["x"] * 8]
    lines = grid_lines(HEADER, [row])
    assert lines[0] == lines[2] == lines[-1] and set(lines[0]) == {"+", "-"}
    assert lines[1].startswith("| ID | Curvine Path | UFS Path ")
    assert lines[3].startswith("| 1  | /data        | s3://bucket/ | x ")
    assert len({len(line) for line in lines}) == 1
    assert all(len(line) <= 80 for line in grid_lines(HEADER, [row], room=80))


def test_an_empty_grid_has_its_header() -> None:
    assert grid_lines(("ID",), []) == ["+----+", "| ID |", "+----+"]


def test_json_names_enumerations_as_the_pages_do() -> None:
    policy = StoragePolicy(storage_type=StorageType.SPDK_DISK, ttl_action=TtlAction.FREE)
    assert plain({"p": policy, "b": b"\x01\xff"}) == {
        "p": {"storage_type": "SpdkDisk", "ttl_ms": 0, "ttl_action": "Free", "ufs_mtime": 0,
              "state": "Cv"},
        "b": [1, 255],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/a//b/", "/a/b"),
        ("cv://default/a/b", "/a/b"),
        ("cv://default", "/"),
        ("CV://x/", "/"),
        ("curvine:///a", "/a"),
        ("curvine://a/b", "/a/b"),
        ("/caf\udce9", "/caf\uf7e9"),
    ],
)
def test_paths_of_the_cluster(text: str, path: str) -> None:
    assert cluster_path(text) == path
    assert PATH_OR_URI.convert(text, None, None) == path


@pytest.mark.parametrize("text", ["a/b", "", "s3://bucket/x"])
def test_what_is_no_path_of_the_cluster(text: str) -> None:
    with pytest.raises(InvalidPath, match="a path of the cluster is written /a/b"):
        cluster_path(text)


def test_uris_of_under_storages_are_taken_as_they_are() -> None:
    assert PATH_OR_URI.convert("s3://bucket//x", None, None) == "s3://bucket//x"


def test_permissions_and_names_for_a_terminal() -> None:
    status = FileStatus(1, "/d", "d", True, 0, 0, file_type=FileType.DIR, mode=0o1755)
    assert permissions(status) == "drwxr-xr-t"
    assert printable("a\nb\x1b", quote=False) == "a\\nb\\x1b"
    assert printable("a\nb", quote=True) == "a?b"


MOUNT = MountInfo(
    cv_path="/data", ufs_path="file:///srv", mount_id=1, ttl_ms=5, ttl_action=TtlAction.DELETE,
    read_verify_ufs=True, write_type=WriteType.CACHE_MODE,
)  # fmt: skip


def test_an_update_changes_what_is_given_only() -> None:
    options = Wish(properties={"k": "v"}, replicas=2).update_of(MOUNT)
    assert options.update and options.replicas == 2 and options.add_properties == {"k": "v"}
    assert (options.ttl_ms, options.ttl_action, options.read_verify_ufs) == (
        5, TtlAction.DELETE, True,
    )  # fmt: skip
    assert options.write_type is WriteType.CACHE_MODE and options.auto_cache is None
    assert Wish(properties={}, ttl_ms="1d").update_of(MOUNT).ttl_ms == 86_400_000
    assert not Wish(properties={}, read_verify_ufs=False).update_of(MOUNT).read_verify_ufs
    with pytest.raises(InvalidArgument, match="cannot be changed; `cv umount /data`"):
        Wish(properties={}, write_type="fs_mode").update_of(MOUNT)


def test_a_new_mount_gets_upstreams_defaults() -> None:
    options = Wish(properties={}).of_a_new_mount()
    assert (options.write_type, options.ttl_ms, options.ttl_action) == (
        WriteType.FS_MODE, WEEK, TtlAction.FREE,
    )  # fmt: skip
    assert Wish(properties={}, write_type="CACHE_MODE").of_a_new_mount().ttl_action == 1


def test_a_mount_for_programs_hides_secrets() -> None:
    row = mount_row(
        MountInfo("/d", "s3://b/", 7, properties={"s3.credentials.secret": "x", "a": "b"})
    )
    assert row["id"] == 7 and row["properties"] == {"s3.credentials.secret": "***", "a": "b"}
    assert list(row)[:2] == ["id", "curvine_path"]


def test_uris_and_their_paths() -> None:
    assert canonical_uri("s3://bucket") == canonical_uri("s3://bucket/") == "s3://bucket/"
    assert canonical_uri("s3://bucket/dir/") == "s3://bucket/dir"
    check_consistent("s3://bucket/dir", "/bucket/dir")
    with pytest.raises(InvalidArgument, match="--check-path-consist false"):
        check_consistent("s3://bucket/dir", "/x")
    with pytest.raises(InvalidArgument, match="has no scheme"):
        canonical_uri("/srv")
    assert parse_properties(("a=b=c", " k =v")) == {"a": "b=c", "k": "v"}
    with pytest.raises(click.BadParameter, match="write KEY=VALUE"):
        parse_properties(("secretvalue",))


def test_the_summary_for_fluid() -> None:
    assert [bytes_text(n) for n in (0, 12 << 20, 4 << 30)] == ["0.00B", "12.00MiB", "4.00GiB"]
    assert [percentage(1, 0), percentage(0, 5), percentage(5, 12)] == ["0", "0", "41.7%"]
    page = 'client_cache_hits{x="1"} 2\nclient_cache_hits_total 1\n# x\nclient_cache_misses 1.0\n'
    assert hit_ratio(page) == "75.0%" and hit_ratio("") == "0"


def test_answers_of_the_node_pages() -> None:
    assert parse_node("7,host:8997,Live") == ("7", "host:8997", "Live")
    with pytest.raises(CurvineError, match="was expected"):
        parse_node({"id": 7})


def test_workloads() -> None:
    assert parse_workload("metadata") == (METADATA, {})
    mix = {"create": 30, "get_status": 40, "rename": 10, "delete": 20}
    assert parse_workload("mixed_metadata") == ((), mix)
    assert parse_workload("stat:1, get_status:2") == ((), {"get_status": 3})
    for text in ("nonsense", "create", "create:x", "create:0"):
        with pytest.raises(InvalidArgument, match=text.split(":", maxsplit=1)[0]):
            parse_workload(text)
    assert set(METADATA) < set(OPERATIONS)


def test_samples() -> None:
    samples = Samples()
    for milliseconds in range(1, 101):
        samples.add(milliseconds / 1000, 1 << 20)
    result = samples.result("read", 2.0)
    assert (result.ops, result.ops_per_second, result.mib_per_second) == (100, 50.0, 50.0)
    assert (result.mean_ms, result.p50_ms, result.p99_ms) == (50.5, 51.0, 100.0)
    assert percentile([], 0.5) == 0.0


def test_places_of_a_benchmark() -> None:
    assert place_of("cv://default/b", "auto") == ("/b", False)
    assert place_of("file:///mnt/b", "auto") == ("/mnt/b", True)
    assert place_of("/mnt/b", "fuse") == ("/mnt/b", True)
    with pytest.raises(InvalidArgument):
        place_of("file:///mnt/b", "client")
