# SPDX-License-Identifier: Apache-2.0
"""A server over real sockets: order of answers, errors, back-pressure, idle time, file bytes."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from curvine.clock import ManualClock
from curvine.errors import Common, ConnectionLost, DiskOutOfSpace, IoFailed, NotFound
from curvine.rpc.bulk import FileSlice
from curvine.rpc.client import RpcConnection, new_req_id
from curvine.rpc.server import Reply, ReplyData, RpcServer, ServerConnection
from curvine.rpc.step import in_task
from curvine.wire import codes
from curvine.wire.frame import Frame, FrameDecoder, encode

STAT, SLOW, FAIL, BIG, FILE = 7, 8, 9, 11, 81


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    uvloop.run(limited())


async def start(
    handlers: dict[int, Any], **options: Any
) -> tuple[RpcServer, RpcConnection, tuple[str, int]]:
    server = RpcServer(handlers, name="test", **options)
    address = await server.start("127.0.0.1", 0)
    return server, await RpcConnection.connect(*address), address


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds (the caller's time-out is the limit)."""
    while not condition():  # noqa: ASYNC110 # nothing sets an event for it
        await asyncio.sleep(0.001)


async def stop(server: RpcServer, *clients: RpcConnection) -> None:
    for client in clients:
        client.close()
    await server.close()
    assert not server.connections


def echo(connection: ServerConnection, frame: Frame) -> Reply:
    return ReplyData(frame.header, frame.data) if len(frame.data) else frame.header


async def ask(client: RpcConnection, code: int, header: bytes = b"", **options: Any) -> Frame:
    return await client.call(code, header, req_id=new_req_id(), timeout=5, **options)


def test_the_three_kinds_of_handlers_answer() -> None:
    async def at_once(_: ServerConnection, frame: Frame) -> Reply:
        return b"c" + frame.header

    async def later(_: ServerConnection, frame: Frame) -> Reply:
        await asyncio.sleep(0.001)
        return b"t" + frame.header

    @in_task
    async def timed(_: ServerConnection, frame: Frame) -> Reply:
        async with asyncio.timeout(1):
            await asyncio.sleep(0)
            return b"f" + frame.header

    async def main() -> None:
        server, client, _ = await start({1: echo, 2: at_once, 3: later, 4: timed})
        replies = await asyncio.gather(*(ask(client, code, b"x") for code in (1, 2, 3, 4)))
        assert [frame.header for frame in replies] == [b"x", b"cx", b"tx", b"fx"]
        assert {frame.status for frame in replies} == {0x01}
        assert (await ask(client, 1, b"h", data=b"d" * 100_000)).data == b"d" * 100_000
        await stop(server, client)

    run(main())


def test_unordered_answers_pass_slow_ones_and_ordered_ones_wait() -> None:
    async def slow(_: ServerConnection, frame: Frame) -> Reply:
        await asyncio.sleep(0.05)
        return b""

    async def order(ordered: bool) -> list[str]:
        server, client, _ = await start({STAT: echo, SLOW: slow}, ordered=ordered)
        done: list[str] = []

        async def one(code: int, name: str) -> None:
            await ask(client, code)
            done.append(name)

        await asyncio.gather(one(SLOW, "slow"), one(STAT, "stat"), one(SLOW, "slow2"))
        await stop(server, client)
        return done

    async def main() -> None:
        assert (await order(False))[0] == "stat"
        assert await order(True) == ["slow", "stat", "slow2"]

    run(main())


def test_errors_travel_with_their_kind(caplog: pytest.LogCaptureFixture) -> None:
    raised: list[Exception] = [
        NotFound("File /x not found"),
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied"),
        KeyError("secret"),
        KeyError("secret"),
    ]

    def fail(_: ServerConnection, frame: Frame) -> Reply:
        raise raised.pop(0)

    async def main() -> None:
        server, client, _ = await start({FAIL: fail, STAT: echo})
        for expected in (NotFound, DiskOutOfSpace, IoFailed, Common, Common):
            with pytest.raises(expected) as caught:
                await ask(client, FAIL)
            assert type(caught.value) is expected
            assert "secret" not in caught.value.message
        assert (await ask(client, STAT, b"alive")).header == b"alive"
        await stop(server, client)

    run(main())
    assert sum("KeyError" in record.exc_text for record in caplog.records if record.exc_text) == 1


