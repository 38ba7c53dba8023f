# SPDX-License-Identifier: Apache-2.0
"""``mount -t fuse.curvine SOURCE DIRECTORY``: what mount(8) and /etc/fstab call.

SOURCE is ``HOST:PORT[,HOST:PORT...][/PATH]`` (PATH is the directory of the cluster to show), or the
path of a configuration file, or ``none`` where -o conf=FILE tells. Options of curvine-fuse go
through; ``conf=``, ``fs_path=``, ``log=`` and ``fuse.KEY=`` or ``client.KEY=`` are taken as keys.
Returns when the mount is there; curvine-fuse goes on in the background. Source: mount(8), section
"External helpers".
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from curvine.fuse import mount

_FAILED, _USAGE = 32, 1  # exit codes of mount(8)
_FIRST_ANSWER = 12.0  # seconds: the supervisor's own look at a new mount ends after 10
_PATIENCE = 90.0  # seconds: curvine-fuse itself gives up on absent masters after 60
_FOR_FSTAB = ("auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail",
    "defaults", "rw", "remount")  # fmt: skip


class Wanted(NamedTuple):
    """A parsed command line."""

    source: str
    target: str
    flags: tuple[str, ...]  # of curvine-fuse
    options: tuple[str, ...]  # words of its -o
    log: str


def _usage(text: str) -> NoReturn:
    print(f"mount.fuse.curvine: {text}", file=sys.stderr)
    print("usage: mount.fuse.curvine HOST:PORT[/PATH] DIRECTORY [-o OPTIONS]", file=sys.stderr)
    raise SystemExit(_USAGE)


def parse(argv: Sequence[str]) -> Wanted:
    """From ``SOURCE DIRECTORY [-sfnvr] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]``."""
    places: list[str] = []
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "-o":
            words += next(rest, "").split(",")
        elif word in ("-N", "-t"):
            next(rest, "")
        elif word == "-r":
            words.append("ro")
        elif word.startswith("-") and set(word[1:]) <= set("sfnvw") and len(word) > 1:
            continue
        elif word.startswith("-"):
            _usage(f"unknown option {word}")
        else:
            places.append(word)
    if len(places) != 2:
        _usage("a source and a directory are needed")
    return _wanted(places[0], places[1], words)


def _wanted(source: str, target: str, words: Sequence[str]) -> Wanted:
    flags: list[str] = []
    options = [f"fsname={source}"]
    log = ""
    for word in words:
        name, equals, value = word.partition("=")
        if not word or name in _FOR_FSTAB or name.startswith("x-") or name == "comment":
            continue
        if name == "log":
            log = value
        elif name == "conf":
            flags += ["--conf", value]
        elif name == "fs_path":
            flags += ["--fs-path", value]
        elif equals and name.startswith(("fuse.", "client.")):
            flags.append(f"--{name}={value}")
        elif word == "ro":
            flags.append("--readonly=true")
        else:
            options.append(word)
    if os.path.isabs(source):
        flags += ["--conf", source]
    elif ":" in source:
        masters, slash, path = source.partition("/")
        flags += ["--master-addrs", masters]
        if slash:
            flags += ["--fs-path", f"/{path}"]
    return Wanted(source, target, tuple(flags), tuple(options), log)


def command(wanted: Wanted) -> list[str]:
    """The curvine-fuse to start."""
    words = [sys.executable, "-m", "curvine.fuse.run", "--mnt-path", wanted.target, *wanted.flags]
    for option in wanted.options:
        words += ["-o", option]
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: start curvine-fuse, wait for the mount."""
    wanted = parse(sys.argv[1:] if argv is None else argv)
    before = mount.topmost(mount.canonical(wanted.target))
    sink = open(wanted.log, "ab") if wanted.log else tempfile.TemporaryFile()  # noqa: SIM115  # it is the child's, too
    with sink:
        begin = sink.tell()  # what an earlier mount said stands before this
        child = subprocess.Popen(
            command(wanted), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
            start_new_session=True, cwd="/",
        )  # fmt: skip
        # Opened anew: the child's descriptor and its offset stay its own.
        said = os.open(wanted.log or f"/proc/self/fd/{sink.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        deadline, seen = time.monotonic() + _PATIENCE, 0.0
        while time.monotonic() < deadline:
            entry = mount.topmost(mount.canonical(wanted.target))
            if entry is not None and entry.is_curvine and entry != before:
                seen = seen or time.monotonic()
                if time.monotonic() > seen + _FIRST_ANSWER or _is_ready(said, begin):
                    return 0
            if child.poll() is not None:
                break
            time.sleep(0.02)
        else:
            child.terminate()
        return _explain(sink.name if wanted.log else sink.fileno())


def _is_ready(said: int, begin: int) -> bool:
    """Whether the mount has answered its first statfs: an umount before that would be EBUSY."""
    return b"curvine-fuse ready mnt=" in os.pread(said, 1 << 20, begin)


def _explain(log: str | int) -> int:
    """Say what curvine-fuse said last."""
    with open(os.dup(log) if isinstance(log, int) else log, "rb") as said:
        said.seek(0)
        lines = said.read()[-4000:].decode(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-3:]
    print("\n".join(f"mount.fuse.curvine: {line}" for line in errors), file=sys.stderr)
    return _FAILED


if __name__ == "__main__":
    sys.exit(main())
