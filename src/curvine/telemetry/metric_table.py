# SPDX-License-Identifier: Apache-2.0
"""Every metric of every process, once: name, kind, labels, help (control-plane specification 7.5).

The pages, docs/metrics.md and the tests are derived from here. Names are Curvine's, so that its
dashboards work; what is ours says so. ``absent`` names a metric of Curvine's that describes
something which does not exist here; it is not exported, since a made-up zero would be a lie.
Master and worker share bare names such as ``capacity``: scrape them as separate jobs.
"""

from __future__ import annotations

from curvine.telemetry.metrics import COUNTER, GAUGE, HISTOGRAM, Metric

_NO_RAFT = "no Raft group: one active master writes its own log"
_NO_LOCK = "no such lock: one loop owns the blocks"

PROCESS = (
    Metric("process_cpu_seconds_total", COUNTER, "User and system CPU time, seconds"),
    Metric("process_max_fds", GAUGE, "Limit of open file descriptors"),
    Metric("process_open_fds", GAUGE, "Open file descriptors"),
    Metric("process_resident_memory_bytes", GAUGE, "Resident memory"),
    Metric("process_start_time_seconds", GAUGE, "Start, seconds since the Unix epoch"),
    Metric("process_threads", GAUGE, "Threads of the interpreter"),
    Metric("process_virtual_memory_bytes", GAUGE, "Virtual memory"),
)

MASTER = (
    Metric("rpc_request_total_count", COUNTER, "RPC requests answered, errors included"),
    Metric("rpc_request_time", COUNTER, "Time spent on RPC requests, microseconds"),
    Metric("rpc_request_error_count", COUNTER, "Ours. RPC requests answered with an error",
        ("operation",)),
    Metric("operation_duration", HISTOGRAM, "RPC duration, microseconds; heartbeats excluded",
        ("operation",)),
    Metric("master_active_connections", GAUGE, "RPC connections"),
    Metric("capacity", GAUGE, "Capacity of registered workers, bytes"),
    Metric("available", GAUGE, "Free space of registered workers, bytes"),
    Metric("fs_used", GAUGE, "Space used by blocks on registered workers, bytes"),
    Metric("allocatable_capacity", GAUGE, "Capacity of workers that get new blocks, bytes"),
    Metric("allocatable_available", GAUGE, "Free space of workers that get new blocks, bytes"),
    Metric("num_blocks", GAUGE, "Blocks on registered workers, every replica counted"),
    Metric("blocks_size_avg", GAUGE, "Average size of these blocks, bytes"),
    Metric("worker_num", GAUGE, "Workers by status: live, blacklist, decommission, lost",
        ("tag",)),
    Metric("inode_dir_num", GAUGE, "Directories, without the root"),
    Metric("inode_file_num", GAUGE, "Files, links and special files"),
    Metric("journal_queue_len", GAUGE, "Changes in the log that are not on the medium yet"),
    Metric("journal_flush_count", COUNTER, "fsyncs of the log"),
    Metric("journal_flush_time", COUNTER, "Time of these fsyncs, microseconds"),
    Metric("journal_committed", GAUGE, "Number of the last change in the log"),
    Metric("journal_applied", GAUGE, "Number of the last change that readers see"),
    Metric("journal_term", GAUGE, "Raft term", absent=_NO_RAFT),
    Metric("journal_ufs_applied", GAUGE, "Last change carried to the under storage",
        absent="changes of the under storage are made by clients and load tasks"),
    Metric("rocksdb_metrics", GAUGE, "Memory of the metadata store by use, bytes", ("tag",)),
    Metric("used_memory_bytes", GAUGE, "Resident memory"),
    Metric("fs_dir_probe_acquire_us", GAUGE,
        "How late the loop ran the last probe, microseconds"),
    Metric("fs_dir_stalled", GAUGE, "1 while the loop's last probe came over 1 s late"),
    Metric("fs_dir_stall_total", COUNTER, "Probes that came over 1 s late"),
    Metric("replication_staging_number", GAUGE, "Blocks waiting to be copied"),
    Metric("replication_inflight_number", GAUGE, "Blocks being copied"),
    Metric("replication_failure_count", COUNTER, "Copies that failed"),
    Metric("replication_blocks_copied", COUNTER, "Ours. Blocks copied to restore replicas"),
    Metric("replication_bytes_copied", COUNTER, "Ours. Bytes of these"),
    Metric("replication_replicas_trimmed", COUNTER, "Ours. Replicas removed as surplus"),
    Metric("eviction_lru_cache_size", GAUGE, "Files tracked for eviction"),
    Metric("eviction_trigger_count", COUNTER, "Times that eviction began"),
    Metric("eviction_files_deleted", COUNTER, "Files evicted"),
    Metric("eviction_bytes_freed", COUNTER, "Bytes freed by eviction"),
    Metric("ttl_bucket_len", GAUGE, "Buckets of expiry times"),
    Metric("ttl_total_inodes", GAUGE, "Inodes with a time to live"),
    Metric("ttl_skipped_inodes", COUNTER, "Expired inodes that could not be expired"),
    Metric("compat_worker_verdict", GAUGE, "1 for what was found of a worker's release",
        ("worker_id", "verdict")),
    Metric("compat_client_verdict", GAUGE, "What was found of a client's release",
        ("client_addr", "verdict"), absent="clients are not judged by their release"),
    Metric("compat_enforce_rejected_total", COUNTER, "Peers refused because of their release",
        ("component", "verdict"), absent="the master refuses nobody because of a release"),
    Metric("load_jobs", GAUGE, "Ours. Load and export jobs that have not ended"),
    Metric("exports_waiting", GAUGE, "Ours. Changes that under storages have not got yet"),
    Metric("exports_failing", GAUGE, "Ours. Those of them whose last attempt failed"),
    Metric("exports_done", COUNTER, "Ours. Changes exported"),
    Metric("exports_bytes", COUNTER, "Ours. Bytes of exported files"),
    Metric("exports_failures", COUNTER, "Ours. Attempts to export that failed"),
    *PROCESS,
)  # fmt: skip

