# SPDX-License-Identifier: Apache-2.0
"""The declaration of keys: complete, documented, its own defaults acceptable, one table of ours."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvine.config.data_dir import DataDir, parse_data_dir
from curvine.config.keys import Text
from curvine.config.load import load
from curvine.config.schema import ClusterConf, differing_defaults, documented_keys, key_of
from curvine.config.schema_shared import split_endpoint
from curvine.errors import ConfigError
from curvine.model.inode import StorageType

KEYS = tuple(documented_keys())


@pytest.mark.parametrize("row", KEYS, ids=lambda row: row.name)
def test_every_key_is_documented_and_accepts_its_default(row: object) -> None:
    name, key = row.name, row.key  # type: ignore[attr-defined] # a DocumentedKey
    assert key.help and key.accepts
    assert (key.upstream is not None) == bool(key.why), "differing defaults carry their reason"
    value = key.value()
    if value is not None and not isinstance(value, tuple | dict):
        assert key.parse(value) == value
        text = f"{value:o}" if name.endswith("umask") else str(value)
        assert key.parse(Text(text)) == value


def test_the_table_of_differing_defaults() -> None:
    rows = {row.name: (row.default, row.key.upstream) for row in differing_defaults()}
    assert rows["format_master"] == ("false", True)
    assert rows["format_worker"] == ("false", True)
    assert rows["master.block_replication_enabled"] == ("true", False)
    assert rows["master.ttl_checker_interval"] == ("1m", "1h")
    assert rows["fuse.entry_timeout_ms"] == ("auto", 1000)
    assert {"worker.hostname", "client.hostname", "master.bind_host"} <= rows.keys()


def test_defaults_of_the_specification() -> None:
    """Spot checks of control-plane 8.2 to 8.10 where they matter to peers."""
    conf = ClusterConf()
    assert (conf.master.rpc_port, conf.journal.rpc_port, conf.worker.rpc_port) == (8995, 8996, 8997)
    assert (conf.master.web_port, conf.worker.web_port, conf.fuse.web_port) == (9001, 9002, 9003)
    assert (conf.client.block_size, conf.client.write_chunk_size) == (128 << 20, 128 << 10)
    assert (conf.master.min_block_size, conf.master.max_block_size) == (1048576, 107374182400)
    assert (conf.master.heartbeat_interval, conf.master.worker_lost_interval) == (3000, 600_000)
    assert (conf.client.rpc_retry_max_duration_ms, conf.client.rpc_retry_min_sleep_ms) == (
        120_000,
        100,
    )
    assert (conf.job.job_life_ttl, conf.fuse.max_background) == (86_400_000, 256)


def test_keys_are_found_by_any_spelling() -> None:
    assert key_of("client.block_size_str") is key_of("client.block_size")
    assert key_of("master.log.level") is not None
    assert key_of("client.nonsense") is None


def test_loading_nothing_gives_the_defaults() -> None:
    loaded = load(None, env={})
    assert loaded.conf.client == ClusterConf().client
    assert loaded.warnings == [] and loaded.origins == {}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("/d", DataDir(StorageType.DISK, None, "/d")),
        (" [SSD]/d ", DataDir(StorageType.SSD, None, "/d")),
        ("[20GB]/d", DataDir(StorageType.DISK, 20 << 30, "/d")),
        ("[mem:10GB]/d", DataDir(StorageType.MEM, 10 << 30, "/d")),
        ("[HDD:0]/d", DataDir(StorageType.HDD, None, "/d")),
        ("[SPDK]/d", DataDir(StorageType.SPDK_DISK, None, "/d")),
        ("[nvme]/d", DataDir(StorageType.DISK, None, "/d")),
        ("[MEM:1.5GB]/d", DataDir(StorageType.MEM, 3 << 29, "/d")),
        ("[ HDD : 1GB ]/a [b]", DataDir(StorageType.HDD, 1 << 30, "/a [b]")),
    ],
)
def test_data_dir(entry: str, expected: DataDir) -> None:
    assert parse_data_dir(entry) == expected


@pytest.mark.parametrize("entry", ["", "[SSD]", "[SSD", "[A:B:C]/d", "[SSD:many]/d", "[1XB]/d"])
def test_bad_data_dir(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"\[MEM:10GB\]/path"):
        parse_data_dir(entry)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("master:8995", ("master", 8995)),
        (" 10.0.0.1:1 ", ("10.0.0.1", 1)),
        ("[::1]:8995", ("::1", 8995)),
        ("fd00::1:8995", ("fd00::1", 8995)),
    ],
)
def test_endpoints(text: str, expected: tuple[str, int]) -> None:
    assert split_endpoint(text) == expected


@pytest.mark.parametrize(
    "text", ["", "master", ":8995", "m:", "m:x", "m:0", "m:65536", "http://m:80", "[::1:80", "m:８"]
)
def test_bad_endpoints(text: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|port"):
        split_endpoint(text)


_SCALARS = st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.floats(), st.none())
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
)


@given(st.sampled_from(KEYS), _VALUES)
def test_no_value_gets_past_the_catalogue_of_errors(row: object, value: object) -> None:
    """Whatever TOML holds, a key accepts it or says ValueError, which load() turns into text."""
    try:
        row.key.parse(value)  # type: ignore[attr-defined] # a DocumentedKey
    except (ValueError, OverflowError):
        pass


def test_toml_numbers_beyond_64_bits_are_refused() -> None:
    huge = tomllib.loads("x = 99999999999999999999999")["x"]
    key = key_of("client.replicas")
    assert key is not None
    with pytest.raises(ValueError):
        key.parse(huge)
