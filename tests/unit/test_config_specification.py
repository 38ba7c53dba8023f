# SPDX-License-Identifier: Apache-2.0
"""Every key of the tables of control-plane specification 8: its type, its unit, its default.

``KEYS`` is those tables in short: name, kind, Curvine's default as its files write it. Where ours
is another one, the table of differing defaults says so (docs/configuration.md); nothing else may
differ.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curvine.config.load import load
from curvine.config.schema import DocumentedKey, documented_keys
from curvine.units import parse_duration, parse_size

BOOL, INT, TEXT, FLOAT = "bool", "int", "text", "float"
SIZE, DURATION, SECONDS, LIST = "size", "duration", "seconds", "list"

Row = tuple[str, str, object]
CPUS = 2 * (os.cpu_count() or 1)


def rows(section: str, table: str) -> list[Row]:
    """``name kind default`` a line; names that are joined by commas have the same."""
    found: list[Row] = []
    for line in table.split("\n"):
        if line.strip():
            names, kind, *default = line.split()
            text = default[0] if default else ""
            found += [
                (f"{section}.{name}" if section else name, kind, text) for name in names.split(",")
            ]
    return found


LOG = """
level text info
log_dir text stdout
file_name text
max_log_files int 10
max_file_size_mb int 100
time_rotation text
display_thread bool false
display_position bool true
targets list
"""
COMPATIBILITY = """
mode text diagnose
min_worker_version text
min_client_version text
blocked_versions list
"""
KEYS = [
    *rows("", """
format_master,format_worker bool true
testing bool false
cluster_id text curvine
net_interface text
"""),
    *rows("master", f"""
hostname text localhost
rpc_port int 8995
web_port int 9001
io_threads int 32
worker_threads int {max(32, CPUS)}
actor_threads int 4
io_timeout duration 10m
io_close_idle bool true
meta_request_concurrent bool true
meta_dir text <cwd>/fs-meta
min_block_size size 1048576
max_block_size size 107374182400
min_replication int 1
max_replication int 100
max_path_len int 8000
max_path_depth int 1000
retry_cache_enable bool true
retry_cache_size int 100000
retry_cache_ttl duration 10m
block_report_limit int 1000
worker_policy text local
executor_threads int 10
executor_channel_size int 1000
heartbeat_interval duration 3s
worker_check_interval duration 10s
worker_blacklist_interval duration 30s
worker_lost_interval duration 10m
audit_logging_enabled bool true
block_replication_enabled bool false
block_replication_concurrency_limit int 1000
block_replication_retry_interval duration 5s
ttl_checker_retry_attempts int 3
ttl_checker_interval duration 1h
ttl_bucket_interval duration 1h
ttl_max_retry_duration duration 10m
ttl_retry_interval duration 1s
enable_quota_eviction bool false
quota_eviction_mode text free
quota_eviction_policy text lru
quota_eviction_high_rate float 0.8
quota_eviction_low_rate float 0.6
quota_eviction_scan_page int 2
quota_eviction_dry_run bool false
quota_eviction_capacity int 5000000
lock_expire_time duration 5m
buffer_size size 131072
conn_limit int 8
global_limit int 4096
"""),
    *rows("master.log", LOG),
    *rows("master.audit_log", LOG),
    *rows("master.compatibility", COMPATIBILITY),
    *rows("journal", """
enable bool true
group_name text raft-group
hostname text localhost
rpc_port int 8996
io_threads,worker_threads int 8
message_size int 200
journal_dir text testing/journal-<random>
metadata_delta_log_capacity int 100000
writer_channel_size int 0
writer_flush_batch_size int 1000
writer_flush_batch_ms duration 10
snapshot_interval duration 6h
snapshot_entries int 1000000
snapshot_read_chunk_size size 1048576
conn_retry_max_duration_ms duration 0
conn_retry_min_sleep_ms,conn_retry_max_sleep_ms duration 10000
rpc_close_idle bool false
rpc_retry_max_duration_ms duration 60000
rpc_retry_min_sleep_ms,rpc_retry_max_sleep_ms duration 20000
conn_timeout_ms duration 30000
io_timeout_ms duration 60000
conn_size int 1
raft_tick_interval_ms duration 1000
raft_election_tick int 10
raft_heartbeat_tick int 3
raft_min_election_ticks int 10
raft_max_election_ticks int 30
raft_check_quorum bool true
raft_max_size_per_msg size 1048576
raft_max_inflight_msgs int 256
raft_max_committed_size_per_ready size 16777216
raft_batch_size int 8
raft_retry_cache_size int 100000
raft_retry_cache_ttl duration 10m
retain_checkpoint_num int 3
ignore_reply_error bool false
max_retry_num int 1000
skip_failed_ufs_replay_after_retry bool true
scan_batch_size int 1000
retry_interval_secs seconds 10
ufs_copy_timeout duration 20m
"""),
    *rows("worker", f"""
