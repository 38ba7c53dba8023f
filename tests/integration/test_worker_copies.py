# SPDX-License-Identifier: Apache-2.0
"""The worker's side of replication (codes 42, 43, 45): real workers, a master of a few lines that
notes what they report."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.worker_wire import BLOCK, Peer, WorkerProcess, running_worker

from curvine.errors import BlockNotFound, Common
from curvine.rpc.server import RpcServer, ServerConnection
from curvine.wire.codes import RPC, RpcCode
from curvine.wire.frame import Frame
from curvine.wire.pb import master_pb2, replication_pb2

Report = replication_pb2.ReportBlockReplicationRequest


class Notebook:
    """A master that answers heartbeats with nothing and keeps reports."""

    def __init__(self) -> None:
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.damaged: asyncio.Queue[master_pb2.ReportUnderReplicatedBlocksRequest] = asyncio.Queue()
        self.deaf = False
        self.server = RpcServer(
            {
                RpcCode.WORKER_HEARTBEAT: lambda _c, _f: b"",
                RpcCode.WORKER_BLOCK_REPORT: lambda _c, _f: b"",
                RpcCode.REPORT_BLOCK_REPLICATION_RESULT: self._report,
                RpcCode.REPORT_UNDER_REPLICATED_BLOCKS: self._damaged,
            },
            name="notebook",
        )

    def _report(self, connection: ServerConnection, frame: Frame) -> bytes:
        if self.deaf:
            self.deaf = False
            connection.close()
            return b""
        self.reports.put_nowait(Report.FromString(frame.header))
        return replication_pb2.ReportBlockReplicationResponse(success=True).SerializeToString()

    def _damaged(self, _connection: ServerConnection, frame: Frame) -> bytes:
        request = master_pb2.ReportUnderReplicatedBlocksRequest.FromString(frame.header)
        self.damaged.put_nowait(request)
        return master_pb2.ReportUnderReplicatedBlocksResponse(success=True).SerializeToString()

    async def report(self) -> Report:
        return await asyncio.wait_for(self.reports.get(), 15)


Scenario = Callable[[Notebook, WorkerProcess, WorkerProcess], Awaitable[None]]


def play(root: Path, scenario: Scenario, target_dirs: tuple[str, ...] = ("data",)) -> None:
    async def run() -> None:
        book = Notebook()
        _, port = await book.server.start("127.0.0.1", 0)
        for name in ("a", "b"):
            (root / name).mkdir()
        extra = "block_replication_chunk_size = '64KB'\n"
        source = running_worker(root / "a", master_port=port, extra=extra)
        target = running_worker(root / "b", target_dirs, master_port=port)
        try:
            first = await asyncio.to_thread(source.__enter__)
            second = await asyncio.to_thread(target.__enter__)
            await scenario(book, first, second)
        finally:
            await asyncio.to_thread(source.__exit__, None, None, None)
            await asyncio.to_thread(target.__exit__, None, None, None)
            await book.server.close()

    asyncio.run(run())


def ask(source: WorkerProcess, target: WorkerProcess, block: int = BLOCK, **more: object) -> bool:
    """Code 42, as a master sends it."""
    request = replication_pb2.SubmitBlockReplicationRequest(block_id=block, **more)  # type: ignore[arg-type]  # fields by name
    address = request.target_worker_info
    address.worker_id, address.hostname, address.ip_addr = 77, "h", "127.0.0.1"
    address.rpc_port, address.web_port = target.port, 0
    with Peer(source) as peer:
        reply = peer.ask(RpcCode.SUBMIT_BLOCK_REPLICATION_JOB, RPC, request.SerializeToString())
        return replication_pb2.SubmitBlockReplicationResponse.FromString(reply.header).success


def test_a_copy_has_the_real_length_and_is_reported(tmp_path: Path) -> None:
    data = os.urandom(1_000_001)

    async def scenario(book: Notebook, source: WorkerProcess, target: WorkerProcess) -> None:
        with Peer(source) as peer:
            peer.write_block(data)
            peer.write_block(b"", BLOCK + 1)
        assert ask(source, target)  # a real master: no attempt
        report = await book.report()
        assert (report.block_id, report.success) == (BLOCK, True)
        assert not report.HasField("attempt")
        assert target.active().read_bytes() == data and not target.staging().exists()
        book.deaf = True  # a report that was not heard is sent again
        assert ask(source, target, BLOCK + 1, attempt=5)
        report = await book.report()
        assert (report.success, report.attempt, report.block_len) == (True, 5, 0)
        assert report.target_worker_id == 77
        with Peer(target) as peer:
            assert peer.read_block(len(data)) == data

    play(tmp_path, scenario)


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(book: Notebook, source: WorkerProcess, target: WorkerProcess) -> None:
        with Peer(source) as peer:
            peer.write_block(os.urandom(3 << 20))
        assert ask(source, target, attempt=6)
        report = await book.report()
        assert (report.success, report.attempt, report.source_failed) == (False, 6, False)
        assert report.message
        assert not target.staging().exists() and not target.active().exists()
        await asyncio.to_thread(target.stop)
        assert ask(source, target)
        assert not (await book.report()).success, "a target that is away is reported as well"

    play(tmp_path, scenario, ("[SSD:2MB]data",))


def test_damaged_blocks_are_told(tmp_path: Path) -> None:
    async def scenario(book: Notebook, source: WorkerProcess, target: WorkerProcess) -> None:
        with Peer(source) as peer:
            peer.write_block(os.urandom(300_000))
            peer.write_block(os.urandom(300_000), BLOCK + 1)
            os.truncate(source.active(), 1000)
            assert ask(source, target)
            report = await book.report()
            assert not report.success and report.source_failed
            assert "1000 bytes instead of 300000" in report.message
            assert not target.staging().exists()
            source.active(BLOCK + 1).unlink()
            peer.fails(peer.read_block, 300_000, BLOCK + 1)
            told = await asyncio.wait_for(book.damaged.get(), 15)
            assert list(told.block_ids) == [BLOCK + 1]
            assert told.damaged_on == source.worker_id()

    play(tmp_path, scenario)


def test_blocks_that_are_not_here_or_being_written(tmp_path: Path) -> None:
    async def scenario(_: Notebook, source: WorkerProcess, target: WorkerProcess) -> None:
        with Peer(source) as peer:
            peer.open_write()
            peer.put(b"unfinished")
            with pytest.raises(BlockNotFound):
                ask(source, target, BLOCK + 9)
            with pytest.raises(Common, match="being written"):
                ask(source, target)

    play(tmp_path, scenario)
