# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration: file < environment < flags.

Every value keeps its origin. A wrong type, an unreadable file or a value out of range is a
ConfigError that names file, key, value and what is accepted; a key that nobody knows is a warning
with the nearest known name. Source: control-plane specification 8.1, 8.11; decision 29.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from curvine.config.data_dir import parse_data_dir
from curvine.config.keys import Key, Section, Text
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError

CONF_NAME = "curvine-cluster.toml"

# Environment variables that set keys (8.11). Roles' host names yield to net_interface.
ENV_KEYS = (
    ("CURVINE_MASTER_HOSTNAME", "master.hostname"),
    ("CURVINE_MASTER_HOSTNAME", "journal.hostname"),
    ("CURVINE_WORKER_HOSTNAME", "worker.hostname"),
    ("CURVINE_CLIENT_HOSTNAME", "client.hostname"),
    ("CURVINE_AUTH_TOKEN_FILE", "auth.token_file"),
    ("CURVINE_ADMIN_TOKEN_FILE", "auth.admin_token_file"),
)
# Variables that hold a secret: the configuration gets their name, and no file beside it.
ENV_SECRETS = (("CURVINE_AUTH_TOKEN", "auth.token"), ("CURVINE_ADMIN_TOKEN", "auth.admin_token"))
_HOSTNAMES = ("master.hostname", "journal.hostname", "worker.hostname", "client.hostname")
_LOOPBACK = "127.0.0.1"
_NO_SERVICE = ("transfer", "fault_injection")
# Ports that one process, or the processes of one role, listen on together.
_PORT_PAIRS = (
    ("master.rpc_port", "master.web_port"),
    ("master.rpc_port", "journal.rpc_port"),
    ("master.web_port", "journal.rpc_port"),
    ("worker.rpc_port", "worker.web_port"),
)


class LoadedConf(msgspec.Struct, frozen=True):
    """A configuration and where it came from."""

    conf: ClusterConf
    path: str | None
    warnings: list[str]
    origins: dict[str, str]  # dotted key -> "file PATH", "env NAME", "flag"; absent = default

    def origin(self, name: str) -> str:
        """Where the value of a dotted key such as "fuse.mnt_path" came from."""
        return self.origins.get(name, "default")


def auth_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that say which token is the cluster's, and no others."""
    names = ("CURVINE_AUTH_TOKEN_FILE", "CURVINE_ADMIN_TOKEN_FILE", *dict(ENV_SECRETS))
    return {name: env[name] for name in names if env.get(name)}


def default_dir(env: Mapping[str, str]) -> str:
    """Where `cv up` keeps its state unless told otherwise."""
    base = env.get("XDG_DATA_HOME") or os.path.join(
        env.get("HOME") or os.path.expanduser("~"), ".local", "share"
    )
    return os.path.join(base, "curvine")


def find_conf(explicit: str | None, env: Mapping[str, str]) -> str | None:
    """The configuration file to read, or None when there is none anywhere.

    A file that was named (``--conf``, CURVINE_CONF_FILE) must exist; ConfigError otherwise.
    """
    for source, path in (("--conf", explicit), ("CURVINE_CONF_FILE", env.get("CURVINE_CONF_FILE"))):
        if path:
            if not os.path.isfile(path):
                raise ConfigError(f"{source} names {path}, which is not a file")
            return path
    home = env.get("CURVINE_HOME")
    candidates = [os.path.join(home, "conf", CONF_NAME)] if home else []
    candidates.append(os.path.join(default_dir(env), CONF_NAME))
    return next((path for path in candidates if os.path.isfile(path)), None)


