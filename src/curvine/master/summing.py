# SPDX-License-Identifier: Apache-2.0
"""Sums over subtrees for those who ask: counted in turns of the loop, one walk for all askers.

A walk that has begun goes on to its end while nobody waits for it, so that whoever asks without
waiting (statfs) finds it done some time later. Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging

from curvine.errors import CurvineError
from curvine.metadata.engine import Namespace
from curvine.model.inode import ContentSummary

_log = logging.getLogger(__name__)

MAX_WALKS = 8  # paths being counted at the same time; further askers take steps themselves


class Summing:
    """The walks of one master."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._walks: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop; what was counted is lost."""
        walks = list(self._walks.values())
        for walk in walks:
            walk.cancel()
        await asyncio.gather(*walks, return_exceptions=True)

    async def summary(self, path: str, wait: float) -> ContentSummary:
        """The sum of ``path``; incomplete if it is not counted within ``wait``. NotFound."""
        end = asyncio.get_running_loop().time() + wait
        while True:
            summary = self._namespace.content_summary_so_far(path)
            left = end - asyncio.get_running_loop().time()
            if summary.is_complete or left <= 0:
                return summary
            walk = self._walk(path)
            if walk is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wait((walk,), timeout=left)

    def _walk(self, path: str) -> asyncio.Task[None] | None:
        walk = self._walks.get(path)
        if walk is None and len(self._walks) < MAX_WALKS:
            walk = self._walks[path] = asyncio.create_task(self._count(path))
            walk.add_done_callback(lambda _: self._walks.pop(path, None))
        return walk

    async def _count(self, path: str) -> None:
        try:
            for _ in self._namespace.content_summary_steps(path):
                await asyncio.sleep(0)
        except CurvineError as error:
            _log.info("counting %s ended: %s", path, error)
