# SPDX-License-Identifier: Apache-2.0
"""Containers without a container tool: the kernel's namespaces and this machine's /usr.

The root has directories of its own, the image's files at /opt/curvine (made by build-image.sh) and
its links, and this machine's programs and Python, read-only.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from image.container import PATHS, Container, Volume

_ETC = ("passwd", "group", "nsswitch.conf", "hosts", "ld.so.cache", "mtab", "alternatives")
# Links of the Dockerfile.
_LINKS = {"app/curvine": "/opt/curvine", "entrypoint.sh": "/opt/curvine/entrypoint.sh",
          "fluid-entrypoint.sh": "/opt/curvine/entrypoint.sh"}  # fmt: skip
_NAMESPACES = ("--mount", "--pid", "--ipc", "--uts")


def image_files(dist: Path, where: Path) -> Path:
    """/opt/curvine of the image, made of what ``make all`` lays out."""
    build = Path(__file__).parents[2] / "curvine-docker/fluid/thin-runtime/build-image.sh"
    subprocess.run(
        [build, "--context", where], env=os.environ | {"DIST": str(dist)}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return where / "curvine"


class NamespaceContainer(Container):
    """Process 1 of its own process, mount, IPC and host name namespaces."""

    of_image = False

    def __init__(
        self,
        name: str,
        curvine: Path,
        where: Path,
        command: Sequence[str],
        env: dict[str, str],
        mounts: Sequence[Volume],
    ) -> None:
        super().__init__(name, where)
        self.root = where / name
        self._command = command
        python = Path(sys.executable).resolve()
        self._env = {
            "PATH": f"/opt/curvine/bin:{python.parent}:{PATHS}", "CURVINE_HOME": "/opt/curvine",
            "HOME": "/root",
        } | env  # fmt: skip
        self._volumes: list[Volume] = [(Path("/usr"), "/usr", ("ro",))]
        if not python.is_relative_to("/usr"):
            prefix = python.parents[1]
            self._volumes.append((prefix, str(prefix), ("ro",)))
        self._lay_out(curvine)
        self._volumes += mounts

    def _lay_out(self, curvine: Path) -> None:
        for folder in ("etc", "proc", "dev", "sys", "tmp", "root", "app", "opt/curvine", "run"):
            (self.root / folder).mkdir(parents=True)
        for folder in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if Path("/", folder).exists():
                (self.root / folder).symlink_to(f"usr/{folder}")
        for name in _ETC:
            source = Path("/etc", name)
            if source.is_dir():
                shutil.copytree(source, self.root / "etc" / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, self.root / "etc" / name)
        for path, target in _LINKS.items():
            (self.root / path).symlink_to(target)
        for path in curvine.iterdir():
            inside = Path("/opt/curvine", path.name)
            if path.name in ("lib", "bin", "sbin"):  # written to: Python keeps what it compiles
                self._volumes.append((path, str(inside), ()))
            elif path.is_dir():
                shutil.copytree(path, self.root / str(inside)[1:])
            else:
                shutil.copy(path, self.root / str(inside)[1:])

    def starting(self) -> list[str]:
        root = shlex.quote(str(self.root))
        lines = [
            "set -e",
            # Mounts below the root stay in here; those below a shared volume go out.
            f"mount --make-private $(findmnt -n -o TARGET -T {root})",
            f"mount --bind {root} {root}",
            *(f"mount --rbind /{name} {root}/{name} && mount --make-rslave {root}/{name}"
              for name in ("dev", "sys")),
            f"mount -t proc proc {root}/proc",
        ]  # fmt: skip
        for source, at, options in self._volumes:
            place = shlex.quote(f"{self.root}{at}")
            lines.append(f"mkdir -p {place}; mount --rbind {shlex.quote(str(source))} {place}")
            if "rslave" in options:
                lines.append(f"mount --make-rslave {place}")
            if "ro" in options:
                lines.append(f"mount -o remount,bind,ro {place}")
        given = [f"{key}={value}" for key, value in self._env.items()]
        words = shlex.join(["env", "-i", *given, "chroot", str(self.root), *self._command])
        script = "\n".join((*lines, f"exec {words}"))
        return ["unshare", *_NAMESPACES, "--propagation=unchanged", "--fork", "--kill-child",
            "sh", "-c", script]  # fmt: skip

    def inside(self, *command: str) -> list[str]:
        given = [f"{key}={value}" for key, value in self._env.items()]
        enter = ["nsenter", f"--target={self.pids()[0]}", *_NAMESPACES, "--root"]
        return [*enter, "env", "-i", "--chdir=/", *given, *command]