def load(
    path: str | None,
    *,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    errors: list[str] | None = None,
) -> LoadedConf:
    """The configuration of ``path`` (None: defaults) under ``env`` and ``overrides``.

    ``overrides`` maps dotted keys to values from flags: text is understood, None means not given.
    With ``errors`` a wrong value of the file is added there, and its key keeps its default.
    """
    loader = _Loader(path, errors)
    tree = _read_toml(path) if path else {}
    conf = loader.section(ClusterConf, tree, "")
    values: dict[str, tuple[Any, str]] = {
        name: (Text(env[variable]), f"env {variable}")
        for variable, name in ENV_KEYS
        if env.get(variable)
    }
    for variable, stem in ENV_SECRETS:
        if env.get(variable) and f"{stem}_file" not in values:
            values[f"{stem}_env"] = (Text(variable), f"env {variable}")
            values[f"{stem}_file"] = (Text(""), f"env {variable}")
    for name, value in (overrides or {}).items():
        if value is not None:
            values[name] = (Text(value) if isinstance(value, str) else value, "flag")
    for name, (value, origin) in values.items():
        conf = loader.override(conf, name, value, origin)
    conf = _resolve(conf, env, loader.origins)
    loader.check_entries(conf)
    loader.warnings.extend(_contradictions(conf, tree))
    return LoadedConf(conf, path, loader.warnings, loader.origins)


class _Loader:
    """Turns tables into sections; collects warnings and origins."""

    def __init__(self, path: str | None, errors: list[str] | None = None) -> None:
        self.path = path
        self._errors = errors
        self.warnings: list[str] = []
        self.origins: dict[str, str] = {}

    def section(self, section: type[Section], tree: Mapping[str, Any], prefix: str) -> Any:
        """A section from its table; keys it does not know become warnings."""
        values: dict[str, Any] = {}
        spelled: dict[str, str] = {}
        for name, value in tree.items():
            attr = section.NAMES.get(name)
            if attr is None:
                self.warnings.append(self._unknown(section, prefix, name))
                continue
            if attr in values:
                self.warnings.append(
                    f"{self.path}: {prefix}{name} is another spelling of {prefix}{spelled[attr]}, "
                    f"which stands before it; {name} is not used"
                )
                continue
            spelled[attr] = name
            try:
                values[attr] = self._item(section.KEYS[attr], value, prefix + attr, prefix + name)
            except ConfigError as error:
                if self._errors is None:
                    raise
                self._errors.append(str(error))
        return section(**values)

    def _item(self, key: Key, value: Any, name: str, spelled: str) -> Any:
        if key.section is not None and key.tables and isinstance(value, list):
            parsed = []
            for number, item in enumerate(value):
                if not isinstance(item, dict):
                    raise self._refused(key, value, spelled, self.path)
                parsed.append(self.section(key.section, item, f"{name}[{number}]."))
            self._remember(name)
            return tuple(parsed)
        if key.section is not None and not key.tables and isinstance(value, dict):
            return self.section(key.section, value, name + ".")
        self._remember(name)
        return self._parse(key, value, spelled, self.path)

    def check_entries(self, conf: ClusterConf) -> None:
        """Refuse data directories that mean nothing."""
        for entry in conf.worker.data_dir:
            try:
                parse_data_dir(entry)
            except ConfigError as error:
                if self._errors is None:
                    raise
                self._errors.append(f"{self.path}: worker.data_dir: {error}")

    def override(self, conf: Any, name: str, value: Any, origin: str) -> Any:
        """``conf`` with one dotted key replaced by a value from outside the file."""

        def replaced(section: Any, parts: list[str], done: str) -> Any:
            attr = section.NAMES.get(parts[0])
            if attr is None:
                raise ConfigError(f"{origin}: no such key: {done}{parts[0]}")
            key = section.KEYS[attr]
            if len(parts) > 1:
                if key.section is None or key.tables:
                    raise ConfigError(f"{origin}: no such key: {name}")
                new = replaced(getattr(section, attr), parts[1:], f"{done}{attr}.")
            else:
                if isinstance(value, tuple) and key.tables:
                    new = value
                else:
                    new = self._parse(key, value, done + attr, origin)
                self.origins[done + attr] = origin
            return msgspec.structs.replace(section, **{attr: new})

        return replaced(conf, name.split("."), "")

    def _parse(self, key: Key, value: Any, name: str, source: str | None) -> Any:
        try:
            return key.parse(value)
        except (ValueError, OverflowError) as error:
            raise self._refused(key, value, name, source, error) from None

    def _refused(
        self, key: Key, value: Any, name: str, source: str | None, error: Exception | None = None
    ) -> ConfigError:
        detail = str(error) if key.tables and error and str(error) else f"expected {key.accepts}"
        return ConfigError(f"{source}: {name} = {_shortened(value)}: {detail}")

    def _remember(self, name: str) -> None:
        self.origins[name] = f"file {self.path}"

    def _unknown(self, section: type[Section], prefix: str, name: str) -> str:
        from difflib import get_close_matches  # slow to import, seldom needed

        near = get_close_matches(name, section.NAMES, n=1, cutoff=0.75)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{self.path}: unknown key {prefix}{name} is not used{hint}"


