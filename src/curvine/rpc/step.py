# SPDX-License-Identifier: Apache-2.0
"""Coroutines that usually do not wait, run without a Task until they do.

A Task costs more than a whole cached answer. So the first step of a coroutine is taken by hand;
only if it waits for something is the rest given to a Task, which starts by waiting for that.

During the first step there is no current Task: ``asyncio.timeout`` and ``TaskGroup`` refuse to work
there (``asyncio.wait``, locks, futures, sleep and ``gather`` do). A handler that begins with one of
those is wrapped in :func:`in_task`.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Suspended(Generic[T]):
    """A coroutine that has begun and waits. Await it, once, inside a Task to let it go on."""

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waiting: Any) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine, waiting = self._coroutine, self._waiting
        self._waiting = None
        while True:
            try:
                try:
                    sent = yield waiting
                except GeneratorExit:
                    coroutine.close()
                    raise
                except BaseException as error:  # cancellation reaches the coroutine as well
                    waiting = None  # an error holds this frame, which must not hold the error
                    waiting = coroutine.throw(error)
                else:
                    waiting = coroutine.send(sent)
            except StopIteration as stop:
                result: T = stop.value
                return result


def step(coroutine: Coroutine[Any, Any, T]) -> T | Suspended[T]:
    """Run ``coroutine`` to its end or to its first wait. Its exceptions come out of here."""
    try:
        waiting = coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    return Suspended(coroutine, waiting)


async def finish(suspended: Suspended[T]) -> T:
    """The rest of a stepped coroutine, in the form that ``create_task`` takes."""
    return await suspended


def in_task(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, asyncio.Task[T]]:
    """Make a coroutine function start in a Task of its own at once."""

    def started(*args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(function(*args, **kwargs))

    return started


def is_coroutine(value: object) -> bool:
    """Whether ``value`` can be stepped."""
    return isinstance(value, types.CoroutineType)
