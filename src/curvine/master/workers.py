# SPDX-License-Identifier: Apache-2.0
"""The workers as the master knows them: registration by heartbeat, liveness by a clock.

Source: control-plane specification 6.1, 6.2 and 6.5. A worker is *registered* while readers may be
sent to it (Live, Blacklist, Decommission); only Live ones get new blocks. A worker that says
goodbye, or whose address another one took over, is *gone*: listed as lost, its block locations
kept. One that stays silent for the lost interval is gone too, and its locations are dropped by the
caller of :meth:`WorkerMap.check`.

Two things go beyond Curvine. The roster survives a restart of the master (``Roster``), so that
reads resolve before the first heartbeat arrives; restored workers are blacklisted until they beat.
And a worker that announces a restart stays readable (blacklisted) while it reports its blocks.

Workers being decommissioned are told apart by a predicate that does not forget (``decommission``),
so that neither a beat nor a restart nor silence makes them Live.

Everything here is called from the loop only. Times are ms.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from enum import IntEnum

import msgspec

from curvine.clock import Clock
from curvine.errors import Common
from curvine.model.worker import (
    Heartbeat,
    HeartbeatStatus,
    StorageInfo,
    WorkerAddress,
    WorkerInfo,
    WorkerStatus,
)
from curvine.wire.codes import CAP_LARGE_BLOCKS
from curvine.wire.convert import fill_address
from curvine.wire.pb import common_pb2

REMEMBERED_GONE = 1000  # lost workers kept for the listing; the oldest go first


class Standing(IntEnum):
    """What a replica on a worker is worth."""

    SERVING = 0  # counts
    SILENT = 1  # counts for now: the worker may come back
    DRAINING = 2  # can be read, does not count
    ABSENT = 3  # neither


class Roster:
    """The registered workers in a small JSON file, replaced as a whole."""

    def __init__(self, path: str) -> None:
        self._path = path

    def load(self) -> tuple[WorkerInfo, ...]:
        """The workers of the last save; none if there is no file or it does not parse."""
        try:
            with open(self._path, "rb") as file:
                return msgspec.json.decode(file.read(), type=tuple[WorkerInfo, ...])
        except (FileNotFoundError, msgspec.DecodeError):
            return ()

    def save(self, workers: tuple[WorkerInfo, ...]) -> None:
        """Replace the file. No fsync: an older roster only delays reads until the next beat."""
        temporary = f"{self._path}.new"
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(workers))
        os.replace(temporary, self._path)


class WorkerMap:
    """All workers by id. ``addresses`` holds those of registered workers, ready for replies."""

    def __init__(
        self, clock: Clock, cluster_id: str, blacklist_ms: int, lost_ms: int, roster: Roster
    ) -> None:
        self._clock = clock
        self._cluster_id = cluster_id
        self._blacklist_ms = blacklist_ms
        self._lost_ms = lost_ms
        self._roster = roster
        self._started = clock.now_ms()
        self._is_drained: Callable[[WorkerAddress], bool] = lambda _: False
        self._registered: dict[int, WorkerInfo] = {}
        self._gone: dict[int, WorkerInfo] = {}
        self._live: tuple[WorkerInfo, ...] | None = None
        self._arrivals: list[asyncio.Future[None]] = []
        self.addresses: dict[int, common_pb2.WorkerAddressProto] = {}
        now = clock.now_ms()
        for info in roster.load():
            self._register(
                msgspec.structs.replace(info, status=WorkerStatus.BLACKLIST, last_update=now)
            )

    # -- reading -------------------------------------------------------------------------------

    def get(self, worker_id: int) -> WorkerInfo | None:
        """A registered worker."""
        return self._registered.get(worker_id)

    @property
    def live(self) -> tuple[WorkerInfo, ...]:
        """Workers that may get new blocks, in the order of their registration."""
        if self._live is None:
            self._live = tuple(
                info for info in self._registered.values() if info.status is WorkerStatus.LIVE
            )
        return self._live

    def having(self, status: WorkerStatus) -> tuple[WorkerInfo, ...]:
        """All workers of a status."""
        rows = self._gone if status is WorkerStatus.LOST else self._registered
        return tuple(info for info in rows.values() if info.status is status)

    @property
    def registered(self) -> tuple[WorkerInfo, ...]:
        """Workers that readers may be sent to."""
        return tuple(self._registered.values())

    def standing(self, worker_id: int) -> Standing:
        """What a replica on that worker is worth now."""
        info = self._registered.get(worker_id)
        if info is not None:
            return _STANDINGS[info.status]
        gone = self._gone.get(worker_id)
        if gone is not None and self._is_drained(gone.address):
            return Standing.ABSENT
        since = self._started if gone is None else gone.last_update
        away = self._clock.now_ms() - since
        return Standing.SILENT if away <= self._lost_ms else Standing.ABSENT

    def absent(self) -> tuple[int, ...]:
        """Workers that are gone for so long that their replicas do not count any more."""
        return tuple(
            worker_id for worker_id in self._gone if self.standing(worker_id) is Standing.ABSENT
        )

    async def arrival(self, timeout: float) -> bool:
        """Wait until a worker becomes Live; False when ``timeout`` seconds passed first."""
        waiter = asyncio.get_running_loop().create_future()
        self._arrivals.append(waiter)
        try:
            await asyncio.wait((waiter,), timeout=timeout)
            return waiter.done()
        finally:
            self._arrivals.remove(waiter)

    # -- changing ------------------------------------------------------------------------------

    def drain(self, is_drained: Callable[[WorkerAddress], bool]) -> tuple[WorkerInfo, ...]:
        """From now on, workers at these addresses are decommissioned, all others are not.

        The result are the workers whose status changed, as they are now.
        """
        self._is_drained = is_drained
        changed = []
        for info in self.registered:
            drained = is_drained(info.address)
            if drained is (info.status is WorkerStatus.DECOMMISSION):
                continue
            status = WorkerStatus.DECOMMISSION if drained else WorkerStatus.LIVE
            if not drained and self._clock.now_ms() - info.last_update > self._blacklist_ms:
                status = WorkerStatus.BLACKLIST
            changed.append(msgspec.structs.replace(info, status=status))
        for info in changed:
            self._register(info)
        return tuple(changed)

    def beat(self, beat: Heartbeat) -> None:
        """Take a heartbeat. Common when it comes from another cluster."""
        if beat.cluster_id != self._cluster_id:
            raise Common(
                f"Worker {beat.address.worker_id} belongs to cluster {beat.cluster_id!r}, "
                f"this is {self._cluster_id!r}"
            )
        worker_id = beat.address.worker_id
        old = self._registered.get(worker_id)
        if beat.status is HeartbeatStatus.END:
            if old is not None:
                self._dismiss(old)
                self._save()
            return
        for other in [info for info in self._registered.values() if _replaced(info, beat.address)]:
            self._dismiss(other)
        if beat.status is HeartbeatStatus.START and old is None:
            return
        self._register(self._updated(beat))
        if old is None or old.address != beat.address or old.component != beat.component:
            self._save()

    def check(self) -> tuple[int, ...]:
        """Judge every worker by the age of its last heartbeat; the ids that are lost now."""
        now = self._clock.now_ms()
        lost = []
        for info in self.registered:
            age = now - info.last_update
            if age > self._lost_ms:
                self._dismiss(info)
                lost.append(info.address.worker_id)
            elif age > self._blacklist_ms and info.status is WorkerStatus.LIVE:
                self._register(msgspec.structs.replace(info, status=WorkerStatus.BLACKLIST))
        if lost:
            self._save()
        return tuple(lost)

    def _updated(self, beat: Heartbeat) -> WorkerInfo:
        status = WorkerStatus.LIVE
        storages = beat.storages
        if self._is_drained(beat.address):
            status = WorkerStatus.DECOMMISSION
        elif beat.status is HeartbeatStatus.START:
            status = WorkerStatus.BLACKLIST
        return WorkerInfo(
            address=beat.address,
            capacity=sum(row.capacity for row in storages),
            available=sum(row.available for row in storages),
            fs_used=sum(row.fs_used for row in storages),
            non_fs_used=sum(row.non_fs_used for row in storages),
            reserved_bytes=sum(row.reserved_bytes for row in storages),
            last_update=self._clock.now_ms(),
            storages=storages,
            weight=beat.weight,
            session_id=beat.session_id,
            software_version=beat.software_version,
            startup_time_ms=beat.started_ms,
            status=status,
            component=beat.component,
        )

    def _register(self, info: WorkerInfo) -> None:
        worker_id = info.address.worker_id
        old = self._registered.get(worker_id)
        self._gone.pop(worker_id, None)
        self._registered[worker_id] = info
        self._live = None
        if old is None or old.address != info.address:
            address = common_pb2.WorkerAddressProto()
            fill_address(address, info.address)
            self.addresses[worker_id] = address
        if info.status is WorkerStatus.LIVE and (old is None or old.status is not info.status):
            for waiter in self._arrivals:
                if not waiter.done():
                    waiter.set_result(None)

    def _dismiss(self, info: WorkerInfo) -> None:
        worker_id = info.address.worker_id
        del self._registered[worker_id]
        del self.addresses[worker_id]
        self._live = None
        self._gone.pop(worker_id, None)  # to the end of the order
        self._gone[worker_id] = msgspec.structs.replace(info, status=WorkerStatus.LOST)
        while len(self._gone) > REMEMBERED_GONE:
            del self._gone[next(iter(self._gone))]

    def _save(self) -> None:
        self._roster.save(self.registered)


_STANDINGS = {
    WorkerStatus.LIVE: Standing.SERVING,
    WorkerStatus.BLACKLIST: Standing.SILENT,
    WorkerStatus.DECOMMISSION: Standing.DRAINING,
}


def block_count(storages: tuple[StorageInfo, ...]) -> int:
    """Blocks of a worker: each of its directories repeats the total (data-plane, heartbeat)."""
    return max((row.block_num for row in storages), default=0)


def fills_lazily(info: WorkerInfo) -> bool:
    """Whether the worker takes space as it is written, whatever the block's size (decision 25)."""
    return info.component is not None and CAP_LARGE_BLOCKS in info.component.capabilities


def _replaced(info: WorkerInfo, address: WorkerAddress) -> bool:
    """Whether ``address`` belongs to a worker that took the place of ``info``."""
    old = info.address
    return old.worker_id != address.worker_id and (
        (old.hostname, old.ip_addr, old.rpc_port)
        == (address.hostname, address.ip_addr, address.rpc_port)
    )
