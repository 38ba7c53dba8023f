# SPDX-License-Identifier: Apache-2.0
"""Eviction: what goes, in which order, how much, and what never goes; expiry by the minute."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from curvine.clock import ManualClock
from curvine.config.load import load
from curvine.master.eviction import Eviction
from curvine.master.recency import Recency
from curvine.master.server import MasterServer, limits_of
from curvine.master.workers import Roster, WorkerMap
from curvine.metadata import Namespace
from curvine.model.block import BlockLocation, CommitBlock
from curvine.model.inode import (
    CreateOpts,
    MkdirOpts,
    SetAttr,
    StoragePolicy,
    StorageState,
    StorageType,
    TtlAction,
)
from curvine.model.mount import MountOptions, WriteType
from curvine.model.worker import Heartbeat, HeartbeatStatus, StorageInfo, WorkerAddress
from curvine.ufs.registry import open_ufs

SSD = StorageType.SSD
MIB = 1 << 20


def coldest(recency: Recency, count: int) -> list[int]:
    return next(found for found in recency.coldest(count) if found is not None)


# -- order of use ---------------------------------------------------------------------------------


def test_last_use_decides() -> None:
    recency = Recency(100_000)
    order = random.Random(3).sample(range(1, 5000), 3000)
    for second, inode in enumerate(order, 1):
        recency.touch(inode, second * 1000)
    recency.learn(order[0], 9_000_000)  # known better already
    assert coldest(recency, 50) == order[:50] and len(recency) == 3000
    recency.touch(order[0], 9_000_000)
    recency.forget(order[1])
    assert coldest(recency, 3) == order[2:5] and len(recency) == 2999
    assert len(coldest(recency, 10_000)) == 2999
    assert sum(1 for step in Recency(10).coldest(5) if step is None) == 0


def test_lfu_counts_uses_and_forgets_them_slowly() -> None:
    recency = Recency(1000, "lfu")
    day = 86_400_000
    for _ in range(5):
        recency.touch(1, 0)
    recency.touch(2, 60_000)
    recency.touch(3, 0)
    assert coldest(recency, 3) == [3, 2, 1]
    recency.touch(1, 4 * day)  # 5 uses are worth nothing four days later
    recency.touch(2, 4 * day)
    recency.touch(2, 4 * day)
    assert coldest(recency, 3) == [3, 1, 2]


def test_it_is_bounded_and_small() -> None:
    tracemalloc.start()
    recency = Recency(50_000)
    for inode in range(1, 100_001):
        recency.touch(inode, 1000)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 40_000 < len(recency) <= 50_300 and recency.is_partial
    assert used < 50_000 * 6, "about four bytes a file"


# -- eviction -------------------------------------------------------------------------------------


class Cache:
    """A namespace with cached files of 10 MiB and one worker of 100 MiB."""

    def __init__(self, root: Path, **keys: object) -> None:
        self.clock = ManualClock()
        overrides = {f"master.{name}": value for name, value in keys.items()}
        overrides |= {"master.enable_quota_eviction": True, "master.meta_dir": str(root)}
        self.conf = load(None, env={"HOME": str(root)}, overrides=overrides).conf
        self.ns = Namespace(str(root / "ns"), clock=self.clock)
        self.workers = WorkerMap(
            self.clock, "c", 30_000, 600_000, Roster(str(root / "workers.json"))
        )
        self.eviction = Eviction(self.conf.master, self.clock, self.ns, self.workers)
        self.ns.mount_add("/cache", "file:///cache", MountOptions(write_type=WriteType.CACHE_MODE))
        self.ns.mount_add("/fs", "file:///fs", MountOptions(write_type=WriteType.FS_MODE))
        self.used = 0

    def beat(self, used: int | None = None) -> None:
        used = self.used if used is None else used
        storage = StorageInfo(1, "s", 100 * MIB, 100 * MIB - used, used, 0, SSD, 0, "/d")
        address = WorkerAddress(1, "h", "h", 1)
        self.workers.beat(Heartbeat("c", address, HeartbeatStatus.RUNNING, 1, (storage,)))

    def file(
        self,
        path: str,
        action: TtlAction = TtlAction.DELETE,
        *,
        safe: bool = True,
        close: bool = True,
    ) -> int:
        """A cached file; its inode."""
        policy = StoragePolicy(SSD, ttl_ms=7 * 86_400_000, ttl_action=action)
        opts = CreateOpts(client_name="c", block_size=64 * MIB, storage_policy=policy)
        inode = self.ns.create(path, opts, 0x41).id
        block = self.ns.add_block(path, choose=lambda _: (1,)).id
        commits = (CommitBlock(block, 10 * MIB, (BlockLocation(1),)),)
        self.ns.complete(
            path, length=10 * MIB, client_name="c", commits=commits, only_flush=not close
        )
        if safe:
            self.ns.set_attr(path, SetAttr(ufs_mtime=77))
        self.eviction.used(inode)
        self.used += 10 * MIB
        self.clock.advance(1)
        return inode

    def confirm(self) -> None:
        """The worker has deleted what it was told to."""
        gone = self.ns.pending_deletes(1)
        self.ns.confirm_deleted(1, gone)
        self.used -= 10 * MIB * len(gone)

    def cached(self) -> set[str]:
        """Names of files that have data."""
        statuses = [*self.ns.list_status("/cache"), *self.ns.list_status("/fs")]
        return {s.name for s in statuses if self.ns.file_blocks(s.path).blocks}


def play(root: Path, scenario: Callable[[Cache], Awaitable[None]], **keys: object) -> None:
    cache = Cache(root, **keys)
    try:
        asyncio.run(scenario(cache))  # type: ignore[arg-type]  # scenarios are coroutines
    finally:
        cache.ns.close()


def test_least_recently_used_files_go_down_to_the_low_mark(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        inodes = [cache.file(f"/cache/f{index}") for index in range(8)]
        cache.beat()
        assert await cache.eviction.step() == 0, "exactly the high mark is not above it"
        inodes.append(cache.file("/cache/f8"))
        cache.eviction.used(inodes[0])  # read again
        cache.beat()
        assert await cache.eviction.step() == 30 * MIB
        assert cache.cached() == {"f0", "f4", "f5", "f6", "f7", "f8"}
        status = cache.ns.status("/cache/f1")
        assert (status.len, status.storage_policy.state) == (10 * MIB, StorageState.UFS)
        assert len(cache.ns.pending_deletes(1)) == 3
        for _ in range(3):
            cache.clock.advance(3)
            cache.beat()
            assert await cache.eviction.step() == 0, "what is being deleted is not evicted again"
        cache.confirm()
        assert await cache.eviction.step() == 0, "the worker's numbers are still the old ones"
        cache.clock.advance(3)
        cache.beat()
        assert await cache.eviction.step() == 0
        cache.clock.advance(4)
        assert await cache.eviction.step() == 0
        totals = cache.eviction.totals
        assert (totals.runs, totals.files, totals.bytes) == (1, 3, 30 * MIB)
        assert len(cache.eviction.recency) == 6

    play(tmp_path, scenario)


def test_what_is_not_safe_or_marked_never_goes(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        cache.file("/cache/not-safe", safe=False)
        cache.file("/cache/marked", TtlAction.NONE)
        cache.file("/cache/written", close=False)
        cache.file("/cache/free", TtlAction.FREE)
        cache.file("/cache/delete", TtlAction.DELETE)
        cache.used = 95 * MIB
        cache.beat()
        assert await cache.eviction.step() == 20 * MIB, "less than it should be, but no more"
        assert cache.cached() == {"not-safe", "marked", "written"}
        assert cache.ns.status("/cache/free").storage_policy.ufs_mtime == 77

    play(tmp_path, scenario)


def test_mode_delete_only_where_the_under_storage_is_the_truth(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        cache.file("/cache/a")
        cache.file("/fs/b", TtlAction.FREE)
        cache.used = 95 * MIB
        cache.beat()
        await cache.eviction.step()
        assert not cache.ns.exists("/cache/a")
        assert cache.ns.status("/fs/b").storage_policy.state is StorageState.UFS
        assert cache.ns.file_blocks("/fs/b").blocks == ()

    play(tmp_path, scenario, quota_eviction_mode="delete")


def test_a_dry_run_only_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(cache: Cache) -> None:
        for index in range(9):
            cache.file(f"/cache/f{index}")
        cache.beat()
        with caplog.at_level("INFO"):
            assert await cache.eviction.step() == 30 * MIB
        assert len(cache.cached()) == 9
        assert "/cache/f0" in caplog.text and "/cache/f3" not in caplog.text
        assert cache.eviction.totals.files == 0

    play(tmp_path, scenario, quota_eviction_dry_run=True)


def test_a_new_master_learns_what_is_cached(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        for index in range(9):
            cache.file(f"/cache/f{index}")
        fresh = Eviction(cache.conf.master, cache.clock, cache.ns, cache.workers)
        await fresh.learn()
        assert len(fresh.recency) == 9
        cache.beat()
        assert await fresh.step() == 30 * MIB
        assert cache.cached() == {f"f{index}" for index in range(3, 9)}

    play(tmp_path, scenario, quota_eviction_policy="lfu")


# -- time to live ---------------------------------------------------------------------------------


def test_expiry_goes_on_behind_what_cannot_expire(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        conf = load(None, env={"HOME": str(tmp_path)}, overrides={}).conf
        ns = Namespace(str(tmp_path / "ns"), clock=clock, limits=limits_of(conf))
        master = MasterServer(conf, clock, ns, open_ufs).services
        short = StoragePolicy(ttl_ms=60_000, ttl_action=TtlAction.DELETE)
        for index in range(150):  # more than one step of directories that cannot be deleted
            ns.mkdir(f"/d{index:03}", MkdirOpts(storage_policy=short))
            ns.mount_add(f"/d{index:03}/m", f"file:///u{index}", MountOptions())
        ns.create("/f", CreateOpts(client_name="c", storage_policy=short), 0x41)
        ns.create("/later", CreateOpts(client_name="c", storage_policy=short), 0x41)
        ns.set_attr("/later", SetAttr(ttl_ms=240_000))
        await master.chores.expire()
        assert ns.exists("/f")
        values = master.upkeep_metrics()
        assert (values["ttl_total_inodes"], values["ttl_bucket_len"]) == (152, 2)
        clock.advance(61)
        await master.chores.expire()
        assert not ns.exists("/f") and ns.exists("/later")
        values = master.upkeep_metrics()
        assert (values["ttl_skipped_inodes"], values["ttl_total_inodes"]) == (150, 151)
        await master.chores.close()
        ns.close()

    asyncio.run(scenario())
