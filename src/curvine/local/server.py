# SPDX-License-Identifier: Apache-2.0
"""``curvine-server --service master|worker``: Curvine's one server program, as far as we have it.

Source: control-plane specification 8.12.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module

from curvine import ANNOUNCED_VERSION, CURVINE_RELEASE, __version__

SERVICES = {"master": "curvine.master.run", "worker": "curvine.worker.run"}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="curvine-server", description="Run one server of Curvine in the foreground."
    )
    parser.add_argument("--service", choices=sorted(SERVICES), help="which server")
    parser.add_argument("-c", "--conf", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--version-json", action="store_true", help="print the version as JSON")
    parser.add_argument("-V", "--version", action="version", version=ANNOUNCED_VERSION)
    arguments = parser.parse_args(argv)
    if arguments.version_json:
        print(json.dumps({"name": "curvine-server", "version": __version__,
                          "curvine": CURVINE_RELEASE, "announced": ANNOUNCED_VERSION}))  # fmt: skip
        return 0
    if arguments.service is None:
        print("ERROR: --service is missing; write --service master or --service worker",
              file=sys.stderr)  # fmt: skip
        return 2
    conf = ("--conf", arguments.conf) if arguments.conf else ()
    code: int = import_module(SERVICES[arguments.service]).main(conf)
    return code


if __name__ == "__main__":
    sys.exit(main())
