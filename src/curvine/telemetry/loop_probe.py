# SPDX-License-Identifier: Apache-2.0
"""How late an event loop runs what is due: the one number that says whether it is held up.

Times are seconds.
"""

from __future__ import annotations

import asyncio

INTERVAL = 1.0
STALL = 1.0  # a probe that comes later than this found the loop stalled


class LoopProbe:
    """Looks once a second. ``delay``: of the last probe, or of one that is overdue now."""

    def __init__(self) -> None:
        self.stalls = 0
        self._delay = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; needs a running loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._probe)

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def delay(self) -> float:
        """How late the loop is."""
        return self._delay

    @property
    def stalled(self) -> bool:
        """Whether the last probe found the loop stalled."""
        return self._delay > STALL

    def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        self._delay = max(loop.time() - self._due, 0.0)
        self.stalls += self._delay > STALL
        self.start()
