# SPDX-License-Identifier: Apache-2.0
"""One master: builds the parts, wires them, serves them on a socket."""

from __future__ import annotations

import logging
import os

from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.config.tokens import AdminCheck
from curvine.httpd.access import Access
from curvine.httpd.server import HttpServer
from curvine.master.chores import Chores
from curvine.master.decommission import Decommission
from curvine.master.dispatch import handlers, unknown
from curvine.master.eviction import Eviction
from curvine.master.exporter import Exporter
from curvine.master.jobs import LoadJobs, OpenUfs
from curvine.master.locate import Locator
from curvine.master.metric_values import MetricValues
from curvine.master.metrics import Metrics
from curvine.master.pages import Pages
from curvine.master.placement import Placement
from curvine.master.quick_stats import QuickStats
from curvine.master.replication import Replication
from curvine.master.reports import FullReports
from curvine.master.services import Services
from curvine.master.table import ROWS
from curvine.master.task_sending import TaskSender
from curvine.master.watch import WatchHub
from curvine.master.worker_calls import WorkerCalls
from curvine.master.workers import Roster, WorkerMap
from curvine.metadata.engine import Namespace
from curvine.metadata.values import Limits
from curvine.rpc.auth import Auth
from curvine.rpc.server import RpcServer
from curvine.telemetry.loop_probe import LoopProbe

_log = logging.getLogger(__name__)

ROSTER_FILE = "workers.json"  # in meta_dir


class MasterServer:
    """A master over an open namespace, which stays the caller's to close."""

    def __init__(
        self, conf: ClusterConf, clock: Clock, namespace: Namespace, open_ufs: OpenUfs
    ) -> None:
        self._conf = conf
        master = conf.master
        workers = WorkerMap(
            clock,
            conf.cluster_id,
            master.worker_blacklist_interval,
            master.worker_lost_interval,
            Roster(os.path.join(master.meta_dir, ROSTER_FILE)),
        )
        placement = Placement(workers, master.worker_policy)
        reports = FullReports(clock)
        auth = Auth.of(conf, clock)
        self._calls = WorkerCalls(auth)
        sender = TaskSender(workers, placement, self._calls)
        exporter = Exporter(conf.job, conf.client, clock, namespace, sender, open_ufs)
        jobs = LoadJobs(conf.job, conf.client, clock, namespace, sender, exporter, open_ufs)
        replication = Replication(master, clock, namespace, workers, placement, self._calls)
        decommission = Decommission(clock, namespace, workers, replication)
        eviction = Eviction(master, clock, namespace, workers)
        self.services = Services(
            conf=conf,
            clock=clock,
            namespace=namespace,
            workers=workers,
            placement=placement,
            locator=Locator(workers),
            reports=reports,
            jobs=jobs,
            exporter=exporter,
            watch=WatchHub(lambda: namespace.epoch),
            metrics=Metrics(),
            replication=replication,
            decommission=decommission,
            eviction=eviction,
            chores=Chores(
                master, namespace, workers, reports, jobs, replication, decommission, eviction
            ),
            address=f"{master.hostname}:{master.rpc_port}",
        )
        self._stop_listening = namespace.add_listener(self.services.watch.publish)
        self._rpc = RpcServer(
            handlers(ROWS, self.services),
            name="master",
            idle_timeout=master.io_timeout / 1000 if master.io_close_idle else None,
            on_unknown=unknown(self.services),
            auth=auth,
            before_answers=self.services.watch.flush,
            quick=QuickStats(self.services),
        )
        self._http = self._pages(clock)

    def _pages(self, clock: Clock) -> HttpServer:
        self._probe = LoopProbe()
        master, services = self._conf.master, self.services
        values = MetricValues(
            services, self._probe, lambda: len(self._rpc.connections), services.upkeep_metrics
        )
        pages = Pages(services, services.decommission, values)
        rule = AdminCheck.of(self._conf, clock)
        names = (master.hostname, master.bind_host, os.uname().nodename)
        access = Access(rule, names=names, hint=AdminCheck.HINT)
        return HttpServer(pages.routes(), name="master", access=access)

    @property
    def http_port(self) -> int:
        """Where the pages are; 0: the port could not be had."""
        return self._http.port

    async def start(self) -> tuple[str, int]:
        """Listen; (host, port) that RPC really has."""
        host, port = await self._rpc.start(self._conf.master.bind_host, self._conf.master.rpc_port)
        self.services.address = f"{self._conf.master.hostname}:{port}"
        self.services.chores.start()
        self.services.exporter.start()
        self.services.jobs.start()
        self._probe.start()
        await self._http.start(self._conf.master.bind_host, self._conf.master.web_port)
        return host, port

    async def close(self) -> None:
        """Answer nobody any more; what was acknowledged is in the log."""
        await self._http.close()
        await self._rpc.close()
        self._probe.close()
        await self.services.chores.close()
        await self.services.summing.close()
        await self.services.jobs.close()
        await self.services.exporter.close()
        self._calls.close()
        self._stop_listening()
        self.services.watch.close()


def limits_of(conf: ClusterConf) -> Limits:
    """The namespace's bounds, from the configuration."""
    master = conf.master
    return Limits(
        min_replication=master.min_replication,
        max_replication=master.max_replication,
        min_block_size=master.min_block_size,
        max_block_size=master.max_block_size,
        max_path_len=master.max_path_len,
        max_path_depth=master.max_path_depth,
        lock_expire_ms=master.lock_expire_time,
        retry_cache_size=master.retry_cache_size if master.retry_cache_enable else 0,
        retry_cache_ttl_ms=master.retry_cache_ttl,
        change_ring=conf.journal.metadata_delta_log_capacity,
    )
