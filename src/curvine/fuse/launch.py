# SPDX-License-Identifier: Apache-2.0
"""What the supervisor and its server say to each other: one JSON object a message.

A ``Plan`` goes from ``curvine-fuse`` (which knows the configuration) to the supervisor (which knows
nothing else). A server gets a ``Launch`` through a descriptor, then both talk over a socket pair
(sequenced packets): ``ready`` (or ``failed``), answered by ``go``. Times in seconds. Standard
library only: the supervisor imports this.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from curvine.fuse.abi.negotiation import Negotiated, Wanted

_MESSAGE_LIMIT = 64 << 10


class MountPlan(NamedTuple):
    """The mount to make; descriptions of fields stand in ``fuse.mount``."""

    target: str
    fstype: str = "curvinefs"  # without "fuse."
    source: str = "curvinefs"
    flags: int = 0  # MS_...
    data: tuple[str, ...] = ()  # further options of the file system, e.g. allow_other
    number: int = 1  # n > 1: target/mnt-0 ... mnt-(n-1), one tree seen n times
    stack: bool = False  # over a healthy foreign mount or a directory with files (Fluid)


class Plan(NamedTuple):
    """Everything the supervisor needs."""

    mount: MountPlan
    server: tuple[str, ...]  # command line; --launch-fd N is appended
    conf: dict[str, Any]  # for the server, not read here
    devices: int = 1
    stop_timeout: float = 20.0
    max_restarts: int = 10  # within restart_window
    restart_window: float = 60.0
    resend: bool = True  # False: a crash ends in detach and remount, as below kernel 6.9


class Launch(NamedTuple):
    """What one server process gets."""

    device_fds: tuple[int, ...]
    table_fd: int
    control_fd: int
    restarts: int  # how many servers of this mount have died before
    mount: MountPlan
    conf: dict[str, Any]


def put_document(value: NamedTuple | Plan | Launch, name: str) -> int:
    """A value as JSON in a memfd that a child may inherit."""
    fd = os.memfd_create(name, 0)
    os.write(fd, json.dumps(value._asdict()).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _take_document(fd: int) -> dict[str, Any]:
    with os.fdopen(fd, "rb") as stream:
        stream.seek(0)
        document: dict[str, Any] = json.loads(stream.read())
    return document


def _mount_plan(fields: Sequence[Any]) -> MountPlan:
    plan = MountPlan._make(fields)
    return plan._replace(data=tuple(plan.data))


def take_plan(fd: int) -> Plan:
    """The plan in ``fd``, which is closed."""
    fields = _take_document(fd)
    plan = Plan(**fields)
    return plan._replace(mount=_mount_plan(fields["mount"]), server=tuple(plan.server))


def take_launch(fd: int) -> Launch:
    """The launch in ``fd``, which is closed."""
    fields = _take_document(fd)
    launch = Launch(**fields)
    return launch._replace(mount=_mount_plan(fields["mount"]), device_fds=tuple(launch.device_fds))


def send(channel: socket.socket, **message: Any) -> None:
    channel.sendall(json.dumps(message).encode())


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next message; None: the other side is gone."""
    try:
        data = channel.recv(_MESSAGE_LIMIT)
    except ConnectionError:
        return None
    if not data:
        return None
    message: dict[str, Any] = json.loads(data)
    return message


class SupervisorGone(Exception):
    """The supervisor ended while its server was starting."""


class SupervisorLink:
    """The server's end."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._channel = socket.socket(fileno=launch.control_fd)
        self.device = ""  # the mount's device number, "major:minor", once it is there

    @classmethod
    def from_argv(cls, argv: Sequence[str]) -> SupervisorLink:
        """From ``--launch-fd N`` at the end of the command line."""
        return cls(take_launch(int(argv[list(argv).index("--launch-fd") + 1])))

    def ready(self, *, read_ahead_kb: int | None = None, **wanted: int) -> Negotiated:
        """Say that requests can be served; returns once the mount is there.

        ``wanted`` are fields of ``negotiation.Wanted`` that differ from its defaults; they count at
        the first start only. ``read_ahead_kb`` raises the mount's read-ahead (128 KiB otherwise).
        """
        unknown = set(wanted) - set(Wanted._fields)
        if unknown:
            raise TypeError(f"not a field of Wanted: {', '.join(sorted(unknown))}")
        send(self._channel, event="ready", wanted=wanted, read_ahead_kb=read_ahead_kb)
        answer = receive(self._channel)
        if answer is None:
            raise SupervisorGone
        self.device = str(answer.get("device", ""))
        return Negotiated._make(answer["negotiated"])

    def failed(self, text: str) -> None:
        """The mount cannot be served: the supervisor prints ``ERROR: text`` and ends with 1."""
        send(self._channel, event="failed", text=text[:4096])

    def fileno(self) -> int:
        """Becomes readable (end of file) when the supervisor is gone."""
        return self._channel.fileno()

    def close(self) -> None:
        self._channel.close()
