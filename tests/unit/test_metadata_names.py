# SPDX-License-Identifier: Apache-2.0
"""Names: error kinds, listing, patterns, links, attributes (specification 5.2 to 5.8)."""

from __future__ import annotations

import pytest
from metadata_fixtures import CREATE, MIB, OVERWRITE, clock, ns, opts, write_file

from curvine import errors
from curvine.clock import ManualClock
from curvine.metadata import Namespace
from curvine.model.inode import (
    MAX_NAMES,
    FileType,
    MkdirOpts,
    RenameFlag,
    SetAttr,
    StoragePolicy,
    StorageState,
    TtlAction,
)

__all__ = ["clock", "ns"]

PARENTS = MkdirOpts(create_parent=True)


def tree(ns: Namespace, *paths: str) -> None:
    for path in paths:
        if path.endswith("/"):
            ns.mkdir(path[:-1], PARENTS)
        else:
            ns.create(path, opts(create_parent=True), CREATE)


def names(ns: Namespace, path: str) -> list[str]:
    return [status.path for status in ns.list_status(path)]


def test_root_and_first_ids(ns: Namespace) -> None:
    root = ns.status("/")
    assert (root.id, root.path, root.name, root.is_dir, root.nlink) == (1000, "/", "", True, 2)
    assert root.mode == 0o777, "any user may make things at the top, as with a real Curvine"
    assert ns.create("/f", opts(), CREATE).id == 1001
    assert ns.mkdir("/d", MkdirOpts()).id == 1002
    assert ns.counts() == (1, 1)


@pytest.mark.parametrize("path", ["", "a", "a/b", "/a/", "/a//"])
def test_impossible_paths_are_common(ns: Namespace, path: str) -> None:
    with pytest.raises(errors.Common):
        ns.status(path)
    with pytest.raises(errors.Common):
        ns.create(path, opts(create_parent=True), CREATE)


def test_empty_and_dot_names_never_exist(ns: Namespace) -> None:
    tree(ns, "/a/")
    with pytest.raises(errors.NotFound):
        ns.status("//a")
    for path in ("/a//b", "/.", "/a/..", "/a/./b", "/a\0b"):
        with pytest.raises(errors.Common):
            ns.create(path, opts(create_parent=True), CREATE)


def test_mkdir_kinds(ns: Namespace) -> None:
    tree(ns, "/d/", "/f")
    for path, options, kind in (
        ("/", PARENTS, errors.Common),
        ("/d", MkdirOpts(), errors.AlreadyExists),
        ("/f", PARENTS, errors.AlreadyExists),
        ("/no/d", MkdirOpts(), errors.Common),
        ("/f/d", MkdirOpts(), errors.Common),
        ("/f/d", PARENTS, errors.Common),
    ):
        with pytest.raises(errors.CurvineError) as caught:
            ns.mkdir(path, options)
        assert type(caught.value) is kind, (path, options)
    assert ns.mkdir("/d", PARENTS).path == "/d"
    made = ns.mkdir("/x/y", MkdirOpts(True, 0o700, "o", "g", {"user.a": b"1"}))
    assert (made.mode, made.owner, made.group, made.x_attr) == (0o700, "o", "g", {"user.a": b"1"})
    between = ns.status("/x")
    assert (between.mode, between.owner, between.x_attr, between.nlink) == (0o700, "o", {}, 3)


def test_setgid_is_inherited(ns: Namespace) -> None:
    ns.mkdir("/s", MkdirOpts(mode=0o2775, group="team"))
    assert ns.create("/s/f", opts(group="mine"), CREATE).group == "team"
    below = ns.mkdir("/s/d", MkdirOpts(mode=0o755, group="mine"))
    assert (below.group, below.mode) == ("team", 0o2755)
    assert ns.symlink("t", "/s/l", group="mine").group == "team"


def test_create_kinds_in_order(ns: Namespace) -> None:
    tree(ns, "/d/", "/f")
    for path, options, flags, kind in (
        ("/new", opts(), 0x1, errors.Common),
        ("/" + "x" * 8000, opts(), CREATE, errors.Common),
        ("/x" * 1000, opts(), CREATE, errors.Common),
        ("/new", opts(replicas=0), CREATE, errors.Common),
        ("/new", opts(replicas=100), CREATE, errors.Common),
        ("/new", opts(block_size=MIB - 1), CREATE, errors.Common),
        ("/new", opts(block_size=100 << 30), CREATE, errors.Common),
        ("/", opts(), CREATE, errors.Common),
        ("/d", opts(), OVERWRITE, errors.Common),
        ("/f", opts(), 0x2C1, errors.AlreadyExists),
        ("/f", opts(), CREATE, errors.AlreadyExists),
        ("/no/f", opts(), CREATE, errors.Common),
        ("/f/f", opts(), CREATE, errors.Common),
    ):
        with pytest.raises(errors.CurvineError) as caught:
            ns.create(path, options, flags)
        assert type(caught.value) is kind, (path[:10], flags)
    assert ns.exists("/f")
    assert not ns.exists("/f/f")


