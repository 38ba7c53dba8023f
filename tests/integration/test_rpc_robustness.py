# SPDX-License-Identifier: Apache-2.0
"""A server process under peers that break the rules: it keeps serving, and says so once.

The server is a real process with its log in a file; its peers are bare sockets that send bytes.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curvine.wire import codes
from curvine.wire.frame import PREFIX_SIZE, Frame, FrameDecoder, encode

SERVER = """
import asyncio, sys, uvloop
from curvine.rpc.server import RpcServer
from curvine.telemetry.logs import setup

async def slow(connection, frame):
    await asyncio.sleep(0.3)
    return b"late"

async def main():
    setup("info", sys.argv[1])
    server = RpcServer({7: lambda connection, frame: frame.header, 8: slow}, name="master",
                       ordered=sys.argv[2] == "ordered", idle_timeout=600)
    print((await server.start("127.0.0.1", 0))[1], flush=True)
    await asyncio.sleep(600)

uvloop.run(main())
"""


class Server:
    """The process, where it listens, and what it logged."""

    def __init__(self, folder: Path, order: str) -> None:
        self.log = folder / "server.log"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.log), order], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.address = ("127.0.0.1", int(self.process.stdout.readline()))

    def dial(self) -> socket.socket:
        sock = socket.create_connection(self.address, timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def lines(self, pattern: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if re.search(pattern, line)]

    def wait_for_line(self, pattern: str) -> list[str]:
        limit = time.monotonic() + 10
        while not self.lines(pattern) and time.monotonic() < limit:
            time.sleep(0.01)
        return self.lines(pattern)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(params=["ordered", "unordered"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    started = Server(tmp_path, request.param)
    yield started
    started.stop()


def ask(sock: socket.socket, code: int, header: bytes, req_id: int = 1) -> Frame:
    sock.sendall(encode(code, codes.RPC, req_id, -1, header))
    return receive(sock)


def receive(sock: socket.socket) -> Frame:
    decoder = FrameDecoder()
    while True:
        data = sock.recv(65536)
        if not data:
            raise EOFError
        frames = decoder.feed(data)
        if frames:
            return frames[0]


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def prefix(total: int, header: int = 0, code: int = 7, status: int = codes.RPC) -> bytes:
    return struct.pack(">iibBqi", total, header, code, status, 1, -1)


def send_and_see_it_closed(data: bytes) -> Callable[[Server], None]:
    def misbehave(server: Server) -> None:
        with server.dial() as sock:
            sock.sendall(data)
            assert is_closed(sock)

    return misbehave


def half_a_frame(server: Server) -> None:
    with server.dial() as sock:
        sock.sendall(encode(7, codes.RPC, 1, -1, b"x" * 100)[:60])


def half_a_prefix_byte_by_byte(server: Server) -> None:
    with server.dial() as sock:
        for byte in prefix(18)[:-1]:
            sock.send(bytes([byte]))


def half_a_big_frame(server: Server) -> None:
    with server.dial() as sock:
        sock.sendall(prefix(18 + 16 * 1024 * 1024) + bytes(3_000_000))


def unknown_code(server: Server) -> None:
    with server.dial() as sock:
        for req_id in range(3):
            frame = ask(sock, 99, b"", req_id)
            assert (frame.status, frame.code, frame.req_id) == (0x11, 99, req_id)
            assert struct.unpack_from(">i", frame.data) == (10000,)
        assert ask(sock, 7, b"same connection").header == b"same connection"


def closed_connection(server: Server) -> None:
    with server.dial() as sock:
        ask(sock, 7, b"")


def closed_while_a_request_is_answered(server: Server) -> None:
    with server.dial() as sock:
        sock.sendall(encode(8, codes.RPC, 1, -1))
    time.sleep(0.4)


def reset(server: Server) -> None:
    with server.dial() as sock:
        ask(sock, 7, b"")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


RULE_BREAKERS = [
    ("malformed frame", send_and_see_it_closed(prefix(17)), "malformed frame: total size 17"),
    ("header beyond frame", send_and_see_it_closed(prefix(20, 3)), "do not fit together"),
    ("negative sizes", send_and_see_it_closed(prefix(-5, -9)), "malformed frame"),
    ("2 GiB length", send_and_see_it_closed(prefix(2**31 - 1)), "2147483629 bytes are over"),
    ("2 GiB header", send_and_see_it_closed(prefix(2**31 - 1, 2**31 - 19)), "header of 2147483629"),
    ("other protocol", send_and_see_it_closed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "over"),
    ("empty frame", send_and_see_it_closed(prefix(18, 0, 0, 0xFF)), "empty frame"),
    ("reply", send_and_see_it_closed(prefix(18, 0, 7, 0x01)), r"a reply \(status 0x01\)"),
    ("half frame", half_a_frame, "inside a frame"),
    ("half prefix", half_a_prefix_byte_by_byte, "inside a frame"),
    ("half big frame", half_a_big_frame, "inside a frame|broke"),
    ("unknown code", unknown_code, r"Unknown99 \(code 99\), which is not served"),
    ("closed", closed_connection, "closed its connection"),
    ("closed while asking", closed_while_a_request_is_answered, "closed its connection"),
    ("reset", reset, "broke: Connection reset"),
]


@pytest.mark.parametrize(
    ("misbehave", "says"), [row[1:] for row in RULE_BREAKERS], ids=[row[0] for row in RULE_BREAKERS]
)
def test_the_server_goes_on_and_says_it_once(
    server: Server, misbehave: Callable[[Server], None], says: str
) -> None:
    with server.dial() as good:
        assert ask(good, 7, b"before").header == b"before"
        for _ in range(3):
            misbehave(server)
            assert ask(good, 7, b"between").header == b"between"
        assert len(server.wait_for_line(says)) == 1
        with server.dial() as another:
            assert ask(another, 7, b"after").header == b"after"
        assert len(server.lines("127.0.0.1")) <= 2, "one line for what it did, one for its leaving"
        assert not server.lines("Traceback|ERROR")


def test_good_frames_before_a_bad_one_are_answered(server: Server) -> None:
    with server.dial() as sock:
        sock.sendall(encode(7, codes.RPC, 1, -1, b"good") + prefix(3))
        assert receive(sock).header == b"good"
        assert is_closed(sock)


def test_heartbeats_are_not_answered(server: Server) -> None:
    with server.dial() as sock:
        sock.sendall(bytes.fromhex("0000001200000000 00f0 ffffffffffffffff ffffffff") * 3)
        assert ask(sock, 7, b"x").header == b"x"


def test_rubbish_of_every_kind(server: Server) -> None:
    seed = int.from_bytes(os.urandom(4))
    import random

    source = random.Random(seed)
    with server.dial() as good:
        for turn in range(150):
            with server.dial() as sock:
                raw = source.randbytes(source.randrange(1, 200))
                if turn % 2:  # plausible sizes reach further into the server
                    raw = prefix(18 + len(raw), min(9, len(raw)))[:PREFIX_SIZE] + raw * 2
                sock.sendall(raw)
            assert ask(good, 7, b"%d" % turn).header == b"%d" % turn, f"seed {seed}"
    assert not server.lines("Traceback|ERROR"), f"seed {seed}"


def test_silent_and_slow_peers_cost_the_others_nothing(server: Server) -> None:
    idle = [server.dial() for _ in range(200)]
    halves = [server.dial() for _ in range(100)]
    for sock in halves:
        sock.sendall(encode(7, codes.RPC, 1, -1, b"x" * 50_000)[:-1])
    with server.dial() as good:
        begin = time.monotonic()
        for turn in range(300):
            ask(good, 7, b"x", turn)
        assert time.monotonic() - begin < 3
    for sock in halves:
        sock.sendall(b"x")
        assert len(receive_exactly(sock, PREFIX_SIZE + 50_000)) == PREFIX_SIZE + 50_000
    for sock in idle + halves:
        sock.close()


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
