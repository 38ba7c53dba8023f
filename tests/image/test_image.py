# SPDX-License-Identifier: Apache-2.0
"""The image, built and started as Fluid starts it: `make test-image` (root, buildah, crun).

CURVINE_IMAGE_ROOT is the image's root file system, CURVINE_APP_ROOT that of an application.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster
from image.container import Container

ROOT = os.environ.get("CURVINE_IMAGE_ROOT", "")
APP = os.environ.get("CURVINE_APP_ROOT", ROOT)
PARENT = "/runtime-mnt/thin/default/curvine-dataset"
TARGET = f"{PARENT}/thin-fuse"
SEED = "python3 /opt/curvine/fluid-config-parse.py && /opt/curvine/mount-curvine.sh"
COMMANDS = {
    "entrypoint": ("/entrypoint.sh",),
    "newest": ("/entrypoint.sh", "fluid-thin-runtime"),
    "seed": ("bash", "-c", SEED),
}
pytestmark = [
    pytest.mark.fuse,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ROOT, reason="CURVINE_IMAGE_ROOT is not set; run make test-image"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="crun is not installed"),
]


class Node:
    """A node's directories: the shared one that Fluid propagates mounts through, the ConfigMap."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.shared = where / "runtime"
        self.config = where / "config"
        for path in (self.shared, self.config):
            path.mkdir()
        subprocess.run(["mount", "--bind", self.shared, self.shared], check=True)
        subprocess.run(["mount", "--make-shared", self.shared], check=True)
        self.containers: list[Container] = []

    def dataset(self, address: str, *names: str, mode: str = "ReadOnlyMany") -> None:
        mounts = [
            {"mountPoint": f"curvine:///{name}", "options": {"master-endpoints": address},
             "name": name} for name in names]  # fmt: skip
        document = {"mounts": mounts, "targetPath": TARGET, "accessModes": [mode]}
        fresh = self.config / f"..{len(list(self.config.iterdir()))}"
        fresh.mkdir()
        (fresh / "config.json").write_text(json.dumps(document, separators=(",", ":")))
        (self.config / "..tmp").symlink_to(fresh.name)
        (self.config / "..tmp").rename(self.config / "..data")
        if not (self.config / "config.json").is_symlink():
            (self.config / "config.json").symlink_to("..data/config.json")

    def fuse(self, command: tuple[str, ...] = COMMANDS["entrypoint"]) -> Container:
        env = {"FLUID_RUNTIME_TYPE": "thin", "FLUID_RUNTIME_NS": "default",
               "FLUID_RUNTIME_NAME": "curvine-dataset", "MOUNT_POINT": TARGET}  # fmt: skip
        return self._add(Container(
            f"fuse-{os.getpid()}-{len(self.containers)}", Path(ROOT), self.where, command, env,
            ((self.shared, PARENT, ("rbind", "rshared")),
             (self.config, "/etc/fluid/config", ("rbind", "ro"))),
        ))  # fmt: skip

    def application(self) -> Container:
        """As after CSI's NodePublish: a bind of the target, or of its directory before it is."""
        return self._add(Container(
            f"app-{os.getpid()}-{len(self.containers)}", Path(APP), self.where,
            ("sleep", "1000"), {}, ((self.shared, "/data", ("rbind", "rslave")),),
        ))  # fmt: skip

    def _add(self, container: Container) -> Container:
        self.containers.append(container)
        return container

    def close(self) -> None:
        for container in reversed(self.containers):
            container.remove()
        subprocess.run(["umount", "-l", self.shared / "thin-fuse"], check=False,
            capture_output=True)  # fmt: skip
        subprocess.run(["umount", "-l", self.shared], check=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path / "cluster") as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            for name in ("data", "more"):
                files.mkdir(f"/{name}")
        yield cluster


def address(cluster: MiniCluster) -> str:
    host, port = cluster.conf().client_master_addrs()[0]
    return f"{host}:{port}"


def is_up(container: Container) -> bool:
    return "curvine-fuse ready" in container.output()


