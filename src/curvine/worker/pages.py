# SPDX-License-Identifier: Apache-2.0
"""The worker's pages: metrics, and whether it is alive and in service.

Source: control-plane specification 7.4 and 7.5 (names: telemetry.metric_table). Nothing here asks
a disk: what directories hold is what the last heartbeat said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from curvine.httpd.messages import Request, Response, Route, as_text
from curvine.httpd.scrape import metrics_page
from curvine.telemetry.metric_table import WORKER
from curvine.telemetry.metrics import Registry, show_process
from curvine.worker.blockstore import BlockStore
from curvine.worker.link import MasterLink
from curvine.worker.scrubber import Scrubber


class WorkerPages:
    """The pages of one worker. ``link``: None before it exists."""

    def __init__(
        self,
        store: BlockStore,
        connections: Callable[[], int],
        link: Callable[[], MasterLink | None],
        scrubber: Callable[[], Scrubber | None] = lambda: None,
    ) -> None:
        self._scrubber = scrubber
        self._store = store
        self._connections = connections
        self._link = link
        self._registry = Registry(WORKER)
        stats = store.stats
        self._registry.adopt("file_layout_operation_us", ("open",), stats.opening)
        self._registry.adopt("file_layout_operation_us", ("finalize",), stats.finalizing)
        self._registry.before_scrape(self._streams)
        self._registry.before_scrape(self._storage)
        self._registry.before_scrape(self._sums)

    def routes(self) -> tuple[Route, ...]:
        """Every path."""
        return (
            Route("/metrics", self.metrics, public=True),
            Route("/healthz", lambda _request: as_text("ok"), public=True),
            Route("/readyz", self.ready, public=True),
        )

    def metrics(self, _request: Request) -> Response:
        """/metrics."""
        return metrics_page(self.families())

    def families(self) -> Iterator[str]:
        """The text of /metrics, family by family."""
        return self._registry.families()

    def ready(self, _request: Request) -> Response:
        """/readyz: whether the master knows us, and a directory works."""
        link = self._link()
        if link is None or not link.registered:
            return as_text("the master does not hear this worker", 503)
        if all(where.failed for where in self._store.tiers.dirs):
            return as_text("no storage directory works", 503)
        return as_text("ok")

    def _streams(self) -> None:
        show, stats = self._registry.show, self._store.stats
        show("write_bytes", stats.write_bytes)
        show("write_time_us", round(stats.write_seconds * 1e6))
        show("write_count", stats.write_count)
        show("write_blocks", stats.writes_local, "local")
        show("write_blocks", stats.writes_remote, "remote")
        show("read_bytes", stats.read_bytes)
        show("read_time_us", round(stats.read_seconds * 1e6))
        show("read_count", stats.read_count)
        show("read_blocks", stats.reads_local, "local")
        show("read_blocks", stats.reads_remote, "remote")
        show("worker_active_connections", self._connections())
        show_process(self._registry)

    def _sums(self) -> None:
        show, stats, scrubber = self._registry.show, self._store.stats, self._scrubber()
        show("worker_verified_bytes", stats.verified_bytes)
        show("worker_scrubbed_bytes", stats.scrubbed_bytes)
        show("worker_summed_blocks", stats.summed_blocks)
        show("worker_unsummed_blocks", len(self._store.trust.unsummed))
        show("worker_corrupt_blocks", stats.corrupt_blocks)
        show("worker_promoted_blocks", stats.promoted_blocks)
        show("worker_demoted_blocks", stats.demoted_blocks)
        show("worker_moved_bytes", stats.moved_bytes)
        show("worker_set_aside_blocks", len(self._store.index.set_aside))
        show("worker_oldest_check_seconds", scrubber.oldest if scrubber is not None else 0)

    def _storage(self) -> None:
        show, link, dirs = self._registry.show, self._link(), self._store.tiers.dirs
        storages = link.storages if link is not None else ()
        show("capacity", sum(row.capacity for row in storages))
        show("available", sum(row.available for row in storages))
        show("fs_used", sum(where.used for where in dirs))
        show("failed_disks", sum(where.failed for where in dirs))
        show("total_disks", len(dirs))
        show("num_blocks", len(self._store.index))
        show("num_blocks_to_delete", link.deletions_left if link is not None else 0)
        show("worker_registered", int(link is not None and link.registered))
