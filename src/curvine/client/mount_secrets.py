# SPDX-License-Identifier: Apache-2.0
"""Credentials that the master keeps: fetched when a mount refers to them, held in memory only.

A reference names the value by a mark that changes with it, so a rotated credential is fetched as
soon as the mount table shows the new mark. Source: decision 11, docs/security.md.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from curvine.errors import ConfigError, CurvineError
from curvine.model.credentials import MASTER
from curvine.model.mount import MountInfo
from curvine.telemetry.logs import OnceLogger

_once = OnceLogger(logging.getLogger(__name__))

Fetch = Callable[[int], Awaitable[Mapping[str, str]]]


class MountSecrets:
    """See the module. All methods run on the event loop."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._known: dict[str, dict[str, str]] = {}  # reference -> property -> value

    async def prepare(self, mounts: Iterable[MountInfo]) -> None:
        """Have what these mounts refer to. What the master does not tell is told by ``filled``."""
        for mount in mounts:
            wanted = references(mount)
            if all(name in self._known.get(value, {}) for name, value in wanted.items()):
                continue
            try:
                values = await self._fetch(mount.mount_id)
            except CurvineError as error:
                _once.log(
                    logging.WARNING, mount.cv_path,
                    "mount %s: the master did not hand out its credentials: %s",
                    mount.cv_path, error,
                )  # fmt: skip
                continue
            for name, value in wanted.items():
                if name in values:
                    self._known.setdefault(value, {})[name] = values[name]

    def filled(self, mount: MountInfo) -> dict[str, str]:
        """The mount's properties with the values in place of references to the master.

        ConfigError where ``prepare`` did not get one.
        """
        found = dict(mount.properties)
        for name, value in references(mount).items():
            try:
                found[name] = self._known[value][name]
            except KeyError:
                raise ConfigError(
                    f"the mount property {name} of {mount.cv_path} is kept by the master, which did"
                    " not hand it out; is this process of the same cluster and release?"
                ) from None
        return found


def references(mount: MountInfo) -> dict[str, str]:
    """The properties of a mount that refer to the master."""
    return {name: v for name, v in mount.properties.items() if v.startswith(MASTER)}
