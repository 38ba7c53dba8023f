# SPDX-License-Identifier: Apache-2.0
"""Keys of the doors: [client], [fuse], [s3_gateway], [cli].

Attribute = key of the file; where Curvine's key ends in ``_str`` the attribute is the short name.
Sizes are bytes, durations milliseconds. Source: control-plane specification 8.8 to 8.10,
data-plane specification 6.4 and 7; our own keys say "Ours".
"""

from __future__ import annotations

import os

from curvine.config.keys import (
    Section,
    auto_duration,
    boolean,
    duration,
    floats,
    integer,
    mapping,
    number,
    optional_integer,
    port,
    seconds,
    size,
    table,
    tables,
    text,
    texts,
    umask,
)
from curvine.config.schema_shared import (
    NODE_NAME,
    Endpoint,
    LogConf,
    parse_endpoints,
    threads_at_least,
)


class ClientConf(Section, frozen=True, kw_only=True):
    """[client]: every process that talks to a cluster, `cv` and FUSE included."""

    master_addrs: tuple[Endpoint, ...] = tables(Endpoint, "Masters; empty = the journal's hosts "
        "at master.rpc_port. Also as text: h:p,h:p", parse=parse_endpoints)  # fmt: skip
    hostname: str = text("", "Name of this node in requests", **NODE_NAME,
        upstream="localhost", why="The same name on every node says nothing")  # fmt: skip
    io_threads: int = integer(16, "Threads for big and cold I/O")
    worker_threads: int = integer(16, "Threads for the rest", **threads_at_least(16))
    replicas: int = integer(1, "Replicas of new files", least=1)
    block_size: int = size("128MB", "Block size of new files")
    write_chunk_size: int = size("128KB", "Bytes per write message")
    write_chunk_num: int = integer(8, "Write messages under way per block", least=1)
    read_chunk_size: int = size("128KB", "Bytes per read message")
    read_chunk_num: int = integer(8, "Read messages under way per block", least=1)
    read_parallel: int = integer(1, "Parallel streams of one reader", least=1)
    read_slice_size: int = size("0", "Bytes per stream; 0 = chunk x num")
    max_cache_block_handles: int = integer(10, "Open blocks kept per reader")
    short_circuit: bool = boolean(True, "Read blocks of this node's worker from its files")
    node_cache_dir: str = text("", "Ours. Directory that keeps what was read from other nodes, "
        "shared by all its processes; for nodes without a worker. Empty = none")  # fmt: skip
    node_cache_size: int = size("10GB", "Ours. Bytes in it")
    storage_type: str = text("disk", "Medium of new files", aliases=("storage_type_str",),
        choices=("mem", "ssd", "hdd", "ufs", "disk", "spdk_disk"))  # fmt: skip
    ttl_ms: int = duration("0", "Time to live of new files; 0 = none")
    ttl_action: str = text("none", "What happens when it is over", aliases=("ttl_action_str",),
        choices=("none", "delete", "free"))  # fmt: skip
    auto_cache_enabled: bool = boolean(False, "Default of automatic caching for new mounts")
    auto_cache_ttl: int = duration("7d", "Time to live of what was cached automatically")
    default_cache_ttl: int = duration("7d", "Time to live of what was loaded")
    conn_retry_max_duration_ms: int = duration("60s", "Connecting, and a first mount's "
        "wait for a master: give up")  # fmt: skip
    conn_retry_min_sleep_ms: int = duration("100ms", "Connecting: first pause")
    conn_retry_max_sleep_ms: int = duration("2s", "Connecting: longest pause")
    rpc_retry_max_duration_ms: int = duration("120s", "Calls: give up")
    rpc_retry_min_sleep_ms: int = duration("100ms", "Calls: first pause")
    rpc_retry_max_sleep_ms: int = duration("10s", "Calls: longest pause")
    rpc_close_idle: bool = boolean(True, "Close idle connections")
    conn_timeout_ms: int = duration("30s", "One attempt to connect")
    rpc_timeout_ms: int = duration("120s", "One call to the master")
    data_timeout_ms: int = duration("120s", "One message of a block stream")
    pipeline_timeout_ms: int = duration("120s", "A chain of replicas")
    master_conn_pool_size: int = integer(3, "Connections per master", least=1)
    enable_read_ahead: bool = boolean(True, "Ask the kernel to read blocks ahead")
    read_ahead_len: int = size("0", "Read-ahead; 0 = chunk x num")
    drop_cache_len: int = size("1MB", "Drop pages behind a long sequential read")
    failed_worker_ttl_ms: int = duration(
        "10m", "Longest time that a failed worker is avoided; at first 1 s, then ever longer"
    )
    enable_unified_fs: bool = boolean(True, "Serve mounted under storage in the namespace")
    enable_rust_read_ufs: bool = boolean(True, "Read under storage directly on a miss")
    audit_logging_enabled: bool = boolean(True, "Write one line per operation")
    mount_update_ttl_ms: int = duration("10s", "The mount table is kept")
    umask: int = umask(0o022, "Mask for modes of new files")
    metric_report_enable: bool = boolean(True, "Report metrics to the master")
    clean_task_interval_ms: int = duration("60s", "Pace of clean-up and reports")
    close_timeout_secs: int = seconds(5, "Longest clean-up at exit")
    metadata_operation_buckets: tuple[float, ...] = floats(
        (10, 50, 100, 500, 1000, 5000, 10000, 50000, 100000), "Histogram buckets", unit="us"
    )
    sync_check_interval_min_ms: int = duration("100ms", "Waiting for a load: first pause")
    sync_check_interval_max_ms: int = duration("1s", "Waiting for a load: longest pause")
    max_sync_wait_timeout_ms: int = duration("5m", "Waiting for a load")
    sync_check_log_tick: int = integer(3, "Log every so many checks", least=1)
    enable_block_conn_pool: bool = boolean(True, "Keep connections to workers")
    block_conn_idle_size: int = integer(128, "Idle connections kept")
    block_conn_idle_time_ms: int = duration("60s", "An idle connection is kept")
    small_file_size: int = size("4MB", "Files up to this are read in one go")
    enable_smart_prefetch: bool = boolean(True, "Prefetch sequential readers")
    large_file_size: int = size("10GB", "Above this several streams are used")
    max_read_parallel: int = integer(8, "Most parallel streams", least=1)
    sequential_read_threshold: int = integer(7, "Reads in sequence that count as sequential")


