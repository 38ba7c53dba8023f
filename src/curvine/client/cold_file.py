# SPDX-License-Identifier: Apache-2.0
"""Reading a file that is not cached yet: from the worker that loads it, as its bytes arrive there.

So a cold file is downloaded once, however many processes read it (decision 27). The reader asks the
master where the file is being loaded, which starts a load if there is none, and takes what it reads
in sequence from that worker, which fetches next what somebody waits for. Small reads elsewhere that
are not there yet go to the source. When the load has ended the reader goes on in the cached copy;
when anything fails, in the source. Offsets and sizes are bytes, times s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from curvine.client.autocache import AutoCache
from curvine.client.cluster import ClusterClient
from curvine.client.files import ReadableFile
from curvine.client.local_file import Data
from curvine.client.prefetch import Prefetcher
from curvine.client.ufs_file import UfsFileReader
from curvine.errors import CurvineError, NotFound
from curvine.model.inode import FileStatus
from curvine.model.job import LoadCommand
from curvine.model.worker import WorkerAddress
from curvine.ufs.base import UfsReader
from curvine.wire.codes import CAP_LOADING, RpcCode
from curvine.wire.pb import ext_pb2

log = logging.getLogger(__name__)

SLICE = 4 * 1024 * 1024
DEPTH = 4
THRESHOLD = 3
PLACE_PATIENCE = 3.0  # for a worker to have the file's task
BYTES_PATIENCE = 20.0  # for bytes; the source is slow, or the worker hangs

Loaded = Callable[[], Awaitable[ReadableFile | None]]


class ColdFiles:
    """Makes readers of files that are not cached, and has these cached."""

    def __init__(self, cluster: ClusterClient, auto_cache: AutoCache) -> None:
        self._cluster = cluster
        self._auto_cache = auto_cache

    def reader(
        self, status: FileStatus, source: UfsReader, uri: str, loaded: Loaded
    ) -> ReadableFile:
        """A reader of the file at ``uri``, opened as ``source``. ``loaded`` opens its copy, once
        there is one."""
        cluster, stats = self._cluster, self._cluster.streams.stats
        # What costs only system calls is read by everybody for himself.
        lacking = cluster.introduced and CAP_LOADING not in cluster.capabilities
        if source.local_fd() is not None or lacking:
            stats.loads_skipped += not self._auto_cache.missed(uri)
            return UfsFileReader(status, source)
        start = self._auto_cache.may_submit(uri)
        stats.loads_skipped += not start
        return ColdReader(cluster, status, source, uri, start, loaded)


class ColdReader:
    """One open file. ``start``: have it loaded if it is not being loaded."""

    def __init__(
        self,
        cluster: ClusterClient,
        status: FileStatus,
        source: UfsReader,
        uri: str,
        start: bool,
        loaded: Loaded,
    ) -> None:
        self.status = status
        self.length = source.length
        self._cluster = cluster
        self._source = source
        self._uri = uri
        self._loaded = loaded
        self._cached: ReadableFile | None = None
        self._alone = False  # the source is all that is left
        self._turn = asyncio.Lock()
        self._place = asyncio.ensure_future(self._find(start))
        self._prefetcher = Prefetcher(
            self._fetch, self.length, slice_size=SLICE, depth=DEPTH, threshold=THRESHOLD
        )

    @property
    def from_cache(self) -> bool:
        return False

    async def read(self, offset: int, length: int) -> Data:
        length = min(length, self.length - offset)
        if length <= 0:
            return b""
        return await self._prefetcher.read(offset, length)

    async def local_fd(self) -> int | None:
        return None

    async def close(self) -> None:
        self._place.cancel()
        await asyncio.gather(self._place, return_exceptions=True)
        await self._prefetcher.close()
        if self._cached is not None:
            await self._cached.close()
        await self._source.close()

    async def _find(self, start: bool) -> WorkerAddress | None:
        try:
            async with asyncio.timeout(PLACE_PATIENCE):
                if not self._cluster.introduced:
                    await self._cluster.handshake()
                if CAP_LOADING not in self._cluster.capabilities:
                    if start:
                        await self._cluster.admin.submit_load(
                            LoadCommand(source_path=self._uri, overwrite=True)
                        )
                    return None
                return await self._cluster.admin.loading_at(self._uri, start=start)
        except (CurvineError, TimeoutError) as error:
            log.info("%s is read from the source: %s", self._uri, error)
            return None

    async def _fetch(self, offset: int, size: int) -> Data:
        if self._cached is None and not self._alone:
            worker = await asyncio.shield(self._place)
            whole = offset % SLICE == 0 and (size == SLICE or offset + size == self.length)
            if worker is not None:
                data = await self._ask(worker, offset, size, wait=whole)
                if data:
                    return data
                if data is not None:
                    return await self._source.read_at(offset, size)
            await self._go_on()
        if self._cached is not None:
            return await self._cached.read(offset, size)
        return await self._source.read_at(offset, size)

    async def _ask(
        self, worker: WorkerAddress, offset: int, size: int, *, wait: bool
    ) -> Data | None:
        """Bytes from the worker that loads the file; nothing if they are not there yet, None if it
        does not load it (any more)."""
        source, streams = self._source, self._cluster.streams
        request = ext_pb2.ReadLoadingRequest(
            source=self._uri, target=self.status.path, length=self.length, mtime=source.mtime,
            etag=source.etag, offset=offset, size=size, wait=wait,
        ).SerializeToString()  # fmt: skip
        code = RpcCode.READ_LOADING
        try:
            async with asyncio.timeout(BYTES_PATIENCE):
                opened = await streams.open_local(worker, code, request)
                stream, reply = opened or await streams.open(worker, code, request)
        except (CurvineError, TimeoutError) as error:
            log.info("%s: worker %d does not serve it: %s", self._uri, worker.worker_id, error)
            return None
        streams.release(stream)
        answer = ext_pb2.ReadLoadingResponse.FromString(reply.header)
        if not answer.loading:
            return None
        if not answer.there:
            return b""
        return memoryview(reply.data) if len(reply.data) == size else None

    async def _go_on(self) -> None:
        """The load has ended, or is of no use: read the copy if there is one, else the source."""
        async with self._turn:
            if self._cached is not None or self._alone:
                return
            try:
                self._cached = await self._loaded()
            except NotFound:
                pass
            except CurvineError as error:
                log.info("%s: its copy is not used: %s", self._uri, error)
            self._alone = self._cached is None