def test_create_under_storage_only(ns: Namespace) -> None:
    policy = StoragePolicy(ufs_mtime=5, state=StorageState.BOTH)
    plain = ns.create("/plain", opts(storage_policy=policy), CREATE)
    assert (plain.is_complete, plain.storage_policy.state, plain.storage_policy.ufs_mtime) == (
        False,
        StorageState.CV,
        0,
    )
    synced = ns.create("/u", opts(sync_ufs_meta=True, ufs_len=9, storage_policy=policy), CREATE)
    assert (synced.is_complete, synced.len, synced.storage_policy.ufs_mtime) == (True, 9, 5)
    assert synced.storage_policy.state is StorageState.UFS
    assert ns.create("/fifo", opts(file_type=FileType.FIFO), CREATE).is_complete


def test_overwrite_keeps_identity_and_drops_blocks(ns: Namespace, clock: ManualClock) -> None:
    old = write_file(ns, "/f", [MIB, 3], workers=(1, 2))
    before = ns.set_attr("/f", SetAttr(mode=0o600, owner="o", add_x_attr={"user.k": b"v"}))
    clock.advance(1)
    after = ns.create("/f", opts("other", mode=0o777, replicas=2), OVERWRITE)
    assert (after.id, after.mode, after.owner, after.x_attr) == (
        before.id,
        0o600,
        "o",
        {"user.k": b"v"},
    )
    assert (after.len, after.replicas, after.is_complete) == (0, 2, False)
    assert after.mtime == after.ctime == clock.now_ms()
    assert ns.pending_deletes(1) == ns.pending_deletes(2) == tuple(block.id for block in old)
    fresh = ns.add_block("/f", choose=lambda _: (1,))
    assert fresh.id == (after.id << 24) | 2  # the sequence never goes back


def test_open_write(ns: Namespace) -> None:
    tree(ns, "/d/")
    write_file(ns, "/f", [3])
    ns.set_attr("/f", SetAttr(ufs_mtime=4))
    assert ns.open_write("/f", opts(), 0).status.storage_policy.state is StorageState.BOTH
    for path, flags, kind in (
        ("/no", 0x1, errors.NotFound),
        ("/d", 0x1, errors.Common),
        ("/d", 0x0, errors.Common),
        ("/no", 0x0, errors.NotFound),
    ):
        with pytest.raises(kind):
            ns.open_write(path, opts(), flags)
    opened = ns.open_write("/f", opts("w"), 0x41 | 0x80)  # EXCL is not looked at
    assert (opened.status.is_complete, opened.status.len) == (False, 3)
    assert opened.status.storage_policy.ufs_mtime == 0
    assert opened.status.storage_policy.state is StorageState.CV
    assert [block.len for block in opened.blocks] == [3]
    odd = ns.open_write("/f", opts("w", block_size=5, replicas=0), 0x201)
    assert (odd.status.block_size, odd.status.replicas, odd.blocks) == (MIB, 1, ())


def test_delete_kinds_and_result(ns: Namespace) -> None:
    tree(ns, "/d/e/")
    write_file(ns, "/d/e/f", [MIB, 5], workers=(1, 2))
    ns.link("/d/e/f", "/keep")
    ns.symlink("x", "/d/l")
    for path, recursive, kind in (
        ("/", True, errors.Common),
        ("/no", True, errors.NotFound),
        ("/keep/x", False, errors.NotFound),
        ("/d", False, errors.DirectoryNotEmpty),
    ):
        with pytest.raises(kind):
            ns.delete(path, recursive)
    result = ns.delete("/d", True)
    assert (result.inodes, result.bytes) == (1, 0)  # the link; the file has another name
    assert ns.status("/keep").nlink == 1
    assert ns.path_of(ns.status("/keep").id) == "/keep"
    result = ns.delete("/keep")
    assert (result.inodes, result.bytes) == (1, 2 * (MIB + 5))
    assert ns.counts() == (0, 0)


