# SPDX-License-Identifier: Apache-2.0
"""Long work in short pieces.

An operation over many inodes is a generator that yields between bounded pieces (a few ms), so that
the owner of the namespace can serve others in between; its ``return`` is the result. What runs
between two pieces sees the namespace as the pieces so far left it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]


def finish(steps: Steps[T]) -> T:
    """Take all the steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
