# SPDX-License-Identifier: Apache-2.0
"""Keys of the servers: [master], [journal], [worker], [job].

Attribute = key of the file. Sizes are bytes, durations milliseconds. Keys whose help starts with
"No effect" are accepted so that a file of an existing Curvine cluster works unchanged. Source:
control-plane specification 8.3 to 8.7 and 8.10; our own keys say "Ours".
"""

from __future__ import annotations

from curvine.config.data_dir import DataDir, parse_data_dir
from curvine.config.keys import (
    Section,
    boolean,
    duration,
    ignored,
    integer,
    number,
    port,
    seconds,
    size,
    table,
    tables,
    text,
    texts,
)
from curvine.config.schema_shared import (
    NODE_NAME,
    CompatibilityConf,
    JournalPeer,
    LogConf,
    threads_at_least,
)

_LOOPBACK = "Nothing is reachable from outside until somebody says so"
_BIND = (
    "Ours. Address to listen on; empty = ORPC_BIND_HOSTNAME, else a hostname set in the file, "
    "else 127.0.0.1"
)


class MasterConf(Section, frozen=True, kw_only=True):
    """[master]: the namespace, block placement, worker liveness."""

    hostname: str = text("localhost", "Host name that clients and workers dial")
    bind_host: str = text("", _BIND, upstream="<hostname>", why=_LOOPBACK)
    rpc_port: int = port(8995, "RPC port")
    web_port: int = port(9001, "HTTP port (9000 up to Curvine 0.4.1)")
    io_threads: int = integer(32, "Threads for network I/O")
    worker_threads: int = integer(32, "Threads for the rest", **threads_at_least(32))
    actor_threads: int = integer(4, "Threads for heartbeats and reports")
    io_timeout: int = duration("10m", "Idle connections are closed after this")
    io_close_idle: bool = boolean(True, "Close idle connections")
    meta_request_concurrent: bool = boolean(True, "No effect: requests run one after another")
    meta_dir: str = text("", "Directory of the metadata; empty = meta under $CURVINE_HOME, else "
        "under the data directory of `cv up`", upstream="<cwd>/fs-meta",
        why="State does not depend on where a process was started")  # fmt: skip
    min_block_size: int = size("1MB", "Least block size")
    max_block_size: int = size("100GB", "Block sizes stay below this")
    min_replication: int = integer(1, "Least number of replicas")
    max_replication: int = integer(100, "Numbers of replicas stay below this")
    max_path_len: int = integer(8000, "Longest path", unit="bytes")
    max_path_depth: int = integer(1000, "Most components of a path")
    retry_cache_enable: bool = boolean(True, "Answer a repeated request id from memory")
    retry_cache_size: int = integer(100000, "Request ids remembered")
    retry_cache_ttl: int = duration("10m", "How long they are remembered")
    block_report_limit: int = integer(1000, "Blocks per message of a full report", least=1)
    worker_policy: str = text("local", "How workers are chosen for new blocks", choices=(
        "local", "robin", "random", "load_based", "weighted"))  # fmt: skip
    executor_threads: int = integer(10, "Threads for background work")
    executor_channel_size: int = integer(1000, "Background work that may wait")
    heartbeat_interval: int = duration("3s", "Workers report at this pace")
    worker_check_interval: int = duration("10s", "Pace of the liveness check")
    worker_blacklist_interval: int = duration("30s", "Silent for this long: no new blocks")
    worker_lost_interval: int = duration("10m", "Silent for this long: lost")
    audit_logging_enabled: bool = boolean(True, "Write one line per change of the namespace")
    audit_log: LogConf = table(LogConf, "Where the audit lines go")
    block_replication_enabled: bool = boolean(True, "Copy blocks that lost replicas",
        upstream=False, why="A lost worker must not silently cost redundancy")  # fmt: skip
    block_replication_concurrency_limit: int = integer(1000, "Copies at a time")
    block_replication_retry_interval: int = duration("5s", "Pause before a failed copy is retried")
    block_replication_per_worker: int = integer(8, "Ours. Copies at a time that one worker sends "
        "or receives", least=1)  # fmt: skip
    block_replication_rate: int = size("100MB", "Ours. Bytes per second that one worker sends or "
        "receives for copies; 0 = no limit")  # fmt: skip
    log: LogConf = table(LogConf, "The master's log")
    ttl_checker_retry_attempts: int = integer(3, "Tries per expired inode")
    ttl_checker_interval: int = duration("1m", "Pace of the search for expired inodes",
        upstream="1h", why="A time to live of minutes should mean minutes")  # fmt: skip
    ttl_bucket_interval: int = duration("1h", "Width of a bucket of expiry times")
    ttl_max_retry_duration: int = duration("10m", "An expiry is retried for this long")
    ttl_retry_interval: int = duration("1s", "Pause between tries")
    enable_quota_eviction: bool = boolean(False, "Evict when the cluster fills up")
    quota_eviction_mode: str = text("free", "What eviction does", choices=("free", "delete"))
    quota_eviction_policy: str = text("lru", "What goes first", choices=("lru", "lfu"))
    quota_eviction_high_rate: float = number(0.8, "Start above this share of the capacity")
    quota_eviction_low_rate: float = number(0.6, "Stop below this share")
    quota_eviction_scan_page: int = integer(2, "Pages per scan")
    quota_eviction_dry_run: bool = boolean(False, "Only log what would go")
    quota_eviction_capacity: int = integer(5000000, "Files tracked")
    lock_expire_time: int = duration("5m", "POSIX locks that nobody renews end after this")
    buffer_size: int = size("128KB", "Copy buffer")
    conn_limit: int = integer(8, "No effect", least=1)
    global_limit: int = integer(4096, "No effect", least=1)
    compatibility: CompatibilityConf = table(CompatibilityConf, "Peers of other versions")
    rocksdb: None = ignored("No effect: RocksDB settings of the Rust master")


