# SPDX-License-Identifier: Apache-2.0
"""The master's status pages (control-plane specification 7.3), health and metrics.

Paths, JSON keys and texts are Curvine's, except that a change (/add-dcm, /remove-dcm) needs an
administrator. Everything runs on the master's loop: what can be long is made in pieces of
``PIECE`` entries, with RPC calls in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

import msgspec

from curvine.config.published import published
from curvine.httpd.messages import Refused, Request, Response, Route, as_json, as_text
from curvine.httpd.scrape import metrics_page
from curvine.master.metric_values import MetricValues
from curvine.master.page_values import block_value, file_value, worker_line, worker_value
from curvine.master.services import Services
from curvine.model.inode import FileStatus
from curvine.model.path import name_to_wire, normalize
from curvine.model.worker import WorkerInfo, WorkerStatus

PIECE = 128  # entries
_GIB = 1 << 30


class DecommissionCalls(Protocol):
    """Taking workers out of service; a name is a host, an address, or host:port."""

    def add(self, names: Sequence[str]) -> tuple[WorkerInfo, ...]:
        """The workers that are decommissioned now and were not before."""

    def remove(self, names: Sequence[str]) -> tuple[WorkerInfo, ...]:
        """The workers that are Live again."""

    def progress(self, worker_id: int) -> object | None:
        """How far a worker's data have been moved."""


