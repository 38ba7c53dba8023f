# SPDX-License-Identifier: Apache-2.0
"""From Fluid's document and the environment to what is to be mounted.

Pure: reads secrets, writes nothing. Source: Fluid contract 9, 10.1, 10.3; decision 22.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import msgspec

from curvine.config.schema_shared import split_endpoint
from curvine.errors import ConfigError
from curvine.fluid.claims import resolved
from curvine.fluid.options import (
    ALLOW_EMPTY,
    CLUSTER,
    CORE,
    FLAGS,
    SINGLE_MOUNT,
    TOKEN,
    Layer,
    Setting,
    TomlValue,
    environment_layer,
    flag_value,
    is_true,
    lookup,
    mount_options,
    sort_options,
    toml_value,
    whole_number,
)
from curvine.fluid.runtime_config import DatasetMount, RuntimeConfig

# Defaults of the seed's table of environment variables.
IO_THREADS = 32
WORKER_THREADS = 56
MASTER_WEB_PORT = 8080
CLUSTER_ID = "curvine"

Warn = Callable[[str], None]

ALLOW_EMPTY_VARIABLE = "CURVINE_ALLOW_EMPTY_MOUNTS"
_MOST_THREADS = 65535


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One Curvine path and where it appears below the target."""

    path: str
    fs_path: str
    masters: tuple[tuple[str, int], ...]
    read_only: bool
    label: str
    client: dict[str, TomlValue] = {}
    masters_secret: bool = False
    cluster_id: str = CLUSTER_ID
    token_file: str = ""  # a file that holds the cluster's token
    token: str = ""  # the token itself; it goes into a file of its own


class MountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the generated files say."""

    target: str
    places: tuple[Place, ...]
    web_port: int
    io_threads: int
    worker_threads: int
    mnt_number: int
    read_only: bool
    client: dict[str, TomlValue]
    fuse: dict[str, TomlValue]
    kernel: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    settings: tuple[Setting, ...]  # what somebody chose, for the summary
    has_secrets: bool  # the configuration file holds some
    warnings: tuple[str, ...]

    @property
    def token_names(self) -> dict[str, str]:
        """Tokens that were given as such, and the name of the file that each goes into."""
        tokens = dict.fromkeys(place.token for place in self.places if place.token)
        return {
            token: f"access-token-{number}" if number > 1 else "access-token"
            for number, token in enumerate(tokens, 1)
        }

    @property
    def root(self) -> Place | None:
        """The place that is the whole mount, when there is just that one."""
        if len(self.places) == 1 and self.places[0].path == "/":
            return self.places[0]
        return None


def make_plan(config: RuntimeConfig | None, env: Mapping[str, str]) -> MountPlan:
    """The plan for ``config`` (None: the environment alone). ConfigError says what is missing."""
    warnings: dict[str, None] = {}  # ordered, each once

    def warn(text: str) -> None:
        warnings[text] = None

    given = config or RuntimeConfig()
    shared = (
        sort_options(given.runtime_options, "runtimeOptions", env, warn),
        sort_options(mount_options(env.get("MOUNT_OPTIONS", "")), "MOUNT_OPTIONS", env, warn),
        environment_layer(env),
    )
    mounts = tuple(resolved(mount, given) for mount in given.mounts)
    mounts = mounts or _mount_from_environment(config, shared, env)
    own = tuple(sort_options(mount.options, mount.label, env, warn) for mount in mounts)
    layers = (*own, *shared)
    _check_single(mounts, lookup(layers, SINGLE_MOUNT))
    read_only = _read_only(given, layers, warn)
    _warn_of_conflicts(own, warn)
    places = _places(mounts, own, shared, read_only)
    several = len(places) > 1 or (bool(places) and places[0].path != "/")
    client = _merged([*shared] if several else layers, "client")
    fuse = _merged(layers, "fuse")
    fuse.pop("readonly", None)
    return MountPlan(
        target=_target(given, env),
        places=places,
        web_port=whole_number(
            lookup(layers, "master-web-port"), MASTER_WEB_PORT, least=1, most=65535
        ),
        io_threads=whole_number(lookup(layers, "io-threads"), IO_THREADS, 1, _MOST_THREADS),
        worker_threads=whole_number(
            lookup(layers, "worker-threads"), WORKER_THREADS, 1, _MOST_THREADS
        ),
        mnt_number=_mnt_number(layers, config, warn),
        read_only=read_only or (bool(places) and all(place.read_only for place in places)),
        client={name: toml_value("client", name, item) for name, item in client.items()},
        fuse={name: toml_value("fuse", name, item) for name, item in fuse.items()},
        kernel=_kernel(layers),
        flags=_flags(layers),
        settings=_chosen(layers),
        has_secrets=any(layer.has_secrets for layer in layers),
        warnings=tuple(warnings),
    )  # fmt: skip


def _mount_from_environment(
    config: RuntimeConfig | None, shared: Sequence[Layer], env: Mapping[str, str]
) -> tuple[DatasetMount, ...]:
    """The mount that the environment describes when the Dataset lists none.

    An empty list that Fluid wrote is a Dataset whose mounts come later; a document without the key
    is none of Fluid's since 1.0.2. ALLOW_EMPTY says otherwise for both.
    """
    variable = env.get(ALLOW_EMPTY_VARIABLE, "").strip()
    allow = lookup(shared, ALLOW_EMPTY)
    if allow is None and variable:
        allow = Setting(ALLOW_EMPTY_VARIABLE, variable, "environment")
    if config is not None and is_true(allow):
        return ()
    if lookup(shared, "master-endpoints") is None:
        if config is not None and config.lists_mounts and allow is None:
            return ()
        raise ConfigError(
            "the Dataset has no mounts; add one with mountPoint curvine:///path and the option "
            "master-endpoints, or set CURVINE_MASTER_ENDPOINTS, or, for mounts that come later, "
            f"{ALLOW_EMPTY_VARIABLE}=true"
        )
    mount_point = env.get("CURVINE_MOUNT_POINT", "").strip() or "curvine:///"
    return (DatasetMount(mount_point=mount_point, name="CURVINE_MOUNT_POINT"),)


def _target(config: RuntimeConfig, env: Mapping[str, str]) -> str:
    target = config.target_path or env.get("CURVINE_TARGET_PATH") or env.get("MOUNT_POINT") or ""
    if not target:
        raise ConfigError("no targetPath in the configuration and no CURVINE_TARGET_PATH")
    if not target.startswith("/") or not target.strip("/") or "\0" in target:
        raise ConfigError(f"targetPath {target!r} is not the absolute path of a mount point")
    return target


def _check_single(mounts: Sequence[DatasetMount], setting: Setting | None) -> None:
    if len(mounts) > 1 and setting is not None and setting.value.lower() == "strict":
        raise setting.refused(f"expects exactly one Dataset mount, got {len(mounts)}")


def _read_only(config: RuntimeConfig, layers: Sequence[Layer], warn: Warn) -> bool:
    asked = next((layer.fuse["readonly"] for layer in layers if "readonly" in layer.fuse), None)
    wanted = asked is not None and toml_value("fuse", "readonly", asked) is True
    if config.read_only and asked is not None and not wanted:
        warn("fuse.readonly = false is ignored: the Dataset's accessModes are read-only")
    return config.read_only or wanted or any("ro" in layer.kernel for layer in layers)


def _places(
    mounts: Sequence[DatasetMount], own: Sequence[Layer], shared: Sequence[Layer], read_only: bool
) -> tuple[Place, ...]:
    alone = len(mounts) == 1
    places: dict[str, Place] = {}
    for mount, layer in zip(mounts, own, strict=True):
        try:
            path = "/" if alone and not mount.path.startswith("/") else mount.effective_path
            fs_path = mount.fs_path
        except ConfigError as error:
            raise ConfigError(f"{mount.label}: {error}") from None
        if not (alone or mount.path.startswith("/") or mount.name):
            raise ConfigError(f"{mount.label}: has neither name nor path, and is not the only one")
        if path in places:
            raise ConfigError(f"{mount.label}: {path} is taken by {places[path].label}")
        endpoints = lookup((layer, *shared), "master-endpoints")
        if endpoints is None:
            raise ConfigError(
                f"{mount.label}: the option master-endpoints is missing; write host:port, several "
                "with commas, or set CURVINE_MASTER_ENDPOINTS"
            )
        token = lookup((layer, *shared), TOKEN)
        cluster = lookup((layer, *shared), CLUSTER)
        places[path] = Place(
            path=path,
            fs_path=fs_path,
            masters=parse_endpoints(endpoints),
            read_only=read_only or mount.read_only,
            label=mount.label,
            client={n: toml_value("client", n, item) for n, item in layer.client.items()},
            masters_secret=endpoints.secret,
            cluster_id=cluster.value if cluster is not None else CLUSTER_ID,
            token_file=token.value if token is not None and token.is_path else "",
            token=token.value if token is not None and not token.is_path else "",
        )
    return tuple(places.values())


def parse_endpoints(setting: Setting) -> tuple[tuple[str, int], ...]:
    """host:port, several separated by commas, semicolons or blanks, or a JSON list of them."""
    text = setting.value
    if text.startswith(('["', "[ ")):
        try:
            items = json.loads(text)
        except ValueError:
            raise setting.refused("is not a valid JSON list") from None
        if not all(isinstance(item, str) for item in items):
            raise setting.refused("is a JSON list of something else than texts")
        parts = [item.strip() for item in items]
    else:
        parts = text.replace(",", " ").replace(";", " ").split()
    if not parts:
        raise setting.refused("names no master; write host:port")
    try:
        return tuple(split_endpoint(part) for part in parts)
    except ValueError as error:
        raise setting.refused("is not host:port" if setting.secret else error) from None


def _warn_of_conflicts(own: Sequence[Layer], warn: Warn) -> None:
    """One process serves all mounts, so most options hold for all of them: the first one wins."""
    for name in (*CORE[1:], *FLAGS):
        values = {layer.named[name].value for layer in own if name in layer.named}
        if len(values) > 1:
            warn(f"option {name} differs between mounts of the Dataset; the first one is used")


def _merged(layers: Sequence[Layer], section: str) -> dict[str, Setting]:
    merged: dict[str, Setting] = {}
    for layer in layers:
        for name, setting in (layer.client if section == "client" else layer.fuse).items():
            merged.setdefault(name, setting)
    return dict(sorted(merged.items()))


def _mnt_number(layers: Sequence[Layer], config: RuntimeConfig | None, warn: Warn) -> int:
    count = whole_number(lookup(layers, "mnt-number"), 1, least=1, most=1024)
    if count > 1 and config is not None:
        # Fluid's recovery and checks expect exactly one mount below the runtime's directory.
        warn(f"option mnt-number = {count} is ignored: Fluid wants one mount per Dataset")
        return 1
    return count


def _kernel(layers: Sequence[Layer]) -> tuple[str, ...]:
    names = dict.fromkeys(name for layer in layers for name in layer.kernel)
    return tuple(sorted(name for name in names if name not in ("ro", "rw", "allow_other")))


def _flags(layers: Sequence[Layer]) -> tuple[tuple[str, str], ...]:
    """Flags beyond the seed's three: only what somebody set."""
    flags: list[tuple[str, str]] = []
    for name in ("io-threads", "worker-threads"):
        setting = lookup(layers, name)
        if setting is not None and setting.secret:
            raise setting.refused("cannot come from a secret, because the mount script shows it")
        if setting is not None:
            flags.append((name, setting.value))
    for name in FLAGS:
        setting = lookup(layers, name)
        if setting is not None:
            flags.append((name, flag_value(name, setting)))
    return tuple(flags)


def _chosen(layers: Sequence[Layer]) -> tuple[Setting, ...]:
    chosen: dict[str, Setting] = {}
    for layer in layers:
        for name, setting in layer.named.items():
            if name != "master-endpoints":
                chosen.setdefault(name, setting)
        for group, prefix in ((layer.client, "client."), (layer.fuse, "fuse.")):
            for name, setting in group.items():
                chosen.setdefault(prefix + name, setting)
    return tuple(chosen.values())
