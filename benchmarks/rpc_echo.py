# SPDX-License-Identifier: Apache-2.0
"""How many small calls a second can one RPC server loop answer, beside a bare echo?

Beside it, in the same run: a bare uvloop protocol that sends back whatever bytes arrive (the limit:
it does not look at frames), and one that decodes each frame's prefix and answers it. Frames are of
the size of a stat: 22 + 40 bytes asked, 22 + 90 answered. The client is a blocking loop in another
process. The last rows measure our own pipelined client against our server, and file bytes by
sendfile. Usage: python benchmarks/rpc_echo.py [seconds per row]
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from report import Report

from curvine.rpc.bulk import FileSlice
from curvine.rpc.client import RpcConnection, new_req_id
from curvine.rpc.server import ReplyData, RpcServer
from curvine.rpc.stream import BlockStream
from curvine.wire import codes
from curvine.wire.frame import PREFIX, Frame, encode

REQUEST = encode(7, codes.RPC, -5, -1, b"h" * 40)
ANSWER = b"a" * 90
ANSWER_SIZE = 22 + len(ANSWER)
BLOCK = 64 * 1024 * 1024
CHUNK = 1024 * 1024
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5


class Bytes(asyncio.Protocol):
    """Sends back as many bytes as a reply would have."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.answer = b"a" * ANSWER_SIZE

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer * (len(data) // len(REQUEST)))


class Frames(Bytes):
    """Decodes each prefix and packs each reply, nothing else."""

    def data_received(self, data: bytes) -> None:
        out = []
        for offset in range(0, len(data), len(REQUEST)):
            _, _, code, status, req_id, seq_id = PREFIX.unpack_from(data, offset)
            out.append(PREFIX.pack(18 + len(ANSWER), len(ANSWER), code, status, req_id, seq_id))
            out.append(ANSWER)
        self.transport.writelines(out)


def bare(protocol: type[Bytes]) -> Callable[[], Coroutine[Any, Any, int]]:
    async def start() -> int:
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    return start


async def suspends(_: object, __: Frame) -> bytes:
    await asyncio.sleep(0)
    return ANSWER


async def returns(_: object, __: Frame) -> bytes:
    return ANSWER


def ours(handler: Any, ordered: bool = False) -> Callable[[], Coroutine[Any, Any, int]]:
    async def start() -> int:
        server = RpcServer({7: handler}, name="bench", ordered=ordered)
        return (await server.start("127.0.0.1", 0))[1]

    return start


async def blocks() -> int:
    file = tempfile.NamedTemporaryFile(dir="/dev/shm")  # noqa: SIM115 # lives with the process
    file.write(os.urandom(CHUNK) * (BLOCK // CHUNK))
    file.flush()

    def read(connection: Any, frame: Frame) -> ReplyData:
        if frame.status == codes.OPEN:
            connection.session = 0
            return ReplyData(b"")
        at = connection.session
        connection.session = (at + CHUNK) % BLOCK
        return ReplyData(b"", FileSlice(file.fileno(), at, CHUNK))

    server = RpcServer({81: read}, name="bench", ordered=True)
    return (await server.start("127.0.0.1", 0))[1]


def serve(start: Callable[[], Coroutine[Any, Any, int]]) -> tuple[int, int]:
    """Run a server in a child process; returns (pid, port)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        return pid, int(os.read(reading, 16))

    async def main() -> None:
        os.write(writing, str(await start()).encode())
        await asyncio.sleep(3600)

    uvloop.run(main())
    raise SystemExit


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(pid: int, port: int, connections: int, depth: int) -> tuple[float, float]:
    """Calls a second with ``depth`` requests in flight on each connection, and calls a second of
    the server's CPU time (the steadier figure where a machine is shared)."""
    used = cpu_seconds(pid)
    blob, wanted = REQUEST * depth, ANSWER_SIZE * depth
    poller, state = select.epoll(), {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller.register(sock.fileno(), select.EPOLLIN)
        state[sock.fileno()] = [sock, 0]
        sock.sendall(blob)
    calls, begin = 0, time.monotonic()
    while (now := time.monotonic()) - begin < SECONDS:
        for fd, _ in poller.poll():
            entry = state[fd]
            entry[1] += len(entry[0].recv(1 << 20))
            if entry[1] == wanted:
                entry[1] = 0
                calls += depth
                entry[0].sendall(blob)
    for sock, _ in state.values():
        sock.close()
    return calls / (now - begin), calls / max(cpu_seconds(pid) - used, 0.01)


async def our_client(port: int, depth: int) -> float:
    connection = await RpcConnection.connect("127.0.0.1", port)
    calls, begin = 0, time.monotonic()

    async def one() -> None:
        nonlocal calls
        while time.monotonic() - begin < SECONDS:
            await connection.call(7, b"h" * 40, req_id=new_req_id())
            calls += 1

    await asyncio.gather(*(one() for _ in range(depth)))
    connection.close()
    return calls / (time.monotonic() - begin)


async def our_callbacks(port: int, depth: int) -> float:
    connection = await RpcConnection.connect("127.0.0.1", port)
    calls, begin, keys = 0, time.monotonic(), iter(range(10**9))
    over = asyncio.get_running_loop().create_future()

    def next_call(result: object) -> None:
        nonlocal calls
        calls += 1
        if isinstance(result, Exception):
            return
        if calls % 64 or time.monotonic() - begin < SECONDS:
            connection.call_nowait(7, b"h" * 40, next_call, req_id=next(keys))
        elif not over.done():
            over.set_result(None)

    for _ in range(depth):
        connection.call_nowait(7, b"h" * 40, next_call, req_id=next(keys))
    await over
    connection.close()
    return calls / (time.monotonic() - begin)


async def our_stream(port: int, depth: int) -> float:
    """Bytes a second of 1 MiB chunks with ``depth`` in flight, received in place."""
    stream = await BlockStream.connect(("127.0.0.1", port))
    await stream.open(81, b"")
    places = [memoryview(bytearray(CHUNK)) for _ in range(depth)]
    for place in places:
        stream.send_running(into=place)
    chunks, begin = 0, time.monotonic()
    while time.monotonic() - begin < SECONDS:
        await stream.next_reply()
        stream.send_running(into=places[chunks % depth])
        chunks += 1
    stream.close()
    return chunks * CHUNK / (time.monotonic() - begin)


ROUNDS = 3
SHAPES = ((1, 1), (16, 1), (64, 1), (1, 16), (1, 64), (4, 64))
SERVERS = {
    "bare echo": bare(Bytes),
    "bare frames": bare(Frames),
    "plain handler": ours(lambda _, __: ANSWER),
    "coroutine": ours(returns),
    "coroutine that waits": ours(suspends),
}
OURS = ("plain handler", "coroutine", "coroutine that waits")


def measure() -> dict[tuple[str, str], tuple[float, float]]:
    """Median (calls/s, calls per CPU second) by server and shape, the servers in turns."""
    running = {name: serve(start) for name, start in SERVERS.items()}
    samples: dict[tuple[str, str], list[tuple[float, float]]] = {}
    try:
        for _ in range(ROUNDS):
            for connections, depth in SHAPES:
                for name, (pid, port) in running.items():
                    key = (name, f"{connections} x {depth} in flight")
                    samples.setdefault(key, []).append(ask(pid, port, connections, depth))
        port = running["plain handler"][1]
        for depth in (1, 16, 64):
            for name, client in (("our client", our_client), ("callbacks", our_callbacks)):
                pace = uvloop.run(client(port, depth))
                samples[name, f"1 x {depth} in flight"] = [(pace, 0.0)]
    finally:
        for pid, _ in running.values():
            stop(pid)
    return {
        key: (statistics.median(a for a, _ in row), statistics.median(b for _, b in row))
        for key, row in samples.items()
    }


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main() -> None:
    """Run and report."""
    report = Report("rpc_echo", __doc__ or "")
    figures = measure()
    for reference in ("bare echo", "bare frames"):
        for name in OURS:
            for _, shape in (key for key in figures if key[0] == name):
                for index, unit in ((0, "call/s"), (1, "call/cpu s")):
                    report.compare(
                        f"{name}, {shape}",
                        figures[name, shape][index],
                        figures[reference, shape][index],
                        unit=unit,
                        reference_name=reference,
                    )
    for name, shape in (key for key in figures if key[0] in ("our client", "callbacks")):
        ours_pace, reference_pace = figures[name, shape][0], figures["plain handler", shape][0]
        report.compare(
            f"{name}, {shape}",
            ours_pace,
            reference_pace,
            unit="call/s",
            reference_name="blocking client",
        )
    pid, port = serve(blocks)
    sent = [uvloop.run(our_stream(port, depth)) for depth in (1, 4)]
    stop(pid)
    report.compare(
        "sendfile, 4 chunks in flight", sent[1], sent[0], unit="B/s", reference_name="one chunk"
    )
    report.write()


if __name__ == "__main__":
    main()