class Pages:
    """The pages of one master."""

    def __init__(
        self, master: Services, decommission: DecommissionCalls, metrics: MetricValues
    ) -> None:
        self._master = master
        self._decommission = decommission
        self._metrics = metrics
        started = datetime.fromtimestamp(master.clock.now_ms() / 1000)
        self._started = started.isoformat(" ", "milliseconds")

    def routes(self) -> tuple[Route, ...]:
        """Every path."""
        return (
            Route("/metrics", self.metrics, public=True),
            Route("/healthz", lambda _request: as_text("ok"), public=True),
            Route("/readyz", self.ready, public=True),
            Route("/report", self.report),
            Route("/api/overview", self.overview),
            Route("/api/config", self.config),
            Route("/api/browse", self.browse),
            Route("/api/block_locations", self.block_locations),
            Route("/api/workers", self.worker_objects),
            Route("/workers", self.worker_lines),
            Route("/get-dcm", self.decommissioned),
            Route("/add-dcm", self.add_decommission, changes=True),
            Route("/remove-dcm", self.remove_decommission, changes=True),
        )

    # -- the cluster ------------------------------------------------------------------------------

    def overview(self, _request: Request) -> Response:
        """/api/overview."""
        master = self._master
        registered = master.workers.registered
        dirs, files = master.namespace.counts()
        return as_json(
            {
                "cluster_id": master.conf.cluster_id,
                "master_addr": master.address,
                "start_time": self._started,
                "live_workers": len(registered),
                "lost_workers": len(master.workers.having(WorkerStatus.LOST)),
                "available": sum(info.available for info in registered),
                "capacity": sum(info.capacity for info in registered),
                "fs_used": sum(info.fs_used for info in registered),
                "reserved_bytes": sum(info.reserved_bytes for info in registered),
                "files_total": files,
                "dir_total": dirs,
                "master_state": "Active" if master.is_active else "Standby",
            }
        )

    def report(self, _request: Request) -> Response:
        """/report, for people."""
        master = self._master
        registered = master.workers.registered
        dirs, files = master.namespace.counts()
        rows = (
            ("available", _gigabytes(info.available for info in registered)),
            ("capacity", _gigabytes(info.capacity for info in registered)),
            ("fs_used", _gigabytes(info.fs_used for info in registered)),
            ("dir_total", dirs),
            ("files_total", files),
            ("live_workers", len(registered)),
            ("lost_workers", len(master.workers.having(WorkerStatus.LOST))),
        )
        lines = [f"    {name}: {value}\n" for name, value in rows]
        return as_text("Curvine cluster summary:\n" + "".join(lines))

    def config(self, _request: Request) -> Response:
        """/api/config."""
        return as_json(published(self._master.conf))

    def ready(self, _request: Request) -> Response:
        """/readyz: whether clients can work with this master."""
        if not self._master.is_active:
            return as_text("standby", 503)
        return as_text("ok")

    def metrics(self, _request: Request) -> Response:
        """/metrics."""
        return metrics_page(self._metrics.families())

    # -- the namespace ----------------------------------------------------------------------------

    def browse(self, request: Request) -> Response:
        """/api/browse?path=P: what ListStatus answers."""
        master, path = self._master, _path(request)
        master.require_active(0, request.peer)
        namespace = master.namespace
        if not namespace.exists(path):
            return as_json([file_value(row) for row in namespace.list_status(path)])  # a pattern?
        if not namespace.status(path).is_dir:
            return as_json([file_value(namespace.status(path))])
        first = namespace.list_options(path, PIECE)
        return Response(_array(self._listing(path, first)))

    async def _listing(self, path: str, page: list[FileStatus]) -> AsyncIterator[list[Any]]:
        while page:
            yield [file_value(row) for row in page]
            if len(page) < PIECE:
                return
            page = self._master.namespace.list_options(path, PIECE, page[-1].name)

    def block_locations(self, request: Request) -> Response:
        """/api/block_locations?path=P: a file and where its blocks are."""
        master, path = self._master, _path(request)
        master.require_active(0, request.peer)
        file = master.namespace.file_blocks(path)
        blocks = (block_value(block, master.workers) for block in file.blocks)
        head = b'{"status":%b,"block_locs":' % msgspec.json.encode(file_value(file.status))
        return Response(_array(_pieces(blocks), head, b"}"))

    # -- workers ----------------------------------------------------------------------------------

    def worker_objects(self, _request: Request) -> Response:
        """/api/workers."""
        workers, progress = self._master.workers, self._decommission.progress
        return as_json(
            {
                name: [worker_value(row, progress(row.address.worker_id)) for row in rows]
                for name, rows in (
                    ("live_workers", workers.registered),
                    ("lost_workers", workers.having(WorkerStatus.LOST)),
                )
            }
        )

    def worker_lines(self, _request: Request) -> Response:
        """/workers."""
        return _lines(self._master.workers.registered)

    def decommissioned(self, _request: Request) -> Response:
        """/get-dcm."""
        return _lines(self._master.workers.having(WorkerStatus.DECOMMISSION))

    def add_decommission(self, request: Request) -> Response:
        """/add-dcm?workers=h1,h2."""
        self._master.require_active(0, request.peer)
        return _lines(self._decommission.add(_names(request)))

    def remove_decommission(self, request: Request) -> Response:
        """/remove-dcm?workers=h1,h2."""
        self._master.require_active(0, request.peer)
        return _lines(self._decommission.remove(_names(request)))


def _path(request: Request) -> str:
    value = request.query("path")
    if value is None:
        raise Refused(500, "the parameter path is missing: ?path=/a/b")
    return normalize(name_to_wire(value))


def _names(request: Request) -> list[str]:
    text = (request.query("workers") or b"").decode("utf-8", "replace")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise Refused(400, "the parameter workers is missing: ?workers=host1,host2")
    return names


def _lines(workers: Iterable[WorkerInfo]) -> Response:
    return as_json([worker_line(info) for info in workers])


def _gigabytes(values: Iterable[int]) -> str:
    return f"{sum(values) / _GIB:.2f}GB"


async def _pieces(values: Iterator[Any]) -> AsyncIterator[list[Any]]:
    while piece := list(islice(values, PIECE)):
        yield piece


async def _array(
    pieces: AsyncIterator[list[Any]], head: bytes = b"", tail: bytes = b""
) -> AsyncIterator[bytes]:
    """A JSON array, piece by piece, between ``head`` and ``tail``."""
    start = head + b"["
    async for piece in pieces:
        yield start + msgspec.json.encode(piece)[1:-1]
        start = b","
    yield (b"" if start == b"," else start) + b"]" + tail
