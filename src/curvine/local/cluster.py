# SPDX-License-Identifier: Apache-2.0
"""An embedded cluster: master, worker, optional mount and S3 gateway as separate processes.

``up`` starts what is missing and waits until everything answers; ``down`` stops in the opposite
order and never deletes data (decision 29).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

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
    "s3-gateway": "curvine.s3.run",
}
S3_READY = "curvine-s3-gateway ready http="
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
        self,
        mount: str | None,
        data_dirs: tuple[str, ...] = (),
        standard_ports: bool = True,
        s3: str | None = None,
    ) -> tuple[Record, ...]:
        """Start what is missing; return what was started once everything answers.

        When something does not come up, what this call started is stopped again.
        """
        self.home.prepare(data_dirs, standard_ports)
        target = os.path.abspath(mount) if mount is not None else None
        self._check_mount(target)
        started: list[Record] = []
        try:
            self._start(started, "master", (), "curvine-master ready")
            self._start(started, "worker", (), "worker register success")
            self._wait(self._workers_live, "the worker to register")
            if target is not None:
                arguments = ("--mnt-path", target, "--fs-path", "/")
                self._start(started, "fuse", arguments, "curvine-fuse ready")
            if s3 is not None:
                listen = ("--listen", s3) if s3 else ()
                self._start(started, "s3-gateway", listen, S3_READY)
        except BaseException:
            for record in reversed(started):
                self._stop(record)
            raise
        return tuple(started)

    def down(self) -> tuple[str, ...]:
        """Stop everything, the mount first; the names of what was running."""
        stopped = []
        for role in reversed(ROLES):
            record = processes.read(role, self.home.run)
            if record is not None and self._stop(record):
                stopped.append(role)
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
                    addresses.get(role) or _address(record),
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

    def _start(
        self, started: list[Record], role: str, arguments: tuple[str, ...], ready: str
    ) -> None:
        """Start a role that is not running, and wait until it says ``ready`` in its log."""
        record = processes.read(role, self.home.run)
        if record is not None and processes.is_running(record):
            return
        fresh = processes.spawn(
            role,
            MODULES[role],
            ("--conf", str(self.home.conf), *arguments),
            self.home.logs / f"{role}.log",
            os.environ,
        )
        processes.save(fresh, self.home.run)
        started.append(fresh)
        self._wait(lambda: ready in processes.log_text(fresh), f"the {role} to say that it serves")

    def _stop(self, record: Record) -> bool:
        """Stop a recorded process and forget it; False when it was gone already."""
        stopped = processes.stop(record, STOP_PATIENCE)
        (self.home.run / f"{record.role}.json").unlink(missing_ok=True)
        return stopped

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not ready():
            dead = self.dead()
            if dead is not None:
                raise CurvineError(self._why(dead))
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"waited {START_PATIENCE:.0f} s for {what}; logs are in {self.home.logs}"
                )
            time.sleep(_LOOK)

    def _why(self, dead: Record) -> str:
        said = processes.log_tail(dead)
        text = f"the {dead.role} ended at once; its log {dead.log} says:\n{said}"
        if "Address already in use" in said:
            text += (
                "\nAnother program uses that port: `ss -ltnp` tells which. Stop it, or choose "
                f"another port in {self.home.conf}"
            )
        return text

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


def _address(record: Record) -> str:
    """Where a recorded mount or gateway is."""
    if record.role == "fuse":
        return mount_path(record)
    return (processes.log_text(record).rpartition(S3_READY)[2].split() or [""])[0]


def mount_path(record: Record) -> str:
    """The mount point in the arguments of a recorded mount."""
    return record.argv[record.argv.index("--mnt-path") + 1]
