# SPDX-License-Identifier: Apache-2.0
"""Looking at a mount from outside: programs run as other processes, each with a time-out.

A test process never touches a mount whose server it started itself (decision 20 of the design).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TIMEOUT = 60.0  # seconds


def shell(script: str, cwd: Path, *, timeout: float = TIMEOUT) -> str:
    """What a bash script prints; AssertionError with all its output when it fails."""
    return _run(["bash", "-euo", "pipefail", "-c", script], cwd, timeout)


def python(code: str, cwd: Path, *arguments: str, timeout: float = TIMEOUT) -> str:
    """What Python code prints, likewise."""
    return _run([sys.executable, "-c", code, *arguments], cwd, timeout)


def start_python(code: str, cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Python code that goes on running: talk to it through its standard input and output."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={**os.environ, "M": str(cwd)},
    )


def _run(command: list[str], cwd: Path, timeout: float) -> str:
    # The program itself changes into the mount: a child that hangs there can be given up.
    inside = ["sh", "-c", 'cd "$M" && exec "$@"', "sh", *command]
    environ = {**os.environ, "M": str(cwd), "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", env=environ,
        errors="replace",
    ) as child:  # fmt: skip
        try:
            output, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise AssertionError(f"no end within {timeout:.0f} s: {command[-1][:500]}") from error
    assert child.returncode == 0, f"exit code {child.returncode}:\n{output}"
    return output
