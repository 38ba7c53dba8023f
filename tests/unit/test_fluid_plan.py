# SPDX-License-Identifier: Apache-2.0
"""What is to be mounted: sources of options, precedence, endpoints, several mounts, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curvine.errors import ConfigError
from curvine.fluid.mount_plan import MountPlan, make_plan, parse_endpoints
from curvine.fluid.options import Setting, mount_options
from curvine.fluid.runtime_config import DatasetMount, RuntimeConfig, read_config

FIXTURES = Path(__file__).parents[1] / "data" / "fluid"
ENDPOINT = {"master-endpoints": "m:8995"}


def plan(
    options: dict[str, str] | None = None,
    *,
    env: dict[str, str] | None = None,
    mounts: tuple[DatasetMount, ...] | None = None,
    **document: Any,
) -> MountPlan:
    if mounts is None:
        given = ENDPOINT if options is None else options
        mounts = (DatasetMount(mount_point="curvine:///data", name="ds", options=given),)
    config = RuntimeConfig(mounts=mounts, target_path="/target", **document)
    return make_plan(config, env or {})


def endpoints(text: str) -> tuple[tuple[str, int], ...]:
    return parse_endpoints(Setting("master-endpoints", text, "mount 'ds'"))


def test_defaults_of_the_seed() -> None:
    made = plan()
    assert (made.io_threads, made.worker_threads, made.web_port, made.mnt_number) == (
        32,
        56,
        8080,
        1,
    )
    assert made.flags == () and made.warnings == () and not made.read_only
    assert made.root is not None and made.root.fs_path == "/data"


def test_environment_of_the_seed() -> None:
    made = plan(
        {},
        env={
            "CURVINE_IO_THREADS": "64",
            "CURVINE_WORKER_THREADS": "128",
            "CURVINE_MASTER_ENDPOINTS": "master:8995",
            "CURVINE_MASTER_WEB_PORT": "9000",
        },
    )
    assert (made.io_threads, made.worker_threads, made.web_port) == (64, 128, 9000)
    assert made.places[0].masters == (("master", 8995),)


def test_precedence() -> None:
    """Dataset option > runtimeOptions > MOUNT_OPTIONS > CURVINE_* > default."""
    env = {"CURVINE_IO_THREADS": "4", "MOUNT_OPTIONS": "kernel_cache,io-threads=3,max-background=9"}
    assert plan(env=env).io_threads == 3
    assert plan(env=env, runtime_options={"io-threads": "2"}).io_threads == 2
    made = plan(ENDPOINT | {"io_threads": "1"}, env=env, runtime_options={"io-threads": "2"})
    assert made.io_threads == 1
    assert ("max-background", "9") in made.flags
    assert made.warnings == ("unknown option kernel_cache is ignored",)


def test_empty_values_are_not_values() -> None:
    assert plan(ENDPOINT | {"io-threads": ""}, env={"CURVINE_IO_THREADS": "8"}).io_threads == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m:8995", (("m", 8995),)),
        ("a:1,b:2, c:3", (("a", 1), ("b", 2), ("c", 3))),
        ("a:1;b:2 c:3\td:4,", (("a", 1), ("b", 2), ("c", 3), ("d", 4))),
        ('["a:1", "b:2"]', (("a", 1), ("b", 2))),
        ("[::1]:8995,[fd00::2]:1", (("::1", 8995), ("fd00::2", 1))),
    ],
)
def test_endpoint_lists(text: str, expected: tuple[tuple[str, int], ...]) -> None:
    assert endpoints(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("master", "has no port"),
        ("m:99999", "65535"),
        ("m:0", "65535"),
        ("m:80a", "port '80a'"),
        (":8995", "no usable host"),
        ("http://m:8995", "no usable host"),
        (",", "names no master"),
        ('["a:1"', "not a valid JSON list"),
        ('["a:1", 3]', "JSON list"),
    ],
)
def test_bad_endpoints(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        endpoints(text)
    assert str(caught.value).startswith("mount 'ds': option master-endpoints: ")


def test_missing_endpoints() -> None:
    with pytest.raises(ConfigError, match="mount 'ds': the option master-endpoints is missing"):
        plan({})


@pytest.mark.parametrize("name", ["io-threads", "worker-threads", "master-web-port", "mnt-number"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "99999999", "٣"])
def test_bad_numbers(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"mount 'ds': option {name}: .* is not a number"):
        plan(ENDPOINT | {name: value})


def test_no_mounts() -> None:
    assert plan(mounts=()).places == (), "mounts come later"
    for wrong in (
        lambda: plan(mounts=(), lists_mounts=False),
        lambda: plan(mounts=(), env={"CURVINE_ALLOW_EMPTY_MOUNTS": "no"}),
    ):
        with pytest.raises(ConfigError, match="the Dataset has no mounts"):
            wrong()
    env = {"CURVINE_MASTER_ENDPOINTS": "m:1"}
    by_env = plan(mounts=(), env=env | {"CURVINE_MOUNT_POINT": "curvine:///x"})
    assert by_env.places[0].fs_path == "/x"
    for empty in (
        plan(mounts=(), env=env | {"CURVINE_ALLOW_EMPTY_MOUNTS": "true"}),
        plan(mounts=(), runtime_options={"curvine.allow-empty-mounts": ""}),
    ):
        assert empty.places == () and empty.root is None


def test_environment_alone() -> None:
    env = {
        "CURVINE_MASTER_ENDPOINTS": "m:1",
        "CURVINE_TARGET_PATH": "/t",
        "CURVINE_MNT_NUMBER": "2",
    }
    made = make_plan(None, env)
    assert (made.target, made.places[0].fs_path, made.mnt_number) == ("/t", "/", 2)
    assert make_plan(None, {"CURVINE_MASTER_ENDPOINTS": "m:1", "MOUNT_POINT": "/p"}).target == "/p"
    with pytest.raises(ConfigError, match="targetPath"):
        make_plan(None, {"CURVINE_MASTER_ENDPOINTS": "m:1"})


@pytest.mark.parametrize("target", ["relative", "/", "//", "/a\0b"])
def test_bad_target(target: str) -> None:
    config = RuntimeConfig(
        mounts=(DatasetMount(mount_point="/d", options=ENDPOINT),), target_path=target
    )
    with pytest.raises(ConfigError, match="targetPath"):
        make_plan(config, {})


def test_sections_flags_and_aliases() -> None:
    made = make_plan(read_config(str(FIXTURES / "02-multi-endpoint.config.json")), {})
    assert made.client == {"enable_unified_fs": False}
    assert made.fuse == {
        "entry_timeout_ms": 300000,
        "meta_cache_timeout": "12h",
        "write_back_cache": True,
    }
    assert made.flags == (("io-threads", "64"), ("entry-timeout-ms", "300000"))
    assert [host for host, _ in made.places[0].masters] == [
        "master-0.cv",
        "master-1.cv",
        "master-2.cv",
    ]


def test_first_of_a_pair_wins() -> None:
    both = {"entry-timeout": "1", "entry-timeout-ms": "2", "mnt-per-task": "3"}
    made = plan(ENDPOINT | both)
    assert made.flags == (("tasks-per-mnt", "3"), ("entry-timeout-ms", "2"))
    assert plan(ENDPOINT | dict(reversed(both.items()))).flags == made.flags
    assert plan(env={"CURVINE_ENTRY_TIMEOUT": "5m"}).flags == (("entry-timeout-ms", "300000"),)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("fuse.max_background", "64", 64),
        ("fuse.max-background", "64", 64),
        ("fuse.direct_io", "yes", True),
        ("fuse.direct_io", "1", True),
        ("fuse.state_dir", "12345", "12345"),
        ("fuse.meta_cache_ttl", "90000", 90000),
        ("fuse.umask", "022", "022"),
        ("fuse.quantum", "1.50", 1.5),
        ("fuse.quantum", "true", True),
        ("fuse.quantum", "012", "012"),
        ("fuse.quantum", "9" * 40, "9" * 40),
    ],
)
def test_types_of_section_keys(name: str, value: str, expected: object) -> None:
    made = plan(ENDPOINT | {name: value})
    (written,) = made.fuse.values()
    assert (type(written), written) == (type(expected), expected)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("client.master_addrs", "x", "managed"),
        ("fuse.mnt_path", "/x", "managed"),
        ("fuse.debug", "true", "managed"),
        ("fuse.io-threads", "1", "managed"),
        ("fuse.log.level", "info", "not the name of a key"),
        ("client.", "x", "not the name of a key"),
        ("fuse.max_background", "lots", "whole number"),
        ("client.block_size", "big", "size"),
        ("direct-io", "maybe", "true or false"),
        ("entry-timeout", "soon", "milliseconds"),
    ],
)
def test_refused_options(name: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        plan(ENDPOINT | {name: value})
    assert f"mount 'ds': option {name}: " in str(caught.value)


def test_unknown_options_are_warned_once() -> None:
    made = plan(
        ENDPOINT | {"io-thread": "1", "fluid.fuse.hostvolume": "/x"},
        env={"MOUNT_OPTIONS": "io-thread=1"},
    )
    assert made.warnings == ("unknown option io-thread is ignored; did you mean io-threads?",)


def test_read_only() -> None:
    assert plan(access_modes=("ReadOnlyMany",)).read_only
    assert plan(env={"MOUNT_OPTIONS": "ro,noatime"}).read_only
    assert plan(env={"MOUNT_OPTIONS": "ro,noatime,allow_other"}).kernel == ("noatime",)
    assert plan(ENDPOINT | {"fuse.readonly": "true"}).read_only
    forced = plan(ENDPOINT | {"fuse.readonly": "false"}, access_modes=("ReadOnlyMany",))
    assert forced.read_only and "ignored" in forced.warnings[0]
    mount = DatasetMount(mount_point="/d", options=ENDPOINT, read_only=True)
    assert plan(mounts=(mount,)).read_only


def test_fuse_options_fixture() -> None:
    config = read_config(str(FIXTURES / "08-fuse-options.config.json"))
    env = {
        "CURVINE_IO_THREADS": "96",
        "CURVINE_WORKER_THREADS": "128",
        "MOUNT_OPTIONS": "io-threads=64,kernel_cache,allow_other,worker-threads=127",
    }
    made = make_plan(config, env)
    assert (made.io_threads, made.worker_threads, made.read_only) == (64, 127, True)


def test_several_mounts() -> None:
    made = make_plan(read_config(str(FIXTURES / "05-two-mounts.config.json")), {})
    assert made.root is None and not made.read_only
    assert [(p.path, p.fs_path, p.masters, p.read_only) for p in made.places] == [
        ("/", "/prod-data", (("curvine-prod-master", 8995),), False),
        ("/test", "/test-data", (("curvine-test-master", 8995),), True),
    ]


def test_options_of_several_mounts() -> None:
    mounts = (
        DatasetMount(mount_point="/a", name="a",
            options=ENDPOINT | {"client.replicas": "2", "io-threads": "5"}),
        DatasetMount(mount_point="/b", name="b", options={"io-threads": "6"}),
    )  # fmt: skip
    made = plan(mounts=mounts, runtime_options={"master-endpoints": "r:1", "client.replicas": "3"})
    assert made.places[0].client == {"replicas": 2} and made.places[1].client == {}
    assert made.client == {"replicas": 3}
    assert made.places[1].masters == (("r", 1),)
    assert made.io_threads == 5
    assert made.warnings == (
        "option io-threads differs between mounts of the Dataset; the first one is used",
    )


def test_one_mount_below_the_root() -> None:
    mount = DatasetMount(mount_point="/a", name="x", path="/sub", options=ENDPOINT)
    made = plan(mounts=(mount,))
    assert made.root is None and made.places[0].path == "/sub"


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (DatasetMount(mount_point="/b", name="a", options=ENDPOINT), "/a is taken by mount 'a'"),
        (DatasetMount(mount_point="/b", options=ENDPOINT), "neither name nor path"),
        (DatasetMount(mount_point="s3://b", name="b", options=ENDPOINT), "mount 'b': mountPoint"),
    ],
)
def test_mounts_that_do_not_fit_together(second: DatasetMount, reason: str) -> None:
    first = DatasetMount(mount_point="/a", name="a", options=ENDPOINT)
    with pytest.raises(ConfigError, match=reason):
        plan(mounts=(first, second))


def test_single_mount_strict() -> None:
    config = read_config(str(FIXTURES / "05-two-mounts.config.json"))
    with pytest.raises(ConfigError, match="expects exactly one Dataset mount, got 2"):
        make_plan(config, {"MOUNT_OPTIONS": "curvine.single-mount=strict"})


def test_mnt_number_under_fluid() -> None:
    made = plan(ENDPOINT | {"mnt-number": "3"})
    assert made.mnt_number == 1 and "one mount per Dataset" in made.warnings[0]


def test_mount_options_text() -> None:
    assert mount_options("a=1,b,master-endpoints=x:1,y:2,c=d=e,,") == {
        "a": "1",
        "b": "",
        "master-endpoints": "x:1,y:2",
        "c": "d=e",
    }


class TestSecrets:
    """Values that are files of Kubernetes Secrets (contract 1.4)."""

    @pytest.fixture
    def env(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "k").write_text("hush\n")
        (tmp_path / "s" / "masters").write_text("m:1,n:2\r\n")
        (tmp_path / "s" / "binary").write_bytes(b"\xff")
        return {"CURVINE_FLUID_SECRETS_DIR": str(tmp_path)}

    def test_are_read(self, env: dict[str, str]) -> None:
        made = plan(ENDPOINT | {"client.token": "/etc/fluid/secrets/s/k"}, env=env)
        assert made.client == {"token": "hush"} and made.has_secrets
        assert all("hush" not in setting.shown for setting in made.settings)
        masters = plan({"master-endpoints": "/etc/fluid/secrets/s/masters"}, env=env)
        assert masters.places[0].masters == (("m", 1), ("n", 2)) and masters.has_secrets

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("s/none", "No such file"),
            ("s", "Is a directory"),
            ("../etc/shadow", "not the path of a secret"),
            ("s/binary", "not UTF-8"),
        ],
    )
    def test_that_cannot_be_read(self, env: dict[str, str], path: str, reason: str) -> None:
        value = "/etc/fluid/secrets/" + path
        with pytest.raises(ConfigError, match=reason) as caught:
            plan(ENDPOINT | {"access-token": value}, env=env)
        assert "mount 'ds': option access-token" in str(caught.value)
        assert value in str(caught.value)

    def test_the_clusters_token_stays_in_its_file(self, env: dict[str, str]) -> None:
        made = plan(ENDPOINT | {"access-token": "/etc/fluid/secrets/s/k"}, env=env)
        where = env["CURVINE_FLUID_SECRETS_DIR"] + "/s/k"
        assert (made.places[0].token_file, made.places[0].token) == (where, "")
        assert not made.has_secrets and not made.token_names and made.warnings == ()
        assert "hush" not in repr(made)
        assert all(where not in setting.shown for setting in made.settings)

    def test_a_token_given_as_text_gets_a_file(self) -> None:
        options = ENDPOINT | {"access-token": "hush-hush-hush-hush\n", "cluster-id": "prod"}
        made = plan(options)
        assert made.places[0].token == "hush-hush-hush-hush"
        assert made.token_names == {"hush-hush-hush-hush": "access-token"}
        assert made.places[0].cluster_id == "prod"
        assert all("hush" not in setting.shown for setting in made.settings)
        by_environment = plan(env={"CURVINE_ACCESS_TOKEN": "hush-hush-hush-hush"})
        assert by_environment.places[0].token == "hush-hush-hush-hush"
        with pytest.raises(ConfigError, match="no file /none/there"):
            plan(ENDPOINT | {"access-token": "/none/there"})

    @pytest.mark.parametrize("name", ["io-threads", "max-background", "client.replicas",
                                      "master-endpoints"])  # fmt: skip
    def test_never_show(self, env: dict[str, str], name: str) -> None:
        with pytest.raises(ConfigError) as caught:
            plan(ENDPOINT | {name: "/etc/fluid/secrets/s/k"}, env=env)
        assert "hush" not in str(caught.value)
