# SPDX-License-Identifier: Apache-2.0
"""Curvine paths: absolute, separated by "/", compared bytewise, never resolved.

Source: control-plane specification 5.2. Names that are not UTF-8 travel escaped into private-use
code points (decision 9): byte 0x80..0xFF becomes U+F780..U+F7FF. A name that really contains one
of these code points has the bytes of that character escaped one by one, so the mapping is
one-to-one.
"""

from __future__ import annotations

import re

from curvine.errors import InvalidPath

_ESCAPE_BASE = 0xF700  # U+F700 + byte; only bytes 0x80..0xFF are ever escaped
_ESCAPED = re.compile("[\uf780-\uf7ff]")
_SURROGATE = re.compile("[\udc80-\udcff]")
_SLASHES = re.compile("/{2,}")

ROOT = "/"


def normalize(path: str) -> str:
    """``path`` with repeated slashes collapsed and a trailing one removed.

    "." and ".." are left alone: no Curvine peer gives them a meaning. InvalidPath when the path is
    not absolute or holds a NUL.
    """
    if not path.startswith("/"):
        raise InvalidPath(f"Path {path!r} is invalid, it must start with '/'")
    if "\0" in path:
        raise InvalidPath(f"Path {path!r} is invalid, it contains a NUL character")
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    return path


def join(parent: str, name: str) -> str:
    """The path of ``name`` inside ``parent``."""
    return f"/{name}" if parent == ROOT else f"{parent}/{name}"


def split(path: str) -> tuple[str, str]:
    """(parent, name) of a normalised path; the root gives ("/", "")."""
    parent, _, name = path.rpartition("/")
    return (parent or ROOT, name)


def components(path: str) -> list[str]:
    """The names from the root down; the root has none."""
    return path[1:].split("/") if len(path) > 1 else []


def is_under(path: str, prefix: str) -> bool:
    """Whether ``path`` is ``prefix`` or lies below it, component-wise."""
    return prefix in (ROOT, path) or path.startswith(prefix + "/")


def relative(path: str, prefix: str) -> str:
    """``path`` below ``prefix`` without a leading slash ("" for ``prefix`` itself)."""
    return path[1:] if prefix == ROOT else path[len(prefix) + 1 :]


def name_to_wire(name: bytes) -> str:
    """A file name as the kernel gives it, as text for the wire."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode("utf-8", "surrogateescape")
        text = _ESCAPED.sub(_escape_character, text)
        return _SURROGATE.sub(lambda m: chr(_ESCAPE_BASE + ord(m[0]) - 0xDC00), text)
    return _ESCAPED.sub(_escape_character, text) if _ESCAPED.search(text) else text


def name_from_wire(name: str) -> bytes:
    """The bytes that :func:`name_to_wire` was given."""
    if not _ESCAPED.search(name):
        return name.encode("utf-8", "surrogatepass")
    return b"".join(
        bytes((ord(char) - _ESCAPE_BASE,)) if "\uf780" <= char <= "\uf7ff" else char.encode("utf-8")
        for char in name
    )


def _escape_character(match: re.Match[str]) -> str:
    return "".join(chr(_ESCAPE_BASE + byte) for byte in match[0].encode("utf-8"))
