# SPDX-License-Identifier: Apache-2.0
"""Registering backing files for FUSE passthrough, while the kernel and our rights allow it.

A refusal that concerns the mount (no CAP_SYS_ADMIN, an old kernel) switches passthrough off and is
logged once; one that concerns a file (a stacked file system below it) only declines that file.
"""

from __future__ import annotations

import errno
import logging

from curvine.fuse import device

_log = logging.getLogger(__name__)
_FOR_GOOD = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS}


class Passthrough:
    """The registrations of one connection. ``device_fd`` None: never."""

    def __init__(self, device_fd: int | None) -> None:
        self._device = device_fd
        self._stacked_logged = False

    @property
    def possible(self) -> bool:
        """Whether a registration may be tried."""
        return self._device is not None

    def open(self, fd: int) -> int:
        """The backing id for an open file, or 0 when it has to be read another way."""
        if self._device is None:
            return 0
        try:
            return device.backing_open(self._device, fd)
        except OSError as error:
            if error.errno in _FOR_GOOD:
                self._device = None
                _log.warning("reads go without passthrough: the kernel refused it (%s)", error)
            elif not self._stacked_logged:
                self._stacked_logged = True
                _log.warning("a file is read without passthrough: %s", error)
            return 0

    def close(self, backing_id: int) -> None:
        """Drop a registration after the last close."""
        if self._device is not None and backing_id:
            try:
                device.backing_close(self._device, backing_id)
            except OSError as error:
                _log.warning("backing id %d could not be dropped: %s", backing_id, error)
