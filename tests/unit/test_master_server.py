# SPDX-License-Identifier: Apache-2.0
"""A master in this process, without sockets and with a clock moved by hand: what it does by itself,
and what every call has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message

from curvine.clock import ManualClock
from curvine.config.load import load
from curvine.errors import Common, NotFound, NotLeader
from curvine.master.dispatch import handlers, unknown
from curvine.master.server import MasterServer, limits_of
from curvine.master.table import ROWS
from curvine.metadata import Namespace, SyncMode
from curvine.model.block import BlockLocation, CommitBlock
from curvine.model.inode import CreateOpts, StoragePolicy, StorageType, TtlAction
from curvine.model.worker import Heartbeat, HeartbeatStatus, StorageInfo, WorkerAddress
from curvine.ufs.registry import open_ufs
from curvine.wire.codes import RPC, SEQ_NONE, RpcCode
from curvine.wire.frame import Frame
from curvine.wire.pb import master_pb2

T = TypeVar("T")


class Peer:
    """A connection, as far as plain calls look at it."""

    peer = "10.0.0.9"


class Master:
    """A server that is not started, and its handlers."""

    def __init__(self, root: Path, mode: SyncMode = SyncMode.INTERVAL) -> None:
        self.clock = ManualClock()
        overrides = {"master.meta_dir": str(root), "cluster_id": "unit"}
        self.conf = load(None, env={"HOME": str(root)}, overrides=overrides).conf
        self.namespace = Namespace(
            str(root / "ns"), clock=self.clock, limits=limits_of(self.conf), sync_mode=mode
        )
        server = MasterServer(self.conf, self.clock, self.namespace, open_ufs)
        self.services = server.services
        self.handlers = handlers(ROWS, self.services)

    def call(self, code: RpcCode, message: Message | bytes) -> bytes | Awaitable[bytes]:
        header = message if isinstance(message, bytes) else message.SerializePartialToString()
        reply: Any = self.handlers[code](
            Peer(),
            Frame(code, RPC, 7, SEQ_NONE, header),  # type: ignore[arg-type]  # no socket here
        )
        return reply  # type: ignore[no-any-return]  # bytes, or a coroutine of them

    def beat(self, worker_id: int) -> None:
        address = WorkerAddress(worker_id, f"h{worker_id}", f"h{worker_id}", 1)
        storage = StorageInfo(1, "s", 1 << 40, 1 << 39, 0, 0, StorageType.SSD, 0, "/d")
        beat = Heartbeat("unit", address, HeartbeatStatus.RUNNING, 1, (storage,))
        self.services.workers.beat(beat)

    def write(self, path: str, *worker_ids: int) -> None:
        """A file of one block on these workers."""
        self.namespace.create(path, CreateOpts(client_name="c", replicas=len(worker_ids)), 0x41)
        block = self.namespace.add_block(path, choose=lambda _: worker_ids).id
        locations = tuple(BlockLocation(worker_id) for worker_id in worker_ids)
        commits = (CommitBlock(block, 5, locations),)
        self.namespace.complete(path, length=5, client_name="c", commits=commits)


def with_master(
    root: Path, scenario: Callable[[Master], Awaitable[T]], mode: SyncMode = SyncMode.INTERVAL
) -> T:
    """Run ``scenario`` on a loop with a master that is closed afterwards."""

    async def run() -> T:
        master = Master(root, mode)
        try:
            return await scenario(master)
        finally:
            await master.services.chores.close()
            master.namespace.close()

    return asyncio.run(run())


def test_a_standby_answers_every_code_with_not_leader(tmp_path: Path) -> None:
    async def scenario(master: Master) -> None:
        master.services.is_active = False
        for code in master.handlers:
            with pytest.raises(NotLeader, match=r"client_ip=10\.0\.0\.9"):
                master.call(RpcCode(code), b"\xff")
        with pytest.raises(NotLeader, match="code=Unknown99"):
            unknown(master.services)(Peer(), Frame(99, RPC, 7, SEQ_NONE))  # type: ignore[arg-type]  # as above
        master.services.is_active = True
        master.call(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest(path="/"))

    with_master(tmp_path, scenario)


def test_calls_are_counted_and_timed(tmp_path: Path) -> None:
    async def scenario(master: Master) -> None:
        stats = master.services.metrics.calls[RpcCode.FILE_STATUS]
        master.call(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest(path="/"))
        with pytest.raises(NotFound):
            master.call(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest(path="/no"))
        with pytest.raises(Common, match="not a GetFileStatusRequest"):
            master.call(RpcCode.FILE_STATUS, b"\xff")
        assert (stats.name, stats.count, stats.errors) == ("FileStatus", 3, 2)
        assert 0 < stats.seconds < 1
        sync = master.call(RpcCode.SYNC_METADATA, b"")
        assert not isinstance(sync, bytes)
        await sync
        assert master.services.metrics.calls[RpcCode.SYNC_METADATA].count == 1

    with_master(tmp_path, scenario)


def test_reported_counters_are_added_up(tmp_path: Path) -> None:
    async def scenario(master: Master) -> None:
        request = master_pb2.MetricsReportRequest(instance="i", source="")
        request.metrics.add(metric_type=2, name="reads", value=2, tags={"id": "1"})
        for _ in range(2):
            master.call(RpcCode.METRICS_REPORT, request)
        assert master.services.metrics.reported[("reads", (("id", "1"),))] == 4

    with_master(tmp_path, scenario)


def test_always_waits_for_the_medium_before_it_answers(tmp_path: Path) -> None:
    async def scenario(master: Master) -> None:
        request = master_pb2.MkdirRequest(path="/d")
        request.opts.create_parent = False
        answer = master.call(RpcCode.MKDIR, request)
        assert not isinstance(answer, bytes), "the answer is not there yet"
        reply = master_pb2.MkdirResponse.FromString(await answer)
        assert reply.status.path == "/d"
        stat = master.call(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest(path="/d"))
        assert isinstance(stat, bytes), "a read never waits"

    with_master(tmp_path, scenario, SyncMode.ALWAYS)


def test_a_lost_worker_loses_its_locations(tmp_path: Path) -> None:
    async def scenario(master: Master) -> None:
        master.beat(1)
        master.beat(2)
        master.write("/one", 1)
        master.write("/two", 1, 2)
        master.clock.advance(590)
        master.beat(2)
        master.services.chores.check_workers()
        assert len(master.namespace.file_blocks("/one").blocks[0].locations) == 1
        master.clock.advance(11)
        master.services.chores.check_workers()
        for _ in range(10):
            await asyncio.sleep(0)
        assert master.namespace.file_blocks("/one").blocks[0].locations == ()
        assert master.namespace.file_blocks("/two").blocks[0].worker_ids == (2,)

    with_master(tmp_path, scenario)


def test_what_outlived_its_time_goes(tmp_path: Path) -> None:
    async def scenario(master: Master) -> None:
        policy = StoragePolicy(ttl_ms=60_000, ttl_action=TtlAction.DELETE)
        for index in range(250):
            opts = CreateOpts(client_name="c", storage_policy=policy)
            master.namespace.create(f"/f{index}", opts, 0x41)
        master.namespace.create("/stays", CreateOpts(client_name="c"), 0x41)
        await master.services.chores.expire()
        assert master.namespace.counts() == (0, 251)
        master.clock.advance(61)
        await master.services.chores.expire()
        assert master.namespace.counts() == (0, 1)

    with_master(tmp_path, scenario)