hostname text localhost
weight int 1
rpc_port int 8997
web_port int 9002
dir_reserved size 0
data_dir list
io_slow_threshold duration 300ms
io_threads int 32
worker_threads int {max(32, CPUS)}
io_timeout duration 10m
io_close_idle bool false
scheduler_threads int 2
executor_threads int 10
executor_channel_size int 1000
enable_splice bool false
enable_send_file bool true
pipe_buf_size size 65536
pipe_pool_init_cap int 0
pipe_pool_max_cap int 2000
pipe_pool_idle_time int 0
block_replication_concurrency_limit int 100
block_replication_chunk_size size 1048576
"""),
    *rows("worker.log", LOG),
    *rows("worker.compatibility", COMPATIBILITY),
    *rows("client", f"""
hostname text localhost
io_threads int 16
worker_threads int {max(16, CPUS)}
replicas int 1
block_size_str,block_size size 128MB
write_chunk_size_str,write_chunk_size,read_chunk_size_str,read_chunk_size size 128KB
write_chunk_num,read_chunk_num int 8
read_parallel int 1
read_slice_size_str,read_slice_size size 0
max_cache_block_handles int 10
short_circuit bool true
storage_type_str,storage_type text disk
ttl_ms_str,ttl_ms duration 0
ttl_action_str,ttl_action text none
auto_cache_enabled bool false
auto_cache_ttl,default_cache_ttl duration 7d
conn_retry_max_duration_ms duration 60000
conn_retry_min_sleep_ms,rpc_retry_min_sleep_ms duration 100
conn_retry_max_sleep_ms duration 2000
rpc_retry_max_duration_ms duration 120000
rpc_retry_max_sleep_ms duration 10000
rpc_close_idle bool true
conn_timeout_ms duration 30000
rpc_timeout_ms,data_timeout_ms,pipeline_timeout_ms duration 120000
master_conn_pool_size int 3
enable_read_ahead bool true
read_ahead_len_str,read_ahead_len size 0
drop_cache_len_str,drop_cache_len size 1MB
failed_worker_ttl_ms,failed_worker_ttl duration 600000
enable_unified_fs,enable_rust_read_ufs,audit_logging_enabled bool true
mount_update_ttl_ms,mount_update_ttl duration 10000
umask int 18
metric_report_enable bool true
clean_task_interval_ms,clean_task_interval duration 60000
close_timeout_secs seconds 5
sync_check_interval_min_ms,sync_check_interval_min duration 100
sync_check_interval_max_ms,sync_check_interval_max duration 1000
max_sync_wait_timeout_ms,max_sync_wait_timeout duration 300000
sync_check_log_tick int 3
enable_block_conn_pool bool true
block_conn_idle_size int 128
block_conn_idle_time_ms,block_conn_idle_time duration 60000
small_file_size_str,small_file_size size 4MB
enable_smart_prefetch bool true
large_file_size_str,large_file_size size 10GB
max_read_parallel int 8
sequential_read_threshold int 7
"""),
    *rows("fuse", f"""
