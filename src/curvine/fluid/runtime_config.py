# SPDX-License-Identifier: Apache-2.0
"""The document that Fluid hands to a ThinRuntime container, as frozen values.

One JSON file, compact, with or without a final newline; every option value is a text. Values
compare by content, so a rewrite that changes only the file's bytes is no change. Source: Fluid
contract 1.2 to 1.6, 5 (access modes), 10.3, 10.4.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from curvine.errors import ConfigError, InvalidPath
from curvine.model.path import normalize

# Newer Fluid (1.0.1 on) mounts a directory, older ones mount the file itself.
CONFIG_PATHS = ("/etc/fluid/config/config.json", "/etc/fluid/config.json")
CONFIG_PATH_VARIABLE = "FLUID_RUNTIME_CONFIG_PATH"

_SCHEMES = ("curvine", "curvinefs", "cv")
_WRITE_MODES = frozenset(("ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"))


class DatasetMount(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a Dataset's ``mounts``."""

    mount_point: str
    options: dict[str, str] = {}
    name: str = ""
    path: str = ""
    read_only: bool = False
    shared: bool = False

    @property
    def fs_path(self) -> str:
        """The Curvine path behind ``mount_point``. ConfigError when it is not ours to serve."""
        scheme, mark, rest = self.mount_point.partition("://")
        if not mark:
            rest = self.mount_point
        elif scheme.lower() not in _SCHEMES:
            raise ConfigError(
                f"mountPoint {self.mount_point!r} has the scheme {scheme}://; a Curvine mount is "
                "written curvine:///path (other storage is mounted in Curvine with `cv mount`)"
            )
        authority, slash, _ = rest.partition("/")
        if mark and slash and ":" in authority:
            raise ConfigError(
                f"mountPoint {self.mount_point!r} names a host; write curvine:///path and put the "
                "masters into the option master-endpoints"
            )
        return _clean_path(rest, f"mountPoint {self.mount_point!r}")

    @property
    def effective_path(self) -> str:
        """Where the mount appears in its Dataset: ``path`` if absolute, else /<name>."""
        where = self.path if self.path.startswith("/") else self.name
        return _clean_path(where, f"path {where!r}")

    @property
    def label(self) -> str:
        """What people call the mount."""
        return f"mount {self.name or self.mount_point!r}"


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document."""

    mounts: tuple[DatasetMount, ...] = ()
    target_path: str = ""
    access_modes: tuple[str, ...] = ()
    runtime_options: dict[str, str] = {}
    volume_attributes: dict[str, Any] = {}  # claim name -> CSI source, for pvc:// mounts
    volume_options: dict[str, Any] = {}  # claim name -> mount options, likewise
    lists_mounts: bool = True  # False: the document does not have the key, or it is null

    @property
    def read_only(self) -> bool:
        """Whether the access modes forbid writing. Without any (Fluid 0.9) nothing is forced."""
        return bool(self.access_modes) and not _WRITE_MODES.intersection(self.access_modes)


def find_config(env: Mapping[str, str]) -> str | None:
    """The file that Fluid mounted, or None."""
    return next((path for path in searched_paths(env) if os.path.isfile(path)), None)


def searched_paths(env: Mapping[str, str]) -> tuple[str, ...]:
    """Where :func:`find_config` looks, in order."""
    named = env.get(CONFIG_PATH_VARIABLE)
    return (named, *CONFIG_PATHS) if named else CONFIG_PATHS


def read_config(path: str) -> RuntimeConfig:
    """The document in the file ``path``. ConfigError names the file and what is wrong in it."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    return parse_config(data, path)


def parse_config(data: bytes, source: str) -> RuntimeConfig:
    """The document in ``data``; ``source`` names it in errors."""
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{source} is not valid JSON: line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source} is not UTF-8 text (byte {error.start})") from None
    except (RecursionError, ValueError) as error:  # too deep, or a number of thousands of digits
        raise ConfigError(f"{source} is not valid JSON: {error}") from None
    try:
        return _document(_object(document, "the document"))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _document(document: dict[str, Any]) -> RuntimeConfig:
    mounts = (
        _mount(item, f"mounts[{number}]")
        for number, item in enumerate(_list(document.get("mounts"), "mounts"))
    )
    return RuntimeConfig(
        mounts=tuple(mounts),
        volume_attributes=_object(document.get("persistentVolumeAttrs"), "persistentVolumeAttrs"),
        volume_options=_object(
            document.get("persistentVolumeMountOptions"), "persistentVolumeMountOptions"
        ),
        lists_mounts=document.get("mounts") is not None,
        target_path=_text(document.get("targetPath"), "targetPath"),
        access_modes=tuple(
            _text(item, "accessModes") for item in _list(document.get("accessModes"), "accessModes")
        ),
        runtime_options=_options(document.get("runtimeOptions"), "runtimeOptions"),
    )


def _mount(value: Any, where: str) -> DatasetMount:
    item = _object(value, where)
    mount_point = _text(item.get("mountPoint"), f"{where}.mountPoint").strip()
    if not mount_point:
        raise ConfigError(f"{where} has no mountPoint; write curvine:///path")
    return DatasetMount(
        mount_point=mount_point,
        # Thin has folded encrypted options into options; other runtimes keep them apart.
        options=_options(item.get("options"), f"{where}.options")
        | _options(item.get("encryptOptions"), f"{where}.encryptOptions"),
        name=_text(item.get("name"), f"{where}.name"),
        path=_text(item.get("path"), f"{where}.path"),
        read_only=_flag(item.get("readOnly"), f"{where}.readOnly"),
        shared=_flag(item.get("shared"), f"{where}.shared"),
    )


def _options(value: Any, where: str) -> dict[str, str]:
    """Options as texts. Fluid writes nothing else; real JSON values are understood as well."""
    return {
        _unicode(name, where): _option_text(item, f"{where}.{name}")
        for name, item in _object(value, where).items()
        if item is not None
    }


def _option_text(value: Any, where: str) -> str:
    """An option's value as the text that Fluid would have written."""
    if isinstance(value, str):
        return _unicode(value, where)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return _unicode(",".join(value), where)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ConfigError(f"{where} must be a text")


def _object(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a JSON object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ConfigError(f"{where} must be a JSON array")
    return value


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be a text")
    return _unicode(value, where)


def _flag(value: Any, where: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "1", "yes", "false", "0", "no", ""):
        return value.lower() in ("true", "1", "yes")
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ConfigError(f"{where} must be true or false")


def _unicode(text: str, where: str) -> str:
    """Refuse text that no file can hold: half of a surrogate pair."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{where} holds text that is not Unicode") from None
    return text


def _clean_path(text: str, what: str) -> str:
    try:
        return normalize("/" + text)
    except InvalidPath as error:
        raise ConfigError(f"{what}: {error}") from None
