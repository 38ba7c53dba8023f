# SPDX-License-Identifier: Apache-2.0
"""Connections to workers: by TCP, or by the local socket that proves a worker to be on this node.

Locality is never believed from a host name (decision 23): a worker is local when its abstract
Unix socket answers and belongs to a user that we trust. A worker without one is asked again after
``_ASK_AGAIN`` seconds, since it may have been restarted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from curvine.client.health import WorkerHealth
from curvine.client.hedging import Hedger
from curvine.client.kept_files import KeptFiles
from curvine.client.node_cache import NodeCache
from curvine.client.stats import ClientStats
from curvine.clock import Clock
from curvine.config.schema import ClientConf
from curvine.errors import ConnectionLost, CurvineError, TimedOut
from curvine.model.worker import ComponentInfo, WorkerAddress
from curvine.rpc.dialing import within
from curvine.rpc.pool import BlockPool
from curvine.rpc.stream import BlockStream
from curvine.wire.codes import RpcCode
from curvine.wire.frame import Buffer, Frame

_ASK_AGAIN = 5.0
_HURRY = 0.5
_STRAGGLER = 15.0  # above what a disk under pressure takes
_PATIENCE = 20.0  # a worker that is restarted serves again within this time (s)
RETRY_PAUSE = 0.1  # s before a worker that went away is asked again


def local_socket_name(cluster_id: str, worker: WorkerAddress) -> str:
    """Name of a worker's abstract Unix socket, without the leading NUL."""
    return f"curvine/{cluster_id}/{worker.worker_id}/{worker.rpc_port}"


