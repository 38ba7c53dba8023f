# SPDX-License-Identifier: Apache-2.0
"""``cv`` for those who run a cluster: mounts, reports, nodes, configuration, benchmarks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cv_runner import CV, cluster, cv


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with cluster(tmp_path_factory.mktemp("admin") / "home") as directory:
        yield directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"from below")
    (root / "sub" / "big").write_bytes(os.urandom(1_500_000))
    (root / "link").symlink_to("file")
    return root


def as_json(*arguments: object, home: Path) -> Any:
    return json.loads(cv(*arguments, "--output", "json", home=home))


def test_fs_mode_mount_is_synced_checked_updated(home: Path, source: Path) -> None:
    consist = ("--check-path-consist", "false")
    assert "would mount" in cv(
        "mount", f"file://{source}", "/fsm", *consist, "--dry-run", home=home
    )
    assert as_json("mount", home=home) == []
    cv("mount", f"file://{source}", "cv://default/fsm", *consist, "--read-verify-ufs", home=home)
    assert cv("fs", "cat", "curvine:///fsm/file", home=home) == "from below"
    assert "/fsm/link -> file" in cv("fs", "ls", "/fsm", home=home)

    (source / "new").write_bytes(b"new")
    (source / "file").write_bytes(b"changed below")
    os.utime(source / "file", (1e9, 1e9))
    dry = cv("mount", "resync", "/fsm", "--dry-run", "--verbose", home=home)
    assert "add /fsm/new" in dry and "replace /fsm/file" in dry
    assert "/fsm/new" not in cv("fs", "ls", "-C", "/fsm", home=home)
    done = as_json("mount", "resync", "/fsm", home=home)["resync"]
    assert (done["added"], done["replaced"], done["unchanged"]) == (1, 1, 2)
    assert cv("fs", "cat", "/fsm/file", home=home) == "changed below"

    before = as_json("mount", "list", home=home)[0]
    cv("mount", f"file://{source}", "/fsm", "--update", "--ttl-ms", "2d", home=home)
    after = as_json("mount", home=home)[0]
    assert after == {**before, "ttl_ms": 2 * 86_400_000} and after["read_verify_ufs"]
    text = cv("mount", f"file://{source}x", "/fsm", "--update", home=home, code=1)
    assert "cv umount /fsm" in text

    assert "| ok " in cv("mount", "--check", home=home)
    source.rename(source.with_name("gone"))
    text = cv("mount", "--check", home=home, code=1)
    assert "1 of 1 do not answer: /fsm" in text
    assert "mounts are: /fsm" in cv("umount", "/other", home=home, code=1)
    cv("umount", "/fsm", home=home)


def test_load_takes_its_configuration_last(home: Path, source: Path) -> None:
    conf = home / "curvine-cluster.toml"
    options = ("--write-type", "CACHE_MODE", "--check-path-consist", "false")
    cv("mount", f"file://{source}", "/cm", *options, home=home)
    assert "loaded" in cv("load", "/cm", "--watch", "--conf", conf)
    job = as_json("load", "/cm", "--watch", home=home)
    assert (job["state"], job["loaded_size"]) == ("Completed", job["total_size"])
    assert as_json("load-status", job["job_id"], "-w", "1s", home=home)["state"] == "Completed"
    assert "State: completed" in cv("transfer-status", job["job_id"], "-v", home=home)
    assert "exported" in cv("export", "/cm/file", "--watch", home=home)
    assert "/cm" in cv("jobs", home=home) and "0 waiting" in cv("exports", home=home)
    assert "loaded" in cv("load", "/cm/su*", "--watch", home=home)
    assert "cv load" in cv("transfer", "list", "--all", home=home, code=1)
    rows = as_json("fs", "du", "/cm", home=home)
    assert rows[0]["size"] == rows[0]["cached"] == rows[0]["space"] == 1_500_010
    assert cv("fs", "--cache-only", "ls", "-C", "/cm/sub", home=home) == "/cm/sub/big\n"
    freed = as_json("fs", "free", "-r", "/cm/sub", home=home)
    assert freed["bytes"] == 1_500_000
    assert cv("fs", "--cache-only", "ls", "-R", "-C", "/cm", home=home) == "/cm/file\n"
    cv("umount", "/cm", home=home)


def test_reports(home: Path) -> None:
    text = cv("report", "all", "--show-workers", "false", home=home)
    assert "live_worker_num: 1" in text and "worker_list" not in text
    assert "live_worker_list: 127.0.0.1:" in cv("report", "all", "--show-workers", home=home)
    assert all(len(line) <= 80 for line in cv("report", home=home).splitlines())
    summary = json.loads(cv("report", "fluid-summary", home=home))
    assert {"cached", "cachedPercentage", "cacheCapacity", "cacheHitRatio"} <= set(summary)
    assert all(isinstance(value, str) for value in summary.values())
    assert summary["cacheCapacity"].endswith("iB")
    amounts = as_json("report", "capacity", "127.0.0.1", home=home)["workers"]
    assert len(amounts) == 1 and min(amounts.values()) > 0
    assert "live are: 127.0.0.1" in cv("report", "used", "elsewhere", home=home, code=1)
    assert as_json("report", "tiers", home=home)[0]["tier"] == "DISK"


def test_a_node_leaves_and_comes_back(home: Path) -> None:
    row = as_json("node", "-l", home=home)[0]
    name = f"{row['address']['hostname']}:{row['address']['rpc_port']}"
    assert row["status"] == "Live"
    assert name in cv("node", "--versions", home=home)
    gone = json.loads(cv("node", "-o", "json", "--add-decommission", "--", name, home=home))
    assert [(item["address"], item["status"]) for item in gone] == [(name, "Decommission")]
    assert as_json("node", home=home)[0]["status"] == "Decommission"
    assert as_json("node", "--remove-decommission", name, home=home)[0]["status"] == "Live"
    deadline = time.monotonic() + 10
    while as_json("node", home=home)[0]["status"] != "Live":
        assert time.monotonic() < deadline
    assert f"there are: {name}" in cv("node", "--add-decommission", "x:1", home=home, code=1)
    cv("node", "--add-decommission", home=home, code=2)


def test_changes_are_told_to_programs(home: Path, tmp_path: Path) -> None:
    assert as_json("fs", "mkdir", "-p", "/j/k", home=home)["file_type"] == "Dir"
    assert as_json("fs", "touch", "/j/f", home=home)["len"] == 0
    assert as_json("fs", "chmod", "600", "/j/f", home=home)["mode"] == 0o600
    assert as_json("fs", "chown", ":staff", "/j/f", home=home)["group"] == "staff"
    assert as_json("fs", "mv", "/j/f", "/j/k", home=home)["path"] == "/j/k/f"
    (tmp_path / "x").write_bytes(b"abc")
    copied = as_json("fs", "put", tmp_path / "x", "/j", home=home)
    assert (copied["target"], copied["files"], copied["bytes"]) == ("/j/x", 1, 3)
    assert as_json("fs", "get", "/j/x", tmp_path / "y", home=home)["bytes"] == 3
    assert as_json("fs", "rm", "-r", "/j", home=home)["inodes"] > 0
    assert "is not absolute" in cv("fs", "ls", "j", home=home, code=2)
    assert "did you mean node?" in cv("nod", code=2)


def test_configuration_is_shown_and_checked(home: Path, tmp_path: Path) -> None:
    shown = as_json("config", "show", "client", home=home)
    assert shown["keys"]["client.hostname"] == {
        "value": "127.0.0.1", "unit": "", "origin": f"file {home}/curvine-cluster.toml",
    }  # fmt: skip
    assert shown["keys"]["client.rpc_retry_max_duration_ms"]["origin"] == "default"
    assert "0 errors, 0 warnings" in cv("config", "check", home=home)
    bad = tmp_path / "bad.toml"
    bad.write_text('[master]\nrcp_port = 1\nweb_port = "x"\n')
    text = cv("config", "check", bad, code=1)
    assert "did you mean rpc_port?" in text and "1 error, 1 warning" in text
    assert "is not valid TOML" in cv("config", "check", __file__, code=1)
    assert "cv config docs" in cv("config", "show", "nonsense", home=home, code=1)


def test_benchmarks(home: Path, tmp_path: Path) -> None:
    small = ("--big-file-size", "1MB", "--small-file-count", "5", "--small-file-size", "4KB")
    run = json.loads(cv("bench", *small, "--profile", "deep", "-p", "2", "--json", home=home))
    assert [row["operation"] for row in run["results"]] == [
        "write_big", "read_big", "write_small", "read_small",
        "create", "open", "get_status", "list_status", "rename", "delete",
    ]  # fmt: skip
    assert all(row["ops"] in (2 * 5, 2 * 5) and not row["errors"] for row in run["results"])
    assert cv("fs", "ls", "-C", "/", home=home).find("bench") < 0
    cv("bench", "prefill", "--path", "/b", "--files", "30", "--files-per-dir", "10", home=home)
    mix = ("--workload", "get_status:1,create:1,rename:1", "--total-ops", "60", "-p", "3")
    table = cv("bench", "--path", "/b", *mix, home=home).splitlines()
    assert table[0].split()[0] == "OPERATION" and all(len(line) <= 80 for line in table)
    assert table[-1].split()[:2] == ["total", "60"]
    assert "--keep-data" in cv("bench", "--help")
    local = cv("bench", "--path", f"file://{tmp_path}/b", *small, home=home)
    assert "read_small" in local and not (tmp_path / "b").exists()


def test_ends_that_nobody_asked_for(home: Path) -> None:
    conf = ("--conf", home / "curvine-cluster.toml")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([CV, *conf, "report"], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    bench = [CV, *conf, "bench", "--workload", "mixed_metadata", "--duration", "60s"]
    with subprocess.Popen(bench, stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 30
        while "run-" not in cv("fs", "ls", "-R", "-C", "/", home=home):
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
    assert "bench" not in cv("fs", "ls", "-C", "/", home=home)
