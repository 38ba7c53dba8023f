# SPDX-License-Identifier: Apache-2.0
"""``make all``: a directory that runs on any machine with Python and nothing else.

Takes the wheels that the lock file pins, for every Python asked for, and lays them out beside small
programs::

    bin/  cv and the start scripts         lib/  curvine-master, curvine-worker, ...
    conf/ a sample configuration           lib/python/  common, cp311, cp312, ...

What serves every Python (pure, or of the stable ABI) lies once in ``common``. Wheels are kept in
``build/wheels``, so a second run fetches nothing. The result takes the place of the old one as a
whole.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import parse_wheel_filename

TOP = Path(__file__).resolve().parents[1]
LOCK = TOP / "requirements-dist.lock"
SKELETON = TOP / "distribution" / "skeleton"

# Program -> module with main(). A module that is not there (yet) has no program.
PROGRAMS = {
    "lib/curvine-master": "curvine.master.run",
    "lib/curvine-worker": "curvine.worker.run",
    "lib/curvine-fuse": "curvine.fuse.run",
    "lib/curvine-server": "curvine.local.server",
    "lib/curvine-service": "curvine.local.service",
    "lib/curvine-s3-gateway": "curvine.s3.run",
    "sbin/mount.fuse.curvine": "curvine.fuse.mounthelper",
    "bin/cv": "curvine.cli.main",
    "bin/fluid-config-parse": "curvine.fluid.parse_main",
    "bin/curvine-generate-config": "curvine.fluid.cache_config",
    "bin/curvine-ready": "curvine.fluid.ready",
    "bin/curvine-umount": "curvine.fluid.umount",
}
_SHIM = """\
#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
import os
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib", "python"))
import curvine_entry

curvine_entry.run("{module}")
"""
_GLIBC = range(5, 29)  # manylinux_2_5 to manylinux_2_28: Debian 10, RHEL 8 and whatever is newer


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Lay out a Curvine that runs by itself.")
    parser.add_argument("--output", type=Path, default=TOP / "build" / "dist")
    parser.add_argument("--pythons", nargs="+", default=[running()], metavar="3.N")
    parser.add_argument("--machine", default=platform.machine())
    parser.add_argument("--wheels", type=Path, default=TOP / "build" / "wheels")
    arguments = parser.parse_args()
    pythons = [running() if name == "running" else name for name in arguments.pythons]
    for python in pythons:
        if not re.fullmatch(r"3\.1[1-9]", python):
            parser.error(f"{python} is not a version such as 3.12 (3.11 is the oldest)")
    pythons.sort(key=lambda python: (python != running(), python))
    fresh = arguments.output.with_name(f".{arguments.output.name}-{os.getpid()}")
    try:
        lay_out(fresh, dict.fromkeys(pythons), arguments.machine, arguments.wheels)
        replace(fresh, arguments.output)
    except subprocess.CalledProcessError as error:
        print(f"ERROR: {error.cmd[3]} failed; its message is above", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    size = sum(path.stat().st_size for path in arguments.output.rglob("*") if path.is_file())
    print(f"{arguments.output}: {size / 1e6:.0f} MB, for Python {', '.join(sorted(pythons))}")
    return 0


def running() -> str:
    """The version of this interpreter, as in "3.11"."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def lay_out(output: Path, pythons: Iterable[str], machine: str, cache: Path) -> None:
    """Everything, into a directory that does not exist yet."""
    shutil.copytree(SKELETON, output)
    library = output / "lib" / "python"
    own = build_own_wheel(cache)
    wheels = {python: [*fetch(python, machine, cache), own] for python in pythons}
    shared = set.intersection(*({wheel.name for wheel in found} for found in wheels.values()))
    for python, found in wheels.items():
        (library / f"cp{python.replace('.', '')}").mkdir()
        for wheel in found:
            unpack(wheel, library / home_of(wheel, python, shared))
    (library / "MACHINE").write_text(f"{machine}\n")
    for program, module in PROGRAMS.items():
        source = library / "common" / (module.replace(".", "/") + ".py")
        if source.exists():
            write_program(output / program, module)
    shutil.copy(TOP / "LICENSE", output / "LICENSE")
    for folder in (output / "bin").iterdir():
        folder.chmod(0o755)


def fetch(python: str, machine: str, cache: Path) -> list[Path]:
    """The wheels that the lock file pins, for this Python and machine."""
    wanted = requirements(python, machine)
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    folder = cache / f"{python}-{machine}-{digest}"
    complete = folder / "complete"
    if not complete.exists():
        print(f"Fetching the wheels for Python {python} on {machine} ...", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "requirements.txt").write_text(wanted)
        tags = [f"--platform=manylinux_2_{minor}_{machine}" for minor in reversed(_GLIBC)]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={python}",
             "--implementation=cp", f"--platform=manylinux2014_{machine}", *tags,
             f"--dest={folder}", f"--requirement={folder / 'requirements.txt'}"],
            check=True,
        )  # fmt: skip
        complete.touch()
    return sorted(folder.glob("*.whl"))


def requirements(python: str, machine: str) -> str:
    """The lines of the lock file that hold for this Python, without their conditions."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
    }
    kept = []
    for requirement in _entries(LOCK.read_text()):
        first, *hashes = requirement.splitlines()
        name, semicolon, condition = first.rstrip(" \\").partition(";")
        if not semicolon or Marker(condition.strip()).evaluate(environment):
            kept.append("\n".join((f"{name.strip()} \\", *hashes)))
    return "\n".join(kept) + "\n"


def _entries(lock: str) -> Iterator[str]:
    """Each requirement with the lines of its hashes."""
    lines: list[str] = []
    for line in lock.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if not line.startswith(" ") and lines:
            yield "\n".join(lines)
            lines = []
        lines.append(line)
    if lines:
        yield "\n".join(lines)


def build_own_wheel(cache: Path) -> Path:
    """Our own wheel, built from the sources as they are."""
    folder = cache / "own"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(TOP)],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


def home_of(wheel: Path, python: str, shared: Collection[str]) -> str:
    """Where a wheel's content goes: "common", or a directory of one Python.

    ``shared``: names of wheels that are the same for all. One for the stable ABI of a later Python
    (cp313-abi3) does not load in an earlier one, which has another wheel of the same project.
    """
    for tag in parse_wheel_filename(wheel.name)[3]:
        if tag.abi not in ("none", "abi3"):
            return tag.interpreter
    return "common" if wheel.name in shared else f"cp{python.replace('.', '')}"


def unpack(wheel: Path, target: Path) -> None:
    """Install a wheel as pip would, without scripts and without compiling."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename
            head, _, rest = name.partition("/")
            if head.endswith(".data"):  # name-version.data/purelib/..., /scripts/...
                kind, _, name = rest.partition("/")
                if kind not in ("purelib", "platlib"):
                    continue
            path = target / name
            if entry.is_dir() or not path.resolve().is_relative_to(target.resolve()):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry))


def write_program(path: Path, module: str) -> None:
    """A program that runs a module."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(_SHIM.format(module=module))
    path.chmod(0o755)


def replace(fresh: Path, output: Path) -> None:
    """Put the new directory in place of the old one."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        old = output.with_name(f".{output.name}-old-{os.getpid()}")
        output.rename(old)
        fresh.rename(output)
        shutil.rmtree(old)
    else:
        fresh.rename(output)


if __name__ == "__main__":
    sys.exit(main())
