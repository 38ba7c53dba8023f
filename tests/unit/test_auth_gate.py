# SPDX-License-Identifier: Apache-2.0
"""A server with a token, over real sockets: who reaches a handler, and what the others are told."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from curvine.clock import ManualClock
from curvine.config.tokens import Tokens
from curvine.errors import Common, CurvineError, NotAuthenticated
from curvine.rpc import gate as gates
from curvine.rpc.auth import MOST_BYTES, Auth
from curvine.rpc.client import RpcConnection, new_req_id
from curvine.rpc.connector import MasterConnector
from curvine.rpc.pool import BlockPool
from curvine.rpc.server import RpcServer, ServerConnection
from curvine.rpc.stream import BlockStream
from curvine.wire import codes
from curvine.wire.codes import RpcCode
from curvine.wire.frame import Frame, FrameDecoder, encode
from curvine.wire.handshake import Caller
from curvine.wire.status import decode_error

ECHO = 7
TOKEN = "a-token-for-the-tests-of-the-gate"
OTHER = "another-token-for-these-tests-too"


def auth_of(token: str, cluster: str = "c", *, required: bool = True) -> Auth:
    tokens = Tokens(variable="T", grace=0, clock=ManualClock(), environ={"T": token})
    return Auth(tokens, cluster, required=required)


class Server:
    """An echo that counts what reaches it."""

    def __init__(self, auth: Auth | None) -> None:
        self.rpc = RpcServer({ECHO: self.echo}, name="worker", ordered=True, auth=auth)
        self.calls = 0
        self.name = f"curvine-test/{uuid.uuid4()}"
        self.address = ("", 0)

    def echo(self, connection: ServerConnection, frame: Frame) -> bytes:
        self.calls += 1
        return frame.header + bytes(frame.data)


@asynccontextmanager
async def serving(auth: Auth | None) -> AsyncIterator[Server]:
    server = Server(auth)
    server.address = await server.rpc.start("127.0.0.1", 0)
    await server.rpc.start_local(server.name)
    try:
        yield server
    finally:
        await server.rpc.close()


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on the loop that the programs use."""

    def run(**fixtures: Any) -> None:
        uvloop.run(test(**fixtures))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = __import__("inspect").signature(test)  # type: ignore[attr-defined] # for pytest
    return run


