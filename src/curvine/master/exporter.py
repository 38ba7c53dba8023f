# SPDX-License-Identifier: Apache-2.0
"""Carries the changes below fs_mode mounts to their under storages (data-plane specification 5.4).

Upstream replays its journal, one change after the other, and skips what fails for long. Here the
changes are rows of the metadata store, written with the mutation; ``export_queue`` says which may
run, up to ``RUNNING`` do, and a row goes when its change is done. What fails is tried again after a
pause that grows, for ever, holds up only what depends on its path, and is shown. What
a change is in the under storage says ``export_steps``. Times are ms where not said otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol

from curvine.clock import Clock
from curvine.config.schema import ClientConf, JobConf
from curvine.errors import CurvineError, InvalidArgument, InvalidPath, ReadOnly, Unsupported
from curvine.master.export_queue import Entry, ExportQueue
from curvine.master.export_steps import ExportSteps, OpenUfs
from curvine.master.export_tasks import ExportTasks
from curvine.master.task_sending import TaskSender
from curvine.metadata.engine import Namespace
from curvine.metadata.ledger import ExportRow, Pending
from curvine.model.job import TaskProgress

_log = logging.getLogger(__name__)

RUNNING = 64  # changes on their way at a time
WINDOW = 20_000  # changes kept in memory; the rest waits in the store
PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds before a failed change is tried again
_HOPELESS = (Unsupported, InvalidArgument, InvalidPath, ReadOnly)


class Watcher(Protocol):
    """Who follows changes: an export job. ``key`` is the one that :meth:`Exporter.export` gave,
    also where a newer change of the same content has taken the place of that one."""

    def ended(self, key: bytes) -> None:
        """The change is done or void."""

    def failed(self, key: bytes, entry: Entry) -> None:
        """An attempt failed; more will follow."""


class Exporter:
    """All exports of this master. Called from the loop only."""

    def __init__(
        self,
        conf: JobConf,
        client: ClientConf,
        clock: Clock,
        namespace: Namespace,
        sender: TaskSender,
        open_ufs: OpenUfs,
    ) -> None:
        self._clock = clock
        self._namespace = namespace
        self._queue = ExportQueue()
        self.tasks = ExportTasks(conf, client, clock, sender)
        self._steps = ExportSteps(namespace, self.tasks, open_ufs)
        self._last = b""  # the newest row that was taken into memory
        self._behind = False  # rows after that wait in the store
        self._watchers: dict[bytes, list[tuple[Watcher, bytes]]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._timers: dict[bytes, tuple[asyncio.TimerHandle, Entry]] = {}
        self._closed = False
        self.exported = 0  # changes done since the start
        self.failures = 0  # attempts that failed since the start

    # -- what others see -------------------------------------------------------------------------

    def start(self) -> None:
        """Take up what an earlier run left, and listen for more."""
        self._namespace.on_export = self._changed
        self._behind = True
        self._more()

    async def close(self) -> None:
        """Stop; what was not done stays in the store."""
        self._closed = True
        self._namespace.on_export = None
        for timer, _ in self._timers.values():
            timer.cancel()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._steps.close()

    @property
    def pending(self) -> int:
        """Changes that wait, as far as known without counting the store."""
        waiting = len(self._queue)
        return max(waiting, self._namespace.exports_estimate()) if self._behind else waiting

    @property
    def failing(self) -> int:
        """Changes whose last attempt failed."""
        return sum(1 for entry in self._queue.entries if entry.failure)

    def shown(self, path: str, limit: int) -> list[Entry]:
        """Waiting changes at or below ``path``, those that fail first."""
        below = path.rstrip("/") + "/"
        found = [
            entry for entry in self._queue.entries
            if any(at == path or at.startswith(below) for at in entry.paths)
        ]  # fmt: skip
        found.sort(key=lambda entry: not entry.failure)
        return found[:limit]

    def export(self, paths: list[str], watcher: Watcher) -> list[bytes]:
        """Export files now, whether they have changed or not; the keys to watch."""
        keys: list[bytes] = []
        for key, row in self._namespace.export_files(paths):
            known = self._queue.superseded(row)
            if known is not None:
                self._namespace.exports_done([key])
                key = known.key
            self._watchers.setdefault(key, []).append((watcher, key))
            keys.append(key)
            if known is None:
                self._take(key, row)
        self._go()
        return keys

    def report(self, task_id: str, progress: TaskProgress) -> None:
        """What a worker tells about an export task."""
        self.tasks.report(task_id, progress)

    def worker_gone(self, worker_id: int) -> None:
        """A worker restarted or is lost: its exports go to others."""
        self.tasks.worker_gone(worker_id)

    # -- the queue ---------------------------------------------------------------------------------

    def _changed(self, changes: list[Pending]) -> None:
        for key, row in changes:
            if self._behind or len(self._queue) >= WINDOW:
                self._behind = True
            elif key > self._last:
                self._take(key, row)
        if not self._closed:
            asyncio.get_running_loop().call_soon(self._go)

    def _take(self, key: bytes, row: ExportRow) -> None:
        self._last = max(self._last, key)
        older = self._queue.superseded(row)
        if older is not None:  # the newer one will export the content once for both
            watchers = self._watchers.pop(older.key, None)
            if watchers:
                self._watchers.setdefault(key, []).extend(watchers)
            self._queue.add(key, row)
            self._done(older)
            return
        self._queue.add(key, row)

    def _more(self) -> None:
        """Take rows from the store while there is room for them."""
        while self._behind and len(self._queue) < WINDOW // 2:
            rows = self._namespace.exports_after(self._last, WINDOW // 4)
            if not rows:
                self._behind = False
                break
            for key, row in rows:
                self._take(key, row)
        self._go()

    def _go(self) -> None:
        while self._queue.ready and len(self._running) < RUNNING and not self._closed:
            entry = self._queue.ready.popleft()
            entry.running = True
            task = asyncio.get_running_loop().create_task(self._run(entry))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._closed:
            if self._behind and len(self._queue) < WINDOW // 2:
                self._more()
            self._go()

    async def _run(self, entry: Entry) -> None:
        try:
            for paths in batched(await self._steps.apply(entry.row), 500):
                self._changed(self._namespace.export_files(paths))
        except CurvineError as error:
            self._failed(entry, error.message or error.code, isinstance(error, _HOPELESS))
        except Exception as error:
            _log.exception("the export of %s failed", entry.row.path)
            self._failed(entry, f"internal error: {error!r}", False)
        else:
            self.exported += 1
            self._done(entry)
            self._answers(entry.row.mount_id)

    def _done(self, entry: Entry) -> None:
        self._namespace.exports_done([entry.key])
        self._queue.end(entry)
        for watcher, key in self._watchers.pop(entry.key, ()):
            watcher.ended(key)

    def _failed(self, entry: Entry, reason: str, hopeless: bool) -> None:
        now = self._clock.now_ms()
        entry.running = False
        entry.attempts += 1
        self.failures += 1
        entry.first_failed_ms = entry.first_failed_ms or now
        entry.failed_ms, entry.permanent = now, hopeless
        level = logging.WARNING if reason != entry.failure else logging.DEBUG
        entry.failure = reason
        _log.log(level, "export of %s is tried again: %s", entry.row.path, reason)
        for watcher, key in tuple(self._watchers.get(entry.key, ())):
            watcher.failed(key, entry)
        if self._closed:
            return
        pause = min(PAUSE * 2 ** min(entry.attempts - 1, 10), LONGEST_PAUSE)
        loop = asyncio.get_running_loop()
        self._timers[entry.key] = (loop.call_later(pause, self._again, entry), entry)

    def _answers(self, mount_id: int) -> None:
        """A store works: what it failed to do a while ago is tried now, not after its pause."""
        ago = self._clock.now_ms() - PAUSE * 1000
        for timer, entry in list(self._timers.values()):
            waits = entry.row.mount_id == mount_id and entry.failed_ms < ago
            if waits and not entry.permanent:
                timer.cancel()
                self._again(entry)

    def _again(self, entry: Entry) -> None:
        self._timers.pop(entry.key)
        self._queue.ready.append(entry)
        self._go()


def batched(paths: list[str], size: int) -> Iterator[list[str]]:
    """The paths in pieces of at most ``size``."""
    return (paths[start : start + size] for start in range(0, len(paths), size))
