# SPDX-License-Identifier: Apache-2.0
"""Running ``cv`` as its user types it, and a cluster of ``cv up`` to run it against."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CV = Path(sys.executable).parent / "cv"


def cv(
    *arguments: object, home: Path | None = None, code: int = 0, env: dict[str, str] | None = None
) -> str:
    """Run `cv`; its output (stdout and stderr) when it ended with ``code``."""
    conf = () if home is None else ("--conf", home / "curvine-cluster.toml")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CURVINE_")}
    done = subprocess.run(
        [CV, *conf, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**clean, **(env or {})},
        timeout=90,
    )
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == code, text
    return text


@contextmanager
def cluster(directory: Path) -> Iterator[Path]:
    """A cluster of its own in ``directory``, which is given back."""
    cv("up", "--dir", directory, "--free-ports", "--detach")
    try:
        yield directory
    finally:
        cv("down", "--dir", directory)
