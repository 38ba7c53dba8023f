# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway as boto3, rclone and raw sockets see it."""

from __future__ import annotations

import concurrent.futures
import datetime
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from curvine.testing.cluster import MiniCluster
from curvine.testing.s3_gateway import ACCESS_KEY, SECRET_KEY, MiniGateway

MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniGateway]:
    with MiniCluster(tmp_path_factory.mktemp("s3")) as cluster, MiniGateway(cluster) as gateway:
        yield gateway


def client(gateway: MiniGateway, secret: str = SECRET_KEY, **options: Any) -> Any:
    return boto3.client(
        "s3", endpoint_url=gateway.endpoint, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 1}, signature_version="s3v4", **options),
    )  # fmt: skip


@pytest.fixture
def s3(gateway: MiniGateway) -> Any:
    return client(gateway)


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = "b-" + hashlib.md5(request.node.nodeid.encode()).hexdigest()[:20]
    s3.create_bucket(Bucket=name)
    return name


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def keys(answer: dict[str, Any]) -> list[str]:
    return [entry["Key"] for entry in answer.get("Contents", [])]


def test_put_get_head_delete(s3: Any, bucket: str) -> None:
    body = os.urandom(3 * MIB + 17)
    put = s3.put_object(
        Bucket=bucket, Key="a/b.bin", Body=body, Metadata={"who": "me"},
        ContentType="image/png", CacheControl="max-age=3",
    )  # fmt: skip
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="a/b.bin")
    assert got["Body"].read() == body
    assert (got["ContentType"], got["CacheControl"]) == ("image/png", "max-age=3")
    assert got["Metadata"]["who"] == "me"
    part = s3.get_object(Bucket=bucket, Key="a/b.bin", Range="bytes=1000000-2000000")
    assert part["Body"].read() == body[1000000:2000001]
    assert part["ContentRange"] == f"bytes 1000000-2000000/{len(body)}"
    head = s3.head_object(Bucket=bucket, Key="a/b.bin")
    assert (head["ContentLength"], head["ETag"]) == (len(body), put["ETag"])
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="a/b.bin", IfNoneMatch=put["ETag"])
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304
    s3.delete_object(Bucket=bucket, Key="a/b.bin")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="a/b.bin")
    assert code(error) == "NoSuchKey"
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []
    s3.delete_bucket(Bucket=bucket)


AWKWARD = [
    "!", "a", "a!x", "a-b", "a/", "a/b", "a//b", "a/./c", "a/../c", "../x", "/lead", "b/c/d/e",
    ".curvine-s3.self", ".curvine-s3/x", "ü/日本 語", "p%2Fq", "plus+sign", "trail/", "x" * 600,
]  # fmt: skip


def test_awkward_keys_keep_their_order_and_stay_inside(s3: Any, bucket: str) -> None:
    for key in AWKWARD:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    expected = sorted(AWKWARD, key=lambda key: key.encode())
    assert keys(s3.list_objects_v2(Bucket=bucket)) == expected
    for size in (1, 2, 3, 7):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": size}
        )
        assert [key for page in pages for key in keys(page)] == expected
        pages = s3.get_paginator("list_objects").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": size}
        )
        assert [key for page in pages for key in keys(page)] == expected
    for key in AWKWARD:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode(), key
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    prefixes = [entry["Prefix"] for entry in top["CommonPrefixes"]]
    assert prefixes == sorted({k.split("/")[0] + "/" for k in AWKWARD if "/" in k}, key=str.encode)
    assert keys(top) == [key for key in expected if "/" not in key]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in AWKWARD]})
    assert len(answer["Deleted"]) == len(AWKWARD)
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []
    s3.delete_bucket(Bucket=bucket)


