# SPDX-License-Identifier: Apache-2.0
"""The bound on what transfers hold in memory."""

from __future__ import annotations

import asyncio

from curvine.worker.budget import Budget


def test_never_more_than_there_is_and_nothing_is_lost() -> None:
    async def run() -> None:
        budget = Budget(10)
        held = most = 0

        async def hold(size: int) -> None:
            nonlocal held, most
            async with budget.of(size):
                held += min(size, 10)
                most = max(most, held)
                for _ in range(size):
                    await asyncio.sleep(0)
                held -= min(size, 10)

        tasks = [asyncio.ensure_future(hold(index * 7 % 13)) for index in range(200)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most == 10
        async with asyncio.timeout(5), budget.of(10):  # all of it is free again
            pass

    asyncio.run(run())
