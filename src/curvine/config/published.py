# SPDX-License-Identifier: Apache-2.0
"""The effective configuration as JSON, in Curvine's spelling and without secrets (/api/config).

Curvine writes sizes and durations as text in some sections and as numbers in others, and ends some
names in ``_str``; whoever reads its page expects just that (control-plane specification 7.3, 8).
Keys that have no meaning here are left out. Sizes in numbers are bytes, durations ms.
"""

from __future__ import annotations

import re
from typing import Any

from curvine.config.keys import Key, Section, shown
from curvine.config.schema import ClientConf, ClusterConf, JobConf

_SECRET = re.compile(
    r"(secret|token|passw|credential|access[._-]?key|private[._-]?key)(?!.*(_file|_path|_env)$)",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")


def published(conf: ClusterConf) -> dict[str, Any]:
    """``conf`` as a JSON object."""
    return _section(conf)


def _section(section: Section) -> dict[str, Any]:
    return {
        _spelled(section, attr, key): _value(section, attr, key)
        for attr, key in type(section).KEYS.items()
        if key.accepts != "anything" and not _SECRET.search(attr)
    }


def _spelled(section: Section, attr: str, key: Key) -> str:
    by_client = isinstance(section, ClientConf) and (
        key.unit == "bytes" or attr in ("ttl_ms", "ttl_action", "storage_type")
    )
    by_job = isinstance(section, JobConf) and key.unit == "ms"
    return attr + "_str" if by_client or by_job else attr


def _value(section: Section, attr: str, key: Key) -> Any:
    value = getattr(section, attr)
    if isinstance(value, Section):
        return _section(value)
    if key.unit == "ms":
        is_text = not attr.endswith("_ms") or _spelled(section, attr, key) != attr
        if value == 0 and is_text:
            return "0"
        return shown(key, value) if is_text or value is None else value
    if key.unit == "bytes":
        is_text = isinstance(section, ClientConf) or attr == "dir_reserved"
        return _size_text(value) if is_text else value
    return _plain(value)


def _size_text(value: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return _section(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if not _SECRET.search(name)}
    return _USER_INFO.sub("***@", value) if isinstance(value, str) else value
