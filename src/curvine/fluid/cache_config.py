# SPDX-License-Identifier: Apache-2.0
"""``generate_config.py``: runtime.json of a CacheRuntime in, curvine-cluster.toml out.

Every pod (master, worker, client) gets the same document; what is written depends on the role in
FLUID_RUNTIME_COMPONENT_TYPE. On stdout goes what the image's entry point evaluates: variables that
the programs and people's scripts use. Source: Fluid contract 7.1 to 7.3, 9 ("CacheRuntime in N").
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from curvine.config.keys import Key, Text
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError
from curvine.fluid.manifests import Body, items, mapping
from curvine.fluid.options import TomlValue
from curvine.fluid.parse_main import CONF_NAME, DEFAULT_HOME, write_all
from curvine.fluid.runtime_config import CONFIG_PATH_VARIABLE, DatasetMount, parse_config
from curvine.fluid.secrets import is_secret, read_secret
from curvine.fluid.toml_text import key_text, quoted, value_text

ROLES = ("master", "worker", "client")
DEFAULT_PATH = "/etc/fluid/config/runtime.json"
MASTER_PORT, JOURNAL_PORT = 8995, 8996
DEFAULT_DATA_DIR = "[SSD]/cache-data"
# Options that belong elsewhere than in their role's section: upstream's table.
_TOP = ("format_master", "format_worker", "testing", "cluster_id")
_REHOMED = {
    "journal_port": "journal.rpc_port", "journal_dir": "journal.journal_dir",
    "raft_port": "journal.rpc_port", "master_hostname": "master.hostname",
    "worker_hostname": "worker.hostname",
}  # fmt: skip
_SECTIONS = {"master": ("master", "journal"), "worker": ("worker",), "client": ("client", "fuse")}
_QUOTA = re.compile(r"([0-9.]+)\s*([KMGTP])i?B?", re.IGNORECASE)
NATIVE = ("curvine", "curvinefs", "cv")

Tables = dict[str, dict[str, TomlValue]]


class Component(msgspec.Struct, frozen=True):
    """One role as the document describes it."""

    name: str
    service: str
    replicas: int
    options: dict[str, str]
    levels: tuple[Body, ...]

    def hosts(self) -> tuple[str, ...]:
        """Names of its pods in DNS, within their namespace."""
        suffix = f".{self.service}" if self.service else ""
        return tuple(f"{self.name}-{number}{suffix}" for number in range(max(self.replicas, 1)))


class CacheDocument(msgspec.Struct, frozen=True):
    """runtime.json."""

    mounts: tuple[DatasetMount, ...]
    secrets: tuple[dict[str, str], ...]  # encryptOptions of each mount: option -> file
    target: str
    read_only: bool
    components: dict[str, Component]

    @property
    def dataset(self) -> str:
        """The Dataset's name, from the master's."""
        master = self.components.get("master")
        return master.name.removesuffix("-master") if master else "curvine"

    def masters(self) -> tuple[tuple[str, int], ...]:
        """Where the masters answer."""
        master = self.components.get("master")
        if master is None:
            return ()
        port = int(master.options.get("rpc_port") or MASTER_PORT)
        return tuple((host, port) for host in master.hosts())


def document_path(env: Mapping[str, str]) -> str:
    """Where runtime.json is."""
    return env.get(CONFIG_PATH_VARIABLE) or DEFAULT_PATH


def read_document(path: str) -> CacheDocument:
    """The document in the file. ConfigError names the file and what is wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    config = parse_config(data, path)
    body = mapping(json.loads(data.decode("utf-8-sig")))
    return CacheDocument(
        mounts=config.mounts,
        secrets=tuple(
            {str(k): str(v) for k, v in mapping(mapping(m).get("encryptOptions")).items()}
            for m in items(body.get("mounts"))
        ),
        target=config.target_path,
        read_only=config.read_only,
        components={role: _component(role, body[role], path) for role in ROLES
                    if mapping(body.get(role)).get("enabled", True) and mapping(body.get(role))},
    )  # fmt: skip


def _component(role: str, body: Any, path: str) -> Component:
    body = mapping(body)
    replicas = body.get("replicas") or 1
    if not isinstance(replicas, int):
        raise ConfigError(f"{path}: {role}.replicas must be a number")
    levels = items(body.get("tieredStoreLevels")) or items(body.get("tieredStore"))
    return Component(
        name=str(body.get("name") or role),
        service=str(mapping(body.get("service")).get("name") or ""),
        replicas=replicas,
        options={str(k): v if isinstance(v, str) else json.dumps(v)
                 for k, v in mapping(body.get("options")).items()},
        levels=tuple(mapping(level) for level in levels),
    )  # fmt: skip