def test_multipart(s3: Any, bucket: str) -> None:
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), os.urandom(1000)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", Metadata={"a": "b"})["UploadId"]
    listed = []
    for number, body in enumerate(parts, 1):
        answer = s3.upload_part(
            Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body
        )
        listed.append({"PartNumber": number, "ETag": answer["ETag"]})
    assert len(s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]) == 3
    assert len(s3.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
    done = {
        "Bucket": bucket,
        "Key": "big",
        "UploadId": upload,
        "MultipartUpload": {"Parts": listed},
    }
    answer = s3.complete_multipart_upload(**done)
    digests = b"".join(hashlib.md5(body).digest() for body in parts)
    assert answer["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == b"".join(parts)
    assert got["Metadata"] == {"a": "b"}
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["Body"].read() == parts[1]
    assert s3.complete_multipart_upload(**done)["ETag"] == answer["ETag"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_copy_and_conditions(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"one", Metadata={"x": "y"})["ETag"]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert s3.get_object(Bucket=bucket, Key="copy")["Metadata"] == {"x": "y"}
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert code(error) == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=first)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"three", IfMatch=first)
    assert code(error) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


def test_checksums_and_damaged_bodies(s3: Any, bucket: str) -> None:
    for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x" * 100_000, ChecksumAlgorithm=name)
        got = s3.get_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
        assert len(got["Body"].read()) == 100_000
        assert got[f"Checksum{name}"]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="bad", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert code(error) == "BadDigest"
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=bucket, Key="bad")
    assert code(error) == "404"


def test_a_reader_sees_the_old_or_the_new_object(
    s3: Any, gateway: MiniGateway, bucket: str
) -> None:
    bodies = [bytes([n]) * (MIB + n) for n in range(6)]
    s3.put_object(Bucket=bucket, Key="k", Body=bodies[0])

    def write(body: bytes) -> None:
        client(gateway).put_object(Bucket=bucket, Key="k", Body=body)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        writes = [pool.submit(write, body) for body in bodies for _ in range(3)]
        while not all(job.done() for job in writes):
            assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() in bodies
        for job in writes:
            job.result()


def status(url: str, **options: Any) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=10) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_strangers_are_kept_out(s3: Any, gateway: MiniGateway, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    with pytest.raises(ClientError) as error:
        client(gateway, "another secret").get_object(Bucket=bucket, Key="secret")
    assert code(error) == "SignatureDoesNotMatch"
    assert status(f"{gateway.endpoint}/{bucket}/secret")[0] == 403
    assert status(f"{gateway.endpoint}/{bucket}/no-such-key")[0] == 403
    assert status(f"{gateway.endpoint}/")[0] == 403
    assert status(f"{gateway.endpoint}/no-such-bucket/x")[0] == 404
    assert status(f"{gateway.endpoint}/system/auth/credentials.jsonl")[0] == 403
    with pytest.raises(ClientError) as error:
        s3.list_objects_v2(Bucket="system")
    assert code(error) == "NoSuchBucket"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "secret"})
    assert status(url) == (200, b"secret")
    assert status(url.replace("secret", "secres", 1))[0] == 403
    old = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=1")
    assert status(old)[0] == 403
    assert status(f"{gateway.endpoint}/healthz") == (200, b"ok")
    assert b"s3_requests_total" in status(f"{gateway.endpoint}/metrics")[1]


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    b"<Delete><Object><Key>&b;</Key></Object></Delete>"
)


def test_malformed_requests_do_no_harm(s3: Any, gateway: MiniGateway, bucket: str) -> None:
    host, port = gateway.endpoint.removeprefix("http://").split(":")

    def raw(data: bytes) -> bytes:
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(data)
            found = b""
            while piece := sock.recv(65536):
                found += piece
            return found

    long = raw(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 30_000 + b"\r\n\r\n")
    assert b" 400 " in long.split(b"\r\n")[0]
    assert b" 400 " in raw(b"NONSENSE\r\n\r\n").split(b"\r\n")[0]
    assert (
        b" 403 "
        in raw(b"GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").split(
            b"\r\n"
        )[0]
    )
    request = AWSRequest("POST", f"{gateway.endpoint}/{bucket}?delete")
    S3SigV4QueryAuth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
    url = request.url
    assert b"MalformedXML" in status(url, data=BOMB, method="POST")[1]
    assert b"MalformedXML" in status(url, data=b"<Delete><Object>", method="POST")[1]
    assert gateway.running
    assert status(f"{gateway.endpoint}/healthz")[0] == 200


