# SPDX-License-Identifier: Apache-2.0
"""Cutting the kernel's connection to a mount that does not answer any more (decision 19).

A process that waits for its own mount cannot be killed: the kernel lets it go when the connection
is aborted through fusectl, whose files are named by device number. Source: the kernel's
Documentation/filesystems/fuse.rst, section "Interrupting filesystem operations".
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from curvine.fuse import mount
from curvine.fuse.mountpoint import Failed

_CONTROL = "/sys/fs/fuse/connections"
_MNT_DETACH = 2


def abort_connection(target: str) -> bool:
    """Abort the connection of the Curvine mount at ``target``. False: nothing is mounted there.

    Failed: it is somebody else's mount, or this process may not.
    """
    point = mount.canonical(target)
    entry = mount.topmost(point)
    if entry is None:
        return False
    if not (entry.is_curvine):
        raise Failed(f"{point} is a {entry.fstype} mount of {entry.source}, not of Curvine")
    major, minor = (int(part) for part in entry.device.split(":"))
    number = major << 20 | minor  # the kernel's own form of a device number
    try:
        with (
            _control_directory() as directory,
            open(os.path.join(directory, str(number), "abort"), "wb", buffering=0) as switch,
        ):
            switch.write(b"1")
    except OSError as error:
        raise Failed(
            f"cannot abort {point}: {error.strerror} ({error.filename}); this takes root, outside "
            "of an unprivileged container"
        ) from None
    return True


@contextmanager
def _control_directory() -> Iterator[str]:
    """Where fusectl is mounted; for a moment in a directory of ours where it is not."""
    if any(entry.fstype == "fusectl" and entry.point == _CONTROL for entry in mount.mount_table()):
        yield _CONTROL
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as directory:
        path = os.fsencode(directory)
        if libc.mount(b"fusectl", path, b"fusectl", ctypes.c_ulong(0), None):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), _CONTROL)
        try:
            yield directory
        finally:
            libc.umount2(path, _MNT_DETACH)
