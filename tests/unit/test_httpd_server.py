# SPDX-License-Identifier: Apache-2.0
"""The HTTP server against plain sockets: what is answered, and who is cut off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from curvine.errors import NotFound
from curvine.httpd.connections import Connections
from curvine.httpd.messages import Refused, Request, Response, Route, as_json, as_text
from curvine.httpd.server import HttpServer

changes: list[str] = []


async def _count() -> AsyncIterator[bytes]:
    for number in range(5):
        yield b"%d," % number


async def _flood() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


def _fails(_request: Request) -> Response:
    raise ValueError("a mistake")


def _missing(_request: Request) -> Response:
    raise NotFound("/a is not there")


def _change(request: Request) -> Response:
    changes.append(request.method)
    return as_text("done")


async def _later(_request: Request) -> Response:
    await asyncio.sleep(0)
    return as_json({"later": True})


def _echo(request: Request) -> Response:
    return as_json((request.query("path") or b"").hex())


ROUTES = (
    Route("/ok", lambda _r: as_text("fine")),
    Route("/json", lambda _r: as_json({"a": [1, "ä"]})),
    Route("/later", _later),
    Route("/echo", _echo),
    Route("/count", lambda _r: Response(_count(), content_type="text/plain")),
    Route("/flood", lambda _r: Response(_flood())),
    Route("/big", lambda _r: Response(b"y" * 3_000_000)),
    Route("/fails", _fails),
    Route("/missing", _missing),
    Route("/change", _change, changes=True),
    Route("/health", lambda _r: as_text("ok"), public=True),
)
Work = Callable[[HttpServer], Awaitable[None]]


def serve(work: Work, **options: float) -> None:
    async def run() -> None:
        limit = int(options.pop("limit", 128))
        connections = Connections(limit, **options)
        server = HttpServer(ROUTES, name="test", connections=connections)
        assert await server.start("127.0.0.1", 0) == ("127.0.0.1", server.port)
        try:
            await asyncio.wait_for(work(server), 20)
        finally:
            await server.close()
        assert len(connections) == 0

    asyncio.run(run())


async def ask(
    server: HttpServer, target: str, method: str = "GET", headers: str = "", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    host = "" if "host:" in headers.lower() else f"Host: 127.0.0.1:{server.port}\r\n"
    head = f"{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n"
    writer.write(head.encode("latin-1") + body)
    status = int((await reader.readline()).split()[1])
    fields = {}
    while (line := await reader.readline()) != b"\r\n":
        name, _, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    data = await reader.read()
    writer.close()
    return status, fields, data


async def all_cut(server: HttpServer) -> None:
    for _ in range(100):
        if len(server._connections) == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("a connection is still there")


def test_answers() -> None:
    async def work(server: HttpServer) -> None:
        status, fields, body = await ask(server, "/ok")
        assert (status, body) == (200, b"fine")
        assert fields["content-type"] == "text/plain; charset=utf-8"
        assert fields["cache-control"] == "no-store"
        assert fields["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in fields
        status, fields, body = await ask(server, "/json")
        assert fields["content-type"] == "application/json"
        assert json.loads(body) == {"a": [1, "ä"]}
        assert (await ask(server, "/later"))[2] == b'{"later":true}'
        assert (await ask(server, "/ok", "HEAD"))[2] == b""
        assert len((await ask(server, "/big"))[2]) == 3_000_000
        status, fields, body = await ask(server, "/count")
        assert fields["transfer-encoding"] == "chunked"
        assert b"4," in body

    serve(work)


def test_query_values_are_bytes() -> None:
    async def work(server: HttpServer) -> None:
        for text, expected in (
            ("path=/a+b%2Bc", b"/a b+c"),
            ("path=%FF%00/%E4", b"\xff\0/\xe4"),
            ("x=1&path=/%26%3D&path=2", b"/&="),
            ("path", b""),
            ("", b""),
        ):
            assert json.loads((await ask(server, f"/echo?{text}"))[2]) == expected.hex()

    serve(work)


def test_errors_are_json_with_a_message(caplog: pytest.LogCaptureFixture) -> None:
    async def work(server: HttpServer) -> None:
        for target, method, expected in (
            ("/nosuch", "GET", 404),
            ("/missing", "GET", 500),
            ("/fails", "GET", 500),
            ("/ok", "POST", 405),
            ("/ok", "DELETE", 405),
            ("/ok", "OPTIONS", 405),
        ):
            status, _, body = await ask(server, target, method)
            assert status == expected, target
            assert isinstance(json.loads(body)["message"], str)
        assert json.loads((await ask(server, "/missing"))[2])["message"] == "/a is not there"
        assert b"mistake" not in (await ask(server, "/fails"))[2]
        assert (await ask(server, "/ok?" + "a" * 20_000))[0] in (400, 414)

    serve(work)
    assert "a mistake" in caplog.text


def test_changes_need_more_than_a_get_from_a_browser() -> None:
    async def work(server: HttpServer) -> None:
        changes.clear()
        assert (await ask(server, "/change", headers="Origin: http://evil.example\r\n"))[0] == 403
        assert (await ask(server, "/change", headers="X-Forwarded-For: 1.1.1.1\r\n"))[0] == 403
        assert (await ask(server, "/change", headers="Host: evil.example\r\n"))[0] == 403
        assert (await ask(server, "/change", "HEAD"))[0] == 405
        assert changes == []
        assert (await ask(server, "/change"))[0] == 200
        assert (await ask(server, "/change", "POST", "Content-Length: 2\r\n", b"{}"))[0] == 200
        assert changes == ["GET", "POST"]

    serve(work)


def test_foreign_hosts_reach_probes_only() -> None:
    async def work(server: HttpServer) -> None:
        assert (await ask(server, "/ok", headers="Host: evil.example\r\n"))[0] == 403
        assert (await ask(server, "/nosuch", headers="Host: evil.example\r\n"))[0] == 403
        assert (await ask(server, "/health", headers="Host: evil.example\r\n"))[0] == 200

    serve(work)


def test_an_address_in_use_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def work(server: HttpServer) -> None:
        other = HttpServer(ROUTES, name="second")
        assert await other.start("127.0.0.1", server.port) is None
        assert other.port == 0
        await other.close()
        assert (await ask(server, "/ok"))[0] == 200

    with caplog.at_level(logging.WARNING):
        serve(work)
    assert "Address already in use" in caplog.text


def test_a_request_that_is_never_finished_is_cut_off() -> None:
    async def work(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /ok HTTP/1.1\r\nHost: 127.0.0.1")
        assert await reader.read() == b""

    serve(work, waiting_seconds=0.3)


def test_a_kept_connection_is_cut_off_when_idle() -> None:
    async def work(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(f"GET /ok HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
            assert await reader.readuntil(b"fine")
        assert await reader.read() == b""

    serve(work, waiting_seconds=0.3)


def test_an_answer_that_nobody_takes_is_cut_off() -> None:
    async def work(server: HttpServer) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        host = f"Host: 127.0.0.1:{server.port}\r\n\r\n"
        writer.write(f"GET /flood HTTP/1.1\r\n{host}".encode())
        writer.transport.pause_reading()
        await asyncio.sleep(0.5)
        await all_cut(server)

    serve(work, busy_seconds=0.3)


def test_requests_without_reading_answers_hold_bounded_memory() -> None:
    async def work(server: HttpServer) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.transport.pause_reading()
        one = f"GET /big HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
        writer.write(one * 1000)
        await asyncio.sleep(0.1)
        await all_cut(server)

    serve(work, busy_seconds=0.3)


def test_at_the_limit_the_longest_waiting_connection_goes() -> None:
    async def work(server: HttpServer) -> None:
        waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        assert (await ask(server, "/ok"))[0] == 200
        assert await waiting[0][0].read() == b""
        assert len(server._connections) <= 4
        for _, writer in waiting:
            writer.close()

    serve(work, limit=4)


def test_refusals_carry_their_headers() -> None:
    refusal = Refused(401, "no", (("WWW-Authenticate", "Bearer"),))
    assert refusal.headers == (("WWW-Authenticate", "Bearer"),)
