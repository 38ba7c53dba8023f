# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr where a person looks, nothing elsewhere. Amounts are bytes or items.

It is drawn by whoever reports progress and some times a second at most: no thread of its own takes
time from what is measured.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PACE = 0.2  # seconds between two drawings


def interactive() -> bool:
    """Whether progress may be drawn on stderr."""
    return sys.stderr.isatty()


class Meter:
    """One bar at a time; use it as a context. ``counts`` is the unit where it is not bytes."""

    def __init__(self, counts: str = "") -> None:
        self._counts = counts
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._waiting = 0  # advanced and not drawn yet
        self._drawn = 0.0

    def __enter__(self) -> Meter:
        if interactive():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TransferSpeedColumn,
            )

            text = TextColumn("{task.description}", markup=False)
            if self._counts:
                amount = TextColumn(f"{{task.completed:.0f}} {self._counts}", markup=False)
                columns = (text, BarColumn(), amount, TimeElapsedColumn())
                self._bar = Progress(
                    *columns, console=Console(stderr=True), transient=True, auto_refresh=False
                )
            else:
                self._bar = Progress(
                    text, BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(),
                    console=Console(stderr=True), transient=True, auto_refresh=False,
                )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, name: str, total: int | None) -> None:
        """Start to show ``name``; ``total`` is None when nobody knows it."""
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._waiting = self._bar.add_task(name, total=total), 0
            self._draw()

    def advance(self, amount: int) -> None:
        """``amount`` more is done."""
        if self._bar is not None and self._task is not None:
            self._waiting += amount
            if time.monotonic() - self._drawn >= _PACE:
                self._bar.advance(self._task, self._waiting)
                self._waiting = 0
                self._draw()

    def show(self, name: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` is done, counted by somebody else."""
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(name, total=total)
            self._bar.update(self._task, description=name, completed=done, total=total)
            self._draw()

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._drawn = time.monotonic()
