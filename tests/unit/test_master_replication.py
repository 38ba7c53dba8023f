# SPDX-License-Identifier: Apache-2.0
"""Re-replication and decommission in one master with a clock moved by hand. Workers are real RPC
servers that note what they are asked; the tests report for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from curvine.clock import ManualClock
from curvine.config.load import load
from curvine.errors import BlockNotFound, Common, InvalidArgument
from curvine.master.copy_queue import CopyQueue
from curvine.master.handlers import files
from curvine.master.handlers import workers as calls
from curvine.master.redundancy import NOTHING, QUIET_MS, Urgency, is_busy, judge
from curvine.master.replication import BUSY_AGAIN_MS, JOB_PATIENCE_MS
from curvine.master.server import MasterServer, limits_of
from curvine.master.services import Services
from curvine.master.workers import Standing
from curvine.metadata import Namespace
from curvine.metadata.upkeep import BlockFacts
from curvine.model.block import BlockLocation, CommitBlock
from curvine.model.inode import CreateOpts, StorageType
from curvine.model.worker import Heartbeat, HeartbeatStatus, StorageInfo, WorkerAddress
from curvine.rpc.server import RpcServer, ServerConnection
from curvine.ufs.registry import open_ufs
from curvine.wire.codes import RpcCode
from curvine.wire.convert_cluster import encode_heartbeat
from curvine.wire.frame import Frame
from curvine.wire.pb import master_pb2, replication_pb2, worker_pb2

T = TypeVar("T")
SSD = StorageType.SSD
SERVING, SILENT, DRAINING, ABSENT = Standing
MIB = 1 << 20


class Scene:
    """A master that is not started, and the worker that all addresses lead to."""

    def __init__(self, root: Path, **overrides: object) -> None:
        self.root = root
        self.clock = ManualClock()
        self.overrides = {"master.meta_dir": str(root), "cluster_id": "unit", **overrides}
        self.asked: list[replication_pb2.SubmitBlockReplicationRequest] = []
        self.refusal: Exception | None = None
        self._server = RpcServer({RpcCode.SUBMIT_BLOCK_REPLICATION_JOB: self._ask}, name="w")
        self.port = 0
        self.open()

    def open(self) -> None:
        conf = load(None, env={"HOME": str(self.root)}, overrides=self.overrides).conf
        self.ns = Namespace(str(self.root / "ns"), clock=self.clock, limits=limits_of(conf))
        self.master: Services = MasterServer(conf, self.clock, self.ns, open_ufs).services
        self.replication = self.master.replication

    async def start(self) -> None:
        _, self.port = await self._server.start("0.0.0.0", 0)

    async def close(self) -> None:
        await self.replication.close()
        await self._server.close()
        self.ns.close()

    def _ask(self, _connection: ServerConnection, frame: Frame) -> bytes:
        self.asked.append(replication_pb2.SubmitBlockReplicationRequest.FromString(frame.header))
        if self.refusal is not None:
            raise self.refusal
        return replication_pb2.SubmitBlockReplicationResponse(success=True).SerializeToString()

    def beat(self, worker_id: int, status: HeartbeatStatus = HeartbeatStatus.RUNNING) -> None:
        host = f"127.0.0.{worker_id}"
        storage = StorageInfo(1, "s", 1 << 40, 1 << 39, 0, 0, SSD, 0, "/d")
        address = WorkerAddress(worker_id, f"h{worker_id}", host, self.port)
        self.master.workers.beat(Heartbeat("unit", address, status, 1, (storage,)))

    def heartbeat(self, worker_id: int) -> bytes:
        """The same as a message of the worker."""
        storage = StorageInfo(1, "s", 1 << 40, 1 << 39, 0, 0, SSD, 0, "/d")
        address = WorkerAddress(worker_id, f"h{worker_id}", f"127.0.0.{worker_id}", self.port)
        return encode_heartbeat(Heartbeat("unit", address, HeartbeatStatus.RUNNING, 1, (storage,)))

    def write(self, path: str, *workers: int, replicas: int = 0, length: int = 5) -> int:
        """A complete file of one block on these workers; the block's id."""
        opts = CreateOpts(client_name="c", replicas=replicas or len(workers), block_size=8 * MIB)
        self.ns.create(path, opts, 0x41)
        block = self.ns.add_block(path, choose=lambda _: workers).id
        self.commit(path, block, *workers, length=length)
        return block

    def commit(self, path: str, block: int, *workers: int, length: int = 5) -> None:
        commits = (CommitBlock(block, length, tuple(BlockLocation(w, SSD) for w in workers)),)
        self.master.committed(commits)
        self.ns.complete(path, length=length, client_name="c", commits=commits)

    def holders(self, block: int) -> set[int]:
        facts = self.ns.block_facts(block)
        assert facts is not None
        return set(facts.holders)

    async def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, look once, and let the calls through."""
        self.clock.advance(seconds)
        self.replication.step()
        for _ in range(20):
            await asyncio.sleep(0.005)

    def report(self, success: bool = True, **more: object) -> str:
        """What the source answers to the request that came last."""
        asked = self.asked[-1]
        request = replication_pb2.ReportBlockReplicationRequest(
            block_id=asked.block_id, storage_type=SSD, success=success, attempt=asked.attempt,
            **more,  # type: ignore[arg-type]  # fields by name
        )  # fmt: skip
        reply = calls.replication_result(self.master, request, 1)
        return replication_pb2.ReportBlockReplicationResponse.FromString(reply).message


def play(root: Path, scenario: Callable[[Scene], Awaitable[T]], **overrides: object) -> T:
    async def run() -> T:
        scene = Scene(root, **overrides)
        await scene.start()
        try:
            return await scenario(scene)
        finally:
            await scene.close()

    return asyncio.run(run())


# -- pure decisions -----------------------------------------------------------------------------


def facts(wanted: int, *holders: int, is_open: bool = False, mtime: int = 0) -> BlockFacts:
    return BlockFacts(1, 5, SSD, holders, wanted, is_open, mtime)


def test_judgements() -> None:
    kinds = {1: SERVING, 2: SERVING, 3: SILENT, 4: DRAINING, 5: ABSENT}

    def of(wanted: int, *holders: int) -> tuple[int, Urgency, tuple[int, ...], tuple[int, ...]]:
        return judge(facts(wanted, *holders), kinds.__getitem__)

    assert of(2, 1, 2) == of(2, 1, 3) == of(1, 1, 4) == NOTHING
    assert of(2, 1) == (1, Urgency.LAST_ONE, (1,), ())
    assert of(3, 1, 2) == (1, Urgency.SHORT, (1, 2), ())
    assert of(2, 1, 4) == (1, Urgency.DRAIN, (1, 4), ())
    assert of(2, 3, 5) == (1, Urgency.LAST_ONE, (3,), ())
    assert of(1, 5) == NOTHING, "nobody can give it"
    assert of(1, 1, 2).spare == (1, 2)  # type: ignore[attr-defined]  # a Verdict
    assert of(1, 1, 3) == NOTHING, "a silent worker may stay away, so nothing is given up"


def test_open_files_are_left_alone_for_a_while() -> None:
    assert is_busy(facts(1, is_open=True, mtime=100), 100 + QUIET_MS - 1)
    assert not is_busy(facts(1, is_open=True, mtime=100), 100 + QUIET_MS)
    assert not is_busy(facts(1, mtime=100), 100)


def test_queue_order_and_bound() -> None:
    queue = CopyQueue(limit=4)
    queue.put(1, Urgency.DRAIN)
    queue.put(2)
    queue.put(3, Urgency.LAST_ONE)
    queue.put_later(4, 50)
    assert queue.put(2, Urgency.LAST_ONE) and len(queue) == 4, "once is enough"
    assert not queue.put(5) and queue.overflowed
    taken = [queue.take(0) for _ in range(4)]
    assert taken == [(3, Urgency.LAST_ONE), (2, Urgency.SHORT), (1, Urgency.DRAIN), None]
    assert queue.take(50) == (4, Urgency.SHORT) and not len(queue)


def test_what_waits_for_later_is_due_when_something_happens_to_it() -> None:
    queue = CopyQueue(limit=4)
    queue.put_later(1, 50)
    queue.put_later(2, 60)
    assert queue.take(0) is None
    assert queue.put(1, Urgency.LAST_ONE)
    assert queue.take(0) == (1, Urgency.LAST_ONE)
    queue.put_later(1, 70)  # its first place is void
    assert queue.take(55) is None and queue.take(60) == (2, Urgency.SHORT)
    assert queue.take(70) == (1, Urgency.SHORT) and queue.take(99) is None


# -- copies -------------------------------------------------------------------------------------


def test_a_lost_worker_costs_no_replica(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2, 3):
            scene.beat(worker)
        block = scene.write("/f", 1, 2)
        single = scene.write("/single", 1)
        scene.clock.advance(590)
        for worker in (2, 3):
            scene.beat(worker)
        await scene.turn()
        assert not scene.asked, "blacklisted is not lost"
        scene.clock.advance(11)
        scene.master.chores.check_workers()
        await scene.turn()
        await scene.turn()
        (asked,) = scene.asked
        assert (asked.block_id, asked.target_worker_info.worker_id) == (block, 3)
        assert scene.master.upkeep_metrics()["replication_inflight_number"] == 1
        assert scene.replication.expects(3, block)
        report = worker_pb2.BlockReportListRequest(
            cluster_id="unit", worker_id=3, full_report=True, total_len=1
        )
        report.blocks.add(id=block, status=1, block_size=5, storage_type=SSD)
        reply = worker_pb2.BlockReportListResponse.FromString(
            calls.block_report(scene.master, report, 1)
        )
        assert not reply.cmds, "what is being copied there is not an orphan"
        assert scene.report() == "recorded"
        assert scene.holders(block) == {2, 3}
        assert scene.master.upkeep_metrics()["replication_blocks_copied"] == 1
        assert scene.holders(single) == set()
        scene.beat(1)  # it comes back with all it had
        report.worker_id, report.total_len = 1, 2
        report.blocks.add(id=single, status=1, block_size=5, storage_type=SSD)
        calls.block_report(scene.master, report, 1)
        assert scene.holders(single) == {1}, "found again"
        assert scene.holders(block) == {1, 2, 3}
        await scene.turn()
        assert len(scene.holders(block)) == 2, "one too many is given up"
        assert scene.master.upkeep_metrics()["replication_replicas_trimmed"] == 1

    play(tmp_path, scenario)


def test_what_was_written_meanwhile_is_not_recorded(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2):
            scene.beat(worker)
        block = scene.write("/f", 1, replicas=2)
        await scene.turn(6)
        assert len(scene.asked) == 1
        scene.commit("/f", block, 1)  # other bytes, the same length
        assert scene.report() == "out of date"
        assert scene.holders(block) == {1}
        assert scene.ns.pending_deletes(2) == (block,)
        await scene.turn(6)
        assert len(scene.asked) == 1, "not there as long as the deletion is not confirmed"
        scene.ns.confirm_deleted(2, [block])
        await scene.turn(60)
        assert len(scene.asked) == 2
        assert scene.report() == "recorded" and scene.holders(block) == {1, 2}

    play(tmp_path, scenario)


def test_failures_are_tried_again_elsewhere(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2, 3):
            scene.beat(worker)
        block = scene.write("/f", 1, replicas=2)
        await scene.turn(6)
        first = scene.asked[0].target_worker_info.worker_id
        assert scene.report(success=False, message="the disk is full") == "noted"
        assert scene.replication.trouble(block) == "the disk is full"
        await scene.turn(1)
        assert len(scene.asked) == 1, "after a pause"
        await scene.turn(5)
        second = scene.asked[1].target_worker_info.worker_id
        assert second != first, "the other one has to delete first"
        late = replication_pb2.ReportBlockReplicationRequest(
            block_id=block, storage_type=SSD, success=True, attempt=scene.asked[0].attempt,
            target_worker_id=first,
        )  # fmt: skip
        assert "not asked for" in scene.replication.report(late)
        assert scene.holders(block) == {1}
        assert scene.report() == "recorded" and scene.holders(block) == {1, second}
        assert scene.replication.trouble(block) == ""
        assert scene.master.upkeep_metrics()["replication_failure_count"] == 1

    play(tmp_path, scenario)


def test_a_silent_real_worker_is_asked_for_the_same_target(tmp_path: Path) -> None:
    """Its report would not say which attempt it is about."""

    async def scenario(scene: Scene) -> None:
        for worker in (1, 2, 3):
            scene.beat(worker)
        block = scene.write("/f", 1, replicas=2)
        await scene.turn(6)
        target = scene.asked[0].target_worker_info.worker_id
        scene.clock.advance(JOB_PATIENCE_MS / 1000 + 1)
        for worker in (1, 2, 3):
            scene.beat(worker)
        await scene.turn()
        assert not scene.replication.jobs
        await scene.turn(6)
        assert len(scene.asked) == 1, "the target has not deleted yet"
        scene.ns.confirm_deleted(target, [block])
        await scene.turn(30)
        assert scene.asked[1].target_worker_info.worker_id == target

    play(tmp_path, scenario)


def test_a_replica_that_is_missing_or_damaged_is_replaced(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2, 3):
            scene.beat(worker)
        block = scene.write("/f", 1, 2)
        other = scene.write("/g", 3)
        request = master_pb2.ReportUnderReplicatedBlocksRequest(
            block_ids=[block, other], damaged_on=1
        )
        calls.under_replicated(scene.master, request, 1)
        assert scene.holders(block) == {2} and scene.ns.pending_deletes(1) == (block,)
        scene.refusal = BlockNotFound("it is not here")
        await scene.turn()
        assert scene.holders(block) == set(), "the last one is gone, too"
        scene.replication.damaged(other, 3, "cannot be read")
        assert scene.holders(other) == {3}, "the last replica stays"

    play(tmp_path, scenario)


def test_limits(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2):
            scene.beat(worker)
        blocks = [scene.write(f"/f{i}", 1, replicas=2, length=MIB) for i in range(5)]
        await scene.turn(6)
        assert len(scene.asked) == 1, "the rate is used up"
        for _ in range(4):
            await scene.turn(1.1)
        assert len(scene.asked) == 3, "no more than three at a time"
        scene.report()
        await scene.turn(1.1)
        assert len(scene.asked) == 4
        assert len(blocks) == 5

    limits = {"master.block_replication_rate": MIB, "master.block_replication_per_worker": 3}
    play(tmp_path, scenario, **limits)


def test_switched_off(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2):
            scene.beat(worker)
        block = scene.write("/f", 1, replicas=2)
        await scene.turn(6)
        assert not scene.asked
        scene.master.decommission.add(["h1"])
        await scene.master.decommission.step()
        await scene.turn()
        assert len(scene.asked) == 1, "an order to leave is carried out all the same"
        assert scene.asked[0].block_id == block

    play(tmp_path, scenario, **{"master.block_replication_enabled": False})


def test_blocks_without_a_place_are_looked_at_when_a_worker_comes(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        scene.beat(1)
        scene.write("/f", 1, replicas=2)
        for seconds in (6, 11, 21, 31):
            await scene.turn(seconds)
            scene.beat(1)
        assert not scene.asked
        request = worker_pb2.WorkerHeartbeatRequest.FromString(scene.heartbeat(2))
        calls.heartbeat(scene.master, request, 1)
        await scene.turn()
        assert len(scene.asked) == 1, "without waiting for the next look"

    play(tmp_path, scenario)


def test_closing_a_file_has_its_blocks_looked_at(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2):
            scene.beat(worker)
        scene.write("/f", 1, replicas=2)
        scene.ns.open_write("/f", CreateOpts(client_name="w"), 1)
        scene.ns.complete("/f", length=5, client_name="w", only_flush=True)
        await scene.turn(6)
        assert not scene.asked
        done = master_pb2.CompleteFileRequest(path="/f", len=5, client_name="w", only_flush=False)
        files.complete(scene.master, done, 1)
        await scene.turn()
        assert len(scene.asked) == 1

    play(tmp_path, scenario)


def test_files_being_written_wait(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2):
            scene.beat(worker)
        block = scene.write("/f", 1, replicas=2)
        scene.ns.open_write("/f", CreateOpts(client_name="w"), 1)
        scene.ns.complete("/f", length=5, client_name="w", only_flush=True)
        await scene.turn(6)
        assert not scene.asked and block in scene.replication.queue
        scene.ns.complete("/f", length=5, client_name="w")
        await scene.turn(BUSY_AGAIN_MS / 1000)
        assert len(scene.asked) == 1

    play(tmp_path, scenario)


# -- decommission -------------------------------------------------------------------------------


@pytest.fixture
def names() -> Iterator[tuple[str, ...]]:
    yield ("h1", "127.0.0.1", "1")


def test_names_of_workers(tmp_path: Path, names: tuple[str, ...]) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2):
            scene.beat(worker)
        decommission = scene.master.decommission
        for name in (*names, f"h1:{scene.port}", f"127.0.0.1:{scene.port}"):
            (info,) = decommission.add([name])
            assert info.address.worker_id == 1
            assert decommission.add([name]) == (), "it is already"
            assert decommission.names() == (name,)
            (info,) = decommission.remove([name])
            assert info.address.worker_id == 1 and decommission.names() == ()
        assert decommission.add(["h9"]) == ()
        scene.beat(9)
        assert [w.address.worker_id for w in scene.master.workers.live] == [1, 2]
        with pytest.raises(InvalidArgument):
            decommission.add([""])

    play(tmp_path, scenario)


def test_decommission_moves_then_is_done_and_remembered(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        for worker in (1, 2, 3):
            scene.beat(worker)
        block = scene.write("/f", 1)
        decommission = scene.master.decommission
        decommission.add(["h1"])
        with pytest.raises(Common):
            scene.master.placement.choose(1, 1, "", {2, 3})
        await decommission.step()
        progress = decommission.progress(1)
        assert progress is not None and (progress.blocks_left, progress.done) == (1, False)
        assert decommission.progress(2) is None
        await scene.turn()
        assert scene.report() == "recorded"
        assert len(scene.holders(block)) == 2, "the leaving worker can still be read"
        scene.clock.advance(60)
        await decommission.step()
        progress = decommission.progress(1)
        assert progress is not None and progress.done
        scene.beat(1, HeartbeatStatus.START)
        scene.beat(1)
        assert decommission.progress(1) is not None, "neither beat nor restart bring it back"
        scene.clock.advance(31)
        scene.master.workers.check()
        assert decommission.progress(1) is not None, "nor silence"
        scene.ns.close()
        scene.open()  # a new master
        decommission = scene.master.decommission
        assert decommission.names() == ("h1",)
        progress = decommission.progress(1)
        assert progress is not None and progress.done
        late = scene.write("/late", 1)  # a writer that had its block from before
        await decommission.step()
        progress = decommission.progress(1)
        assert progress is not None and (progress.blocks_left, progress.done) == (1, False)
        for worker in (1, 2, 3):
            scene.beat(worker)
        assert len(decommission.remove(["h1"])) == 1
        await decommission.step()
        await scene.turn()
        assert len(scene.holders(block)) == 1, "the copy is one too many now"
        assert scene.holders(late) == {1}

    play(tmp_path, scenario)


def test_what_cannot_be_moved_is_told(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        scene.beat(1)
        scene.write("/f", 1)
        decommission = scene.master.decommission
        decommission.add(["h1"])
        await decommission.step()
        await scene.turn()
        scene.clock.advance(60)
        await decommission.step()
        progress = decommission.progress(1)
        assert progress is not None and not progress.done
        assert progress.blocks_unmovable == 1 and "No available worker" in progress.reason

    play(tmp_path, scenario)