def test_rclone(gateway: MiniGateway, bucket: str, tmp_path: Path) -> None:
    rclone = shutil.which("rclone") or str(Path(sys.executable).parent / "rclone")
    source, back = tmp_path / "source", tmp_path / "back"
    for name, size in (("a/one", 10), ("a/b/two", 7 * MIB), ("three", 0)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(os.urandom(size))
    env = {
        **os.environ,
        "RCLONE_CONFIG_C_TYPE": "s3", "RCLONE_CONFIG_C_PROVIDER": "Other",
        "RCLONE_CONFIG_C_ACCESS_KEY_ID": ACCESS_KEY, "RCLONE_CONFIG_C_ENDPOINT": gateway.endpoint,
        "RCLONE_CONFIG_C_SECRET_ACCESS_KEY": SECRET_KEY, "RCLONE_CONFIG_C_REGION": "us-east-1",
        "RCLONE_CONFIG": str(tmp_path / "none"),
    }  # fmt: skip
    for command in (
        ["copy", str(source), f"c:{bucket}/x", "--s3-upload-cutoff", "5Mi"],
        ["check", str(source), f"c:{bucket}/x"],
        ["copy", f"c:{bucket}/x", str(back)],
        ["purge", f"c:{bucket}/x"],
    ):
        done = subprocess.run([rclone, *command], env=env, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
    assert (back / "a/b/two").read_bytes() == (source / "a/b/two").read_bytes()


@pytest.mark.parametrize("size", [0, 3, 2 * MIB])
@pytest.mark.parametrize("key", ["key", "a/b", "a//b", "a/../b", "folder/"])
def test_nothing_is_put_into_a_bucket_that_is_not_there(s3: Any, key: str, size: int) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="no-such-bucket", Key=key, Body=b"x" * size)
    assert code(error) == "NoSuchBucket"
    assert "no-such-bucket" not in [row["Name"] for row in s3.list_buckets()["Buckets"]]


def test_small_objects_are_read_as_they_are_now(s3: Any, gateway: MiniGateway, bucket: str) -> None:
    """Block files are kept open for a moment, for the same content only."""
    for turn in range(20):
        body = f"turn {turn}".encode() * turn
        s3.put_object(Bucket=bucket, Key="key", Body=body)
        for _ in range(2):
            assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == body
        if turn:
            part = s3.get_object(Bucket=bucket, Key="key", Range="bytes=2-4")["Body"].read()
            assert part == body[2:5]
    s3.delete_object(Bucket=bucket, Key="key")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="key")
    assert code(error) == "NoSuchKey"

    def deleted_blocks() -> list[str]:
        command = ["ls", "-l", f"/proc/{gateway.pid}/fd"]  # those that go meanwhile are no error
        names = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        return [name for name in names if "blk_" in name and "(deleted)" in name]

    deadline = time.monotonic() + 60
    while deleted_blocks():
        assert time.monotonic() < deadline, deleted_blocks()
        time.sleep(0.2)


def test_one_of_many_conditional_puts_wins(s3: Any, gateway: MiniGateway, bucket: str) -> None:
    """Counting by compare-and-swap: no step is lost, with plain PUTs of another key beside it."""
    s3.put_object(Bucket=bucket, Key="n", Body=b"0")

    def add(_number: int) -> int:
        mine, tries = client(gateway), 0
        while True:
            tries += 1
            now = mine.get_object(Bucket=bucket, Key="n")
            value = int(now["Body"].read()) + 1
            try:
                mine.put_object(Bucket=bucket, Key="n", Body=b"%d" % value, IfMatch=now["ETag"])
                return tries
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        tries = sum(pool.map(add, range(24)))
    assert s3.get_object(Bucket=bucket, Key="n")["Body"].read() == b"24"
    assert tries > 24, "there was no race"


