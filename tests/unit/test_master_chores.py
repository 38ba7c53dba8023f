# SPDX-License-Identifier: Apache-2.0
"""A master that did not run for a while judges nobody by that time."""

from __future__ import annotations

import asyncio
import time

from curvine.master.chores import LATE, every


def test_after_a_stall_nobody_is_judged_before_what_came_meanwhile_is_read() -> None:
    async def main() -> list[int]:
        turns = 0  # of the loop, in which messages would have been read
        judged: list[int] = []
        done = asyncio.Event()

        def judge() -> None:
            judged.append(turns)
            done.set()

        async def read() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.005)

        reader = asyncio.create_task(read())
        chore = asyncio.create_task(every(0.01, judge, if_awake=True))
        await done.wait()
        judged.clear()
        done.clear()
        before = turns
        time.sleep(LATE + 0.05)  # noqa: ASYNC251 - the process is stopped
        await done.wait()
        reader.cancel()
        chore.cancel()
        return [before, *judged]

    before, judged, *_ = asyncio.run(main())
    assert judged > before
