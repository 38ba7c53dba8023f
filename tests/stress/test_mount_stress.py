# SPDX-License-Identifier: Apache-2.0
"""Twenty processes at work on one mount, then the master is killed: nothing may be lost or torn."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curvine.testing.cluster import MiniCluster

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]

PROCESSES = 20
SECONDS = float(os.environ.get("CURVINE_STRESS_SECONDS", "60"))

# One process's life: create, write, fsync, rename, read back, now and then unlink. What is fsynced
# and still there at the end is written down outside the mount, with its checksum.
WORKER = """
import hashlib, json, os, random, sys, time
top, ledger, number, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
random.seed(number)
mine = os.path.join(top, f"p{number:02d}")
os.mkdir(mine)
kept, turn, end = {}, 0, time.monotonic() + seconds
while time.monotonic() < end:
    body = random.randbytes(random.choice((0, 1, 4095, 4096, 70_000, 300_000)))
    name = os.path.join(mine, f"f{turn}")
    fd = os.open(name + ".part", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
    for start in range(0, len(body), 65_536):
        piece = body[start : start + 65_536]
        assert os.write(fd, piece) == len(piece)
    os.fsync(fd)
    assert os.pread(fd, len(body) + 1, 0) == body, f"{name}: torn before close"
    os.close(fd)
    shared = os.path.join(top, "shared", f"{number}-{turn % 5}")
    target = shared if turn % 3 == 0 else name
    os.rename(name + ".part", target)
    with open(target, "rb") as file:
        assert file.read() == body, f"{target}: torn after rename"
    assert os.stat(target).st_size == len(body)
    kept[target] = hashlib.sha256(body).hexdigest()
    if turn % 4 == 3:
        victim = random.choice(sorted(kept))
        os.unlink(victim)
        del kept[victim]
        assert not os.path.exists(victim)
    turn += 1
listed = {os.path.join(mine, entry) for entry in os.listdir(mine)}
assert listed == {name for name in kept if name.startswith(mine + os.sep)}, "listing differs"
with open(ledger, "w") as file:
    json.dump({"turns": turn, "kept": kept}, file)
"""

CHECK = """
import hashlib, json, sys
wrong = []
for ledger in sys.argv[1:]:
    for name, digest in json.load(open(ledger))["kept"].items():
        try:
            with open(name, "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() != digest:
                    wrong.append(name + ": other bytes")
        except OSError as error:
            wrong.append(f"{name}: {error}")
print(json.dumps(wrong))
"""


def test_nothing_is_lost_under_load_and_after_a_killed_master(
    tmp_path: Path, mounted: tuple[MiniCluster, Path]
) -> None:
    cluster, mount = mounted
    subprocess.run(["mkdir", mount / "shared"], check=True, timeout=30)
    ledgers = [tmp_path / f"ledger-{number}.json" for number in range(PROCESSES)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, mount, ledger, str(number), str(SECONDS)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, ledger in enumerate(ledgers)
    ]
    deadline = time.monotonic() + SECONDS + 90
    errors = []
    for number, child in enumerate(children):
        try:
            _, text = child.communicate(timeout=max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            child.kill()
            text = "did not end"
        if child.returncode != 0:
            errors.append(f"process {number}: {text[-500:]}")
    assert not errors, "\n".join(errors)
    turns = sum(json.loads(ledger.read_text())["turns"] for ledger in ledgers)
    print(f"{turns} turns of create/write/fsync/rename/read/unlink in {SECONDS:.0f} s")
    assert turns > PROCESSES

    cluster.master.kill()
    cluster.master.start()
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *ledgers], check=True, capture_output=True, timeout=120
    )
    assert json.loads(done.stdout) == []


def test_the_checker_can_fail(tmp_path: Path) -> None:
    """The check above is worth something: it sees a torn and a missing file."""
    torn = tmp_path / "torn"
    torn.write_bytes(b"half")
    ledger = tmp_path / "ledger.json"
    whole = hashlib.sha256(b"whole").hexdigest()
    ledger.write_text(json.dumps({"kept": {str(torn): whole, str(tmp_path / "gone"): whole}}))
    done = subprocess.run([sys.executable, "-c", CHECK, ledger], check=True, capture_output=True)
    assert len(json.loads(done.stdout)) == 2
