# SPDX-License-Identifier: Apache-2.0
"""One replica of a block being written: its staging file on this node, or a stream to a worker.

A connection that breaks, also because the worker was restarted, loses nothing by itself: the worker
keeps what was written, and ``revive`` opens the block again and goes on, after making sure that it
is all there. Never send Cancel after a Complete that may have succeeded: it would delete the
published block. Offsets are inside the block. Source: data-plane specification 2 and B.1.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable

import msgspec

from curvine.client.block_messages import ON, seek, write_answer, write_request
from curvine.client.block_session import WRITE, BlockSession, Message, worker_name
from curvine.client.local_file import Buffer, Data, read_file, write_file, write_now
from curvine.client.streams import RETRY_PAUSE, Streams
from curvine.errors import AbnormalData, ConnectionLost, CurvineError, DiskOutOfSpace, IoFailed
from curvine.model.block import AllocOpts, ExtendedBlock
from curvine.model.inode import StorageType
from curvine.model.worker import WorkerAddress
from curvine.rpc.channel import frame_fd
from curvine.rpc.stream import BlockStream
from curvine.wire.frame import Frame
from curvine.wire.pb import worker_pb2

log = logging.getLogger(__name__)

_MAX_PIECE = 4 * 1024 * 1024  # bytes of one Running frame


class Target(msgspec.Struct, frozen=True):
    """What is opened for writing where. ``capacity`` is the file's block size."""

    streams: Streams
    worker: WorkerAddress
    block: ExtendedBlock
    capacity: int

    def request(self, offset: int, *, local: bool, resume: bool, cut: bool = False) -> bytes:
        """An Open. ``cut``: what lies behind ``offset`` shall not be part of the block."""
        block = self.block
        if resume:
            opts = AllocOpts(truncate=True, len=offset) if cut else None
            block = msgspec.structs.replace(block, alloc_opts=opts)
        return write_request(
            block,
            offset=offset,
            capacity=self.capacity,
            client_name=self.streams.client_name,
            chunk_size=self.streams.conf.write_chunk_size,
            short_circuit=local,
            resume=resume,
            identity=self.streams.identity,
        )