@pytest.mark.parametrize("edition", COMMANDS)
def test_start_use_and_stop(node: Node, cluster: MiniCluster, edition: str) -> None:
    node.dataset(address(cluster), "data", mode="ReadWriteMany")
    app = node.application()
    app.start()
    fuse = node.fuse(COMMANDS[edition])
    began = fuse.start()
    fuse.until(lambda: is_up(fuse), "the mount")
    took = time.monotonic() - began
    memory = sum(
        int(line.split()[1])
        for pid in fuse.pids()
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    print(f"\n{edition}: mounted {took:.2f} s after the start, idle memory {memory / 1024:.0f} MB")
    assert took < 29  # what Fluid waits in a sidecar; on an idle machine it is a fraction of this
    fuse.must("curvine-ready", TARGET)
    app.must("sh", "-c", "echo text > /data/thin-fuse/f && grep -q text /data/thin-fuse/f")
    line = app.must("sh", "-c", "grep thin-fuse /proc/self/mountinfo")
    assert "fuse.curvinefs-thin" in line and "/data/thin-fuse" in line
    for check in (
        f"df --block-size=1 | grep {TARGET}", f"ls -lR {TARGET} | grep ^- | wc -l",
        "umount --version", "command -v telnet", "ping -c 1 127.0.0.1", "awk 1 /dev/null",
        "test -w /proc/1/fd/1", "test -x /app/curvine/lib/curvine-fuse",
    ):  # fmt: skip
        fuse.must("bash", "-c", check)
    fuse.signal("TERM")
    assert fuse.wait() == 0
    assert app.run("test", "-e", "/data/thin-fuse/f").returncode == 1


def test_daemon_is_killed_while_the_application_reads(node: Node, cluster: MiniCluster) -> None:
    with BlockingFileSystem(cluster.conf()) as files:
        with files.create("/data/f") as file:
            file.write(0, b"line\n" * 100_000)
    node.dataset(address(cluster), "data")
    app = node.application()
    app.start()
    fuse = node.fuse()
    fuse.start()
    fuse.until(lambda: is_up(fuse), "the mount")
    assert app.run("touch", "/data/thin-fuse/new").returncode, "ReadOnlyMany"
    server = fuse.pids()[-1]
    script = "exec 5< /data/thin-fuse/f; read line <&5; sleep 2; cat <&5 | wc -c"
    reader = subprocess.Popen(app.crun("exec", app.name, "bash", "-c", script),
        stdout=subprocess.PIPE, text=True)  # fmt: skip
    os.kill(server, signal.SIGKILL)
    assert int(reader.communicate(timeout=60)[0]) > 490_000
    app.must("ls", "/data/thin-fuse")


def test_restart_over_a_dead_mount(node: Node, cluster: MiniCluster) -> None:
    node.dataset(address(cluster), "data")
    first = node.fuse()
    first.start()
    first.until(lambda: is_up(first), "the mount")
    first.signal("KILL")
    assert first.wait() != 0
    second = node.fuse()
    second.start()
    second.until(lambda: is_up(second), "the second mount")
    assert second.output().count("curvine-fuse ready") == 1
    second.must("ls", TARGET)
    second.must("umount", TARGET)  # what Fluid's preStop does
    assert second.wait() == 0


def test_master_comes_later(node: Node, cluster: MiniCluster) -> None:
    node.dataset(address(cluster), "data")
    cluster.master.stop()
    fuse = node.fuse()
    fuse.start()
    fuse.until(lambda: "still waiting for a master" in fuse.output(), "its patience")
    cluster.master.start()
    fuse.until(lambda: is_up(fuse), "the mount")


def test_wrong_endpoint_ends_with_a_clear_line(node: Node) -> None:
    node.dataset("127.0.0.1:1", "data")
    fuse = node.fuse()
    fuse.start()
    assert fuse.wait(120) == 1
    (line,) = [text for text in fuse.output().splitlines() if text.startswith("ERROR: ")]
    assert "127.0.0.1:1" in line and "master-endpoints" in line


def test_dataset_is_edited(node: Node, cluster: MiniCluster) -> None:
    node.dataset(address(cluster), "data", mode="ReadWriteMany")
    app = node.application()
    app.start()
    fuse = node.fuse()
    fuse.start()
    fuse.until(lambda: is_up(fuse), "the mount")
    app.must("sh", "-c", "echo text > /data/thin-fuse/f")
    node.dataset(address(cluster), "data", "more", mode="ReadWriteMany")
    fuse.until(lambda: not app.run("test", "-d", "/data/thin-fuse/more").returncode, "more", 30)
    app.must("grep", "-q", "text", "/data/thin-fuse/f")
