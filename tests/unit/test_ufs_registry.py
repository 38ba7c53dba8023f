# SPDX-License-Identifier: Apache-2.0
"""Choosing an under storage: what is refused says why and what to do."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from curvine.errors import InvalidArgument, IsADirectory, UfsUnavailable, Unsupported
from curvine.ufs.patience import patience_of
from curvine.ufs.posix import PosixUfs
from curvine.ufs.registry import check_properties, open_ufs, scheme_of, supported_schemes


def test_file_is_served() -> None:
    assert isinstance(open_ufs("file:///srv/data", {}), PosixUfs)
    assert scheme_of("FILE:///x") == "file"
    assert "file" in supported_schemes()


S3 = {
    "s3.endpoint_url": "http://127.0.0.1:9",
    "s3.credentials.access": "a",
    "s3.credentials.secret": "b",
    "s3.region_name": "x",
}


def test_what_a_store_needs_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"s3\.endpoint_url, s3\.credentials\.access"):
        open_ufs("s3://bucket/dir", {"s3.region_name": "x"})
    with pytest.raises(InvalidArgument, match=r"names no bucket"):
        open_ufs("s3:///dir", S3)
    with pytest.raises(InvalidArgument, match=r"s3\.endpoint_url is 'host:1', no http"):
        open_ufs("s3://bucket/dir", {**S3, "s3.endpoint_url": "host:1"})


def test_legacy_names_mean_the_same() -> None:
    legacy = {
        "s3.endpoint_url": "http://127.0.0.1:9",
        "s3.access_key": "a",
        "s3.secret_key": "b",
        "s3.region": "x",
        "s3.path_style": "true",
    }
    assert check_properties("s3://bucket/", legacy) == {**S3, "s3.force.path.style": "true"}
    with pytest.raises(InvalidArgument, match=r"s3\.credentials\.secret and s3\.secret_key"):
        check_properties("s3://bucket/", {**S3, "s3.secret_key": "other"})
    assert check_properties("s3a://bucket/", {**S3, "s3.secret_key": "b"}) == S3


def test_patience_is_read_from_the_properties() -> None:
    given = {
        "s3.retry_times": "2",
        "s3.connect_timeout": "5s",
        "opendal.read_timeout": "7",
        "opendal.retry_interval_ms": "50",
    }
    found = patience_of("s3", given)
    assert (found.retries, found.connect, found.answer, found.first_pause) == (2, 5.0, 7.0, 0.05)
    with pytest.raises(InvalidArgument, match=r"s3\.retry_times is 'x'"):
        patience_of("s3", {"s3.retry_times": "x"})
    with pytest.raises(InvalidArgument, match=r"s3\.read_timeout"):
        patience_of("s3", {"s3.read_timeout": "0"})


def test_an_unknown_scheme_and_a_plain_path_are_refused() -> None:
    with pytest.raises(Unsupported, match="gopher"):
        open_ufs("gopher://x/y")
    with pytest.raises(InvalidArgument, match="scheme://"):
        open_ufs("/srv/data")
    with pytest.raises(InvalidArgument, match="another machine"):
        open_ufs("file://server/share")


def test_a_property_without_meaning_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"file\.chunksize.*did you mean file\.chunk_size"):
        open_ufs("file:///srv", {"file.chunksize": "1"})
    with pytest.raises(InvalidArgument, match=r"s3\.region_name"):
        open_ufs("file:///srv", {"s3.region_name": "x"})
    open_ufs("file:///srv", {"file.chunk_size": "1", "load_task.parallel_streams": "1"})


def test_the_root_may_be_slash_or_one_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"content")

    async def look() -> None:
        whole = open_ufs("file:///")
        assert (await whole.stat(f"file://{tmp_path}")).is_dir
        assert (await whole.stat("file:///")).is_dir
        single = open_ufs(f"file://{tmp_path}/one")
        assert (await single.stat(f"file://{tmp_path}/one")).len == 7
        reader = await single.open_read(f"file://{tmp_path}/one")
        assert await reader.read_at(0, 100) == b"content"
        await reader.close()
        await whole.close()
        await single.close()

    asyncio.run(look())


def test_a_reader_hands_out_its_descriptor(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"content")

    async def look() -> None:
        ufs = open_ufs(f"file://{tmp_path}")
        reader = await ufs.open_read(f"file://{tmp_path}/one")
        fd = reader.local_fd()
        assert fd is not None and os.pread(fd, 10, 0) == b"content"
        await reader.close()
        assert reader.local_fd() is None

    asyncio.run(look())


def test_a_fifo_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    async def look() -> None:
        ufs = open_ufs(f"file://{tmp_path}")
        with pytest.raises(InvalidArgument, match="not a regular file"):
            await ufs.open_read(f"file://{tmp_path}/fifo")
        with pytest.raises(IsADirectory):
            await ufs.open_read(f"file://{tmp_path}")

    asyncio.run(look())


STORES = {
    "gcs://b/x": {"gcs.endpoint_url": "http://127.0.0.1:9", "gcs.skip_signature": "true"},
    "gs://b/x": {"gcs.endpoint": "http://127.0.0.1:9", "gcs.skip_signature": "true"},
    "azblob://c/x": {"azure.account_name": "a", "azure.account_key": "a2V5",
                     "azure.endpoint_url": "http://127.0.0.1:9/a"},
    "oss://b/x": {"oss.endpoint": "http://localhost:9", "oss.accessKeyId": "a",
                  "oss.accessKeySecret": "b"},
    "cos://b/x": {"cos.endpoint_url": "http://localhost:9", "cos.credentials.access": "a",
                  "cos.credentials.secret": "b"},
}  # fmt: skip


@pytest.mark.parametrize("uri", STORES)
def test_every_store_is_really_asked(uri: str) -> None:
    """The options reach an engine that takes them, and the request reaches the endpoint."""

    async def look() -> None:
        ufs = open_ufs(uri, STORES[uri], probing=True)
        with pytest.raises(UfsUnavailable, match=r"(127\.0\.0\.1|localhost):9"):
            await ufs.list(uri)
        await ufs.close()

    asyncio.run(look())
