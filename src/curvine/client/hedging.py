# SPDX-License-Identifier: Apache-2.0
"""Asking a second replica when the first one is slow, without asking everybody twice.

A read that takes longer than nearly all lately is sent to another replica as well; the first answer
counts. The extra load is bounded: at most one hedge in ``_SHARE`` reads over time, ``_BURST`` at
once. Times are seconds.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from curvine.errors import CurvineError

T = TypeVar("T")

_SAMPLES = 256
_FACTOR = 3.0  # of the 99th percentile: what is merely late is waited for
_LEAST = 0.05
_MOST = 1.0  # a reader never waits longer for a worker that may be hanging
_FIRST = 0.5  # before anything is known
_SHARE = 20
_BURST = 16.0


class Hedger:
    """Knows how long reads take, and how many may be sent twice."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._tokens = _BURST
        self.sent = 0  # hedges
        self.won = 0  # those that were answered first

    @property
    def delay(self) -> float:
        """How long to wait for the first replica."""
        known = self._sorted
        if len(known) < _SAMPLES // 8:
            return _FIRST
        return min(max(known[len(known) * 99 // 100] * _FACTOR, _LEAST), _MOST)

    def took(self, seconds: float) -> None:
        """A read was answered."""
        self._tokens = min(self._tokens + 1 / _SHARE, _BURST)
        self._recent.append(seconds)
        insort(self._sorted, seconds)
        if len(self._recent) > _SAMPLES:
            self._sorted.remove(self._recent.popleft())

    def take(self) -> bool:
        """Whether one more read may be sent twice; it counts."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self.sent += 1
        return True

    async def race(
        self,
        first: Callable[[], Coroutine[Any, Any, T]],
        second: Callable[[], Coroutine[Any, Any, T]],
    ) -> tuple[T, bool]:
        """The result of ``first``, or of ``second`` where that is slow or fails; and whether it is
        the second's. The loser is cancelled. When both fail, the first one's error is raised."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        task = loop.create_task(first())
        tasks = [task]
        try:
            await asyncio.wait(tasks, timeout=self.delay)
            if task.done() or not self.take():
                result = await task
                self.took(loop.time() - started)
                return result, False
            other = loop.create_task(second())
            tasks.append(other)
            waiting = set(tasks)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    if ended.exception() is None:
                        self.won += ended is other
                        return ended.result(), ended is other
            return task.result(), False
        finally:
            for unfinished in tasks:
                unfinished.cancel()
                unfinished.add_done_callback(_look)


def _look(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more; keep asyncio from reporting its error."""
    if not task.cancelled():
        task.exception()


async def side_by_side(
    works: list[Coroutine[Any, Any, None]], patience: float, late: Callable[[], CurvineError]
) -> list[BaseException | None]:
    """Run all; once one has succeeded the others have ``patience`` to follow, then they are
    cancelled and have failed with ``late()``. What each one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        waiting = set(tasks)
        while waiting and not any(_succeeded(task) for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            _, waiting = await asyncio.wait(waiting, timeout=patience)
            for task in waiting:
                task.cancel()
            if waiting:
                await asyncio.wait(waiting)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [late() if task.cancelled() else task.exception() for task in tasks]


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
