# SPDX-License-Identifier: Apache-2.0
"""`fluid-config-parse` and the script that it writes, run as programs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.config.load import load

FIXTURES = Path(__file__).parents[1] / "data" / "fluid"
SHIM = Path(__file__).parents[2] / "curvine-docker/fluid/thin-runtime/fluid-config-parse.py"
LEAVE_DEAD_MOUNT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"dead", os.fsencode(sys.argv[1]), b"fuse", 0, data):
    raise OSError(ctypes.get_errno(), "mount")
"""


class Pod:
    """A directory that stands for a container's file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "opt" / "curvine"
        self.target = root / "runtime-mnt" / "a 'b' $c" / "thin-fuse"
        self.config = root / "config.json"
        self.env = {
            "PATH": os.environ["PATH"],
            "CURVINE_HOME": str(self.home),
            "FLUID_RUNTIME_CONFIG_PATH": str(self.config),
        }

    def document(self, **changes: object) -> None:
        mount = {"mountPoint": "curvine:///data", "options": {"master-endpoints": "m:8995"}}
        base: dict[str, object] = {"mounts": [mount], "targetPath": str(self.target)}
        self.config.write_text(json.dumps(base | changes) + "\n")

    def parse(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "curvine.fluid.parse_main", *arguments],
            env=self.env | env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def run_script(self, mode: str = "") -> subprocess.CompletedProcess[str]:
        """The generated script, with a curvine-fuse that prints its arguments."""
        fuse = self.home / "lib" / "curvine-fuse"
        fuse.parent.mkdir(exist_ok=True)
        fuse.write_text('#!/bin/bash\nprintf "%s\\n" "$CURVINE_HOME" "$CURVINE_CONF_FILE" "$@"\n')
        fuse.chmod(0o755)
        return subprocess.run(
            [str(self.home / "mount-curvine.sh")],
            env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def mounted(self) -> str:
        """mountinfo's lines about the target."""
        name = str(self.target).replace(" ", "\\040")
        text = Path("/proc/self/mountinfo").read_text()
        return "\n".join(line for line in text.splitlines() if f" {name} " in line)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@pytest.fixture
