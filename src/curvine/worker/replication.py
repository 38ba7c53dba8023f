# SPDX-License-Identifier: Apache-2.0
"""Copying blocks of this worker to others, as the master asks (codes 42 and 43).

Source: control-plane specification 6.7, data-plane specification 2.3 and 8.5. A copy is an ordinary
remote write: what is published here, with its real length, goes to the target in Running frames
and is published there. A copy that fails is canceled on the target, so that nothing of it stays,
and every accepted copy is reported, also one whose block cannot be opened. A block whose file is
gone, cut off or unreadable is reported as damaged (45). Sizes are bytes, times seconds.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import uuid

from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.errors import Common, CurvineError, IoFailed, TimedOut
from curvine.model.inode import StorageType
from curvine.model.worker import WorkerAddress
from curvine.rpc.auth import Auth
from curvine.rpc.connector import MasterConnector, new_req_id
from curvine.rpc.pool import BlockPool
from curvine.rpc.server import ServerConnection
from curvine.rpc.stream import BlockStream
from curvine.wire.codes import RpcCode
from curvine.wire.convert import read_address
from curvine.wire.frame import Frame
from curvine.wire.pb import replication_pb2, worker_pb2
from curvine.worker.blockstore import BlockStore
from curvine.worker.handlers.sessions import MAX_CHUNK, parse
from curvine.worker.pace import Pace

_log = logging.getLogger(__name__)

WINDOW = 4  # Running frames in flight
REPORT_PAUSE = 1.0  # between tries to report
REPORT_TRIES = 60
CANCEL_TIMEOUT = 5.0
_DEFAULT_CHUNK = 1 << 20


class SourceFailed(IoFailed):
    """The block's file cannot be read here, and will not be readable the next time."""


