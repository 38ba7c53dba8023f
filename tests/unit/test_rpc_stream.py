# SPDX-License-Identifier: Apache-2.0
"""Block streams, their pool, and descriptors passed over the local socket."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tempfile
from collections.abc import Coroutine
from typing import Any
from uuid import uuid4

import pytest
import uvloop

from curvine.clock import ManualClock
from curvine.errors import BlockNotFound, Common, ConnectionLost, IoFailed, TimedOut
from curvine.rpc.bulk import FileSlice
from curvine.rpc.channel import frame_fd
from curvine.rpc.dialing import Address
from curvine.rpc.pool import BlockPool
from curvine.rpc.server import Reply, ReplyData, RpcServer, ServerConnection
from curvine.rpc.stream import BlockStream
from curvine.wire import codes
from curvine.wire.frame import Frame

WRITE, READ = 80, 81


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    uvloop.run(limited())


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


class Worker:
    """One block in a file: reads of 100,000 bytes, writes appended, its descriptor passed."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 # closed by stop()
        self.silent = False
        self.server = RpcServer({WRITE: self.write, READ: self.read}, name="worker", ordered=True)
        self.name = f"curvine/test/{uuid4()}"
        self.address: Address = ("", 0)

    async def start(self) -> Worker:
        self.address = await self.server.start("127.0.0.1", 0)
        await self.server.start_local(self.name)
        return self

    async def stop(self) -> None:
        await self.server.close(0.1)
        self.file.close()

    async def read(self, connection: ServerConnection, frame: Frame) -> Reply:
        if self.silent:
            await asyncio.sleep(3600)
        if frame.status == codes.OPEN:
            if frame.header == b"missing":
                raise BlockNotFound("Block 1 not found")
            connection.session = 0
            fd = self.file.fileno() if frame.header == b"local" else None
            return ReplyData(b"opened", fd=fd)
        if frame.status == codes.COMPLETE:
            return b""
        offset, connection.session = connection.session, connection.session + 100_000
        size = os.fstat(self.file.fileno()).st_size - offset
        if size <= 0:
            raise IoFailed("offset beyond block length")
        return ReplyData(b"", FileSlice(self.file.fileno(), offset, min(size, 100_000)))

    def write(self, connection: ServerConnection, frame: Frame) -> Reply:
        if frame.status == codes.OPEN:
            passed = frame_fd(frame)
            if passed is not None:
                with os.fdopen(passed, "rb") as other:
                    return other.read(100)
        elif frame.status == codes.RUNNING:
            if frame.header == b"bad":
                raise IoFailed("disk on fire")
            os.write(self.file.fileno(), frame.data)
        elif frame.status == codes.CANCEL:
            os.ftruncate(self.file.fileno(), 0)
        return b"%d" % frame.seq_id


@pytest.mark.parametrize("local", [False, True])
def test_a_block_is_written_and_read_with_several_requests_in_flight(local: bool) -> None:
    content = os.urandom(1_234_567)

    async def main() -> None:
        worker = await Worker().start()
        stream = await BlockStream.connect(worker.name if local else worker.address)
        assert stream.is_local is local
        assert (await stream.open(WRITE, b"")).header == b"0"
        for offset in range(0, len(content), 150_000):
            stream.send_running(data=memoryview(content)[offset : offset + 150_000])
            await stream.drain()
            if stream.in_flight > 4:
                await stream.next_reply()
        assert (await stream.complete(b"")).header == b"10"
        assert stream.in_flight == 0

        assert (await stream.open(READ, b"")).header == b"opened"
        buffer = memoryview(bytearray(1_300_000))
        for offset in range(0, 1_300_000, 100_000):
            stream.send_running(into=buffer[offset : offset + 100_000])
        sizes = [len((await stream.next_reply()).data) for _ in range(13)]
        assert sizes == [100_000] * 12 + [34_567]
        assert bytes(buffer[: len(content)]) == content
        with pytest.raises(IoFailed, match="beyond"):
            await stream.running()
        assert not stream.closed, "an error reply leaves the stream usable"
        await stream.complete(b"")
        stream.close()
        await worker.stop()

    run(main())


def test_a_file_is_sent_from_the_file_and_errors_come_back_in_order() -> None:
    async def main() -> None:
        worker = await Worker().start()
        stream = await BlockStream.connect(worker.address)
        with tempfile.TemporaryFile() as source:
            source.write(b"0123456789" * 50_000)
            source.flush()
            await stream.open(WRITE, b"")
            stream.send_running(data=FileSlice(source.fileno(), 10, 400_000))
            stream.send_running(b"bad")
            stream.send_running(data=b"tail")
            with pytest.raises(IoFailed, match="fire"):
                await stream.complete(b"")
        assert os.pread(worker.file.fileno(), 500_000, 0) == b"0123456789" * 40_000 + b"tail"
        await stream.open(WRITE, b"")
        stream.send_running(b"bad")
        assert (await stream.cancel(b"")).header == b"2"
        assert os.fstat(worker.file.fileno()).st_size == 0
        stream.close()
        await worker.stop()

    run(main())


