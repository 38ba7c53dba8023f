# SPDX-License-Identifier: Apache-2.0
"""Containers as Fluid's pods have them: started by crun from an image's root file system, or (in
namespaces.py) without any container tool."""

from __future__ import annotations

import abc
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Numbers of linux/capability.h. What this machine itself may not do its containers cannot either.
_NUMBERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4,
    "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_PTRACE": 19,
    "SYS_ADMIN": 21, "SYS_RESOURCE": 24, "MKNOD": 27}  # fmt: skip


def _capabilities() -> list[str]:
    status = Path("/proc/self/status").read_text()
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return [f"CAP_{name}" for name, number in _NUMBERS.items() if held >> number & 1]


_SYSTEM: tuple[dict[str, object], ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "rslave"]},
)
# crun refuses a host that has both versions of cgroups; it is shown one of them. Mounts of other
# places still propagate.
_UNIFIED = ("unshare", "-m", "--propagation=unchanged", "sh", "-c", "mount --make-rprivate /sys && "
    'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh")  # fmt: skip


# What is mounted into a container: from here, to there, with options of mount(8).
Volume = tuple[Path, str, tuple[str, ...]]
PATHS = "/opt/curvine/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Container(abc.ABC):
    """One container: privileged, on the host's network, as Fluid's chart starts it."""

    # Does its root file system come from the image (ping, telnet, the base's own programs)?
    of_image = True

    def __init__(self, name: str, where: Path) -> None:
        self.name = name
        self.log = where / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @abc.abstractmethod
    def starting(self) -> list[str]:
        """The command that runs process 1 and ends with its exit code."""

    @abc.abstractmethod
    def inside(self, *command: str) -> list[str]:
        """A command as `kubectl exec` has it."""

    def start(self) -> float:
        """Start it; the time (monotonic, seconds)."""
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self.starting(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        return time.monotonic()

    def run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command inside, as `kubectl exec` or a preStop hook has it."""
        return subprocess.run(
            self.inside(*command), capture_output=True, text=True, timeout=timeout, check=False
        )

    def must(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.output())
        return done.stdout

    def signal(self, number: signal.Signals) -> None:
        """To process 1, as kubelet stops a container."""
        os.kill(self.pids()[0], number)

    def wait(self, timeout: float = 120) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def until(self, reached: Callable[[], bool], what: str, timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < deadline, (what, self.output())
            assert self.process is not None and self.process.poll() is None, (what, self.output())
            time.sleep(0.02)

    def pids(self) -> list[int]:
        """Its processes, in the host's numbers."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            tasks = Path(f"/proc/{pid}/task/{pid}/children")
            found += [int(word) for word in tasks.read_text().split()]
        return found[1:]

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(20)


class CrunContainer(Container):
    """Started by crun from the root file system of an image."""

    def __init__(
        self,
        name: str,
        root: Path,
        where: Path,
        command: Sequence[str],
        env: dict[str, str],
        mounts: Sequence[Volume],
    ) -> None:
        super().__init__(name, where)
        self.bundle = where / name
        self.state = where / "crun"
        self.bundle.mkdir()
        volumes = [
            {"destination": at, "type": "none", "source": str(source), "options": list(options)}
            for source, at, options in mounts
        ]
        given = {"PATH": PATHS, "CURVINE_HOME": "/opt/curvine"} | env
        sets = dict.fromkeys(("bounding", "effective", "permitted"), _capabilities())
        shares = any("rshared" in options for _, _, options in mounts)
        document = {
            "ociVersion": "1.0.2",
            "root": {"path": str(root), "readonly": False},
            "process": {
                "args": list(command), "cwd": "/", "user": {"uid": 0, "gid": 0},
                "env": [f"{key}={value}" for key, value in given.items()], "capabilities": sets,
            },
            "mounts": [*_SYSTEM, *volumes],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")],
                "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
                # A mount made inside reaches the host only if the root lets it through.
                "rootfsPropagation": "rshared" if shares else "rslave",
            },
        }  # fmt: skip
        (self.bundle / "config.json").write_text(json.dumps(document))

    def crun(self, *words: str) -> list[str]:
        command = ["crun", f"--root={self.state}", "--cgroup-manager=disabled", *words]
        return [*_UNIFIED, *command] if Path("/sys/fs/cgroup/unified").exists() else command

    def starting(self) -> list[str]:
        return self.crun("run", f"--bundle={self.bundle}", self.name)

    def inside(self, *command: str) -> list[str]:
        return self.crun("exec", self.name, *command)

    def remove(self) -> None:
        super().remove()
        subprocess.run(self.crun("delete", "-f", self.name), check=False, capture_output=True)
