# SPDX-License-Identifier: Apache-2.0
"""Processes that outlive the command that started them, recorded in files.

A record holds the pid and the kernel's start time of the process, so that a number that was given
to somebody else is never taken for ours, nor killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from curvine.errors import ConfigError


class Record(msgspec.Struct, frozen=True):
    """A started process. ``started`` is in clock ticks since boot (proc(5), stat field 22);
    ``log_from`` is where this run begins in the log, in bytes."""

    role: str
    pid: int
    started: int
    argv: tuple[str, ...]
    log: str
    log_from: int = 0


def start_ticks(pid: int) -> int | None:
    """The start time of ``pid`` in clock ticks since boot; None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def is_running(record: Record) -> bool:
    """Whether the recorded process still runs."""
    return start_ticks(record.pid) == record.started


def spawn(
    role: str, module: str, arguments: Sequence[str], log: Path, env: Mapping[str, str]
) -> Record:
    """Start ``python -m module`` in a session of its own, its output appended to ``log``."""
    argv = (sys.executable, "-m", module, *arguments)
    with open(log, "ab") as out:
        log_from = out.tell()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(env),
        )
    started = start_ticks(process.pid)
    return Record(role, process.pid, started or 0, argv, str(log), log_from)


def stop(record: Record, patience: float) -> bool:
    """SIGTERM, wait ``patience`` seconds, then SIGKILL; False when the process was gone already."""
    if not is_running(record):
        return False
    _signal(record, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while is_running(record):
        if time.monotonic() > deadline:
            _signal(record, signal.SIGKILL)
            deadline = float("inf")
        _reap(record.pid)
        time.sleep(0.02)
    _reap(record.pid)
    return True


def save(record: Record, directory: Path) -> None:
    """Write the record as DIR/<role>.json, whole or not at all."""
    path = directory / f"{record.role}.json"
    partial = path.with_suffix(".tmp")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    partial.replace(path)


def read(role: str, directory: Path) -> Record | None:
    """The record of ``role``, None when there is none."""
    path = directory / f"{role}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is damaged ({error}); stop what runs and remove it") from error


def log_text(record: Record) -> str:
    """What the process has printed in this run."""
    try:
        with open(record.log, "rb") as file:
            file.seek(record.log_from)
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def log_tail(record: Record, lines: int = 5) -> str:
    """The last lines of this run's log, for an error message."""
    return "\n".join(log_text(record).rstrip().splitlines()[-lines:])


def _signal(record: Record, number: int) -> None:
    try:
        os.kill(record.pid, number)
    except ProcessLookupError:
        pass


def _reap(pid: int) -> None:
    """Collect the process if it is a child of ours; others are collected by their parent."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
