# SPDX-License-Identifier: Apache-2.0
"""The pod that Fluid's ThinRuntime starts, with the image's files, its entry point and its mounts.

`make test` starts it in namespaces of this machine; `make test-image` builds the image and starts
it by crun: CURVINE_IMAGE_ROOT is then its root file system, CURVINE_APP_ROOT an application's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.testing.cluster import MiniCluster
from image.container import Container, CrunContainer, Volume
from image.namespaces import NamespaceContainer, image_files

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
pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def curvine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/opt/curvine for pods of namespaces; the image has its own."""
    if ROOT:
        return Path(ROOT)
    dist: Path = request.getfixturevalue("built_dist")
    return image_files(dist, tmp_path_factory.mktemp("context"))


class Node:
    """A node's directories: the shared one that Fluid propagates mounts through, the ConfigMap."""

    def __init__(self, where: Path, curvine: Path) -> None:
        self.where = where
        self.curvine = curvine
        self.shared = where / "runtime"
        self.config = where / "config"
        for path in (self.shared, self.config):
            path.mkdir()
        subprocess.run(["mount", "--bind", self.shared, self.shared], check=True)
        subprocess.run(["mount", "--make-shared", self.shared], check=True)
        self.containers: list[Container] = []

    def dataset(
        self, address: str, *names: str, mode: str = "ReadOnlyMany", **options: str
    ) -> None:
        options = {key.replace("__", "."): value for key, value in options.items()}
        mounts = [
            {"mountPoint": f"curvine:///{name}", "name": name,
             "options": {"master-endpoints": address} | options} for name in names]  # fmt: skip
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
        return self._add("fuse", ROOT, command, env,
            ((self.shared, PARENT, ("rbind", "rshared")),
             (self.config, "/etc/fluid/config", ("rbind", "ro"))))  # fmt: skip

    def application(self) -> Container:
        """As after CSI's NodePublish: a bind of the target, or of its directory before it is."""
        mounts = ((self.shared, "/data", ("rbind", "rslave")),)
        return self._add("app", APP, ("sleep", "1000"), {}, mounts)

    def _add(
        self, kind: str, root: str, command: tuple[str, ...], env: dict[str, str],
        mounts: tuple[Volume, ...],
    ) -> Container:  # fmt: skip
        name = f"{kind}-{os.getpid()}-{len(self.containers)}"
        container: Container
        if root:
            container = CrunContainer(name, Path(root), self.where, command, env, mounts)
        else:
            container = NamespaceContainer(name, self.curvine, self.where, command, env, mounts)
        self.containers.append(container)
        return container

    def close(self) -> None:
        for container in reversed(self.containers):
            container.remove()
        subprocess.run(["umount", "-l", self.shared / "thin-fuse"], check=False,
            capture_output=True)  # fmt: skip
        subprocess.run(["umount", "-l", self.shared], check=True)


@pytest.fixture
def node(tmp_path: Path, curvine: Path) -> Iterator[Node]:
    node = Node(tmp_path, curvine)
    yield node
    node.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            for name in ("data", "more"):
                files.mkdir(f"/{name}")
        yield cluster


def address(cluster: MiniCluster) -> str:
    host, port = cluster.conf().client_master_addrs()[0]
    return f"{host}:{port}"


def is_up(container: Container) -> bool:
    return "curvine-fuse ready" in container.output()


def test_start_use_and_stop(node: Node, cluster: MiniCluster) -> None:
    node.dataset(address(cluster), "data", mode="ReadWriteMany")
    app = node.application()
    app.start()
    fuse = node.fuse()
    began = fuse.start()
    fuse.until(lambda: is_up(fuse), "the mount")
    took = time.monotonic() - began
    memory = sum(
        int(line.split()[1])
        for pid in fuse.pids()
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    print(f"\nmounted {took:.2f} s after the start, idle memory {memory / 1024:.0f} MB")
    fuse.must("curvine-ready", TARGET)
    app.must("sh", "-c", "echo text > /data/thin-fuse/f && grep -q text /data/thin-fuse/f")
    line = app.must("sh", "-c", "grep thin-fuse /proc/self/mountinfo")
    assert "fuse.curvinefs-thin" in line and "/data/thin-fuse" in line
    checks = [
        f"df --block-size=1 | grep {TARGET}", f"ls -lR {TARGET} | grep ^- | wc -l",
        "umount --version", "awk 1 /dev/null", "test -w /proc/1/fd/1",
        "test -x /app/curvine/lib/curvine-fuse",
    ]  # fmt: skip
    if fuse.of_image:
        checks += ["command -v telnet", "ping -c 1 127.0.0.1"]
    for check in checks:
        fuse.must("bash", "-c", check)
    fuse.signal(signal.SIGTERM)
    assert fuse.wait() == 0
    assert app.run("test", "-e", "/data/thin-fuse/f").returncode == 1
    assert "thin-fuse" not in app.must("cat", "/proc/self/mountinfo")


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
    script = "exec 5< /data/thin-fuse/f; read line <&5; echo open; read go; cat <&5 | wc -c"
    reader = subprocess.Popen(app.inside("bash", "-c", script),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert reader.stdout and reader.stdout.readline() == "open\n"
    os.kill(server, signal.SIGKILL)
    # read(1) of bash takes back what it read too much, so all but the first line is left.
    assert int(reader.communicate("\n", timeout=120)[0]) == 499_995
    app.must("ls", "/data/thin-fuse")
    assert fuse.pids()[-1] != server


def test_restart_over_a_dead_mount(node: Node, cluster: MiniCluster) -> None:
    node.dataset(address(cluster), "data")
    first = node.fuse()
    first.start()
    first.until(lambda: is_up(first), "the mount")
    first.signal(signal.SIGKILL)
    assert first.wait() != 0
    second = node.fuse(COMMANDS["seed"])
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
    node.dataset("127.0.0.1:1", "data", client__conn_retry_max_duration_ms="2s")
    fuse = node.fuse()
    fuse.start()
    assert fuse.wait() == 1
    (line,) = [text for text in fuse.output().splitlines() if text.startswith("ERROR: ")]
    assert "within 2 s" in line and "127.0.0.1:1" in line and "master-endpoints" in line


def test_dataset_is_edited(node: Node, cluster: MiniCluster) -> None:
    """A mount is added while the application has a file open; it goes on with it."""
    node.dataset(address(cluster), "data", mode="ReadWriteMany")
    app = node.application()
    app.start()
    fuse = node.fuse(COMMANDS["newest"])
    fuse.start()
    fuse.until(lambda: is_up(fuse), "the mount")
    script = "exec 5> /data/thin-fuse/g; echo one >&5; echo open; read go; echo two >&5"
    writer = subprocess.Popen(app.inside("bash", "-c", script),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert writer.stdout and writer.stdout.readline() == "open\n"
    node.dataset(address(cluster), "data", "more", mode="ReadWriteMany")
    fuse.until(lambda: not app.run("test", "-d", "/data/thin-fuse/more").returncode, "more")
    writer.communicate("\n", timeout=120)
    assert writer.returncode == 0
    assert app.must("cat", "/data/thin-fuse/data/g") == "one\ntwo\n"