debug,audit_logging_enabled bool false
metrics_enabled bool true
io_threads int 32
worker_threads int {max(32, CPUS)}
mnt_path text /curvine-fuse
fs_path text /
mnt_number int 1
tasks_per_mnt,mnt_per_task int 0
clone_fd bool true
fuse_channel_size,stream_channel_size int 0
fuse_opts list
readonly bool false
umask int 18
uid int {os.getuid()}
gid int {os.getgid()}
web_port int 9003
read_dir_fill_ino bool true
entry_timeout_ms,attr_timeout_ms duration 1000
negative_timeout_ms duration 0
remember bool false
max_background int 256
congestion_threshold int 192
enable_meta_cache bool false
meta_cache_timeout duration 60s
node_cache_timeout duration 1h
direct_io,open_direct_on_stale,write_back_cache,cache_readdir,non_seekable bool false
check_permission bool true
list_limit int 1000
enable_splice bool true
path_lock_stripes int 1024
"""),
    *rows("fuse.log", LOG),
    *rows("log", LOG),
]  # fmt: skip

KNOWN: dict[str, DocumentedKey] = {row.name: row for row in documented_keys()}


def declared(name: str) -> DocumentedKey:
    """The declaration of a name of the tables; aliases are other spellings of a key."""
    section, _, last = name.rpartition(".")
    for row in KNOWN.values():
        at, _, attr = row.name.rpartition(".")
        if at == section and last in row.key.spellings(attr):
            return row
    raise AssertionError(f"{name} is not known")


def amount(kind: str, text: str) -> object:
    """A default of the tables as the value that a process gets."""
    if kind == BOOL:
        return text == "true"
    if kind in {INT, SECONDS}:
        return int(text)
    if kind == FLOAT:
        return float(text)
    if kind == SIZE:
        return parse_size(text)
    if kind == DURATION:
        return parse_duration(text)
    return () if kind == LIST else text


WRITTEN = {
    BOOL: ("true", "false"),
    INT: ("1",),
    FLOAT: ("0.5",),
    SIZE: ('"2MB"', "2097152"),
    DURATION: ('"90s"', "90000"),
    SECONDS: ('"90s"', "90"),
    LIST: ("[]",),
}
VALUES = {
    BOOL: {"true": True, "false": False},
    INT: {"1": 1},
    FLOAT: {"0.5": 0.5},
    SIZE: dict.fromkeys(WRITTEN[SIZE], 2 << 20),
    DURATION: dict.fromkeys(WRITTEN[DURATION], 90_000),
    SECONDS: dict.fromkeys(WRITTEN[SECONDS], 90),
    LIST: {"[]": ()},
}


def value_of(conf: object, name: str) -> object:
    for part in name.split("."):
        conf = getattr(conf, part)
    return conf


@pytest.mark.parametrize(("name", "kind", "default"), KEYS, ids=[row[0] for row in KEYS])
def test_default(name: str, kind: str, default: str) -> None:
    row = declared(name)
    upstream = amount(kind, default)
    if row.key.why:
        theirs = row.key.upstream
        if isinstance(upstream, int) and isinstance(theirs, str):
            theirs = parse_duration(theirs)
        assert theirs == upstream, "the table of differing defaults tells Curvine's"
    else:
        assert row.key.value() == upstream


@pytest.mark.parametrize(("name", "kind", "default"), KEYS, ids=[row[0] for row in KEYS])
def test_type_and_unit(tmp_path: Path, name: str, kind: str, default: str) -> None:
    """Every way to write a value of that kind is understood, and nothing else."""
    section, _, last = name.rpartition(".")
    attribute = declared(name).name
    file = tmp_path / "c.toml"
    head = f"[{section}]\n" if section else ""
    for text in WRITTEN.get(kind, ()):
        file.write_text(f"{head}{last} = {text}\n")
        loaded = load(str(file), env={})
        assert value_of(loaded.conf, attribute) == VALUES[kind][text]
        assert [w for w in loaded.warnings if "unknown" in w] == []


UNUSED = ("master.rocksdb", "journal.rocksdb", "worker.spdk_disk", "transfer", "fault_injection")


@pytest.mark.parametrize("section", UNUSED)
def test_tables_without_effect_are_accepted(tmp_path: Path, section: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"[{section}]\nwhatever = 1\n")
    load(str(file), env={})


def test_addresses(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        "[journal]\njournal_addrs = [{id = 2, hostname = 'a', port = 1}]\n"
        "[client]\nmaster_addrs = [{hostname = 'b', port = 2}]\n"
        "metadata_operation_buckets = [1.5, 2]\n[fuse]\nmax_readahead_kb = 64\nstate_dir = '/s'\n"
    )
    conf = load(str(file), env={}).conf
    assert [(p.id, p.hostname, p.port) for p in conf.journal.journal_addrs] == [(2, "a", 1)]
    assert conf.client_master_addrs() == (("b", 2),)
    assert conf.fuse.max_readahead_kb == 64 and conf.fuse.state_dir == "/s"
    assert load(None, env={}).conf.fuse.max_readahead_kb is None
