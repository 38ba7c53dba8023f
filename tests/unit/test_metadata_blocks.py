# SPDX-License-Identifier: Apache-2.0
"""Blocks, replicas and workers (control-plane specification 5.8, 5.9, 6.2 to 6.5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from metadata_fixtures import (
    CREATE,
    MIB,
    cache_file,
    clock,
    commit,
    ns,
    open_namespace,
    opts,
    write_file,
)

from curvine import errors
from curvine.clock import ManualClock
from curvine.metadata import Namespace
from curvine.model.block import AllocOpts, BlockLocation
from curvine.model.inode import MkdirOpts, SetAttr, StorageState, StorageType, TtlAction

__all__ = ["clock", "ns"]

SSD = StorageType.SSD


def lengths(ns: Namespace, path: str) -> list[int]:
    return [block.len for block in ns.file_blocks(path).blocks]


def test_add_block_allocates_and_repeats(ns: Namespace) -> None:
    status = ns.create("/f", opts(), CREATE)
    first = ns.add_block("/f", choose=lambda _: (3, 4))
    assert (first.id, first.len, first.preassigned) == (1001 << 24, 0, (3, 4))
    # A retry, and a second writer, get the same block and the workers it was given.
    again = ns.add_block("/f", choose=lambda _: (9,))
    assert (again.id, again.preassigned) == (first.id, (3, 4))
    ns.rename("/f", "/g")  # a file renamed while open keeps working
    second = ns.add_block(
        "/f",
        inode_id=status.id,
        last_block_id=first.id,
        file_len=MIB,
        commits=[commit(first.id, MIB, 3, 4)],
        choose=lambda _: (3,),
    )
    assert second.id == first.id + 1
    assert ns.status("/g").len == MIB
    stored = ns.stored_block(first.id)
    assert stored is not None and stored.preassigned == ()
    assert stored.locations == (BlockLocation(3), BlockLocation(4))


def test_add_block_kinds(ns: Namespace) -> None:
    ns.mkdir("/d", MkdirOpts())
    ns.create("/f", opts(), CREATE)
    foreign = write_file(ns, "/other", [1])[0]
    for path, named, kind in (
        ("/no", {}, errors.NotFound),
        ("/f", {"inode_id": 999_999}, errors.NotFound),
        ("/d", {}, errors.Common),
        ("/f", {"file_len": 5}, errors.Common),
        ("/f", {"commits": [commit(foreign.id, 1, 1)]}, errors.Common),
        ("/f", {"commits": [commit((ns.status("/f").id << 24) | 7, 1, 1)]}, errors.Common),
    ):
        with pytest.raises(kind):
            ns.add_block(path, choose=lambda _: (1,), **named)  # type: ignore[arg-type]  # table of arguments
    with pytest.raises(errors.Common):
        ns.add_block("/f", choose=lambda _: ())
    assert ns.file_blocks("/f").blocks == ()


def test_complete_and_writers(ns: Namespace, clock: ManualClock) -> None:
    ns.create("/f", opts("one"), CREATE)
    ns.open_write("/f", opts("two"), 0x1)
    block = ns.add_block("/f", choose=lambda _: (1,))
    clock.advance(1)
    flushed = ns.complete(
        "/f", length=10, client_name="one", commits=[commit(block.id, 10, 1)], only_flush=True
    )
    assert [part.len for part in flushed.blocks] == [10]
    assert not flushed.status.is_complete and flushed.status.mtime == clock.now_ms()
    assert not ns.complete("/f", length=10, client_name="one").status.is_complete
    done = ns.complete(
        "/f", length=10, client_name="two", set_attr=SetAttr(mode=0o600, ufs_mtime=3)
    )
    assert done.status.is_complete and done.status.mode == 0o600
    assert done.status.storage_policy.state is StorageState.BOTH
    assert ns.complete("/f", length=10, client_name="stranger").status.is_complete
    # A commit never shortens a block, and lengths must add up.
    ns.complete("/f", length=4, client_name="x", commits=[commit(block.id, 4, 1)])
    assert ns.status("/f").len == 10
    with pytest.raises(errors.Common):
        ns.complete("/f", length=11, client_name="x")


def test_commit_without_locations_keeps_the_data_readable(ns: Namespace) -> None:
    ns.create("/f", opts(), CREATE)
    block = ns.add_block("/f", choose=lambda _: (1, 2))
    ns.complete("/f", length=5, client_name="c", commits=[commit(block.id, 5)])
    assert ns.file_blocks("/f").blocks[0].worker_ids == (1, 2)


def test_replica_left_out_of_a_rewrite_is_stale(ns: Namespace) -> None:
    (block,) = write_file(ns, "/f", [5], workers=(1, 2))
    ns.complete("/f", length=5, client_name="c", commits=[commit(block.id, 5, 1)])
    assert ns.file_blocks("/f").blocks[0].worker_ids == (1,)
    assert ns.pending_deletes(2) == (block.id,)
    # Its worker cannot bring the old bytes back by a report.
    assert ns.block_report(2, [(block.id, 5, SSD)], full=True) == (block.id,)
    assert ns.file_blocks("/f").blocks[0].worker_ids == (1,)


def test_replayed_complete_does_not_undo_a_moved_replica(ns: Namespace) -> None:
    ns.create("/f", opts(), CREATE)
    block = ns.add_block("/f", choose=lambda _: (1,))
    request = {"length": 5, "client_name": "c", "commits": [commit(block.id, 5, 1)], "req_id": -8}
    ns.complete("/f", **request)  # type: ignore[arg-type]  # the same call twice
    ns.add_replica(block.id, 2, SSD)
    ns.drop_worker(1)
    ns.complete("/f", **request)  # type: ignore[arg-type]  # the same call twice
    assert ns.file_blocks("/f").blocks[0].worker_ids == (2,)


def test_odd_middle_block_is_not_handed_out(ns: Namespace) -> None:
    with pytest.raises(errors.Common):
        write_file(ns, "/f", [5, 7])
    assert ns.status("/f").is_complete and ns.status("/f").len == 12


def test_resize_kinds(ns: Namespace) -> None:
    ns.mkdir("/d", MkdirOpts())
    ns.create("/f", opts(), CREATE)
    for path, options, available, kind in (
        ("/f", AllocOpts(True, 5, off=1), None, errors.Common),
        ("/f", AllocOpts(True, -1), None, errors.Common),
        ("/f", AllocOpts(True, (1 << 50) + 1), None, errors.InvalidFileSize),
        ("/f", AllocOpts(True, 1 << 50), None, errors.InvalidFileSize),  # too many 1 MiB blocks
        ("/f", AllocOpts(False, 5, mode=2), None, errors.Common),
        ("/f", AllocOpts(False, 5), 4, errors.DiskOutOfSpace),
        ("/no", AllocOpts(True, 5), None, errors.Common),
        ("/d", AllocOpts(True, 5), None, errors.Common),
    ):
        with pytest.raises(errors.CurvineError) as caught:
            ns.resize(path, options, available=available)
        assert type(caught.value) is kind, options


def test_resize_grows_with_holes_and_cuts(ns: Namespace) -> None:
    (first,) = write_file(ns, "/f", [10])
    grown = ns.resize("/f", AllocOpts(True, 2 * MIB + 5))
    assert [block.len for block in grown.blocks] == [MIB, MIB, 5]
    assert grown.blocks[0].alloc_opts is None  # a committed tail is served as zeros by its worker
    assert grown.blocks[1].alloc_opts == AllocOpts(True, MIB)
    assert grown.blocks[2].worker_ids == ()
    cut = ns.resize("/f", AllocOpts(True, MIB - 1))
    assert [(block.len, block.alloc_opts) for block in cut.blocks] == [
        (MIB - 1, AllocOpts(True, MIB - 1))
    ]
    assert ns.resize("/f", AllocOpts(True, MIB)).blocks[0].alloc_opts == AllocOpts(True, MIB)
    ns.complete("/f", length=MIB, client_name="c", commits=[commit(first.id, MIB, 1)])
    assert ns.file_blocks("/f").blocks[0].alloc_opts is None
    assert ns.resize("/f", AllocOpts(True, 0)).blocks == ()
    assert ns.pending_deletes(1) == (first.id,)
    fresh = ns.add_block("/f", choose=lambda _: (1,))
    assert fresh.id == first.id + 3


def test_resize_of_data_that_are_elsewhere(ns: Namespace) -> None:
    ns.create("/u", opts(sync_ufs_meta=True, ufs_len=9), CREATE)
    with pytest.raises(errors.Common):
        ns.resize("/u", AllocOpts(True, 20))
    emptied = ns.resize("/u", AllocOpts(True, 0)).status
    assert (emptied.len, emptied.storage_policy.state) == (0, StorageState.CV)


def test_assign_worker(ns: Namespace) -> None:
    ns.create("/f", opts(), CREATE)
    hole = ns.resize("/f", AllocOpts(True, 100)).blocks[0]
    for path, block in (("/no", hole.id), ("/f", hole.id + 1)):
        with pytest.raises(errors.Common):
            ns.assign_worker(path, block, [1])
    assert ns.assign_worker("/f", hole.id, [1]).preassigned == (1,)
    assert ns.assign_worker("/f", hole.id, [2]).preassigned == (1,)
    assert ns.assign_worker("/f", hole.id, [2], exclude=[1]).preassigned == (2,)
    ns.complete("/f", length=100, client_name="c", commits=[commit(hole.id, 100, 2)])
    assert ns.assign_worker("/f", hole.id, [3]).worker_ids == (2,)


def test_parallel_load_of_a_large_file(ns: Namespace) -> None:
    """What workers of a real cluster do with files of 512 MiB and more (5.9, important use)."""
    ns.create("/big", opts("w0"), CREATE)
    blocks = ns.resize("/big", AllocOpts(True, 2 * MIB + 7)).blocks
    for number, block in enumerate(blocks):
        writer = f"w{number}"
        ns.open_write("/big", opts(writer), 0x1)
        worker = ns.assign_worker("/big", block.id, [number]).preassigned[0]
        done = [commit(block.id, block.len, worker)]
        ns.complete("/big", length=2 * MIB + 7, client_name=writer, commits=done)
    ns.set_attr("/big", SetAttr(ufs_mtime=99))
    loaded = ns.file_blocks("/big")
    assert [block.worker_ids for block in loaded.blocks] == [(0,), (1,), (2,)]
    assert loaded.status.is_complete and loaded.status.storage_policy.state is StorageState.BOTH


def test_reports_and_confirmations(ns: Namespace, tmp_path: Path, clock: ManualClock) -> None:
    first, second = write_file(ns, "/f", [MIB, 5])
    unknown = 5 << 24
    ns.add_replica(first.id, 7, SSD)
    assert ns.block_report(7, [(first.id, MIB, SSD), (unknown, 1, SSD)], full=True) == (unknown,)
    assert ns.file_blocks("/f").blocks[0].worker_ids == (1, 7)
    ns.delete("/f")
    assert ns.pending_deletes(7) == (first.id,)
    assert ns.pending_deletes(1, limit=1) == (first.id,)
    ns.close()
    ns = open_namespace(tmp_path, clock)  # pending deletions outlive the master
    ns.confirm_deleted(1, [first.id, second.id])
    assert ns.pending_deletes(1) == () and ns.pending_deletes(7) == (first.id,)
    assert list(ns.worker_blocks(1)) == []
    ns.close()


def test_full_report_drops_what_it_does_not_name(ns: Namespace) -> None:
    first, second = write_file(ns, "/f", [MIB, 5], workers=(1, 2))
    ns.full_report_begin(1)
    late = write_file(ns, "/late", [3], workers=(1,))[0]  # committed while the worker reports
    ns.block_report(1, [(first.id, MIB, SSD)], full=True)
    lost = ns.full_report_finish(1, {first.id})
    assert (lost.under_replicated, lost.lost) == ((), ())
    assert list(ns.worker_blocks(1)) == [first.id, late.id]
    assert [block.worker_ids for block in ns.file_blocks("/f").blocks] == [(2, 1), (2,)]
    assert second.id not in set(ns.worker_blocks(1))


def test_lost_worker(ns: Namespace) -> None:
    cache_file(ns, "/cached", 5, TtlAction.DELETE)
    ns.create("/two", opts(replicas=2), CREATE)
    block = ns.add_block("/two", choose=lambda _: (1, 2))
    ns.complete("/two", length=5, client_name="c", commits=[commit(block.id, 5, 1, 2)])
    (single,) = write_file(ns, "/one", [5])
    lost = ns.drop_worker(1)
    cached = ns.status("/cached")
    assert lost.detached == (cached.id,)
    assert lost.under_replicated == (block.id,)
    assert set(lost.lost) == {single.id, cached.id << 24}
    assert cached.storage_policy.state is StorageState.UFS
    assert cached.storage_policy.ufs_mtime == 77
    assert ns.file_blocks("/one").blocks[0].worker_ids == ()
    ns.block_report(1, [(single.id, 5, SSD)], full=True)  # it comes back after all
    assert ns.file_blocks("/one").blocks[0].worker_ids == (1,)


def test_a_replica_counts_again_unless_the_block_was_rewritten(ns: Namespace) -> None:
    kept, rewritten = write_file(ns, "/f", [MIB, 5], workers=(1, 2))
    ns.drop_worker(1)
    ns.add_replica(kept.id, 3, SSD)
    ns.complete("/f", length=MIB + 5, client_name="c", commits=[commit(rewritten.id, 5, 2)])
    assert ns.pending_deletes(1) == (rewritten.id,), "told as soon as it is back"
    report = [(kept.id, MIB, SSD), (rewritten.id, 5, SSD)]
    assert ns.block_report(1, report, full=True) == (rewritten.id,)
    assert [block.worker_ids for block in ns.file_blocks("/f").blocks] == [(2, 3, 1), (2,)]
    ns.drop_worker(1)
    ns.delete("/f")
    assert set(ns.pending_deletes(1)) == {kept.id, rewritten.id}


def test_nobody_brings_a_replica_uninvited(ns: Namespace) -> None:
    (block,) = write_file(ns, "/f", [5])
    assert ns.block_report(9, [(block.id, 5, SSD)], full=True) == (block.id,)
    assert ns.file_blocks("/f").blocks[0].worker_ids == (1,)
    ns.drop_worker(1)
    assert ns.block_report(9, [(block.id, 5, SSD)], full=True) == (), "better than nothing"
    assert ns.file_blocks("/f").blocks[0].worker_ids == (9,)


def test_replicas_by_replication(ns: Namespace) -> None:
    (block,) = write_file(ns, "/f", [5])
    ns.add_replica(block.id, 2, SSD)
    ns.drop_replica(block.id, 1)
    assert ns.file_blocks("/f").blocks[0].worker_ids == (2,)
    assert ns.pending_deletes(1) == (block.id,)
    with pytest.raises(errors.BlockNotFound):
        ns.add_replica(block.id + 1, 2, SSD)
    with pytest.raises(errors.BlockNotFound):
        ns.add_replica(block.id, 1, SSD, 5)  # it is being deleted there
    with pytest.raises(errors.BlockNotFound):
        ns.add_replica(block.id, 3, SSD, 6)  # written again since it was copied
    ns.missing_replica(block.id, 2)
    assert ns.file_blocks("/f").blocks[0].worker_ids == ()


def test_free(ns: Namespace) -> None:
    cache_file(ns, "/d1", 5, TtlAction.DELETE)
    cache_file(ns, "/f1", 6, TtlAction.FREE)
    write_file(ns, "/plain", [7])
    for path, kind in (("/", errors.Common), ("/no", errors.NotFound)):
        with pytest.raises(kind):
            ns.free(path, True)
    result = ns.free("/d1")
    freed = ns.status("/d1")
    assert (result.inodes, result.bytes, freed.len) == (1, 5, 5)
    assert (freed.storage_policy.state, freed.storage_policy.ufs_mtime) == (StorageState.UFS, 0)
    ns.free("/f1")
    assert ns.status("/f1").storage_policy.ufs_mtime == 77
    assert ns.file_blocks("/f1").blocks == ()
    assert ns.free("/plain").inodes == 0 and lengths(ns, "/plain") == [7]
    ns.mkdir("/dir", MkdirOpts())
    ns.rename("/plain", "/dir/plain")
    cache_file(ns, "/dir/c", 3, TtlAction.FREE)
    assert ns.free("/dir").inodes == 0
    assert ns.free("/dir", True).inodes == 1
