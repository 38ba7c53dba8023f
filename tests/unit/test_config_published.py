# SPDX-License-Identifier: Apache-2.0
"""/api/config: Curvine's spelling of every key, and no secret."""

from __future__ import annotations

import json

import msgspec

from curvine.config.load import load
from curvine.config.published import published
from curvine.config.schema import ClusterConf


def test_sections_and_spelling() -> None:
    shown = published(ClusterConf())
    assert json.loads(json.dumps(shown)) == shown
    assert shown["cluster_id"] == "curvine"
    assert shown["master"]["io_timeout"] == "10m"
    assert shown["master"]["min_block_size"] == 1 << 20
    assert shown["master"]["log"]["level"] == "info"
    assert shown["client"]["block_size_str"] == "128MB"
    assert shown["client"]["ttl_ms_str"] == "0"
    assert shown["client"]["large_file_size_str"] == "10GB"
    assert shown["client"]["read_slice_size_str"] == "0"
    assert shown["client"]["storage_type_str"] == "disk"
    assert shown["client"]["rpc_timeout_ms"] == 120_000
    assert shown["client"]["auto_cache_ttl"] == "7d"
    assert shown["client"]["umask"] == 18
    assert shown["journal"]["snapshot_interval"] == "6h"
    assert shown["journal"]["writer_flush_batch_ms"] == 10
    assert shown["worker"]["dir_reserved"] == "0"
    assert shown["job"]["job_life_ttl_str"] == "1d"
    assert shown["job"]["job_max_files"] == 100_000
    assert shown["fuse"]["max_readahead_kb"] is None
    assert "rocksdb" not in shown["master"]


def test_lists_of_tables() -> None:
    conf = load(None, env={}, overrides={"client.master_addrs": "a:1,b:2"}).conf
    assert published(conf)["client"]["master_addrs"] == [
        {"hostname": "a", "port": 1},
        {"hostname": "b", "port": 2},
    ]


def test_secrets_are_left_out() -> None:
    mount = {"s3.credentials.secret": "hush", "client.replicas": "2", "token": "hush"}
    plain = ClusterConf()
    fuse = msgspec.structs.replace(
        plain.fuse, fs_path="s3://user:hush@host/x",
        mounts=(type(plain.fuse).KEYS["mounts"].section(options=mount),),
    )  # fmt: skip
    auth = msgspec.structs.replace(plain.auth, token_file="/etc/token")
    text = json.dumps(published(msgspec.structs.replace(plain, fuse=fuse, auth=auth)))
    assert "hush" not in text
    assert '"client.replicas": "2"' in text
    assert '"token_file": "/etc/token"' in text
