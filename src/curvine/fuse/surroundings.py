# SPDX-License-Identifier: Apache-2.0
"""What the parts of one mount share: the file system behind, the nodes, and a place for errands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from curvine.clock import Clock
from curvine.fuse.belief import Beliefs
from curvine.fuse.contract import FileSystem
from curvine.fuse.locks import FileLocks
from curvine.fuse.nodes import Nodes
from curvine.fuse.orphans import Orphans
from curvine.fuse.passthrough import Passthrough
from curvine.fuse.settings import Settings

_log = logging.getLogger(__name__)


class Errands:
    """Work that no request waits for; it is finished before the mount ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the requests; a failure is logged."""
        task = asyncio.get_running_loop().create_task(self._logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    @staticmethod
    async def _logged(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            _log.warning("an errand failed: %s", error)


class Opens:
    """How files were opened, by what serves their reads."""

    def __init__(self) -> None:
        self.passthrough = 0  # the kernel reads the block's file
        self.local = 0  # we splice from the block's file
        self.remote = 0  # workers send the bytes
        self.source = 0  # the under storage sends them: not cached
        self.written = 0  # opened to be written, or while it is written

    def as_dict(self) -> dict[str, int]:
        return dict(vars(self))


@dataclass(frozen=True)
class Surroundings:
    """Shared by every open file of a mount."""

    files: FileSystem
    nodes: Nodes
    orphans: Orphans
    locks: FileLocks
    settings: Settings
    clock: Clock
    passthrough: Passthrough
    errands: Errands
    beliefs: Beliefs
    # Tells the kernel to forget a node's attributes; returns once it has.
    attributes_changed: Callable[[int], Awaitable[None]]
    attributes_stale: Callable[[int], None]  # the same without waiting for it
    opens: Opens = field(default_factory=Opens)