def _shortened(value: Any) -> str:
    shown = f'"{value}"' if isinstance(value, str) else repr(value)
    if isinstance(value, bool):
        shown = str(value).lower()
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _resolve(conf: ClusterConf, env: Mapping[str, str], origins: dict[str, str]) -> ClusterConf:
    """Fill in what follows from the environment and from other keys."""
    replace = msgspec.structs.replace
    if conf.net_interface:
        address = _interface_address(conf.net_interface)
        for name in _HOSTNAMES:
            origins[name] = f"net_interface {conf.net_interface}"
        conf = replace(
            conf,
            master=replace(conf.master, hostname=address),
            journal=replace(conf.journal, hostname=address),
            worker=replace(conf.worker, hostname=address),
            client=replace(conf.client, hostname=address),
        )
    bind = env.get("ORPC_BIND_HOSTNAME", "").strip()
    for role in ("master", "worker", "fuse"):
        section = getattr(conf, role)
        if not section.bind_host:
            own = section.hostname if f"{role}.hostname" in origins else _LOOPBACK
            if bind:
                origins[f"{role}.bind_host"] = "env ORPC_BIND_HOSTNAME"
            conf = replace(conf, **{role: replace(section, bind_host=bind or own)})
    meta_dir = conf.master.meta_dir or os.path.join(
        env.get("CURVINE_HOME") or default_dir(env), "meta"
    )
    journal_dir = conf.journal.journal_dir or os.path.join(
        os.path.dirname(meta_dir.rstrip("/")), "journal"
    )
    return replace(
        conf,
        master=replace(conf.master, meta_dir=meta_dir),
        journal=replace(conf.journal, journal_dir=journal_dir),
    )


def _contradictions(conf: ClusterConf, tree: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about values that are legal and will not do what they say."""
    for name in _NO_SERVICE:
        section = tree.get(name)
        if isinstance(section, dict) and section.get("enabled") is True:
            yield f"[{name}] enabled = true has no effect: this program has no such service"
    spdk = tree.get("worker", {}).get("spdk_disk")
    if isinstance(spdk, dict) and spdk.get("enabled") is True:
        yield "[worker.spdk_disk] enabled = true has no effect: SPDK is not supported"
    if conf.fuse.direct_io and conf.fuse.write_back_cache:
        yield "fuse.write_back_cache has no effect together with fuse.direct_io"
    master = conf.master
    if master.worker_blacklist_interval < master.heartbeat_interval:
        yield "master.worker_blacklist_interval is shorter than master.heartbeat_interval"
    if master.quota_eviction_low_rate >= master.quota_eviction_high_rate:
        yield "master.quota_eviction_low_rate is not below master.quota_eviction_high_rate"
    for one, other in _PORT_PAIRS:
        first, second = (_value(conf, name) for name in (one, other))
        if first == second and first != 0:
            yield f"{one} and {other} are the same port {first}"
    if master.worker_lost_interval < master.heartbeat_interval:
        yield "master.worker_lost_interval is shorter than master.heartbeat_interval"


def _value(conf: ClusterConf, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(conf, section), key)


def _interface_address(name: str) -> str:
    """The IPv4 address of a network interface (netdevice(7), SIOCGIFADDR)."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()[:15]))
        except OSError as error:
            raise ConfigError(
                f"net_interface {name!r} has no IPv4 address here: {error.strerror}"
            ) from None
    return socket.inet_ntoa(answer[20:24])
