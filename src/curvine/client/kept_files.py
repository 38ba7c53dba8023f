# SPDX-License-Identifier: Apache-2.0
"""Descriptors of block files that local workers have passed lately.

Who opens the same small files again and again (the S3 gateway) asks the worker once in a while
instead of every time. A descriptor belongs to one version of a file, so what it gives is never
older than what the master says. It keeps the disk space of a block that was deleted, so it is kept
for ``SECONDS`` after the worker gave it, used or not: the worker, too, has to see which of its
blocks are read. Times are seconds.
"""

from __future__ import annotations

import asyncio
import os

from curvine.client.node_cache import BlockKey
from curvine.clock import Clock

SECONDS = 3.0
MOST = 512


class KeptFiles:
    """See the module. Used on one event loop; entries are in the order in which they end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.enabled = False
        self._entries: dict[BlockKey, tuple[int, float]] = {}  # descriptor, when it is closed
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, key: BlockKey | None) -> int | None:
        """A duplicate, the caller's; None if there is none, or no descriptor is free."""
        found = self._entries.get(key) if key is not None else None
        if found is None or self._clock.monotonic() >= found[1]:
            return None
        return _duplicate(found[0])

    def keep(self, key: BlockKey | None, fd: int) -> None:
        """Keep a duplicate of ``fd``. Nothing is kept of a file that may change (no key), nor by
        clients for which it is not enabled."""
        if not self.enabled or key is None or fd < 0:
            return
        own = _duplicate(fd)
        if own is None:
            return
        self.drop(key)
        if len(self._entries) >= MOST:
            self.drop(next(iter(self._entries)))
        self._entries[key] = own, self._clock.monotonic() + SECONDS
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self.sweep)

    def drop(self, key: BlockKey | None) -> None:
        """Close an entry, if there is one."""
        found = self._entries.pop(key, None) if key is not None else None
        if found is not None:
            os.close(found[0])

    def sweep(self) -> None:
        """Close what has been kept long enough."""
        now = self._clock.monotonic()
        for key, (_, ends) in list(self._entries.items()):
            if now < ends:
                break
            self.drop(key)
        self._timer = None
        if self._entries:
            self._timer = asyncio.get_running_loop().call_later(SECONDS / 2, self.sweep)

    def close(self) -> None:
        """Close all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for key in list(self._entries):
            self.drop(key)


def _duplicate(fd: int) -> int | None:
    try:
        return os.dup(fd)
    except OSError:
        return None
