# SPDX-License-Identifier: Apache-2.0
"""The generated files: the seed's input gives the seed's output; hostile texts survive."""

from __future__ import annotations

import os
import shlex
import subprocess
import tomllib
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from curvine.config.load import load
from curvine.fluid.mount_plan import MountPlan, Place, make_plan
from curvine.fluid.mount_script import assignment, mount_script
from curvine.fluid.runtime_config import DatasetMount, RuntimeConfig, parse_config, read_config
from curvine.fluid.toml_text import cluster_toml, quoted

FIXTURES = Path(__file__).parents[1] / "data" / "fluid"
SEED_INPUT = b"""{
  "mounts": [{
    "mountPoint": "curvine:///data",
    "options": {
      "master-endpoints": "192.168.10.9:8995"
    }
  }],
  "targetPath": "/runtime-mnt/thin/default/curvine-dataset/thin-fuse"
}
"""
SEED_TOML = """\
format_master = false
format_worker = false
testing = false
cluster_id = "curvine"
[master]
hostname = "192.168.10.9"
rpc_port = 8995
web_port = 8080
[[client.master_addrs]]
hostname = "192.168.10.9"
port = 8995
[fuse]
debug = false
io_threads = 32
worker_threads = 56
mnt_path = "/runtime-mnt/thin/default/curvine-dataset/thin-fuse"
fs_path = "/data"
"""
TARGET = "/runtime-mnt/thin/default/curvine-dataset/thin-fuse"

# Everything that a JSON document can hold and a file can store.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
paths = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
hosts = st.from_regex(r"[a-z0-9.\-:]{1,12}", fullmatch=True)


def seed_plan() -> MountPlan:
    return make_plan(parse_config(SEED_INPUT, "seed"), {})


def in_order(document: object) -> object:
    """Tables as lists of pairs, so that comparing sees their order."""
    if isinstance(document, dict):
        return [(name, in_order(value)) for name, value in document.items()]
    if isinstance(document, list):
        return [in_order(value) for value in document]
    return (type(document), document)


def test_the_seeds_toml_key_by_key() -> None:
    made = cluster_toml(seed_plan())
    assert in_order(tomllib.loads(made)) == in_order(tomllib.loads(SEED_TOML))
    assert [line for line in made.splitlines() if line] == SEED_TOML.splitlines()


def test_what_fluid_renders_adds_only_read_only() -> None:
    plan = make_plan(read_config(str(FIXTURES / "01-seed-minimal.config.json")), {})
    lines = [line for line in cluster_toml(plan).splitlines() if line]
    assert lines == [*SEED_TOML.splitlines(), "readonly = true"]


def test_the_seeds_script() -> None:
    script = mount_script(seed_plan(), "/opt/curvine", "/opt/curvine/conf/curvine-cluster.toml")
    lines = script.splitlines()
    assert lines[:2] == ["#!/bin/bash", "set -ex"]
    assert 'export CURVINE_HOME="/opt/curvine"' in lines
    assert 'export CURVINE_CONF_FILE="/opt/curvine/conf/curvine-cluster.toml"' in lines
    for directory in (TARGET, "/tmp/curvine/meta", "/opt/curvine/logs"):
        assert f"mkdir -p {directory}" in lines
    detach = lines.index(f"detach_dead_mounts {TARGET}")
    assert detach < lines.index(f"mkdir -p {TARGET}"), "mkdir fails on a dead mount"
    tail = script[script.index("exec ") :]
    assert shlex.split(tail.replace("\\\n", " ")) == [
        "exec", "/opt/curvine/lib/curvine-fuse", "--mnt-path", TARGET, "--mnt-number", "1",
        "--conf", "$CURVINE_CONF_FILE",
    ]  # fmt: skip


def test_every_fixture_is_loadable() -> None:
    env = {"CURVINE_ALLOW_EMPTY_MOUNTS": "1"}
    for path in sorted(FIXTURES.glob("*.config.json")):
        config = read_config(str(path))
        if "secrets" in path.read_text():
            continue
        tomllib.loads(cluster_toml(make_plan(config, env)))