class Replica:
    """What both kinds share: the stream, and how a block ends."""

    def __init__(self, target: Target, stream: BlockStream, kind: StorageType, reach: int) -> None:
        self.worker = target.worker
        self.storage_type = kind
        self._target = target
        self._streams = target.streams
        self._stream = stream
        self._reach = reach  # up to here the worker has answered for bytes, 0 if for none
        self._ended = False
        self._reviving = asyncio.Lock()

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``; it is outside this process on return."""
        raise AbnormalData("a replica is local or remote")

    def write_now(self, offset: int, data: Buffer) -> bool:
        """Likewise if nothing has to be waited for; False: use ``write``."""
        return False

    async def read(self, offset: int, size: int) -> Data | None:
        """Bytes written so far (fewer at the end); None where they cannot be read back."""
        return None

    async def complete(self, block: ExtendedBlock, capacity: int, sync: bool) -> None:
        """Publish the block with ``block.len`` bytes."""
        header = write_request(
            block,
            offset=block.len,
            capacity=capacity,
            client_name=self._streams.client_name,
            sync=sync,
        )
        await self._finish(self._stream.complete(header))

    async def cancel(self, block: ExtendedBlock, capacity: int) -> None:
        """Throw away what was written since the block was opened."""
        if self._ended:
            return
        header = write_request(
            block, offset=0, capacity=capacity, client_name=self._streams.client_name
        )
        await self._finish(self._stream.cancel(header))

    async def revive(self, length: int) -> bool:
        """Wait for a worker that has dropped the connection, and go on where it broke off.

        ``length`` is the block's with all answered writes. False: the worker does not come back in
        time, or it does not have all of it.
        """
        broken = self._stream
        deadline = self._streams.now() + self._streams.patience
        async with self._reviving:
            while self._stream is broken:
                try:
                    if not await self._reopen(length):
                        return False
                except ConnectionLost:
                    if self._streams.now() > deadline:
                        return False
                    await asyncio.sleep(RETRY_PAUSE)
                except CurvineError:
                    return False
        self._ended = False
        return True

    async def _reopen(self, length: int) -> bool:
        """Open the block again; False if bytes are missing."""
        raise AbnormalData("a replica is local or remote")

    async def trim(self, length: int) -> None:
        """Cut off what lies behind ``length``: parts of a write that was refused."""
        raise AbnormalData("a replica is local or remote")

    def abandon(self) -> None:
        """Close the connection: the replica has failed."""
        self._release_file()
        if not self._ended:
            self._ended = True
            self._streams.discard(self._stream)

    def _release_file(self) -> None:
        """Close what the replica holds besides the stream."""

    async def _finish(self, ending: Awaitable[Frame]) -> None:
        self._ended = True
        self._release_file()
        self._streams.stats.block_trips += 1
        try:
            await ending
        except BaseException:
            self._streams.discard(self._stream)
            raise
        self._streams.release(self._stream)


class LocalReplica(Replica):
    """Writes the file whose descriptor the worker passed.

    ``floor`` is the offset named at Open: a block that is appended to may be the published file
    itself, which readers see, so nothing below it may be written before the worker was told.
    ``limit`` is the offset up to which the worker has promised room; beyond it, too, the worker is
    asked first. Either answer may bring another file to go on with. The lock keeps the descriptor
    while it is used.
    """

    def __init__(
        self, target: Target, stream: BlockStream, answer: worker_pb2.BlockWriteResponse, fd: int
    ) -> None:
        super().__init__(target, stream, StorageType(answer.storage_type), 0)
        self._lock = asyncio.Lock()
        self._fd = -1
        self._take(stream, answer, fd)

    def _take(self, stream: BlockStream, answer: worker_pb2.BlockWriteResponse, fd: int) -> None:
        self._stream = stream
        self._session = BlockSession(self._streams, stream, answer.off)
        self._release_file()
        self._fd = fd
        self._identity = _identity(fd)
        self._floor = answer.off
        self._limit = answer.block_size

    async def write(self, offset: int, data: Buffer) -> None:
        if not data:
            return
        end = offset + len(data)
        async with self._lock:
            if self._fd < 0:
                raise IoFailed(f"block {self._target.block.id} has been given up")
            if offset < self._floor:
                await self._ask(offset)
            if end > self._limit:
                await self._ask(end - 1)
            before = os.fstat(self._fd).st_size
            try:
                await write_file(self._fd, offset, data)
            except DiskOutOfSpace:
                if os.fstat(self._fd).st_size > before:  # what was acknowledged stays, no more
                    os.ftruncate(self._fd, before)
                raise
            self._reach = max(self._reach, end)

    def write_now(self, offset: int, data: Buffer) -> bool:
        end = offset + len(data)
        if self._fd < 0 or offset < self._floor or end > self._limit or self._lock.locked():
            return False
        if not write_now(self._fd, offset, data):
            return False
        self._reach = max(self._reach, end)
        return True

    async def read(self, offset: int, size: int) -> Data | None:
        async with self._lock:
            return await read_file(self._fd, offset, size)

    async def trim(self, length: int) -> None:
        async with self._lock:
            if os.fstat(self._fd).st_size > length:
                os.ftruncate(self._fd, length)

    async def _ask(self, offset: int) -> None:
        """Tell the worker that ``offset`` will be written."""
        (reply,) = await self._session.run([(seek(offset), b"")])
        fd = frame_fd(reply)
        if fd is not None:  # a file that nobody else sees
            self._release_file()
            self._fd = fd
            self._identity = _identity(fd)
        self._floor = min(self._floor, offset) if fd is None else 0
        if reply.header:
            self._limit = max(offset + 1, write_answer(reply.header).block_size)

    async def _reopen(self, length: int) -> bool:
        """The worker has everything if it goes on with the very same file, or with another
        generation that is as long: a copy that it made when it was asked last."""
        header = self._target.request(length, local=True, resume=True)
        stream, reply = await self._streams.open_local_again(self.worker, WRITE, header)
        fd = frame_fd(reply)
        if fd is None:
            self._streams.discard(stream)
            return False
        answer = write_answer(reply.header)
        same = _identity(fd) == self._identity or answer.HasField("unpublished_len")
        if not same or os.fstat(fd).st_size < self._reach:
            log.error(
                "%s has %d bytes of block %d after its restart, %d were written",
                worker_name(self.worker), os.fstat(fd).st_size, self._target.block.id, self._reach,
            )  # fmt: skip
            os.close(fd)
            self._streams.discard(stream)
            return False
        self._take(stream, answer, fd)
        return True

    def _release_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class RemoteReplica(Replica):
    """Sends Running frames; concurrent writes are pipelined. Every frame says where it belongs: one
    that is refused does not move the worker's position."""

    def __init__(
        self, target: Target, stream: BlockStream, kind: StorageType, position: int, reach: int
    ) -> None:
        super().__init__(target, stream, kind, reach)
        self._session = BlockSession(self._streams, stream, position)

    async def write(self, offset: int, data: Buffer) -> None:
        session = self._session
        view = memoryview(data)
        messages: list[Message] = [
            (seek(offset + start), view[start : start + _MAX_PIECE])
            for start in range(0, len(view), _MAX_PIECE)
        ]
        await session.run(messages or [(ON, b"")])
        self._reach = max(self._reach, offset + len(view))

    async def _reopen(self, length: int) -> bool:
        """A worker of ours says how much of the block it has."""
        header = self._target.request(length, local=False, resume=True)
        stream, reply = await self._streams.open(self.worker, WRITE, header)
        answer = write_answer(reply.header)
        unpublished = answer.HasField("unpublished_len") and answer.unpublished_len >= self._reach
        finished = self._ended and answer.published_len == length
        if self._reach and not unpublished and not finished:
            self._streams.discard(stream)
            return False
        self._stream = stream
        self._session = BlockSession(self._streams, stream, length)
        return True

    async def trim(self, length: int) -> None:
        header = self._target.request(length, local=False, resume=True, cut=True)
        await self._stream.open(WRITE, header)

    def abandon(self) -> None:
        self._session.broken = True
        super().abandon()


