# SPDX-License-Identifier: Apache-2.0
"""How much of the loop pages may take: a share, whoever asks and however often.

Making a page, or the next piece of a long one, is work on the loop that RPC or FUSE wait for. One
piece is made at a time; after it took t seconds, the next may begin t * (1/share - 1) later. On an
idle server the first piece begins at once. Times are seconds.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

SHARE = 0.2


class Pace:
    """``async with pace:`` around the making of a piece."""

    def __init__(self, share: float = SHARE) -> None:
        self._rest = 1 / share - 1
        self._turn = asyncio.Lock()
        self._began = 0.0
        self._free_at = 0.0

    async def __aenter__(self) -> None:
        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        try:
            delay = self._free_at - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
        except BaseException:
            self._turn.release()
            raise
        self._began = loop.time()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = now + (now - self._began) * self._rest
        self._turn.release()
