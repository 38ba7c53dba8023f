# SPDX-License-Identifier: Apache-2.0
"""Sizes and durations as people write them.

Rules of control-plane specification 8.1: sizes are 1024-based ("128MB" = 134217728 bytes),
durations default to milliseconds ("90" = 90 ms, "7d" = 604800000 ms), both case-insensitive,
decimals and exponents allowed.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"^\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)\s*$")

_SIZE_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_DURATION_UNITS = {
    "": 1,
    "ms": 1,
    "s": 1000,
    "second": 1000,
    "seconds": 1000,
    "m": 60_000,
    "minute": 60_000,
    "minutes": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "hours": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
    "days": 86_400_000,
}


def parse_size(text: str | int) -> int:
    """Bytes in ``text`` ("128MB", "1.5G", "4KiB", 4096). ValueError names the text."""
    if isinstance(text, int):
        return text
    match = _NUMBER.match(text)
    if match:
        unit = match.group(2).upper().removesuffix("B").removesuffix("I")
        if unit in _SIZE_UNITS:
            return round(float(match.group(1)) * (1 << 10 * _SIZE_UNITS[unit]))
    raise ValueError(f"{text!r} is not a size; write for example 64KB, 128MB or 1.5GB")


def parse_duration(text: str | int) -> int:
    """Milliseconds in ``text`` ("10m", "1.5h", "90", 90). ValueError names the text."""
    if isinstance(text, int):
        return text
    match = _NUMBER.match(text)
    if match and match.group(2).lower() in _DURATION_UNITS:
        return round(float(match.group(1)) * _DURATION_UNITS[match.group(2).lower()])
    raise ValueError(f"{text!r} is not a duration; write for example 500ms, 30s, 10m, 1h or 7d")


def format_size(size: float) -> str:
    """``size`` bytes for people: two decimals and a binary unit ("12.00MiB")."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            return f"{value:.0f}B" if unit == "B" else f"{value:.2f}{unit}"
        value /= 1024
    return f"{value:.2f}PiB"


def format_duration(ms: int) -> str:
    """``ms`` milliseconds as the largest exact unit ("7d", "10m", "1500ms")."""
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % factor == 0:
            return f"{ms // factor}{unit}"
    return f"{ms}ms"
