# SPDX-License-Identifier: Apache-2.0
"""Copies of small files that are under way at the same time: each waits more than it works."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

SMALL = 1024 * 1024  # bytes; the client sends and fetches files up to this in one message
_TOGETHER = 32


class Together:
    """Runs what it is given, so many at a time. The first failure ends the rest and is raised.

    Use it as a context: leaving it waits for all.
    """

    def __init__(self, limit: int = _TOGETHER) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[None]] = set()

    async def add(self, copy: Coroutine[Any, Any, None]) -> None:
        """Begin ``copy`` as soon as there is room for it."""
        try:
            while len(self._running) >= self._limit:
                await self._some()
        except BaseException:
            copy.close()
            raise
        self._running.add(asyncio.ensure_future(copy))

    async def _some(self) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for copy in done:
            copy.result()

    async def __aenter__(self) -> Together:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while self._running and error is None:
                await self._some()
        finally:
            for copy in self._running:
                copy.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
