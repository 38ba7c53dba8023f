# SPDX-License-Identifier: Apache-2.0
"""What a worker's end and start do to its blocks: kill -9 during writes, scan, wrong set-ups."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from curvine.errors import BlockNotFound, Common
from worker_wire import BLOCK, CLUSTER, Peer, WorkerProcess, running_worker


def test_kill_during_writes_leaves_published_blocks(tmp_path: Path) -> None:
    with running_worker(tmp_path) as worker:
        data = os.urandom(300_000)
        with Peer(worker) as peer, Peer(worker) as second, Peer(worker) as third:
            for number in range(4):
                peer.write_block(data, BLOCK + number)
            peer.open_write(BLOCK, length=300_000, off=300_000)
            peer.put(b"appended and never committed")
            second.open_write(BLOCK + 1, length=300_000)
            second.put(b"rewritten and never committed", 0)
            third.open_write(BLOCK + 9)
            third.put(b"new and never committed")
            worker.stop(signal.SIGKILL)
        assert worker.active(BLOCK).stat().st_size > 300_000
        assert worker.staging(BLOCK + 1).exists()
        worker.start()
        with Peer(worker) as peer:
            for number in range(4):
                assert peer.read_block(300_000, BLOCK + number) == data
            peer.open_write(BLOCK + 1, length=300_000)  # begins anew
            peer.commit(300_000, BLOCK + 1)
            assert not worker.staging(BLOCK + 1).exists()
            assert peer.read_block(300_000, BLOCK + 1) == data
            peer.open_write(BLOCK, length=300_000, off=300_000)  # and appending goes on
            peer.put(b"tail")
            peer.commit(300_004, BLOCK)
            worker.stop(signal.SIGKILL)
        worker.start()
        with Peer(worker) as peer:
            assert peer.read_block(300_004, BLOCK) == data + b"tail"


def test_recovering_blocks(tmp_path: Path) -> None:
    """Readable, refused for writing and Complete; Cancel removes them (3.5)."""
    with running_worker(tmp_path) as worker:
        with Peer(worker) as peer:
            peer.open_write()
            peer.put(b"hello")
            worker.stop(signal.SIGKILL)
        worker.start()
        with Peer(worker) as peer:
            assert peer.read_block(5) == b"hello"
            assert type(peer.fails(peer.open_write)) is Common
            assert type(peer.fails(peer.commit, 5)) is Common
            peer.cancel()
            assert type(peer.fails(peer.open_read, 5)) is BlockNotFound
        assert not worker.staging().exists()


def test_unfinished_blocks_are_gone_on_with(tmp_path: Path) -> None:
    """An Open with ``resume`` finds what was written before a kill -9: new, rewritten, appended."""
    with running_worker(tmp_path) as worker:
        with Peer(worker) as new, Peer(worker) as rewrite, Peer(worker) as append:
            for number in (1, 2):
                new.write_block(b"published", BLOCK + number)
            new.open_write(BLOCK)
            new.put(b"hello")
            rewrite.open_write(BLOCK + 1, length=9)
            rewrite.put(b"P", 0)
            append.open_write(BLOCK + 2, length=9, off=9)
            append.put(b" and more")
            worker.stop(signal.SIGKILL)
        worker.start()
        with Peer(worker) as peer:
            assert peer.read_block(9, BLOCK + 1) == b"published"
            assert peer.read_block(9, BLOCK + 2) == b"published"
            expected = {
                BLOCK: (5, 0, b"hello there"),
                BLOCK + 1: (9, 9, b"Published there"),
                BLOCK + 2: (18, 9, b"published and more there"),
            }
            for block, (unpublished, published, content) in expected.items():
                answer = peer.open_write(block, length=published, off=unpublished, resume=True)
                assert (answer.unpublished_len, answer.published_len) == (unpublished, published)
                peer.put(b" there", unpublished)
                peer.commit(len(content), block)
                assert peer.read_block(len(content), block) == content
            answer = peer.open_write(BLOCK, length=11, off=11, resume=True)
            assert not answer.HasField("unpublished_len") and answer.published_len == 11


def test_identity_survives_and_is_shared(tmp_path: Path) -> None:
    with running_worker(tmp_path, ("[SSD]one", "[HDD:1GB]two")) as worker:
        texts = [(d / CLUSTER / "version").read_text() for d in worker.dirs]
        ids = [[x for x in text.splitlines() if x.startswith("worker_id")] for text in texts]
        assert ids[0] == ids[1]
        assert worker.stop() == 0
        worker.start()
        again = (worker.dirs[0] / CLUSTER / "version").read_text()
        assert again.splitlines()[:4] == texts[0].splitlines()[:4]


def test_foreign_names_are_left_alone(tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path)
    staging = worker.dirs[0] / CLUSTER / "staging"
    staging.mkdir(parents=True)
    (staging / "notes").write_text("mine")
    (staging / "blk_12x").write_text("mine")
    try:
        worker.start()
    finally:
        worker.stop()
    assert sorted(path.name for path in staging.iterdir()) == ["blk_12x", "notes"]


def test_one_process_per_directory(tmp_path: Path) -> None:
    with running_worker(tmp_path) as worker:
        second = subprocess.run(
            [sys.executable, "-m", "curvine.worker.run", "--conf", str(worker.conf)],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert second.returncode == 1
    errors = [line for line in second.stderr.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1 and "another worker" in errors[0]


def test_no_data_dir_is_one_error_line(tmp_path: Path) -> None:
    conf = tmp_path / "empty.toml"
    conf.write_text("[worker]\ndata_dir = []\n")
    result = subprocess.run(
        [sys.executable, "-m", "curvine.worker.run", "--conf", str(conf)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("ERROR: worker.data_dir is empty")
    assert "Traceback" not in result.stderr
