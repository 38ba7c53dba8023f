# SPDX-License-Identifier: Apache-2.0
"""Which worker is loading which file: readers of a cold file read what it fetches (decision 27)."""

from __future__ import annotations

import asyncio

from curvine.master.job_state import Job


class LoadPlaces:
    """Files by URI, while a worker has their task; and who waits for one to be taken."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._waiting: dict[str, list[asyncio.Future[int | None]]] = {}

    def taken(self, uri: str, worker_id: int) -> None:
        """A worker has the task."""
        self._at[uri] = worker_id
        self._tell(uri, worker_id)

    def ended(self, uri: str) -> None:
        """Nobody loads the file (any more)."""
        self._at.pop(uri, None)
        self._tell(uri, None)

    def job_ended(self, job: Job) -> None:
        """Nobody loads what is left of a job."""
        self.ended(job.job.source_path)
        for task in job.tasks.values():
            if not task.progress.state.ended:
                self.ended(task.uri)

    def lost(self, uri: str) -> None:
        """Its worker is gone; another will take it."""
        self._at.pop(uri, None)

    def known(self, uri: str) -> int | None:
        """The worker that has the task now."""
        return self._at.get(uri)

    async def wait(self, uri: str, seconds: float) -> int | None:
        """The worker that takes the task; None if it ends without one, or takes too long."""
        found = self._at.get(uri)
        if found is not None:
            return found
        turn: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(uri, [])
        waiting.append(turn)
        try:
            return await asyncio.wait_for(turn, seconds)
        except TimeoutError:
            return None
        finally:
            if turn in waiting:
                waiting.remove(turn)
            if not waiting and self._waiting.get(uri) is waiting:
                del self._waiting[uri]

    def _tell(self, uri: str, worker_id: int | None) -> None:
        for turn in self._waiting.pop(uri, ()):
            if not turn.done():
                turn.set_result(worker_id)
