# SPDX-License-Identifier: Apache-2.0
"""The ``curvine-master`` process: configuration in, a serving master, SIGTERM ends it cleanly.

Prints ``curvine-master ready rpc=HOST:PORT http=PORT`` on stdout once it serves (http=0: the status
pages' port is taken). A start that cannot succeed prints one line ``ERROR: ...`` on stderr and
exits with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Sequence

import uvloop

from curvine import ANNOUNCED_VERSION
from curvine.clock import SystemClock
from curvine.config.load import LoadedConf, find_conf, load
from curvine.config.schema import ClusterConf
from curvine.errors import CurvineError
from curvine.master.server import ROSTER_FILE, MasterServer, limits_of
from curvine.master.workers import Roster
from curvine.metadata import Namespace, SyncMode
from curvine.telemetry import logs
from curvine.ufs.registry import open_ufs

_log = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.0005  # seconds a thread that wants to run waits for one that does
NAMESPACE_DIR = "namespace"  # in meta_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes; the exit code."""
    # The thread that syncs the log must not wait 5 ms for a busy loop to let it report.
    sys.setswitchinterval(SWITCH_INTERVAL)
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
    parser = argparse.ArgumentParser(prog="curvine-master", description="The metadata server")
    parser.add_argument("--conf", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--version", action="version", version=ANNOUNCED_VERSION)
    arguments = parser.parse_args(argv)
    return load(find_conf(arguments.conf, os.environ), env=os.environ)


async def _serve(loaded: LoadedConf) -> int:
    conf = loaded.conf
    logs.setup_from(conf.master.log, "curvine-master.log")
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    namespace = _open_namespace(conf)
    try:
        server = MasterServer(conf, SystemClock(), namespace, open_ufs)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        host, port = await server.start()
        try:
            gc.collect()
            gc.freeze()  # what start-up made stays; later collections need not look at it
            print(f"curvine-master ready rpc={host}:{port} http={server.http_port}", flush=True)
            await stop.wait()
            _log.info("stopping")
        finally:
            await server.close()
    finally:
        namespace.close()
    return 0


def _open_namespace(conf: ClusterConf) -> Namespace:
    meta_dir = conf.master.meta_dir
    os.makedirs(meta_dir, mode=0o700, exist_ok=True)  # mounts may hold credentials
    if conf.format_master:
        _log.warning("format_master is set, the metadata in %s are erased", meta_dir)
        shutil.rmtree(os.path.join(meta_dir, NAMESPACE_DIR), ignore_errors=True)
        Roster(os.path.join(meta_dir, ROSTER_FILE)).save(())
    return Namespace(
        os.path.join(meta_dir, NAMESPACE_DIR),
        clock=SystemClock(),
        limits=limits_of(conf),
        sync_mode=SyncMode(conf.journal.sync),
        sync_interval_ms=conf.journal.sync_interval,
    )


if __name__ == "__main__":
    sys.exit(main())