WORKER = (
    Metric("write_bytes", COUNTER, "Bytes received for blocks"),
    Metric("write_time_us", COUNTER, "Time of writing them, microseconds"),
    Metric("write_count", COUNTER, "Pieces written"),
    Metric("write_blocks", COUNTER, "Blocks opened for writing; local: written by the client",
        ("type",)),
    Metric("read_bytes", COUNTER, "Bytes of blocks sent"),
    Metric("read_time_us", COUNTER, "Time of preparing them, microseconds; the kernel sends them"),
    Metric("read_count", COUNTER, "Pieces sent"),
    Metric("read_blocks", COUNTER, "Blocks opened for reading; local: read by the client",
        ("type",)),
    Metric("block_store_stripe_lock_wait_us", HISTOGRAM, "Waiting for a stripe lock",
        ("operation",), absent=_NO_LOCK),
    Metric("block_dataset_write_lock_wait_us", HISTOGRAM, "Waiting for the dataset lock",
        ("operation",), absent=_NO_LOCK),
    Metric("block_dataset_write_lock_hold_us", HISTOGRAM, "Holding the dataset lock",
        ("operation",), absent=_NO_LOCK),
    Metric("file_layout_operation_us", HISTOGRAM,
        "Opening (open) and publishing (finalize) a written block, microseconds", ("operation",)),
    Metric("capacity", GAUGE, "Capacity of the storage directories, bytes"),
    Metric("available", GAUGE, "Free space of the storage directories, bytes"),
    Metric("fs_used", GAUGE, "Space used by blocks, bytes"),
    Metric("failed_disks", GAUGE, "Storage directories that do not work"),
    Metric("total_disks", GAUGE, "Storage directories"),
    Metric("num_blocks", GAUGE, "Blocks"),
    Metric("num_blocks_to_delete", GAUGE, "Blocks that the master wants deleted"),
    Metric("used_memory_bytes", GAUGE, "Resident memory"),
    Metric("worker_active_connections", GAUGE, "Ours. Connections"),
    Metric("worker_verified_bytes", COUNTER,
        "Ours. Bytes compared with their sums before they were served"),
    Metric("worker_scrubbed_bytes", COUNTER, "Ours. Bytes compared in the background"),
    Metric("worker_summed_blocks", COUNTER, "Ours. Blocks that got their sums in the background"),
    Metric("worker_unsummed_blocks", GAUGE, "Ours. Blocks that wait for that"),
    Metric("worker_promoted_blocks", COUNTER, "Ours. Blocks moved to a faster tier"),
    Metric("worker_demoted_blocks", COUNTER, "Ours. Blocks moved to a slower tier"),
    Metric("worker_moved_bytes", COUNTER, "Ours. Bytes of both"),
    Metric("worker_corrupt_blocks", COUNTER, "Ours. Blocks found damaged"),
    Metric("worker_set_aside_blocks", GAUGE, "Ours. Damaged blocks that were not replaced here"),
    Metric("worker_oldest_check_seconds", GAUGE,
        "Ours. No block has gone without a check for longer"),
    Metric("worker_registered", GAUGE, "Ours. 1 while the master hears our heartbeats"),
    *PROCESS,
)  # fmt: skip

