# SPDX-License-Identifier: Apache-2.0
"""Mounting without rights of our own, by the setuid helper fusermount3 where it is installed.

The helper opens /dev/fuse, mounts, and sends the descriptor over a socket (SCM_RIGHTS). Standard
library only, and little of it until it is needed: the supervisor imports this. Source:
fusermount3(1), the _FUSE_COMMFD protocol of libfuse.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

_PATIENCE = 20.0  # seconds
_CONFIG = "/etc/fuse.conf"


class HelperFailed(OSError):
    """It is not there, or refused; the text says why."""


def allows_others() -> bool:
    """Whether users may give allow_other (user_allow_other in /etc/fuse.conf)."""
    try:
        with open(_CONFIG, encoding="utf-8") as lines:
            return any(line.strip() == "user_allow_other" for line in lines)
    except OSError:
        return False


def _program() -> str:
    import shutil

    found = shutil.which("fusermount3") or shutil.which("fusermount")
    if found is None:
        raise HelperFailed("mounting without root needs fusermount3 (package fuse3)")
    return found


def mount(point: str, *, fstype: str, source: str, read_only: bool, data: Sequence[str]) -> int:
    """Mount at ``point``; a descriptor of the connection. HelperFailed with the helper's words."""
    import subprocess

    words = ["ro" if read_only else "rw", f"fsname={source}", f"subtype={fstype}"]
    words += [word for word in data if word != "allow_other" or allows_others()]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        try:
            done = subprocess.run(
                [_program(), "-o", ",".join(words), "--", point],
                env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HelperFailed("fusermount3 did not end") from None
        theirs.close()
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip()
            raise HelperFailed(said or f"fusermount3 ended with {done.returncode}")
        ours.settimeout(_PATIENCE)
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if not fds:
        raise HelperFailed("fusermount3 sent no descriptor")
    os.set_blocking(fds[0], False)
    return fds[0]


def unmount(point: str, *, lazy: bool) -> bool:
    """Whether the helper unmounted ``point``."""
    import subprocess

    try:
        words = [_program(), "-u", *(["-z"] if lazy else []), "-q", "--", point]
        return subprocess.run(words, check=False, timeout=_PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
