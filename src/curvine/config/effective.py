# SPDX-License-Identifier: Apache-2.0
"""What a configuration amounts to: every key with its value and where that came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from curvine.config.keys import Key, Section, shown
from curvine.config.load import LoadedConf
from curvine.config.schema_shared import Endpoint, JournalPeer

DERIVED = "derived"  # no default of the key itself: it follows from others or from the environment


class EffectiveKey(msgspec.Struct, frozen=True):
    """One key. ``origin`` is default, derived, flag, "file PATH", "env NAME" or an interface."""

    name: str
    key: Key
    value: Any
    origin: str

    @property
    def text(self) -> str:
        """The value for people."""
        if isinstance(self.value, tuple):
            return ", ".join(map(_item_text, self.value))
        return shown(self.key, self.value)


def effective_keys(loaded: LoadedConf) -> Iterator[EffectiveKey]:
    """Every key in the order of its declaration, tables walked into, ignored ones left out."""
    return _keys(loaded, loaded.conf, "")


def _keys(loaded: LoadedConf, section: Section, prefix: str) -> Iterator[EffectiveKey]:
    for attr, key in type(section).KEYS.items():
        name, value = prefix + attr, getattr(section, attr)
        if key.accepts == "anything":
            continue
        if key.section is not None and not key.tables:
            yield from _keys(loaded, value, f"{name}.")
            continue
        origin = loaded.origin(name)
        if origin == "default" and value != key.value():
            origin = DERIVED
        yield EffectiveKey(name, key, value, origin)


def _item_text(item: Any) -> str:
    if isinstance(item, Endpoint | JournalPeer):
        host = f"[{item.hostname}]" if ":" in item.hostname else item.hostname
        return f"{host}:{item.port}"
    if isinstance(item, Section):
        keys = type(item).KEYS
        return " ".join(f"{name}={getattr(item, name)}" for name in keys if name != "options")
    return str(item)
