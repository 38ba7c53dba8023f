# SPDX-License-Identifier: Apache-2.0
"""One connected client per event loop and process, made by the first call that needs it.

Concurrency: calls on one loop share a task that connects. Loops of several threads each have an
entry of their own in the table, so none changes what another uses. A child process leaves all to
its parent.
"""

from __future__ import annotations

import asyncio
import os

from curvine.client.blocking import leave_to_parent
from curvine.client.connect import close_file_system, open_file_system
from curvine.client.unified import UnifiedFileSystem
from curvine.config.schema import ClusterConf

Loop = asyncio.AbstractEventLoop


class Sessions:
    """See the module."""

    def __init__(self, conf: ClusterConf) -> None:
        self._conf = conf
        self._pid = os.getpid()
        self._of_loop: dict[Loop, asyncio.Task[UnifiedFileSystem]] = {}

    async def current(self) -> UnifiedFileSystem:
        """The client of the running loop. NoMaster when the cluster does not answer."""
        if self._pid != os.getpid():
            leave_to_parent(self._of_loop)
            self._of_loop, self._pid = {}, os.getpid()
        loop = asyncio.get_running_loop()
        session = self._of_loop.get(loop)
        if session is None:
            for other in [other for other in list(self._of_loop) if other.is_closed()]:
                leave_to_parent(self._of_loop.pop(other, None))
            session = loop.create_task(open_file_system(self._conf, "python"))
            self._of_loop[loop] = session
            session.add_done_callback(self._connected)
        if session.done():
            return session.result()
        return await asyncio.shield(session)

    async def close(self) -> None:
        """Close the client of the running loop, if there is one."""
        session = self._of_loop.pop(asyncio.get_running_loop(), None)
        if session is not None and self._pid == os.getpid():
            await close_file_system(await session)

    def _connected(self, session: asyncio.Task[UnifiedFileSystem]) -> None:
        if session.cancelled() or session.exception() is not None:
            self._of_loop.pop(session.get_loop(), None)  # the next call tries again