def test_a_flood_is_answered_whole_and_in_fair_turns() -> None:
    async def main() -> None:
        server, client, address = await start({STAT: echo})
        reader, writer = await asyncio.open_connection(*address)
        count = 5000
        writer.write(b"".join(encode(STAT, codes.RPC, n, -1, b"h" * 9) for n in range(count)))
        decoder, ids = FrameDecoder(), []
        while len(ids) < count:
            ids += [frame.req_id for frame in decoder.feed(await reader.read(1 << 20))]
        assert ids == list(range(count))
        writer.close()
        await stop(server, client)

    run(main())


def test_a_peer_that_does_not_read_is_not_read_from_and_costs_the_others_nothing() -> None:
    big = bytes(256 * 1024)
    handled = []

    def many(_: ServerConnection, frame: Frame) -> Reply:
        handled.append(frame.req_id)
        return big

    async def main() -> None:
        server, client, address = await start({BIG: many, STAT: echo})
        with socket.create_connection(address) as deaf:
            deaf.setblocking(False)
            asked = b"".join(encode(BIG, codes.RPC, n, -1) for n in range(4000))
            sent = deaf.send(asked)
            for _ in range(100):
                await ask(client, STAT)
            (connection,) = (c for c in server.connections if c.backlog)
            # What the kernel buffers, plus the high-water mark: far from the gigabyte asked for.
            assert connection.backlog < 2 * 1024 * 1024
            assert len(handled) < 100
            assert not connection.channel.is_reading
            deaf.setblocking(True)
            wanted = sent // 22 * (22 + len(big))
            loop = asyncio.get_running_loop()

            def drain() -> int:
                got = 0
                while got < min(wanted, 400 * len(big)):
                    got += len(deaf.recv(1 << 20))
                return got

            await loop.run_in_executor(None, drain)
            assert len(handled) >= 400
        await stop(server, client)

    run(main())


def test_too_many_waiting_handlers_stop_the_reading() -> None:
    gate: asyncio.Future[None]
    started = 0

    async def wait(_: ServerConnection, frame: Frame) -> Reply:
        nonlocal started
        started += 1
        await asyncio.shield(gate)
        return b""

    async def main() -> None:
        nonlocal gate
        gate = asyncio.get_running_loop().create_future()
        server, client, _ = await start({SLOW: wait}, max_pending=10)
        calls = [asyncio.ensure_future(ask(client, SLOW)) for _ in range(500)]
        await until(lambda: started == 10)
        (connection,) = server.connections
        await until(lambda: not connection.channel.is_reading)
        await asyncio.sleep(0.01)
        assert started == 10
        gate.set_result(None)
        await asyncio.gather(*calls)
        assert started == 500
        await stop(server, client)

    run(main())