def test_rename_kinds(ns: Namespace) -> None:
    tree(ns, "/d/sub/", "/e/", "/f", "/g")
    for src, dst, flags, kind in (
        ("/", "/x", 0, errors.Common),
        ("/d", "/d/sub/x", 0, errors.InvalidArgument),
        ("/no", "/no/x", 0, errors.InvalidArgument),
        ("/d/sub", "/d", 2, errors.InvalidArgument),
        ("/no", "/x", 0, errors.NotFound),
        ("/f", "/g", 1, errors.AlreadyExists),
        ("/f", "/g", 3, errors.AlreadyExists),
        ("/f", "/e", 0, errors.IsADirectory),
        ("/e", "/f", 0, errors.NotADirectory),
        ("/e", "/d", 0, errors.DirectoryNotEmpty),
        ("/f", "/no/x", 0, errors.Common),
        ("/f", "/no", 2, errors.NotFound),
    ):
        with pytest.raises(errors.CurvineError) as caught:
            ns.rename(src, dst, flags)
        assert type(caught.value) is kind, (src, dst, flags)
    assert ns.rename("/f", "/f") is False
    assert ns.rename("/f", "/g", 4) is True  # unknown bits are ignored
    assert names(ns, "/") == ["/d", "/e", "/g"]
    assert ns.rename("/d", "/e/d") is True
    assert (ns.status("/").nlink, ns.status("/e").nlink) == (3, 3)
    assert ns.rename("/e/d/sub", "/g", RenameFlag.EXCHANGE) is True
    assert ns.status("/g").is_dir and not ns.status("/e/d/sub").is_dir
    assert (ns.status("/").nlink, ns.status("/e/d").nlink) == (4, 2)


def test_rename_of_two_names_of_one_file_keeps_both(ns: Namespace) -> None:
    tree(ns, "/f")
    ns.link("/f", "/g")
    assert ns.rename("/f", "/g") is True
    assert ns.status("/f").id == ns.status("/g").id


def test_paths_follow_a_renamed_directory(ns: Namespace) -> None:
    tree(ns, "/a/b/c/f")
    assert ns.status("/a/b/c/f").name == "f"
    ns.rename("/a/b", "/z")
    assert not ns.exists("/a/b/c/f")
    assert ns.status("/z/c/f").path == "/z/c/f"
    ns.delete("/z/c", True)
    ns.mkdir("/z/c", MkdirOpts())
    assert not ns.exists("/z/c/f")


def test_a_file_has_at_most_so_many_names(ns: Namespace) -> None:
    tree(ns, "/d/", "/d/f")
    for number in range(MAX_NAMES - 1):
        ns.link("/d/f", f"/d/{number}")
    with pytest.raises(errors.Common, match="the most that a file can have"):
        ns.link("/d/f", "/d/more")
    assert ns.status("/d/f").nlink == MAX_NAMES and not ns.exists("/d/more")
    ns.delete("/d/5")
    assert ns.link("/d/f", "/d/more").nlink == MAX_NAMES


def test_symlink_and_link_kinds(ns: Namespace) -> None:
    tree(ns, "/d/", "/f")
    first = ns.symlink("../any where", "/l", owner="o")
    assert (first.file_type, first.target, first.mode, first.len, first.replicas) == (
        FileType.LINK,
        "../any where",
        0o777,
        0,
        0,
    )
    for link, force, kind in (
        ("/no/l", False, errors.Common),
        ("/f", True, errors.AlreadyExists),
        ("/l", False, errors.AlreadyExists),
        ("/", True, errors.AlreadyExists),
    ):
        with pytest.raises(kind):
            ns.symlink("t", link, force=force)
    second = ns.symlink("t", "/l", force=True)
    assert second.id != first.id and ns.counts() == (1, 2)
    for src, dst, kind in (
        ("/no", "/x", errors.NotFound),
        ("/d", "/x", errors.Common),
        ("/f", "/l", errors.AlreadyExists),
    ):
        with pytest.raises(kind):
            ns.link(src, dst)
    linked = ns.link("/f", "/new/parents/g")
    assert (linked.id, linked.nlink) == (ns.status("/f").id, 2)
    assert linked.ctime is not None and ns.counts() == (3, 2)
    ns.create("/fifo", opts(file_type=FileType.FIFO), CREATE)
    assert ns.link("/fifo", "/fifo2").nlink == 2


