# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway under hardship: kills, large bodies, slow clients, several processes, mounts."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.clock import SystemClock
from curvine.httpd.connections import Connections
from curvine.httpd.streaming import Incoming, Outgoing, StreamServer, listen_shared
from curvine.model.mount import AccessMode, MountOptions, WriteType
from curvine.s3.chores import UNFINISHED, sweep
from curvine.testing.cluster import MiniCluster
from curvine.testing.s3_gateway import ACCESS_KEY, SECRET_KEY, MiniGateway

MIB = 1 << 20
LARGE = int(os.environ.get("CURVINE_S3_LARGE_MIB", "96")) * MIB


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("s3-hard")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def gateway(cluster: MiniCluster) -> Iterator[MiniGateway]:
    with MiniGateway(cluster) as gateway:
        yield gateway


def client(gateway: MiniGateway, **options: Any) -> Any:
    return boto3.client(
        "s3", endpoint_url=gateway.endpoint, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"max_attempts": 1}, signature_version="s3v4", **options),
    )  # fmt: skip


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def memory(pid: int) -> int:
    """The largest resident size so far, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def target_of(s3: Any, gateway: MiniGateway, method: str, bucket: str, key: str) -> str:
    url = s3.generate_presigned_url(method, Params={"Bucket": bucket, "Key": key})
    return str(url).removeprefix(gateway.endpoint)


def test_memory_is_bounded_whatever_the_size(gateway: MiniGateway) -> None:
    s3 = client(gateway)
    s3.create_bucket(Bucket="large")
    s3.put_object(Bucket="large", Key="small", Body=b"x" * MIB)
    before = memory(gateway.pid)
    piece = os.urandom(MIB)
    digest = hashlib.md5()
    link = http.client.HTTPConnection(gateway.endpoint.removeprefix("http://"))
    link.putrequest("PUT", target_of(s3, gateway, "put_object", "large", "k"))
    link.putheader("Content-Length", str(LARGE))
    link.endheaders()
    for _ in range(LARGE // MIB):
        link.send(piece)
        digest.update(piece)
    answer = link.getresponse()
    answer.read()
    assert (answer.status, answer.headers["ETag"]) == (200, f'"{digest.hexdigest()}"')
    link.request("GET", target_of(s3, gateway, "get_object", "large", "k"))
    answer, back = link.getresponse(), hashlib.md5()
    while data := answer.read(MIB):
        back.update(data)
    assert back.hexdigest() == digest.hexdigest()
    link.close()
    assert memory(gateway.pid) - before < 48 * MIB
    s3.delete_object(Bucket="large", Key="k")


def test_a_killed_gateway_shows_nothing_half(cluster: MiniCluster) -> None:
    with MiniGateway(cluster) as victim:
        s3 = client(victim)
        s3.create_bucket(Bucket="killed")
        s3.put_object(Bucket="killed", Key="old", Body=b"old")
        links = []
        for key in ("old", "new"):
            link = http.client.HTTPConnection(victim.endpoint.removeprefix("http://"))
            link.putrequest("PUT", target_of(s3, victim, "put_object", "killed", key))
            link.putheader("Content-Length", str(64 * MIB))
            link.endheaders()
            link.send(bytes(32 * MIB))
            links.append(link)
        os.kill(victim.pid, signal.SIGKILL)
    with MiniGateway(cluster) as other:
        s3 = client(other)
        assert s3.get_object(Bucket="killed", Key="old")["Body"].read() == b"old"
        assert [o["Key"] for o in s3.list_objects_v2(Bucket="killed")["Contents"]] == ["old"]
        assert [b["Name"] for b in s3.list_buckets()["Buckets"] if "curvine" in b["Name"]] == []
        s3.delete_object(Bucket="killed", Key="old")
        s3.delete_bucket(Bucket="killed")
    for link in links:
        link.close()


def test_leftovers_and_old_uploads_are_cleaned_up(
    cluster: MiniCluster, gateway: MiniGateway
) -> None:
    s3 = client(gateway)
    s3.create_bucket(Bucket="left")
    old = s3.create_multipart_upload(Bucket="left", Key="k")["UploadId"]
    s3.upload_part(Bucket="left", Key="k", UploadId=old, PartNumber=1, Body=b"part")

    async def clean(later: int) -> int:
        async with ClusterClient(cluster.conf(), component="test") as connected:
            fs = UnifiedFileSystem(connected)
            now = SystemClock().now_ms() + later
            return await sweep(fs, now, expiry=7 * 86_400_000)

    week = 7 * 86_400_000
    assert week > UNFINISHED
    asyncio.run(clean(0))
    assert len(s3.list_multipart_uploads(Bucket="left")["Uploads"]) == 1
    assert asyncio.run(clean(week + 60_000)) >= 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="left")
    with pytest.raises(ClientError) as error:
        s3.upload_part(Bucket="left", Key="k", UploadId=old, PartNumber=2, Body=b"part")
    assert error.value.response["Error"]["Code"] == "NoSuchUpload"


def test_a_large_bucket_is_listed_in_pages(gateway: MiniGateway) -> None:
    s3 = client(gateway, max_pool_connections=8)
    s3.create_bucket(Bucket="many")
    names = [f"{n % 7}/{n:05d}" for n in range(1100)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: s3.put_object(Bucket="many", Key=name, Body=b""), names))
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="many"))
    assert [len(page["Contents"]) for page in pages] == [1000, 100]
    assert [o["Key"] for page in pages for o in page["Contents"]] == sorted(names)
    top = s3.list_objects_v2(Bucket="many", Delimiter="/", MaxKeys=3)
    assert [p["Prefix"] for p in top["CommonPrefixes"]] == ["0/", "1/", "2/"]
    assert top["IsTruncated"]


def test_slow_clients_are_cut_and_harm_nobody() -> None:
    async def serve(request: Incoming) -> Outgoing:
        size = 0
        while data := await request.body.read():
            size += len(data)
        return Outgoing(200, (), b"%d" % size)

    async def run() -> None:
        limits = Connections(
            8, waiting_seconds=0.5, idle_seconds=0.5, busy_seconds=0.5, answer_seconds=1e9
        )
        server = StreamServer(
            serve, lambda status, _: Outgoing(status), name="t", connections=limits
        )
        host, port = await server.start(listen_shared("127.0.0.1", 0))
        starts = (
            b"",  # never says anything
            b"GET / HTTP/1.1\r\nHost: h\r\nX-",  # never ends its head
            b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nfour",  # never ends its body
        )
        slow = [await asyncio.open_connection(host, port) for _ in starts * 4]  # above the limit
        for (_, writer), start in zip(slow, starts * 4, strict=True):
            writer.write(start)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\ndata")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        async with asyncio.timeout(60):
            for reader, _ in slow:
                try:
                    while await reader.read(65536):
                        pass
                except ConnectionError:
                    pass
        assert len(limits) <= 1
        await server.close()

    asyncio.run(run())


def test_several_processes_share_the_port(cluster: MiniCluster, tmp_path: Path) -> None:
    conf = tmp_path / "several.toml"
    conf.write_text(cluster.conf_path.read_text() + "\n[s3_gateway]\nprocesses = 2\n")
    with MiniGateway(cluster, "--conf", str(conf)) as gateway:
        s3 = client(gateway)
        s3.create_bucket(Bucket="several")

        def children() -> list[int]:
            text = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text()
            return [int(word) for word in text.split()]

        def count() -> float:
            with urllib.request.urlopen(f"{gateway.endpoint}/metrics") as answer:
                lines = answer.read().decode().splitlines()
            return sum(float(x.split()[-1]) for x in lines if "s3_requests_total{" in x
                       and "PutObject" in x)  # fmt: skip

        def listening() -> int:
            port = int(gateway.endpoint.rpartition(":")[2])
            lines = Path("/proc/net/tcp").read_text().splitlines()
            return sum(f":{port:04X} 00000000:0000 0A" in line for line in lines)

        until(lambda: listening() == 2, "there are not two listeners")
        for number in range(12):  # a connection each: the kernel spreads them
            client(gateway).put_object(Bucket="several", Key=str(number), Body=b"x")
        assert count() == 12
        first = children()
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(set(children()) - set(first)) == 1, "it was not started again")
        until(lambda: listening() == 2, "the new one does not listen")
        client(gateway).put_object(Bucket="several", Key="again", Body=b"x")
        assert gateway.stop() == 0
        assert listening() == 0


def test_buckets_that_are_mounts(
    cluster: MiniCluster, gateway: MiniGateway, tmp_path: Path
) -> None:
    s3 = client(gateway)
    for mode in (WriteType.CACHE_MODE, WriteType.FS_MODE):
        name = mode.name.lower().replace("_", "-")
        source = tmp_path / name
        (source / "d").mkdir(parents=True)
        (source / "d" / "there").write_bytes(b"from below")

        options = MountOptions(write_type=mode, access_mode=AccessMode.READ_WRITE)

        async def mount(name: str, source: Path, options: MountOptions) -> None:
            async with ClusterClient(cluster.conf(), component="test") as connected:
                fs = UnifiedFileSystem(connected)
                await fs.mount(f"/{name}", f"file://{source}", options)

        asyncio.run(mount(name, source, options))
        assert name in [b["Name"] for b in s3.list_buckets()["Buckets"]]
        body = os.urandom(3 * MIB)
        s3.put_object(Bucket=name, Key="new/object", Body=body)
        assert s3.get_object(Bucket=name, Key="new/object")["Body"].read() == body
        assert (
            s3.get_object(Bucket=name, Key="new/object", Range="bytes=5-9")["Body"].read()
            == body[5:10]
        )
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket=name)["Contents"]]
        if mode == WriteType.CACHE_MODE:
            assert keys == ["d/there", "new/object"]
            assert (source / "new" / "object").read_bytes() == body
            assert s3.get_object(Bucket=name, Key="d/there")["Body"].read() == b"from below"
        else:
            assert "new/object" in keys
        with pytest.raises(ClientError) as error:
            s3.delete_bucket(Bucket=name)
        assert error.value.response["Error"]["Code"] in ("BucketNotEmpty", "AccessDenied")
        s3.delete_object(Bucket=name, Key="new/object")
        assert "new/object" not in [
            o["Key"] for o in s3.list_objects_v2(Bucket=name).get("Contents", [])
        ]


def test_cv_up_starts_a_gateway(tmp_path: Path) -> None:
    cv = str(Path(sys.executable).parent / "cv")
    home = tmp_path / "home"
    environ = {**os.environ, "HOME": str(tmp_path)}

    def run(*words: str) -> str:
        done = subprocess.run(
            [cv, *words, "--dir", str(home)], env=environ, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    text = run("up", "--free-ports", "--detach", "--s3", "127.0.0.1:0")
    try:
        assert "s3-gateway started: 127.0.0.1:" in text
        address = text.partition("s3-gateway started: ")[2].split()[0]
        with urllib.request.urlopen(f"http://{address}/healthz") as answer:
            assert answer.read() == b"ok"
        assert address in run("status")
    finally:
        text = run("down")
    assert "s3-gateway" in text
    host, _, port = address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)
