# SPDX-License-Identifier: Apache-2.0
"""Flags, mount options and the plan of curvine-fuse."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError
from curvine.fuse import mount, run
from curvine.fuse.flags import FLAGS, parse_flags
from curvine.fuse.launch import Launch, MountPlan, put_document, take_launch, take_plan

MASTER = ["--master-addrs", "127.0.0.1:8995"]


def plan_of(argv: list[str], env: dict[str, str] | None = None) -> tuple[object, ClusterConf]:
    environment = {"HOME": "/nonexistent", **(env or {})}
    loaded, options = run.read_conf(parse_flags(argv, "v"), environment)
    plan, _ = run.make_plan(loaded, options, environment, ("server",))
    fd = put_document(plan, "plan")
    again = take_plan(fd)
    assert again.mount == plan.mount and again.server == plan.server
    return again.mount, msgspec.convert(again.conf, ClusterConf)


def test_flags_reach_the_configuration_of_the_server() -> None:
    target, conf = plan_of(
        [*MASTER, "--mnt-path", "/mnt/x", "--fs-path", "data/", "--io-threads", "8", "-d",
         "--clone-fd", "false", "--client.replicas=2", "--entry-timeout-ms", "2000", "mount"]
    )  # fmt: skip
    assert isinstance(target, MountPlan)
    assert (target.target, target.number, target.source) == ("/mnt/x", 1, "curvinefs")
    assert conf.fuse.fs_path == "/data" and conf.fuse.io_threads == 8 and conf.fuse.debug
    assert not conf.fuse.clone_fd and conf.client.replicas == 2
    assert conf.fuse.entry_timeout_ms == 2000
    assert conf.client_master_addrs() == (("127.0.0.1", 8995),)


def test_every_flag_names_a_key(tmp_path: Path) -> None:
    conf = ClusterConf()
    for flag in FLAGS:
        section, key = flag.key.split(".")
        assert hasattr(getattr(conf, section), key), flag


@pytest.mark.parametrize("argv", [["--readonly"], ["-o", "ro"], ["-o", "nodev,ro"]])
def test_read_only_in_every_spelling(argv: list[str]) -> None:
    target, conf = plan_of([*MASTER, *argv])
    assert isinstance(target, MountPlan) and target.flags & mount.MS_RDONLY and conf.fuse.readonly


def test_fluid_decides_names_and_keeps_to_one_mount() -> None:
    target, _ = plan_of([*MASTER, "--mnt-number", "4"], {"FLUID_RUNTIME_TYPE": "thin"})
    assert isinstance(target, MountPlan)
    assert (target.source, target.number, target.stack) == ("curvinefs-thin", 1, True)
    target, _ = plan_of(MASTER, {"FLUID_RUNTIME_TYPE": "cache"})
    assert isinstance(target, MountPlan) and target.source == "curvinefs-cache"
    target, _ = plan_of([*MASTER, "--mnt-number", "4"])
    assert isinstance(target, MountPlan) and (target.number, target.stack) == (4, False)


def test_mount_options() -> None:
    options = mount.parse_options(["suid,noatime", "big_write"], read_only=False,
                                  check_permission=True)  # fmt: skip
    assert options.flags == mount.MS_NODEV | mount.MS_NOATIME
    assert options.data == ("allow_other", "default_permissions") and not options.nonempty
    assert mount.parse_options(["rw"], read_only=True, check_permission=False).flags & 1


@pytest.mark.parametrize("word", ["allow_root", "max_write=4096", "auto_unmount", "unheard"])
def test_refused_mount_options(word: str) -> None:
    with pytest.raises(ConfigError, match=word.split("=")[0]):
        mount.parse_options([word], read_only=False, check_permission=True)


@pytest.mark.parametrize(
    "argv",
    [["--unknown-flag"], ["--client.nokey=1", *MASTER], ["--conf", "/nonexistent.toml"], [],
     [*MASTER, "--mnt-number", "many"], [*MASTER, "-o", "unheard"], ["--io-threads"]],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_exit_code_1(
    argv: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CURVINE_CONF_FILE", "CURVINE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    assert run.main(argv) == 1
    error = capfd.readouterr().err
    assert error.startswith("ERROR: ") and error.count("\n") == 1


def test_informing_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run.main(["--version-json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "curvine-fuse"
    assert run.main(["list-config-flags"]) == 0
    assert "--mnt-path" in capsys.readouterr().out
    conf = tmp_path / "curvine-cluster.toml"
    conf.write_text('[fuse]\nmnt_path = "/mnt/y"\n')
    assert run.main(["validate-config", "--conf", str(conf)]) == 0
    assert str(conf) in capsys.readouterr().out


def test_launch_comes_back_as_it_was() -> None:
    launch = Launch((3, 4), 5, 6, 1, MountPlan("/mnt", data=("allow_other",)), {"fuse": {}})
    assert take_launch(put_document(launch, "launch")) == launch


def test_mountinfo(tmp_path: Path) -> None:
    assert mount.topmost("/") is not None
    assert mount._unescape(r"/a\040b\134c/ü") == r"/a b\c/ü"
    entries = [
        mount.MountEntry(2, 1, "0:1", "/m", "fuse.x", "x"),
        mount.MountEntry(3, 2, "0:2", "/m", "ext4", "y"),
    ]
    assert mount.topmost("/m", entries) == entries[1]
    assert entries[0].is_fuse and not entries[1].is_fuse
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert mount.canonical(str(tmp_path / "link" / "..")) == os.path.realpath(tmp_path)
    assert mount.canonical(str(tmp_path / "link")) == str(tmp_path / "real")


def test_a_child_with_a_time_limit() -> None:
    assert mount.in_child(lambda: None, 5) == 0
    assert mount.in_child(lambda: os.stat("/nonexistent"), 5) == 2
    assert mount.in_child(lambda: os.read(os.pipe()[0], 1), 0.1) is None
