# SPDX-License-Identifier: Apache-2.0
"""A master whose disk takes its time: each fsync of the log lasts SLOW_FSYNC seconds at least.

Started by benchmarks/metadata.py; what it takes longer is slept, so that nothing else changes.
"""

from __future__ import annotations

import os
import time

from curvine.master import run
from curvine.metadata.store import Store

_SECONDS = float(os.environ["SLOW_FSYNC"])
_sync_log = Store.sync_log


def _slow_sync_log(store: Store) -> None:
    begun = time.monotonic()
    _sync_log(store)
    time.sleep(max(_SECONDS - (time.monotonic() - begun), 0))


def main() -> int:
    """The master's own main, on that disk."""
    Store.sync_log = _slow_sync_log  # type: ignore[method-assign]  # the point of this module
    return run.main()