CLIENT = (
    Metric("client_mount_cache_hits", COUNTER, "Reads that found a valid cached copy", ("id",)),
    Metric("client_mount_cache_misses", COUNTER, "Reads that went to the under storage", ("id",)),
    Metric("client_async_cache_admission_skipped", COUNTER, "Automatic loads not asked for",
        ("reason",)),
    Metric("client_metadata_operation_duration", HISTOGRAM,
        "Calls to the master, microseconds", ("operation",)),
    Metric("client_write_bytes", COUNTER, "Bytes written"),
    Metric("client_write_time_us", COUNTER, "Time of writing them, microseconds"),
    Metric("client_read_bytes", COUNTER, "Bytes read"),
    Metric("client_read_time_us", COUNTER, "Time of reading them, microseconds"),
    Metric("client_block_idle_conn", GAUGE, "Idle connections to workers"),
)  # fmt: skip

FUSE = (
    Metric("curvine_fuse_requests_total", COUNTER, "Requests of the kernel",
        ("kind", "opcode", "status")),
    Metric("curvine_fuse_request_duration_us", HISTOGRAM,
        "From reading a request to its reply, microseconds", ("kind", "opcode", "status")),
    Metric("curvine_fuse_errors_total", COUNTER, "Requests answered with an error",
        ("errno", "kind", "opcode")),
    Metric("curvine_fuse_active_requests", GAUGE, "Requests that wait for something"),
    Metric("curvine_fuse_io_bytes_total", COUNTER,
        "Bytes of READ and WRITE; passthrough reads never come here. local: from a block's file",
        ("io_type", "path_type", "status")),
    Metric("curvine_fuse_inode_count", GAUGE, "Nodes that the kernel knows"),
    Metric("curvine_fuse_file_handle_count", GAUGE, "Open files"),
    Metric("curvine_fuse_dir_handle_count", GAUGE, "Open directories"),
    Metric("inode_num", GAUGE, "The same as curvine_fuse_inode_count"),
    Metric("file_handle_num", GAUGE, "The same as curvine_fuse_file_handle_count"),
    Metric("dir_handle_num", GAUGE, "The same as curvine_fuse_dir_handle_count"),
    Metric("curvine_fuse_server_restarts", GAUGE,
        "Ours. Servers of this mount that died and were replaced"),
    Metric("curvine_fuse_passthrough", GAUGE, "Ours. 1 while reads may bypass this process"),
    Metric("curvine_fuse_opens_total", COUNTER, "Ours. Opened files by what serves their reads: "
        "passthrough, local, remote, source (the under storage); written: being written",
        ("served_by",)),
    Metric("curvine_fuse_locks", GAUGE, "Ours. File locks that this mount holds"),
    Metric("curvine_fuse_memory_limit_bytes", GAUGE, "Ours. Memory budget, 0 = none"),
    Metric("fuse_used_memory_bytes", GAUGE, "Resident memory"),
    *CLIENT,
    *PROCESS,
)  # fmt: skip

# Page of docs/metrics.md: heading, what it says first, rows.
S3_GATEWAY = (
    Metric(
        "s3_requests_total",
        COUNTER,
        "Ours. Requests answered, by kind of status",
        ("operation", "status"),
    ),
    Metric(
        "s3_request_duration_us",
        HISTOGRAM,
        "Ours. Time until an answer begins, microseconds",
        ("operation",),
    ),
    Metric("s3_connections", GAUGE, "Ours. Open connections"),
    *PROCESS,
)

PAGES = (
    ("Master", "`http://HOST:master.web_port/metrics`; counters that clients report to the master "
        "are appended under the names that they give.", MASTER),
    ("Worker", "`http://HOST:worker.web_port/metrics`.", WORKER),
    ("FUSE mount", "`http://HOST:fuse.web_port/metrics` of every mount.", FUSE),
    ("S3 gateway", "`http://<s3_gateway.listen>/metrics`, of the process that answers.",
        S3_GATEWAY),
)  # fmt: skip
