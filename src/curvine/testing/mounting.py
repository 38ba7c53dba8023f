# SPDX-License-Identifier: Apache-2.0
"""A real mount for tests: ``curvine-fuse`` as a process of its own.

Look at the mount only from other processes, with a time-out: a page fault on a mount whose server
is this process's victim cannot be killed (decision 20). Time-outs are seconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
_MNT_DETACH = 2


def mount_line(target: Path) -> str | None:
    """The line of /proc/self/mounts for ``target``, None when nothing is mounted there."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.split(" ")[1] == str(target):
            return line
    return None


class MiniMount:
    """``curvine-fuse`` with ``--conf conf`` on ``target``; use it as a context."""

    def __init__(
        self,
        conf: Path,
        target: Path,
        *,
        fs_path: str = "/",
        arguments: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        self.target = target
        self.log = log or target.with_name(target.name + ".log")
        self._argv = [
            sys.executable,
            "-m",
            "curvine.fuse.run",
            "--conf",
            str(conf),
            "--mnt-path",
            str(target),
            "--fs-path",
            fs_path,
            *arguments,
        ]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        if self._child is None:
            raise RuntimeError("curvine-fuse is not running")
        return self._child.pid

    def server_pids(self) -> list[int]:
        """The process ids of the supervisor's children."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def start(self) -> MiniMount:
        """Start and wait until the mount is there."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("CURVINE_", "FLUID_"))}
        with self.log.open("ab") as sink:
            self._child = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environ
            )
        deadline = time.monotonic() + START_TIMEOUT
        while mount_line(self.target) is None:
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"no mount appeared:\n{self.output()[-4000:]}")
            time.sleep(0.02)
        return self

    def output(self) -> str:
        """What curvine-fuse has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self) -> int:
        """SIGTERM, then SIGKILL and a lazy unmount of what is left; the exit code."""
        child = self._child
        if child is None:
            return 0
        children = [] if child.poll() is not None else self.server_pids()
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                for pid in children:
                    _kill(pid)
        code = child.wait()
        if mount_line(self.target) is not None:
            ctypes.CDLL(None).umount2(os.fsencode(self.target), _MNT_DETACH)
        self._child = None
        return code

    def __enter__(self) -> MiniMount:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
