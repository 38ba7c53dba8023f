# SPDX-License-Identifier: Apache-2.0
"""A Dataset is edited while its mount is in use: the ConfigMap swaps, the places follow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]
PATIENCE = 30.0


class Pod:
    """A ThinRuntime pod's files and its process; the ConfigMap is swapped as kubelet does it."""

    def __init__(self, root: Path) -> None:
        self.volume = root / "config"
        self.volume.mkdir()
        self.target = root / "thin-fuse"
        self.home = root / "home"
        self.log = root / "log"
        self.turn = 0
        self.process: subprocess.Popen[bytes] | None = None
        fuse = self.home / "lib" / "curvine-fuse"
        fuse.parent.mkdir(parents=True)
        fuse.write_text(f'#!/bin/sh\nexec {sys.executable} -m curvine.fuse.run "$@"\n')
        fuse.chmod(0o755)
        self.env = os.environ | {
            "CURVINE_HOME": str(self.home),
            "FLUID_RUNTIME_TYPE": "thin",
            "FLUID_RUNTIME_CONFIG_PATH": str(self.volume / "config.json"),
            "CURVINE_FLUID_SECRETS_DIR": str(root / "secrets"),
        }

    def swap(self, text: str) -> None:
        """A new timestamped directory, and ..data renamed onto it."""
        self.turn += 1
        fresh = self.volume / f"..2026_{self.turn}"
        fresh.mkdir()
        (fresh / "config.json").write_text(text)
        (self.volume / "..data_tmp").symlink_to(fresh.name)
        (self.volume / "..data_tmp").rename(self.volume / "..data")
        link = self.volume / "config.json"
        if not link.is_symlink():
            link.symlink_to("..data/config.json")

    def dataset(self, *mounts: dict[str, object], mode: str = "ReadWriteMany") -> None:
        document = {"mounts": mounts, "targetPath": str(self.target), "accessModes": [mode]}
        self.swap(json.dumps(document))

    def start(self) -> None:
        command = (
            f'{sys.executable} -m curvine.fluid.parse_main && exec "{self.home}/mount-curvine.sh"'
        )
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", command], env=self.env, stdout=out, stderr=out
            )
        self.until(lambda: "curvine-fuse ready" in self.log.read_text(), "the mount")

    def kill_server(self) -> None:
        """SIGKILL to the server; the supervisor starts another."""
        assert self.process
        known = self.log.read_text().count("taking over")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        self.until(lambda: self.log.read_text().count("taking over") > known, "the next server")

    def until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, (what, self.log.read_text())
            assert self.process and self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)

    def shows(self, command: str) -> bool:
        done = subprocess.run(["bash", "-c", command], cwd=self.target, timeout=30,
            capture_output=True, check=False)  # fmt: skip
        return done.returncode == 0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            for name in ("one", "two", "three"):
                files.mkdir(f"/{name}")
        yield cluster


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    pod = Pod(tmp_path)
    yield pod
    if pod.process and pod.process.poll() is None:
        pod.process.send_signal(signal.SIGTERM)
        assert pod.process.wait(40) == 0
    assert str(pod.target) not in Path("/proc/self/mounts").read_text()


def entry(cluster: MiniCluster, name: str, **more: object) -> dict[str, object]:
    host, port = cluster.conf().client_master_addrs()[0]
    options = {"master-endpoints": f"{host}:{port}"}
    return {"mountPoint": f"curvine:///{name}", "name": name, "options": options} | more


def test_mounts_come_and_go(cluster: MiniCluster, pod: Pod) -> None:
    one, two, three = (entry(cluster, name) for name in ("one", "two", "three"))
    pod.dataset(one, two)
    pod.start()
    assert pod.shows("echo text > one/f; echo more > two/g; sync one/f two/g")
    with open(pod.log, "ab") as out:
        reader = subprocess.Popen(
            ["bash", "-c", "exec 5< two/g; read; cat <&5"], cwd=pod.target,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out,
        )  # fmt: skip
    pod.until(lambda: any(
        os.path.basename(os.readlink(f"/proc/{reader.pid}/fd/{fd}")) == "g"
        for fd in os.listdir(f"/proc/{reader.pid}/fd") if fd == "5"), "the open file")  # fmt: skip
    pod.dataset(one, three)
    pod.until(lambda: pod.shows("test -d three && ! test -e two"), "three instead of two")
    assert pod.shows("test $(cat one/f) = text; echo x > three/h; test $(cat three/h) = x")
    assert reader.communicate(b"\n", timeout=30)[0] == b"more\n", "open files stay usable"
    pod.swap("{not json")
    pod.until(lambda: "not taken" in pod.log.read_text(), "the refusal")
    assert pod.shows("test $(cat one/f) = text && test -d three")
    pod.dataset()
    pod.until(lambda: pod.shows('test -z "$(ls -A)"'), "an empty root")


def test_the_only_mount_stays_the_root(cluster: MiniCluster, pod: Pod) -> None:
    """A second mount is added to a Dataset of one: who uses the root goes on."""
    pod.dataset(entry(cluster, "one"))
    pod.start()
    assert pod.shows("echo text > f")
    pod.dataset(entry(cluster, "one"), entry(cluster, "two"))
    pod.until(lambda: pod.shows("test -d two && test $(cat one/f) = text"), "the second")
    assert pod.shows("test $(cat f) = text && echo x > two/g")
    # The server is killed: its successor shows what was shown.
    pod.kill_server()
    assert pod.shows("test $(cat f) = text && test $(cat two/g) = x && test $(cat one/f) = text")


def test_empty_at_first(cluster: MiniCluster, pod: Pod) -> None:
    pod.dataset()
    pod.start()
    assert pod.shows('test -z "$(ls -A)" && ! touch x && df . >/dev/null')
    pod.dataset(entry(cluster, "one"))
    pod.until(lambda: pod.shows("touch f && test -e f"), "the first mount")


def test_a_place_in_the_middle_goes_and_the_server_is_killed(
    cluster: MiniCluster, pod: Pod
) -> None:
    """Inode numbers and open files of the others are the same for the next server."""
    pod.dataset(*(entry(cluster, name) for name in ("one", "two", "three")))
    pod.start()
    assert pod.shows("echo text > three/f; echo gone > three/h; sync three/f three/h")
    before = os.stat(pod.target / "three" / "f").st_ino
    with open(pod.target / "three" / "f", "rb") as kept, open(pod.target / "three/h", "rb") as gone:
        os.unlink(pod.target / "three" / "h")
        pod.dataset(entry(cluster, "one"), entry(cluster, "three"))
        pod.until(lambda: pod.shows("! test -e two"), "two goes")
        for _ in range(2):
            pod.kill_server()
            assert os.stat(pod.target / "three" / "f").st_ino == before
            assert os.fstat(kept.fileno()).st_ino == before
        assert (kept.read(), gone.read()) == (b"text\n", b"gone\n")
    pod.dataset(*(entry(cluster, name) for name in ("one", "two", "three")))
    pod.until(lambda: pod.shows("test -d two && test $(cat three/f) = text"), "two is back")
    assert os.stat(pod.target / "three" / "f").st_ino == before


def test_a_mount_becomes_read_only_and_back(cluster: MiniCluster, pod: Pod) -> None:
    one, two = entry(cluster, "one"), entry(cluster, "two")
    pod.dataset(one, two)
    pod.start()
    assert pod.shows("echo x > one/f && echo x > two/f")
    pod.dataset(entry(cluster, "one", readOnly=True), two)
    pod.until(lambda: not pod.shows("echo y > one/f"), "one is read-only")
    assert pod.shows("! rm one/f && ! mkdir one/d && ! truncate -s 0 one/f && test $(cat one/f)")
    assert pod.shows("echo y > two/f")
    pod.dataset(one, two)
    pod.until(lambda: pod.shows("echo z > one/f"), "one can be written again")


@pytest.mark.parametrize("mode", ["ReadWriteMany", "ReadOnlyMany"])
def test_an_unreachable_mount_takes_no_other_down(
    cluster: MiniCluster, pod: Pod, mode: str
) -> None:
    options = {"master-endpoints": "127.0.0.1:1"}
    away = {"mountPoint": "curvine:///x", "name": "away", "options": options}
    pod.dataset(away, entry(cluster, "one"), mode=mode)
    pod.start()
    if mode == "ReadOnlyMany":
        assert pod.shows("ls one && test \"$(ls | tr '\\n' ,)\" = away,one,")
        return
    assert pod.shows(
        "echo x > one/f && test $(cat one/f) = x && test \"$(ls | tr '\\n' ,)\" = away,one,"
    )
    pod.dataset(entry(cluster, "two"), entry(cluster, "one"))
    pod.until(lambda: pod.shows("touch two/f"), "another in its stead")
