# SPDX-License-Identifier: Apache-2.0
"""Carrying the log to the medium: one thread, one fsync for all who wait.

Modes of ``sync``: ``interval`` (fsync whenever something is newer than the interval), ``fsync``
(only when asked for), ``always`` (every answer waits for the next group fsync). In all of them an
answered mutation survives the death of the process. Times are seconds.

What waits while an fsync runs shares the next one. Where callers come back as soon as they are
answered, it pays to let those of the last group come back first: two groups that take turns wait
for two fsyncs each, one group for one; and on a fast disk the fsyncs themselves are what costs. So
the thread holds the next fsync back for a moment, as long as that makes groups larger.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

_log = logging.getLogger(__name__)

T = TypeVar("T")


class SyncMode(StrEnum):
    """When the log is carried to the medium."""

    INTERVAL = "interval"
    FSYNC = "fsync"
    ALWAYS = "always"


_PATIENCE = 0.5  # of the last fsync's time, for the last group to come back
_LEAST_PATIENCE = 0.001  # seconds
_MAX_SKIPS = 64  # groups that are not waited for after it did not work out

#: who waits, and what its future is to give
Waiter = tuple["asyncio.Future[Any]", object]


class LogState(NamedTuple):
    """What a log tells about itself: changes not on the medium yet, fsyncs, their time (s)."""

    waiting: int
    flushes: int
    flush_seconds: float


class LogSync:
    """Groups the fsyncs of one log.

    The owner's thread calls :meth:`committed` and :meth:`wait` and appends to the waiters; the
    log's thread takes from them, and the condition is for waking it. The two counters are written
    by one thread each. Who waits takes the lock only if the thread sleeps (``_asleep`` is set
    before the thread looks at the waiters for the last time).
    """

    def __init__(self, sync: Callable[[], None], mode: SyncMode, interval: float) -> None:
        self.mode = mode
        self._sync = sync
        self._interval = interval
        self._condition = threading.Condition()
        self._waiters: deque[Waiter] = deque()
        self._asleep = False
        self._wanted = 1  # waiters that wake the thread
        self._skips = 0  # groups not to be waited for, and how many it will be next time
        self._next_skips = 1
        self._committed = 0  # mutations in the log, written by the owner
        self._synced = 0  # of these, how many are on the medium; written by the thread
        self._flushes = 0  # fsyncs done and their time, written by the thread
        self._flush_seconds = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="metadata-log-sync", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """A batch was written to the log."""
        self._committed += 1

    @property
    def is_synced(self) -> bool:
        """Whether everything committed is on the medium."""
        return self._synced >= self._committed

    @property
    def state(self) -> LogState:
        """For metrics."""
        waiting = max(self._committed - self._synced, 0)
        return LogState(waiting, self._flushes, self._flush_seconds)

    def wait(self) -> asyncio.Future[None]:
        """Done when everything committed before this call is on the medium."""
        return self.give(None)

    def give(self, value: T) -> asyncio.Future[T]:
        """Give ``value`` when everything committed before this call is on the medium."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.is_synced:
            future.set_result(value)
        else:
            self._waiters.append((future, value))
            if self._asleep and len(self._waiters) >= self._wanted:
                with self._condition:
                    self._condition.notify()
        return future

    def close(self) -> None:
        """Stop the thread; the store's own close syncs what is left."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        took = 0.0
        answered = 0
        while True:
            with self._condition:
                self._gather(answered, last, took)
                while not self._closing and not self._waiters:
                    if self.mode is not SyncMode.INTERVAL:
                        self._sleep(None)
                    elif not self._sleep(last + self._interval):
                        break
                waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
                closing = self._closing
            begun = time.monotonic()
            error = None if self.is_synced else self._sync_once()
            last = time.monotonic()
            took = last - begun
            answered = len(waiters)
            if waiters:
                _answer(waiters, error)
            if closing:
                return

    def _sleep(self, until: float | None) -> bool:
        """Wait for as many waiters as are wanted; False if that took too long."""
        self._asleep = True
        try:
            if len(self._waiters) >= self._wanted:
                return True
            timeout = None if until is None else max(until - time.monotonic(), 0)
            return self._condition.wait(timeout)
        finally:
            self._asleep = False

    def _gather(self, answered: int, since: float, took: float) -> None:
        """Let the ``answered`` ones come back, if there are others that wait already."""
        waiting = len(self._waiters)
        if not answered or not waiting or self._closing:
            return
        if self._skips:
            self._skips -= 1
            return
        self._wanted = answered + waiting
        deadline = since + max(took * _PATIENCE, _LEAST_PATIENCE)
        while len(self._waiters) < self._wanted and not self._closing:
            if not self._sleep(deadline):
                break
        if len(self._waiters) >= min(self._wanted, 2 * waiting):
            self._next_skips = 1
        else:
            self._skips = self._next_skips
            self._next_skips = min(2 * self._next_skips, _MAX_SKIPS)
        self._wanted = 1

    def _sync_once(self) -> Exception | None:
        target = self._committed
        started = time.monotonic()
        try:
            self._sync()
        except Exception as error:
            _log.error("the metadata log could not be synced: %s", error)
            return error
        self._synced = target
        self._flushes += 1
        self._flush_seconds += time.monotonic() - started
        return None


def _answer(waiters: list[Waiter], error: Exception | None) -> None:
    """Wake the waiters, one call per loop."""
    loops = {future.get_loop() for future, _ in waiters}
    for loop in loops:
        own = [waiter for waiter in waiters if waiter[0].get_loop() is loop]
        try:
            loop.call_soon_threadsafe(_resolve, own, error)
        except RuntimeError:
            pass  # the loop is closed, nobody waits any more


def _resolve(waiters: list[Waiter], error: Exception | None) -> None:
    for future, value in waiters:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
