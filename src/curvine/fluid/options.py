# SPDX-License-Identifier: Apache-2.0
"""Options: which there are, where they may come from, and who wins.

A Dataset mount's option > ThinRuntime ``fuse.options`` (runtimeOptions) > MOUNT_OPTIONS >
``CURVINE_<OPTION>`` > default. Every source is text. Source: Fluid contract 9 (column "ours" and
the option list), 10.4.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from curvine.config.keys import Key, Text
from curvine.config.schema import ClientConf, FuseConf
from curvine.errors import ConfigError
from curvine.fluid.secrets import is_secret, read_secret, secret_path

TomlValue = str | int | float | bool

# Options of the parser itself.
CORE = ("master-endpoints", "master-web-port", "io-threads", "worker-threads", "mnt-number")
TOKEN = "access-token"  # the cluster's token: a secret's file stays a file, so it can be replaced
CLUSTER = "cluster-id"
ALLOW_EMPTY = "curvine.allow-empty-mounts"
SINGLE_MOUNT = "curvine.single-mount"
_OWN = (ALLOW_EMPTY, SINGLE_MOUNT)

# Options handed on to curvine-fuse as flags: name -> (further spelling, key of [fuse]).
FLAGS: Mapping[str, tuple[str, str]] = {
    "tasks-per-mnt": ("mnt-per-task", "tasks_per_mnt"),
    "clone-fd": ("", "clone_fd"),
    "fuse-channel-size": ("", "fuse_channel_size"),
    "stream-channel-size": ("", "stream_channel_size"),
    "direct-io": ("", "direct_io"),
    "write-back-cache": ("", "write_back_cache"),
    "cache-readdir": ("", "cache_readdir"),
    "non-seekable": ("", "non_seekable"),
    "entry-timeout-ms": ("entry-timeout", "entry_timeout_ms"),
    "attr-timeout-ms": ("attr-timeout", "attr_timeout_ms"),
    "negative-timeout-ms": ("negative-timeout", "negative_timeout_ms"),
    "max-background": ("", "max_background"),
    "congestion-threshold": ("", "congestion_threshold"),
    "node-cache-timeout": ("", "node_cache_timeout"),
    "enable-meta-cache": ("", "enable_meta_cache"),
    "meta-cache-ttl": ("meta-cache-timeout", "meta_cache_timeout"),
    "read-dir-fill-ino": ("", "read_dir_fill_ino"),
    "remember": ("", "remember"),
    "check-permission": ("", "check_permission"),
    "metrics-enabled": ("", "metrics_enabled"),
    "list-limit": ("", "list_limit"),
    "web-port": ("", "web_port"),
}
_CANONICAL = (
    {name: name for name in (*CORE, TOKEN, CLUSTER, *FLAGS)}
    | {alias: name for name, (alias, _) in FLAGS.items() if alias}
)  # fmt: skip

# Options of mount(8) that mean something here. allow_other is always on.
KERNEL = frozenset(
    ("ro", "rw", "nodev", "dev", "nosuid", "suid", "noexec", "exec", "noatime", "atime", "dirsync",
     "sync", "async", "allow_other", "default_permissions", "big_write")
)  # fmt: skip

# Keys that follow from the Dataset and cannot be set one by one.
MANAGED = frozenset(
    ("client.master_addrs", "fuse.debug", "fuse.io_threads", "fuse.worker_threads",
     "fuse.mnt_path", "fuse.fs_path", "fuse.mounts")
)  # fmt: skip
_SECTIONS = {"client": ClientConf, "fuse": FuseConf}
_SENSITIVE = re.compile(r"secret|token|passw|credential|access.?key|private", re.IGNORECASE)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})\.[0-9]{1,15}")


class Setting(msgspec.Struct, frozen=True):
    """An option as somebody gave it."""

    name: str  # as it was spelled
    value: str
    source: str
    secret: bool = False
    is_path: bool = False  # of TOKEN: the value is the path of the file that holds it

    @property
    def shown(self) -> str:
        """The value for logs."""
        return "******" if self.secret or _SENSITIVE.search(self.name) else self.value

    def refused(self, reason: object) -> ConfigError:
        """An error that says who set what, and why that cannot be."""
        return ConfigError(f"{self.source}: option {self.name}: {reason}")


class Layer(msgspec.Struct, frozen=True):
    """All options of one source, sorted by what they are for."""

    named: dict[str, Setting] = {}  # CORE, FLAGS and our own, by first name
    client: dict[str, Setting] = {}  # by key of [client]
    fuse: dict[str, Setting] = {}  # by key of [fuse]
    kernel: tuple[str, ...] = ()  # mount(8) options

    @property
    def has_secrets(self) -> bool:
        """Whether a secret goes into the configuration file."""
        named = self.named.get("master-endpoints")
        group = (*self.client.values(), *self.fuse.values())
        return any(item.secret for item in group) or (named is not None and named.secret)


def lookup(layers: Sequence[Layer], name: str) -> Setting | None:
    """The first setting of ``name`` that is not empty."""
    for layer in layers:
        setting = layer.named.get(name)
        if setting is not None and (setting.value or name in FLAGS or name in _OWN):
            return setting
    return None


def sort_options(
    options: Mapping[str, str],
    source: str,
    env: Mapping[str, str],
    warn: Callable[[str], None],
) -> Layer:
    """The options of one source, secrets read; unknown ones are warned about and dropped."""
    layer = Layer({}, {}, {}, ())
    kernel: list[str] = []
    for name, value in options.items():
        plain = name.strip().replace("_", "-")
        secret = is_secret(value)
        if plain == TOKEN:
            setting = _token(name, value.strip(), source, env)
        else:
            if secret:
                value = _secret(value, name, source, env)
            setting = Setting(name, value.strip(), source, secret)
        section, dot, rest = name.strip().partition(".")
        if plain in _CANONICAL or name in _OWN:
            first = _CANONICAL.get(plain, name)
            if first not in layer.named or plain == first:
                layer.named[first] = setting
        elif dot and section in _SECTIONS:
            group = layer.client if section == "client" else layer.fuse
            group[_section_key(section, rest, setting, warn)] = setting
        elif name.strip() in KERNEL:
            kernel.append(name.strip())
        elif section != "fluid":  # fluid.* is between the Dataset and Fluid
            warn(f"unknown option {name} is ignored{_near(plain)}")
    return msgspec.structs.replace(layer, kernel=tuple(kernel))


def mount_options(text: str) -> dict[str, str]:
    """MOUNT_OPTIONS: ``k=v`` and bare ``k``, joined with commas (in any order).

    A value may itself be a list of endpoints; parts that look like one belong to it.
    """
    options: dict[str, str] = {}
    last = ""
    for part in text.split(","):
        name, mark, value = part.partition("=")
        name = name.strip()
        if not mark and last == "master-endpoints" and re.fullmatch(r"\s*\S+:[0-9]+\s*", part):
            options[last] += "," + part.strip()
        elif name:
            options[name] = value
            last = name
    return options


def environment_layer(env: Mapping[str, str]) -> Layer:
    """CURVINE_<OPTION> for every option that has a name of its own."""
    named: dict[str, Setting] = {}
    for spelling, first in _CANONICAL.items():
        variable = "CURVINE_" + spelling.upper().replace("-", "_")
        value = env.get(variable, "").strip()
        if value and first == TOKEN:
            named[first] = _token(variable, value, "environment", env)
        elif value and (first not in named or spelling == first):
            named[first] = Setting(variable, value, "environment")
    return Layer(named)


def whole_number(setting: Setting | None, default: int, least: int, most: int) -> int:
    """The setting as a number of that range."""
    if setting is None:
        return default
    digits = setting.value
    if not (digits.isascii() and digits.isdigit() and least <= int(digits) <= most):
        raise setting.refused(f"{setting.shown!r} is not a number from {least} to {most}")
    return int(digits)


def is_true(setting: Setting | None) -> bool:
    """Whether a switch is on; a bare option (empty value) is on."""
    return setting is not None and setting.value.lower() in ("", "true", "1", "yes", "on")


def flag_value(name: str, setting: Setting) -> str:
    """What to write behind ``--name``: checked against the key that it sets."""
    key = FuseConf.KEYS[FLAGS[name][1]]
    text = setting.value
    if setting.secret:
        raise setting.refused("cannot come from a secret, because the mount script shows it")
    if not text and key.accepts == "true or false":
        return "true"
    try:
        value = key.parse(Text(text))
    except (ValueError, OverflowError):
        raise setting.refused(f"{text!r}: expected {key.accepts}") from None
    if isinstance(value, bool):
        return str(value).lower()
    # A text duration is understood by Curvine too for *-timeout and *-ttl; *-ms wants a number.
    return str(value) if name.endswith("-ms") and value is not None else text


def toml_value(section: str, name: str, setting: Setting) -> TomlValue:
    """The value of ``<section>.<name>`` with the type that the key wants.

    Keys that only Curvine knows follow its own rule: true, false and numbers stand bare, the rest
    is quoted.
    """
    text = setting.value
    bare = _bare(text)
    key: Key | None = _SECTIONS[section].KEYS.get(name)
    if key is None:
        return bare
    for candidate in (bare, text):
        try:
            key.parse(candidate)
        except (ValueError, OverflowError):
            continue
        return candidate
    try:
        value = key.parse(Text(text or "true" if key.accepts == "true or false" else text))
    except (ValueError, OverflowError):
        value = None
    if isinstance(value, bool | int | float):
        return value
    raise setting.refused(f"{setting.shown!r}: expected {key.accepts}")


def _bare(text: str) -> TomlValue:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _section_key(section: str, rest: str, setting: Setting, warn: Callable[[str], None]) -> str:
    names = _SECTIONS[section].NAMES
    name = names.get(rest, names.get(rest.replace("-", "_"), rest))
    if f"{section}.{name}" in MANAGED:
        raise setting.refused("is managed by this program and cannot be set")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise setting.refused(f"{rest!r} is not the name of a key of [{section}]")
    if name not in names:
        warn(f"option {setting.name}: [{section}] has no key {name}; written as it is")
    return name


def _secret(value: str, name: str, source: str, env: Mapping[str, str]) -> str:
    try:
        return read_secret(value, name, env)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _token(name: str, value: str, source: str, env: Mapping[str, str]) -> Setting:
    """The cluster's token: as the path of its file where there is one, else as it is."""
    if is_secret(value):
        _secret(value, name, source, env)  # it must be there
        return Setting(name, secret_path(value, name, env), source, secret=True, is_path=True)
    if value.startswith("/") and not os.path.isfile(value):
        raise ConfigError(f"{source}: option {name}: there is no file {value}")
    return Setting(name, value, source, secret=True, is_path=value.startswith("/"))


def _near(name: str) -> str:
    from difflib import get_close_matches  # slow to import, seldom needed

    near = get_close_matches(name, _CANONICAL, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""
