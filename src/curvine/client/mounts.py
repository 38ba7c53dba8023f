# SPDX-License-Identifier: Apache-2.0
"""The client's copy of the mount table, and the under storages that it leads to.

The table is fetched once before the first answer; a look-up that finds it older than
``ttl_ms`` starts a refresh and is answered from the old one (data-plane specification 5.1); one
that finds no mount waits for a fresh table first, once a second at most.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable

from curvine.client.mount_secrets import MountSecrets
from curvine.clock import Clock
from curvine.errors import CurvineError, InvalidArgument
from curvine.model.mount import MountInfo, WriteType, mount_of_path
from curvine.ufs.base import Ufs
from curvine.ufs.credentials import stamp
from curvine.ufs.registry import open_ufs

log = logging.getLogger(__name__)

RETIRED_SECONDS = 3600.0  # open files go on in a storage whose mount has changed for so long
MISS_SECONDS = 1.0  # one small call a second at most, and only while paths outside mounts are used


class CrossesMounts(InvalidArgument):
    """A rename or link between a mount and what lies outside it; callers copy instead."""

    code = "crosses_mounts"
    errno = errno.EXDEV


class IsAMount(InvalidArgument):
    """A mount's own directory cannot be removed or moved; unmount it first."""

    code = "is_a_mount"
    errno = errno.EBUSY


class MountTable:
    """See the module. All methods run on the event loop."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[MountInfo, ...]]],
        clock: Clock,
        ttl_ms: int,
        secrets: MountSecrets,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._ttl = ttl_ms / 1000
        self.secrets = secrets
        self._mounts: tuple[MountInfo, ...] | None = None
        self._has_cache_mode = False
        self._fetched = 0.0  # monotonic seconds
        self._refreshing: asyncio.Task[None] | None = None
        self._storages: dict[MountInfoKey, Ufs] = {}
        self._current: dict[int, MountInfoKey] = {}  # mount id -> the key of its storage
        self._retired: list[tuple[float, Ufs]] = []  # since when, oldest first

    async def all(self, fresh: bool = False) -> tuple[MountInfo, ...]:
        """Every mount; ``fresh`` asks the master."""
        if fresh or self._mounts is None:
            await self._refresh()
        elif self._stale():
            self._refresh_behind()
        return self._mounts or ()

    async def find(self, path: str) -> MountInfo | None:
        """The mount that ``path`` lies under. A path without one is looked up in a table that is at
        most :data:`MISS_SECONDS` old: who has just mounted something looks for it at once."""
        found = mount_of_path(await self.all(), path)
        if found is None and self._clock.monotonic() - self._fetched >= MISS_SECONDS:
            await asyncio.shield(self._refresh_behind())
            found = mount_of_path(self._mounts or (), path)
        return found

    def cached(self, path: str) -> MountInfo | None:
        """As ``find`` without waiting: None as long as the table was never fetched."""
        if self._mounts is not None and self._stale():
            self._refresh_behind()
        return mount_of_path(self._mounts or (), path)

    @property
    def has_cache_mode(self) -> bool:
        """Whether there is a cache_mode mount, as far as is known."""
        return self._has_cache_mode

    def storage(self, mount: MountInfo) -> Ufs:
        """The under storage of a mount, opened at its first use, and anew when a file that holds
        one of its credentials has changed."""
        properties = mount.properties
        key = (mount.ufs_path, tuple(sorted(properties.items())), stamp(properties))
        ufs = self._storages.get(key)
        if ufs is None:
            ufs = self._storages[key] = open_ufs(mount.ufs_path, self.secrets.filled(mount))
        self._current[mount.mount_id] = key
        return ufs

    async def close(self) -> None:
        """Stop refreshing and release the under storages."""
        task, self._refreshing = self._refreshing, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        storages, self._storages = list(self._storages.values()), {}
        for ufs in [*storages, *(ufs for _, ufs in self._retired)]:
            await ufs.close()
        self._retired = []

    def _stale(self) -> bool:
        return self._clock.monotonic() - self._fetched >= self._ttl

    def _refresh_behind(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(self._try_refresh())
        return self._refreshing

    async def _try_refresh(self) -> None:
        try:
            await self._refresh()
        except CurvineError as error:
            log.warning("mount table not refreshed, the old one is used: %s", error)
            self._fetched = self._clock.monotonic()  # the next attempt after another period

    async def _refresh(self) -> None:
        mounts = await self._fetch()
        await self.secrets.prepare(mounts)
        self._mounts = mounts
        self._has_cache_mode = any(m.write_type == WriteType.CACHE_MODE for m in mounts)
        self._fetched = self._clock.monotonic()
        await self._retire()

    async def _retire(self) -> None:
        """Forget storages of mounts that are gone or have other properties by now. Files that are
        open in one keep it for a while longer."""
        now = self._clock.monotonic()
        there = {mount.mount_id for mount in self._mounts or ()}
        self._current = {known: key for known, key in self._current.items() if known in there}
        wanted = set(self._current.values())
        for key in [key for key in self._storages if key not in wanted]:
            self._retired.append((now, self._storages.pop(key)))
        while self._retired and now - self._retired[0][0] > RETIRED_SECONDS:
            await self._retired.pop(0)[1].close()


MountInfoKey = tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, int, int], ...]]
