# SPDX-License-Identifier: Apache-2.0
"""The engine's heart: open, mutate, publish.

A mutation runs to its end without waiting: retry cache, rule over a draft, one atomic batch,
listeners. So mutations are ordered by being run one after another on one thread, and a reader
never sees half of one. Only :meth:`Core.sync` waits, for the log's next group fsync.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

from curvine.clock import Clock, SystemClock
from curvine.errors import AbnormalData
from curvine.metadata.apply import apply
from curvine.metadata.cache import CachedView
from curvine.metadata.draft import Draft
from curvine.metadata.durability import LogState, LogSync, SyncMode
from curvine.metadata.keys import BOOT_KEY, FORMAT_KEY, Table, worker_key_block
from curvine.metadata.records import (
    FORMAT_VERSION,
    RECORD_VERSION,
    Batch,
    ExportRow,
    Inode,
    RetryRow,
)
from curvine.metadata.retry import RetryCache
from curvine.metadata.rules.tree import TREE_TOP_MODE
from curvine.metadata.store import Store, StoreOptions
from curvine.metadata.tally import Tallies
from curvine.metadata.values import Change, Deletion, Limits
from curvine.model.inode import ROOT_INODE_ID, FileType

_log = logging.getLogger(__name__)

T = TypeVar("T")
Listener = Callable[[list[Change]], None]

# After a power cut the log may have lost its last moments, ids handed out in them included, while
# workers still hold their blocks. Skipping this many keeps every id unique.
_IDS_SKIPPED = 1 << 20


class Op(IntEnum):
    """Operations in the retry cache. Stored: never renumber."""

    MKDIR = 1
    CREATE = 2
    OPEN_WRITE = 3
    ADD_BLOCK = 4
    COMPLETE = 5
    DELETE = 6
    RENAME = 7
    SET_ATTR = 8
    SYMLINK = 9
    LINK = 10
    FREE = 11
    RESIZE = 12
    ASSIGN_WORKER = 13
    MOUNT = 14
    MOUNT_UPDATE = 15
    UNMOUNT = 16
    SET_LOCK = 17


class Core:
    """Store, caches and the path of a mutation; the faces of the namespace build on it."""

    def __init__(
        self,
        path: str,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        sync_mode: SyncMode = SyncMode.INTERVAL,
        sync_interval_ms: int = 1000,
        store_options: StoreOptions | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._store = Store(path, store_options)
        try:
            self._view = CachedView(self._store, self.limits.cached_inodes)
            self._prepare()
            self._retry = RetryCache(
                self._store,
                self.limits.retry_cache_size,
                self.limits.retry_cache_ttl_ms,
                self._clock.now_ms(),
            )
        except BaseException:
            self._store.close()
            raise
        self._listeners: list[Listener] = []
        # Called on the engine's thread with what has to be exported, once that is in the log.
        self.on_export: Callable[[list[tuple[bytes, ExportRow]]], None] | None = None
        self._ring: deque[Change] = deque(maxlen=self.limits.change_ring)
        self._ring_start = self.epoch  # changes up to this epoch are not in the ring
        self._tallies = Tallies()
        self._deletions: dict[int, Deletion] = {}  # detached directory -> what it belongs to
        self._reports: dict[int, set[int]] = {}  # worker id -> blocks it got since its report began
        self._log = LogSync(self._store.sync_log, sync_mode, sync_interval_ms / 1000)

    # -- life ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        stored = self._store.get(Table.META, FORMAT_KEY)
        if stored is not None and int(stored) > FORMAT_VERSION:
            raise AbnormalData(
                f"The metadata were written in format {int(stored)}, this version reads up to"
                f" {FORMAT_VERSION}; use a newer version"
            )
        boot = _boot_id()
        last = self._store.get(Table.META, BOOT_KEY)
        if self._view.inode(ROOT_INODE_ID) is None:
            self._create_root()
        elif last not in {b"", boot}:
            self._skip_ids()
        self._store.commit(
            [(Table.META, FORMAT_KEY, b"%d" % FORMAT_VERSION), (Table.META, BOOT_KEY, boot)]
        )
        self._store.sync_log()

    def _create_root(self) -> None:
        now = self._clock.now_ms()
        draft = Draft(self._view, now)
        draft.put(
            Inode(
                RECORD_VERSION,
                ROOT_INODE_ID,
                FileType.DIR,
                -1,
                "",
                TREE_TOP_MODE,
                "",
                "",
                now,
                now,
                nlink=2,
            )
        )
        apply(self._view, draft.batch())

    def _skip_ids(self) -> None:
        draft = Draft(self._view, self._clock.now_ms())
        draft.next_inode += _IDS_SKIPPED
        apply(self._view, draft.batch())
        _log.warning(
            "the machine went down with the metadata open, %d inode ids are skipped", _IDS_SKIPPED
        )

    def close(self) -> None:
        """Carry everything to the medium and let go of the store. Harmless when repeated."""
        if self._store.is_open:
            self._log.close()
            self._store.commit([(Table.META, BOOT_KEY, b"")])
            self._store.close()

    # -- mutating ------------------------------------------------------------------------------

    def _mutate(self, op: Op, req_id: int, rule: Callable[[Draft], T]) -> T:
        """Run a rule and store what it drafted. Replays are the caller's business."""
        draft = Draft(self._view, self._clock.now_ms())
        result = rule(draft)
        self._commit(draft, op, req_id)
        return result

    def _replayed(self, op: Op, req_id: int) -> RetryRow | None:
        """The row of an earlier answer to the same request, None at first sight."""
        if not req_id:
            return None
        return self._retry.find(req_id, op, self._clock.now_ms())

    def _commit(self, draft: Draft, op: Op | None = None, req_id: int = 0) -> None:
        if draft.is_empty:
            return
        batch = draft.batch()
        epoch = batch.state.epoch
        row = None
        if req_id and op is not None:
            row = self._retry.row(req_id, op, draft.subject, draft.now)
            if row is not None:
                batch.rows.append(self._retry.stored(row, epoch))
        sums: list[Callable[[], None]] = []
        if self._tallies:
            sums = self._tallies.changes(
                self._view.inode, draft.inode, batch.inodes, draft.first_new
            )
        apply(self._view, batch)
        self._log.committed()
        for adjust in sums:
            adjust()
        if row is not None:
            self._retry.remember(row, epoch)
        if self._reports:
            self._note_new_replicas(batch)
        if draft.changes:
            self._publish(draft, epoch)
        if draft.exports and self.on_export is not None:
            self.on_export(draft.exports)

    def _note_new_replicas(self, batch: Batch) -> None:
        for table, key, value in batch.rows:
            if table == Table.WORKER_BLOCK and value is not None:
                fresh = self._reports.get(int.from_bytes(key[:4], "big"))
                if fresh is not None:
                    fresh.add(worker_key_block(key))

    # -- telling -------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Number of the last mutation."""
        return self._view.state.epoch

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with the changes of every mutation; the result takes it back.

        It is called on the engine's thread after the mutation is in the log, and must not mutate.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def changes_since(self, epoch: int) -> list[Change] | None:
        """Changes after ``epoch``, oldest first; None if they are no longer all known."""
        if epoch < self._ring_start or epoch > self.epoch:
            return None
        return [change for change in self._ring if change.epoch > epoch]

    def _publish(self, draft: Draft, epoch: int) -> None:
        changes = [
            Change(path, inode_id, parent_id, name, kind, epoch)
            for kind, path, inode_id, parent_id, name in draft.changes
        ]
        ring = self._ring
        room = self.limits.change_ring - len(ring) - len(changes)
        if room < 0:
            lost = min(-room, len(ring))
            self._ring_start = ring[lost - 1].epoch if lost else epoch
        ring.extend(changes)
        for listener in tuple(self._listeners):
            try:
                listener(changes)
            except Exception:
                _log.exception("a listener of namespace changes failed")

    # -- durability ----------------------------------------------------------------------------

    def sync(self) -> asyncio.Future[None]:
        """Done when everything answered so far is on stable storage (one fsync for all)."""
        return self._log.wait()

    def sync_now(self) -> None:
        """The same, blocking: for shutdown, tools and tests."""
        self._store.sync_log()

    def before_answer(self) -> asyncio.Future[None] | None:
        """What the answer to a mutation has to wait for: None unless ``sync = always``."""
        return self.answer_after_sync(None)

    def answer_after_sync(self, answer: T) -> asyncio.Future[T] | None:
        """The same, as a future that gives ``answer``."""
        log = self._log
        if log.mode is not SyncMode.ALWAYS or log.is_synced:
            return None
        return log.give(answer)

    def checkpoint(self, path: str) -> None:
        """A consistent copy of the whole store in a new directory."""
        self._store.checkpoint(path)

    def log_state(self) -> LogState:
        """How far the log is, for metrics."""
        return self._log.state

    def memory(self) -> dict[str, int]:
        """Bytes in use by the store, by kind."""
        return self._store.memory()


def _boot_id() -> bytes:
    """Identity of this boot of the machine, to tell a crash of the process from a power cut."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().strip()
    except OSError:
        return b"unknown"