def data_dirs(worker: Component) -> list[str]:
    """``[HDD:5GB]/path`` for every directory of the tiers, or of the option data_dir."""
    given = worker.options.get("data_dir", "").strip()
    if given:
        return [part.strip() for part in given.split(",") if part.strip()]
    found = []
    for level in worker.levels:
        paths, quotas = items(level.get("mountPaths")), items(level.get("quotas"))
        medium = str(level.get("mediumType") or "SSD").upper()
        for number, path in enumerate(paths):
            quota = str(quotas[number]) if number < len(quotas) else ""
            match = _QUOTA.fullmatch(quota.strip())
            size = f":{match[1]}{match[2].upper()}B" if match else f":{quota}B" if quota else ""
            found.append(f"[{medium}{size}]{path}")
    return found or [DEFAULT_DATA_DIR]


class Made(msgspec.Struct, frozen=True):
    """What comes of it."""

    toml: str
    variables: dict[str, str]
    warnings: tuple[str, ...]


def make_config(document: CacheDocument, role: str, env: Mapping[str, str]) -> Made:
    """The configuration of ``role``."""
    if role not in ROLES:
        raise ConfigError(f"FLUID_RUNTIME_COMPONENT_TYPE is {role!r}; master, worker or client")
    warnings: list[str] = []
    top: dict[str, TomlValue] = {
        "format_master": False, "format_worker": False, "testing": False,
        "cluster_id": document.dataset,
    }  # fmt: skip
    tables: Tables = {"master": {}, "journal": {}, "worker": {}, "client": {}, "fuse": {}}
    for name in ROLES:
        component = document.components.get(name)
        if component is not None:
            _apply_options(component, name, role, top, tables, warnings, env)
    own = _own_host(role, document, env)
    tables["master"].setdefault("hostname", own if role == "master" else _first(document))
    if role == "master":
        tables["journal"].setdefault("hostname", own)
    if role == "worker":
        tables["worker"].setdefault("hostname", own)
    worker = document.components.get("worker")
    arrays: dict[str, list[str]] = {}
    if worker is not None and role == "worker":
        tables["worker"].pop("data_dir", None)
        arrays["data_dir"] = data_dirs(worker)
    if role == "client":
        tables["fuse"]["mnt_path"] = document.target
        if document.read_only:
            tables["fuse"]["readonly"] = True
    toml = "\n".join(_toml(document, role, top, tables, arrays)) + "\n"
    return Made(toml, _variables(document, env), tuple(warnings))


def _apply_options(
    component: Component, name: str, role: str, top: dict[str, TomlValue], tables: Tables,
    warnings: list[str], env: Mapping[str, str],
) -> None:  # fmt: skip
    """Put every option where it belongs. A master's ports are known to all roles."""
    for option, text in component.options.items():
        if is_secret(text):
            text = read_secret(text, option, env)
        if option in _TOP:
            top[option] = text if option == "cluster_id" else text.lower() in ("true", "1", "yes")
            continue
        if option == "data_dir" and name == "worker":
            continue
        where = _REHOMED.get(option, option)
        section, dot, key = where.partition(".")
        sections = (section,) if dot and section in tables else _SECTIONS[name]
        key = key if dot and section in tables else where
        for section in sections:
            declared = _keys(section)
            spelled = key if key in declared else key.replace("-", "_")
            if spelled in declared:
                tables[section][spelled] = _typed(declared[spelled], f"{name} {option}", text)
                break
        else:
            if name == role:
                warnings.append(f"{name}: unknown option {option} is ignored")


def _keys(section: str) -> Mapping[str, Key]:
    declared = ClusterConf.KEYS[section].section
    assert declared is not None
    keys: Mapping[str, Key] = declared.KEYS
    return keys


def _typed(key: Key, option: str, text: str) -> TomlValue:
    try:
        value = key.parse(Text(text.strip()))
    except (ValueError, OverflowError):
        raise ConfigError(f"option {option}: {text!r}: expected {key.accepts}") from None
    return value if isinstance(value, bool | int | float) else text.strip()


