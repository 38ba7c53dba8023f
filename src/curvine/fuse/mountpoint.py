# SPDX-License-Identifier: Apache-2.0
"""The directory to mount at: freed of dead mounts, created, and refused if it is in use.

Source: Fluid contract 10.1, steps 3 and 4; data-plane specification 6.3.
"""

from __future__ import annotations

import os
import sys

from curvine.fuse import mount
from curvine.fuse.launch import MountPlan


class Failed(Exception):
    """The mount cannot be made or kept; the text is for people."""


def say(text: str) -> None:
    """One line of the supervisor's log."""
    print(f"curvine-fuse: {text}", file=sys.stderr, flush=True)


def prepare_target(plan: MountPlan) -> list[str]:
    """Free the mount points of dead mounts and create them; canonical paths."""
    target = mount.canonical(plan.target)
    if plan.number == 1:
        points = [target]
    else:
        points = [os.path.join(target, f"mnt-{i}") for i in range(plan.number)]
    for point in points if plan.number == 1 else [target, *points]:
        gone = mount.detach_dead(point)
        if gone:
            say(f"detached {gone} dead mount{'s' if gone > 1 else ''} at {point}")
        existing = mount.topmost(point)
        if existing and existing.is_fuse:
            text = f"{point} already has a working FUSE mount ({existing.source})"
            if not plan.stack:
                raise Failed(f"{text}; unmount it first or choose another path")
            say(f"WARNING: {text}; mounting over it")
            continue
        _make_directory(point, must_be_empty=point in points and not plan.stack)
    return points


def _make_directory(point: str, *, must_be_empty: bool) -> None:
    try:
        os.makedirs(point, 0o755, exist_ok=True)
        if must_be_empty and os.listdir(point):
            raise Failed(f"{point} is not empty; -o nonempty mounts over it")
    except OSError as error:
        raise Failed(f"cannot use {point} as mount point: {error.strerror}") from None


def release(target: str, *, lazy: bool = False, timeout: float = 10.0) -> bool:
    """Unmount what is seen at ``target`` if it is a Curvine mount or a dead FUSE mount.

    False: nothing is mounted there. Failed: it is somebody else's, or busy (``lazy`` detaches it).
    A running ``curvine-fuse`` ends by itself afterwards.
    """
    point = mount.canonical(target)
    entry = mount.topmost(point)
    if entry is None:
        return False
    ours = entry.is_curvine
    if not ours and not (entry.is_fuse and mount.is_dead(point)):
        raise Failed(f"{point} is a {entry.fstype} mount of {entry.source}, not of Curvine")
    code = mount.unmount_point(point, lazy=lazy, timeout=timeout)
    if code:
        raise Failed(f"cannot unmount {point}: {os.strerror(code)}")
    return True
