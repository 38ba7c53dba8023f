# SPDX-License-Identifier: Apache-2.0
"""The ``curvine-worker`` process: configuration in, a serving worker, SIGTERM ends it cleanly.

Prints ``curvine-worker serving rpc=HOST:PORT`` once it listens and ``worker register success`` once
the master knows it. A start that cannot succeed prints one line ``ERROR: ...`` on stderr and exits
with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from curvine import ANNOUNCED_VERSION
from curvine.clock import SystemClock
from curvine.config.load import LoadedConf, find_conf, load
from curvine.errors import CurvineError
from curvine.telemetry import logs
from curvine.ufs.registry import open_ufs
from curvine.worker.server import WorkerServer

REGISTERED = "worker register success"
_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes; the exit code."""
    try:
        loaded = _configuration(argv)
        return uvloop.run(_serve(loaded))
    except CurvineError as error:
        print(f"ERROR: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


def _configuration(argv: Sequence[str] | None) -> LoadedConf:
    parser = argparse.ArgumentParser(prog="curvine-worker", description="The block server")
    parser.add_argument("--conf", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--version", action="version", version=ANNOUNCED_VERSION)
    arguments = parser.parse_args(argv)
    return load(find_conf(arguments.conf, os.environ), env=os.environ)


async def _serve(loaded: LoadedConf) -> int:
    conf = loaded.conf
    logs.setup_from(conf.worker.log, "curvine-worker.log")
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    server = WorkerServer(conf, SystemClock(), open_ufs, _say_registered)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        host, port = await server.start()
        gc.collect()
        gc.freeze()  # what start-up made stays; later collections need not look at it
        print(f"curvine-worker serving rpc={host}:{port}", flush=True)
        await stop.wait()
        _log.info("stopping")
    finally:
        await server.close()
    return 0


def _say_registered() -> None:
    print(REGISTERED, flush=True)


if __name__ == "__main__":
    sys.exit(main())