def _own_host(role: str, document: CacheDocument, env: Mapping[str, str]) -> str:
    """This pod's name in DNS; somebody's own CURVINE_<ROLE>_HOSTNAME wins."""
    given = env.get(f"CURVINE_{role.upper()}_HOSTNAME")
    if given:
        return given
    component = document.components.get(role)
    pod = env.get("POD_NAME") or env.get("HOSTNAME") or socket.gethostname()
    service = env.get("FLUID_RUNTIME_COMPONENT_SVC_NAME") or (
        component.service if component else ""
    )
    return f"{pod}.{service}" if service else pod


def _first(document: CacheDocument) -> str:
    masters = document.masters()
    return masters[0][0] if masters else "localhost"


def _toml(
    document: CacheDocument, role: str, top: Mapping[str, TomlValue], tables: Tables,
    arrays: Mapping[str, list[str]],
) -> Iterator[str]:  # fmt: skip
    yield from (f"{name} = {value_text(value)}" for name, value in top.items())
    wanted = {"master": ("master", "journal"), "worker": ("master", "worker"),
              "client": ("master", "client", "fuse")}[role]  # fmt: skip
    for section in wanted:
        yield from ("", f"[{section}]")
        yield from (f"{key_text(n)} = {value_text(v)}" for n, v in tables[section].items())
        if section == "worker":
            for name, values in arrays.items():
                yield f"{name} = [{', '.join(quoted(value) for value in values)}]"
        if section == "journal":
            peers = (
                f"{{ id = {number}, hostname = {quoted(host)}, port = "
                f"{tables['journal'].get('rpc_port', JOURNAL_PORT)} }}"
                for number, (host, _) in enumerate(document.masters(), 1)
            )
            yield f"journal_addrs = [{', '.join(peers)}]"
    for host, port in document.masters():
        yield from ("", "[[client.master_addrs]]", f"hostname = {quoted(host)}", f"port = {port}")
    if role == "client":
        yield from _places(document)


def _places(document: CacheDocument) -> Iterator[str]:
    """Native mounts that appear elsewhere than where they lie, beside the whole name space."""
    native = {}
    for mount in document.mounts:
        if is_native(mount) and mount.effective_path != mount.fs_path:
            native[mount.effective_path] = mount.fs_path
    if not native:
        return
    masters = ", ".join(
        f"{{ hostname = {quoted(host)}, port = {port} }}" for host, port in document.masters()
    )
    for path, fs_path in ({"/": "/"} | native).items():
        yield from ("", "[[fuse.mounts]]", f"path = {quoted(path)}")
        yield f"fs_path = {quoted(fs_path)}"
        yield f"master_addrs = [{masters}]"


def is_native(mount: DatasetMount) -> bool:
    """Whether a mount is a path of this very cluster."""
    scheme, mark, _ = mount.mount_point.partition("://")
    return bool(mark) and scheme.lower() in NATIVE


def _variables(document: CacheDocument, env: Mapping[str, str]) -> dict[str, str]:
    master, worker = document.components.get("master"), document.components.get("worker")
    made = {
        "CURVINE_TARGET_PATH": document.target,
        "CURVINE_MASTER_SERVICE": master.service if master else "",
        "CURVINE_WORKER_SERVICE": worker.service if worker else "",
        "CURVINE_MASTER_ENDPOINTS": ";".join(f"{h}:{p}" for h, p in document.masters()),
    }
    return {name: value for name, value in made.items() if value and not env.get(name)}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="generate_config.py",
        description="Turn Fluid's runtime.json into $CURVINE_HOME/conf/curvine-cluster.toml.",
    )
    parser.add_argument("--config", metavar="FILE", help="read this file instead of Fluid's")
    parser.add_argument("--role", choices=ROLES, help="instead of FLUID_RUNTIME_COMPONENT_TYPE")
    parser.add_argument("--output", metavar="FILE", help="write the configuration there")
    given = parser.parse_args(argv)
    env = os.environ
    home = env.get("CURVINE_HOME") or DEFAULT_HOME
    output = given.output or os.path.join(home, CONF_NAME)
    role = given.role or env.get("FLUID_RUNTIME_COMPONENT_TYPE") or "client"
    try:
        document = read_document(given.config or document_path(env))
        made = make_config(document, role, env)
        write_all([(output, made.toml, 0o644)])
    except ConfigError as error:
        print(f"ERROR: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for warning in made.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    for name, value in made.variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
