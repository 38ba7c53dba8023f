# SPDX-License-Identifier: Apache-2.0
"""Who may do what at the S3 gateway: keys, owners, ACLs, signatures of every kind, attacks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from curvine.s3.acl import canonical_id
from curvine.s3.table import BUCKET, KEY, TABLE
from curvine.testing.cluster import MiniCluster
from curvine.testing.s3_gateway import ACCESS_KEY, SECRET_KEY, MiniGateway

ALICE, BOB = ("alice-key", "alice-secret-1"), ("bob-key", "bob-secret-12")
ADMIN = (ACCESS_KEY, SECRET_KEY)
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    root = tmp_path_factory.mktemp("s3-access")
    settings = {"s3_gateway": {"credentials_path": str(root / "credentials.jsonl")}}
    with MiniCluster(root, settings=settings) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def gateway(cluster: MiniCluster) -> Iterator[MiniGateway]:
    for owner, (key, secret) in (("alice", ALICE), ("bob", BOB)):
        credential(cluster, "add", "--access-key", key, "--secret-key", "-", "--owner", owner,
            stdin=secret)  # fmt: skip
    with MiniGateway(cluster) as gateway:
        yield gateway


def credential(
    cluster: MiniCluster, *arguments: str, stdin: str = "", conf: Path | None = None
) -> str:
    command = [sys.executable, "-m", "curvine.s3.run", "--conf", str(conf or cluster.conf_path)]
    done = subprocess.run(
        [*command, "credential", *arguments], input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def other_conf(cluster: MiniCluster, path: Path, **keys: object) -> Path:
    """The cluster's configuration with another [s3_gateway]."""
    text = cluster.conf_path.read_text().partition("[s3_gateway]")
    rest = text[2].partition("\n[")
    lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
    path.write_text(f"{text[0]}{rest[1]}{rest[2]}\n[s3_gateway]\n" + "\n".join(lines) + "\n")
    return path


def client(gateway: MiniGateway, who: tuple[str, str]) -> Any:
    return boto3.client(
        "s3", endpoint_url=gateway.endpoint, region_name="us-east-1",
        aws_access_key_id=who[0], aws_secret_access_key=who[1],
        config=Config(retries={"max_attempts": 1}, signature_version="s3v4"),
    )  # fmt: skip


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


# -- a second implementation of the signature, so that the first is not its own judge ------------


