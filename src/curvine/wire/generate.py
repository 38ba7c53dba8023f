# SPDX-License-Identifier: Apache-2.0
"""Compile wire/proto/*.proto into wire/pb (``python -m curvine.wire.generate [--check]``).

The generated modules are committed; ``--check`` regenerates into a temporary directory and exits 1
when they differ (part of ``make check``). Needs grpcio-tools, a development dependency.
"""

from __future__ import annotations

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

_WIRE = Path(__file__).resolve().parent


def generate(target: Path) -> None:
    """Write the modules below ``target`` as curvine/wire/pb/*_pb2.py and .pyi."""
    sources = sorted((_WIRE / "proto").glob("*.proto"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-Icurvine/wire/pb={_WIRE / 'proto'}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            *(f"curvine/wire/pb/{source.name}" for source in sources),
        ],
        check=True,
    )


def main() -> int:
    """Entry point; returns the exit code."""
    if "--check" not in sys.argv[1:]:
        generate(_WIRE.parent.parent)
        return 0
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        fresh = Path(name) / "curvine" / "wire" / "pb"
        files = sorted(path.name for path in fresh.iterdir())
        _, different, missing = filecmp.cmpfiles(fresh, _WIRE / "pb", files, shallow=False)
    for file in different + missing:
        print(f"wire/pb/{file} is not what wire/proto gives; run: make proto", file=sys.stderr)
    return 1 if different or missing else 0


if __name__ == "__main__":
    sys.exit(main())
