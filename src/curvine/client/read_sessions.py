# SPDX-License-Identifier: Apache-2.0
"""The streams on which one reader reads its block: one a worker and chunk size.

The worker cuts what it sends into chunks of a size fixed at Open, so reads of about the same size
share a stream. Sizes are bytes.

Concurrency: the locks make sure that each of them is opened once.
"""

from __future__ import annotations

import asyncio

from curvine.client.block_messages import read_request
from curvine.client.block_session import READ, ReadSession
from curvine.client.streams import Streams
from curvine.model.block import ExtendedBlock
from curvine.model.worker import WorkerAddress

_SMALLEST_CHUNK = 4 * 1024
_CHUNK_STEP = 4  # chunk sizes are 4 KiB x 4^n: at most four times what was asked is sent


class ReadSessions:
    """See the module. ``largest`` bounds a chunk."""

    def __init__(self, streams: Streams, block: ExtendedBlock, largest: int) -> None:
        self._streams = streams
        self._block = block
        self._largest = largest
        self._open: dict[tuple[int, int], ReadSession] = {}  # by worker id, chunk size
        self._locks: dict[int, asyncio.Lock] = {}  # by worker id

    def __contains__(self, session: ReadSession) -> bool:
        return session in self._open.values()

    def __bool__(self) -> bool:
        return bool(self._open)

    async def get(self, worker: WorkerAddress, size: int) -> ReadSession:
        """A stream for reads of ``size``, perhaps opened now. Errors of opening are raised."""
        chunk = _SMALLEST_CHUNK
        while chunk < size and chunk < self._largest:
            chunk *= _CHUNK_STEP
        chunk = min(chunk, self._largest)
        key = worker.worker_id, chunk
        async with self._locks.setdefault(worker.worker_id, asyncio.Lock()):
            session = self._open.get(key)
            if session is None or session.broken:
                header = read_request(
                    self._block,
                    chunk_size=chunk,
                    read_ahead=self._largest if chunk == self._largest else 0,
                    identity=self._streams.identity,
                )
                stream, _ = await self._streams.open(worker, READ, header)
                session = ReadSession(self._streams, stream, self._block.id, self._block.len, chunk)
                self._open[key] = session
            return session

    def fail(self, worker: WorkerAddress) -> None:
        """Nothing more is asked on the worker's streams; who waits on them gets ConnectionLost."""
        for key in [key for key in self._open if key[0] == worker.worker_id]:
            self._open.pop(key).fail()

    def take(self) -> list[ReadSession]:
        """All of them, from now on the caller's to close."""
        sessions, self._open = list(self._open.values()), {}
        return sessions
