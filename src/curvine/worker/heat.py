# SPDX-License-Identifier: Apache-2.0
"""How often each block has been opened lately.

A block's heat is the number of its opens, each worth half after every half-life. It is kept in
memory only: after a restart all blocks are cold. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterator

from curvine.clock import Clock

# Blocks remembered; beyond, those that have cooled down are forgotten, at last those that were not
# opened for longest.
_MOST = 200_000
_COLD = 0.05


class Heat:
    """Opens, block by block."""

    def __init__(self, clock: Clock, half_life: float) -> None:
        self._clock = clock
        self._half_life = max(half_life, 0.001)
        self._known: dict[int, tuple[float, float]] = {}  # block -> (heat, when); oldest first

    def opened(self, block: int) -> None:
        """A reader opened the block."""
        now = self._clock.monotonic()
        heat, when = self._known.pop(block, (0.0, now))
        self._known[block] = (self._cooled(heat, when, now) + 1, now)
        if len(self._known) > _MOST:
            self._forget_some(now)

    def of(self, block: int) -> float:
        """The block's heat now."""
        heat, when = self._known.get(block, (0.0, 0.0))
        return self._cooled(heat, when, self._clock.monotonic()) if heat else 0.0

    def above(self, least: float) -> Iterator[tuple[int, float]]:
        """(block, heat) of all blocks of at least that heat."""
        now = self._clock.monotonic()
        for block, (heat, when) in list(self._known.items()):
            cooled = self._cooled(heat, when, now)
            if cooled >= least:
                yield block, cooled

    def _cooled(self, heat: float, when: float, now: float) -> float:
        return float(heat * 0.5 ** ((now - when) / self._half_life))

    def _forget_some(self, now: float) -> None:
        kept = [
            (block, known)
            for block, known in self._known.items()
            if self._cooled(*known, now) >= _COLD
        ]
        self._known = dict(kept[-(_MOST * 3 // 4) :])