class Streams:
    """Gives out block streams; what readers and writers of one client share."""

    def __init__(
        self,
        pool: BlockPool,
        conf: ClientConf,
        cluster_id: str,
        identity: ComponentInfo,
        client_name: str,
        health: WorkerHealth,
        clock: Clock,
    ) -> None:
        self.pool = pool
        self.conf = conf
        self.identity = identity
        self.client_name = client_name
        self.health = health
        self._cluster_id = cluster_id
        self._clock = clock
        self._not_local: dict[int, float] = {}  # worker id -> when its socket did not answer
        self._local: set[int] = set()
        self.writing: Counter[int] = Counter()  # inode id -> writers of this client
        self.hedger = Hedger()
        self.node_cache = (
            NodeCache(conf.node_cache_dir, cluster_id, conf.node_cache_size)
            if conf.node_cache_dir
            else None
        )
        self.kept_files = KeptFiles(clock)
        self.forgets_stale = False  # the master drops replicas that a commit does not name
        self.readers_ahead = 0  # files that are being read ahead of their readers
        self.stats = ClientStats()

    def near(self) -> frozenset[int]:
        """Ids of workers that have proved to be on this node."""
        return frozenset(self._local)

    def same_host_name(self, worker: WorkerAddress) -> bool:
        """Whether path short circuit may be tried with a worker that has no local socket."""
        own = self.conf.hostname
        return self.conf.short_circuit and own == worker.hostname and own != "localhost"

    async def open_local(
        self, worker: WorkerAddress, code: RpcCode, header: bytes, *, hurried: bool = False
    ) -> tuple[BlockStream, Frame] | None:
        """Open a block through the worker's local socket; None when there is no such socket.

        Errors of the worker itself are raised. ``hurried``: there are others that can be asked, so
        one that hangs is not waited for until the time-out.
        """
        if not self.conf.short_circuit or not self._may_be_local(worker.worker_id):
            return None
        if hurried and self.health.is_slow(worker):
            return None
        opening = self._open(local_socket_name(self._cluster_id, worker), code, header)
        try:
            opened = await (within(opening, _HURRY) if hurried else opening)
        except TimeoutError:
            self.health.slow(worker)
            return None
        except ConnectionLost:
            self._is_not_local(worker)
            return None
        except TimedOut as error:
            self.health.failed(worker, error)
            raise
        self._local.add(worker.worker_id)
        self.health.succeeded(worker)
        return opened

    async def open_local_again(
        self, worker: WorkerAddress, code: RpcCode, header: bytes
    ) -> tuple[BlockStream, Frame]:
        """Open a block through the local socket of a worker that had one; it may be restarting."""
        return await self._open(local_socket_name(self._cluster_id, worker), code, header)

    async def open(
        self, worker: WorkerAddress, code: RpcCode, header: bytes
    ) -> tuple[BlockStream, Frame]:
        """Open a block over TCP."""
        try:
            opened = await self._open((worker.ip_addr, worker.rpc_port), code, header)
        except CurvineError as error:
            self.health.failed(worker, error)
            raise
        self.health.succeeded(worker)
        return opened

    async def exchange(
        self,
        worker: WorkerAddress,
        code: RpcCode,
        opening: bytes,
        pieces: Sequence[tuple[bytes, Buffer]],
        ending: bytes,
    ) -> list[Frame]:
        """A small block's whole session in one round trip, by the local socket where there is one.

        ``opening`` must not ask for short circuit."""
        try:
            try:
                replies = await self._exchange(worker, code, opening, pieces, ending)
            except ConnectionLost:  # it may have died in the pool; all of it may be done again
                replies = await self._exchange(worker, code, opening, pieces, ending)
        except CurvineError as error:
            self.health.failed(worker, error)
            raise
        self.health.succeeded(worker)
        return replies

    async def _exchange(
        self,
        worker: WorkerAddress,
        code: RpcCode,
        opening: bytes,
        pieces: Sequence[tuple[bytes, Buffer]],
        ending: bytes,
    ) -> list[Frame]:
        stream: BlockStream | None = None
        if self.conf.short_circuit and self._may_be_local(worker.worker_id):
            try:
                stream = await self.pool.acquire(local_socket_name(self._cluster_id, worker))
                self._local.add(worker.worker_id)
            except ConnectionLost:
                self._is_not_local(worker)
        if stream is None:
            stream = await self.pool.acquire((worker.ip_addr, worker.rpc_port))
        self.stats.block_trips += 1
        try:
            replies = await stream.exchange(code, opening, pieces, ending)
        except BaseException:
            self.discard(stream)
            raise
        self.release(stream)
        return replies

    async def complete_again(self, worker: WorkerAddress, code: RpcCode, header: bytes) -> None:
        """Say Complete of a block that is complete. Tried twice: a connection may have died in the
        pool."""
        try:
            await self._complete_again(worker, code, header)
        except ConnectionLost:
            await self._complete_again(worker, code, header)

    async def _complete_again(self, worker: WorkerAddress, code: RpcCode, header: bytes) -> None:
        stream = await self.pool.acquire((worker.ip_addr, worker.rpc_port))
        self.stats.block_trips += 1
        try:
            await stream.complete_alone(code, header)
        except BaseException:
            self.discard(stream)
            raise
        self.release(stream)

    @property
    def patience(self) -> float:
        """How long to wait (s) for a worker that alone has what was written."""
        return min(self.conf.rpc_retry_max_duration_ms / 1000, _PATIENCE)

    @property
    def straggler_patience(self) -> float:
        """How long (s) a replica may take longer than another one for a write."""
        return min(self.conf.data_timeout_ms / 1000, _STRAGGLER)

    def now(self) -> float:
        """Monotonic time (s)."""
        return self._clock.monotonic()

    def release(self, stream: BlockStream) -> None:
        """Give a connection back whose session has ended."""
        self.pool.release(stream)

    def discard(self, stream: BlockStream) -> None:
        """Close a connection that nobody may use again."""
        stream.close()

    def _is_not_local(self, worker: WorkerAddress) -> None:
        self._local.discard(worker.worker_id)
        self._not_local[worker.worker_id] = self._clock.monotonic()

    def _may_be_local(self, worker_id: int) -> bool:
        since = self._not_local.get(worker_id)
        return since is None or self._clock.monotonic() - since >= _ASK_AGAIN

    async def _open(
        self, address: tuple[str, int] | str, code: RpcCode, header: bytes
    ) -> tuple[BlockStream, Frame]:
        """Open on a pooled or new connection; one that died in the pool is replaced once."""
        self.stats.block_trips += 1
        stream = await self.pool.acquire(address)
        try:
            return stream, await stream.open(code, header)
        except ConnectionLost:
            self.discard(stream)
        except BaseException:
            self.discard(stream)
            raise
        stream = await self.pool.acquire(address)
        try:
            return stream, await stream.open(code, header)
        except BaseException:
            self.discard(stream)
            raise
