# SPDX-License-Identifier: Apache-2.0
"""Names of unfinished files in an under storage. They are no part of its content: walks skip them,
and the next attempt to write the same file takes the same name, so none stays behind for long."""

from __future__ import annotations

PARTIAL_PREFIX = ".curvine-export-"


def is_partial(name: str) -> bool:
    """Whether an entry is a file that somebody has not finished."""
    return name.startswith(PARTIAL_PREFIX)
