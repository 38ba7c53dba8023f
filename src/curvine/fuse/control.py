# SPDX-License-Identifier: Apache-2.0
"""How ``cv fuse`` finds and asks the server of a mount: an abstract Unix socket per mount.

The socket is named by the mount's device number, which no other mount of the machine has. Who
connects (only root and the mount's own user may) gets one JSON document and the end of the stream.
Upgrading is a signal to the supervisor, whose process id the document tells.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from curvine.errors import CurvineError, NotFound
from curvine.fuse import mount
from curvine.fuse.mountpoint import Failed

_log = logging.getLogger(__name__)
_PEER = Struct("=iii")  # struct ucred: pid, uid, gid
_PATIENCE = 10.0  # seconds; a server that was killed is replaced within one or two


def _address(device: str) -> str:
    return f"\0curvine-fuse.{device}"


class ControlSocket:
    """The server's end; ``describe`` gives the document."""

    def __init__(self, device: str, describe: Callable[[], Mapping[str, Any]]) -> None:
        self._address = _address(device)
        self._describe = describe
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Not being able to is a warning: the mount does without."""
        try:
            self._server = await asyncio.start_unix_server(self._answer, self._address)
        except OSError as error:
            _log.warning("`cv fuse` cannot ask this mount: %s", error)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid in (0, os.geteuid()):
            writer.write(json.dumps(self._describe()).encode())
        writer.close()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()


def mount_at(target: str) -> mount.MountEntry:
    """The Curvine mount at ``target``. NotFound: nothing is mounted; Failed: somebody else's."""
    point = mount.canonical(target)
    entry = mount.topmost(point)
    if entry is None:
        raise NotFound(f"nothing is mounted at {target}; `cv fuse list` tells what is")
    if not entry.is_curvine:
        raise Failed(f"{point} is a {entry.fstype} mount of {entry.source}, not of Curvine")
    return entry


def ask(device: str, patience: float = _PATIENCE) -> dict[str, Any]:
    """The document of a mount's server, which may just be replaced."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(patience)
                channel.connect(_address(device))
                parts = []
                while part := channel.recv(1 << 16):
                    parts.append(part)
        except OSError as error:
            if time.monotonic() > deadline:
                raise CurvineError(
                    f"the server of the mount does not answer ({error.strerror or error}); it may "
                    "run in another network namespace, or hang: see its log, or `cv fuse abort`"
                ) from None
            time.sleep(0.05)
            continue
        if not parts:
            raise CurvineError("only root and the mount's own user may ask")
        document: dict[str, Any] = json.loads(b"".join(parts))
        return document
