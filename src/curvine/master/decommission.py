# SPDX-License-Identifier: Apache-2.0
"""Taking workers out of service without losing a block (control-plane specification 6.6).

An administrator names hosts. From then on their workers get no new blocks, can be read, and their
blocks are copied elsewhere; a worker is *done* when every block it holds has as many replicas on
other workers as its file asks for. Beyond Curvine: data are moved, and names and completion are
kept with the metadata, so they survive the master, the worker, silence and heartbeats. A client
that commits a block on such a worker afterwards, or a restart of it, makes it be looked at again.

Names: a hostname (all workers on it), an ip_addr, ``host:rpc_port``, or a worker id. Times are ms.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from curvine.clock import Clock
from curvine.errors import CurvineError, InvalidArgument
from curvine.master.redundancy import Urgency, judge
from curvine.master.replication import Replication
from curvine.master.workers import WorkerMap
from curvine.metadata.engine import Namespace
from curvine.model.block import CommitBlock
from curvine.model.worker import WorkerAddress, WorkerInfo, WorkerStatus

_log = logging.getLogger(__name__)

HOSTS = "decommission/host/"  # + name: a HostNote
DONE = "decommission/done/"  # + worker id: a DoneNote
TICK = 1.0  # seconds between looks at the workers
WALK_STEP = 200  # blocks judged in one turn of the loop
WALK_PAUSE = 0.01  # seconds between such turns
WALK_REST = 5.0  # times the duration of a walk until the next one over the same worker


class HostNote(msgspec.Struct, frozen=True):
    """Since when a name is decommissioned."""

    since: int


class DoneNote(msgspec.Struct, frozen=True):
    """When a worker's last block was safe elsewhere, and how much there was."""

    at: int
    blocks: int


class DecommissionProgress(msgspec.Struct, frozen=True):
    """Where a worker stands. ``blocks_unmovable``: of those left, which nobody can take now."""

    blocks_left: int
    blocks_unmovable: int
    done: bool
    reason: str = ""  # why a block could not be moved, an example
    is_counted: bool = True  # False: nobody has looked yet


