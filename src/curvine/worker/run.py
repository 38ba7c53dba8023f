# SPDX-License-Identifier: Apache-2.0
"""The ``curvine-worker`` process: configuration in, a serving worker, SIGTERM ends it cleanly.

Prints ``curvine-worker serving rpc=HOST:PORT`` once it listens and ``worker register success`` once
the master knows it. A start that cannot succeed prints one line ``ERROR: ...`` on stderr and exits
with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from curvine.clock import SystemClock
from curvine.config.load import LoadedConf
from curvine.rpc import process
from curvine.ufs.registry import open_ufs
from curvine.worker.server import WorkerServer

REGISTERED = "worker register success"


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes; the exit code."""
    return process.run(argv, "curvine-worker", "The block server", _serve)


async def _serve(loaded: LoadedConf) -> int:
    conf = loaded.conf
    process.begin_log(loaded, conf.worker.log, "curvine-worker.log")
    server = WorkerServer(conf, SystemClock(), open_ufs, _say_registered)
    stop = process.stop_signal()
    try:
        host, port = await server.start()
        await process.serve_until(stop, f"curvine-worker serving rpc={host}:{port}")
    finally:
        await server.close()
    return 0


def _say_registered() -> None:
    print(REGISTERED, flush=True)


if __name__ == "__main__":
    sys.exit(main())
