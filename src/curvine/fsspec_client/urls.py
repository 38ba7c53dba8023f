# SPDX-License-Identifier: Apache-2.0
"""cv:// and curvine:// URLs, and paths as Python writes them.

``cv:///data/f`` is /data/f of the configured cluster, ``cv://HOST:PORT/data/f`` of that master
(several: ``cv://H:P,H:P/...``), ``cv://data/f`` the same as ``cv:///data/f``: an authority is one
only with a port. Names that are not UTF-8 are surrogate-escaped, as ``os.fsdecode`` does it.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from curvine.model.inode import FileStatus, FileType
from curvine.model.path import ROOT, name_from_wire, name_to_wire, normalize

PROTOCOLS = ("cv", "curvine")
_URL = re.compile(r"(?:cv|curvine)://?(?P<rest>.*)", re.DOTALL)
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^/:,\[\]]+):\d{1,5}"
_AUTHORITY = re.compile(rf"(?:cv|curvine)://(?P<masters>{_HOST}(?:,{_HOST})*)(?P<path>/.*|)$", re.S)


def masters_of(url: str) -> str | None:
    """The masters that a URL names, if it does."""
    match = _AUTHORITY.match(url)
    return match["masters"] if match else None


def path_of(url: str) -> str:
    """The absolute path, as Python writes it, of a URL or of a path."""
    match = _AUTHORITY.match(url)
    if match:
        path = match["path"]
    else:
        match = _URL.match(url)
        path = match["rest"] if match else url
    return normalize("/" + path) if path else ROOT


def wire_path(path: str) -> str:
    """A path as the cluster spells it."""
    return path if path.isascii() else name_to_wire(os.fsencode(path))


def python_path(path: str) -> str:
    """The reverse of :func:`wire_path`."""
    return path if path.isascii() else os.fsdecode(name_from_wire(path))


def info_of(status: FileStatus, path: str) -> dict[str, Any]:
    """What fsspec's ``info`` tells of an entry at ``path``: sizes bytes, times s since 1970."""
    if status.is_dir:
        kind, bits = "directory", stat.S_IFDIR
    elif status.file_type is FileType.LINK:
        kind, bits = "link", stat.S_IFLNK
    else:
        kind, bits = "file", stat.S_IFREG
    info: dict[str, Any] = {
        "name": path,
        "size": 0 if status.is_dir else status.len,
        "type": kind,
        "created": status.changed / 1000,
        "mtime": status.mtime / 1000,
        "atime": status.atime / 1000,
        "mode": bits | stat.S_IMODE(status.mode),
        "owner": status.owner,
        "group": status.group,
        "ino": status.id,
        "nlink": status.nlink,
        "islink": kind == "link",
    }
    if not status.is_dir:
        info["block_size"] = status.block_size
        info["replicas"] = status.replicas
    if status.target is not None:
        info["destination"] = python_path(status.target)
    return info