class JournalConf(Section, frozen=True, kw_only=True):
    """[journal]: the log behind the metadata. Raft keys have no effect here."""

    sync: str = text("interval", "Ours. When the log reaches the medium: interval = every "
        "sync_interval, fsync = also before an fsync is answered, always = before every answer",
        choices=("interval", "fsync", "always"))  # fmt: skip
    sync_interval: int = duration("1s", "Ours. Longest time that power loss can take away")
    enable: bool = boolean(True, "No effect: there always is a log")
    group_name: str = text("raft-group", "No effect (Raft)")
    hostname: str = text("localhost", "Host name of this master in the group")
    rpc_port: int = port(8996, "Journal port")
    io_threads: int = integer(8, "No effect (Raft)")
    worker_threads: int = integer(8, "No effect (Raft)")
    message_size: int = integer(200, "No effect (Raft)")
    journal_addrs: tuple[JournalPeer, ...] = tables(
        JournalPeer, "All masters; clients without client.master_addrs dial them at master.rpc_port"
    )
    journal_dir: str = text("", "Directory of the journal; empty = journal beside meta_dir",
        upstream="testing/journal-<random>",
        why="A journal at a random place is no journal")  # fmt: skip
    metadata_delta_log_capacity: int = integer(100000, "Changes kept for delta readers; 0 = none")
    writer_channel_size: int = integer(0, "No effect (Raft)")
    writer_flush_batch_size: int = integer(1000, "No effect (Raft)")
    writer_flush_batch_ms: int = duration("10ms", "No effect (Raft)")
    snapshot_interval: int = duration("6h", "Pace of snapshots")
    snapshot_entries: int = integer(1000000, "Entries after which a snapshot is made")
    snapshot_read_chunk_size: int = size("1MB", "No effect (Raft)")
    conn_retry_max_duration_ms: int = duration("0", "No effect (Raft)")
    conn_retry_min_sleep_ms: int = duration("10s", "No effect (Raft)")
    conn_retry_max_sleep_ms: int = duration("10s", "No effect (Raft)")
    rpc_close_idle: bool = boolean(False, "No effect (Raft)")
    rpc_retry_max_duration_ms: int = duration("60s", "No effect (Raft)")
    rpc_retry_min_sleep_ms: int = duration("20s", "No effect (Raft)")
    rpc_retry_max_sleep_ms: int = duration("20s", "No effect (Raft)")
    conn_timeout_ms: int = duration("30s", "No effect (Raft)")
    io_timeout_ms: int = duration("60s", "No effect (Raft)")
    conn_size: int = integer(1, "No effect (Raft)")
    raft_tick_interval_ms: int = duration("1s", "No effect (Raft)")
    raft_election_tick: int = integer(10, "No effect (Raft)")
    raft_heartbeat_tick: int = integer(3, "No effect (Raft)")
    raft_min_election_ticks: int = integer(10, "No effect (Raft)")
    raft_max_election_ticks: int = integer(30, "No effect (Raft)")
    raft_check_quorum: bool = boolean(True, "No effect (Raft)")
    raft_max_size_per_msg: int = size("1MB", "No effect (Raft)")
    raft_max_inflight_msgs: int = integer(256, "No effect (Raft)")
    raft_max_committed_size_per_ready: int = size("16MB", "No effect (Raft)")
    raft_batch_size: int = integer(8, "No effect (Raft)")
    raft_retry_cache_size: int = integer(100000, "No effect (Raft)")
    raft_retry_cache_ttl: int = duration("10m", "No effect (Raft)")
    retain_checkpoint_num: int = integer(3, "Snapshots kept")
    ignore_reply_error: bool = boolean(False, "No effect (Raft)")
    max_retry_num: int = integer(1000, "No effect (Raft)")
    skip_failed_ufs_replay_after_retry: bool = boolean(True, "No effect (Raft)")
    scan_batch_size: int = integer(1000, "Entries per scan of the journal")
    retry_interval_secs: int = seconds(10, "No effect (Raft)")
    ufs_copy_timeout: int = duration("20m", "Longest copy to an under storage")
    rocksdb: None = ignored("No effect: RocksDB settings of the Rust master")


