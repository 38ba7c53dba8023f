# SPDX-License-Identifier: Apache-2.0
"""Where blocking calls run: short ones on the loop, long ones in threads, so no disk stops it.

A call on the loop costs a few microseconds less than half a switch of threads; it is right as long
as the directory answers from memory. ``maybe_inline`` measures each call and sends those that
follow a slow one to the threads for a while (``StorageDir.slow``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from curvine.worker.tiers import StorageDir

T = TypeVar("T")


class IoPool:
    """The worker's threads for block I/O."""

    def __init__(self, threads: int) -> None:
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="worker-io")

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """``call(*args)`` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call, *args)

    async def maybe_inline(self, where: StorageDir, call: Callable[[], T]) -> T:
        """``call()`` here while ``where`` is quick, else in a thread."""
        if where.slow:
            return await self.run(call)
        started = time.monotonic()
        try:
            return call()
        finally:
            where.took(time.monotonic() - started)

    def close(self) -> None:
        """Wait for what is running, take nothing more."""
        self.threads.shutdown(wait=True)
