# SPDX-License-Identifier: Apache-2.0
"""What every server process does: read its configuration, run its loop, end at a signal.

A start that cannot succeed prints one line ``ERROR: ...`` on stderr and ends with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop

from curvine import ANNOUNCED_VERSION
from curvine.config.load import LoadedConf, find_conf, load
from curvine.config.schema import LogConf
from curvine.errors import CurvineError
from curvine.telemetry import logs

_log = logging.getLogger(__name__)

# Allocations between collections: requests make no cycles, at 700 these are a twelfth of a create.
_GC_THRESHOLD = 10_000

Serve = Callable[[LoadedConf], Coroutine[Any, Any, int]]


def run(argv: Sequence[str] | None, name: str, description: str, serve: Serve) -> int:
    """Parse the command line, load the configuration and run ``serve``; the exit code."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--conf", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--version", action="version", version=ANNOUNCED_VERSION)
    arguments = parser.parse_args(argv)
    try:
        loaded = load(find_conf(arguments.conf, os.environ), env=os.environ)
        return uvloop.run(serve(loaded))
    except CurvineError as error:
        print(f"ERROR: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


def begin_log(loaded: LoadedConf, log: LogConf, file_name: str) -> None:
    """Open the process's log and tell what the configuration's reader warned about."""
    logs.setup_from(log, file_name)
    for warning in loaded.warnings:
        _log.warning("%s", warning)


def stop_signal() -> asyncio.Event:
    """Set when SIGTERM or SIGINT has come; to be asked for before the process serves."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def serve_until(stop: asyncio.Event, ready: str) -> None:
    """Say ``ready`` on stdout and wait for the signal."""
    gc.collect()
    gc.freeze()  # what start-up made stays; later collections need not look at it
    gc.set_threshold(_GC_THRESHOLD)
    print(ready, flush=True)
    await stop.wait()
    _log.info("stopping")
