# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration: spellings, types, precedence, origins, where a file is looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from curvine.config.load import LoadedConf, default_dir, find_conf, load
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError
from curvine.model.inode import StorageType

Loading = Callable[..., LoadedConf]


@pytest.fixture
def loading(tmp_path: Path) -> Loading:
    def run(
        text: str, env: dict[str, str] | None = None, overrides: dict[str, object] | None = None
    ) -> LoadedConf:
        path = tmp_path / "curvine-cluster.toml"
        path.write_text(text)
        return load(str(path), env=env or {}, overrides=overrides)

    return run


def test_the_seeds_file(loading: Loading) -> None:
    loaded = loading(
        """
format_master = false
format_worker = false
testing = false
cluster_id = "curvine"

[master]
hostname = "192.168.10.9"
rpc_port = 8995
web_port = 8080

[[client.master_addrs]]
hostname = "192.168.10.9"
port = 8995

[fuse]
debug = false
io_threads = 32
worker_threads = 56
mnt_path = "/runtime-mnt/thin/default/curvine-dataset/thin-fuse"
fs_path = "/data"
"""
    )
    conf = loaded.conf
    assert loaded.warnings == []
    assert conf.client_master_addrs() == (("192.168.10.9", 8995),)
    assert (conf.master.web_port, conf.fuse.worker_threads, conf.fuse.fs_path) == (
        8080,
        56,
        "/data",
    )
    assert loaded.origin("fuse.fs_path") == f"file {loaded.path}"
    assert loaded.origin("fuse.umask") == "default"


@pytest.mark.parametrize("spelling", ["block_size", "block_size_str"])
@pytest.mark.parametrize("value", ['"64MB"', "67108864", '"64m"'])
def test_sizes(loading: Loading, spelling: str, value: str) -> None:
    loaded = loading(f"[client]\n{spelling} = {value}\n")
    assert loaded.conf.client.block_size == 64 << 20
    assert loaded.warnings == []


@pytest.mark.parametrize("spelling", ["failed_worker_ttl", "failed_worker_ttl_ms"])
@pytest.mark.parametrize("value", ['"10s"', "10000", '"10000"'])
def test_durations(loading: Loading, spelling: str, value: str) -> None:
    loaded = loading(f"[client]\n{spelling} = {value}\n")
    assert loaded.conf.client.failed_worker_ttl_ms == 10_000
    assert loaded.warnings == []


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("[client]\nttl_ms_str = '7d'", lambda c: c.client.ttl_ms, 604_800_000),
        ("[client]\nstorage_type_str = 'SSD'", lambda c: c.client.storage_type, "ssd"),
        ("[client]\nclose_timeout_secs = 7", lambda c: c.client.close_timeout_secs, 7),
        ("[client]\nclose_timeout_secs = '2m'", lambda c: c.client.close_timeout_secs, 120),
        ("[client]\numask = 18", lambda c: c.client.umask, 0o022),
        ("[client]\numask = '0o077'", lambda c: c.client.umask, 0o077),
        ("[client]\nmaster_addrs = 'a:1, [::1]:2'", lambda c: c.client_master_addrs(),
            (("a", 1), ("::1", 2))),
        ("[job]\njob_life_ttl_str = '1h'", lambda c: c.job.job_life_ttl, 3_600_000),
        ("[job]\ntask_timeout = '5m'", lambda c: c.job.task_timeout, 300_000),
        ("[fuse]\nmnt_per_task = 4", lambda c: c.fuse.tasks_per_mnt, 4),
        ("[fuse]\nentry_timeout_ms = 'auto'", lambda c: c.fuse.entry_timeout_ms, None),
        ("[fuse]\nattr_timeout_ms = 250", lambda c: c.fuse.attr_timeout_ms, 250),
        ("[fuse]\nenable_write_back = true", lambda c: c.fuse.write_back_cache, True),
        ("[worker]\ndata_dir = ['[MEM:10GB]/m', '/d']",
            lambda c: c.worker.data_dirs()[0].storage_type, StorageType.MEM),
        ("[master.audit_log]\nlevel = 'WARN'", lambda c: c.master.audit_log.level, "warn"),
        ("[master]\nlog = { log_dir = '/l' }", lambda c: c.master.log.log_dir, "/l"),
        ("[journal]\nsync = 'always'\nsync_interval = '200ms'",
            lambda c: (c.journal.sync, c.journal.sync_interval), ("always", 200)),
        ("[master.rocksdb]\nblock_size = '4KB'\n[worker.spdk_disk]\nenabled = false",
            lambda c: c.master.rocksdb, None),
    ],
)  # fmt: skip
def test_spellings(
    loading: Loading, text: str, read: Callable[[ClusterConf], object], expected: object
) -> None:
    loaded = loading(text)
    assert read(loaded.conf) == expected
    assert loaded.warnings == []


