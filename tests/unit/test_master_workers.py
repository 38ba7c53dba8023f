# SPDX-License-Identifier: Apache-2.0
"""Worker registration and liveness, placement policies, full reports (specification 5.10, 6)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from curvine.clock import ManualClock
from curvine.errors import Common, ConfigError
from curvine.master.placement import LAZY_ROOM, Placement
from curvine.master.reports import REPORT_EXPIRES_MS, FullReports
from curvine.master.workers import Roster, Standing, WorkerMap
from curvine.model.block import BlockLocation, CommitBlock
from curvine.model.inode import StorageType
from curvine.model.worker import (
    ComponentInfo,
    Heartbeat,
    HeartbeatStatus,
    StorageInfo,
    WorkerAddress,
    WorkerStatus,
)
from curvine.wire.codes import CAP_LARGE_BLOCKS

GIB = 1 << 30
RUNNING, START, END = HeartbeatStatus.RUNNING, HeartbeatStatus.START, HeartbeatStatus.END


def beat(
    worker_id: int,
    status: HeartbeatStatus = RUNNING,
    *,
    available: int = 10 * GIB,
    capacity: int = 100 * GIB,
    host: str = "",
    port: int = 8997,
    weight: int = 1,
    lazy: bool = False,
    cluster: str = "curvine",
    media: dict[StorageType, int] | None = None,
) -> Heartbeat:
    media = media or {StorageType.SSD: available}
    host = host or f"host{worker_id}"
    return Heartbeat(
        cluster_id=cluster,
        address=WorkerAddress(worker_id, host, host, port),
        status=status,
        started_ms=1,
        storages=tuple(
            StorageInfo(1, "s", capacity, room, 5, 6, kind, 7, "/d") for kind, room in media.items()
        ),
        weight=weight,
        component=ComponentInfo("worker", capabilities=(CAP_LARGE_BLOCKS,)) if lazy else None,
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def workers(clock: ManualClock, tmp_path: Path) -> WorkerMap:
    return WorkerMap(clock, "curvine", 30_000, 600_000, Roster(str(tmp_path / "workers.json")))


def live_ids(workers: WorkerMap) -> list[int]:
    return [info.address.worker_id for info in workers.live]


def test_what_a_replica_is_worth(workers: WorkerMap, clock: ManualClock) -> None:
    for worker_id in (1, 2, 3):
        workers.beat(beat(worker_id))
    assert workers.standing(1) is Standing.SERVING
    assert workers.standing(9) is Standing.SILENT, "it may have been there before the master"
    (changed,) = workers.drain(lambda address: address.worker_id == 2)
    assert changed.status is WorkerStatus.DECOMMISSION
    assert workers.standing(2) is Standing.DRAINING
    workers.beat(beat(3, END))
    workers.beat(beat(2, END))
    assert (workers.standing(3), workers.standing(2)) == (Standing.SILENT, Standing.ABSENT)
    clock.advance(31)
    workers.check()
    assert workers.standing(1) is Standing.SILENT
    clock.advance(570)
    assert workers.standing(3) is Standing.ABSENT and workers.absent() == (3, 2)
    workers.beat(beat(2))
    assert workers.standing(2) is Standing.DRAINING, "it leaves, whatever it does"
    workers.drain(lambda _: False)
    assert workers.standing(2) is Standing.SERVING


def test_first_running_beat_registers(workers: WorkerMap) -> None:
    workers.beat(beat(1, START))
    assert workers.registered == ()
    workers.beat(beat(1))
    info = workers.get(1)
    assert info is not None
    assert (info.capacity, info.available, info.fs_used) == (100 * GIB, 10 * GIB, 5)
    assert live_ids(workers) == [1]
    assert workers.addresses[1].hostname == "host1"


def test_foreign_cluster_is_refused(workers: WorkerMap) -> None:
    with pytest.raises(Common, match="belongs to cluster 'other'"):
        workers.beat(beat(1, cluster="other"))


def test_silence_blacklists_then_loses(workers: WorkerMap, clock: ManualClock) -> None:
    workers.beat(beat(1))
    clock.advance(30)
    assert workers.check() == ()
    assert live_ids(workers) == [1], "exactly the interval is not late yet"
    clock.advance(0.001)
    workers.check()
    assert live_ids(workers) == []
    assert 1 in workers.addresses, "readers are still sent to a blacklisted worker"
    workers.beat(beat(1))
    assert live_ids(workers) == [1]
    clock.advance(600.001)
    assert workers.check() == (1,)
    assert workers.get(1) is None
    assert [info.address.worker_id for info in workers.having(WorkerStatus.LOST)] == [1]
    workers.beat(beat(1))
    assert live_ids(workers) == [1]
    assert workers.having(WorkerStatus.LOST) == ()


def test_restart_keeps_a_worker_readable_but_not_writable(workers: WorkerMap) -> None:
    workers.beat(beat(1))
    workers.beat(beat(1, START))
    assert live_ids(workers) == []
    assert 1 in workers.addresses
    workers.beat(beat(1))
    assert live_ids(workers) == [1]


def test_goodbye_and_replaced_address_list_as_lost(workers: WorkerMap) -> None:
    workers.beat(beat(1))
    workers.beat(beat(1, END))
    assert workers.get(1) is None
    workers.beat(beat(2, host="same"))
    workers.beat(beat(3, host="same"))
    assert live_ids(workers) == [3]
    lost = {info.address.worker_id for info in workers.having(WorkerStatus.LOST)}
    assert lost == {1, 2}


def test_roster_survives_the_master(workers: WorkerMap, clock: ManualClock, tmp_path: Path) -> None:
    workers.beat(beat(1, lazy=True))
    workers.beat(beat(2))
    workers.beat(beat(2, END))
    clock.advance(3600)
    again = WorkerMap(clock, "curvine", 30_000, 600_000, Roster(str(tmp_path / "workers.json")))
    assert list(again.addresses) == [1]
    assert again.live == (), "no new blocks before its first heartbeat"
    assert again.check() == (), "its silence counts from the start of the master"
    again.beat(beat(1))
    assert live_ids(again) == [1]


def test_a_damaged_roster_is_no_obstacle(clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "workers.json"
    path.write_bytes(b"[{")
    assert WorkerMap(clock, "c", 1, 1, Roster(str(path))).registered == ()


def test_arrival_wakes_the_waiting(workers: WorkerMap) -> None:
    async def scenario() -> tuple[bool, bool]:
        waiting = asyncio.ensure_future(workers.arrival(5))
        await asyncio.sleep(0)
        workers.beat(beat(1))
        return await waiting, await workers.arrival(0.01)

    assert asyncio.run(scenario()) == (True, False)


# -- placement ----------------------------------------------------------------------------------


def test_candidates_need_room_for_a_block(workers: WorkerMap) -> None:
    placement = Placement(workers, "robin")
    with pytest.raises(Common, match="No available worker"):
        placement.choose(GIB, 1, "")
    workers.beat(beat(1, available=GIB))
    with pytest.raises(Common):
        placement.choose(GIB, 1, "")
    assert Placement(workers, "load_based").choose(GIB, 1, "") == (1,), "exact room is enough"
    assert placement.choose(GIB - 1, 1, "") == (1,)
    with pytest.raises(Common):
        placement.choose(1, 1, "", exclude={1})


def test_lazy_workers_take_blocks_of_any_size(workers: WorkerMap) -> None:
    placement = Placement(workers, "robin")
    workers.beat(beat(1, available=LAZY_ROOM, lazy=True))
    assert placement.choose(64 * GIB, 1, "") == (1,), "the last resort"
    workers.beat(beat(2, available=LAZY_ROOM + 1, lazy=True))
    assert {placement.choose(64 * GIB, 1, "") for _ in range(4)} == {(2,)}
    workers.beat(beat(1, available=0, lazy=True))
    workers.beat(beat(2, available=0, lazy=True))
    with pytest.raises(Common):
        placement.choose(64 * GIB, 1, "")


def test_local_prefers_the_clients_host(workers: WorkerMap) -> None:
    for worker_id in (1, 2, 3):
        workers.beat(beat(worker_id))
    placement = Placement(workers, "local")
    for _ in range(4):
        chosen = placement.choose(GIB, 2, "host2")
        assert chosen[0] == 2
        assert chosen[1] in {1, 3}
    assert {placement.choose(GIB, 1, "elsewhere")[0] for _ in range(3)} == {1, 2, 3}


def test_robin_takes_turns_and_replicas_never_repeat(workers: WorkerMap) -> None:
    for worker_id in (1, 2, 3):
        workers.beat(beat(worker_id))
    placement = Placement(workers, "robin")
    first = [placement.choose(GIB, 1, "")[0] for _ in range(6)]
    assert first == [1, 2, 3, 1, 2, 3]
    assert sorted(placement.choose(GIB, 5, "")) == [1, 2, 3], "fewer candidates, fewer replicas"


def test_load_based_takes_the_emptiest(workers: WorkerMap) -> None:
    for worker_id, available in ((1, 10), (2, 90), (3, 50)):
        workers.beat(beat(worker_id, available=available * GIB))
    assert Placement(workers, "load_based").choose(GIB, 3, "") == (2, 3, 1)


def test_weighted_is_proportional(workers: WorkerMap) -> None:
    for worker_id, weight in ((1, 1), (2, 3), (3, 0)):
        workers.beat(beat(worker_id, weight=weight))
    placement = Placement(workers, "weighted", random.Random(7))
    count = Counter(placement.choose(GIB, 1, "")[0] for _ in range(4000))
    assert count[3] == 0
    assert 0.7 < count[2] / 4000 < 0.8
    with pytest.raises(Common, match="weight 0"):
        placement.choose(GIB, 1, "", exclude={1, 2})


def test_random_spreads(workers: WorkerMap) -> None:
    for worker_id in (1, 2, 3):
        workers.beat(beat(worker_id))
    placement = Placement(workers, "random", random.Random(7))
    assert {placement.choose(GIB, 1, "")[0] for _ in range(50)} == {1, 2, 3}


@pytest.mark.parametrize("policy", ["local", "robin", "random", "load_based", "weighted"])
def test_the_medium_asked_for_comes_first(workers: WorkerMap, policy: str) -> None:
    ssd, mem, hdd = StorageType.SSD, StorageType.MEM, StorageType.HDD
    workers.beat(beat(1, media={ssd: 9 * GIB}))
    workers.beat(beat(2, media={hdd: 5 * GIB, mem: 2 * GIB}))
    workers.beat(beat(3, media={hdd: 50 * GIB, mem: GIB // 2}))
    placement = Placement(workers, policy, random.Random(7))
    for _ in range(6):
        assert placement.choose(GIB, 1, "host1", medium=mem) == (2,), "3 has no room in memory"
        assert placement.choose(GIB, 2, "host1", medium=ssd)[0] == 1
        assert sorted(placement.choose(GIB, 3, "host1", medium=mem)) == [1, 2, 3], "any in need"
    assert placement.choose(GIB, 1, "host1", {1}, ssd)[0] in {2, 3}
    chosen = {placement.choose(GIB, 1, "", medium=StorageType.DISK)[0] for _ in range(60)}
    assert len(chosen) > 1 or policy == "load_based", "DISK is any medium"


def test_unknown_policy_stops_the_start(workers: WorkerMap) -> None:
    with pytest.raises(ConfigError, match=r"worker_policy.*local, robin"):
        Placement(workers, "best")


# -- full reports -------------------------------------------------------------------------------


def test_full_report_is_complete_with_its_last_id(clock: ManualClock) -> None:
    reports = FullReports(clock)
    assert reports.add(1, 3, [10, 11]) is None
    assert reports.add(2, 1, [99]) == {99}, "workers do not mix"
    assert reports.add(1, 3, [11]) is None, "a repeated id counts once"
    assert reports.add(1, 3, [12]) == {10, 11, 12}
    assert reports.add(1, 0, []) == set(), "a worker without blocks says so at once"


def test_full_report_begins_again(clock: ManualClock) -> None:
    reports = FullReports(clock)
    reports.add(1, 2, [10])
    reports.forget(1)
    assert reports.add(1, 2, [11]) is None
    assert reports.add(1, 1, [12]) == {12}, "another total is another report"
    reports.add(1, 2, [10])
    clock.advance(REPORT_EXPIRES_MS / 1000 + 1)
    assert reports.add(1, 2, [11]) is None, "too old to be continued"


def test_commits_around_taking_stock_are_not_held_against_it(clock: ManualClock) -> None:
    def commit(block: int, worker: int) -> list[CommitBlock]:
        return [CommitBlock(block, 1, (BlockLocation(worker),))]

    reports = FullReports(clock)
    reports.committed(commit(1, 7))
    reports.beat(7)  # the worker takes stock after this
    reports.committed(commit(2, 7))
    reports.committed(commit(3, 8))
    assert reports.add(7, 1, [1]) == {1, 2}
    reports.beat(7)
    assert reports.add(7, 1, [1]) == {1}
    reports.leave(7)
    reports.committed(commit(4, 7))
    assert reports.add(7, 1, [1]) == {1}
