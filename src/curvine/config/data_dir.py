# SPDX-License-Identifier: Apache-2.0
"""Entries of ``worker.data_dir``: an optional prefix in brackets, then a path.

``/d``, ``[SSD]/d``, ``[20GB]/d``, ``[MEM:10GB]/d``. Capacities are bytes; None stands for the whole
disk. Source: control-plane specification 8.7.

Where Curvine takes the whole string for a path when it does not understand the bracket (a decimal
size, a blank), we understand decimals and blanks, and refuse the rest.
"""

from __future__ import annotations

import re

import msgspec

from curvine.errors import ConfigError
from curvine.model.inode import StorageType
from curvine.units import parse_size

_ENTRY = re.compile(r"^\[(?P<prefix>[^\]]*)\](?P<path>.*)$", re.DOTALL)
_TYPE_NAME = re.compile(r"^[A-Za-z_]+$")
_TYPES = {item.name: item for item in StorageType} | {"SPDK": StorageType.SPDK_DISK}


class DataDir(msgspec.Struct, frozen=True):
    """One directory (below it: <cluster_id>/...) and what may be kept there."""

    storage_type: StorageType
    capacity: int | None
    path: str


def parse_data_dir(entry: str) -> DataDir:
    """The directory that ``entry`` describes. ConfigError shows it and the accepted forms."""
    text = entry.strip()
    match = _ENTRY.match(text)
    if match is None:
        if not text or text.startswith("["):
            raise _refused(entry, "no path")
        return DataDir(StorageType.DISK, None, text)
    path = match["path"].strip()
    parts = [part.strip() for part in match["prefix"].split(":")]
    if not path:
        raise _refused(entry, "no path after the bracket")
    if len(parts) > 2:
        raise _refused(entry, "more than one colon")
    if len(parts) == 2:
        return DataDir(_type(entry, parts[0]), _capacity(entry, parts[1]), path)
    if _TYPE_NAME.match(parts[0]):
        return DataDir(_type(entry, parts[0]), None, path)
    return DataDir(StorageType.DISK, _capacity(entry, parts[0]), path)


def _type(entry: str, name: str) -> StorageType:
    if not _TYPE_NAME.match(name):
        raise _refused(entry, f"{name!r} is not a storage type")
    return _TYPES.get(name.upper(), StorageType.DISK)  # unknown names mean DISK, as in Curvine


def _capacity(entry: str, text: str) -> int | None:
    try:
        return parse_size(text) or None
    except ValueError:
        raise _refused(entry, f"{text!r} is not a size") from None


def _refused(entry: str, reason: str) -> ConfigError:
    return ConfigError(
        f"data_dir entry {entry!r}: {reason}; "
        "write /path, [SSD]/path, [20GB]/path or [MEM:10GB]/path"
    )
