# SPDX-License-Identifier: Apache-2.0
"""What handlers work with: the namespace and everything around it, built by ``server``."""

from __future__ import annotations

from dataclasses import dataclass

from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.errors import NotLeader
from curvine.master.chores import Chores
from curvine.master.jobs import LoadJobs
from curvine.master.locate import Locator
from curvine.master.metrics import Metrics
from curvine.master.placement import Placement
from curvine.master.reports import FullReports
from curvine.master.watch import WatchHub
from curvine.master.workers import WorkerMap
from curvine.metadata.engine import Namespace
from curvine.wire.codes import code_name


@dataclass(slots=True)
class Services:
    """One master's parts. Everything is called from its loop only."""

    conf: ClusterConf
    clock: Clock
    namespace: Namespace
    workers: WorkerMap
    placement: Placement
    locator: Locator
    reports: FullReports
    jobs: LoadJobs
    watch: WatchHub
    metrics: Metrics
    chores: Chores
    address: str  # "host:port" that clients see
    is_active: bool = True  # whether this master may read and change the namespace

    def require_active(self, code: int, client_ip: str) -> None:
        """The role check, made before any request is looked at: NotLeader on a standby."""
        if not self.is_active:
            raise NotLeader(f"Not a leader master, code={code_name(code)}, client_ip={client_ip}")
