# SPDX-License-Identifier: Apache-2.0
"""A mount's pages: /metrics, /healthz, /stats (data-plane specification 6.4).

They are served on the loop that answers the kernel, so they only look at what is counted already;
nothing here touches the mount, the master or a disk. A page that cannot be served (another mount
of this node has the port) is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from curvine.fuse.memory import MemoryBudget
from curvine.fuse.noderecords import RECORD
from curvine.fuse.requeststats import errno_name, kind_of, operation_name
from curvine.fuse.session import Session
from curvine.fuse.volume import Volume
from curvine.httpd.messages import Request, Response, Route, as_json, as_text
from curvine.httpd.scrape import metrics_page
from curvine.telemetry.metric_table import FUSE
from curvine.telemetry.metrics import Durations, Registry, show_process


class MountPages:
    """The pages of one mount. ``restarts``: how many servers of it have died before this one."""

    def __init__(
        self,
        session: Session,
        volume: Volume,
        restarts: int,
        budget: MemoryBudget,
        client: Callable[[Registry], None] | None = None,
    ) -> None:
        self._session = session
        self._volume = volume
        self._restarts = restarts
        self._budget = budget
        self._registry = Registry(FUSE)
        self._registry.before_scrape(self._requests)
        self._registry.before_scrape(self._open)
        if client is not None:
            self._registry.before_scrape(lambda: client(self._registry))

    def routes(self, *, metrics: bool) -> tuple[Route, ...]:
        """Every path; /metrics only where it is wanted."""
        routes = (
            Route("/healthz", lambda _request: as_text("ok"), public=True),
            Route("/stats", self.stats),
        )
        return (*routes, Route("/metrics", self.metrics, public=True)) if metrics else routes

    def metrics(self, _request: Request) -> Response:
        """/metrics."""
        return metrics_page(self.families())

    def families(self) -> Iterator[str]:
        """The text of /metrics, family by family."""
        return self._registry.families()

    def stats(self, _request: Request) -> Response:
        """/stats: how much of everything, in Curvine's shape."""
        nodes = len(self._volume.nodes.table)
        files, writers, directories = self._volume.handles.counts()
        return as_json(
            {
                "inode": {"count": nodes, "mem_usage": nodes * RECORD},
                "writer": {"count": writers, "mem_usage": 0},
                "file_handle": {"count": files, "mem_usage": 0},
                "dir_handle": {"count": directories, "mem_usage": 0},
            }
        )

    def _requests(self) -> None:
        stats, show = self._session.stats, self._registry.show
        self._answers(stats.answered, "success")
        self._answers(stats.refused, "error")
        for (opcode, number), count in stats.errors.items():
            name = operation_name(opcode)
            show("curvine_fuse_errors_total", count, errno_name(number), kind_of(opcode), name)
        show("curvine_fuse_active_requests", self._session.in_flight)
        name = "curvine_fuse_io_bytes_total"
        show(name, stats.read_local, "read", "local", "success")
        show(name, stats.read_remote, "read", "curvine", "success")
        show(name, stats.written, "write", "curvine", "success")

    def _answers(self, rows: Mapping[int, Durations], status: str) -> None:
        for opcode, durations in rows.items():
            labels = kind_of(opcode), operation_name(opcode), status
            self._registry.show("curvine_fuse_requests_total", durations.count, *labels)
            self._registry.adopt("curvine_fuse_request_duration_us", labels, durations)

    def _open(self) -> None:
        show = self._registry.show
        files, _, directories = self._volume.handles.counts()
        for name, value in (
            ("inode", len(self._volume.nodes.table)),
            ("file_handle", files),
            ("dir_handle", directories),
        ):
            show(f"{name}_num", value)
            show(f"curvine_fuse_{name}_count", value)
        show("curvine_fuse_server_restarts", self._restarts)
        show("curvine_fuse_passthrough", int(self._volume.env.passthrough.possible))
        show("curvine_fuse_memory_limit_bytes", self._budget.limit)
        show("curvine_fuse_locks", len(self._volume.env.locks))
        for kind, count in self._volume.env.opens.as_dict().items():
            show("curvine_fuse_opens_total", count, kind)
        show_process(self._registry)
