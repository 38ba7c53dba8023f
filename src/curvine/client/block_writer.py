# SPDX-License-Identifier: Apache-2.0
"""Writing one block to all its replicas.

Each write goes to every replica at once. A replica of a new block that fails is left out from then
on: the block is committed with those that have all its bytes, and the master has it replicated
again. So is one that is much slower than another. A block that has been published before is
different: the failed replica still has its old bytes. A master of ours drops a replica that the
commit does not name; another one would show the old bytes when the worker comes back, and there
losing one fails the write. Where a replica cannot be spared, the writer waits a while for a worker
that went away, and goes on when it has been restarted. A full disk loses nothing: the write is
refused and the block stays as it was. Offsets are inside the block. Source: data-plane
specification 2.5, B.1.

Concurrency: writes may run side by side; ``finish`` and ``abort`` wait until they are through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from curvine.client.block_session import worker_name
from curvine.client.hedging import side_by_side
from curvine.client.local_file import Buffer, Data
from curvine.client.replica import Replica, Target, open_replica
from curvine.client.streams import RETRY_PAUSE, Streams
from curvine.errors import (
    ConnectionLost,
    CurvineError,
    DiskOutOfSpace,
    NoAvailableWorker,
    TimedOut,
)
from curvine.model.block import BlockLocation, CommitBlock, ExtendedBlock, LocatedBlock
from curvine.model.worker import WorkerAddress

log = logging.getLogger(__name__)


class BlockWriter:
    """An open block. ``length`` grows with what is written; it never shrinks."""

    def __init__(
        self, streams: Streams, block: ExtendedBlock, capacity: int, replicas: list[Replica]
    ) -> None:
        self._streams = streams
        self._block = block
        self._capacity = capacity
        self._replicas = replicas
        self._busy = 0
        self._idle: asyncio.Event | None = None
        opts = block.alloc_opts
        self.length = max(block.len, opts.len if opts is not None else 0)
        self.reach = self.length  # where the furthest write that has begun will end
        self._published = _has_data(block)
        self._untidy = False  # replicas may hold parts of a write that was refused
        self.failure: CurvineError | None = None
        self.lost = 0  # replicas that were to be written and are not

    @classmethod
    async def open(
        cls,
        streams: Streams,
        located: LocatedBlock,
        *,
        offset: int,
        capacity: int,
        resume: bool = False,
    ) -> BlockWriter:
        """Open the block on all its workers; NoAvailableWorker when none takes it.

        ``resume``: go on with what a writer that died has left, ``offset`` bytes altogether."""
        return await cls._open(streams, located, offset, capacity, resume)

    @classmethod
    async def open_patiently(
        cls,
        streams: Streams,
        located: LocatedBlock,
        *,
        offset: int,
        capacity: int,
        resume: bool = False,
    ) -> BlockWriter:
        """Likewise for a block that only these workers have: wait for one that went away."""
        deadline = streams.now() + streams.patience
        while True:
            try:
                return await cls._open(streams, located, offset, capacity, resume)
            except (ConnectionLost, NoAvailableWorker) as error:
                cause = error.__cause__
                lost = isinstance(error, ConnectionLost) or isinstance(cause, ConnectionLost)
                if not lost or streams.now() > deadline:
                    raise
            await asyncio.sleep(RETRY_PAUSE)

    @classmethod
    async def _open(
        cls, streams: Streams, located: LocatedBlock, offset: int, capacity: int, resume: bool
    ) -> BlockWriter:
        block = located.block
        results = await asyncio.gather(
            *(
                open_replica(Target(streams, worker, block, capacity), offset=offset, resume=resume)
                for worker in located.locs
            ),
            return_exceptions=True,
        )
        replicas: list[Replica] = []
        failure: BaseException | None = None
        for worker, result in zip(located.locs, results, strict=True):
            if isinstance(result, Replica):
                replicas.append(result)
                continue
            failure = result
            log.warning("%s does not take block %d: %s", worker_name(worker), block.id, result)
        spare = not _has_data(block) or streams.forgets_stale
        partial = replicas and spare and isinstance(failure, CurvineError)
        if failure is not None and not partial:
            for replica in replicas:
                replica.abandon()
            if replicas or len(located.locs) == 1 or not isinstance(failure, CurvineError):
                raise failure
        if not replicas:
            raise NoAvailableWorker(f"no worker takes block {block.id}: {failure}") from failure
        writer = cls(streams, block, capacity, replicas)
        writer.lost = len(located.locs) - len(replicas)
        if resume:
            writer.length = writer.reach = max(writer.length, offset)
        return writer

    @property
    def block_id(self) -> int:
        """Id of the block."""
        return self._block.id

    @property
    def workers(self) -> tuple[WorkerAddress, ...]:
        """Workers that hold every byte written so far."""
        return tuple(replica.worker for replica in self._replicas)

    async def add(self, worker: WorkerAddress) -> None:
        """Write to one more worker, before anything was written."""
        target = Target(self._streams, worker, self._block, self._capacity)
        self._replicas.append(await open_replica(target, offset=0))

    def begin(self, offset: int, size: int) -> None:
        """Announce a write, without waiting: ``finish`` waits until it has ended."""
        self._check()
        self._busy += 1
        self.reach = max(self.reach, offset + size)

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` to every replica that is left. ``begin`` comes first."""
        try:
            replicas = list(self._replicas)
            if len(replicas) == 1:
                await self._write_one(replicas[0], offset, data)
            else:
                streams = self._streams
                results = await side_by_side(
                    [self._put(replica, offset, data) for replica in replicas],
                    streams.straggler_patience,
                    lambda: TimedOut("it takes much longer than another replica"),
                )
                self._refuse_if_full(results)
                self._sort_out(replicas, results)
            self._check()
            self.length = max(self.length, offset + len(data))
        finally:
            self._busy -= 1
            if not self._busy and self._idle is not None:
                self._idle.set()

    def write_now(self, offset: int, data: Buffer) -> bool:
        """Likewise, ``begin`` included, if nothing has to be waited for; False: nothing was done
        that counts."""
        if len(self._replicas) != 1 or self.failure is not None:
            return False
        if not self._replicas[0].write_now(offset, data):
            return False
        end = offset + len(data)
        if end > self.length:
            self.length = end
            self.reach = max(self.reach, end)
        return True

    def _refuse_if_full(self, results: Sequence[BaseException | None]) -> None:
        """A full disk that cannot be left out: refuse the write, and go on with what was there."""
        full = [result for result in results if isinstance(result, DiskOutOfSpace)]
        if full and (self._strict or len(full) == len(results)):
            self._untidy = True
            raise full[0]

    async def _write_one(self, replica: Replica, offset: int, data: Buffer) -> None:
        try:
            await self._put(replica, offset, data)
        except DiskOutOfSpace:
            self._untidy = True
            raise
        except CurvineError as error:
            self._lose(replica, error)

    async def _put(self, replica: Replica, offset: int, data: Buffer) -> None:
        while True:
            try:
                return await replica.write(offset, data)
            except ConnectionLost:
                if not self._needed(replica) or not await replica.revive(self.length):
                    raise

    async def _complete(self, replica: Replica, final: ExtendedBlock, sync: bool) -> None:
        while True:
            try:
                return await replica.complete(final, self._capacity, sync)
            except ConnectionLost:
                if not self._needed(replica) or not await replica.revive(self.length):
                    raise

    def _needed(self, replica: Replica) -> bool:
        """Whether the block fails with this replica."""
        return self._strict or self._replicas == [replica]

    @property
    def _strict(self) -> bool:
        """Whether no replica may be left out: it would show old bytes when it comes back."""
        return self._published and not self._streams.forgets_stale

    async def read(self, offset: int, size: int) -> Data | None:
        """Bytes as written so far, zeros where nothing was; None if no replica is local."""
        self._check()
        for replica in self._replicas:
            data = await replica.read(offset, size)
            if data is not None:
                return data if len(data) == size else bytes(data) + bytes(size - len(data))
        return None

    async def finish(self, sync: bool = False) -> CommitBlock:
        """Publish the block on its workers; what the master has to be told."""
        await self._quiet()
        self._check()
        final = msgspec.structs.replace(self._block, len=self.length, alloc_opts=None)
        replicas = list(self._replicas)
        if self._untidy:
            await asyncio.gather(*(replica.trim(self.length) for replica in replicas))
        results = await asyncio.gather(
            *(self._complete(replica, final, sync) for replica in replicas),
            return_exceptions=True,
        )
        self._sort_out(replicas, results)
        self._check()
        return CommitBlock(
            final.id,
            final.len,
            tuple(
                BlockLocation(replica.worker.worker_id, replica.storage_type)
                for replica in self._replicas
            ),
        )

    async def abort(self) -> None:
        """Throw away what was written since the block was opened."""
        await self._quiet()
        results = await asyncio.gather(
            *(replica.cancel(self._block, self._capacity) for replica in self._replicas),
            return_exceptions=True,
        )
        for replica, result in zip(self._replicas, results, strict=True):
            if isinstance(result, CurvineError):
                log.info("%s: %s", worker_name(replica.worker), result)
            elif isinstance(result, BaseException):
                raise result

    def _sort_out(
        self, replicas: Sequence[Replica], results: Sequence[BaseException | None]
    ) -> None:
        for replica, result in zip(replicas, results, strict=True):
            if isinstance(result, CurvineError):
                self._lose(replica, result)
            elif isinstance(result, BaseException):
                raise result

    def _lose(self, replica: Replica, error: CurvineError) -> None:
        """Leave a failed replica out; with the last one the block has failed."""
        if replica not in self._replicas:
            return
        replica.abandon()
        self._streams.health.failed(replica.worker, error)
        self._replicas.remove(replica)
        self.lost += 1
        left = len(self._replicas)
        log.warning(
            "block %d: %s failed, %d replicas left: %s",
            self.block_id, worker_name(replica.worker), left, error,
        )  # fmt: skip
        if not left or self._strict:
            self.failure = error

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def _quiet(self) -> None:
        """Wait until no write is under way."""
        while self._busy:
            if self._idle is None or self._idle.is_set():
                self._idle = asyncio.Event()
            await self._idle.wait()


def _has_data(block: ExtendedBlock) -> bool:
    """Whether workers have published bytes of the block (a hole has none)."""
    return block.len > 0 and block.alloc_opts is None