def test_set_attr(ns: Namespace, clock: ManualClock) -> None:
    created = ns.create("/f", opts(x_attr={"\0curvine.ctime": b"12345678"}), CREATE)
    assert created.ctime is None and created.x_attr == {}
    with pytest.raises(errors.NotFound):
        ns.set_attr("/no", SetAttr())
    clock.advance(5)
    status = ns.set_attr("/f", SetAttr(replicas=9, mode=0o4755, atime=1, mtime=2, owner="o"))
    assert (status.mode, status.atime, status.mtime, status.owner, status.replicas) == (
        0o4755,
        1,
        2,
        "o",
        1,
    )
    assert status.ctime == clock.now_ms()
    ns.set_attr("/f", SetAttr(add_x_attr={"user.a": b"1", "user.b": b"2"}))
    status = ns.set_attr("/f", SetAttr(remove_x_attr=("user.a", "\0curvine.ctime")))
    assert status.x_attr == {"user.b": b"2"} and status.ctime is not None
    status = ns.set_attr("/f", SetAttr(ttl_ms=5, ttl_action=TtlAction.FREE))
    status = ns.set_attr("/f", SetAttr(ttl_action=TtlAction.DELETE))
    assert status.storage_policy.ttl_action is TtlAction.FREE  # Free stays Free
    ns.mkdir("/d", MkdirOpts())
    assert ns.set_attr("/d", SetAttr(ufs_mtime=5)).storage_policy.ufs_mtime == 0


def test_recursive_set_attr_passes_on_three_fields(ns: Namespace) -> None:
    tree(ns, "/d/e/f")
    ns.set_attr("/d", SetAttr(recursive=True, mode=0o700, group="g", mtime=1))
    inner = ns.status("/d/e/f")
    assert (inner.mode, inner.group) == (0o700, "g") and inner.mtime != 1
    assert ns.status("/d").mtime == 1


def test_list_and_patterns(ns: Namespace) -> None:
    tree(ns, "/d/a", "/d/b/x", "/d/b/y", "/d/.h", "/d/[a]/lit", "/d/ü", "/d/a{1}")
    assert names(ns, "/d") == ["/d/.h", "/d/[a]", "/d/a", "/d/a{1}", "/d/b", "/d/ü"]
    assert names(ns, "/d/a") == ["/d/a"]
    assert names(ns, "/d/?") == ["/d/a", "/d/b/x", "/d/b/y", "/d/ü"]
    assert names(ns, "/*/b/[!y]") == ["/d/b/x"]
    assert names(ns, "/**/.*") == ["/d/.h"]
    assert names(ns, "/d/[x-z]") == []
    assert names(ns, "/d/[a]") == ["/d/[a]/lit"]  # a real name wins over a pattern
    assert names(ns, "/d/a{1}") == ["/d/a{1}"] and names(ns, "/d/no{1}") == []
    for path in ("/no", "/d/no[", "/d/a**b"):
        with pytest.raises(errors.NotFound):
            ns.list_status(path)


def test_list_options(ns: Namespace) -> None:
    tree(ns, "/d/a", "/d/b", "/d/c", "/d/[q]/x")

    def page(path: str, limit: int | None, after: str | None) -> list[str]:
        return [status.name for status in ns.list_options(path, limit, after)]

    assert page("/d", None, None) == ["[q]", "a", "b", "c"]
    assert page("/d", 2, "[q]") == ["a", "b"]
    assert page("/d", 0, None) == []
    assert page("/d", 10, "bb") == ["c"]
    assert page("/d/b", None, "a") == ["b"] and page("/d/b", None, "b") == []
    assert page("/d/[q]", None, None) == ["x"]
    for path, limit, kind in (
        ("/d", -1, errors.Common),
        ("/d/*", None, errors.Common),
        ("/no", None, errors.NotFound),
    ):
        with pytest.raises(kind):
            ns.list_options(path, limit)


def test_times_of_directories(ns: Namespace, clock: ManualClock) -> None:
    fresh = ns.mkdir("/d", MkdirOpts())
    assert fresh.ctime is None and fresh.changed == fresh.mtime
    clock.advance(1)
    ns.create("/d/f", opts(), CREATE)
    status = ns.status("/d")
    assert status.mtime == status.ctime == clock.now_ms() and status.len == 1
    clock.advance(1)
    ns.rename("/d/f", "/f")
    assert ns.status("/d").mtime == ns.status("/").mtime == clock.now_ms()
    assert ns.status("/f").ctime == clock.now_ms() != ns.status("/f").mtime
