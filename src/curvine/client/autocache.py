# SPDX-License-Identifier: Apache-2.0
"""Loading files into the cache because somebody read them: one job per file, never in the way.

A miss is handed over and forgotten by the reader. At most ``CONCURRENT`` submissions run, at most
``WAITING`` wait, what is beyond is dropped (the next read asks again). A file that was submitted
lately is not submitted again, whether it worked or not. Source: data-plane specification 5.3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from curvine.clock import Clock
from curvine.errors import CurvineError
from curvine.model.job import JobStatus, LoadCommand

log = logging.getLogger(__name__)

WAITING = 1024
CONCURRENT = 64
QUIET = 10.0  # seconds in which one file is not submitted twice
_REMEMBERED = 16 * 1024  # files whose last submission is remembered


class AutoCache:
    """Submits load jobs behind readers."""

    def __init__(self, submit: Callable[[LoadCommand], Awaitable[JobStatus]], clock: Clock) -> None:
        self._submit = submit
        self._clock = clock
        self._submitted: dict[str, float] = {}  # source URI -> when, monotonic seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(CONCURRENT)

    def missed(self, uri: str) -> bool:
        """Have the file at ``uri`` loaded, unless that was asked for lately."""
        if len(self._tasks) >= WAITING or not self.may_submit(uri):
            return False
        task = asyncio.ensure_future(self._run(uri))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def may_submit(self, uri: str) -> bool:
        """Whether the file at ``uri`` was not submitted lately; from now on it was."""
        now = self._clock.monotonic()
        last = self._submitted.get(uri)
        if last is not None and now - last < QUIET:
            return False
        if len(self._submitted) >= _REMEMBERED:
            self._submitted = {u: t for u, t in self._submitted.items() if now - t < QUIET}
        self._submitted[uri] = now
        return True

    def forget(self, uri: str) -> None:
        """The file has changed: the next miss is submitted at once."""
        self._submitted.pop(uri, None)

    async def close(self) -> None:
        """Give up what has not been submitted yet."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, uri: str) -> None:
        async with self._gate:
            try:
                job = await self._submit(LoadCommand(source_path=uri, overwrite=True))
                log.debug("%s: load job %s is %s", uri, job.job_id, job.state.name)
            except CurvineError as error:
                log.warning("%s: not loaded into the cache: %s", uri, error)
