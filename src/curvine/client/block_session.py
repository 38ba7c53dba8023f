# SPDX-License-Identifier: Apache-2.0
"""One open block on one worker connection, with several Running frames in flight.

A worker answers the frames of a connection in their order. So whoever sends queues up for the
replies in the order of sending: the lock below is fair, and is asked for in the same turn of the
loop as the frames are sent. A caller that is cancelled leaves replies behind that nobody reads;
the session is then broken and its connection closed. Source: data-plane specification 1.4, 2.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from curvine.client.block_messages import ON, read_complete, seek
from curvine.client.local_file import Buffer, Data
from curvine.client.streams import Streams
from curvine.errors import ConnectionLost, CurvineError, IoFailed, ProtocolViolation, TimedOut
from curvine.model.worker import WorkerAddress
from curvine.rpc.reading import new_buffer
from curvine.rpc.stream import BlockStream
from curvine.wire.codes import RpcCode
from curvine.wire.frame import Frame

_TRANSPORT = (ConnectionLost, TimedOut, ProtocolViolation)

Message = tuple[bytes, Buffer]  # header and data of a Running frame


class BlockSession:
    """The Running frames of an opened stream. ``position`` is where the worker stands."""

    def __init__(self, streams: Streams, stream: BlockStream, position: int = 0) -> None:
        self._streams = streams
        self.stream = stream
        self.position = position
        self.users = 0
        self.broken = False
        self.cancelled = False  # broken by a caller that did not wait for its replies
        self._replies = asyncio.Lock()

    async def run(
        self, messages: Sequence[Message], places: Sequence[memoryview | None] = ()
    ) -> list[Frame]:
        """Send the messages at once and return their replies. The first error reply is raised.

        ``places`` says where the data of each reply shall land.
        """
        if self.broken:
            raise ConnectionLost("the block stream has failed before")
        self.users += 1
        self._streams.stats.block_trips += 1
        replies: list[Frame] = []
        failure: CurvineError | None = None
        try:
            for index, (header, data) in enumerate(messages):
                place = places[index] if places else None
                self.stream.send_running(header, data, into=place)
            async with self._replies:
                for _ in messages:
                    if self.broken:
                        raise ConnectionLost("the block stream has failed")
                    try:
                        replies.append(await self.stream.next_reply())
                    except _TRANSPORT:
                        raise
                    except CurvineError as error:  # an error reply: those after it still come
                        failure = failure or error
        except BaseException as error:
            self.cancelled |= not self.broken and isinstance(error, asyncio.CancelledError)
            self.fail()
            raise
        finally:
            self.users -= 1
        if failure is not None:
            raise failure
        return replies

    def fail(self) -> None:
        """Nothing on this connection can be trusted any more."""
        if not self.broken:
            self.broken = True
            self._streams.discard(self.stream)


class ReadSession(BlockSession):
    """A block open for reading with replies of ``chunk`` bytes."""

    def __init__(
        self, streams: Streams, stream: BlockStream, block_id: int, length: int, chunk: int
    ) -> None:
        super().__init__(streams, stream)
        self._block_id = block_id
        self._length = length
        self._chunk = chunk

    async def read(self, offset: int, size: int) -> Data:
        """``size`` bytes at ``offset``; the range lies inside the block."""
        starts = range(offset, offset + size, self._chunk)
        last = min(starts[-1] + self._chunk, self._length)
        whole = new_buffer(last - offset) if len(starts) > 1 else None
        messages: list[Message] = []
        places: list[memoryview | None] = []
        for start in starts:
            end = min(start + self._chunk, self._length)
            messages.append((ON if start == self.position else seek(start), b""))
            places.append(whole[start - offset : end - offset] if whole is not None else None)
            self.position = end
        for reply, start in zip(await self.run(messages, places), starts, strict=True):
            if len(reply.data) != min(self._chunk, self._length - start):
                self.fail()
                got = len(reply.data)
                raise IoFailed(f"a worker sent {got} bytes of block {self._block_id}")
        if whole is not None:
            return whole[:size]
        data = reply.data if isinstance(reply.data, bytes) else memoryview(reply.data)
        return data if len(data) == size else memoryview(data)[:size]

    async def close(self) -> None:
        """End the session and give the connection back."""
        if self.broken:
            return
        self.broken = True
        self._streams.stats.block_trips += 1
        try:
            await self.stream.complete(read_complete(self._block_id))
        except CurvineError:
            self._streams.discard(self.stream)  # a failing Complete of a read loses nothing
        except BaseException:
            self._streams.discard(self.stream)
            raise
        else:
            self._streams.release(self.stream)


def worker_name(worker: WorkerAddress) -> str:
    """A worker for people."""
    return f"worker {worker.worker_id} ({worker.ip_addr}:{worker.rpc_port})"


READ = RpcCode.READ_BLOCK
WRITE = RpcCode.WRITE_BLOCK