class Decommission:
    """See the module. Called from the loop only."""

    def __init__(
        self, clock: Clock, namespace: Namespace, workers: WorkerMap, replication: Replication
    ) -> None:
        self._clock = clock
        self._namespace = namespace
        self._workers = workers
        self._replication = replication
        self._hosts = frozenset(name[len(HOSTS) :] for name, _ in namespace.notes(HOSTS))
        self._done = {int(name[len(DONE) :]) for name, _ in namespace.notes(DONE)}
        self._progress: dict[int, DecommissionProgress] = {}
        self._dirty: set[int] = set()  # to be looked at again, though they were done
        self._restored: set[int] = set()  # back in service: they may hold spare replicas
        self._next_walk: dict[int, float] = {}  # worker -> monotonic seconds
        workers.drain(self._is_drained)

    # -- administration ------------------------------------------------------------------------

    def add(self, names: Sequence[str]) -> tuple[WorkerInfo, ...]:
        """Decommission; the workers for which that is new. InvalidArgument for an empty name."""
        wanted = _names(names)
        note = msgspec.json.encode(HostNote(self._clock.now_ms()))
        self._namespace.put_notes(
            [(HOSTS + name, note) for name in wanted if name not in self._hosts]
        )
        self._hosts |= wanted
        changed = self._workers.drain(self._is_drained)
        for info in changed:
            _log.warning("worker %s is being decommissioned", _label(info))
        return changed

    def remove(self, names: Sequence[str]) -> tuple[WorkerInfo, ...]:
        """Undo; the workers that are back in service. Copies that are too many now go."""
        gone = _names(names) & self._hosts
        self._hosts -= gone
        changed = self._workers.drain(self._is_drained)
        ids = [info.address.worker_id for info in changed]
        self._namespace.put_notes(
            [(HOSTS + name, None) for name in gone] + [(f"{DONE}{worker}", None) for worker in ids]
        )
        for info in changed:
            _log.warning("worker %s is back in service", _label(info))
            self._done.discard(info.address.worker_id)
            self._progress.pop(info.address.worker_id, None)
            self._restored.add(info.address.worker_id)
        return changed

    def names(self) -> tuple[str, ...]:
        """What was named and not taken back, registered or not."""
        return tuple(sorted(self._hosts))

    def progress(self, worker_id: int) -> DecommissionProgress | None:
        """None for a worker that is not being decommissioned."""
        info = self._workers.get(worker_id)
        if info is None or info.status is not WorkerStatus.DECOMMISSION:
            return None
        if worker_id in self._done:
            return DecommissionProgress(0, 0, True)
        return self._progress.get(worker_id) or DecommissionProgress(0, 0, False, "", False)

    def _is_drained(self, address: WorkerAddress) -> bool:
        if not self._hosts:
            return False
        own = {address.hostname, address.ip_addr, str(address.worker_id)}
        own |= {f"{host}:{address.rpc_port}" for host in (address.hostname, address.ip_addr)}
        return not own.isdisjoint(self._hosts)

    # -- events --------------------------------------------------------------------------------

    def committed(self, commits: Iterable[CommitBlock]) -> None:
        """A client has put blocks on workers, maybe on one that was done."""
        if self._hosts:
            for commit in commits:
                self._dirty.update(where.worker_id for where in commit.locations)

    def reported(self, worker_id: int) -> None:
        """A full report is in: the worker may hold other blocks than before."""
        if self._hosts:
            self._dirty.add(worker_id)

    # -- moving --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Move the blocks of decommissioned workers for ever."""
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.step()
            except CurvineError:
                _log.exception("decommissioning failed, it is tried again")

    async def step(self) -> None:
        """Look at every worker that is not done; queue what has to be moved."""
        dirty, self._dirty = self._dirty, set()
        restored, self._restored = self._restored, set()
        for info in self._workers.registered:
            worker_id = info.address.worker_id
            if worker_id in restored:
                self._replication.look_at(self._namespace.worker_blocks(worker_id))
            if info.status is not WorkerStatus.DECOMMISSION:
                continue
            began = self._clock.monotonic()
            if worker_id in self._done and worker_id not in dirty:
                continue
            if began < self._next_walk.get(worker_id, 0.0):
                self._dirty.update(dirty & {worker_id})
                continue
            await self._walk(info)
            ended = self._clock.monotonic()
            self._next_walk[worker_id] = ended + (ended - began) * WALK_REST

    async def _walk(self, info: WorkerInfo) -> None:
        """Count what has to be moved from a worker, and queue it."""
        worker_id = info.address.worker_id
        left = stuck = total = 0
        reason = ""
        blocks = self._namespace.worker_blocks(worker_id)
        while chunk := list(islice(blocks, WALK_STEP)):
            for block_id in chunk:
                facts = self._namespace.block_facts(block_id)
                total += 1
                if facts is None or worker_id not in facts.holders:
                    continue
                verdict = judge(facts, self._workers.standing)
                if not verdict.missing:
                    continue
                left += 1
                trouble = self._replication.trouble(block_id)
                if trouble:
                    stuck, reason = stuck + 1, trouble
                self._replication.look_at((block_id,), Urgency.DRAIN)
            await asyncio.sleep(WALK_PAUSE)
        now = self._workers.get(worker_id)
        if now is None or now.status is not WorkerStatus.DECOMMISSION:
            return  # taken back while we counted
        self._progress[worker_id] = DecommissionProgress(left, stuck, False, reason)
        if left == 0 and worker_id not in self._dirty:
            self._finish(info, total)
        elif worker_id in self._done:
            self._reopen(info)

    def _finish(self, info: WorkerInfo, blocks: int) -> None:
        worker_id = info.address.worker_id
        if worker_id in self._done:
            return
        note = msgspec.json.encode(DoneNote(self._clock.now_ms(), blocks))
        self._namespace.put_notes([(f"{DONE}{worker_id}", note)])
        self._done.add(worker_id)
        _log.warning("worker %s is decommissioned, all its blocks are elsewhere", _label(info))

    def _reopen(self, info: WorkerInfo) -> None:
        self._namespace.put_notes([(f"{DONE}{info.address.worker_id}", None)])
        self._done.discard(info.address.worker_id)
        _log.warning("worker %s got blocks again after it was decommissioned", _label(info))


def _names(names: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(name.strip() for name in names)
    if not wanted or "" in wanted:
        raise InvalidArgument("Name the hosts, for example worker-1 or worker-1:8997")
    return wanted


def _label(info: WorkerInfo) -> str:
    return f"{info.address.worker_id} ({info.address.hostname}:{info.address.rpc_port})"
