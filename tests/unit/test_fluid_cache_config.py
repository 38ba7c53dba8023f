# SPDX-License-Identifier: Apache-2.0
"""A CacheRuntime's document becomes the configuration of each role, and its mount table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curvine.config.load import load
from curvine.errors import ConfigError
from curvine.fluid.cache_config import CacheDocument, main, make_config, read_document
from curvine.fluid.dataload import find_masters, wanted_paths
from curvine.fluid.ufs_mounts import plan_steps, property_name, wanted_mounts
from curvine.model.mount import AccessMode, MountInfo, WriteType

FIXTURE = (
    Path(__file__).parents[1] / "data/fluid/13-cacheruntime-curvine-native.runtime.json"
)  # fmt: skip


def document(tmp_path: Path, **changes: Any) -> CacheDocument:
    body = json.loads(FIXTURE.read_text()) | changes
    path = tmp_path / "runtime.json"
    path.write_text(json.dumps(body) + "\n")
    return read_document(str(path))


def conf(tmp_path: Path, role: str, env: dict[str, str] | None = None, **changes: Any) -> Any:
    made = make_config(document(tmp_path, **changes), role, env or {"HOSTNAME": f"pod-{role}"})
    path = tmp_path / "conf.toml"
    path.write_text(made.toml)
    loaded = load(str(path), env={})
    assert not loaded.warnings
    return loaded.conf


def test_master(tmp_path: Path) -> None:
    made = conf(tmp_path, "master", {"POD_NAME": "curvine-demo-master-0"})
    assert made.format_master and made.cluster_id == "curvine-demo"
    assert made.master.hostname == "curvine-demo-master-0.svc-curvine-demo-master"
    assert (made.master.rpc_port, made.master.web_port) == (8995, 9000)
    assert made.master.meta_dir == "/app/curvine/data/meta"
    assert made.journal.journal_dir == "/app/curvine/data/journal"
    (peer,) = made.journal.journal_addrs
    assert (peer.hostname, peer.port) == ("curvine-demo-master-0.svc-curvine-demo-master", 8996)


def test_worker(tmp_path: Path) -> None:
    made = conf(tmp_path, "worker")
    assert made.worker.data_dir == (
        "[HDD:5GB]/etc/fluid/mount/tiered-store/level-0-index-0-emptydir",
    )
    assert (made.worker.rpc_port, made.worker.web_port) == (8997, 9001)
    assert made.worker.hostname == "pod-worker.svc-curvine-demo-worker"
    assert made.client_master_addrs() == (("curvine-demo-master-0.svc-curvine-demo-master", 8995),)


def test_client(tmp_path: Path) -> None:
    made = conf(tmp_path, "client")
    assert made.fuse.mnt_path == "/runtime-mnt/cache/default/curvine-demo/cache-fuse"
    assert not made.fuse.readonly
    # A native mount that appears under another name: beside the whole name space.
    assert [(m.path, m.fs_path) for m in made.fuse.mounts] == [("/", "/"), ("/curvine", "/data")]
    read_only = conf(tmp_path, "client", mounts=[], accessModes=["ReadOnlyMany"])
    assert read_only.fuse.readonly and read_only.fuse.mounts == ()


def test_three_masters_and_tiers(tmp_path: Path) -> None:
    master = {"enabled": True, "name": "m", "replicas": 3, "service": {"name": "svc"}}
    levels = [
        {"mountPaths": ["/dev/shm"], "mediumType": "MEM", "quotas": ["512Mi"]},
        {"mountPaths": ["/a", "/b"], "mediumType": "HDD", "quotas": ["1Ti", "10Gi"]},
    ]
    worker = {"enabled": True, "name": "w", "service": {"name": ""}, "tieredStoreLevels": levels}
    made = conf(tmp_path, "worker", master=master, worker=worker)
    assert made.worker.data_dir == ("[MEM:512MB]/dev/shm", "[HDD:1TB]/a", "[HDD:10GB]/b")
    assert [host for host, _ in made.client_master_addrs()] == ["m-0.svc", "m-1.svc", "m-2.svc"]
    given = {"data_dir": "[SSD:1GB]/x, [HDD]/y"}
    made = conf(tmp_path, "worker", worker=worker | {"options": given})
    assert made.worker.data_dir == ("[SSD:1GB]/x", "[HDD]/y")


def test_program(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("FLUID_RUNTIME_CONFIG_PATH", str(FIXTURE))
    monkeypatch.setenv("FLUID_RUNTIME_COMPONENT_TYPE", "client")
    monkeypatch.setenv("CURVINE_HOME", str(tmp_path))
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "CURVINE_TARGET_PATH=/runtime-mnt/cache/default/curvine-demo/cache-fuse" in out
    assert "CURVINE_MASTER_ENDPOINTS=curvine-demo-master-0.svc-curvine-demo-master:8995" in out
    assert (tmp_path / "conf" / "curvine-cluster.toml").exists()
    monkeypatch.setenv("FLUID_RUNTIME_CONFIG_PATH", str(tmp_path / "none"))
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("ERROR: cannot read ")


def test_unknown_options_are_told_and_bad_ones_refused(tmp_path: Path) -> None:
    worker = {"enabled": True, "name": "w", "service": {"name": ""}, "options": {"key1": "x"}}
    made = make_config(document(tmp_path, worker=worker), "worker", {})
    assert made.warnings == ("worker: unknown option key1 is ignored",)
    worker["options"] = {"rpc_port": "many"}
    with pytest.raises(ConfigError, match="option worker rpc_port: 'many'"):
        make_config(document(tmp_path, worker=worker), "worker", {})


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("endpoint_url", "s3.endpoint_url"),
        ("access", "s3.credentials.access"),
        ("secret-key", "s3.credentials.secret"),
        ("path_style", "s3.path_style"),
        ("s3.force.path.style", "s3.force.path.style"),
        ("opendal.retry_times", "opendal.retry_times"),
    ],
)
def test_names_of_properties(name: str, full: str) -> None:
    assert property_name("s3", name) == full


def test_mount_table(tmp_path: Path) -> None:
    secrets = tmp_path / "s"
    secrets.mkdir()
    (secrets / "k").write_text("hidden\n")
    mounts = [
        {"mountPoint": "s3://b", "path": "/cold/archive", "options": {"write-type": "fs_mode"}},
        {"mountPoint": "s3://c", "path": "/c", "readOnly": True,
         "encryptOptions": {"secret": "/etc/fluid/secrets/s/k"}},
        {"mountPoint": "curvine:///data", "path": "/native"},
        {"mountPoint": "pvc://x", "path": "/x"},
        {"mountPoint": "local:///x", "path": "/y"},
    ]  # fmt: skip
    env = {"CURVINE_FLUID_SECRETS_DIR": str(tmp_path)}
    wanted = wanted_mounts(document(tmp_path, mounts=mounts), env)
    assert [one.path for one in wanted] == ["/cold/archive", "/c", "/native"]
    assert wanted[0].write_type is WriteType.FS_MODE
    assert wanted[1].properties == {"s3.credentials.secret": "hidden"}
    assert wanted[1].access_mode is AccessMode.READ_ONLY
    table = [
        MountInfo("/c", "s3://c/", 1),
        MountInfo("/cold/archive", "s3://b", 2),  # cache_mode, which an update cannot change
        MountInfo("/old", "s3://old", 3),
    ]
    steps = plan_steps(wanted, table)
    assert steps.unmount == ("/cold/archive", "/old")
    assert [one.path for one in steps.mount] == ["/cold/archive"]
    assert [one.path for one in steps.update] == ["/c"]
    assert steps.directories == ("/data",)
    with pytest.raises(ConfigError, match="/c is listed twice"):
        wanted_mounts(document(tmp_path, mounts=[mounts[1], mounts[1]]), env)


@pytest.mark.parametrize(
    ("env", "masters"),
    [
        ({"CURVINE_MASTER_ENDPOINTS": "a:1;b:2"}, "a:1,b:2"),
        ({"CURVINE_DATALOAD_DATASET": "ds"}, "ds-master-0.svc-ds-master:8995"),
        ({"HOSTNAME": "ds-load-loader-job-x7f2k"}, "ds-master-0.svc-ds-master:8995"),
        ({"HOSTNAME": "my-ds-dataload-loader-job-x"}, "my-ds-master-0.svc-my-ds-master:8995"),
        ({"CURVINE_DATALOAD_MASTER_HOST": "h:9"}, "h:9"),
        ({"FLUID_RUNTIME_CONFIG_PATH": str(FIXTURE)},
         "curvine-demo-master-0.svc-curvine-demo-master:8995"),
    ],
)  # fmt: skip
def test_a_load_finds_the_masters(env: dict[str, str], masters: str) -> None:
    assert find_masters({"FLUID_RUNTIME_CONFIG_PATH": "/none"} | env) == masters


def test_a_load_without_masters() -> None:
    with pytest.raises(ConfigError, match="set CURVINE_MASTER_ENDPOINTS"):
        find_masters({"FLUID_RUNTIME_CONFIG_PATH": "/none"})
    assert wanted_paths({}) == ("/",)
    assert wanted_paths({"FLUID_DATALOAD_DATA_PATH": "/a:/b:/a"}) == ("/a", "/b")
