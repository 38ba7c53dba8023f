# SPDX-License-Identifier: Apache-2.0
"""The worker's side of the talk with the master (control-plane specification 6).

Life: START beat, full block report, then a RUNNING beat every heartbeat_interval, END at a clean
stop. A master that is away is tried for ever; when it answers again, the next RUNNING beat enters
the worker and a full report follows, without START, which would unlist our blocks for its duration.
The same after we were silent for a while (a stopped process, a stalled machine), since the master
may have dropped them.

Deletions: a reply lists every block that the master wants gone, each time, until we confirm. An id
is pending from the first time we see it until its confirmation was acknowledged; confirmations go
out after the next beat that succeeded. Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from curvine.clock import Clock
from curvine.errors import CurvineError
from curvine.model.inode import StorageType
from curvine.model.worker import (
    ComponentInfo,
    Heartbeat,
    HeartbeatStatus,
    StorageInfo,
    WorkerAddress,
)
from curvine.rpc.connector import MasterConnector, new_req_id
from curvine.telemetry.logs import OnceLogger
from curvine.wire.codes import RpcCode
from curvine.wire.convert_cluster import encode_heartbeat
from curvine.wire.pb import worker_pb2
from curvine.worker.blockstore import BlockStore
from curvine.worker.reclaim import reclaim

RETRY_AFTER = 1.0  # pause after a failed beat
CONCURRENT_DELETES = 10
SILENT_BEATS = 4  # without a beat for so many intervals, the master may have given us up
_RECLAIM_EVERY = 600.0  # look for unfinished blocks that nobody goes on with
_log = logging.getLogger(__name__)

_FINALIZED = worker_pb2.BLOCK_REPORT_STATUS_PROTO_FINALIZED
_WRITING = worker_pb2.BLOCK_REPORT_STATUS_PROTO_WRITING
_DELETED = worker_pb2.BLOCK_REPORT_STATUS_PROTO_DELETED


class MasterLink:
    """Keeps one worker registered."""

    def __init__(
        self,
        master: MasterConnector,
        store: BlockStore,
        *,
        cluster_id: str,
        address: WorkerAddress,
        weight: int,
        session_id: str,
        component: ComponentInfo,
        interval: float,
        report_limit: int,
        unfinished_idle: float,
        clock: Clock,
        on_registered: Callable[[], None],
    ) -> None:
        self._master = master
        self._store = store
        self._cluster_id = cluster_id
        self._address = address
        self._weight = weight
        self._session_id = session_id
        self._component = component
        self._interval = interval
        self._report_limit = report_limit
        self._unfinished_idle = unfinished_idle
        self._next_reclaim = clock.monotonic() + unfinished_idle
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._on_registered = on_registered
        self._once = OnceLogger(_log, clock=clock)
        self._pending: set[int] = set()  # ids ordered gone and not yet confirmed
        self._deleted: dict[int, int] = {}  # gone, to be confirmed: id -> length it had
        self._moved: set[int] = set()  # lie on another medium, which the master is to be told
        self._delete_slots = asyncio.Semaphore(CONCURRENT_DELETES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._registered = False  # the last beat was heard
        self._heard = clock.monotonic()  # when it was
        self.storages: tuple[StorageInfo, ...] = ()  # as the last beat said

    @property
    def registered(self) -> bool:
        """Whether the master heard our last beat."""
        return self._registered

    @property
    def deletions_left(self) -> int:
        """Blocks that the master wants gone and does not know to be gone."""
        return len(self._pending)

    async def run(self) -> None:
        """Register and beat until ``stop``."""
        started = False
        while not self._stopping.is_set():
            pause = self._interval
            try:
                if not started:
                    await self._beat(HeartbeatStatus.START)
                    await self._report_all()
                    started = self._registered = True
                    await self._beat(HeartbeatStatus.RUNNING)
                    self._on_registered()
                else:
                    await self._beat(HeartbeatStatus.RUNNING)
                    silent = self._clock.monotonic() - self._heard
                    if not self._registered or silent > SILENT_BEATS * self._interval:
                        await self._report_all()
                        self._registered = True
                        _log.info("the master answers again, or we do after %.1f s", silent)
                self._heard = self._clock.monotonic()
                await self._confirm_deleted()
                await self._tell_moved()
                await self._reclaim()
            except CurvineError as error:
                self._registered = False
                pause = min(RETRY_AFTER, self._interval)
                self._once.log(
                    logging.WARNING, ("beat", str(error)), "no word from the master: %s", error
                )
            await self._sleep(pause)

    async def stop(self) -> None:
        """Say END to a master that hears us, within a few seconds or not at all."""
        self._stopping.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._registered:
            return
        try:
            await asyncio.wait_for(self._beat(HeartbeatStatus.END), 3.0)
        except (CurvineError, TimeoutError):
            _log.info("the master could not be told that this worker stops")

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass

    async def _beat(self, status: HeartbeatStatus) -> None:
        beat = Heartbeat(
            cluster_id=self._cluster_id,
            address=self._address,
            status=status,
            started_ms=self._started_ms,
            storages=() if status is HeartbeatStatus.END else await self._storages(),
            weight=self._weight,
            session_id=self._session_id,
            software_version=self._component.release_version,
            component=self._component,
        )
        frame = await self._master.call(
            RpcCode.WORKER_HEARTBEAT, encode_heartbeat(beat), req_id=new_req_id()
        )
        self._obey(worker_pb2.WorkerHeartbeatResponse.FromString(frame.header).cmds)

    async def _storages(self) -> tuple[StorageInfo, ...]:
        self._store.recount_lent()
        rows = []
        blocks = len(self._store.index)  # of all, in every row, as upstream counts
        for where in self._store.tiers.dirs:
            healthy = await self._store.io.run(where.check)
            if not healthy:
                lost = self._store.lose_directory(where)
                self._once.log(
                    logging.ERROR,
                    ("dir", where.layout.root),
                    "%s cannot be used; %d blocks in it are given up",
                    where.layout.root,
                    lost,
                )
            rows.append(where.info(blocks, healthy))
        self.storages = tuple(rows)
        return self.storages

    # --- reports --------------------------------------------------------------------------------

    async def _report_all(self) -> None:
        """Every block, in pages; one empty page if there are none."""
        blocks = [
            _row(block, _FINALIZED if published else _WRITING, length, kind)
            for block, length, kind, published in self._store.index.inventory()
        ]
        for start in range(0, max(len(blocks), 1), self._report_limit):
            page = blocks[start : start + self._report_limit]
            await self._report(page, full=True, total=len(blocks))

    async def _confirm_deleted(self) -> None:
        confirmed = dict(self._deleted)
        if not confirmed:
            return
        rows = [
            _row(block, _DELETED, length, StorageType.DISK) for block, length in confirmed.items()
        ]
        for start in range(0, len(rows), self._report_limit):
            page = rows[start : start + self._report_limit]
            await self._report(page, full=False, total=len(page))
        for block in confirmed:
            del self._deleted[block]
            self._pending.discard(block)

    def moved(self, block: int) -> None:
        """A block lies on another medium; the master hears of it with the next beat."""
        self._moved.add(block)

    async def _tell_moved(self) -> None:
        moved = sorted(self._moved)
        for start in range(0, len(moved), self._report_limit):
            page = moved[start : start + self._report_limit]
            known = [(b, self._store.index.published.get(b)) for b in page]
            rows = [
                _row(block, _FINALIZED, generation.len, generation.dir.storage_type)
                for block, generation in known
                if generation is not None
            ]
            if rows:
                await self._report(rows, full=False, total=len(rows))
            self._moved.difference_update(page)

    async def _reclaim(self) -> None:
        """Now and then, look for what dead clients left."""
        if self._clock.monotonic() < self._next_reclaim:
            return
        self._next_reclaim = self._clock.monotonic() + min(self._unfinished_idle, _RECLAIM_EVERY)
        questions = await reclaim(self._store, self._unfinished_idle)
        rows = [_row(block, _WRITING, length, kind) for block, length, kind in questions]
        for start in range(0, len(rows), self._report_limit):
            page = rows[start : start + self._report_limit]
            await self._report(page, full=False, total=len(page))

    async def _report(
        self, rows: list[worker_pb2.BlockReportInfoProto], *, full: bool, total: int
    ) -> None:
        request = worker_pb2.BlockReportListRequest()
        request.cluster_id = self._cluster_id
        request.worker_id = self._address.worker_id
        request.full_report = full
        request.total_len = total
        request.blocks.extend(rows)
        frame = await self._master.call(
            RpcCode.WORKER_BLOCK_REPORT, request.SerializeToString(), req_id=new_req_id()
        )
        self._obey(worker_pb2.BlockReportListResponse.FromString(frame.header).cmds)

    # --- commands -------------------------------------------------------------------------------

    def _obey(self, commands: Iterable[worker_pb2.WorkerCommandProto]) -> None:
        for command in commands:
            new = [block for block in command.delete_block.blocks if block not in self._pending]
            if new:
                self._pending.update(new)
                task = asyncio.get_running_loop().create_task(self._delete(new))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _delete(self, blocks: list[int]) -> None:
        for block in blocks:
            async with self._delete_slots:
                try:
                    self._deleted[block] = await self._store.delete(block)
                except CurvineError as error:
                    self._pending.discard(block)  # the master will ask again
                    self._once.log(logging.ERROR, ("delete", str(error)), "%s", error)


def _row(
    block: int,
    status: worker_pb2.BlockReportStatusProto,
    length: int,
    kind: StorageType,
) -> worker_pb2.BlockReportInfoProto:
    row = worker_pb2.BlockReportInfoProto()
    row.id = block
    row.status = status
    row.block_size = length
    row.storage_type = kind  # type: ignore[assignment]  # enums are ints to protobuf
    return row