def mount_point(pod: Pod) -> Iterator[Path]:
    """The target as a directory, without mounts afterwards."""
    pod.target.mkdir(parents=True)
    yield pod.target
    while pod.mounted():
        subprocess.run(["umount", "-l", str(pod.target)], check=True)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error."""
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("WARNING: ")]
    assert line.startswith("ERROR: ")
    return line


def test_files(pod: Pod) -> None:
    pod.document()
    result = pod.parse()
    assert (result.returncode, result.stderr) == (0, "")
    conf, script = pod.home / "conf" / "curvine-cluster.toml", pod.home / "mount-curvine.sh"
    assert "Configuration generated successfully!" in result.stdout
    assert str(conf) in result.stdout and str(script) in result.stdout
    assert tomllib.loads(conf.read_text())["fuse"]["mnt_path"] == str(pod.target)
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    assert stat.S_IMODE(conf.stat().st_mode) == 0o644
    assert sorted(p.name for p in pod.home.rglob("*") if p.is_file()) == [
        "curvine-cluster.toml",
        "mount-curvine.sh",
    ]


def test_a_second_run_replaces_the_first(pod: Pod) -> None:
    pod.document()
    pod.parse()
    pod.document(targetPath="/other")
    assert pod.parse().returncode == 0
    text = (pod.home / "conf" / "curvine-cluster.toml").read_text()
    assert tomllib.loads(text)["fuse"]["mnt_path"] == "/other"


def test_the_script_becomes_curvine_fuse(pod: Pod) -> None:
    pod.document()
    pod.parse()
    result = pod.run_script()
    assert result.returncode == 0, result.stderr
    conf = str(pod.home / "conf" / "curvine-cluster.toml")
    assert result.stdout.splitlines() == [
        str(pod.home), conf, "--mnt-path", str(pod.target), "--mnt-number", "1", "--conf", conf,
    ]  # fmt: skip
    assert pod.target.is_dir() and (pod.home / "logs").is_dir()


@pytest.mark.fuse
def test_a_dead_mount_is_detached_before_mkdir(pod: Pod, mount_point: Path) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", LEAVE_DEAD_MOUNT, str(mount_point)], check=True)
    assert len(pod.mounted().splitlines()) == 2
    pod.document()
    pod.parse()
    result = pod.run_script()
    assert result.returncode == 0, result.stderr
    assert pod.mounted() == "" and mount_point.is_dir()


@pytest.mark.fuse
def test_a_healthy_mount_is_left_alone(pod: Pod, mount_point: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "healthy", str(mount_point)], check=True)
    pod.document()
    pod.parse()
    assert pod.run_script().returncode == 0
    assert "healthy" in pod.mounted()


def test_input_is_searched_in_order(pod: Pod, tmp_path: Path) -> None:
    pod.document()
    named = tmp_path / "named.json"
    named.write_text(pod.config.read_text().replace("m:8995", "named:1"))
    assert "named:1" in pod.parse("--config", str(named)).stdout
    assert "m:8995" in pod.parse().stdout


def test_environment_alone(pod: Pod) -> None:
    result = pod.parse(
        CURVINE_MASTER_ENDPOINTS="m:8995", CURVINE_TARGET_PATH="/t", CURVINE_IO_THREADS="64",
        CURVINE_WORKER_THREADS="128", CURVINE_MASTER_WEB_PORT="9000",
        CURVINE_MOUNT_POINT="curvine:///x",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    read = tomllib.loads((pod.home / "conf" / "curvine-cluster.toml").read_text())
    assert read["master"] == {"hostname": "m", "rpc_port": 8995, "web_port": 9000}
    assert (read["fuse"]["io_threads"], read["fuse"]["worker_threads"]) == (64, 128)
    assert (read["fuse"]["mnt_path"], read["fuse"]["fs_path"]) == ("/t", "/x")


def test_no_configuration_file(pod: Pod) -> None:
    line = error_line(pod.parse())
    for part in (str(pod.config), "/etc/fluid/config/config.json", "CURVINE_MASTER_ENDPOINTS"):
        assert part in line


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"mounts": [}', "line 1 column 13"),
        ('{"mounts": null, "targetPath": "/t"}', "has no mounts"),
        ('{"mounts": {}, "targetPath": "/t"}', "mounts must be a JSON array"),
        ('{"targetPath": "/t"}', "has no mounts"),
        ("", "line 1 column 1"),
    ],
)
def test_broken_configuration(pod: Pod, text: str, part: str) -> None:
    pod.config.write_text(text)
    assert part in error_line(pod.parse())
    assert not pod.home.exists(), "nothing is written"


@pytest.mark.parametrize(
    ("mount_point", "options", "part"),
    [
        ("curvine:///d", {}, "master-endpoints is missing"),
        ("curvine:///d", {"master-endpoints": "m"}, "has no port"),
        ("curvine:///d", {"master-endpoints": "m:port"}, "'port'"),
        ("curvine:///d", {"master-endpoints": "m:65536"}, "65535"),
        ("s3://b/d", {"master-endpoints": "m:1"}, "s3://"),
        ("curvine:///d", {"master-endpoints": "m:1", "x": "/etc/fluid/secrets/a/b"}, "secrets/a/b"),
        ("curvine:///d", {"master-endpoints": "m\n:\n1x"}, "port"),
    ],
)
def test_wrong_mounts(pod: Pod, mount_point: str, options: dict[str, str], part: str) -> None:
    pod.document(mounts=[{"name": "ds", "mountPoint": mount_point, "options": options}])
    line = error_line(pod.parse())
    assert part in line and "mount 'ds'" in line


def test_output_that_cannot_be_written(pod: Pod, tmp_path: Path) -> None:
    pod.document()
    (tmp_path / "opt").write_text("a file, not a directory")
    line = error_line(pod.parse())
    assert "cannot write" in line and "curvine-cluster.toml" in line


def test_half_of_the_output_is_not_left_behind(pod: Pod) -> None:
    pod.document()
    (pod.home / "mount-curvine.sh" / "in the way").mkdir(parents=True)
    assert "mount-curvine.sh" in error_line(pod.parse())
    assert not list(pod.home.rglob(".curvine-*"))


def test_secrets_are_written_and_not_shown(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "k").write_text("hush-hush\n")
    options = {
        "master-endpoints": "m:1",
        "client.token": "/etc/fluid/secrets/s/k",
        "access-token": "/etc/fluid/secrets/s/k",
        "client.password": "plain-hush",
    }
    pod.document(mounts=[{"mountPoint": "curvine:///d", "options": options}])
    result = pod.parse(CURVINE_FLUID_SECRETS_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    conf = pod.home / "conf" / "curvine-cluster.toml"
    assert tomllib.loads(conf.read_text())["client"]["token"] == "hush-hush"
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600
    assert "hush" not in result.stdout + result.stderr
    assert "hush" not in (pod.home / "mount-curvine.sh").read_text()


def test_the_token_of_the_cluster_is_a_path(pod: Pod, tmp_path: Path) -> None:
    """Fixture 03: the file of the Secret is named, its content goes nowhere."""
    token = tmp_path / "curvine-cred" / "token"
    token.parent.mkdir()
    token.write_text("hush-hush-hush-hush\n")
    fixture = FIXTURES / "03-encrypt-options.config.json"
    result = pod.parse("--config", str(fixture), CURVINE_FLUID_SECRETS_DIR=str(tmp_path))
    assert result.returncode == 1 and "s3-cred/secret-key" in result.stderr
    (tmp_path / "s3-cred").mkdir()
    (tmp_path / "s3-cred" / "secret-key").write_text("hush")
    result = pod.parse("--config", str(fixture), CURVINE_FLUID_SECRETS_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    conf = pod.home / "conf" / "curvine-cluster.toml"
    assert load(str(conf), env={}).conf.auth.token_file == str(token)
    assert "hush" not in result.stdout + result.stderr
    for path in pod.home.rglob("*"):
        assert not path.is_file() or "hush" not in path.read_text()


def test_a_token_given_as_text_goes_into_a_file_of_its_own(pod: Pod) -> None:
    """Fluid with secret storage hands over the secret itself."""
    first = {"master-endpoints": "m:1", "access-token": "hush-one-hush-one\n"}
    second = {"master-endpoints": "n:1", "access-token": "hush-two-hush-two", "cluster-id": "b"}
    mounts = [
        {"mountPoint": "curvine:///a", "name": "a", "options": first},
        {"mountPoint": "curvine:///b", "name": "b", "options": second},
    ]
    for count in (1, 2):
        pod.document(mounts=mounts[:count])
        result = pod.parse()
        assert result.returncode == 0, result.stderr
        assert "hush" not in result.stdout + result.stderr
        made = load(str(pod.home / "conf" / "curvine-cluster.toml"), env={})
        assert made.warnings == []
        if count == 1:
            files = [made.conf.auth.token_file]
        else:
            assert made.conf.auth.token_file == ""
            files = [mount.token_file for mount in made.conf.fuse.mounts]
            assert [mount.cluster_id for mount in made.conf.fuse.mounts] == ["", "b"]
        texts = [Path(name).read_text() for name in files]
        assert texts == ["hush-one-hush-one", "hush-two-hush-two"][:count]
        assert all(stat.S_IMODE(os.stat(name).st_mode) == 0o600 for name in files)
        assert "hush" not in (pod.home / "conf" / "curvine-cluster.toml").read_text()


@pytest.mark.parametrize("fixture", sorted(FIXTURES.glob("*.config.json")), ids=lambda p: p.stem)
def test_fixtures(pod: Pod, tmp_path: Path, fixture: Path) -> None:
    for name in ("curvine-cred/token", "s3-cred/secret-key"):
        path = tmp_path / "secrets" / name
        path.parent.mkdir(parents=True)
        path.write_text("s\n")
    result = pod.parse(
        "--config", str(fixture), CURVINE_FLUID_SECRETS_DIR=str(tmp_path / "secrets")
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    tomllib.loads((pod.home / "conf" / "curvine-cluster.toml").read_text())
    subprocess.run(["bash", "-n", str(pod.home / "mount-curvine.sh")], check=True)


def test_the_seeds_name(pod: Pod) -> None:
    pod.document()
    result = subprocess.run(
        [sys.executable, str(SHIM)], env=pod.env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (pod.home / "mount-curvine.sh").exists()
