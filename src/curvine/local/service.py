# SPDX-License-Identifier: Apache-2.0
"""``curvine-service ROLE ACTION``: what the scripts in ``bin/`` of an installed Curvine run.

Servers run in the background with ``$CURVINE_HOME`` as their working directory, output in
``logs/ROLE.out``, their process in ``run/ROLE.json``. Exit codes as init scripts have them: 0, 1
for a failure, 2 for wrong arguments, and ``status`` gives 3 for what is not running. Source:
control-plane specification 8.12.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGUSR1

import msgspec

from curvine.config.load import find_conf
from curvine.errors import ConfigError, CurvineError
from curvine.local import processes
from curvine.local.processes import Record

NOT_RUNNING = 3
_LOOK = 0.05  # seconds between two looks


class Role(msgspec.Struct, frozen=True):
    """One kind of process. ``ready`` stands in its output once it serves; times in seconds."""

    module: str
    ready: str
    start_patience: float = 60.0
    stop_patience: float = 30.0


ROLES = {
    "master": Role("curvine.master.run", "curvine-master ready"),
    # A worker that serves may register later: its master need not be up yet.
    "worker": Role("curvine.worker.run", "curvine-worker serving"),
    "fuse": Role("curvine.fuse.run", "curvine-fuse ready", start_patience=90.0),
    "s3-gateway": Role("curvine.s3.run", "curvine-s3-gateway ready"),
}
LOCAL_CLUSTER = ("master", "worker")
ACTIONS = ("start", "stop", "restart", "status", "reload")


class Service:
    """One role in one ``$CURVINE_HOME``."""

    def __init__(self, name: str, home: Path, say: Callable[[str], None]) -> None:
        self.name = name
        self.role = ROLES[name]
        self.home = home
        self.say = say
        self.run = home / "run"

    def record(self) -> Record | None:
        """The process, if it runs."""
        record = processes.read(self.name, self.run)
        return record if record is not None and processes.is_running(record) else None

    def start(self, arguments: Sequence[str]) -> int:
        """Start it and wait until it serves. It is fine when it runs already."""
        running = self.record()
        if running is not None:
            self.say(f"{self.name} runs already, pid {running.pid}")
            return 0
        for path in (self.run, self.home / "logs"):
            path.mkdir(parents=True, exist_ok=True)
        log = self.home / "logs" / f"{self.name}.out"
        record = processes.spawn(
            self.name, self.role.module, self._with_conf(arguments), log, os.environ
        )
        processes.save(record, self.run)
        deadline = time.monotonic() + self.role.start_patience
        while self.role.ready not in processes.log_text(record):
            if not processes.is_running(record):
                self._forget()
                self.say(f"ERROR: {self.name} ended at once; its log {log} says:")
                self.say(processes.log_tail(record))
                return 1
            if time.monotonic() > deadline:
                waited = f"{self.role.start_patience:.0f} s"
                self.say(f"ERROR: {self.name} serves not yet after {waited}; it goes on: {log}")
                return 1
            time.sleep(_LOOK)
        self.say(f"{self.name} started, pid {record.pid}, log {log}")
        return 0

    def stop(self) -> int:
        """Stop it. It is fine when it does not run."""
        record = self.record()
        if record is None:
            self.say(f"{self.name} is not running")
        else:
            processes.stop(record, self.role.stop_patience)
            self.say(f"{self.name} stopped")
        self._forget()
        return 0

    def status(self) -> int:
        """Say whether it runs."""
        record = self.record()
        self.say(f"{self.name} is not running" if record is None
                 else f"{self.name} is running, pid {record.pid}, log {record.log}")  # fmt: skip
        return 0 if record is not None else NOT_RUNNING

    def reload(self) -> int:
        """Replace the server of a mount by a new one; whoever uses the mount sees nothing of it."""
        record = self.record()
        if self.name != "fuse":
            self.say(f"ERROR: {self.name} cannot be reloaded; restart it")
            return 2
        if record is None:
            self.say("fuse is not running")
            return 1
        os.kill(record.pid, SIGUSR1)
        self.say(f"fuse (pid {record.pid}) replaces its server; see {record.log}")
        return 0

    def _with_conf(self, arguments: Sequence[str]) -> Sequence[str]:
        if any(word in ("-c", "--conf") or word.startswith("--conf=") for word in arguments):
            return arguments
        conf = find_conf(None, {**os.environ, "CURVINE_HOME": str(self.home)})
        return arguments if conf is None else ("--conf", conf, *arguments)

    def _forget(self) -> None:
        (self.run / f"{self.name}.json").unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="curvine-service")
    parser.add_argument("role", choices=(*ROLES, "local-cluster"))
    parser.add_argument("action", choices=ACTIONS)
    arguments, rest = parser.parse_known_args(argv)
    home = os.environ.get("CURVINE_HOME", "")
    try:
        if not home.startswith("/"):
            raise ConfigError("CURVINE_HOME is not set to the directory of an installed Curvine")
        os.chdir(home)
        names = LOCAL_CLUSTER if arguments.role == "local-cluster" else (arguments.role,)
        services = [Service(name, Path(home), _say) for name in names]
        return _act(services, arguments.action, rest)
    except CurvineError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


def _act(services: Sequence[Service], action: str, rest: Sequence[str]) -> int:
    code = 0
    if action in ("stop", "restart"):
        for service in reversed(services):
            code = max(code, service.stop())
    if action in ("start", "restart"):
        for service in services:
            code = code or service.start(rest)
    if action == "status":
        code = max(service.status() for service in services)
    if action == "reload":
        code = max(service.reload() for service in services)
    return code


def _say(text: str) -> None:
    stream = sys.stderr if text.startswith("ERROR:") else sys.stdout
    print(text, file=stream, flush=True)


if __name__ == "__main__":
    sys.exit(main())
