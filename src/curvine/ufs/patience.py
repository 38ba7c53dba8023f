# SPDX-License-Identifier: Apache-2.0
"""How long and how often a storage is asked again before an error is told.

The defaults outlast the restart of a server (about a minute); a look whether a storage is there at
all gives up within seconds. Source: data-plane specification 5.8 (keys), docs/under-storage.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from curvine.errors import InvalidArgument
from curvine.units import parse_duration


class Patience(msgspec.Struct, frozen=True):
    """Times are seconds."""

    retries: int = 20
    first_pause: float = 0.2
    longest_pause: float = 3.0
    connect: float = 30.0  # one connection
    answer: float = 120.0  # one answer
    outlast: float = 60.0  # try for so long, however often that is; 0 = ``retries`` says how often

    @property
    def total(self) -> float:
        """All attempts of one request together, without the answer's own time."""
        if self.outlast:
            return self.outlast
        total, pause = 0.0, self.first_pause
        for _ in range(self.retries):
            total += pause
            pause = min(pause * 2, self.longest_pause)
        return max(1.0, total) * 1.5 + self.connect


# For the check of a new mount: long enough for a busy server, short enough for a person.
PROBING = Patience(
    retries=2, first_pause=0.2, longest_pause=1.0, connect=5.0, answer=15.0, outlast=0.0
)


def patience_of(scheme: str, properties: Mapping[str, str]) -> Patience:
    """What the properties ask for. InvalidArgument names a value that is none."""

    def given(*names: str) -> tuple[str, str] | None:
        for name in names:
            if properties.get(name):
                return name, properties[name]
        return None

    wanted: dict[str, float | int] = {}
    times = given(f"{scheme}.retry_times", "opendal.retry_times")
    if times is not None:
        if not times[1].strip().isdecimal():
            raise InvalidArgument(f"the mount property {times[0]} is {times[1]!r}, no number")
        wanted["retries"] = int(times[1])
        wanted["outlast"] = 0.0
    for field, names in (
        ("first_pause", ("opendal.retry_interval_ms",)),
        ("longest_pause", ("opendal.retry_max_delay_ms",)),
        ("connect", (f"{scheme}.connect_timeout", "opendal.connect_timeout")),
        ("answer", (f"{scheme}.read_timeout", "opendal.read_timeout")),
    ):
        found = given(*names)
        if found is not None:
            wanted[field] = _seconds(*found)
    return msgspec.convert(wanted, Patience)


def _seconds(name: str, text: str) -> float:
    """A bare number means ms where the key says so, else seconds (upstream's reading)."""
    try:
        if text.strip().isdecimal() and not name.endswith("_ms"):
            seconds = float(text)
        else:
            seconds = parse_duration(text) / 1000
    except ValueError as error:
        raise InvalidArgument(f"the mount property {name}: {error}") from None
    if seconds <= 0:
        raise InvalidArgument(f"the mount property {name} is {text!r}, it must be above 0")
    return seconds
