# SPDX-License-Identifier: Apache-2.0
"""``curvine-umount TARGET``: takes away a Curvine mount or a dead FUSE mount, and nothing else.

For preStop: 0 also when there is nothing to do ("not mounted"). A bind mount of Kubernetes at
the same path stays (Fluid contract 0 row 10, 10.2).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from curvine.fuse.mountpoint import Failed, release


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="curvine-umount", description="Unmount a Curvine mount.")
    default = os.environ.get("MOUNT_POINT") or os.environ.get("FLUID_RUNTIME_MOUNT_PATH")
    parser.add_argument("target", nargs="?", default=default)
    parser.add_argument("-l", "--lazy", action="store_true", help="detach a busy mount")
    arguments = parser.parse_args(argv)
    if not arguments.target:
        parser.error("no target given, and MOUNT_POINT is not set")
    try:
        if not release(arguments.target, lazy=arguments.lazy):
            print(f"{arguments.target}: not mounted")
    except Failed as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
