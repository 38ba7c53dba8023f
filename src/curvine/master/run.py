# SPDX-License-Identifier: Apache-2.0
"""The ``curvine-master`` process: configuration in, a serving master, SIGTERM ends it cleanly.

Prints ``curvine-master ready rpc=HOST:PORT http=PORT`` on stdout once it serves (http=0: the status
pages' port is taken). A start that cannot succeed prints one line ``ERROR: ...`` on stderr and
exits with 1.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Sequence

from curvine.clock import SystemClock
from curvine.config.load import LoadedConf
from curvine.config.schema import ClusterConf
from curvine.master.server import ROSTER_FILE, MasterServer, limits_of
from curvine.master.workers import Roster
from curvine.metadata import Namespace, SyncMode
from curvine.rpc import process
from curvine.ufs.registry import open_ufs

_log = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.0005  # seconds a thread that wants to run waits for one that does
NAMESPACE_DIR = "namespace"  # in meta_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes; the exit code."""
    # The thread that syncs the log must not wait 5 ms for a busy loop to let it report.
    sys.setswitchinterval(SWITCH_INTERVAL)
    return process.run(argv, "curvine-master", "The metadata server", _serve)


async def _serve(loaded: LoadedConf) -> int:
    conf = loaded.conf
    process.begin_log(loaded, conf.master.log, "curvine-master.log")
    namespace = _open_namespace(conf)
    try:
        server = MasterServer(conf, SystemClock(), namespace, open_ufs)
        stop = process.stop_signal()
        host, port = await server.start()
        try:
            ready = f"curvine-master ready rpc={host}:{port} http={server.http_port}"
            await process.serve_until(stop, ready)
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
