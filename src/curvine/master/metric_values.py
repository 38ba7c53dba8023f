# SPDX-License-Identifier: Apache-2.0
"""What the master's /metrics shows, gathered when somebody asks (names: telemetry.metric_table).

Only RPC durations are counted as they happen (``master.metrics``); everything else is looked up
here, so that it costs nothing between two scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from curvine.master.services import Services
from curvine.master.workers import block_count
from curvine.model.worker import WorkerStatus
from curvine.telemetry.loop_probe import LoopProbe
from curvine.telemetry.metric_table import MASTER
from curvine.telemetry.metrics import Registry, counters_of_others, show_process
from curvine.wire.codes import RpcCode


class MetricValues:
    """The metrics of one master. ``connections``: of RPC; ``upkeep``: counted by the chores."""

    def __init__(
        self,
        master: Services,
        probe: LoopProbe,
        connections: Callable[[], int],
        upkeep: Callable[[], Mapping[str, float]],
    ) -> None:
        self._master = master
        self._probe = probe
        self._connections = connections
        self._upkeep = upkeep
        self._registry = Registry(MASTER)
        for fill in (self._calls, self._workers, self._namespace, self._process):
            self._registry.before_scrape(fill)

    def families(self) -> Iterator[str]:
        """The text, family by family; counters that clients reported come last."""
        reported = self._master.metrics.reported
        return chain(self._registry.families(), counters_of_others(reported, self._registry))

    def names(self) -> frozenset[str]:
        """Families that were shown last time."""
        return self._registry.names()

    def _calls(self) -> None:
        registry, rows = self._registry, self._master.metrics.calls
        registry.show("rpc_request_total_count", sum(row.count for row in rows.values()))
        total = sum(row.seconds for row in rows.values())
        registry.show("rpc_request_time", round(total * 1e6))
        registry.show("master_active_connections", self._connections())
        for code, row in rows.items():
            if row.count and code != RpcCode.WORKER_HEARTBEAT:
                registry.adopt("operation_duration", (row.name,), row)
            registry.show("rpc_request_error_count", row.errors, row.name)

    def _workers(self) -> None:
        show, workers = self._registry.show, self._master.workers
        registered, live = workers.registered, workers.live
        show("capacity", sum(info.capacity for info in registered))
        show("available", sum(info.available for info in registered))
        used = sum(info.fs_used for info in registered)
        blocks = sum(block_count(info.storages) for info in registered)
        show("fs_used", used)
        show("num_blocks", blocks)
        show("blocks_size_avg", used // blocks if blocks else 0)
        show("allocatable_capacity", sum(info.capacity for info in live))
        show("allocatable_available", sum(info.available for info in live))
        for status in WorkerStatus:
            show("worker_num", len(workers.having(status)), status.name.lower())
        self._registry.show_all(
            "compat_worker_verdict",
            {
                (str(info.address.worker_id), "compatible" if info.component else "missing_info"): 1
                for info in registered
            },
        )

    def _namespace(self) -> None:
        show, namespace = self._registry.show, self._master.namespace
        dirs, files = namespace.counts()
        show("inode_dir_num", dirs)
        show("inode_file_num", files)
        log = namespace.log_state()
        show("journal_queue_len", log.waiting)
        show("journal_flush_count", log.flushes)
        show("journal_flush_time", round(log.flush_seconds * 1e6))
        show("journal_committed", namespace.epoch)
        show("journal_applied", namespace.epoch)
        for name, size in namespace.memory().items():
            show("rocksdb_metrics", size, name)
        show("load_jobs", self._master.jobs.active)
        exporter = self._master.exporter
        show("exports_waiting", exporter.pending)
        show("exports_failing", exporter.failing)
        show("exports_done", exporter.exported)
        show("exports_bytes", exporter.tasks.bytes_done)
        show("exports_failures", exporter.failures)
        for name, value in self._upkeep().items():
            if name in self._registry:
                show(name, value)

    def _process(self) -> None:
        show, probe = self._registry.show, self._probe
        show("fs_dir_probe_acquire_us", round(probe.delay * 1e6))
        show("fs_dir_stalled", int(probe.stalled))
        show("fs_dir_stall_total", probe.stalls)
        show_process(self._registry)