class Copies:
    """The copies of one worker. ``submit`` is the handler of code 42."""

    def __init__(
        self,
        conf: ClusterConf,
        store: BlockStore,
        master: MasterConnector,
        clock: Clock,
        auth: Auth | None = None,
    ) -> None:
        worker = conf.worker
        self._store = store
        self._master = master
        self._chunk = min(worker.block_replication_chunk_size or _DEFAULT_CHUNK, MAX_CHUNK)
        self._pace = Pace(worker.block_replication_rate, clock)
        self._places = asyncio.Semaphore(max(1, worker.block_replication_concurrency_limit))
        self._client_name = str(uuid.uuid4())
        self._pool = BlockPool(
            conn_timeout=conf.client.conn_timeout_ms / 1000,
            rpc_timeout=conf.client.data_timeout_ms / 1000,
            clock=clock,
            auth=auth,
        )
        self._suspects: set[int] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._running: dict[int, asyncio.Task[None]] = {}  # by block id

    def submit(self, connection: ServerConnection, frame: Frame) -> bytes:
        """Code 42: take a copy; it runs when there is a place. BlockNotFound for a block that is
        not here. The same block asked for again replaces the earlier copy."""
        request = parse(replication_pb2.SubmitBlockReplicationRequest, frame.header)
        if request.block_id not in self._store.index.published:
            self._store.index.view(request.block_id)  # raises BlockNotFound where there is none
            raise Common(f"block {request.block_id} is being written")
        earlier = self._running.get(request.block_id)
        if earlier is not None:
            earlier.cancel()
        runner = asyncio.get_running_loop().create_task(self._run(request, earlier))
        self._running[request.block_id] = runner
        runner.add_done_callback(lambda done: self._ended(request.block_id, done))
        return replication_pb2.SubmitBlockReplicationResponse(success=True).SerializeToString()

    def suspect(self, block: int) -> None:
        """A reader could not read a block: have the master know if its file is damaged."""
        if block not in self._suspects:
            self._suspects.add(block)
            task = asyncio.get_running_loop().create_task(self._look_at(block))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _look_at(self, block: int) -> None:
        try:
            damage = await self._store.io.run(self._damage, block)
            if not damage:
                return
            _log.error("block %d is damaged: %s", block, damage)
            self._store.on_damaged(block, damage)
        finally:
            self._suspects.discard(block)

    def _damage(self, block: int) -> str:
        """What is wrong with the published file of a block (blocks); empty: nothing."""
        generation = self._store.index.published.get(block)
        if generation is None:
            return ""
        path = generation.dir.layout.active_path(block)
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            size = -1
        except OSError as error:
            generation.dir.suspect()
            return f"{path}: {error.strerror}" if error.errno == errno.EIO else ""
        if self._store.index.published.get(block) is not generation:
            return ""  # written again, or deleted, while we looked
        if size < 0:
            return f"{path} is gone"
        if size < generation.len and not generation.marked:
            return f"{path} has {size} bytes instead of {generation.len}"
        return ""

    async def close(self) -> None:
        """Give up what runs; targets are told as far as they listen."""
        runners = [*self._running.values(), *self._looks]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        self._pool.close()

    def _ended(self, block: int, runner: asyncio.Task[None]) -> None:
        if self._running.get(block) is runner:
            del self._running[block]
        if not runner.cancelled() and runner.exception() is not None:
            _log.error("copy of block %d failed", block, exc_info=runner.exception())

    async def _run(
        self,
        request: replication_pb2.SubmitBlockReplicationRequest,
        earlier: asyncio.Task[None] | None,
    ) -> None:
        if earlier is not None:
            await asyncio.wait((earlier,))
        block, target = request.block_id, read_address(request.target_worker_info)
        report = replication_pb2.ReportBlockReplicationRequest(block_id=block, success=False)
        report.storage_type = StorageType.DISK  # type: ignore[assignment]  # enums are ints to protobuf
        report.target_worker_id = target.worker_id
        if request.HasField("attempt"):
            report.attempt = request.attempt
        async with self._places:
            try:
                await self._copy(block, target, report)
                report.success = True
            except (CurvineError, OSError) as error:
                report.message = str(error) or type(error).__name__
                report.source_failed = isinstance(error, SourceFailed)
                _log.warning("copy of block %d to %s failed: %s", block, _name(target), error)
        await self._report(report)

    async def _copy(
        self,
        block: int,
        target: WorkerAddress,
        report: replication_pb2.ReportBlockReplicationRequest,
    ) -> None:
        damage = await self._store.io.run(self._damage, block)
        if damage:
            raise SourceFailed(damage)
        try:
            await self._store.trust.ensure(block)
        except IoFailed as error:
            raise SourceFailed(error.message) from error
        fd, view = self._store.index.open_file(block)
        try:
            size = min(view.len, os.fstat(fd).st_size)
            report.block_len = size
            header = self._request(block, size, view.storage_type)
            stream = await self._pool.acquire((target.ip_addr, target.rpc_port))
            is_over = False
            try:
                reply = await stream.open(RpcCode.WRITE_BLOCK, self._open_header(header))
                opened = worker_pb2.BlockWriteResponse.FromString(reply.header)
                report.storage_type = opened.storage_type
                await self._send(stream, fd, size)
                header.off = size
                is_over = (
                    True  # whether it came through or not, Cancel could delete what others use
                )
                await stream.complete(header.SerializeToString())
            except BaseException:
                await self._give_up(stream, header, can_cancel=not is_over)
                raise
            self._pool.release(stream)
        finally:
            os.close(fd)

    async def _send(self, stream: BlockStream, fd: int, size: int) -> None:
        """Send ``size`` bytes of a file, a few frames ahead of the replies."""
        for start in range(0, size, self._chunk):
            want = min(self._chunk, size - start)
            await self._pace.pay(want)
            try:
                data = await self._store.io.run(os.pread, fd, want, start)
            except OSError as error:
                text = f"cannot read byte {start}: {error.strerror}"
                raise (SourceFailed if error.errno == errno.EIO else IoFailed)(text) from error
            if len(data) != want:
                raise IoFailed(f"the file ends at byte {start + len(data)}, not at {size}")
            if stream.in_flight >= WINDOW:
                await stream.next_reply()
            stream.send_running(data=data)
            await stream.drain()

    async def _give_up(
        self, stream: BlockStream, header: worker_pb2.BlockWriteRequest, *, can_cancel: bool
    ) -> None:
        """Have the target throw away what it got. Never after Complete: the block may be published
        there, and Cancel would delete it without the master knowing; the master has it deleted."""
        try:
            if can_cancel and not stream.closed:
                header.off = 0
                waiting = stream.cancel(header.SerializeToString())
                await asyncio.wait_for(waiting, CANCEL_TIMEOUT)
        except (CurvineError, TimeoutError, asyncio.CancelledError) as error:
            _log.info("a copy could not be canceled on its target: %r", error)
        finally:
            stream.close()

    def _request(self, block: int, size: int, kind: StorageType) -> worker_pb2.BlockWriteRequest:
        """What Complete and Cancel say: the real length, which is the capacity as well."""
        request = worker_pb2.BlockWriteRequest(
            off=0,
            block_size=max(size, 1),
            short_circuit=False,
            client_name=self._client_name,
            chunk_size=0,
        )
        request.block.id = block
        request.block.block_size = size  # the wire's name for the length
        request.block.storage_type = kind  # type: ignore[assignment]  # enums are ints to protobuf
        request.block.file_type = 1  # type: ignore[assignment]  # FILE
        return request

    def _open_header(self, request: worker_pb2.BlockWriteRequest) -> bytes:
        opening = worker_pb2.BlockWriteRequest()
        opening.CopyFrom(request)
        opening.block.block_size = 0  # nothing is there yet
        opening.chunk_size = self._chunk
        return opening.SerializeToString()

    async def _report(self, report: replication_pb2.ReportBlockReplicationRequest) -> None:
        """Code 43, until the master has heard it: without it the copy is lost."""
        header = report.SerializeToString()
        for _ in range(REPORT_TRIES):
            try:
                await self._master.call(
                    RpcCode.REPORT_BLOCK_REPLICATION_RESULT, header, req_id=new_req_id()
                )
                return
            except TimedOut:
                pass
            except CurvineError as error:
                if not error.retryable:
                    _log.warning("the master refused a report: %s", error)
                    return
            await asyncio.sleep(REPORT_PAUSE)
        _log.warning("a copy of block %d could not be reported", report.block_id)


def _name(worker: WorkerAddress) -> str:
    return f"worker {worker.worker_id} ({worker.ip_addr}:{worker.rpc_port})"