class WorkerConf(Section, frozen=True, kw_only=True):
    """[worker]: block storage."""

    hostname: str = text("", "Reported to the master; clients dial it", **NODE_NAME,
        upstream="localhost", why="The same name on every node says nothing")  # fmt: skip
    bind_host: str = text("", _BIND, upstream="<hostname>", why=_LOOPBACK)
    weight: int = integer(1, "Share of new blocks under worker_policy weighted; 0 = none",
        most=0xFFFFFFFF)  # fmt: skip
    rpc_port: int = port(8997, "RPC port")
    web_port: int = port(9002, "HTTP port (9001 up to Curvine 0.4.1)")
    dir_reserved: int = size("0", "Kept free in every directory")
    data_dir: tuple[str, ...] = texts(
        (), "Storage directories: /d, [SSD]/d, [20GB]/d, [MEM:10GB]/d"
    )
    io_slow_threshold: int = duration("300ms", "I/O that takes longer is logged")
    io_threads: int = integer(32, "Threads for block I/O")
    worker_threads: int = integer(32, "Threads for the rest", **threads_at_least(32))
    io_timeout: int = duration("10m", "Idle limit of connections and block sessions")
    io_close_idle: bool = boolean(False, "Close idle connections")
    unfinished_idle_time: int = duration(
        "24h", "Ours. Unfinished blocks that no client goes on with are given up after this"
    )
    checksum: bool = boolean(
        True, "Ours. Keep CRC-32C sums of blocks; a block is compared with them before it is first "
        "served after a start"
    )  # fmt: skip
    checksum_patience: int = duration("1s", "Ours. A client that wants a block's file waits this "
        "long for its check; then it is sent bytes, each checked before")  # fmt: skip
    scrub_rate: int = size(
        "32MB", "Ours. Blocks are compared with their sums in the background, this many bytes per "
        "second at most; 0 = never"
    )  # fmt: skip
    scrub_interval: int = duration("7d", "Ours. Every block is compared this often")
    quarantine_time: int = duration("7d", "Ours. Damaged blocks are kept aside for this long")
    tier_interval: int = duration("5s", "Ours. Looks at what should be moved between tiers")
    tier_promote_opens: int = integer(
        3, "Ours. A block opened this often lately moves to a faster tier; 0 = never"
    )
    tier_half_life: int = duration("10m", "Ours. After this time an open counts half")
    tier_high_water: float = number(
        0.9, "Ours. A directory filled above this part gives cold blocks to slower tiers"
    )
    tier_low_water: float = number(0.8, "Ours. ... until it is filled up to here")
    tier_move_rate: int = size(
        "64MB", "Ours. Blocks move between tiers with this many bytes per second at most; 0 = never"
    )
    tier_promote_to_memory: bool = boolean(
        False, "Ours. Hot blocks move to [MEM] directories, too; what was synced is then lost by a "
        "power failure"
    )  # fmt: skip
    scheduler_threads: int = integer(2, "Threads for tasks")
    log: LogConf = table(LogConf, "The worker's log")
    executor_threads: int = integer(10, "Threads for background work")
    executor_channel_size: int = integer(1000, "Background work that may wait")
    enable_splice: bool = boolean(False, "No effect: chosen by measurement")
    enable_send_file: bool = boolean(True, "Send blocks with sendfile")
    pipe_buf_size: int = size("64KB", "No effect")
    pipe_pool_init_cap: int = integer(0, "No effect")
    pipe_pool_max_cap: int = integer(2000, "No effect")
    pipe_pool_idle_time: int = integer(0, "No effect")
    block_replication_concurrency_limit: int = integer(100, "Copies at a time")
    block_replication_chunk_size: int = size("1MB", "Bytes per message of a copy")
    block_replication_rate: int = size(
        "100MB", "Ours. Bytes per second sent for copies; 0 = no limit"
    )
    spdk_disk: None = ignored("No effect: SPDK is not supported")
    compatibility: CompatibilityConf = table(CompatibilityConf, "Peers of other versions")

    def data_dirs(self) -> tuple[DataDir, ...]:
        """``data_dir``, parsed (load() has checked every entry)."""
        return tuple(parse_data_dir(entry) for entry in self.data_dir)


class JobConf(Section, frozen=True, kw_only=True):
    """[job]: load and export jobs. Long names end in _str."""

    job_life_ttl: int = duration("24h", "A job is forgotten after this")
    job_cleanup_ttl: int = duration("10m", "Pace of forgetting")
    terminal_retention: int = duration("10m", "Ended jobs are shown this long")
    job_max_files: int = integer(100000, "Most files of one job")
    master_max_concurrent_load_jobs: int = integer(16, "Jobs running at a time", least=1)
    master_max_background_load_jobs: int = integer(1024, "Automatic jobs kept", least=1)
    master_max_pending_load_job_submits: int = integer(4096, "Submits that may wait", least=1)
    master_load_job_runtime_threads: int = integer(4, "No effect: one loop", least=1)
    master_load_job_blocking_threads: int = integer(16, "Threads listing under storage", least=1)
    master_failed_load_job_retry_interval: int = duration(
        "30s", "Pause before a failed automatic load is tried again"
    )
    task_timeout: int = duration("1h", "Longest task")
    task_report_interval: int = duration("10s", "Pace of a task's reports")
    worker_max_concurrent_tasks: int = integer(100, "Tasks at a time on a worker", least=1)
