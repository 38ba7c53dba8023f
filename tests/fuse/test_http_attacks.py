# SPDX-License-Identifier: Apache-2.0
"""Every HTTP port of ours under attack: what is sent is refused or cut off, nothing is learnt from
it, nothing breaks by it. Slow clients: tests/unit/test_httpd_server.py, test_s3_hardship.py."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest

import curvine.fuse.pages as fuse_pages
import curvine.master.pages as master_pages
import curvine.worker.pages as worker_pages
from curvine.testing.cluster import MiniCluster, free_port
from curvine.testing.mounting import MiniMount
from curvine.testing.s3_gateway import MiniGateway

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

SECRET = "a line of a file that is nobody's business"


def _routes(pages: ModuleType) -> tuple[str, ...]:
    """Every path that a module of pages declares, and one that nobody has."""
    declared = re.findall(r'\bRoute\("(/[^"]+)"', Path(str(pages.__file__)).read_text())
    return (*declared, "/none")


ROUTES = {
    "master": _routes(master_pages),
    "worker": _routes(worker_pages),
    "fuse": _routes(fuse_pages),
    "gateway": ("/metrics", "/healthz", "/bucket/key"),
}
METHODS = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "BREW", "get", "G\0T", "",
)  # fmt: skip
FINE = {200, 204, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 421, 431, 501, 503, 505}


class Ports(NamedTuple):
    """Port by server, and where each writes its log."""

    ports: dict[str, int]
    logs: dict[str, Path]
    secret: Path


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    root = tmp_path_factory.mktemp("attacked")
    secret = root / "secret.txt"
    secret.write_text(SECRET)
    settings = {"fuse": {"web_port": free_port()}}
    cluster = MiniCluster(root / "cluster", settings=settings)
    mount = MiniMount(cluster.conf_path, root / "mnt")
    with cluster, mount, MiniGateway(cluster) as gateway:
        conf = cluster.conf()
        ports = {
            "master": conf.master.web_port,
            "worker": _worker_port(cluster),
            "fuse": conf.fuse.web_port,
            "gateway": urlsplit(gateway.endpoint).port or 0,
        }
        logs = {
            "master": cluster.master.log, "worker": cluster.workers[0].log, "fuse": mount.log,
            "gateway": gateway.log,
        }  # fmt: skip
        yield Ports(ports, logs, secret)


def _worker_port(cluster: MiniCluster) -> int:
    section = cluster.workers[0].conf.read_text().partition("[worker]")[2]
    found = re.search(r"^web_port = (\d+)", section, re.M)
    assert found is not None
    return int(found[1])


def send(port: int, request: bytes) -> bytes:
    """The whole answer; nothing where the connection was cut instead."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        answer = b""
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(1 << 16):
                answer += piece
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused before all of it was sent
        return answer


def judged(answer: bytes, what: object) -> int:
    """The status (0: cut off), after a look at the answer."""
    assert SECRET.encode() not in answer and b"Traceback" not in answer, what
    assert b"root:x:" not in answer, what
    if not answer:
        return 0
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found is not None, (what, answer[:200])
    if found[1] == b"500":  # the wire's status for every domain error of the master's pages
        body = answer.partition(b"\r\n\r\n")[2]
        assert not body or json.loads(body).keys() == {"message"}, (what, answer)
        assert b"inside the server" not in answer, (what, answer)
    else:
        assert int(found[1]) in FINE, (what, answer[:500])
    return int(found[1])


def head(target: str, port: int, method: str = "GET", more: str = "") -> bytes:
    text = (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}Connection: close\r\n\r\n"
    )
    return text.encode("latin-1")


def is_well(servers: Ports, name: str) -> None:
    port = servers.ports[name]
    assert judged(send(port, head("/healthz", port)), name) == 200
    assert "Traceback" not in servers.logs[name].read_text(errors="replace"), name


@pytest.mark.parametrize("name", ROUTES)
def test_no_method_breaks_a_route(servers: Ports, name: str) -> None:
    port = servers.ports[name]
    for route in ROUTES[name]:
        for method in METHODS:
            judged(send(port, head(route, port, method)), (route, method))
            body = f"Content-Length: {len(SECRET)}\r\nOrigin: http://elsewhere\r\n"
            judged(send(port, head(route, port, method, body) + b"x" * len(SECRET)), route)
    is_well(servers, name)