class Raw:
    """A peer that does as it likes."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(f"\0{address}")
        else:
            self.sock = socket.create_connection(address)
        self.sock.settimeout(5)
        self.decoder = FrameDecoder()

    def send(
        self, code: int, header: bytes = b"", status: int = codes.RPC, data: bytes = b""
    ) -> None:
        self.sock.sendall(encode(code, status, 9, 0, header, data))

    def receive(self) -> list[Frame]:
        """Every frame until the server closes."""
        frames: list[Frame] = []
        while data := self.sock.recv(1 << 16):
            frames += self.decoder.feed(data)
        return frames

    def one(self) -> Frame:
        while True:
            frames = self.decoder.feed(self.sock.recv(1 << 16))
            if frames:
                return frames[0]


async def talk(work: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


def refusal(frames: list[Frame]) -> CurvineError:
    assert len(frames) == 1
    assert codes.response_status(frames[0].status) is codes.ResponseStatus.ERROR
    return decode_error(frames[0].data)


@looped
async def test_with_the_token_on_every_kind_of_connection() -> None:
    auth = auth_of(TOKEN)
    async with serving(auth_of(TOKEN)) as server:
        for address in (server.address, server.name):
            connection = await RpcConnection.connect_to(address, auth=auth)
            replies = await asyncio.gather(
                *(connection.call(ECHO, b"%d" % n, req_id=new_req_id()) for n in range(20))
            )
            assert [reply.header for reply in replies] == [b"%d" % n for n in range(20)]
            connection.close()
            stream = await BlockStream.connect(address, auth=auth)
            large = os.urandom(3 << 20)
            assert len((await stream.open(ECHO, b"h", large[: 1 << 20])).header) == (1 << 20) + 1
            stream.close()
        pool = BlockPool(auth=auth)
        stream = await pool.acquire(server.address)
        assert (await stream.open(ECHO, b"x")).header == b"x"
        pool.release(stream)
        pool.close()
        connector = MasterConnector([server.address], auth=auth)
        assert (await connector.call(ECHO, b"y")).header == b"y"
        await connector.close()


@looped
async def test_without_or_with_another_token_nothing_reaches_a_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(auth_of(TOKEN)) as server:
        for address in (server.address, server.name):
            plain = await RpcConnection.connect_to(address)
            with pytest.raises(Common, match=r"auth\.token_file") as caught:
                await plain.call(ECHO, b"x", req_id=new_req_id())
            assert "FileStatus is refused" in caught.value.message
            with pytest.raises(NotAuthenticated, match="did not prove that it holds our token"):
                await BlockStream.connect(address, auth=auth_of(OTHER))
            with pytest.raises(NotAuthenticated, match=r"cluster 'c'.*'d'"):
                await BlockStream.connect(address, auth=auth_of(TOKEN, "d"))
        # a final answer: nobody tries again for two minutes
        connector = MasterConnector([server.address], auth=auth_of(OTHER), retry_max=60)
        with pytest.raises(NotAuthenticated):
            await connector.call(ECHO, b"y")
        await connector.close()
        assert server.calls == 0
    assert "refused 127.0.0.1" in caplog.text and "refused local" in caplog.text
    assert TOKEN not in caplog.text and OTHER not in caplog.text


@looped
async def test_what_a_foreign_peer_may_send_first() -> None:
    """Whatever it is, one error comes, then the end; frames sent behind it change nothing."""
    async with serving(auth_of(TOKEN)) as server:
        for code in (ECHO, RpcCode.MKDIR, RpcCode.READ_BLOCK, RpcCode.AUTH_PROOF, -1, 127):
            for status in (codes.RPC, codes.OPEN, codes.RUNNING, codes.COMPLETE):
                raw = Raw(server.address)
                raw.send(code, b"header", status, b"data")
                raw.send(code, b"again", status)
                error = refusal(await talk(raw.receive))
                assert isinstance(error, Common) and "token" in error.message
                raw.sock.close()
        assert server.calls == 0 and not server.rpc.connections


@looped
async def test_frames_that_get_no_answer() -> None:
    async with serving(auth_of(TOKEN)) as server:
        for garbage in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            encode(ECHO, 0x01, 1, 0),  # a reply
            encode(ECHO, codes.RPC, 1, 0, b"x" * (MOST_BYTES + 1)),
            encode(ECHO, codes.RPC, 1, 0, b"", b"x" * (MOST_BYTES + 1)),
            b"\xff" * 22,
        ):
            raw = Raw(server.address)
            raw.sock.sendall(garbage)
            try:
                assert await talk(raw.receive) == []
            except ConnectionResetError:
                pass
            raw.sock.close()
        assert server.calls == 0


@looped
async def test_a_recorded_connection_opens_nothing() -> None:
    """All bytes that a caller sent, sent again, byte for byte."""
    auth = auth_of(TOKEN)
    async with serving(auth_of(TOKEN)) as server:
        raw = Raw(server.address)
        caller = auth.caller()
        raw.send(RpcCode.AUTH_HELLO, hello := caller.hello())
        challenge = await talk(raw.one)
        raw.send(RpcCode.AUTH_PROOF, answer := caller.answer(challenge.header))
        raw.send(ECHO, b"works")
        assert (await talk(raw.one)).header == b"works"
        raw.sock.close()
        again = Raw(server.address)
        again.send(RpcCode.AUTH_HELLO, hello)
        assert (await talk(again.one)).header != challenge.header
        again.send(RpcCode.AUTH_PROOF, answer)
        again.send(ECHO, b"works?")
        error = refusal(await talk(again.receive))
        assert "did not prove" in error.message
        assert server.calls == 1


@looped
async def test_two_hellos_and_a_request_after_a_hello() -> None:
    async with serving(auth_of(TOKEN)) as server:
        for second in (RpcCode.AUTH_HELLO, ECHO):
            raw = Raw(server.address)
            raw.send(RpcCode.AUTH_HELLO, Caller([OTHER.encode()], "c").hello())
            await talk(raw.one)
            raw.send(second, b"")
            refusal(await talk(raw.receive))
        assert server.calls == 0


@looped
async def test_byte_by_byte_and_with_everything_at_once() -> None:
    auth = auth_of(TOKEN)
    async with serving(auth_of(TOKEN)) as server:
        caller = auth.caller()
        raw = Raw(server.address)
        raw.send(codes.RpcCode.HEARTBEAT, b"", codes.HEARTBEAT)
        for byte in encode(RpcCode.AUTH_HELLO, codes.RPC, 1, -1, caller.hello()):
            raw.sock.sendall(bytes((byte,)))
            await asyncio.sleep(0)
        answer = caller.answer((await talk(raw.one)).header)
        large = b"d" * (MOST_BYTES * 4)  # more than a stranger may send, right behind the proof
        raw.sock.sendall(
            encode(RpcCode.AUTH_PROOF, codes.RPC, 1, -1, answer)
            + encode(ECHO, codes.OPEN, 2, 0, b"h", large)
        )
        assert (await talk(raw.one)).header == b"h" + large


@looped
async def test_silence_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(auth_of(TOKEN)) as server:
        gate = server.rpc._gate
        assert gate is not None and gate.patience == gates.PATIENCE
        gate.patience = 0.05
        for begin in (b"", b"\0\0\0"):
            raw = Raw(server.address)
            raw.sock.sendall(begin)
            assert await talk(raw.receive) == []
        assert not gate.waiting


@looped
async def test_while_a_running_cluster_is_given_a_token(caplog: pytest.LogCaptureFixture) -> None:
    """required = false on either side talks with peers that have none."""
    patient = auth_of(TOKEN, required=False)
    async with serving(patient) as server:
        plain = await RpcConnection.connect(*server.address)
        big = b"x" * (MOST_BYTES * 3)
        assert (await plain.call(ECHO, b"h", data=big, req_id=1)).header == b"h" + big
        plain.close()
        for auth in (auth_of(TOKEN), patient):
            stream = await BlockStream.connect(server.name, auth=auth)
            assert (await stream.open(ECHO, b"x")).header == b"x"
            stream.close()
        with pytest.raises(NotAuthenticated):
            await RpcConnection.connect(*server.address, auth=auth_of(OTHER))
    async with serving(None) as server:
        connection = await RpcConnection.connect(*server.address, auth=patient)
        assert (await connection.call(ECHO, b"x", req_id=1)).header == b"x"
        connection.close()
        with pytest.raises(NotAuthenticated, match="this worker has no token itself"):
            await RpcConnection.connect(*server.address, auth=auth_of(TOKEN))


@looped
async def test_a_new_token_needs_no_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    file = tmp_path / "token"
    file.write_text(TOKEN)
    auth = Auth(Tokens(path=str(file), grace=60_000, clock=clock), "c")
    async with serving(auth) as server:
        kept = await RpcConnection.connect(*server.address, auth=auth_of(TOKEN))
        file.write_text(OTHER)
        for token in (TOKEN, OTHER):
            connection = await RpcConnection.connect(*server.address, auth=auth_of(token))
            assert (await connection.call(ECHO, b"x", req_id=1)).header == b"x"
            connection.close()
        clock.advance(61)
        with pytest.raises(NotAuthenticated):
            await RpcConnection.connect(*server.address, auth=auth_of(TOKEN))
        connection = await RpcConnection.connect(*server.address, auth=auth)
        assert (await connection.call(ECHO, b"x", req_id=1)).header == b"x"
        assert (await kept.call(ECHO, b"x", req_id=1)).header == b"x"
        connection.close()
        kept.close()


@looped
async def test_one_line_for_an_open_door(caplog: pytest.LogCaptureFixture) -> None:
    for auth, host, lines in (
        (None, "0.0.0.0", 1),
        (None, "127.0.0.1", 0),
        (auth_of(TOKEN), "::", 0),
    ):
        caplog.clear()
        server = RpcServer({}, name="master", auth=auth)
        with caplog.at_level(logging.WARNING):
            await server.start(host, 0)
        await server.close()
        assert len(caplog.records) == lines
        if lines:
            assert "without authentication" in caplog.text and "auth.token_file" in caplog.text