def test_idle_and_stalled_peers_are_closed_by_the_clock(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gate: asyncio.Future[Reply]

    def wait(_: ServerConnection, frame: Frame) -> Any:
        return gate

    def listen(connection: ServerConnection, frame: Frame) -> Reply:
        connection.exempt_from_idle = True
        return b""

    async def main() -> None:
        nonlocal gate
        gate = asyncio.get_running_loop().create_future()
        clock = ManualClock()
        handlers = {STAT: echo, SLOW: wait, 100: listen}
        server, idle, address = await start(
            handlers, clock=clock, idle_timeout=600, stall_timeout=120
        )
        busy, watcher = [await RpcConnection.connect(*address) for _ in range(2)]
        await ask(idle, STAT)
        await ask(watcher, 100)
        waiting = asyncio.ensure_future(ask(busy, SLOW))
        half, heart = [socket.create_connection(address) for _ in range(2)]
        half.send(encode(STAT, codes.RPC, 1, -1, b"xyz")[:-1])
        await until(lambda: sum(c.channel.received for c in server.connections) == 4)
        assert len(server.connections) == 5
        server.close_idle()
        clock.advance(130)
        server.close_idle()
        assert len(server.connections) == 4, "half a frame for two minutes"
        clock.advance(480)
        heart.send(encode(0, codes.HEARTBEAT, -1, -1))
        await until(lambda: sum(c.channel.received for c in server.connections) == 4)
        server.close_idle()
        assert len(server.connections) == 2, "a heartbeat is no activity; waiting and watching is"
        gate.set_result(b"")
        await waiting
        half.close()
        heart.close()
        await stop(server, idle, busy, watcher)

    run(main())
    text = caplog.text
    assert text.count("stopped inside a frame for 120 s") == 1
    assert text.count("sent no request for 600 s") == 1, "once for one peer, though two were closed"


def test_on_close_runs_once_after_the_last_handler() -> None:
    events: list[str] = []

    async def wait(connection: ServerConnection, frame: Frame) -> Reply:
        connection.on_close(lambda: events.append("closed"))
        await asyncio.sleep(0.02)
        events.append("handler ended")
        return b""

    async def main() -> None:
        server, client, _ = await start({SLOW: wait}, ordered=True)
        call = asyncio.ensure_future(ask(client, SLOW))
        await asyncio.sleep(0.01)
        client.close()
        with pytest.raises(ConnectionLost):
            await call
        await asyncio.sleep(0.05)
        await stop(server)

    run(main())
    assert events == ["handler ended", "closed"]


def test_closing_lets_running_handlers_answer() -> None:
    async def wait(_: ServerConnection, frame: Frame) -> Reply:
        await asyncio.sleep(0.03)
        return b"done"

    async def main() -> None:
        server, client, address = await start({SLOW: wait})
        call = asyncio.ensure_future(ask(client, SLOW))
        await asyncio.sleep(0.01)
        await server.close()
        assert (await call).header == b"done"
        with pytest.raises(ConnectionLost, match="refused"):
            await RpcConnection.connect(*address)

    run(main())


@pytest.mark.parametrize("ordered", [False, True])
def test_file_bytes_are_sent_from_the_file(ordered: bool) -> None:
    content = os.urandom(3 * 1024 * 1024 + 17)

    async def main() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

            def read(_: ServerConnection, frame: Frame) -> Reply:
                offset, size = (int(part) for part in frame.header.split())
                return ReplyData(b"head", FileSlice(file.fileno(), offset, size))

            server, client, _ = await start({FILE: read, STAT: echo}, ordered=ordered)
            ranges = [(0, len(content)), (5, 1_000_000), (17, 0), (len(content) - 3, 3)] * 3
            calls = [ask(client, FILE, b"%d %d" % pair) for pair in ranges]
            *replies, last = await asyncio.gather(*calls, ask(client, STAT, b"after"))
            for (offset, size), frame in zip(ranges, replies, strict=True):
                assert frame.header == b"head"
                assert bytes(frame.data) == content[offset : offset + size]
            assert last.header == b"after"
            with pytest.raises(ConnectionLost):
                await ask(client, FILE, b"0 %d" % (len(content) + 1))
            await stop(server, client)

    run(main())


def test_server_side_stream_frames() -> None:
    def watch(connection: ServerConnection, frame: Frame) -> Reply:
        loop = asyncio.get_running_loop()
        for seq in (1, 2):
            loop.call_soon(connection.send, 100, 0x03, frame.req_id, seq, b"change")
        return b"opened"

    async def main() -> None:
        server, client, address = await start({100: watch})
        reader, writer = await asyncio.open_connection(*address)
        writer.write(encode(100, codes.OPEN, 5, 0, b"watch"))
        decoder, frames = FrameDecoder(), []
        while len(frames) < 3:
            frames += decoder.feed(await reader.read(65536))
        assert [(f.status, f.req_id, f.seq_id, f.header) for f in frames] == [
            (0x02, 5, 0, b"opened"),
            (0x03, 5, 1, b"change"),
            (0x03, 5, 2, b"change"),
        ]
        writer.close()
        await stop(server, client)

    run(main())
