# SPDX-License-Identifier: Apache-2.0
"""Files that are open and have lost their last name.

They live on in a hidden directory of the namespace, one directory per mount session, under the
number of their inode, and are deleted at their last close. What a session that died left behind is
swept when its host mounts again. A session is named HOST.PID.START: the process that held the
mount's name table and when that process started (clock ticks since boot).
"""

from __future__ import annotations

import logging
import os
import socket

from curvine.errors import AlreadyExists, CurvineError, NotFound
from curvine.fuse.contract import FileSystem
from curvine.fuse.nodes import FLAG_ORPHAN, ORPHANS, Nodes
from curvine.model.inode import RenameFlag
from curvine.model.path import join

_log = logging.getLogger(__name__)


def _started(pid: int) -> str | None:
    """When the process started, None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def session_name(pid: int) -> str:
    """The name of the session that process ``pid`` holds."""
    return f"{socket.gethostname()}.{pid}.{_started(pid) or 0}"


def _is_dead(session: str) -> bool:
    """Whether ``session`` was one of this host and its process is gone."""
    host, _, rest = session.rpartition(".")
    host, _, pid = host.rpartition(".")
    return host == socket.gethostname() and pid.isdecimal() and _started(int(pid)) != rest


class Orphans:
    """The orphan directory of this session."""

    def __init__(self, files: FileSystem, nodes: Nodes) -> None:
        self._files = files
        self._nodes = nodes
        self._made = False

    async def take_in(self, path: str, nodeid: int, req_id: int) -> None:
        """Move the file at ``path`` into the orphan directory."""
        target = self._nodes.orphan_path(nodeid)
        if not self._made:
            try:
                await self._files.mkdir(self._nodes.orphanage, mode=0o700, create_parent=True)
            except AlreadyExists:
                pass
            self._made = True
        await self._files.rename(path, target, RenameFlag.NONE, req_id=req_id)

    def mark(self, nodeid: int) -> None:
        """The node is found in the orphan directory from now on."""
        self._nodes.table.change_flags(nodeid, add=FLAG_ORPHAN)

    async def remove(self, nodeid: int) -> None:
        """Delete an orphan after its last close."""
        await self.discard(nodeid)
        self._nodes.table.change_flags(nodeid, remove=FLAG_ORPHAN)

    async def discard(self, nodeid: int) -> None:
        """Delete what the orphan directory has of a node, if anything."""
        path = self._nodes.orphan_path(nodeid)
        try:
            await self._files.delete(path)
        except NotFound:
            pass
        except CurvineError as error:
            _log.warning("%s stays until this host mounts again: %s", path, error)

    async def sweep(self) -> None:
        """Delete what dead sessions of this host left."""
        try:
            sessions = await self._files.list(ORPHANS)
        except CurvineError:
            return
        for session in sessions:
            if session.is_dir and _is_dead(session.name):
                try:
                    await self._files.delete(join(ORPHANS, session.name), recursive=True)
                except CurvineError as error:
                    _log.warning("orphans of %s stay: %s", session.name, error)

    async def end(self) -> None:
        """Remove this session's own directory (the mount ends)."""
        if self._made:
            try:
                await self._files.delete(self._nodes.orphanage, recursive=True)
            except CurvineError as error:
                _log.warning("%s stays until this host mounts again: %s", ORPHANS, error)


def host_process() -> int:
    """The process whose life is the session's: the supervisor, parent of the server."""
    return os.getppid()
