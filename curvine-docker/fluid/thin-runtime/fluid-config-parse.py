#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The name under which the seed's image starts the parser; the program is curvine.fluid."""

import sys
from pathlib import Path

try:
    from curvine.fluid.parse_main import main
except ModuleNotFoundError:  # run from a checkout, nothing installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "src"))
    from curvine.fluid.parse_main import main

if __name__ == "__main__":
    sys.exit(main())