async def open_replica(target: Target, *, offset: int, resume: bool = False) -> Replica:
    """Open a block for writing on one worker, through its local socket where it has one.

    ``offset`` is where the first write goes. A local worker that cannot promise room passes no
    descriptor: its session takes frames like any other. ``resume``: an earlier writer died; all of
    it that was answered lies below ``offset`` and has to be there.
    """
    streams, worker = target.streams, target.worker
    asked = target.request(offset, local=True, resume=resume, cut=resume)
    local = await streams.open_local(worker, WRITE, asked)
    if local is None:
        asked = target.request(offset, local=False, resume=resume, cut=resume)
    stream, reply = local or await streams.open(worker, WRITE, asked)
    answer = write_answer(reply.header)
    fd = frame_fd(reply) if local else None
    if resume and _is_ours(answer) and offset > target.block.len:
        have = max(answer.unpublished_len, answer.published_len)
        if have < offset:
            if fd is not None:
                os.close(fd)
            streams.discard(stream)
            raise IoFailed(
                f"{worker_name(worker)} has {have} bytes of block {target.block.id}, "
                f"{offset} were written"
            )
    if fd is not None:
        return LocalReplica(target, stream, answer, fd)
    if answer.block_size != target.capacity:
        streams.discard(stream)
        raise AbnormalData(f"{worker_name(worker)} took block {target.block.id} with another size")
    kind = StorageType(answer.storage_type)
    return RemoteReplica(target, stream, kind, offset, offset if resume else 0)


def _is_ours(answer: worker_pb2.BlockWriteResponse) -> bool:
    """Whether the worker says what it has; another Curvine's does not."""
    return answer.HasField("published_len")


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino
