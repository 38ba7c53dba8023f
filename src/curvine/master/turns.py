# SPDX-License-Identifier: Apache-2.0
"""Long answers without stalling the others: one piece of the work in each turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from curvine.metadata.stepping import Steps

T = TypeVar("T")


async def in_turns(steps: Steps[T], encode: Callable[[T], bytes]) -> bytes:
    """Take the steps, others run in between; the encoded result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return encode(stop.value)
        await asyncio.sleep(0)
