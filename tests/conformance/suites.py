# SPDX-License-Identifier: Apache-2.0
"""How each public suite is run and its output read; see ``run``."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path

from curvine.testing.mounting import MiniMount

_ONE_TEST = 300  # seconds
_LTP_GROUPS = ("fs_perms_simple", "fs_bind", "fs", "syscalls")
# Of LTP's syscalls those that are about files and directories.
_ABOUT_FILES = re.compile(
    r"^(access|chdir|chmod|chown|close|copy_file_range|creat|dup|faccessat|fallocate|fchdir|fchmod"
    r"|fchown|fcntl|fdatasync|fgetxattr|flistxattr|flock|fremovexattr|fsetxattr|fstat|fsync"
    r"|ftruncate|futimesat|getcwd|getdents|getxattr|lchown|lgetxattr|link|listxattr|llistxattr"
    r"|llseek|lremovexattr|lseek|lstat|mkdir|mknod|mmap|msync|open|pread|pwrite|read|removexattr"
    r"|rename|rmdir|sendfile|setxattr|splice|stat|symlink|sync|truncate|umask|unlink|utime"
    r"|vmsplice|write)"
)
# Hours of growing files by one program, tests of other file systems, of the kernel's own files and
# of pipes (fcntl35: how many root may have).
_NOT_OURS = re.compile(
    r"^(gf\d|rwtest|iogen|proc01|read_all|isofs|binfmt|squashfs|quota|fs_fill|fs_racer|readahead02"
    r"|fcntl35)"
)
# Tests that make a file system of each kind on a loop device say nothing about the mount: one kind.
_OWN_FILE_SYSTEM = "tmpfs"


class Outcome(Enum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


Verdicts = dict[str, Outcome]


def _run(
    words: list[str], where: Path, timeout: float = _ONE_TEST, **environ: str
) -> tuple[int, str]:
    """Exit code (124: no end in time) and output. The program itself enters the mount."""
    inside = ["timeout", "-k", "5", str(timeout), "sh", "-c", 'cd "$M" && exec "$@"', "sh", *words]
    done = subprocess.run(
        inside, env={**os.environ, "M": str(where), **environ}, cwd="/", check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout


def _directory(mount: MiniMount, name: str, mode: str = "777") -> Path:
    path = mount.target / name
    script = f"mkdir -p {shlex.quote(name)} && chmod {mode} {shlex.quote(name)}"
    code, said = _run(["sh", "-c", script], mount.target)
    if code:
        raise SystemExit(f"ERROR: cannot make {path}: {said}")
    return path


def pjdfstest(suite: Path, mount: MiniMount, only: str) -> Verdicts:
    """Every assertion of every script: "chown/00.t 17"."""
    where = _directory(mount, "pjdfstest", "755")
    verdicts: Verdicts = {}
    for script in sorted((suite / "tests").glob("*/*.t")):
        name = f"{script.parent.name}/{script.name}"
        if only and only not in name:
            continue
        code, said = _run(["sh", str(script)], where)
        seen = 0
        for line in said.splitlines():
            match = re.match(r"(not )?ok (\d+)(.*)", line)
            if match is None:
                continue
            seen += 1
            failed = match[1] and "TODO" not in match[3]
            verdicts[f"{name} {match[2]}"] = Outcome.FAILED if failed else Outcome.PASSED
        plan = re.search(r"^1\.\.(\d+)", said, re.MULTILINE)
        if code or plan is None or int(plan[1]) != seen:
            skipped = plan is not None and plan[1] == "0"
            verdicts[name] = Outcome.SKIPPED if skipped else Outcome.FAILED
        print(f"  {name}: {seen}", file=sys.stderr)
    return verdicts


def ltp(suite: Path, mount: MiniMount, only: str) -> Verdicts:
    """Every line of the groups: "syscalls open01"."""
    verdicts: Verdicts = {}
    binaries = suite / "testcases/bin"
    path = f"{binaries}:{os.environ['PATH']}"
    for group in _LTP_GROUPS:
        for line in (suite / "runtest" / group).read_text().splitlines():
            tag, _, command = line.strip().partition(" ")
            about = group != "syscalls" or _ABOUT_FILES.match(tag)
            if not command or tag.startswith("#") or not about or _NOT_OURS.match(tag):
                continue
            if (only and only not in tag) or not (binaries / command.split()[0]).exists():
                continue
            where = _directory(mount, f"ltp-{tag}")
            code, said = _run(
                ["sh", "-c", command], where,
                LTPROOT=str(suite), PATH=path, TMPDIR=str(where), TMP=str(where),
                LTP_COLORIZE_OUTPUT="0", LTP_SINGLE_FS_TYPE=_OWN_FILE_SYSTEM,
            )  # fmt: skip
            outcome = Outcome.PASSED if code == 0 else Outcome.FAILED
            if code == 32:
                outcome = Outcome.SKIPPED
            verdicts[f"{group} {tag}"] = outcome
            print(f"  {group} {tag}: {outcome.value}", file=sys.stderr, flush=True)
            if outcome is Outcome.FAILED:
                print("\n".join(said.splitlines()[-15:]), file=sys.stderr, flush=True)
            _run(["sh", "-c", f"rm -rf {shlex.quote(str(where))}"], mount.target)
    return verdicts


def xfstests(suite: Path, mount: MiniMount, only: str) -> Verdicts:
    """The generic quick group: "generic/001"; mounts are made by mount(8) and our helper."""
    if not any(Path(d, "mount.fuse.curvinefs").exists() for d in ("/sbin", "/usr/sbin")):
        raise SystemExit("ERROR: xfstests mounts by mount(8): link mount.fuse.curvinefs into /sbin")
    masters = os.environ["CURVINE_MASTERS"]
    base = mount.target.parent
    places = {}
    for kind in ("test", "scratch"):
        _directory(mount, f"xfs-{kind}")
        places[kind] = base / f"xfs-{kind}"
        places[kind].mkdir(exist_ok=True)
    options = "-o fuse.web_port=0,dev,suid,allow_other,default_permissions"
    environ = {
        "TEST_DEV": f"{masters}/xfs-test", "TEST_DIR": str(places["test"]),
        "SCRATCH_DEV": f"{masters}/xfs-scratch", "SCRATCH_MNT": str(places["scratch"]),
        "FSTYP": "fuse", "FUSE_SUBTYP": ".curvinefs",
        "MOUNT_OPTIONS": options, "TEST_FS_MOUNT_OPTS": options,
        "RESULT_BASE": str(base / "xfs-results"),
        "PATH": f"{_df_that_says_fuse(base)}:{os.environ['PATH']}",
    }  # fmt: skip
    selection = [only] if only else ["-g", "generic/quick"]
    verdicts: Verdicts = {}
    with subprocess.Popen(
        ["bash", "./check", "-fuse", *selection], cwd=suite, env={**os.environ, **environ},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        stdin=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            match = re.match(r"(generic/\d+)\s+(.*)", line)
            if match is not None:
                verdicts[match[1]] = _xfs_outcome(match[2])
    return verdicts


def _df_that_says_fuse(base: Path) -> Path:
    """A directory with a df that shows our type as the one that xfstests knows."""
    real = shutil.which("df")
    program = base / "bin" / "df"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{real} "$@" | sed s/fuse.curvinefs/fuse/\n')
    program.chmod(0o755)
    return program.parent


def _xfs_outcome(rest: str) -> Outcome:
    if "[not run]" in rest or "[expunged]" in rest:
        return Outcome.SKIPPED
    if "[failed" in rest or "output mismatch" in rest or "_check_" in rest:
        return Outcome.FAILED
    return Outcome.PASSED