_AUTO = "Long where the master announces changes, short where it cannot"


class FuseMount(Section, frozen=True, kw_only=True):
    """[[fuse.mounts]]: one directory of a mount that shows several places or clusters. Ours."""

    path: str = text("/", "Where it appears below mnt_path; / is the root, others shadow it")
    fs_path: str = text("/", "Which Curvine path is shown there")
    master_addrs: tuple[Endpoint, ...] = tables(
        Endpoint, "Masters of its cluster; empty = [client]'s", parse=parse_endpoints
    )
    read_only: bool = boolean(False, "Refuse changes")
    cluster_id: str = text("", "Its cluster; empty = the one of this file")
    token_file: str = text("", "File with its cluster's token; empty = [auth]'s")
    options: dict[str, str] = mapping("Keys of [client] for this place, as client.<key> = text")


class FuseConf(Section, frozen=True, kw_only=True):
    """[fuse]: the mount."""

    debug: bool = boolean(False, "Log every request")
    audit_logging_enabled: bool = boolean(False, "Write one line per operation")
    metrics_enabled: bool = boolean(True, "Serve /metrics at web_port")
    bind_host: str = text("", "Ours. Address of web_port; empty = ORPC_BIND_HOSTNAME, else "
        "127.0.0.1", upstream="0.0.0.0",
        why="Nothing is reachable from outside until somebody says so")  # fmt: skip
    io_threads: int = integer(32, "Threads that serve big and cold I/O")
    worker_threads: int = integer(32, "Background threads: read-ahead, loads",
        **threads_at_least(32))  # fmt: skip
    mnt_path: str = text("/curvine-fuse", "Directory of the mount")
    fs_path: str = text("/", "Curvine path shown there; empty = none yet (mounts come later)")
    mounts: tuple[FuseMount, ...] = tables(
        FuseMount, "Ours. Several places in one mount; fs_path is then unused"
    )
    mnt_number: int = integer(1, "Mounts; above 1 they are mnt_path/mnt-0 and on", least=1)
    tasks_per_mnt: int = integer(0, "No effect: one loop", aliases=("mnt_per_task",))
    clone_fd: bool = boolean(True, "Several descriptors of /dev/fuse")
    fuse_channel_size: int = integer(0, "No effect")
    stream_channel_size: int = integer(0, "No effect")
    fuse_opts: tuple[str, ...] = texts((), "ro, nodev, nosuid, noexec, noatime, sync, dirsync, "
        "allow_other, default_permissions, big_write and their opposites")  # fmt: skip
    readonly: bool = boolean(False, "Mount read-only")
    umask: int = umask(0o022, "Mask for modes of new files")
    uid: int = integer(
        0, "Owner of what has no known owner", factory=os.getuid, says="who starts it"
    )
    gid: int = integer(
        0, "Group of what has no known group", factory=os.getgid, says="who starts it"
    )
    web_port: int = port(9003, "HTTP port (9002 up to Curvine 0.4.1)")
    read_dir_fill_ino: bool = boolean(True, "Inode numbers in directory listings")
    entry_timeout_ms: int | None = auto_duration("Names stay in the kernel's cache",
        upstream=1000, why=_AUTO)  # fmt: skip
    attr_timeout_ms: int | None = auto_duration("Attributes stay in the kernel's cache",
        upstream=1000, why=_AUTO)  # fmt: skip
    negative_timeout_ms: int | None = auto_duration("Missing names stay in the kernel's cache",
        upstream=0, why=_AUTO)  # fmt: skip
    coherence: str = text(
        "push",
        "Ours. push: the kernel believes for long, and is told what others "
        "change; timeouts: only the times above count",
        choices=("push", "timeouts"),
    )
    remember: bool = boolean(False, "Keep nodes that the kernel has forgotten")
    max_background: int = integer(256, "Background requests", most=65535)
    congestion_threshold: int = integer(192, "Background requests that count as many", most=65535)
    enable_meta_cache: bool = boolean(False, "Cache attributes in the process too")
    meta_cache_timeout: int = duration("60s", "How long", aliases=("meta_cache_ttl",))
    node_cache_timeout: int = duration("1h", "Unused nodes are kept")
    direct_io: bool = boolean(False, "Bypass the page cache")
    open_direct_on_stale: bool = boolean(False, "Bypass it for files that changed")
    write_back_cache: bool = boolean(False, "Let the kernel collect writes (not with direct_io)",
        aliases=("enable_write_back",))  # fmt: skip
    cache_readdir: bool = boolean(False, "Let the kernel cache listings")
    non_seekable: bool = boolean(False, "Open files as streams")
    check_permission: bool = boolean(True, "Check modes and owners")
    state_dir: str = text("", "Directory of state files; empty = the system's temporary one")
    max_readahead_kb: int | None = optional_integer("Read-ahead of the mount (kB); unset = chosen")
    list_limit: int = integer(1000, "Entries per listing call", least=1)
    enable_splice: bool = boolean(True, "Answer reads by splice where that pays")
    read_path: str = text("auto", "Ours. How local reads are served", choices=(
        "auto", "passthrough", "no_open", "splice", "copy"))  # fmt: skip
    path_lock_stripes: int = integer(1024, "No effect: one loop")
    memory_limit: int = size("0", "Ours. Memory the mount may use; 0 = 80 % of its cgroup's limit, "
        "where it has one")  # fmt: skip
    slow_operation: int = duration("1s", "Ours. Requests that take longer are logged; 0 = none")
    log: LogConf = table(LogConf, "The mount's log")


