# SPDX-License-Identifier: Apache-2.0
"""``curvine-ready TARGET``: a readiness probe. 0 when the mount is there and answers, else 1.

Asks mountinfo first, then the mount itself, in a child with a time limit: a probe never hangs.
Source: Fluid contract 10.2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from curvine.fuse import mount

_SECONDS = 4.0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="curvine-ready", description="Is this mount usable?")
    default = os.environ.get("MOUNT_POINT") or os.environ.get("FLUID_RUNTIME_MOUNT_PATH")
    parser.add_argument("target", nargs="?", default=default)
    parser.add_argument("--timeout", type=float, default=_SECONDS, metavar="SECONDS")
    arguments = parser.parse_args(argv)
    if not arguments.target:
        parser.error("no target given, and MOUNT_POINT is not set")
    point = mount.canonical(arguments.target)
    entry = mount.topmost(point)
    if entry is None or not entry.is_fuse:
        print(f"not ready: nothing of FUSE is mounted at {point}")
        return 1
    code = mount.in_child(lambda: os.statvfs(point), arguments.timeout)
    if code is None:
        print(f"not ready: {point} does not answer within {arguments.timeout:g} s")
    elif code:
        print(f"not ready: {point}: {os.strerror(code)}")
    else:
        print(f"ready: {point} ({entry.source})")
    return 0 if code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