def test_no_other_site_changes_anything(servers: Ports) -> None:
    """What a browser on this machine sends for a page from elsewhere, or for a name that its owner
    lets point here."""
    port = servers.ports["master"]
    for route in ("/add-dcm", "/remove-dcm"):
        target = f"{route}?workers=127.0.0.1"
        for method in ("GET", "POST", "PUT"):
            for more in ("Origin: http://elsewhere\r\n", "Sec-Fetch-Site: cross-site\r\n"):
                assert judged(send(port, head(target, port, method, more)), target) in {403, 405}
            foreign = f"{method} {target} HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n"
            assert judged(send(port, foreign.encode()), target) in {403, 405, 421}
    assert b"127.0.0.1" not in send(port, head("/get-dcm", port)).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", ROUTES)
def test_no_path_leads_out(servers: Ports, name: str) -> None:
    port = servers.ports[name]
    up = "../" * 12
    for file in ("etc/passwd", str(servers.secret).lstrip("/")):
        for target in (
            f"/{up}{file}", f"/metrics/{up}{file}", "/" + quote(up + file, safe=""),
            f"/{up.replace('/', '%2f')}{file}", f"/{up.replace('/', '%5c')}{file}", f"//{file}",
            f"/%c0%ae%c0%ae/{file}", f"/..;/{up}{file}", f"/{file}%00.html", f"file:///{file}",
            f"/api/browse?path=/{up}{file}", f"/api/block_locations?path=/{up}{file}",
            f"/api/browse?path=file:///{file}", "*", "/%", "/%zz", "/\xff\xfe", "/#", "",
            "http://[::1/", f"http://elsewhere/{up}{file}",
        ):  # fmt: skip
            judged(send(port, head(target, port)), target)
    is_well(servers, name)


def shapes(port: int) -> Iterator[tuple[str, bytes]]:
    """Requests that are none, or are too much."""
    get = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode()
    post = get.replace(b"GET", b"POST")
    yield "a header of 1 MiB", get + b"X-Long: " + b"a" * (1 << 20) + b"\r\n\r\n"
    yield "100,000 headers", get + b"X-Many: a\r\n" * 100_000 + b"\r\n"
    yield "a target of 1 MiB", get.replace(b"/metrics", b"/" + b"a" * (1 << 20)) + b"\r\n"
    yield "a line without an end", b"A" * (4 << 20)
    yield "a body of 8 MiB", post + b"Content-Length: 8388608\r\n\r\n" + b"x" * (8 << 20)
    yield "a length and no body", post + b"Content-Length: 99999999999999999999\r\n\r\n"
    yield "a negative length", post + b"Content-Length: -1\r\n\r\n"
    yield "two lengths", post + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"
    chunked = post + b"Transfer-Encoding: chunked\r\n"
    yield "chunks and a length", chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\n"
    yield "a chunk without a number", chunked + b"\r\nzz\r\nhello\r\n0\r\n\r\n"
    yield "an endless chunk", chunked + b"\r\n" + b"f" * 64 + b"\r\nhello"
    yield "an unknown coding", post + b"Transfer-Encoding: rot13\r\n\r\nhello"
    yield "NUL in a header", get + b"X-Nul: a\0b\r\n\r\n"
    yield "a header without a name", get + b": nothing\r\n\r\n"
    yield "a folded header", get + b"X-Fold: a\r\n b\r\n\r\n"
    yield "bare line feeds", get.replace(b"\r\n", b"\n") + b"\n"
    yield "no host", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    yield "two hosts", get + b"Host: elsewhere\r\n\r\n"
    yield "another version", get.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n"
    yield "HTTP/0.9", b"GET /healthz\r\n"
    yield "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64)
    yield "TLS", bytes.fromhex("16030100c8010000c40303") + os.urandom(200)
    yield "an upgrade", get + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    yield "a frame of our RPC", (22).to_bytes(4, "big") + bytes(22)
    yield "noise", os.urandom(65_536)


@pytest.mark.parametrize("name", ROUTES)
def test_no_shape_breaks_a_server(servers: Ports, name: str) -> None:
    port = servers.ports[name]
    for what, request in shapes(port):
        judged(send(port, request), what)
    is_well(servers, name)
