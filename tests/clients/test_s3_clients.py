# SPDX-License-Identifier: Apache-2.0
"""What S3 clients do with the gateway, each a task of its users (make test-clients).

boto3 and rclone have more in tests/integration/test_s3_gateway.py. MinIO's client is in no package
registry that these tests are installed from; it is used where a program ``mcli`` is on PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import duckdb_ext
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
import s3fs
import zarr
from boto3.s3.transfer import TransferConfig
from botocore.client import Config

from curvine.testing.cluster import MiniCluster
from curvine.testing.s3_gateway import ACCESS_KEY, SECRET_KEY, MiniGateway

MIB = 1 << 20
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniGateway]:
    with MiniCluster(tmp_path_factory.mktemp("s3")) as cluster, MiniGateway(cluster) as running:
        yield running


@pytest.fixture(scope="module")
def s3(gateway: MiniGateway) -> Any:
    return boto3.client(
        "s3", endpoint_url=gateway.endpoint, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        config=Config(signature_version="s3v4"),  # else its URLs are signed by Version 2
    )  # fmt: skip


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory as people have them: empty files, odd names, one larger than a part."""
    root = tmp_path / "tree"
    for name, size in (
        ("readme.txt", 20), ("empty", 0), ("photos/2026/ä ö+ü&#.jpg", 70_000),
        ("photos/2026/a'b (1).jpg", 3), ("data/large.bin", 18 * MIB + 5),
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.urandom(size))
    return root


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def run(command: list[str], env: dict[str, str] | None = None) -> str:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
    done = subprocess.run(
        command, env={**environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_boto3_backs_up_a_file(s3: Any, bucket: str, tmp_path: Path) -> None:
    """A large upload in parts by threads, found by listing, read back, and shared by a URL."""
    source, back = tmp_path / "dump", tmp_path / "back"
    source.write_bytes(os.urandom(33 * MIB + 1))
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    extra = {"ContentType": "application/x-tar", "Metadata": {"host": "db1"}}
    s3.upload_file(str(source), bucket, "dumps/1.tar", Config=parts, ExtraArgs=extra)
    rows = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="dumps/")
    assert [row["Key"] for page in rows for row in page["Contents"]] == ["dumps/1.tar"]
    head = s3.head_object(Bucket=bucket, Key="dumps/1.tar")
    assert head["ContentLength"] == source.stat().st_size
    assert head["ETag"].endswith('-7"') and head["Metadata"] == {"host": "db1"}
    s3.download_file(bucket, "dumps/1.tar", str(back), Config=parts)
    assert back.read_bytes() == source.read_bytes()
    s3.copy({"Bucket": bucket, "Key": "dumps/1.tar"}, bucket, "dumps/2.tar", Config=parts)
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "dumps/2.tar"})
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=5-9"})) as got:
        assert got.status == 206 and got.read() == source.read_bytes()[5:10]
    deleted = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": f"dumps/{n}.tar"} for n in (1, 2)]}
    )
    assert len(deleted["Deleted"]) == 2
    s3.delete_bucket(Bucket=bucket)


def test_awscli_syncs_a_tree(gateway: MiniGateway, bucket: str, tree: Path, tmp_path: Path) -> None:
    env = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": gateway.endpoint,
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    aws = str(BIN / "aws")
    back = tmp_path / "back"
    run([aws, "s3", "sync", str(tree), f"s3://{bucket}/t"], env)
    assert run([aws, "s3", "sync", str(tree), f"s3://{bucket}/t"], env) == ""
    listed = run([aws, "s3", "ls", "--recursive", "--summarize", f"s3://{bucket}/t/"], env)
    assert "Total Objects: 5" in listed
    run([aws, "s3", "mv", f"s3://{bucket}/t/readme.txt", f"s3://{bucket}/t/moved"], env)
    (tree / "readme.txt").rename(tree / "moved")
    run([aws, "s3", "sync", f"s3://{bucket}/t", str(back)], env)
    assert content(back) == content(tree)
    (tree / "empty").unlink()
    run([aws, "s3", "sync", "--delete", str(tree), f"s3://{bucket}/t"], env)
    found = json.loads(
        run([aws, "s3api", "list-objects-v2", "--bucket", bucket, "--max-items", "100"], env)
    )
    assert {row["Key"].removeprefix("t/") for row in found["Contents"]} == set(content(tree))
    run([aws, "s3", "rb", "--force", f"s3://{bucket}"], env)