def test_masters_follow_the_journal(loading: Loading) -> None:
    conf = loading(
        "[master]\nrpc_port = 9995\n[journal]\njournal_addrs = [\n"
        '{id = 1, hostname = "m0"}, {id = 2, hostname = "m1", port = 1}]\n'
    ).conf
    assert conf.client_master_addrs() == (("m0", 9995), ("m1", 9995))
    assert conf.journal.journal_addrs[0].port == 8996


def test_several_mounts(loading: Loading) -> None:
    conf = loading(
        "[[fuse.mounts]]\npath = '/'\nfs_path = '/prod'\n"
        "master_addrs = [{ hostname = 'p', port = 8995 }]\nread_only = true\n"
        "options = { block_size = '64MB' }\n[[fuse.mounts]]\npath = '/t'\nfs_path = '/x'\n"
    ).conf
    first, second = conf.fuse.mounts
    assert (first.fs_path, first.read_only, first.options) == (
        "/prod",
        True,
        {"block_size": "64MB"},
    )
    assert (first.master_addrs[0].hostname, second.master_addrs, second.options) == ("p", (), {})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[fuse]\nio_threads = '32'", ["fuse.io_threads", '"32"', "whole number"]),
        ("[fuse]\nio_threads = true", ["fuse.io_threads", "true", "whole number"]),
        ("[fuse]\ndebug = 1", ["fuse.debug", "1", "true or false"]),
        ("[client]\nblock_size = '12 apples'", ["client.block_size", "12 apples", "128MB"]),
        ("[client]\nmaster_addrs = 'nohost'", ["client.master_addrs", "nohost", "host:port"]),
        ("[client]\nmaster_addrs = [{ port = 'x' }]", ["client.master_addrs[0].port", '"x"']),
        ("[master]\nrpc_port = 70000", ["master.rpc_port", "70000", "65535"]),
        ("[master]\nworker_policy = 'best'", ["master.worker_policy", "weighted"]),
        ("[master]\nio_timeout = -5", ["master.io_timeout", "-5", "duration"]),
        ("master = 3", ["master", "3", "a table"]),
        ("master = 'x'", ["master", '"x"', "a table"]),
        ("[journal]\njournal_addrs = 'h:1'", ["journal.journal_addrs", "array of tables"]),
        ("[journal]\njournal_addrs = [3]", ["journal.journal_addrs", "array of tables"]),
        ("[fuse]\nmounts = { path = '/' }", ["fuse.mounts", "array of tables"]),
        ("[job]\nmaster_load_job_runtime_threads = 0", ["from 1 up"]),
        ("[worker]\ndata_dir = ['[A:B:C]/x']", ["[A:B:C]/x", "colon"]),
        ("[client\n", ["not valid TOML", "line 1"]),
    ],
)
def test_wrong_values(loading: Loading, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        loading(text)
    for part in parts:
        assert part in str(caught.value)
    if "data_dir" not in text:
        assert "curvine-cluster.toml" in str(caught.value)


def test_unknown_keys_are_warnings(loading: Loading) -> None:
    loaded = loading("[fuse]\nfs_pat = '/x'\n[fuse.log]\nlevell = 'info'\n[nonsense]\na = 1\n")
    assert "unknown key fuse.fs_pat is not used; did you mean fs_path?" in loaded.warnings[0]
    assert "fuse.log.levell" in loaded.warnings[1]
    assert loaded.warnings[2].endswith("unknown key nonsense is not used")


def test_two_spellings_of_one_key(loading: Loading) -> None:
    loaded = loading("[client]\nblock_size = '1MB'\nblock_size_str = '2MB'\n")
    assert loaded.conf.client.block_size == 1 << 20
    assert "another spelling" in loaded.warnings[0]


def test_services_that_we_lack_are_named(loading: Loading) -> None:
    loaded = loading(
        "[transfer]\nenabled = true\nstore_url = 'memory://'\n[fault_injection]\nenabled = true\n"
        "[worker.spdk_disk]\nenabled = true\n"
    )
    assert len(loaded.warnings) == 3
    assert loading("[transfer]\nenabled = false\n").warnings == []


def test_precedence_and_origins(loading: Loading) -> None:
    text = "[master]\nhostname = 'from-file'\n[worker]\nhostname = 'w-file'\n"
    env = {"CURVINE_MASTER_HOSTNAME": "from-env", "CURVINE_CLIENT_HOSTNAME": "c-env"}
    loaded = loading(text, env, {"client.hostname": "c-flag", "fuse.mnt_path": None,
                                 "client.replicas": "3", "client.block_size": "1MB"})  # fmt: skip
    conf = loaded.conf
    assert (conf.master.hostname, conf.journal.hostname) == ("from-env", "from-env")
    assert (conf.client.hostname, conf.worker.hostname) == ("c-flag", "w-file")
    assert (conf.client.replicas, conf.client.block_size) == (3, 1 << 20)
    assert loaded.origin("master.hostname") == "env CURVINE_MASTER_HOSTNAME"
    assert loaded.origin("client.hostname") == "flag"
    assert loaded.origin("fuse.mnt_path") == "default"


def test_wrong_overrides() -> None:
    with pytest.raises(ConfigError, match='flag: client\\.replicas = "x"'):
        load(None, env={}, overrides={"client.replicas": "x"})
    with pytest.raises(ConfigError, match=r"no such key: client\.nonsense"):
        load(None, env={}, overrides={"client.nonsense": "x"})


def test_servers_listen_on_loopback_until_told(loading: Loading) -> None:
    conf = load(None, env={}).conf
    assert {conf.master.bind_host, conf.worker.bind_host, conf.fuse.bind_host} == {"127.0.0.1"}
    assert conf.worker.hostname == os.uname().nodename
    assert conf.worker_advertised_host() == "127.0.0.1"
    told = load(None, env={"ORPC_BIND_HOSTNAME": "0.0.0.0"}).conf
    assert (told.worker.bind_host, told.worker_advertised_host()) == (
        "0.0.0.0",
        os.uname().nodename,
    )
    named = loading("[worker]\nhostname = 'node-1'\n").conf
    assert (named.worker.bind_host, named.master.bind_host) == ("node-1", "127.0.0.1")
    explicit = loading("[worker]\nbind_host = '::1'\n", {"ORPC_BIND_HOSTNAME": "0.0.0.0"}).conf
    assert explicit.worker.bind_host == "::1"


def test_directories_follow_home() -> None:
    conf = load(None, env={"CURVINE_HOME": "/opt/curvine"}).conf
    assert (conf.master.meta_dir, conf.journal.journal_dir) == (
        "/opt/curvine/meta",
        "/opt/curvine/journal",
    )
    assert load(None, env={"HOME": "/h"}).conf.master.meta_dir == "/h/.local/share/curvine/meta"


def test_net_interface(loading: Loading) -> None:
    conf = loading("net_interface = 'lo'\n", {"CURVINE_WORKER_HOSTNAME": "w"}).conf
    assert (conf.master.hostname, conf.worker.hostname) == ("127.0.0.1", "127.0.0.1")
    with pytest.raises(ConfigError, match="no-such-nic"):
        loading("net_interface = 'no-such-nic'\n")


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {"CURVINE_HOME": str(home), "XDG_DATA_HOME": str(tmp_path / "data")}
    assert find_conf(None, env) is None
    up = Path(default_dir(env)) / "curvine-cluster.toml"
    up.parent.mkdir(parents=True)
    up.touch()
    assert find_conf(None, env) == str(up)
    installed = home / "conf" / "curvine-cluster.toml"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert find_conf(None, env) == str(installed)
    named = tmp_path / "named.toml"
    with pytest.raises(ConfigError, match="CURVINE_CONF_FILE"):
        find_conf(None, env | {"CURVINE_CONF_FILE": str(named)})
    named.touch()
    assert find_conf(None, env | {"CURVINE_CONF_FILE": str(named)}) == str(named)
    assert find_conf(str(up), env | {"CURVINE_CONF_FILE": str(named)}) == str(up)
    with pytest.raises(ConfigError, match="--conf"):
        find_conf(str(tmp_path / "none"), env)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: "):
        load(str(tmp_path), env={})


def test_values_are_frozen_and_replaceable() -> None:
    conf = ClusterConf()
    with pytest.raises(AttributeError):
        conf.master.rpc_port = 1  # type: ignore[misc] # that it cannot be set is the point
    assert msgspec.structs.replace(conf.master, rpc_port=0).rpc_port == 0
