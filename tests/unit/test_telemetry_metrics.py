# SPDX-License-Identifier: Apache-2.0
"""Metrics: one table, text that Prometheus' own parser reads, and a price per duration."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from curvine.telemetry import metrics_page
from curvine.telemetry.metric_table import FUSE, MASTER, PAGES, WORKER
from curvine.telemetry.metrics import (
    BOUNDS_US,
    COUNTER,
    GAUGE,
    HISTOGRAM,
    Durations,
    Metric,
    Registry,
    counters_of_others,
    show_process,
)

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
TABLE = (
    Metric("hits", COUNTER, "Hits, with a \\ and a\nline", ("who",)),
    Metric("level", GAUGE, "A level"),
    Metric("took", HISTOGRAM, "Durations", ("operation",)),
    Metric("nothing", GAUGE, "Elsewhere", absent="does not exist here"),
)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the parser found; it calls every counter NAME_total."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_text_is_what_prometheus_reads() -> None:
    registry = Registry(TABLE)
    registry.counter("hits", 'a "b"\\\n').add(3)
    registry.gauge("level").set(math.inf)
    took = registry.durations("took", "Mkdir")
    for seconds in (0.000_005, 0.000_010, 0.000_3, 2.0):
        took.add(seconds)
    found = samples(registry.text())
    assert found["hits_total", (("who", 'a "b"\\\n'),)] == 3
    assert found["level", ()] == math.inf
    label = ("operation", "Mkdir")
    assert found["took_bucket", (("le", "10"), label)] == 2
    assert found["took_bucket", (("le", "250"), label)] == 2
    assert found["took_bucket", (("le", "500"), label)] == 3
    assert found["took_bucket", (("le", "+Inf"), label)] == 4
    assert found["took_count", (label,)] == 4
    assert found["took_sum", (label,)] == pytest.approx(2_000_315)


def test_only_what_the_table_has_can_be_made() -> None:
    registry = Registry(TABLE)
    for make in (
        lambda: registry.counter("unknown"),
        lambda: registry.counter("level"),
        lambda: registry.counter("hits"),
        lambda: registry.gauge("level", "label"),
        lambda: registry.gauge("nothing"),
    ):
        with pytest.raises(KeyError):
            make()
    assert registry.text() == ""


def test_members_that_are_gone_are_shown_no_more() -> None:
    registry = Registry(TABLE)
    registry.show_all("hits", {("a",): 1, ("b",): 2})
    registry.show_all("hits", {("b",): 3})
    assert samples(registry.text()) == {("hits_total", (("who", "b"),)): 3}


def test_fillers_run_at_every_scrape() -> None:
    registry = Registry(TABLE)
    level = registry.gauge("level")
    registry.before_scrape(lambda: level.add(1))
    assert samples(registry.text())["level", ()] == 1
    assert samples(registry.text())["level", ()] == 2


def test_durations_are_counted_one_by_one_and_many_at_once() -> None:
    durations = Durations()
    for _ in range(3):
        durations.add(0.000_123)
    durations.add_many(5, 0.005)
    assert durations.count == 8
    assert durations.seconds == pytest.approx(0.005_369)
    assert sorted(durations.buckets)[-2:] == [3, 5], "each in the bucket of its own duration"


def test_counters_of_peers_cannot_break_the_page() -> None:
    rows = {
        ("client_read_bytes", ()): 5.0,
        ("client_hits", (("id", 'a\nb"{}'),)): 1.5,
        ("level", ()): 99.0,  # our own name
        ("bad name", ()): 1.0,
        ("x{y}", ()): 1.0,
        ("fine", (("bad label", "v"),)): 1.0,
        ("# HELP", ()): 1.0,
        ("nané", ()): 1.0,
    }
    found = samples("".join(counters_of_others(rows, Registry(TABLE))))
    assert found == {
        ("client_read_bytes_total", ()): 5.0,
        ("client_hits_total", (("id", 'a\nb"{}'),)): 1.5,
    }


def test_the_process_describes_itself() -> None:
    registry = Registry(MASTER)
    show_process(registry)
    found = samples(registry.text())
    assert found["process_resident_memory_bytes", ()] == found["used_memory_bytes", ()] > 1 << 20
    assert found["process_open_fds", ()] >= 3
    assert found["process_cpu_seconds_total", ()] > 0


@pytest.mark.parametrize("table", [MASTER, WORKER, FUSE], ids=["master", "worker", "fuse"])
def test_the_tables_are_well_formed(table: tuple[Metric, ...]) -> None:
    names = [row.name for row in table]
    assert len(set(names)) == len(names)
    for row in table:
        assert re.fullmatch("[a-z_]+", row.name)
        assert row.help and row.kind in (COUNTER, GAUGE, HISTOGRAM)


def test_every_name_of_the_specification_is_in_the_table() -> None:
    master = """rpc_request_total_count rpc_request_time master_active_connections capacity
        available fs_used num_blocks blocks_size_avg allocatable_capacity allocatable_available
        worker_num journal_queue_len journal_flush_count journal_flush_time journal_committed
        journal_term journal_applied journal_ufs_applied used_memory_bytes rocksdb_metrics
        inode_dir_num inode_file_num replication_staging_number replication_inflight_number
        replication_failure_count operation_duration eviction_lru_cache_size
        eviction_trigger_count eviction_files_deleted eviction_bytes_freed ttl_bucket_len
        ttl_total_inodes ttl_skipped_inodes fs_dir_stalled fs_dir_stall_total
        fs_dir_probe_acquire_us compat_worker_verdict compat_client_verdict
        compat_enforce_rejected_total"""
    worker = """write_bytes write_time_us write_count write_blocks read_bytes read_time_us
        read_count read_blocks block_store_stripe_lock_wait_us block_dataset_write_lock_wait_us
        block_dataset_write_lock_hold_us file_layout_operation_us capacity available fs_used
        failed_disks num_blocks total_disks num_blocks_to_delete used_memory_bytes"""
    client = """client_mount_cache_hits client_mount_cache_misses
        client_async_cache_admission_skipped client_metadata_operation_duration
        client_write_bytes client_write_time_us client_read_bytes client_read_time_us
        client_block_idle_conn"""
    for text, table in ((master, MASTER), (worker, WORKER), (client, FUSE)):
        assert set(text.split()) <= {row.name for row in table}


def test_curvines_buckets_are_among_ours() -> None:
    assert {10, 50, 100, 500, 1000, 5000, 10_000, 50_000, 100_000} <= set(BOUNDS_US)


def test_the_documentation_is_the_table() -> None:
    assert DOCS.read_text() == metrics_page.text(), (
        "run: python -m curvine.telemetry.metrics_page > docs/metrics.md"
    )
    assert [title for title, _, _ in PAGES] == [
        "Master",
        "Worker",
        "FUSE mount",
        "S3 gateway",
    ]