def test_s3cmd_puts_and_gets(gateway: MiniGateway, bucket: str, tree: Path, tmp_path: Path) -> None:
    host = gateway.endpoint.removeprefix("http://")
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {host}\n"
        f"host_bucket = {host}\nuse_https = False\nmultipart_chunk_size_mb = 5\n"
    )
    s3cmd = [sys.executable, str(BIN / "s3cmd"), "-c", str(config), "--no-progress"]
    back = tmp_path / "back"
    run([*s3cmd, "sync", f"{tree}/", f"s3://{bucket}/t/"])
    assert f"s3://{bucket}/t/data/large.bin" in run([*s3cmd, "ls", "-r", f"s3://{bucket}"])
    assert "File size: 20" in run([*s3cmd, "info", f"s3://{bucket}/t/readme.txt"])
    back.mkdir()
    run([*s3cmd, "sync", f"s3://{bucket}/t/", f"{back}/"])
    assert content(back) == content(tree)
    run([*s3cmd, "cp", f"s3://{bucket}/t/data/large.bin", f"s3://{bucket}/copy"])
    run([*s3cmd, "get", f"s3://{bucket}/copy", str(tmp_path / "copy")])
    assert (tmp_path / "copy").read_bytes() == (tree / "data/large.bin").read_bytes()
    assert "18" in run([*s3cmd, "du", "-H", f"s3://{bucket}/copy"])
    run([*s3cmd, "del", "-r", "-f", f"s3://{bucket}"])
    assert run([*s3cmd, "ls", "-r", f"s3://{bucket}"]) == ""


def test_rclone_mirrors_a_tree(
    gateway: MiniGateway, bucket: str, tree: Path, tmp_path: Path
) -> None:
    env = {
        "RCLONE_CONFIG_C_TYPE": "s3", "RCLONE_CONFIG_C_PROVIDER": "Other",
        "RCLONE_CONFIG_C_ACCESS_KEY_ID": ACCESS_KEY, "RCLONE_CONFIG_C_ENDPOINT": gateway.endpoint,
        "RCLONE_CONFIG_C_SECRET_ACCESS_KEY": SECRET_KEY, "RCLONE_CONFIG_C_REGION": "us-east-1",
        "RCLONE_CONFIG": str(tmp_path / "none"),
    }  # fmt: skip
    rclone = str(BIN / "rclone")
    cutoff = ["--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi"]
    run([rclone, "sync", *cutoff, str(tree), f"c:{bucket}/t"], env)
    run([rclone, "check", "--download", str(tree), f"c:{bucket}/t"], env)
    run([rclone, "moveto", f"c:{bucket}/t/data/large.bin", f"c:{bucket}/t/l.bin"], env)
    (tree / "data/large.bin").rename(tree / "l.bin")
    run([rclone, "sync", f"c:{bucket}/t", str(tmp_path / "back")], env)
    assert content(tmp_path / "back") == content(tree)
    size = json.loads(run([rclone, "size", "--json", f"c:{bucket}"], env))
    assert size["count"] == 5
    before = {p: p.stat().st_mtime for p in tree.rglob("*") if p.is_file()}
    after = {p: (tmp_path / "back" / p.relative_to(tree)).stat().st_mtime for p in before}
    assert after == pytest.approx(before, abs=1e-3)


def test_minio_client_mirrors_a_tree(
    gateway: MiniGateway, bucket: str, tree: Path, tmp_path: Path
) -> None:
    mc = shutil.which("mcli")
    if mc is None:
        pytest.skip("MinIO's client is not installed as mcli (it is in no package registry)")
    host = gateway.endpoint.removeprefix("http://")
    env = {
        "MC_HOST_c": f"http://{ACCESS_KEY}:{SECRET_KEY}@{host}",
        "MC_CONFIG_DIR": str(tmp_path / "mc"),
    }
    run([mc, "mirror", "--quiet", str(tree), f"c/{bucket}/t"], env)
    assert run([mc, "diff", str(tree), f"c/{bucket}/t"], env) == ""
    run([mc, "mirror", "--quiet", f"c/{bucket}/t", str(tmp_path / "back")], env)
    assert content(tmp_path / "back") == content(tree)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    numbers = np.random.default_rng(7)
    rows = 200_000
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "value": numbers.random(rows),
            "group": numbers.integers(0, 7, rows).astype("int32"),
        }
    )


