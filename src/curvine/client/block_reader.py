# SPDX-License-Identifier: Apache-2.0
"""Reading one block: from a local file, from a worker, or as the zeros of a hole.

Replicas are tried one after the other, the local one first and those that failed lately last; a
replica that fails is not asked again by this reader, one that is slow gets company
(client.hedging). Offsets are inside the block. Source: data-plane specification 1 and 4.2.

Concurrency: reads may run side by side. ``_workers`` loses entries, and one that is slow goes to
its end; ``_opening`` makes sure that a local source is opened once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Coroutine
from functools import partial

from curvine.client.block_messages import read_answer, read_complete, read_request
from curvine.client.block_put import get_block
from curvine.client.block_session import READ, worker_name
from curvine.client.local_file import INLINE_LIMIT, Data, read_cached, read_file
from curvine.client.node_cache import BlockKey
from curvine.client.read_sessions import ReadSessions
from curvine.client.streams import Streams
from curvine.errors import ConnectionLost, CurvineError, IoFailed, NoAvailableWorker
from curvine.model.block import LocatedBlock
from curvine.model.worker import WorkerAddress
from curvine.rpc.channel import frame_fd
from curvine.rpc.dialing import within
from curvine.rpc.stream import BlockStream

log = logging.getLogger(__name__)

_LEAVE = 1.0  # s for taking leave of the workers


class BlockReader:
    """Positional reads of ``located``. ``largest_chunk`` bounds a message (bytes); ``version`` of
    the file lets the node's cache serve it."""

    def __init__(
        self,
        streams: Streams,
        located: LocatedBlock,
        largest_chunk: int,
        version: tuple[int, int] | None = None,
    ) -> None:
        self._streams = streams
        block = located.block
        self._key = BlockKey(block.id, block.len, version) if version else None
        self._located = located
        self.block = located.block
        self._largest = largest_chunk
        self._workers = streams.health.order(located.locs, streams.near())
        self._hole = not located.locs and located.block.alloc_opts is not None
        self._retried: set[int] = set()
        self._last: CurvineError | None = None  # why the last worker was given up
        self._fd = -1
        self._retired = -1  # a descriptor that failed; a thread may still be reading from it
        self._asked_local = False
        self._sessions = ReadSessions(streams, located.block, largest_chunk)
        self._opening = asyncio.Lock()
        self._ends: set[asyncio.Task[None]] = set()
        self._closed = False
        self.users = 0

    def read_now(self, offset: int, size: int) -> Data | None:
        """Likewise if it needs no waiting: a local block in memory. None: use ``read``."""
        if self._fd < 0 or size > INLINE_LIMIT or offset + size > self.block.len:
            return None
        try:
            return read_cached(self._fd, offset, size)
        except OSError:
            return None

    async def read(self, offset: int, size: int) -> Data:
        """``size`` bytes at ``offset``; the range lies inside the block."""
        if self._hole:
            return bytes(size)
        self.users += 1
        try:
            return await self._read(offset, size)
        finally:
            self._left()

    async def read_all(self) -> Data:
        """The whole of a small block (GET_LIMIT), in one round trip from where it is."""
        if self._hole or not self.block.len:
            return bytes(self.block.len)
        last: CurvineError | None = None
        streams, located = self._streams, self._located
        if streams.node_cache is not None and await self.local_fd() is not None:
            return await self.read(0, self.block.len)
        workers = list(self._workers)
        for worker, other in zip(workers, [*workers[1:], None], strict=True):
            try:
                if other is None:
                    return await get_block(streams, located, worker)
                data, second = await streams.hedger.race(
                    partial(get_block, streams, located, worker),
                    partial(get_block, streams, located, other),
                )
                if second:
                    streams.health.slow(worker)
                return data
            except CurvineError as error:
                last = error
                log.info("block %d: %s", self.block.id, error)
        raise NoAvailableWorker(f"no worker gives block {self.block.id}: {last}") from last

    async def local_fd(self) -> int | None:
        """A descriptor of the block's file if a local worker passed one; owned by this reader."""
        if self._fd >= 0:
            return self._fd
        if self._asked_local or self._hole:
            return None
        self.users += 1
        try:
            async with self._opening:
                await self._ask_local()
        finally:
            self._left()
        return self._fd if self._fd >= 0 else None

    async def is_near(self) -> bool:
        """Whether reads cost no message: reading ahead would only copy."""
        return self._hole or await self.local_fd() is not None

    def close_now(self) -> bool:
        """Close if there is nobody to wait for; False: use ``close``."""
        if self._sessions or self._ends or self.users:
            return False
        self._close_files()
        return True

    async def close(self) -> None:
        """End every session, once the reads that are under way have ended. A second call does
        nothing."""
        self._asked_local = self._closed = True
        if not self.users:
            self._let_go()
            if self._ends:
                # A worker that hangs is not waited for: what is cancelled closes its connection.
                _, late = await asyncio.wait(self._ends, timeout=_LEAVE)
                for end in late:
                    end.cancel()

    def _left(self) -> None:
        """A read has ended; the last one after ``close`` does what that left to it: a descriptor
        that is read from, by a thread perhaps, and replies that are waited for are still needed."""
        self.users -= 1
        if self._closed and not self.users:
            self._let_go()

    def _let_go(self) -> None:
        self._close_files()
        for session in self._sessions.take():
            self._later(session.close())

    def _close_files(self) -> None:
        self._asked_local = self._closed = True
        for fd in (self._fd, self._retired):
            if fd >= 0:
                os.close(fd)
        self._fd = self._retired = -1

    async def _read(self, offset: int, size: int) -> Data:
        if await self.local_fd() is not None:
            try:
                found = await read_file(self._fd, offset, size)
                if len(found) == size:
                    return found
                self._last = IoFailed(f"the local file of block {self.block.id} is too short")
            except CurvineError as error:
                self._last = error
            self._drop_local(self._last)
        while self._workers:
            worker = self._workers[0]
            try:
                if len(self._workers) == 1:
                    return await self._read_from(worker, offset, size)
                return await self._read_hedged(worker, self._workers[1], offset, size)
            except CurvineError as error:
                self._failed(worker, error)
        last = self._last  # of this read, or of one beside it
        reason = f": {last}" if last else ", the master names none"
        raise NoAvailableWorker(f"no worker gives block {self.block.id}{reason}") from last

    async def _read_hedged(
        self, worker: WorkerAddress, other: WorkerAddress, offset: int, size: int
    ) -> Data:
        data, second = await self._streams.hedger.race(
            lambda: self._read_from(worker, offset, size),
            lambda: self._read_from(other, offset, size),
        )
        if second and worker in self._workers[:1]:
            log.warning(
                "%s is slow, block %d is read elsewhere", worker_name(worker), self.block.id
            )
            self._streams.health.slow(worker)
            self._workers.append(self._workers.pop(0))
        return data

    async def _read_from(self, worker: WorkerAddress, offset: int, size: int) -> Data:
        while worker in self._workers:
            session = await self._sessions.get(worker, size)
            try:
                data = await session.read(offset, size)
            except ConnectionLost:
                # One connection that breaks is one failure, however many reads were under way; and
                # none where a read was cancelled that had replies under way.
                if session in self._sessions and not session.cancelled:
                    raise
            else:
                self._streams.health.succeeded(worker)
                return data
        raise ConnectionLost(f"{worker_name(worker)} has failed")

    # --- local ----------------------------------------------------------------------------------

    async def _ask_local(self) -> None:
        """Ask the nearest candidates for the block's descriptor, once."""
        if self._asked_local:
            return
        kept = self._streams.kept_files
        self._fd = _whole(kept.take(self._key), self.block.len)
        if self._fd >= 0:
            self._asked_local = True
            return
        header = read_request(
            self.block,
            chunk_size=self._largest,
            short_circuit=True,
            identity=self._streams.identity,
        )
        for worker in list(self._workers):
            hurried = len(self._workers) > 1
            try:
                opened = await self._streams.open_local(worker, READ, header, hurried=hurried)
            except CurvineError as error:
                log.info("%s does not pass block %d: %s", worker_name(worker), self.block.id, error)
                continue
            if opened is None:
                if self._streams.same_host_name(worker):
                    await self._ask_path(worker, header)
            else:
                stream, reply = opened
                self._end(stream)
                self._fd = _whole(frame_fd(reply), self.block.len)
                kept.keep(self._key, self._fd)
            if self._fd >= 0:
                break
        if self._fd < 0:
            self._ask_node_cache()
        health = self._streams.health  # one may have hung just now
        self._workers.sort(key=lambda worker: (health.suspect(worker), health.is_slow(worker)))
        self._asked_local = True

    def _ask_node_cache(self) -> None:
        """The descriptor of a copy on this node; where there is none, have one made."""
        cache, key = self._streams.node_cache, self._key
        if cache is None or key is None:
            return
        fd = cache.open(key)
        if fd is not None:
            self._fd = _whole(fd, self.block.len)
            return
        streams, located, largest = self._streams, self._located, self._largest

        def source() -> BlockReader:
            reader = BlockReader(streams, located, largest)
            reader._asked_local = True  # there is nothing
            return reader

        cache.want(key, source)

    async def _ask_path(self, worker: WorkerAddress, header: bytes) -> None:
        """Path short circuit of other Curvine workers: the host name fits, the file has to open."""
        if self._streams.health.is_slow(worker):
            return
        try:
            stream, reply = await within(
                self._streams.open(worker, READ, header), self._streams.hedger.delay
            )
        except (CurvineError, TimeoutError):
            return  # the remote session meets the same and deals with it
        path = read_answer(reply.header).path
        fd: int | None = None
        if os.path.basename(path) == f"blk_{self.block.id}":
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError as error:
                log.info("%s: %s; the block is read by TCP", path, error.strerror)
        self._end(stream)
        self._fd = _whole(fd, self.block.len)

    def _drop_local(self, error: CurvineError) -> None:
        self._streams.kept_files.drop(self._key)
        log.warning("block %d is not read from its local file any more: %s", self.block.id, error)
        if self._fd >= 0:
            self._retired, self._fd = self._fd, -1

    def _end(self, stream: BlockStream) -> None:
        """End a session behind the reader's back: the descriptor needs no open stream."""
        self._later(_complete(self._streams, stream, self.block.id))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    # --- remote ---------------------------------------------------------------------------------

    def _failed(self, worker: WorkerAddress, error: CurvineError) -> None:
        """Leave ``worker`` for the next replica; a lost connection is replaced once before."""
        if worker not in self._workers:
            return  # another read has done it
        self._last = error
        self._sessions.fail(worker)
        lost = isinstance(error, ConnectionLost) and not self._streams.health.suspect(worker)
        if lost and worker.worker_id not in self._retried:
            self._retried.add(worker.worker_id)
            return
        self._streams.health.failed(worker, error)
        self._workers.remove(worker)
        left = len(self._workers)
        log.warning("block %d: %s; %d replicas left", self.block.id, error, left)


def _whole(fd: int | None, length: int) -> int:
    """``fd`` if it really is a file that holds the whole block; else it is closed, and -1."""
    if fd is None:
        return -1
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode) and info.st_size >= length:
        return fd
    os.close(fd)
    return -1


async def _complete(streams: Streams, stream: BlockStream, block_id: int) -> None:
    try:
        await stream.complete(read_complete(block_id))
    except BaseException as error:
        streams.discard(stream)
        if not isinstance(error, CurvineError):
            raise
    else:
        streams.release(stream)