def test_descriptors_travel_both_ways_and_none_is_lost() -> None:
    async def main() -> None:
        worker = await Worker().start()
        worker.file.write(b"block bytes")
        worker.file.flush()
        stream = await BlockStream.connect(worker.name)
        await stream.open(READ, b"")
        gc.collect()
        before = open_fds()
        for _ in range(5):
            reply = await stream.open(READ, b"local")
            assert reply.header == b"opened"
            fd = frame_fd(reply)
            assert fd is not None and not os.get_inheritable(fd)
            assert frame_fd(reply) is None, "taken once"
            assert os.pread(fd, 20, 0) == b"block bytes"
            os.close(fd)
        for _ in range(5):
            await stream.open(READ, b"local")  # passed and never taken
        with tempfile.TemporaryFile() as mine:
            mine.write(b"from the client")
            mine.seek(0)
            reply = await stream.open(WRITE, b"", fd=mine.fileno())
            assert reply.header == b"from the client"
        del reply
        gc.collect()
        assert open_fds() == before
        stream.close()
        remote = await BlockStream.connect(worker.address)
        with pytest.raises(IoFailed, match="local"):
            await remote.open(READ, b"local")
        with pytest.raises(IoFailed, match="local"):
            await remote.open(WRITE, b"", fd=0)
        remote.close()
        await worker.stop()

    run(main())


def test_local_sockets_check_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        worker = Worker()
        worker.server = RpcServer({}, name="worker", local_uids={os.geteuid() + 1})
        await worker.server.start_local(worker.name)
        stream = await BlockStream.connect(worker.name)
        with pytest.raises(ConnectionLost):
            await stream.open(READ, b"")
        monkeypatch.setattr("curvine.rpc.dialing.trusted_uids", lambda: frozenset({12345}))
        with pytest.raises(ConnectionLost, match="not trusted"):
            await BlockStream.connect(worker.name)
        with pytest.raises(IoFailed, match="cannot listen on local socket"):
            await RpcServer({}, name="other").start_local(worker.name)
        await worker.stop()
        with pytest.raises(ConnectionLost, match="cannot connect to local socket"):
            await BlockStream.connect(worker.name)

    run(main())


def test_time_outs_and_wrong_answers_close_the_stream() -> None:
    async def main() -> None:
        worker = await Worker().start()
        worker.silent = True
        stream = await BlockStream.connect(worker.address, rpc_timeout=0.03)
        with pytest.raises(TimedOut, match=r"within 0\.03 s"):
            await stream.open(READ, b"")
        assert stream.closed
        with pytest.raises(TimedOut):
            stream.send_running()
        await worker.stop()
        with socket.create_server(("127.0.0.1", 0)) as wrong:
            stream = await BlockStream.connect(wrong.getsockname())
            peer, _ = wrong.accept()
            peer.sendall(bytes.fromhex("00000012 00000000 51 02") + bytes(12))
            with pytest.raises(ConnectionLost, match="answers no request"):
                await stream.open(READ, b"", req_id=77)
            peer.close()

    run(main())


def test_the_pool_gives_back_what_was_used_last() -> None:
    async def main() -> None:
        worker = await Worker().start()
        clock = ManualClock()
        pool = BlockPool(clock=clock, max_idle=3)
        streams = [await pool.acquire(worker.address) for _ in range(4)]
        for stream in streams:
            pool.release(stream)
        assert pool.idle == 3
        assert streams[0].closed, "over the limit the oldest goes"
        assert await pool.acquire(worker.address) is streams[3]
        with pytest.raises(BlockNotFound):
            await streams[3].open(READ, b"missing")
        pool.release(streams[3])
        assert pool.idle == 3, "an error reply does no harm"
        used = await pool.acquire(worker.address)
        await used.open(READ, b"")
        used.send_running()
        pool.release(used)
        assert used.closed, "a reply is under way"
        clock.advance(61)
        pool.prune()
        assert pool.idle == 0
        fresh = await pool.acquire(worker.name)
        await fresh.open(READ, b"")
        pool.release(fresh)
        await worker.server.close()
        while not fresh.closed:  # noqa: ASYNC110 # nothing sets an event for it
            await asyncio.sleep(0.001)
        with pytest.raises(ConnectionLost):
            await pool.acquire(worker.name)
        pool.close()
        worker.file.close()

    run(main())


def test_unknown_code_on_a_stream_is_an_error_reply() -> None:
    async def main() -> None:
        worker = await Worker().start()
        stream = await BlockStream.connect(worker.address)
        with pytest.raises(Common, match="not supported by the worker"):
            await stream.open(83, b"")
        assert not stream.closed
        stream.close()
        await worker.stop()

    run(main())
