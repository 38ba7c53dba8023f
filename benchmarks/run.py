# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks, or those that are named: ``make bench``, ``benchmarks/run.py fuse_read``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_BENCHMARKS = {"run", "report", "metadata_load", "metadata_slow", "peer_load", "peer_systems"}
BY_NAME_ONLY = {"peers"}  # brings 130 MB of other file systems


def main() -> int:
    """The exit code: 1 when one failed."""
    names = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in NOT_BENCHMARKS)
    wanted = sys.argv[1:] or [name for name in names if name not in BY_NAME_ONLY]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names)}", file=sys.stderr)
        return 1
    codes = [subprocess.run([sys.executable, HERE / f"{n}.py"]).returncode for n in wanted]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
