# SPDX-License-Identifier: Apache-2.0
"""``cv`` as its user types it, against a cluster that ``cv up`` started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cv_runner import CV, cluster, cv


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with cluster(tmp_path_factory.mktemp("cv") / "home") as directory:
        yield directory


def test_files_there_and_back(home: Path, tmp_path: Path) -> None:
    body = os.urandom(5_000_003)
    (tmp_path / "body").write_bytes(body)
    cv("fs", "mkdir", "-p", "/there/and", home=home)
    cv("fs", "put", tmp_path / "body", "/there/and", home=home)
    cv("fs", "get", "/there/and/body", tmp_path / "back", home=home)
    assert (tmp_path / "back").read_bytes() == body
    rows = json.loads(cv("fs", "ls", "--output", "json", "/there/and", home=home))
    assert [(row["name"], row["len"], row["is_complete"]) for row in rows] == [
        ("body", len(body), True)
    ]
    text = cv("fs", "put", tmp_path / "body", "/there/and/body", home=home, code=1)
    assert "already exists" in text
    (tmp_path / "body").write_bytes(b"short")
    cv("fs", "put", "--force", tmp_path / "body", "/there/and/body", home=home)
    assert cv("fs", "cat", "/there/and/body", home=home) == "short"


def test_trees_there_and_back(home: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "empty").mkdir(parents=True)
    (tree / "a" / "café \n").write_bytes(b"x" * 70_000)
    os.makedirs(os.fsencode(tree) + b"/not-\xff-utf8")
    with open(os.fsencode(tree) + b"/not-\xff-utf8/f", "wb") as file:
        file.write(b"bytes")
    cv("fs", "put", tree, "/tree", home=home)
    cv("fs", "get", "/tree", tmp_path / "again", home=home)
    subprocess.run(["diff", "-r", tree, tmp_path / "again"], check=True)
    counted = json.loads(cv("fs", "count", "--output", "json", "/tree", home=home))
    assert (counted["directories"], counted["files"], counted["bytes"]) == (4, 2, 70_005)
    assert "café" in cv("fs", "ls", "-R", "/tree", home=home)


def test_names_move_and_go(home: Path, tmp_path: Path) -> None:
    cv("fs", "mkdir", "/m", home=home)
    assert "already exists" in cv("fs", "mkdir", "/m", home=home, code=1)
    cv("fs", "touch", "/m/f", home=home)
    cv("fs", "chmod", "640", "/m/f", home=home)
    cv("fs", "chown", "alice:staff", "/m/f", home=home)
    line = cv("fs", "ls", "/m", home=home).split()
    assert line[0] == "-rw-r-----" and line[2:4] == ["alice", "staff"]
    cv("fs", "mkdir", "/n", home=home)
    cv("fs", "mv", "/m/f", "/n", home=home)
    assert cv("fs", "ls", "-C", "/n", home=home) == "/n/f\n"
    assert cv("fs", "ls", "-C", "/[mn]/*", home=home).splitlines()[-1] == "/n/f"
    assert "not empty" in cv("fs", "rm", "/n", home=home, code=1)
    cv("fs", "rm", "-r", "/n", home=home)
    text = cv("fs", "stat", "/n", home=home, code=1)
    assert text.startswith("❌ Error: ") and "/n" in text and len(text.splitlines()) == 1


def test_under_storage_is_read_and_cached(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "testfile").write_text("from below\n")
    (source / "big").write_bytes(os.urandom(3_000_000))
    text = cv("mount", f"file://{source}", "/data", "--write-type", "cache_mode", home=home, code=1)
    assert "--check-path-consist false" in text
    options = ("--write-type", "cache_mode", "--check-path-consist", "false")
    text = cv("mount", f"file://{source}/big", "/data", *options, home=home, code=1)
    assert "is a file; mount the directory that holds it" in text
    cv("mount", f"file://{source}", "/data", *options, home=home)
    assert cv("fs", "cat", "/data/testfile", home=home) == "from below\n"
    assert "loaded" in cv("load", "/data", "--watch", home=home)
    blocks = json.loads(cv("fs", "blocks", "--output", "json", "/data/big", home=home))
    assert [row["block"]["len"] for row in blocks] == [3_000_000]
    table = cv("mount", home=home).splitlines()
    assert table[-1] == "Total mount points: 1"
    assert any(row.startswith("| ") and "/data" in row for row in table)
    cv("fs", "rm", "/data/testfile", home=home, code=1)
    cv("umount", "/data", home=home)
    assert "Total mount points: 0" in cv("mount", home=home)


def test_report_and_df(home: Path) -> None:
    text = cv("report", home=home)
    assert "live_worker_num: 1" in text
    info = json.loads(cv("report", "json", home=home))
    assert info["capacity"] > 0 and len(info["live_workers"]) == 1
    assert "curvine://127.0.0.1:" in cv("fs", "df", "-h", home=home)


def test_up_again_starts_only_what_is_missing(home: Path) -> None:
    rows = json.loads(cv("status", "--dir", home, "--output", "json"))["processes"]
    pids = {row["role"]: row["pid"] for row in rows}
    cv("fs", "mkdir", "/kept", home=home)
    os.kill(pids["master"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while "died" not in cv("status", "--dir", home, code=3):
        assert time.monotonic() < deadline
    text = cv("up", "--dir", home, "--detach")
    assert "master started" in text and "worker runs" in text
    cv("fs", "stat", "/kept", home=home)


def test_status_says_when_there_is_nothing(tmp_path: Path) -> None:
    assert "no cluster" in cv("status", "--dir", tmp_path / "none", code=3)
    assert "no cluster" in cv("down", "--dir", tmp_path / "none", code=1)


def test_a_mount_that_fails_stops_what_was_started(tmp_path: Path) -> None:
    target = tmp_path / "full"
    target.mkdir()
    (target / "file").touch()
    directory = tmp_path / "home"
    text = cv("up", "--dir", directory, "--free-ports", "--mount", target, "--detach", code=1)
    assert "is not empty" in text
    assert "running" not in cv("status", "--dir", directory, code=3)


@pytest.mark.fuse
def test_a_mount_of_somebody_else_is_not_taken_for_ours(home: Path, tmp_path: Path) -> None:
    first, second, target = tmp_path / "a", tmp_path / "b", tmp_path / "mnt"
    cv("up", "--dir", first, "--free-ports", "--mount", target, "--detach")
    try:
        text = cv("up", "--dir", second, "--free-ports", "--mount", target, "--detach", code=1)
        assert "already has a working FUSE mount" in text
    finally:
        cv("down", "--dir", first)


def test_a_dead_master_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    text = cv("--master-addrs", "127.0.0.1:1", "fs", "ls", code=1)
    assert "no master answers at 127.0.0.1:1" in text
    assert time.monotonic() - began < 30


def test_no_configuration_is_explained(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([CV, "fs", "ls"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("❌ Error: ") and "cv up" in done.stderr


def test_foreground_cluster_ends_with_its_command(tmp_path: Path) -> None:
    directory = tmp_path / "fg"
    command = [CV, "up", "--dir", directory, "--free-ports"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if "Ctrl-C" in line:
                break
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    states = json.loads(cv("status", "--dir", directory, "--output", "json", code=3))
    assert {row["state"] for row in states["processes"]} == {"stopped"}