class S3GatewayConf(Section, frozen=True, kw_only=True):
    """[s3_gateway]: the S3 door."""

    listen: str = text("127.0.0.1:9900", "Address and port", upstream="0.0.0.0:9900",
        why="Nothing is reachable from outside until somebody says so")  # fmt: skip
    region: str = text("us-east-1", "Region named in signatures")
    put_temp_dir: str = text("/tmp/curvine-temp", "No effect: uploads stream into the cluster")
    put_memory_buffer_threshold: int = size("1MB", "No effect: uploads stream in bounded memory")
    put_max_memory_buffer: int = size("16MB", "No effect: uploads stream in bounded memory")
    get_chunk_size_mb: float = number(
        1.0, "Bytes read at a time where no local worker holds the block", unit="MB"
    )
    enable_distributed_auth: bool = boolean(False, "Keep credentials inside Curvine")
    credentials_path: str = text("", "Credentials file; empty = ~/.curvine/credentials.jsonl")
    cache_refresh_interval_secs: int = seconds(30, "Pace of re-reading credentials")
    credentials_key_file: str = text(
        "",
        "Ours. Key that encrypts the credentials; empty = credentials_path + .key, or "
        "~/.curvine/credentials.key when they are kept inside Curvine",
    )
    domains: tuple[str, ...] = texts(
        (), "Ours. Names before which a bucket may stand in the Host header, besides localhost"
    )
    processes: int = integer(1, "Ours. Processes that share the port", least=1, most=256)
    upload_expiry: int = duration("7d", "Ours. Unfinished uploads are thrown away after this")


class CliConf(Section, frozen=True, kw_only=True):
    """[cli]: the `cv` command."""

    log: LogConf = table(LogConf, "The command's log (level warn unless set)")
