# SPDX-License-Identifier: Apache-2.0
"""From references to credentials, on the node that uses them, at the moment of use.

``file:/absolute/path`` is the file's text without one final newline, ``env:NAME`` the environment
variable's. What they resolve to stays in the process: messages name property and place, never the
value. Our own tokens cannot be referred to. Source: docs/security.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from curvine.errors import ConfigError
from curvine.model.credentials import ENV, EXPOSE, FILE, MASTER, WITHHELD, is_reference, may_refer

_MOST_BYTES = 64 * 1024  # a service account's key is some kilobytes
_OWN_VARIABLES = ("CURVINE_AUTH_", "CURVINE_ADMIN_")


def resolved(
    properties: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The properties with every reference replaced by what it stands for.

    ConfigError names a property whose credential cannot be had here, and why.
    """
    result = {}
    for name, value in properties.items():
        if name == EXPOSE:
            continue
        if value == WITHHELD or value.startswith(MASTER):
            raise ConfigError(
                f"the mount property {name} is a value that the master keeps to itself; mount"
                f" with a reference instead ({FILE}/path or {ENV}NAME, read on every node), or"
                f" with {EXPOSE}=true"
            )
        result[name] = _value(name, value, environ) if may_refer(name) else value
    return result


def stamp(properties: Mapping[str, str]) -> tuple[tuple[str, int, int], ...]:
    """What changes when the file behind a reference does: a mark to open a storage anew by."""
    marks = []
    for name, value in properties.items():
        if value.startswith(FILE) and may_refer(name):
            try:
                found = os.stat(value[len(FILE) :])
            except OSError:
                continue
            marks.append((name, found.st_ino, found.st_mtime_ns))
    return tuple(marks)


def _value(name: str, value: str, environ: Mapping[str, str]) -> str:
    if not is_reference(value):
        return value
    if value.startswith(ENV):
        variable = value[len(ENV) :]
        text = environ.get(variable, "")
        if variable.startswith(_OWN_VARIABLES) or not text:
            raise ConfigError(
                f"the mount property {name} refers to the environment variable {variable}, which"
                " is not set for this process"
            )
        return text
    return _from_file(name, value[len(FILE) :])


def _from_file(name: str, path: str) -> str:
    if not path.startswith("/"):
        raise ConfigError(f"the mount property {name} refers to {path!r}, no absolute path")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(
            f"the mount property {name} refers to {path}, which cannot be read on this node:"
            f" {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the mount property {name} refers to {path}, no UTF-8 text") from None
    if not text or len(raw) > _MOST_BYTES:
        state = "empty" if not text else f"over {_MOST_BYTES} bytes"
        raise ConfigError(f"the mount property {name} refers to {path}, which is {state}")
    return text