def test_conditional_deletes(s3: Any, bucket: str) -> None:
    """By ETag, time and size, one key and many; a missing object is no error, as with Amazon."""

    def put(key: str) -> dict[str, Any]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"seven b")
        return dict(s3.head_object(Bucket=bucket, Key=key))

    long_ago = datetime.datetime(2015, 1, 1, tzinfo=datetime.UTC)
    head = put("key")
    for wrong in (
        {"IfMatch": '"nonsense"'}, {"IfMatchSize": 8}, {"IfMatchLastModifiedTime": long_ago},
        {"IfMatch": head["ETag"], "IfMatchSize": 8},
    ):  # fmt: skip
        with pytest.raises(ClientError) as error:
            s3.delete_object(Bucket=bucket, Key="key", **wrong)
        assert code(error) == "PreconditionFailed"
        s3.delete_object(Bucket=bucket, Key="none", **wrong)
    for name, value in (
        ("IfMatch", "*"), ("IfMatch", head["ETag"]), ("IfMatchSize", 7),
        ("IfMatchLastModifiedTime", None),
    ):  # fmt: skip
        head = put("key")
        wanted = head["LastModified"] if value is None else value
        s3.delete_object(Bucket=bucket, Key="key", **{name: wanted})
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    head = put("key")
    put("other")
    entries = [
        {"Key": "key", "ETag": "nonsense"}, {"Key": "other", "Size": 8}, {"Key": "none", "Size": 8},
    ]  # fmt: skip
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries})
    assert [(row["Key"], row["Code"]) for row in answer["Errors"]] == [
        ("key", "PreconditionFailed"), ("other", "PreconditionFailed"),
    ]  # fmt: skip
    entries = [{"Key": "key", "ETag": head["ETag"], "LastModifiedTime": head["LastModified"]},
               {"Key": "other", "Size": 7}]  # fmt: skip
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries})
    assert "Errors" not in answer
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_conditional_delete_takes_no_newer_object(
    s3: Any, gateway: MiniGateway, bucket: str
) -> None:
    """What was put after a delete's condition was looked at stays."""
    others = client(gateway)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for turn in range(40):
            old = s3.put_object(Bucket=bucket, Key="key", Body=b"old")["ETag"]
            new = f"new {turn}".encode()
            put = pool.submit(others.put_object, Bucket=bucket, Key="key", Body=new)
            try:
                s3.delete_object(Bucket=bucket, Key="key", IfMatch=old)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"
            put.result()
            assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == new


def test_a_client_that_closes_its_side_early_is_answered(gateway: MiniGateway) -> None:
    host, port = gateway.endpoint.removeprefix("http://").split(":")

    def raw(*pieces: bytes) -> bytes:
        with socket.create_connection((host, int(port)), 10) as sock:
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            found = b""
            while piece := sock.recv(65536):
                found += piece
            return found

    get = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    assert raw(get).startswith(b"HTTP/1.1 200")
    assert raw(get * 3).count(b"HTTP/1.1 200") == 3
    torn = b"PUT /x/y HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nten bytes."
    assert raw(torn).startswith(b"HTTP/1.1 404")
    assert raw(b"") == b""


def test_a_head_far_over_the_limit_is_answered(gateway: MiniGateway) -> None:
    host, port = gateway.endpoint.removeprefix("http://").split(":")
    for head in (b"X: " + b"a" * (4 * MIB), b"".join(b"X%d: y\r\n" % n for n in range(100_000))):
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n")
            found = b""
            while piece := sock.recv(65536):
                found += piece
        assert b" 400 " in found[:13], found[:100]
        assert b"<Code>InvalidRequest</Code>" in found
