# SPDX-License-Identifier: Apache-2.0
"""The engine around the rules: retry cache, durability, changes, expiry, reclaim, pages, tables."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from metadata_fixtures import (
    CREATE,
    MIB,
    OVERWRITE,
    SMALL,
    cache_file,
    clock,
    ns,
    open_namespace,
    opts,
    write_file,
)

from curvine import errors
from curvine.clock import ManualClock
from curvine.metadata import Change, ChangeKind, Limits, Namespace, SyncMode
from curvine.metadata.apply import apply
from curvine.metadata.cache import CachedView
from curvine.metadata.durability import LogSync
from curvine.metadata.keys import BOOT_KEY, Table
from curvine.metadata.records import decode_batch, encode
from curvine.metadata.store import Store
from curvine.model.block import AllocOpts
from curvine.model.inode import FreeResult, MkdirOpts, SetAttr, StorageState, TtlAction
from curvine.model.lock import FileLock, LockFlavor, LockType
from curvine.model.mount import AccessMode, MountInfo, MountOptions, WriteType

__all__ = ["clock", "ns"]


# -- retry cache -------------------------------------------------------------------------------


def test_replays_are_answered_not_executed(ns: Namespace) -> None:
    made = ns.mkdir("/d", MkdirOpts(), req_id=-1)
    assert ns.mkdir("/d", MkdirOpts(), req_id=-1).id == made.id
    file = ns.create("/d/f", opts(), CREATE, req_id=-2)
    assert ns.create("/d/f", opts(), CREATE, req_id=-2).id == file.id
    ns.symlink("t", "/l", req_id=-3)
    assert ns.symlink("t", "/l", req_id=-3).target == "t"
    ns.link("/d/f", "/g", req_id=-4)
    assert ns.link("/d/f", "/g", req_id=-4).nlink == 2
    assert ns.rename("/g", "/h", req_id=-5) is True
    assert ns.rename("/g", "/h", req_id=-5) is True
    assert ns.set_attr("/h", SetAttr(mode=0o600), req_id=-6).mode == 0o600
    ns.set_attr("/h", SetAttr(mode=0o644))
    assert ns.set_attr("/h", SetAttr(mode=0o600), req_id=-6).mode == 0o644
    assert ns.open_write("/d/f", opts(), OVERWRITE, req_id=-7).blocks == ()
    ns.resize("/d/f", AllocOpts(True, 7), req_id=-8)
    ns.resize("/d/f", AllocOpts(True, 9))
    assert ns.resize("/d/f", AllocOpts(True, 7), req_id=-8).status.len == 9
    assert ns.delete("/h", req_id=-9) == FreeResult()
    assert ns.delete("/h", req_id=-9) == FreeResult()
    with pytest.raises(errors.NotFound):
        ns.delete("/h", req_id=-10)


def test_a_failed_request_runs_again(ns: Namespace) -> None:
    with pytest.raises(errors.NotFound):
        ns.delete("/f", req_id=-1)
    ns.create("/f", opts(), CREATE)
    ns.delete("/f", req_id=-1)
    assert not ns.exists("/f")


def test_a_create_replayed_after_a_rename_answers_its_own_file(ns: Namespace) -> None:
    made = ns.create("/f", opts(), CREATE, req_id=-1)
    ns.rename("/f", "/g")
    other = ns.create("/f", opts(), CREATE, req_id=-2)
    assert ns.create("/f", opts(), CREATE, req_id=-1).id == made.id != other.id


def test_retry_cache_survives_restart_and_is_bounded(tmp_path: Path, clock: ManualClock) -> None:
    limits = Limits(retry_cache_size=3)
    ns = open_namespace(tmp_path, clock, limits)
    for number in range(1, 6):
        ns.create(f"/f{number}", opts(), CREATE, req_id=-number)
    ns.close()
    ns = open_namespace(tmp_path, clock, limits)
    for number in (4, 5):
        assert ns.create(f"/f{number}", opts(), CREATE, req_id=-number).name == f"f{number}"
    clock.advance(601)
    with pytest.raises(errors.AlreadyExists):
        ns.create("/f5", opts(), CREATE, req_id=-5)
    ns.close()


def test_retry_cache_off(tmp_path: Path, clock: ManualClock) -> None:
    ns = open_namespace(tmp_path, clock, Limits(retry_cache_size=0))
    ns.create("/f", opts(), CREATE, req_id=-1)
    with pytest.raises(errors.AlreadyExists):
        ns.create("/f", opts(), CREATE, req_id=-1)
    ns.close()


# -- durability and restart --------------------------------------------------------------------


def test_reopen_shows_everything(tmp_path: Path, clock: ManualClock) -> None:
    ns = open_namespace(tmp_path, clock)
    write_file(ns, "/f", [MIB, 4])
    ns.mkdir("/d", MkdirOpts())
    before = (ns.file_blocks("/f"), ns.list_status("/"), ns.counts(), ns.epoch)
    ns.close()
    ns.close()
    ns = open_namespace(tmp_path, clock)
    assert (ns.file_blocks("/f"), ns.list_status("/"), ns.counts(), ns.epoch) == before
    assert ns.create("/g", opts(), CREATE).id == 1003
    ns.close()


def test_ids_are_skipped_after_a_power_cut(tmp_path: Path, clock: ManualClock) -> None:
    open_namespace(tmp_path, clock).close()
    store = Store(str(tmp_path / "meta"), SMALL)
    store.commit([(Table.META, BOOT_KEY, b"another boot")])
    store.close()
    ns = open_namespace(tmp_path, clock)
    assert ns.create("/f", opts(), CREATE).id > 1_000_000
    ns.close()


def test_a_newer_format_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    open_namespace(tmp_path, clock).close()
    store = Store(str(tmp_path / "meta"), SMALL)
    store.commit([(Table.META, b"format", b"99")])
    store.close()
    with pytest.raises(errors.AbnormalData):
        open_namespace(tmp_path, clock)


def test_scan_bounds_outlive_the_call(tmp_path: Path) -> None:
    """rocksdict itself does not keep the bytes of an upper bound alive."""
    store = Store(str(tmp_path / "meta"), SMALL)
    store.commit([(Table.PENDING, bytes((1, number)), b"") for number in range(200)])
    rows = store.scan(Table.PENDING, bytes((1, 0)), bytes(bytearray((1, 150))))
    junk = [bytes((number, 7)) for number in range(250)]
    assert len(list(rows)) == 150 and junk
    store.close()


def test_one_owner_only(ns: Namespace, tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(errors.IoFailed):
        open_namespace(tmp_path, clock)


def test_group_sync(tmp_path: Path, clock: ManualClock) -> None:
    path = str(tmp_path / "meta")
    ns = Namespace(path, clock=clock, sync_mode=SyncMode.ALWAYS, store_options=SMALL)

    async def run() -> None:
        ns.create("/f", opts(), CREATE)
        pending = ns.before_answer()
        assert pending is not None
        await asyncio.wait_for(asyncio.gather(pending, ns.sync(), ns.sync()), 10)
        assert ns.before_answer() is None
        await ns.sync()

    asyncio.run(run())
    ns.close()


def test_syncs_share_one_fsync_and_report_failure() -> None:
    calls: list[int] = []
    running, gate = threading.Event(), threading.Event()

    def fsync() -> None:
        calls.append(1)
        running.set()
        assert gate.wait(10)
        if len(calls) == 2:
            raise errors.IoFailed("the disk is gone")

    log = LogSync(fsync, SyncMode.FSYNC, 1)

    async def run() -> None:
        log.committed()
        first = log.wait()
        await asyncio.to_thread(running.wait, 10)
        log.committed()  # too late for the fsync that is running
        waiting = [log.wait() for _ in range(5)]
        gate.set()
        await asyncio.wait_for(first, 10)
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        assert all(isinstance(result, errors.IoFailed) for result in results)
        await asyncio.wait_for(log.wait(), 10)

    asyncio.run(run())
    log.close()
    assert len(calls) == 3


def test_interval_sync_needs_nobody_to_ask() -> None:
    done = threading.Event()
    log = LogSync(done.set, SyncMode.INTERVAL, 0.01)
    log.committed()
    assert done.wait(10)
    log.close()
    assert log.is_synced


def test_batches_replay_into_an_empty_store(tmp_path: Path, clock: ManualClock) -> None:
    """What a journal would carry is enough for a follower: the same ``apply``, the same state."""
    ns = open_namespace(tmp_path, clock)
    follower = CachedView(Store(str(tmp_path / "follower"), SMALL), 100)
    batches: list[bytes] = []
    original = ns._view.absorb
    ns._view.absorb = lambda batch: (batches.append(encode(batch)), original(batch))[1]  # type: ignore[method-assign, func-returns-value]  # a tap on the log
    ns.mkdir("/d/e", MkdirOpts(create_parent=True))
    write_file(ns, "/d/f", [MIB, 4], workers=(1, 2))
    ns.mount_add("/m", "file:///x", MountOptions())
    ns.rename("/d", "/z", req_id=-3)
    ns.delete("/z/e")
    ns.set_attr("/z/f", SetAttr(ttl_ms=5, ttl_action=TtlAction.DELETE))
    root = follower.store
    root.commit([(Table.INODE, (1000).to_bytes(8, "big"), ns._store.get(1, b"\0" * 6 + b"\3\xe8"))])
    for raw in batches:
        apply(follower, decode_batch(raw))
    for table in Table:
        if table not in {Table.META, Table.INODE}:
            assert list(root.scan(table, b"", None)) == list(ns._store.scan(table, b"", None))
    assert follower.state == ns._view.state
    assert follower.mounts == ns.mounts()
    assert follower.resolve("/z/f") == ns._view.resolve("/z/f")
    root.close()
    ns.close()


# -- changes -----------------------------------------------------------------------------------


def test_changes_are_told_after_the_log(ns: Namespace) -> None:
    told: list[Change] = []
    remove = ns.add_listener(told.extend)
    start = ns.epoch
    file = ns.create("/d/f", opts(create_parent=True), CREATE)
    directory = ns.status("/d")
    assert [(one.path, one.kind, one.inode_id) for one in told] == [
        ("/d", ChangeKind.ENTRY, directory.id),
        ("/d/f", ChangeKind.ENTRY, file.id),
    ]
    assert told[1].parent_id == directory.id and told[1].name == "f"
    assert {one.epoch for one in told} == {start + 1} == {ns.epoch}
    told.clear()
    ns.rename("/d/f", "/g")
    ns.set_attr("/g", SetAttr(mode=0))
    ns.delete("/g")
    assert [(one.path, one.kind) for one in told] == [
        ("/d/f", ChangeKind.ENTRY),
        ("/g", ChangeKind.ENTRY),
        ("/g", ChangeKind.ATTR),
        ("/g", ChangeKind.ENTRY),
    ]
    remove()
    ns.mkdir("/quiet", MkdirOpts())
    assert len(told) == 4
    since = ns.changes_since(start + 1)
    assert since is not None and [one.path for one in since][-1] == "/quiet"
    assert ns.changes_since(ns.epoch) == []
    assert ns.changes_since(start - 1) is None


def test_changes_of_a_file_with_several_names_tell_the_right_directory(ns: Namespace) -> None:
    ns.create("/d/f", opts(create_parent=True), CREATE)
    ns.mkdir("/e", MkdirOpts())
    ns.create("/g", opts(), CREATE)
    here, there = ns.status("/d").id, ns.status("/e").id
    told: list[Change] = []
    ns.add_listener(told.extend)
    ns.link("/d/f", "/e/second")
    ns.rename("/e/second", "/e/third")
    ns.rename("/g", "/e/third")
    ns.delete("/d/f")
    assert [(one.path, one.kind, one.parent_id, one.name) for one in told] == [
        ("/e/second", ChangeKind.ENTRY, there, "second"),
        ("/d/f", ChangeKind.ATTR, here, "f"),
        ("/e/second", ChangeKind.ENTRY, there, "second"),
        ("/e/third", ChangeKind.ENTRY, there, "third"),
        ("/g", ChangeKind.ENTRY, 1000, "g"),
        ("/e/third", ChangeKind.ATTR, there, "third"),
        ("/e/third", ChangeKind.ENTRY, there, "third"),
        ("/d/f", ChangeKind.ENTRY, here, "f"),
    ]
    assert told[5].inode_id == told[0].inode_id, "its number of names is another one"


def test_the_ring_admits_what_it_has_lost(tmp_path: Path, clock: ManualClock) -> None:
    ns = open_namespace(tmp_path, clock, Limits(change_ring=2))
    start = ns.epoch
    for number in range(3):
        ns.mkdir(f"/d{number}", MkdirOpts())
    assert ns.changes_since(start) is None
    kept = ns.changes_since(start + 1)
    assert kept is not None and [one.path for one in kept] == ["/d1", "/d2"]
    ns.close()


# -- expiry and reclaim ------------------------------------------------------------------------


def test_ttl_delete_and_free(ns: Namespace, clock: ManualClock) -> None:
    cache_file(ns, "/del", 5, TtlAction.DELETE)
    cache_file(ns, "/free", 6, TtlAction.FREE)
    ns.mkdir("/dir/below", MkdirOpts(create_parent=True))
    ns.set_attr("/dir", SetAttr(ttl_ms=120_000, ttl_action=TtlAction.DELETE))
    assert ns.expired() == []
    clock.advance(61)
    found = {item.path: item for item in ns.expired()}
    assert set(found) == {"/del", "/free"}
    assert ns.expire(found["/del"]).inodes == 1 and not ns.exists("/del")
    assert ns.expire(found["/free"]).bytes == 6
    assert ns.status("/free").storage_policy.state is StorageState.UFS
    assert ns.expire(found["/free"]) == FreeResult()
    clock.advance(120)
    assert [item.path for item in ns.expired()] == ["/dir"]  # the freed file is not due again
    ns.create("/dir/new", opts(), CREATE)  # touches the directory: its time starts anew
    assert ns.expired() == []
    clock.advance(121)
    (item,) = ns.expired()
    ns.expire(item)
    assert not ns.exists("/dir") and ns.expired() == []


def test_ttl_of_a_directory_that_is_freed(ns: Namespace, clock: ManualClock) -> None:
    ns.mkdir("/d", MkdirOpts())
    cache_file(ns, "/d/f", 5, TtlAction.FREE)
    ns.set_attr("/d/f", SetAttr(ttl_ms=0))
    ns.set_attr("/d", SetAttr(ttl_ms=60_000, ttl_action=TtlAction.FREE))
    clock.advance(61)
    (item,) = ns.expired()
    assert (item.path, item.is_dir) == ("/d", True)
    assert ns.expire(item).inodes == 1
    assert ns.expired() == []
    clock.advance(120)
    (item,) = ns.expired()  # again after another ttl, not every minute
    assert ns.expire(item) == FreeResult()
    assert ns.expired() == []


def test_a_tree_names_everything_once(ns: Namespace) -> None:
    write_file(ns, "/f", [5])
    ns.mkdir("/d/e", MkdirOpts(create_parent=True))
    ns.rename("/f", "/d/e/f")
    assert [status.path for status in ns.tree("/d")] == ["/d", "/d/e", "/d/e/f"]
    assert [status.path for status in ns.tree("/d/e/f")] == ["/d/e/f"]


def test_large_subtrees_go_at_once_and_are_reclaimed_after_a_restart(
    tmp_path: Path, clock: ManualClock
) -> None:
    limits = Limits(delete_at_once=3)
    ns = open_namespace(tmp_path, clock, limits)
    blocks = [write_file(ns, f"/f{number}", [5])[0].id for number in range(4)]
    ns.mkdir("/big/a/b", MkdirOpts(create_parent=True))
    for number in range(4):
        ns.rename(f"/f{number}", f"/big/a/b/f{number}")
    ns.link("/big/a/b/f0", "/keep")
    ns.delete("/big", True)
    assert not ns.exists("/big/a") and not ns.exists("/big/a/b/f1")
    assert ns.list_status("/")[0].path == "/keep"
    assert ns.is_reclaiming()
    assert ns.reclaim_step(2) > 0
    ns.close()
    ns = open_namespace(tmp_path, clock, limits)
    ns.mkdir("/big", MkdirOpts())  # the name is free meanwhile
    while ns.reclaim_step(2):
        pass
    assert not ns.is_reclaiming()
    assert ns.counts() == (1, 1)
    assert ns.status("/keep").nlink == 1 and ns.path_of(ns.status("/keep").id) == "/keep"
    assert ns.pending_deletes(1) == tuple(blocks[1:])
    ns.close()


# -- mounts and locks --------------------------------------------------------------------------


def test_mount_table(ns: Namespace, tmp_path: Path, clock: ManualClock) -> None:
    mount = ns.mount_add("/mnt/a", "file:///data", MountOptions(ttl_ms=5), req_id=-1)
    assert ns.mount_add("/mnt/a", "file:///data", MountOptions(), req_id=-1) == mount
    assert (mount.ttl_action, mount.auto_cache, mount.access_mode, mount.ttl_ms) == (
        TtlAction.DELETE,
        True,
        AccessMode.READ_ONLY,
        5,
    )
    assert ns.status("/mnt/a").mode == 0o777
    fs_mode = MountOptions(write_type=WriteType.FS_MODE)
    assert ns.mount_add("/fs", "file:///fs", fs_mode).ttl_action is TtlAction.FREE
    for cv_path, ufs_path in (
        ("/mnt/a", "file:///other"),
        ("/other", "file:///data"),
        ("/mnt/a/below", "file:///other"),
        ("/mnt", "file:///other"),
        ("/other", "file:///data/below"),
        ("/", "file:///other"),
        ("/other", "no uri"),
    ):
        with pytest.raises(errors.Common):
            ns.mount_add(cv_path, ufs_path, MountOptions())
    assert ns.mount_add("/mnt/ab", "file:///data2", MountOptions()).mount_id != mount.mount_id
    for path, expected in (
        ("/mnt/a/x/y", "/mnt/a"),
        ("file:///data/x", "/mnt/a"),
        ("/mnt", None),
        ("file:///dat", None),
    ):
        found = ns.mount_info(path)
        assert (found.cv_path if found else None) == expected
    for path in ("/mnt/a", "/mnt"):
        with pytest.raises(errors.Common):
            ns.delete(path, True)
    ns.close()
    ns = open_namespace(tmp_path, clock)
    assert len(ns.mounts()) == 3
    ns.mount_remove("/mnt/a")
    assert ns.exists("/mnt/a")
    with pytest.raises(errors.Common):
        ns.mount_remove("/mnt/a")
    ns.close()


def test_mount_update(ns: Namespace) -> None:
    ns.mount_add("/m", "file:///d", MountOptions(add_properties={"a": "1", "b": "2"}))
    options = MountOptions(
        update=True,
        add_properties={"c": "3"},
        remove_properties=("a",),
        ttl_ms=9,
        write_type=WriteType.FS_MODE,
    )
    changed = ns.mount_update("/m/below", options)
    assert changed.properties == {"b": "2", "c": "3"} and changed.ttl_ms == 9
    assert changed.write_type is WriteType.CACHE_MODE
    assert ns.mounts() == (changed,)
    with pytest.raises(errors.Common):
        ns.mount_update("/m", MountOptions(write_cache=True))
    with pytest.raises(errors.Common):
        ns.mount_update("/no", MountOptions())


def test_s3_properties(ns: Namespace) -> None:
    def add(properties: dict[str, str]) -> MountInfo:
        return ns.mount_add("/s", "s3://bucket/", MountOptions(add_properties=properties))

    full = {
        "s3.endpoint_url": "http://h:9000",
        "s3.access_key": "a",
        "s3.secret_key": "b",
        "s3.region": "r",
    }
    for broken in (
        {**full, "s3.endpoint_url": "h:9000"},
        {key: value for key, value in full.items() if key != "s3.secret_key"},
    ):
        with pytest.raises(errors.Common):
            add(broken)
    assert not ns.exists("/s")
    assert set(add(full).properties) == {
        "s3.endpoint_url",
        "s3.credentials.access",
        "s3.credentials.secret",
        "s3.region_name",
    }
    found = ns.mount_info("s3://bucket/key")
    assert found is not None and found.cv_path == "/s"


def test_locks(ns: Namespace, tmp_path: Path, clock: ManualClock) -> None:
    ns.create("/f", opts(), CREATE)

    def lock(client: str, kind: LockType, start: int = 0, end: int = 99) -> FileLock:
        return FileLock(client, 1, lock_type=kind, start=start, end=end)

    with pytest.raises(errors.NotFound):
        ns.set_lock("/no", lock("a", LockType.READ))
    assert ns.set_lock("/f", lock("a", LockType.WRITE, 10, 19)) is None
    assert ns.set_lock("/f", lock("b", LockType.READ, 20, 29)) is None
    conflict = ns.set_lock("/f", lock("b", LockType.READ, 0, 15))
    assert conflict is not None and (conflict.client_id, conflict.start) == ("a", 10)
    assert conflict.acquire_time == clock.now_ms()
    assert ns.get_lock("/f", lock("b", LockType.UNLOCK, 0, 15)) is None
    ns.set_lock("/f", lock("a", LockType.UNLOCK, 12, 14))  # splits the range
    assert ns.get_lock("/f", lock("b", LockType.WRITE, 12, 14)) is None
    assert ns.get_lock("/f", lock("b", LockType.WRITE, 15, 15)) is not None
    whole = FileLock("c", 9, lock_type=LockType.WRITE, flavor=LockFlavor.FLOCK, start=5, end=5)
    assert ns.set_lock("/f", whole) is None  # the two tables do not meet
    ns.close()
    ns = open_namespace(tmp_path, clock)
    assert ns.get_lock("/f", lock("b", LockType.WRITE, 15, 15)) is not None
    clock.advance(301)
    assert ns.get_lock("/f", lock("b", LockType.WRITE, 15, 15)) is None
    ns.close()


# -- pages -------------------------------------------------------------------------------------


def pages(ns: Namespace, size: int) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = ns.snapshot_page(token, size)
        found += [entry.path for entry in page.entries]
        token = page.next_token
        if token is None:
            return found


def test_snapshot_pages_skip_nothing(ns: Namespace) -> None:
    for path in ("/a/x/1", "/a/x/2", "/a-b/1", "/a b", "/b"):
        ns.create(path, opts(create_parent=True), CREATE)
    whole = pages(ns, 100)
    assert whole == ["/", "/a", "/a/x", "/a/x/1", "/a/x/2", "/a b", "/a-b", "/a-b/1", "/b"]
    for size in range(1, 10):
        assert pages(ns, size) == whole
    page = ns.snapshot_page("/a/x/1", 3)
    ns.delete("/a/x", True)
    assert [entry.path for entry in ns.snapshot_page("/a/x/1", 1).entries] == ["/a b"]
    assert page.epoch == ns.epoch - 1
    with pytest.raises(errors.Common):
        ns.snapshot_page(None, 0)


def test_delta_pages(ns: Namespace) -> None:
    ns.mkdir("/a", MkdirOpts())
    ns.create("/a/f", opts(), CREATE)
    start = ns.epoch
    assert ns.delta_page(start).entries == ()
    ns.rename("/a", "/b")
    ns.set_attr("/b/f", SetAttr(mode=0))
    page = ns.delta_page(start, ns.epoch, page_size=2)
    assert [entry.path for entry in page.entries] == ["/", "/a"]
    assert page.entries[1].file is None and page.next_token == "/a"
    rest = ns.delta_page(start, ns.epoch, page.next_token)
    assert [entry.path for entry in rest.entries] == ["/b", "/b/f"] and rest.next_token is None
    assert rest.entries[1].file is not None and rest.entries[1].file.status.mode == 0
    assert ns.delta_page(start, ns.epoch - 1).full_snapshot_required
    assert ns.delta_page(0).full_snapshot_required
    for from_epoch, target in ((start, ns.epoch + 1), (ns.epoch, start)):
        with pytest.raises(errors.Common):
            ns.delta_page(from_epoch, target)