def test_duckdb_httpfs_queries_and_exports(
    gateway: MiniGateway, bucket: str, s3: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    base = duckdb.connect(config={"extension_directory": str(tmp_path / "extensions")})
    extensions = Path(duckdb_ext.__path__[0]) / "extensions" / f"v{duckdb.__version__}"
    (extension,) = extensions.glob("*/httpfs.duckdb_extension")
    base.execute(f"LOAD '{extension}'")
    base.execute(
        f"""CREATE SECRET (TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}',
        REGION 'us-east-1', ENDPOINT '{gateway.endpoint.removeprefix("http://")}',
        URL_STYLE 'path', USE_SSL false)"""
    )
    base.register("frame", frame)
    base.execute(f"COPY frame TO 's3://{bucket}/out' (FORMAT parquet, PARTITION_BY (\"group\"))")
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(keys) == 7 and all(key.startswith("out/group=") for key in keys)
    query = f"""SELECT count(*), sum(id), min(value) FROM
        read_parquet('s3://{bucket}/out/*/*.parquet', hive_partitioning = true)"""
    count, total, least = base.execute(f'{query} WHERE "group" IN (2, 3)').fetchone() or ()
    chosen = frame[frame["group"].isin([2, 3])]
    assert (count, total) == (len(chosen), chosen["id"].sum())
    assert least == pytest.approx(chosen["value"].min())


def test_pyarrow_s3_scans_a_dataset(gateway: MiniGateway, bucket: str, frame: pd.DataFrame) -> None:
    s3 = pa.fs.S3FileSystem(
        access_key=ACCESS_KEY, secret_key=SECRET_KEY, region="us-east-1",
        endpoint_override=gateway.endpoint,
    )  # fmt: skip
    table = pa.Table.from_pandas(frame)
    ds.write_dataset(
        table, f"{bucket}/set", filesystem=s3, format="parquet", partitioning=["group"]
    )
    found = ds.dataset(f"{bucket}/set", filesystem=s3, partitioning=["group"])
    picked = found.to_table(columns=["id"], filter=pa.compute.field("group") == 4)
    assert picked.num_rows == int((frame["group"] == 4).sum())
    with s3.open_output_stream(f"{bucket}/stream") as sink:
        for _ in range(12):
            sink.write(b"x" * MIB)
    with s3.open_input_file(f"{bucket}/stream") as source:
        assert source.size() == 12 * MIB and source.read_at(3, 5 * MIB) == b"xxx"
    s3.copy_file(f"{bucket}/stream", f"{bucket}/copy")
    assert s3.get_file_info(f"{bucket}/copy").size == 12 * MIB
    s3.delete_dir_contents(bucket)
    assert s3.get_file_info(pa.fs.FileSelector(bucket)) == []


def test_s3fs_serves_pandas_and_zarr(
    gateway: MiniGateway, bucket: str, frame: pd.DataFrame, tree: Path, tmp_path: Path
) -> None:
    options = {
        "key": ACCESS_KEY, "secret": SECRET_KEY, "endpoint_url": gateway.endpoint,
        "use_listings_cache": False,
    }  # fmt: skip
    frame.to_parquet(f"s3://{bucket}/frame.parquet", storage_options=options)
    back = pd.read_parquet(f"s3://{bucket}/frame.parquet", storage_options=options)
    pd.testing.assert_frame_equal(back, frame)
    frame.head(100).to_csv(f"s3://{bucket}/head.csv.gz", index=False, storage_options=options)
    assert len(pd.read_csv(f"s3://{bucket}/head.csv.gz", storage_options=options)) == 100
    fs = s3fs.S3FileSystem(**options)
    with fs.open(f"{bucket}/frame.parquet") as file:
        assert pq.ParquetFile(file).metadata.num_rows == len(frame)
    fs.put(str(tree), f"{bucket}/t", recursive=True)
    fs.get(f"{bucket}/t", str(tmp_path / "back"), recursive=True)
    assert content(tmp_path / "back") == content(tree)
    store = zarr.storage.FsspecStore.from_url(
        f"s3://{bucket}/array.zarr", storage_options={**options, "asynchronous": True}
    )
    array = zarr.create_array(store, shape=(1000, 1000), chunks=(100, 500), dtype="f8")
    array[:] = np.arange(1_000_000).reshape(1000, 1000)
    assert zarr.open_array(store, mode="r")[123, 456] == 123_456
    fs.rm(bucket, recursive=True)
    assert not fs.exists(bucket)
