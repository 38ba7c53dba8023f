# SPDX-License-Identifier: Apache-2.0
"""The directory of an embedded cluster: what lies where, and its first configuration.

::

    DIR/curvine-cluster.toml   addresses and sizes; edit it as you like, it is written only once
    DIR/meta                   the master's metadata
    DIR/data                   the worker's blocks
    DIR/logs, DIR/run          output and pids of the processes
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import msgspec

from curvine.errors import ConfigError

ROLES = ("master", "worker", "fuse", "s3-gateway")
STANDARD_PORTS = (8995, 8996, 8997, 9001, 9002, 9003)
_LOOPBACK = "127.0.0.1"


class Home(msgspec.Struct, frozen=True):
    """Paths below one directory."""

    directory: Path

    @property
    def conf(self) -> Path:
        return self.directory / "curvine-cluster.toml"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def prepare(self, data_dirs: tuple[str, ...] = (), standard_ports: bool = True) -> None:
        """Make the directories, and the configuration if there is none yet."""
        for path in (self.directory, self.run, self.logs, self.directory / "meta"):
            path.mkdir(parents=True, exist_ok=True)
        if not self.conf.exists():
            partial = self.conf.with_suffix(".tmp")
            partial.write_text(
                first_configuration(self.directory, choose_ports(standard_ports), data_dirs)
            )
            partial.replace(self.conf)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory; ConfigError when another `cv up` or `cv down` is at it."""
        self.run.mkdir(parents=True, exist_ok=True)
        with open(self.run / "lock", "w") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another `cv up` or `cv down` is working in {self.directory}; "
                    "wait for it, or give another --dir"
                ) from error
            yield


def choose_ports(standard: bool = True) -> tuple[int, ...]:
    """The standard ports if wanted and all are free, else as many free ones (decision 29)."""
    if standard:
        with ExitStack() as held:
            try:
                for port in STANDARD_PORTS:
                    held.enter_context(_bound(port))
                return STANDARD_PORTS
            except OSError:
                pass
    with ExitStack() as held:
        return tuple(held.enter_context(_bound(0)).getsockname()[1] for _ in STANDARD_PORTS)


def first_configuration(
    directory: Path, ports: tuple[int, ...], data_dirs: tuple[str, ...] = ()
) -> str:
    """The text of curvine-cluster.toml for a cluster on this machine alone."""
    rpc, journal, worker, master_web, worker_web, fuse_web = ports
    entries = data_dirs or (f"[DISK]{directory / 'data'}",)
    return f"""\
# Written by `cv up` once; yours to edit from now on. `cv up` again starts what is missing.
format_master = false
format_worker = false
testing = false
cluster_id = "curvine"

[master]
hostname = "{_LOOPBACK}"
rpc_port = {rpc}
web_port = {master_web}
meta_dir = {_quoted(directory / "meta")}

[journal]
hostname = "{_LOOPBACK}"
rpc_port = {journal}
journal_addrs = [{{ id = 1, hostname = "{_LOOPBACK}", port = {journal} }}]

[worker]
hostname = "{_LOOPBACK}"
rpc_port = {worker}
web_port = {worker_web}
data_dir = [{", ".join(_quoted(entry) for entry in entries)}]

[client]
hostname = "{_LOOPBACK}"
master_addrs = [{{ hostname = "{_LOOPBACK}", port = {rpc} }}]

[fuse]
web_port = {fuse_web}
"""


def _quoted(value: object) -> str:
    """A TOML basic string; JSON's escapes are TOML's as well."""
    return msgspec.json.encode(os.fspath(value) if isinstance(value, Path) else value).decode()


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((_LOOPBACK, port))
        yield sock
