# SPDX-License-Identifier: Apache-2.0
"""The pages of a real mount: metrics of what the kernel asked, health, and a taken port."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from curvine.telemetry.metric_table import FUSE
from curvine.testing.cluster import MiniCluster, free_port
from curvine.testing.mounting import MiniMount

pytestmark = pytest.mark.fuse


def ask(port: int, page: str) -> str:
    """A page; the mount is there a moment before its pages are."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def shell(command: str, mount: Path) -> str:
    done = subprocess.run(
        ["sh", "-c", command], cwd=mount, timeout=30, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_pages_of_a_mount(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("--web-port", str(port))
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, tmp_path / "mnt", arguments=arguments) as mount,
    ):
        assert ask(port, "/healthz") == "ok"
        shell("mkdir d && echo hello > d/f && cat d/f && ls -l d && cat nosuch", mount.target)
        text = ask(port, "/metrics")
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        requests = "curvine_fuse_requests_total"
        assert found[requests, "metadata", "Mkdir", "success"] == 1
        assert found[requests, "metadata", "Create", "success"] >= 1
        assert found[requests, "metadata", "Lookup", "error"] >= 1
        assert found[requests, "stream", "Write", "success"] >= 1
        assert found["curvine_fuse_errors_total", "ENOENT", "metadata", "Lookup"] >= 1
        assert found["curvine_fuse_io_bytes_total", "write", "curvine", "success"] == 6
        name = "curvine_fuse_request_duration_us_count"
        assert found[name, "metadata", "Mkdir", "success"] == 1
        assert found["curvine_fuse_inode_count",] >= 2
        exported = set(re.findall(r"^# TYPE (\w+)", text, re.M))
        by_mount = {"client_mount_cache_hits", "client_mount_cache_misses"}  # nothing is mounted
        expected = {row.name for row in FUSE if not row.absent} - by_mount
        assert expected <= exported
        assert found["client_write_bytes_total",] == 6
        assert found["client_metadata_operation_duration_count", "Mkdir"] == 1
        stats = json.loads(ask(port, "/stats"))
        assert list(stats) == ["inode", "writer", "file_handle", "dir_handle"]
        assert stats["inode"]["count"] >= 2 and stats["inode"]["mem_usage"] > 0


def test_a_second_mount_with_the_same_port_is_a_warning(tmp_path: Path) -> None:
    arguments = ("--web-port", str(free_port()))
    with (
        MiniCluster(tmp_path / "cluster") as cluster,
        MiniMount(cluster.conf_path, tmp_path / "one", arguments=arguments),
        MiniMount(cluster.conf_path, tmp_path / "two", arguments=arguments) as second,
    ):
        assert shell("echo x > f && cat f", second.target) == "x\n"
        deadline = time.monotonic() + 10
        while "no HTTP pages" not in second.output() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "no HTTP pages" in second.output()
        assert ask(int(arguments[1]), "/healthz") == "ok"
