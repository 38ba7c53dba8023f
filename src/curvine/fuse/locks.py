# SPDX-License-Identifier: Apache-2.0
"""POSIX record locks and flock of a mount, kept by the master for every mount of the cluster.

The master answers at once; who waits asks again, soon at first and up to ``LONGEST_PAUSE`` later,
and at once when a lock of this mount goes. Locks live for five minutes on the master: what is held
is set anew every ``RENEW_SECONDS`` (decision 21). Files that the master does not know (they are in
an under storage only) are locked within this mount alone.

Concurrency: one exchange with the master at a time per node, so that a renewal never overtakes an
unlock. A wait holds nothing. Who is waited for is remembered per owner: a circle is a deadlock, and
the request that would close it is refused (EDEADLK).
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable

from curvine.errors import CurvineError, NotFound, Unsupported
from curvine.fuse.contract import FileSystem
from curvine.fuse.lockrecords import Held, LockRecords
from curvine.fuse.nodes import Nodes
from curvine.fuse.refusals import Refused
from curvine.model.lock import FileLock, LockFlavor, Locks, LockType, conflict, with_lock

_log = logging.getLogger(__name__)

RENEW_SECONDS = 60.0
SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5

Owner = tuple[str, int]  # client and its owner number


class FileLocks:
    """The locks of one mount. ``run`` is given what nobody waits for."""

    def __init__(
        self,
        files: FileSystem,
        nodes: Nodes,
        records: LockRecords,
        client_id: str,
    ) -> None:
        self._files = files
        self._nodes = nodes
        self._records = records
        self.client_id = client_id
        self._slots: dict[int, dict[int, Held]] = defaultdict(dict)  # node -> slot -> lock
        self._busy: dict[int, asyncio.Lock] = {}
        self._freed: dict[int, asyncio.Event] = {}
        self._waits: dict[Owner, Owner] = {}  # of record locks: who waits for whom
        self._unknown: set[int] = set()  # nodes that the master does not know
        for slot, held in records.load():
            if nodes.table.is_generation(held.nodeid, held.generation):
                self._slots[held.nodeid][slot] = held
            else:
                records.remove(slot)

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def any(self, nodeid: int) -> bool:
        """Whether this mount holds a lock on the node."""
        return bool(self._slots) and nodeid in self._slots

    # -- asking and taking

    async def test(self, nodeid: int, wanted: FileLock) -> FileLock | None:
        """The lock that stands in the way of ``wanted`` (F_GETLK)."""
        if nodeid not in self._unknown:
            try:
                return await self._nodes.at(nodeid, lambda p: self._files.get_lock(p, wanted))
            except (NotFound, Unsupported):
                pass
        return conflict(self._held(nodeid), wanted)

    async def take(
        self, nodeid: int, fh: int, wanted: FileLock, *, wait: bool, req_id: int
    ) -> None:
        """Take, change or release a lock. Refused: EAGAIN, or for who waits EDEADLK."""
        owner = (wanted.client_id, wanted.owner_id)
        pause = SHORTEST_PAUSE
        first: int | None = req_id
        try:
            while True:
                freed = self._freed.setdefault(nodeid, asyncio.Event())
                blocking = await self._attempt(nodeid, fh, wanted, first)
                if blocking is None:
                    return
                if not wait:
                    raise Refused(errno.EAGAIN)
                if wanted.flavor is LockFlavor.PLOCK:
                    self._waits[owner] = (blocking.client_id, blocking.owner_id)
                    if self._is_circle(owner):
                        raise Refused(errno.EDEADLK)
                await _either(freed, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                first = None  # the answer to the first question is remembered under its id
        finally:
            self._waits.pop(owner, None)

    def _is_circle(self, owner: Owner) -> bool:
        seen = {owner}
        at: Owner | None = self._waits[owner]
        while at is not None and at not in seen:
            seen.add(at)
            at = self._waits.get(at)
        return at == owner

    async def _attempt(
        self, nodeid: int, fh: int, wanted: FileLock, req_id: int | None
    ) -> FileLock | None:
        """One exchange with the master; who gives up meanwhile leaves things as they were."""
        task = asyncio.ensure_future(self._exchange(nodeid, fh, wanted, req_id))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if await task is None:
                await self._take_back(nodeid, wanted)
            raise

    async def _exchange(
        self, nodeid: int, fh: int, wanted: FileLock, req_id: int | None
    ) -> FileLock | None:
        async with self._busy.setdefault(nodeid, asyncio.Lock()):
            blocking = await self._set(nodeid, wanted, req_id)
            if blocking is None:
                self._record(nodeid, fh, wanted)
            return blocking

    async def _take_back(self, nodeid: int, wanted: FileLock) -> None:
        """A lock came after its owner had stopped waiting for it: give it back."""
        async with self._busy.setdefault(nodeid, asyncio.Lock()):
            await self._set(nodeid, _unlocking(wanted), None)
            self._record(nodeid, 0, _unlocking(wanted))

    async def _set(self, nodeid: int, lock: FileLock, req_id: int | None) -> FileLock | None:
        if nodeid not in self._unknown:
            try:
                return await self._nodes.at(
                    nodeid, lambda path: self._files.set_lock(path, lock, req_id=req_id)
                )
            except (NotFound, Unsupported):
                self._unknown.add(nodeid)
        return conflict(self._held(nodeid), lock)

    # -- what is held

    def _held(self, nodeid: int) -> Locks:
        found = self._slots.get(nodeid)
        return tuple(held.lock for held in found.values()) if found else ()

    def _record(self, nodeid: int, fh: int, wanted: FileLock) -> None:
        """Keep what the master has granted: the owner's ranges that overlap give way."""
        before = dict(self._slots.get(nodeid, {}))
        after = with_lock(tuple(held.lock for held in before.values()), wanted, 0)
        kept = set(after)
        generation = self._nodes.table.generation(nodeid)
        for lock in kept - {held.lock for held in before.values()}:
            slot = self._records.add(Held(nodeid, generation, fh, lock))
            self._slots[nodeid][slot] = Held(nodeid, generation, fh, lock)
        for slot, held in before.items():
            if held.lock not in kept:
                self._records.remove(slot)
                del self._slots[nodeid][slot]
        if not self._slots.get(nodeid):
            self._slots.pop(nodeid, None)
        self._wake(nodeid)

    def _wake(self, nodeid: int) -> None:
        """Who waits for this node asks again."""
        event = self._freed.pop(nodeid, None)
        if event is not None:
            event.set()
        if nodeid not in self._slots:
            busy = self._busy.get(nodeid)
            if busy is not None and not busy.locked():
                del self._busy[nodeid]
            self._unknown.discard(nodeid)

    # -- letting go

    async def closed(self, nodeid: int, owner: int) -> None:
        """A descriptor is closed: the process loses its record locks on the file (POSIX)."""
        await self._release(nodeid, LockFlavor.PLOCK, lambda held: held.lock.owner_id == owner)

    async def released(self, nodeid: int, fh: int, owner: int | None) -> None:
        """A handle is gone: its flock (``owner`` if it had one), and what no FLUSH has released."""
        if owner is not None:
            await self._release(nodeid, LockFlavor.FLOCK, lambda held: held.lock.owner_id == owner)
        await self._release(nodeid, LockFlavor.PLOCK, lambda held: held.fh == fh)

    async def _release(
        self, nodeid: int, flavor: LockFlavor, is_meant: Callable[[Held], bool]
    ) -> None:
        found = self._slots.get(nodeid)
        if not found:
            return
        meant = [h for h in found.values() if h.lock.flavor is flavor and is_meant(h)]
        for whole in _whole(h.lock for h in meant) if flavor is LockFlavor.FLOCK else ():
            await self._unlock(nodeid, whole)
        if flavor is LockFlavor.PLOCK:
            for held in meant:
                await self._unlock(nodeid, _unlocking(held.lock))

    async def _unlock(self, nodeid: int, lock: FileLock) -> None:
        try:
            await self._exchange(nodeid, 0, lock, None)
        except CurvineError as error:  # it ends by itself, five minutes after the last renewal
            _log.warning("a lock on node %d could not be released: %s", nodeid, error)
            self._record(nodeid, 0, lock)

    # -- keeping

    async def keep(self) -> None:
        """Renew what is held, for ever."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Set every lock that is held once more."""
        for nodeid in list(self._slots):
            async with self._busy.setdefault(nodeid, asyncio.Lock()):
                for lock in self._held(nodeid):
                    await self._renew(nodeid, lock)

    async def _renew(self, nodeid: int, lock: FileLock) -> None:
        try:
            other = await self._set(nodeid, lock, None)
        except CurvineError as error:
            _log.warning("a lock on node %d could not be renewed: %s", nodeid, error)
            return
        if other is not None:
            _log.error(
                "process %d lost its lock on node %d: it had expired, client %s has it now",
                lock.pid, nodeid, other.client_id,
            )  # fmt: skip
            self._record(nodeid, 0, _unlocking(lock))


def _unlocking(lock: FileLock) -> FileLock:
    """What releases ``lock``."""
    return FileLock(
        lock.client_id, lock.owner_id, lock.pid, 0, LockType.UNLOCK, lock.flavor,
        lock.start, lock.end,
    )  # fmt: skip


def _whole(locks: Iterable[FileLock]) -> list[FileLock]:
    """One release for each owner."""
    return list({lock.owner_id: _unlocking(lock) for lock in locks}.values())


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event, for ``seconds`` at most."""
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiter,), timeout=seconds)
    finally:
        waiter.cancel()
