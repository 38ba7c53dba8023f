# SPDX-License-Identifier: Apache-2.0
"""Curvine for Python: a distributed file cache that speaks Curvine's wire protocol.

``__version__`` is our own version. ``CURVINE_RELEASE`` is the Curvine release whose behaviour we
implement; peers are told ``<CURVINE_RELEASE>+py.<__version__>`` (semantic versioning, local part).

``connect``, ``open``, ``Client``, ``CurvineFileSystem``, ``FileDataset``, ``StreamDataset`` and
``arrow_filesystem`` are the Python door (docs/python.md), imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
CURVINE_RELEASE = "0.4.1"
ANNOUNCED_VERSION = f"{CURVINE_RELEASE}+py.{__version__}"

_DOOR = {
    "Client": "api.Client",
    "CurvineFileSystem": "filesystem.CurvineFileSystem",
    "FileDataset": "dataset.FileDataset",
    "StreamDataset": "dataset.StreamDataset",
    "arrow_filesystem": "arrow.arrow_filesystem",
    "connect": "api.connect",
    "open": "api.open_file",
}


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'curvine' has no attribute {name!r}")
    module, attribute = _DOOR[name].split(".")
    return getattr(import_module(f"curvine.fsspec_client.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
