# SPDX-License-Identifier: Apache-2.0
"""Coroutines stepped by hand: no Task for those that do not wait, no difference for the others."""

from __future__ import annotations

import asyncio

import pytest

from curvine.rpc.step import Suspended, finish, in_task, step


async def at_once() -> int:
    assert asyncio.current_task() is None
    return 7


async def after(future: asyncio.Future[int]) -> int:
    await asyncio.sleep(0)
    return await future + await future


def test_no_task_for_what_does_not_wait() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: seen.append(step(at_once())))
        await asyncio.sleep(0)

    seen: list[object] = []
    asyncio.run(main())
    assert seen == [7]


def test_what_waits_goes_on_in_a_task() -> None:
    async def main() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        suspended = step(after(future))
        assert isinstance(suspended, Suspended)
        task = asyncio.create_task(finish(suspended))
        asyncio.get_running_loop().call_soon(future.set_result, 21)
        return await task

    assert asyncio.run(main()) == 42


def test_a_future_done_before_the_task_begins() -> None:
    async def wait(future: asyncio.Future[int]) -> int:
        return await future

    async def main() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        suspended = step(wait(future))
        assert isinstance(suspended, Suspended)
        future.set_result(5)
        return await asyncio.create_task(finish(suspended))

    assert asyncio.run(main()) == 5


def test_errors_and_cancellation_reach_the_coroutine() -> None:
    cleaned: list[str] = []

    async def failing(early: bool) -> None:
        if early:
            raise ValueError("early")
        try:
            await asyncio.sleep(30)
        finally:
            cleaned.append("yes")

    async def main() -> None:
        with pytest.raises(ValueError, match="early"):
            step(failing(True))
        suspended = step(failing(False))
        assert isinstance(suspended, Suspended)
        task = asyncio.create_task(finish(suspended))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned == ["yes"]


def test_in_task_allows_what_needs_a_current_task() -> None:
    @in_task
    async def timed() -> int:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
            return 3

    async def main() -> int:
        return await timed()

    assert asyncio.run(main()) == 3
