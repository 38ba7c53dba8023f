# SPDX-License-Identifier: Apache-2.0
"""A worker: its blocks, the server in front of them, the link to the master, load tasks.

The wiring stands here and nowhere else. Order of a start: directories, scan, listen, register.
Order of a stop: END to the master, tasks, connections, threads, directories.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import uuid
from collections.abc import Callable

from curvine import ANNOUNCED_VERSION
from curvine.clock import Clock
from curvine.config.data_dir import DataDir
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError
from curvine.httpd.access import Access
from curvine.httpd.server import HttpServer
from curvine.model.worker import ComponentInfo, WorkerAddress
from curvine.rpc.auth import Auth
from curvine.rpc.connector import MasterConnector
from curvine.rpc.server import Handler, RpcServer
from curvine.wire.codes import (
    CAP_COPY,
    CAP_LARGE_BLOCKS,
    CAP_LOCAL_FD,
    CAP_REFERENCES,
    CAP_SYNC,
    RpcCode,
)
from curvine.worker.blockstore import BlockStore
from curvine.worker.damage import DamageReports
from curvine.worker.handlers.batch import BatchHandler
from curvine.worker.handlers.peers import PeerCheck
from curvine.worker.handlers.read import ReadHandler
from curvine.worker.handlers.task import TaskHandlers
from curvine.worker.handlers.write import WriteHandler
from curvine.worker.heat import Heat
from curvine.worker.iopool import IoPool
from curvine.worker.layout import Identity, Layout, new_identity
from curvine.worker.link import MasterLink
from curvine.worker.moving import Moves
from curvine.worker.pages import WorkerPages
from curvine.worker.replication import Copies
from curvine.worker.scrubber import Scrubber
from curvine.worker.tasks import LoadTasks, OpenUfs
from curvine.worker.tiers import StorageDir, Tiers

CAPABILITIES = (CAP_SYNC, CAP_LOCAL_FD, CAP_LARGE_BLOCKS, CAP_COPY, CAP_REFERENCES)
# A beat that cannot be delivered is given up after about this long (s) and sent anew, current.
MASTER_RETRY = 2.0
_log = logging.getLogger(__name__)


class WorkerServer:
    """One worker process."""

    def __init__(
        self,
        conf: ClusterConf,
        clock: Clock,
        open_ufs: OpenUfs,
        on_registered: Callable[[], None],
    ) -> None:
        self._conf = conf
        self._clock = clock
        self._open_ufs = open_ufs
        self._on_registered = on_registered
        self._auth = Auth.of(conf, clock)
        self._locks: list[int] = []
        self._io = IoPool(conf.worker.io_threads)
        self.store = BlockStore(
            Tiers(self._open_dirs()),
            self._io,
            checksums=conf.worker.checksum,
            patience=conf.worker.checksum_patience / 1000,
        )
        self._heat = Heat(clock, conf.worker.tier_half_life / 1000)
        self._background: list[asyncio.Task[None]] = []
        self._scrubber: Scrubber | None = None
        self._rpc: RpcServer | None = None
        self._http: HttpServer | None = None
        self._master: MasterConnector | None = None
        self._link: MasterLink | None = None
        self._linking: asyncio.Task[None] | None = None
        self._tasks: LoadTasks | None = None
        self._copies: Copies | None = None

    @property
    def identity(self) -> Identity:
        """The first directory's; all share its worker id."""
        return self.store.tiers.dirs[0].identity

    async def start(self) -> tuple[str, int]:
        """Scan, listen, begin to register; the address listened at."""
        _raise_descriptor_limit()
        began = self._clock.monotonic()
        await asyncio.get_running_loop().run_in_executor(self._io.threads, self.store.load)
        took = self._clock.monotonic() - began
        _log.info("%d blocks found in %.2f s", len(self.store.index), took)
        conf, worker = self._conf, self._conf.worker
        identity = self.identity
        self._tasks = LoadTasks(conf, self.store, identity.worker_id, self._clock, self._open_ufs)
        self._master = self._connector()
        self._copies = Copies(conf, self.store, self._master, self._clock, self._auth)
        self._start_scrubbing(self._master)
        self._rpc = RpcServer(
            self._handlers(self._tasks, self._copies),
            name="worker",
            ordered=True,
            idle_timeout=worker.io_timeout / 1000 if worker.io_close_idle else None,
            stall_timeout=worker.io_timeout / 1000,
            executor=self._io.threads,
            clock=self._clock,
            auth=self._auth,
        )
        host, port = await self._rpc.start(worker.bind_host, worker.rpc_port)
        await self._rpc.start_local(f"curvine/{conf.cluster_id}/{identity.worker_id}/{port}")
        address = WorkerAddress(
            worker_id=identity.worker_id,
            hostname=worker.hostname,
            ip_addr=conf.worker_advertised_host(),
            rpc_port=port,
            web_port=await self._start_pages(self._rpc),
        )
        self._start_link(self._master, address)
        self._start_moving()
        return host, port

    async def close(self) -> None:
        """Stop everything, in order. May be called after a failed start."""
        if self._link is not None and self._linking is not None:
            await self._link.stop()
            await self._linking
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        if self._tasks is not None:
            await self._tasks.close()
        if self._copies is not None:
            await self._copies.close()
        if self._rpc is not None:
            await self._rpc.close()
        if self._master is not None:
            await self._master.close()
        self.store.close()
        self._io.close()
        for lock in self._locks:
            os.close(lock)

    def _start_scrubbing(self, master: MasterConnector) -> None:
        """Checks in the background, and reports of what they and readers find."""
        worker, loop = self._conf.worker, asyncio.get_running_loop()
        reports = DamageReports(master, self._conf.cluster_id, self.identity.worker_id)
        self.store.on_damaged = reports.tell
        self._background.append(loop.create_task(reports.run()))
        if worker.checksum:
            self._scrubber = Scrubber(
                self.store,
                self._clock,
                rate=worker.scrub_rate,
                interval=worker.scrub_interval / 1000,
                quarantine_time=worker.quarantine_time / 1000,
            )
            self._background.append(loop.create_task(self._scrubber.run()))

    def _start_moving(self) -> None:
        """Moves between tiers, where there are several."""
        worker = self._conf.worker
        if not worker.tier_move_rate:
            return
        moves = Moves(
            self.store,
            self._heat,
            self._clock,
            interval=worker.tier_interval / 1000,
            rate=worker.tier_move_rate,
            promote_opens=worker.tier_promote_opens,
            high_water=worker.tier_high_water,
            low_water=worker.tier_low_water,
            to_memory=worker.tier_promote_to_memory,
        )
        if self._link is not None:
            moves.on_moved = self._link.moved
        self._background.append(asyncio.get_running_loop().create_task(moves.run()))

    async def _start_pages(self, rpc: RpcServer) -> int:
        """Serve the status pages; the port, 0 where they cannot be had."""
        worker = self._conf.worker
        pages = WorkerPages(
            self.store, lambda: len(rpc.connections), lambda: self._link, lambda: self._scrubber
        )
        access = Access(names=(worker.hostname, self._conf.worker_advertised_host()))
        self._http = HttpServer(pages.routes(), name="worker", access=access)
        await self._http.start(worker.bind_host, worker.web_port)
        return self._http.port

    def _handlers(self, tasks: LoadTasks, copies: Copies) -> dict[int, Handler]:
        peers = PeerCheck(self._conf.worker.compatibility)
        task = TaskHandlers(tasks)
        return {
            RpcCode.READ_BLOCK: ReadHandler(
                self.store,
                peers,
                self._conf.master.max_block_size,
                copies.suspect,
                self._heat.opened,
            ),
            RpcCode.WRITE_BLOCK: WriteHandler(self.store, peers),
            RpcCode.WRITE_BLOCKS_BATCH: BatchHandler(self.store, peers),
            RpcCode.SUBMIT_TASK: task.submit,
            RpcCode.CANCEL_JOB: task.cancel_job,
            RpcCode.READ_LOADING: task.read_loading,
            RpcCode.SUBMIT_BLOCK_REPLICATION_JOB: copies.submit,
        }

    def _connector(self) -> MasterConnector:
        conf = self._conf
        return MasterConnector(
            conf.client_master_addrs(),
            pool_size=1,
            conn_timeout=conf.client.conn_timeout_ms / 1000,
            rpc_timeout=conf.client.rpc_timeout_ms / 1000,
            retry_max=MASTER_RETRY,
            retry_max_sleep=0.5,
            clock=self._clock,
            auth=self._auth,
        )

    def _start_link(self, master: MasterConnector, address: WorkerAddress) -> None:
        conf = self._conf
        self._link = MasterLink(
            master,
            self.store,
            cluster_id=conf.cluster_id,
            address=address,
            weight=conf.worker.weight,
            session_id=str(uuid.uuid4()),
            component=ComponentInfo(
                component="worker", release_version=ANNOUNCED_VERSION, capabilities=CAPABILITIES
            ),
            interval=conf.master.heartbeat_interval / 1000,
            report_limit=conf.master.block_report_limit,
            unfinished_idle=conf.worker.unfinished_idle_time / 1000,
            clock=self._clock,
            on_registered=self._on_registered,
        )
        self._linking = asyncio.get_running_loop().create_task(self._link.run())

    def _open_dirs(self) -> list[StorageDir]:
        """Take every configured directory; they share one worker id, the first one found."""
        conf = self._conf
        entries = conf.worker.data_dirs()
        if not entries:
            raise ConfigError(
                'worker.data_dir is empty; name a directory, for example data_dir = ["[SSD]/data"]'
            )
        layouts = [Layout(entry.path, conf.cluster_id) for entry in entries]
        for layout in layouts:
            self._locks.append(layout.prepare(wipe=conf.format_worker))
        known = [layout.load_identity() for layout in layouts]
        worker_id = next((found.worker_id for found in known if found is not None), None)
        dirs: list[StorageDir] = []
        for entry, layout, found in zip(entries, layouts, known, strict=True):
            identity = _adopted(found, worker_id) or new_identity(conf.cluster_id, worker_id)
            worker_id = identity.worker_id
            if any(identity.dir_id == other.identity.dir_id for other in dirs):
                raise ConfigError(
                    f"worker.data_dir {layout.data_dir} is a copy of another directory "
                    f"(dir_id {identity.dir_id}); remove its version file or leave it out"
                )
            layout.store_identity(identity, self._clock.now_ms())
            dirs.append(_storage_dir(entry, layout, identity, conf.worker.dir_reserved))
        return dirs


def _adopted(found: Identity | None, worker_id: int | None) -> Identity | None:
    """What the directory says about itself, with the worker id that all directories share."""
    if found is None or worker_id is None:
        return None
    return Identity(found.cluster_id, worker_id, found.storage_id, found.dir_id)


def _storage_dir(entry: DataDir, layout: Layout, identity: Identity, keep_free: int) -> StorageDir:
    return StorageDir(
        layout, identity, entry.storage_type, limit=entry.capacity, keep_free=keep_free
    )


def _raise_descriptor_limit() -> None:
    """Every open stream holds a descriptor or two: take all that we are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