def key_of(secret: str, day: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


def signed(
    gateway: MiniGateway,
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    *,
    who: tuple[str, str] = ADMIN,
    at: float | None = None,
    payload: str = EMPTY,
    host: str = "",
) -> tuple[str, dict[str, str], str]:
    """(target, headers, signature) of a request."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if at is None else at))
    rows = {"host": host or gateway.endpoint.removeprefix("http://"), "x-amz-date": stamp}
    rows |= {"x-amz-content-sha256": payload} | (headers or {})
    names = ";".join(sorted(rows))
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in (query or {}).items())
    text = "&".join(f"{name}={value}" for name, value in pairs)
    head = "".join(f"{name}:{rows[name]}\n" for name in sorted(rows))
    canonical = f"{method}\n{quote(path)}\n{text}\n{head}\n{names}\n{payload}"
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key_of(who[1], stamp[:8]), to_sign.encode(), "sha256").hexdigest()
    rows["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={who[0]}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return quote(path) + (f"?{text}" if text else ""), rows, signature


def ask(
    gateway: MiniGateway, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, bytes, http.client.HTTPMessage]:
    link = http.client.HTTPConnection(gateway.endpoint.removeprefix("http://"), timeout=20)
    try:
        link.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            link.putheader(name, value)
        if body or method == "PUT":
            link.putheader("content-length", str(len(body)))
        link.endheaders(body or None)
        answer = link.getresponse()
        return answer.status, answer.read(), answer.msg
    finally:
        link.close()


# -- keys ----------------------------------------------------------------------------------------


def test_credential_commands_keep_secrets_encrypted(cluster: MiniCluster, tmp_path: Path) -> None:
    file, key = tmp_path / "keys.jsonl", tmp_path / "vault.key"
    conf = other_conf(
        cluster, tmp_path / "c.toml", credentials_path=str(file), credentials_key_file=str(key)
    )
    plain = {"access_key": "old", "secret_key": "plain-as-curvine-wrote", "enabled": True}
    file.write_text(json.dumps(plain) + "\n")
    made = credential(cluster, "generate", "--description", "laptop", conf=conf)
    access, secret = (line.split(": ")[1] for line in made.splitlines())
    credential(cluster, "add", "--access-key", "mine", "--secret-key", "-", conf=conf,
        stdin="my-own-secret\n")  # fmt: skip
    credential(cluster, "disable", "--access-key", "old", conf=conf)
    stored = file.read_text()
    for hidden in (secret, "my-own-secret", "plain-as-curvine-wrote"):
        assert hidden not in stored
    assert (file.stat().st_mode & 0o777, key.stat().st_mode & 0o777) == (0o600, 0o600)
    listed = credential(cluster, "list", conf=conf)
    assert access in listed and "laptop" in listed and secret not in listed
    assert secret in credential(cluster, "list", "--show-secrets", conf=conf)
    assert credential(cluster, "stats", conf=conf).startswith("3 credentials, 2 enabled")
    key.write_text("0" * 64 + "\n")
    command = [sys.executable, "-m", "curvine.s3.run", "--conf", str(conf), "credential"]
    wrong = subprocess.run([*command, "generate"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "cannot be read with" in wrong.stderr
    assert file.read_text() == stored


def test_keys_come_and_go_without_a_restart(cluster: MiniCluster, gateway: MiniGateway) -> None:
    made = credential(cluster, "generate", "--owner", "carol")
    access, secret = (line.split(": ")[1] for line in made.splitlines())
    s3 = client(gateway, (access, secret))

    def works() -> bool:
        try:
            s3.list_buckets()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidAccessKeyId"
            return False
        return True

    until(works, "a new key is not taken")
    credential(cluster, "disable", "--access-key", access)
    until(lambda: not works(), "a disabled key still works")
    credential(cluster, "enable", "--access-key", access)
    until(works, "an enabled key does not work")
    credential(cluster, "remove", "--access-key", access)
    until(lambda: not works(), "a removed key still works")


def test_distributed_keys_are_inside_the_cluster(
    cluster: MiniCluster, gateway: MiniGateway, tmp_path: Path
) -> None:
    key = str(tmp_path / "shared.key")
    conf = other_conf(
        cluster, tmp_path / "d.toml", enable_distributed_auth=True, credentials_key_file=key,
        cache_refresh_interval_secs=1,
    )  # fmt: skip
    made = credential(cluster, "generate", conf=conf)
    who = tuple(line.split(": ")[1] for line in made.splitlines())
    with MiniGateway(cluster, "--conf", str(conf)) as first:
        with MiniGateway(cluster, "--conf", str(conf)) as second:
            for one in (first, second):
                client(one, (who[0], who[1])).list_buckets()
            credential(cluster, "remove", "--access-key", who[0], conf=conf)

            def gone() -> bool:
                try:
                    client(second, (who[0], who[1])).list_buckets()
                except ClientError:
                    return True
                return False

            until(gone, "a removed key still works")
            names = [b["Name"] for b in client(first, ADMIN).list_buckets()["Buckets"]]
            assert "system" not in names
            assert refused(client(first, ADMIN).list_objects_v2, Bucket="system") == "NoSuchBucket"


# -- owners and ACLs -----------------------------------------------------------------------------


def test_a_stranger_gets_nothing_by_any_operation(gateway: MiniGateway) -> None:
    alice = client(gateway, ALICE)
    alice.create_bucket(Bucket="alices")
    alice.put_object(Bucket="alices", Key="k", Body=b"private")
    upload = alice.create_multipart_upload(Bucket="alices", Key="k")["UploadId"]
    tried = 0
    for row in TABLE:
        if row.level not in (BUCKET, KEY) or row.name == "CreateBucket":
            continue
        query = {name: upload if name == "uploadId" else "" for name in row.query}
        path = "/alices/k" if row.level == KEY else "/alices"
        headers = {row.header: "/alices/k"} if row.header else {}
        target, rows, _ = signed(gateway, row.method, path, query, headers, who=BOB)
        status, body, _ = ask(gateway, row.method, target, rows)
        assert status == 403, (row.name, row.query, status, body)
        assert b"private" not in body
        status, body, _ = ask(gateway, row.method, target, {"host": rows["host"], **headers})
        assert status == 403, ("unsigned", row.name, status, body)
        tried += 1
    assert tried > 60
    bob = client(gateway, BOB)
    assert [b["Name"] for b in bob.list_buckets()["Buckets"]] == []
    assert refused(bob.create_bucket, Bucket="alices") == "BucketAlreadyExists"
    bob.create_bucket(Bucket="bobs")
    source = {"Bucket": "alices", "Key": "k"}
    assert (
        refused(bob.copy_object, Bucket="bobs", Key="stolen", CopySource=source) == "AccessDenied"
    )
    part = {"Bucket": "bobs", "Key": "stolen", "PartNumber": 1, "CopySource": source}
    mine = bob.create_multipart_upload(Bucket="bobs", Key="stolen")["UploadId"]
    assert refused(bob.upload_part_copy, UploadId=mine, **part) == "AccessDenied"
    assert alice.get_object(Bucket="alices", Key="k")["Body"].read() == b"private"
    assert client(gateway, ADMIN).get_object(Bucket="alices", Key="k")["Body"].read() == b"private"


def test_canned_acls_and_grants(gateway: MiniGateway) -> None:
    alice, bob = client(gateway, ALICE), client(gateway, BOB)
    alice.create_bucket(Bucket="shared", ACL="public-read-write")
    bob.put_object(Bucket="shared", Key="from-bob", Body=b"bob's")
    assert refused(alice.get_object, Bucket="shared", Key="from-bob") == "AccessDenied"
    bob.put_object(Bucket="shared", Key="from-bob", Body=b"bob's", ACL="bucket-owner-full-control")
    assert alice.get_object(Bucket="shared", Key="from-bob")["Body"].read() == b"bob's"
    before = alice.put_object(Bucket="shared", Key="page", Body=b"page", Metadata={"m": "1"})
    host = gateway.endpoint.removeprefix("http://")
    assert ask(gateway, "GET", "/shared/page", {"host": host})[0] == 403
    alice.put_object_acl(Bucket="shared", Key="page", ACL="public-read")
    assert ask(gateway, "GET", "/shared/page", {"host": host})[:2] == (200, b"page")
    after = alice.head_object(Bucket="shared", Key="page")
    assert (after["ETag"], after["Metadata"]) == (before["ETag"], {"m": "1"})
    assert ask(gateway, "GET", "/shared/none", {"host": host})[0] == 404
    assert ask(gateway, "PUT", "/shared/anon", {"host": host}, b"anyone's")[0] == 200
    assert ask(gateway, "DELETE", "/shared?cors", {"host": host})[0] == 403
    assert alice.get_object(Bucket="shared", Key="anon")["Body"].read() == b"anyone's"
    alice.put_object_acl(Bucket="shared", Key="page", ACL="authenticated-read")
    assert ask(gateway, "GET", "/shared/page", {"host": host})[0] == 403
    assert bob.get_object(Bucket="shared", Key="page")["Body"].read() == b"page"
    alice.put_bucket_acl(Bucket="shared", ACL="private")
    assert refused(bob.list_objects_v2, Bucket="shared") == "AccessDenied"
    alice.put_bucket_acl(Bucket="shared", GrantRead=f"id={canonical_id('bob')}")
    assert [o["Key"] for o in bob.list_objects_v2(Bucket="shared")["Contents"]]
    assert refused(bob.put_object, Bucket="shared", Key="x") == "AccessDenied"
    assert refused(bob.put_bucket_acl, Bucket="shared", ACL="public-read") == "AccessDenied"
    grants = alice.get_bucket_acl(Bucket="shared")
    assert grants["Owner"] == {"ID": canonical_id("alice"), "DisplayName": "alice"}
    assert [g["Permission"] for g in grants["Grants"]] == ["READ"]
    assert refused(alice.put_bucket_acl, Bucket="shared", ACL="no-such-acl") == "InvalidArgument"
    wrong = {"Bucket": "shared", "ExpectedBucketOwner": canonical_id("bob")}
    assert refused(client(gateway, ADMIN).list_objects_v2, **wrong) == "AccessDenied"


# -- signatures ----------------------------------------------------------------------------------


def test_signatures_of_another_time_are_refused(gateway: MiniGateway) -> None:
    s3 = client(gateway, ADMIN)
    s3.create_bucket(Bucket="times")
    s3.put_object(Bucket="times", Key="k", Body=b"now")
    for shift, wanted in ((0, 200), (-14 * 60, 200), (14 * 60, 200), (-16 * 60, 403), (960, 403)):
        target, rows, _ = signed(gateway, "GET", "/times/k", at=time.time() + shift)
        status, body, _ = ask(gateway, "GET", target, rows)
        assert status == wanted, shift
        assert wanted == 200 or b"RequestTimeTooSkewed" in body
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "times", "Key": "k"})
    assert (
        ask(gateway, "GET", url.removeprefix(gateway.endpoint), {"host": hostname(gateway)})[0]
        == 200
    )
    for age, wanted in ((30, 200), (61, 403)):  # signed in the past for a minute, and signed right
        target = presigned(gateway, "/times/k", at=time.time() - age, expires=60)
        status, body, _ = ask(gateway, "GET", target, {"host": hostname(gateway)})
        assert status == wanted, (age, body)
        assert wanted == 200 or b"expired" in body


def hostname(gateway: MiniGateway) -> str:
    return gateway.endpoint.removeprefix("http://")


def presigned(gateway: MiniGateway, path: str, *, at: float, expires: int) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{ACCESS_KEY}/{scope}",
        "X-Amz-Date": stamp, "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": "host",
    }  # fmt: skip
    text = "&".join(f"{k}={quote(v, safe='-_.~')}" for k, v in sorted(query.items()))
    canonical = f"GET\n{path}\n{text}\nhost:{hostname(gateway)}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key_of(SECRET_KEY, stamp[:8]), to_sign.encode(), "sha256").hexdigest()
    return f"{path}?{text}&X-Amz-Signature={signature}"


def chunks(rows: dict[str, str], seed: str, pieces: list[bytes], trailer: str = "") -> bytes:
    """An aws-chunked body with signatures."""
    stamp, key = rows["x-amz-date"], key_of(SECRET_KEY, rows["x-amz-date"][:8])
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"

    def sign(kind: str, rest: str) -> str:
        nonlocal seed
        text = f"AWS4-HMAC-SHA256-{kind}\n{stamp}\n{scope}\n{seed}\n{rest}"
        seed = hmac.new(key, text.encode(), "sha256").hexdigest()
        return seed

    body = b""
    for piece in (*pieces, b""):
        digest = hashlib.sha256(piece).hexdigest()
        signature = sign("PAYLOAD", f"{EMPTY}\n{digest}")
        body += f"{len(piece):x};chunk-signature={signature}\r\n".encode()
        body += piece + b"\r\n" if piece else b""
    if trailer:
        digest = hashlib.sha256(f"{trailer}\n".encode()).hexdigest()
        signature = sign("TRAILER", digest)
        body += f"{trailer}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    return body + b"\r\n"


STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def put_chunked(
    gateway: MiniGateway,
    pieces: list[bytes],
    *,
    trailer: str = "",
    spoil: Callable[[bytes], bytes] = lambda body: body,
    length: int | None = None,
) -> tuple[int, bytes]:
    headers = {
        "x-amz-decoded-content-length": str(sum(map(len, pieces)) if length is None else length)
    }
    if trailer:
        headers["x-amz-trailer"] = trailer.partition(":")[0]
    payload = STREAMING + ("-TRAILER" if trailer else "")
    target, rows, seed = signed(gateway, "PUT", "/chunked/k", headers=headers, payload=payload)
    body = spoil(chunks(rows, seed, pieces, trailer))
    status, answer, _ = ask(
        gateway, "PUT", target, rows | {"content-encoding": "aws-chunked"}, body
    )
    return status, answer


def test_signed_chunks_and_trailers(gateway: MiniGateway) -> None:
    s3 = client(gateway, ADMIN)
    s3.create_bucket(Bucket="chunked")
    pieces = [b"a" * 65536, b"b" * 65536, b"c" * 100]
    assert put_chunked(gateway, pieces) == (200, b"")
    assert s3.get_object(Bucket="chunked", Key="k")["Body"].read() == b"".join(pieces)
    crc = base64.b64encode(zlib.crc32(b"tail").to_bytes(4, "big")).decode()
    assert put_chunked(gateway, [b"tail"], trailer=f"x-amz-checksum-crc32:{crc}")[0] == 200
    assert s3.get_object(Bucket="chunked", Key="k")["Body"].read() == b"tail"
    wrong = base64.b64encode(b"\0\0\0\0").decode()
    status, body = put_chunked(gateway, [b"tail"], trailer=f"x-amz-checksum-crc32:{wrong}")
    assert status == 400 and b"BadDigest" in body
    spoiled: list[tuple[Callable[[bytes], bytes], int]] = [
        (lambda body: body.replace(b"aaaa", b"aaab", 1), 403),  # a byte of a signed chunk
        (lambda body: body.replace(b"chunk-signature=", b"chunk-signature=0", 1)[:-1], 400),
        (lambda body: body[: len(body) // 2], 400),  # torn
        (lambda body: b"zz" + body, 400),
        (lambda body: b"ffffffffffffffff" + body, 400),
        (lambda body: b"0" * 100_000 + body, 400),  # a line without an end
        (lambda body: body + b"more", 400),
    ]
    for spoil, wanted in spoiled:
        status, body = put_chunked(gateway, pieces, spoil=spoil)
        assert status == wanted, (status, body)
    assert put_chunked(gateway, pieces, length=5)[0] == 400
    assert s3.get_object(Bucket="chunked", Key="k")["Body"].read() == b"tail"  # never replaced
    body = b"4\r\ntail\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % crc.encode()
    headers = {"x-amz-decoded-content-length": "4", "x-amz-trailer": "x-amz-checksum-crc32"}
    target, rows, _ = signed(
        gateway, "PUT", "/chunked/unsigned", headers=headers,
        payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    )  # fmt: skip
    assert ask(gateway, "PUT", target, rows, body)[0] == 200
    assert s3.get_object(Bucket="chunked", Key="unsigned")["Body"].read() == b"tail"


def test_virtual_host_style(cluster: MiniCluster, gateway: MiniGateway, tmp_path: Path) -> None:
    s3 = client(gateway, ADMIN)
    s3.create_bucket(Bucket="hosted")
    s3.put_object(Bucket="hosted", Key="a b/k", Body=b"here")
    keys = json.loads("{}") | {"domains": ["objects.example.com"]}
    conf = other_conf(cluster, tmp_path / "v.toml", **keys)
    with MiniGateway(cluster, "--conf", str(conf)) as other:
        hosts = (
            "hosted.localhost:1", "hosted.s3.amazonaws.com", "hosted.s3.eu-west-1.amazonaws.com",
            "hosted.objects.example.com:9900",
        )  # fmt: skip
        for host in hosts:
            target, rows, _ = signed(other, "GET", "/a b/k", host=host)
            assert ask(other, "GET", target, rows)[:2] == (200, b"here"), host
        target, rows, _ = signed(other, "GET", "/hosted/a b/k", host="objects.example.com")
        assert ask(other, "GET", target, rows)[:2] == (200, b"here")


def test_cors(gateway: MiniGateway) -> None:
    s3 = client(gateway, ADMIN)
    s3.create_bucket(Bucket="pages")
    s3.put_object(Bucket="pages", Key="k", Body=b"x")
    rule = {
        "AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["x-amz-*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 300,
    }  # fmt: skip
    s3.put_bucket_cors(Bucket="pages", CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket="pages")["CORSRules"] == [rule]
    ours = {"host": hostname(gateway), "origin": "https://app.example.com"}
    asks = ours | {
        "access-control-request-method": "PUT", "access-control-request-headers": "x-amz-date",
    }  # fmt: skip
    status, _, head = ask(gateway, "OPTIONS", "/pages/k", asks)
    assert (status, head["Access-Control-Allow-Origin"]) == (200, ours["origin"])
    assert head["Access-Control-Max-Age"] == "300"
    for spoil in ({"origin": "https://evil.test"}, {"access-control-request-headers": "cookie"}):
        assert ask(gateway, "OPTIONS", "/pages/k", asks | spoil)[0] == 403
    target, rows, _ = signed(gateway, "GET", "/pages/k")
    status, body, head = ask(gateway, "GET", target, rows | {"origin": ours["origin"]})
    assert (status, body, head["Access-Control-Expose-Headers"]) == (200, b"x", "ETag")
    status, _, head = ask(gateway, "GET", "/pages/k", ours)  # a page may read why it was refused
    assert (status, head["Access-Control-Allow-Origin"]) == (403, ours["origin"])
    s3.delete_bucket_cors(Bucket="pages")
    assert ask(gateway, "OPTIONS", "/pages/k", asks)[0] == 403
