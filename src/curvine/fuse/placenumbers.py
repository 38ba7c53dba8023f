# SPDX-License-Identifier: Apache-2.0
"""Numbers of places: inode numbers of a mount carry them, so they stay for the mount's life.

Places come and go (``reload``), and the server may be killed at any time: its successor reads here
which numbers are given and what was shown last. The file belongs to one mount; a mount that starts
anew begins with an empty one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

import msgspec

_log = logging.getLogger(__name__)


class PlaceName(msgspec.Struct, frozen=True, array_like=True):
    """What stays the same of a place from one server to the next."""

    path: str
    fs_path: str
    cluster: str


class _Record(msgspec.Struct, frozen=True):
    numbered: list[PlaceName] = []  # the index is the number
    shown: list[PlaceName] = []


class PlaceNumbers:
    """Gives each place the next number, once. Kept in the file ``path`` unless it is empty."""

    def __init__(self, path: str = "", *, resume: bool = False) -> None:
        self._path = path
        self._numbers: dict[PlaceName, int] = {}
        self.shown_last: tuple[PlaceName, ...] = ()
        if resume and path:
            self._read()

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                record = msgspec.json.decode(file.read(), type=_Record)
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s: %s; places are numbered anew", self._path, error)
            return
        self._numbers = {name: number for number, name in enumerate(record.numbered)}
        self.shown_last = tuple(record.shown)

    def of(self, name: PlaceName) -> int:
        """The number of a place that was shown."""
        return self._numbers[name]

    def show(self, names: Iterable[PlaceName]) -> None:
        """These are shown from now on; new ones get a number."""
        self.shown_last = tuple(names)
        for name in self.shown_last:
            self._numbers.setdefault(name, len(self._numbers))
        if self._path:
            self._write()

    def _write(self) -> None:
        record = _Record(list(self._numbers), list(self.shown_last))
        fresh = f"{self._path}.{os.getpid()}"
        try:
            with open(fresh, "wb") as file:
                file.write(msgspec.json.encode(record))
            os.replace(fresh, self._path)
        except OSError as error:
            _log.warning(
                "%s cannot be written (%s): after a crash of the server, files of places that were "
                "added or taken away since the start may get other inode numbers",
                self._path, error.strerror,
            )  # fmt: skip
