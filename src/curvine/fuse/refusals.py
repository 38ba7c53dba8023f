# SPDX-License-Identifier: Apache-2.0
"""Errors that only a POSIX door has, and the table from errors to errno at this edge."""

from __future__ import annotations

import errno
import logging

from curvine.errors import CurvineError, NotFound

_log = logging.getLogger(__name__)


class Refused(CurvineError):
    """An operation that POSIX refuses with an errno of its own."""

    code = "refused"

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or errno.errorcode.get(number, str(number)))
        self.errno = number


class Stale(NotFound):
    """The kernel's node has lost its name: it looks the path up again (ESTALE)."""

    code = "stale"
    errno = errno.ESTALE


def errno_of(error: BaseException, what: object) -> int:
    """The errno for an error of an operation; what nobody expects is logged with its traceback."""
    if isinstance(error, CurvineError):
        number = error.errno or errno.EIO
        if number == errno.EIO:
            _log.warning("%s failed: %s", what, error)
        return number
    if isinstance(error, OSError) and error.errno:
        _log.warning("%s failed: %s", what, error)
        return error.errno
    _log.error("%s failed unexpectedly", what, exc_info=error)
    return errno.EIO