def test_the_loader_understands_several_mounts(tmp_path: Path) -> None:
    config = read_config(str(FIXTURES / "05-two-mounts.config.json"))
    path = tmp_path / "c.toml"
    path.write_text(cluster_toml(make_plan(config, {})))
    loaded = load(str(path), env={})
    assert loaded.warnings == []
    assert [mount.path for mount in loaded.conf.fuse.mounts] == ["/", "/test"]
    assert loaded.conf.fuse.mounts[1].master_addrs[0].hostname == "curvine-test-master"


def test_no_mounts_yet(tmp_path: Path) -> None:
    config = RuntimeConfig(target_path="/t")
    path = tmp_path / "c.toml"
    path.write_text(cluster_toml(make_plan(config, {"CURVINE_ALLOW_EMPTY_MOUNTS": "1"})))
    conf = load(str(path), env={}).conf
    assert (conf.fuse.fs_path, conf.fuse.mounts, conf.fuse.mnt_path) == ("", (), "/t")


@given(texts)
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}


@given(
    target=paths,
    fs_path=paths,
    host=hosts,
    values=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), texts, max_size=3),
    second=st.booleans(),
)
def test_hostile_texts_survive_the_whole_file(
    target: str, fs_path: str, host: str, values: dict[str, str], second: bool
) -> None:
    place = Place(path="/", fs_path=fs_path, masters=((host, 1),), read_only=True, label="x",
                  client=dict(values))  # fmt: skip
    other = Place(path="/" + target, fs_path="/", masters=(), read_only=False, label="y")
    plan = MountPlan(
        target=target, places=(place, other) if second else (place,), web_port=1, io_threads=2,
        worker_threads=3, mnt_number=1, read_only=True, client=dict(values), fuse={}, kernel=(),
        flags=(), settings=(), has_secrets=False, warnings=(),
    )  # fmt: skip
    read = tomllib.loads(cluster_toml(plan))
    assert read["fuse"]["mnt_path"] == target
    assert {name: read["client"][name] for name in values} == values
    assert read["master"]["hostname"] == host
    if second:
        first, last = read["fuse"]["mounts"]
        assert (first["fs_path"], last["path"]) == (fs_path, "/" + target)
        assert first.get("options", {}) == values
    else:
        assert read["fuse"]["fs_path"] == fs_path


@given(paths)
@settings(max_examples=50)
def test_any_path_becomes_one_word(path: str) -> None:
    assert shlex.split(assignment(path)) == [path]


@given(target=paths, home=paths, value=paths)
@settings(max_examples=30)
def test_bash_reads_any_path_as_it_is(target: str, home: str, value: str) -> None:
    """The script's own words, run by bash with every command replaced by one that prints them."""
    target, home = "/" + target, "/" + home
    plan = make_plan(
        RuntimeConfig(
            mounts=(DatasetMount(mount_point="/d", options={"master-endpoints": "m:1",
                                                            "node-cache-timeout": "1h"}),),
            target_path="/t",
        ),
        {},
    )  # fmt: skip
    script = mount_script(
        _with(plan, target=target, flags=(("state-dir", value),)), home, home + "/conf/c.toml"
    )
    checked = subprocess.run(
        ["bash", "-n"], input=script.encode(), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    show = r"show() { printf '%s\0' WORDS "  # then the words, each ended by a NUL
    prelude = f'{show} "$@"; }}\nmkdir() {{ show mkdir "$@"; }}\nexec() {{ show exec "$@"; }}\n'
    stub = prelude + script.replace("set -ex", "set -e")
    stub = stub.replace("\ndetach_dead_mounts ", "\nshow detach ")
    ran = subprocess.run(["bash"], input=stub.encode(), capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    words = [w.split("\0")[:-1] for w in ran.stdout.decode().split("WORDS\0")[1:]]
    assert words[0] == ["detach", target]
    assert words[1] == ["mkdir", "-p", target]
    assert words[-1] == [
        "exec", os.path.join(home, "lib", "curvine-fuse"), "--mnt-path", target,
        "--mnt-number", "1", "--conf", home + "/conf/c.toml", "--state-dir", value,
    ]  # fmt: skip


def _with(plan: MountPlan, **changes: object) -> MountPlan:
    return msgspec.structs.replace(plan, **changes)
