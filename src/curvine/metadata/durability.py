# SPDX-License-Identifier: Apache-2.0
"""Carrying the log to the medium: one thread, one fsync for all who wait.

Modes of ``sync``: ``interval`` (fsync whenever something is newer than the interval), ``fsync``
(only when asked for), ``always`` (every answer waits for the next group fsync). In all of them an
answered mutation survives the death of the process. Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum

_log = logging.getLogger(__name__)


class SyncMode(StrEnum):
    """When the log is carried to the medium."""

    INTERVAL = "interval"
    FSYNC = "fsync"
    ALWAYS = "always"


class LogSync:
    """Groups the fsyncs of one log.

    The owner's thread calls :meth:`committed` and :meth:`wait`; the condition guards the waiters,
    the two counters are written by one thread each.
    """

    def __init__(self, sync: Callable[[], None], mode: SyncMode, interval: float) -> None:
        self.mode = mode
        self._sync = sync
        self._interval = interval
        self._condition = threading.Condition()
        self._waiters: list[asyncio.Future[None]] = []
        self._committed = 0  # mutations in the log, written by the owner
        self._synced = 0  # of these, how many are on the medium; written by the thread
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

    def wait(self) -> asyncio.Future[None]:
        """Done when everything committed before this call is on the medium."""
        future = asyncio.get_running_loop().create_future()
        if self.is_synced:
            future.set_result(None)
        else:
            with self._condition:
                self._waiters.append(future)
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
        while True:
            with self._condition:
                while not self._closing and not self._waiters:
                    if self.mode is not SyncMode.INTERVAL:
                        self._condition.wait()
                    elif not self._condition.wait(max(last + self._interval - time.monotonic(), 0)):
                        break
                waiters, self._waiters = self._waiters, []
                closing = self._closing
            error = None if self.is_synced else self._sync_once()
            last = time.monotonic()
            _answer(waiters, error)
            if closing:
                return

    def _sync_once(self) -> Exception | None:
        target = self._committed
        try:
            self._sync()
        except Exception as error:
            _log.error("the metadata log could not be synced: %s", error)
            return error
        self._synced = target
        return None


def _answer(waiters: list[asyncio.Future[None]], error: Exception | None) -> None:
    """Wake the waiters, one call per loop."""
    loops = {waiter.get_loop() for waiter in waiters}
    for loop in loops:
        own = [waiter for waiter in waiters if waiter.get_loop() is loop]
        try:
            loop.call_soon_threadsafe(_resolve, own, error)
        except RuntimeError:
            pass  # the loop is closed, nobody waits any more


def _resolve(waiters: list[asyncio.Future[None]], error: Exception | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
