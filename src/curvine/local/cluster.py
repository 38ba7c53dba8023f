# SPDX-License-Identifier: Apache-2.0
"""An embedded cluster: master, worker and an optional mount as separate processes.

``up`` starts what is missing and waits until everything answers; ``down`` stops in the opposite
order and never deletes data (decision 29).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from curvine.client.cluster import ClusterClient
from curvine.config.load import auth_environment, load
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError, CurvineError, TimedOut
from curvine.local import processes
from curvine.local.home import ROLES, Home
from curvine.local.processes import Record

MODULES = {
    "master": "curvine.master.run",
    "worker": "curvine.worker.run",
    "fuse": "curvine.fuse.run",
}
START_PATIENCE = 60.0  # seconds until a cluster must answer
STOP_PATIENCE = 20.0  # seconds until SIGKILL
_LOOK = 0.1  # seconds between two looks


class RoleState(msgspec.Struct, frozen=True):
    """One line of `cv status`."""

    role: str
    state: str  # running, stopped, died
    pid: int | None
    address: str
    log: str


class Cluster:
    """The processes of one :class:`Home`."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def up(
        self, mount: str | None, data_dirs: tuple[str, ...] = (), standard_ports: bool = True
    ) -> tuple[Record, ...]:
        """Start what is missing; return what was started once everything answers."""
        self.home.prepare(data_dirs, standard_ports)
        target = os.path.abspath(mount) if mount is not None else None
        self._check_mount(target)
        started = [self._start("master", ()), self._start("worker", ())]
        self._wait(self._workers_live, "the worker to register")
        if target is not None:
            arguments = ("--mnt-path", target, "--fs-path", "/")
            started.append(self._start("fuse", arguments))
            self._wait(lambda: is_mounted(target), f"the mount at {target}")
        return tuple(record for record in started if record is not None)

    def down(self) -> tuple[str, ...]:
        """Stop everything, the mount first; the names of what was running."""
        stopped = []
        for role in reversed(ROLES):
            record = processes.read(role, self.home.run)
            if record is not None:
                if processes.stop(record, STOP_PATIENCE):
                    stopped.append(role)
                (self.home.run / f"{role}.json").unlink(missing_ok=True)
        return tuple(stopped)

    def states(self) -> tuple[RoleState, ...]:
        """What is running. An empty tuple when there never was a cluster here."""
        if not self.home.conf.exists():
            return ()
        conf = self.conf()
        addresses = {
            "master": f"{conf.master.hostname}:{conf.master.rpc_port}",
            "worker": f"{conf.worker.hostname}:{conf.worker.rpc_port}",
        }
        rows = []
        for role in ROLES:
            record = processes.read(role, self.home.run)
            if record is None:
                if role in addresses:
                    rows.append(RoleState(role, "stopped", None, addresses[role], ""))
                continue
            running = processes.is_running(record)
            rows.append(
                RoleState(
                    role,
                    "running" if running else "died",
                    record.pid if running else None,
                    addresses.get(role) or mount_path(record),
                    record.log,
                )
            )
        return tuple(rows)

    def conf(self) -> ClusterConf:
        """The configuration in the directory."""
        return load(str(self.home.conf), env=auth_environment(os.environ)).conf

    def dead(self) -> Record | None:
        """A recorded process that is not running any more."""
        for role in ROLES:
            record = processes.read(role, self.home.run)
            if record is not None and not processes.is_running(record):
                return record
        return None

    def _check_mount(self, target: str | None) -> None:
        record = processes.read("fuse", self.home.run)
        if target is None or record is None or not processes.is_running(record):
            return
        if mount_path(record) != target:
            raise ConfigError(
                f"this cluster is mounted at {mount_path(record)} already; "
                "run `cv down` first, or mount it once more with curvine-fuse --mnt-path"
            )

    def _start(self, role: str, arguments: tuple[str, ...]) -> Record | None:
        record = processes.read(role, self.home.run)
        if record is not None and processes.is_running(record):
            return None
        record = processes.spawn(
            role,
            MODULES[role],
            ("--conf", str(self.home.conf), *arguments),
            self.home.logs / f"{role}.log",
            os.environ,
        )
        processes.save(record, self.home.run)
        return record

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not ready():
            dead = self.dead()
            if dead is not None:
                raise CurvineError(
                    f"the {dead.role} ended at once; its log {dead.log} says:\n"
                    f"{processes.log_tail(dead)}"
                )
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"waited {START_PATIENCE:.0f} s for {what}; logs are in {self.home.logs}"
                )
            time.sleep(_LOOK)

    def _workers_live(self) -> bool:
        conf = load(
            str(self.home.conf),
            env=auth_environment(os.environ),
            overrides={
                "client.rpc_retry_max_duration_ms": 200,
                "client.conn_timeout_ms": 1000,
                "client.rpc_timeout_ms": 2000,
            },
        ).conf

        async def look() -> bool:
            async with ClusterClient(conf, component="cli") as cluster:
                return bool((await cluster.admin.filesystem_info()).live_workers)

        try:
            return asyncio.run(look())
        except CurvineError:
            return False


def mount_path(record: Record) -> str:
    """The mount point in the arguments of a recorded mount."""
    return record.argv[record.argv.index("--mnt-path") + 1]


def is_mounted(target: str) -> bool:
    """Whether a FUSE file system is mounted at ``target`` (without touching it)."""
    wanted = target.encode().replace(b"\\", b"\\134").replace(b" ", b"\\040")
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        left, _, right = line.partition(b" - ")
        if left.split(b" ")[4] == wanted and right.startswith(b"fuse"):
            return True
    return False
