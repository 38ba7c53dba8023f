# SPDX-License-Identifier: Apache-2.0
"""One replica of a block being written: its staging file on this node, or a stream to a worker.

Never send Cancel after a Complete that may have succeeded: it would delete the published block.
Offsets are inside the block. Source: data-plane specification 2 and B.1.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable

from curvine.client.block_messages import ON, seek, write_answer, write_request
from curvine.client.block_session import WRITE, BlockSession, Message, worker_name
from curvine.client.local_file import Buffer, Data, read_file, write_file
from curvine.client.streams import Streams
from curvine.errors import AbnormalData, DiskOutOfSpace
from curvine.model.block import ExtendedBlock
from curvine.model.inode import StorageType
from curvine.model.worker import WorkerAddress
from curvine.rpc.channel import frame_fd
from curvine.rpc.stream import BlockStream
from curvine.wire.frame import Frame

_MAX_PIECE = 4 * 1024 * 1024  # bytes of one Running frame


class Replica:
    """What both kinds share: the stream, and how a block ends."""

    keeps_after_full_disk = False  # a write that met a full disk has left nothing behind

    def __init__(
        self, streams: Streams, worker: WorkerAddress, stream: BlockStream, kind: StorageType
    ) -> None:
        self.worker = worker
        self.storage_type = kind
        self._streams = streams
        self._stream = stream
        self._ended = False

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``; it is outside this process on return."""
        raise AbnormalData("a replica is local or remote")

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

    def abandon(self) -> None:
        """Close the connection: the replica has failed."""
        if not self._ended:
            self._ended = True
            self._release_file()
            self._streams.discard(self._stream)

    def _release_file(self) -> None:
        """Close what the replica holds besides the stream."""

    async def _finish(self, ending: Awaitable[Frame]) -> None:
        self._ended = True
        self._release_file()
        try:
            await ending
        except BaseException:
            self._streams.discard(self._stream)
            raise
        self._streams.release(self._stream)


class LocalReplica(Replica):
    """Writes the file whose descriptor the worker passed.

    ``floor`` is the offset named at Open: a block that is appended to may be the published file
    itself, which readers see, so nothing below it may be written before the worker was told; it
    then passes a private copy to go on with. The lock keeps the descriptor while it is used.
    """

    keeps_after_full_disk = True

    def __init__(
        self,
        streams: Streams,
        worker: WorkerAddress,
        stream: BlockStream,
        kind: StorageType,
        fd: int,
        floor: int,
    ) -> None:
        super().__init__(streams, worker, stream, kind)
        self._fd = fd
        self._floor = floor
        self._session = BlockSession(streams, stream, floor)
        self._lock = asyncio.Lock()

    async def write(self, offset: int, data: Buffer) -> None:
        async with self._lock:
            if offset < self._floor:
                await self._go_private(offset)
            before = os.fstat(self._fd).st_size
            try:
                await write_file(self._fd, offset, data)
            except DiskOutOfSpace:
                if os.fstat(self._fd).st_size > before:  # what was acknowledged stays, no more
                    os.ftruncate(self._fd, before)
                raise

    async def read(self, offset: int, size: int) -> Data | None:
        async with self._lock:
            return await read_file(self._fd, offset, size)

    async def _go_private(self, offset: int) -> None:
        (reply,) = await self._session.run([(seek(offset), b"")])
        self._floor = 0
        fd = frame_fd(reply)
        if fd is not None:
            os.close(self._fd)
            self._fd = fd

    def _release_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class RemoteReplica(Replica):
    """Sends Running frames; concurrent writes are pipelined."""

    def __init__(
        self,
        streams: Streams,
        worker: WorkerAddress,
        stream: BlockStream,
        kind: StorageType,
        position: int,
    ) -> None:
        super().__init__(streams, worker, stream, kind)
        self._session = BlockSession(streams, stream, position)

    async def write(self, offset: int, data: Buffer) -> None:
        session = self._session
        view = memoryview(data)
        messages: list[Message] = []
        for start in range(0, len(view), _MAX_PIECE):
            piece = view[start : start + _MAX_PIECE]
            here = offset + start
            messages.append((ON if session.position == here else seek(here), piece))
            session.position = here + len(piece)
        await session.run(messages)

    def abandon(self) -> None:
        self._session.broken = True
        super().abandon()


async def open_replica(
    streams: Streams, worker: WorkerAddress, block: ExtendedBlock, *, offset: int, capacity: int
) -> Replica:
    """Open ``block`` for writing on one worker, through its local socket where it has one.

    ``offset`` is where the first write goes. A local worker that cannot promise room for the
    whole block passes no descriptor: its session takes frames like any other.
    """

    def request(short_circuit: bool) -> bytes:
        return write_request(
            block,
            offset=offset,
            capacity=capacity,
            client_name=streams.client_name,
            chunk_size=streams.conf.write_chunk_size,
            short_circuit=short_circuit,
            identity=streams.identity,
        )

    local = await streams.open_local(worker, WRITE, request(True))
    stream, reply = local or await streams.open(worker, WRITE, request(False))
    answer = write_answer(reply.header)
    kind = StorageType(answer.storage_type)
    fd = frame_fd(reply) if local else None
    if fd is not None:
        return LocalReplica(streams, worker, stream, kind, fd, offset)
    if answer.block_size != capacity:
        streams.discard(stream)
        raise AbnormalData(f"{worker_name(worker)} took block {block.id} with another size")
    return RemoteReplica(streams, worker, stream, kind, offset)
