# SPDX-License-Identifier: Apache-2.0
"""One client of one cluster: who it is, its connections, and what it learnt about the cluster.

``ClusterClient`` is an async context. On entry it introduces itself to the master (best effort:
a cluster that is down is found out by the first real call), and from then on reports its counters
every ``clean_task_interval_ms``. Everything that reads or writes is built on it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections import Counter
from functools import partial
from types import TracebackType

from curvine import ANNOUNCED_VERSION
from curvine.client.admin import Admin
from curvine.client.health import WorkerHealth
from curvine.client.locations import LocationCache
from curvine.client.namespace import Namespace
from curvine.client.reader import FileReader
from curvine.client.slots import apply_allocations
from curvine.client.stats import MeteredCaller
from curvine.client.streams import Streams
from curvine.client.watch import ChangeWatch
from curvine.client.writer import FileWriter
from curvine.clock import Clock, SystemClock
from curvine.config.schema import ClusterConf
from curvine.errors import CurvineError
from curvine.model.block import FileBlocks
from curvine.model.inode import CreateOpts, StoragePolicy, StorageType, TtlAction
from curvine.model.worker import ClientAddress, ComponentInfo, FilesystemInfo
from curvine.rpc.auth import Auth
from curvine.rpc.connector import MasterConnector, new_req_id
from curvine.rpc.pool import BlockPool
from curvine.wire.codes import (
    CAP_LARGE_BLOCKS,
    CAP_LOCAL_FD,
    CAP_REFERENCES,
    CAP_SYNC,
    CAP_WATCH,
)

log = logging.getLogger(__name__)

_MS = 1000
_MIB = 1 << 20
_WATCH_DIAL = 3.0  # s for an attempt to connect
LARGE_BLOCK = 64 << 30  # asked for where master and workers announce large blocks (decision 25)
MAX_ONE_BLOCK = (4 << 30) - _MIB  # a real master keeps block sizes in 32 bits
GIANT_BLOCK = 1 << 30  # block size of files beyond that


class ClusterClient:
    """See the module. ``component`` is what the cluster is told we are (client, fuse, cli ...).

    ``client_name`` identifies its open writers: a process that takes over from one that was killed
    goes on under the same name. Default: a fresh one.
    """

    def __init__(
        self,
        conf: ClusterConf,
        *,
        component: str = "client",
        client_name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        client = conf.client
        self.conf = conf
        self.clock: Clock = clock or SystemClock()
        self.client_name = client_name or str(uuid.uuid4())
        self.identity = ComponentInfo(
            component=component,
            release_version=ANNOUNCED_VERSION,
            capabilities=(CAP_WATCH, CAP_SYNC, CAP_LOCAL_FD, CAP_LARGE_BLOCKS, CAP_REFERENCES),
        )
        self.address = ClientAddress(self.client_name, client.hostname, _own_ip(client.hostname))
        auth = Auth.of(conf, self.clock)
        self.rpc = MasterConnector(
            conf.client_master_addrs(),
            pool_size=client.master_conn_pool_size,
            conn_timeout=client.conn_timeout_ms / _MS,
            rpc_timeout=client.rpc_timeout_ms / _MS,
            retry_max=client.rpc_retry_max_duration_ms / _MS,
            retry_min_sleep=client.rpc_retry_min_sleep_ms / _MS,
            retry_max_sleep=client.rpc_retry_max_sleep_ms / _MS,
            clock=self.clock,
            auth=auth,
        )
        self.pool = BlockPool(
            max_idle=client.block_conn_idle_size if client.enable_block_conn_pool else 0,
            idle_seconds=client.block_conn_idle_time_ms / _MS,
            conn_timeout=client.conn_timeout_ms / _MS,
            rpc_timeout=client.data_timeout_ms / _MS,
            clock=self.clock,
            auth=auth,
        )
        self.health = WorkerHealth(self.clock, client.failed_worker_ttl_ms)
        self.streams = Streams(
            self.pool, client, conf.cluster_id, self.identity, self.client_name, self.health,
            self.clock,
        )  # fmt: skip
        metered = MeteredCaller(self.rpc, self.streams.stats)
        self.watch = ChangeWatch(
            conf.client_master_addrs(), self.identity, auth=auth, clock=self.clock,
            conn_timeout=min(client.conn_timeout_ms / _MS, _WATCH_DIAL),
        )  # fmt: skip
        self.watch.on_seq_id = partial(setattr, self.rpc, "seq_id")
        known = LocationCache(self.watch, self.clock)
        self.ns = Namespace(metered, self.address, new_req_id, known)
        self.admin = Admin(metered, self.identity, new_req_id)
        self.counters: Counter[str] = Counter()  # increments since the last report
        self.capabilities: frozenset[str] = frozenset()  # what the master announced
        self.introduced = False  # whether a handshake has told us those
        self._large_blocks = False
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> ClusterClient:
        self._background.append(asyncio.create_task(self._introduce()))
        if self.conf.client.metric_report_enable:
            self._background.append(asyncio.create_task(self._report()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Open readers and writers have to be closed before."""
        tasks, self._background = self._background, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.watch.close()
        if self.streams.node_cache is not None:
            await self.streams.node_cache.close()
        self.streams.kept_files.close()
        self.pool.close()
        await self.rpc.close()

    async def handshake(self) -> FilesystemInfo:
        """Say who we are, learn what the cluster can do; the cluster's totals."""
        info = await self.admin.filesystem_info()
        self.capabilities = frozenset(info.server.capabilities if info.server else ())
        self.introduced = True
        self.streams.forgets_stale = CAP_WATCH in self.capabilities  # that is: it is one of ours
        workers = [worker.component for worker in info.live_workers]
        self._large_blocks = (
            CAP_LARGE_BLOCKS in self.capabilities
            and bool(workers)
            and all(c is not None and CAP_LARGE_BLOCKS in c.capabilities for c in workers)
        )
        return info

    def reader(self, file: FileBlocks, *, patient: bool = False) -> FileReader:
        """A reader of a file whose blocks are known; ``patient`` where it is nowhere else."""
        path = file.status.path
        return FileReader(
            self.streams,
            file,
            lambda: self.ns.block_locations(path, fresh=True),
            patient=patient,
        )

    def writer(self, file: FileBlocks) -> FileWriter:
        """A writer of a file that was opened for writing."""
        return FileWriter(self.streams, self.ns, file)

    async def apply_allocations(self, file: FileBlocks) -> None:
        """Carry out on the workers what ResizeFile answered."""
        short = await apply_allocations(self.streams, file)
        if short:
            status = file.status
            await self.ns.complete_file(
                status.path, inode_id=status.id, length=status.len, commits=short, only_flush=True
            )

    def create_opts(
        self,
        *,
        mode: int = 0o644,
        owner: str = "",
        group: str = "",
        create_parent: bool = False,
        block_size: int | None = None,
        size_hint: int | None = None,
    ) -> CreateOpts:
        """Options of a new file: this client's defaults, one block where the size allows it."""
        client = self.conf.client
        return CreateOpts(
            client_name=self.client_name,
            create_parent=create_parent,
            replicas=client.replicas,
            block_size=block_size or self.block_size_for(size_hint),
            storage_policy=StoragePolicy(
                storage_type=StorageType[client.storage_type.upper()],
                ttl_ms=client.ttl_ms,
                ttl_action=TtlAction[client.ttl_action.upper()],
            ),
            mode=mode,
            owner=owner,
            group=group,
        )

    def block_size_for(self, size: int | None) -> int:
        """The block size for a file that will have ``size`` bytes (None = nobody knows)."""
        default = self.conf.client.block_size
        if size is None:
            return LARGE_BLOCK if self._large_blocks else default
        if size <= default:
            return default
        if size <= MAX_ONE_BLOCK:
            return -(-size // _MIB) * _MIB
        return LARGE_BLOCK if self._large_blocks and size <= LARGE_BLOCK else GIANT_BLOCK

    async def _introduce(self) -> None:
        try:
            await self.handshake()
        except CurvineError as error:
            log.info("the master did not answer the handshake: %s", error)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self.conf.client.clean_task_interval_ms / _MS)
            increments, self.counters = self.counters, Counter()
            increments.update(self.streams.stats.increments())
            if not increments:
                continue
            try:
                await self.admin.report_metrics(self.address.ip_addr, increments)
            except CurvineError as error:
                log.debug("metrics not reported: %s", error)
                self.counters.update(increments)


def _own_ip(hostname: str) -> str:
    """The address that our host name stands for; the loopback when it stands for nothing."""
    try:
        return socket.gethostbyname(hostname)
    except OSError:
        return "127.0.0.1"
