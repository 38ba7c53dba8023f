# SPDX-License-Identifier: Apache-2.0
"""Making room: cached files that were not used for longest go when the cluster fills up.

Source: data-plane specification 8.2, with the effect that Curvine's lacks. Used above the high rate
of the quota (used + available): files are evicted until it would be below the low rate. Only files
whose data are safe in the under storage go (state Both, nobody writes them), and never those marked
with TTL action None. Mode ``free`` drops the data and keeps the file; ``delete`` drops the cached
file, but only under a cache_mode mount: elsewhere the namespace is the truth, so it is freed.

Bytes that were evicted still count as used until the workers have deleted the blocks and said so;
they are subtracted until the deletions are confirmed, so that nothing is evicted twice over. Sizes
are bytes, times ms.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from curvine.clock import Clock
from curvine.config.schema import MasterConf
from curvine.errors import CurvineError
from curvine.master.recency import Recency
from curvine.master.workers import WorkerMap
from curvine.metadata.engine import Namespace
from curvine.metadata.upkeep import CachedFile
from curvine.model.mount import WriteType

_log = logging.getLogger(__name__)

BATCH = 4096  # candidates of one look over all files
EVICT_STEP = 20  # files evicted in one turn of the loop
LEARN_STEP = 200  # inodes looked at in one turn while learning
LEARN_PAUSE = 0.02  # seconds between such turns
SETTLE_MS = 120_000  # deletions that are not confirmed by then are not counted on


@dataclass(slots=True)
class Evicted:
    """Since the start of the master."""

    runs: int = 0
    files: int = 0
    bytes: int = 0


class Eviction:
    """See the module. Called from the loop only."""

    def __init__(
        self, conf: MasterConf, clock: Clock, namespace: Namespace, workers: WorkerMap
    ) -> None:
        self.enabled = conf.enable_quota_eviction
        self._conf = conf
        self._clock = clock
        self._namespace = namespace
        self._workers = workers
        self._settling = 0  # bytes evicted that workers have not deleted yet
        self._settled_at = 0  # when what workers report is the truth again
        self.recency = Recency(conf.quota_eviction_capacity, conf.quota_eviction_policy)
        self.totals = Evicted()

    def used(self, inode_id: int) -> None:
        """A client reads or has written a file."""
        if self.enabled:
            self.recency.touch(inode_id, self._clock.now_ms())

    async def run(self) -> None:
        """Learn what is cached, then keep the cluster below its high-water mark."""
        await self._guarded(learn=True)
        while True:
            await asyncio.sleep(self._conf.heartbeat_interval / 1000)
            await self._guarded(learn=False)

    async def learn(self) -> None:
        """Take in all cached files that nobody has used since the start, slowly."""
        at = -1
        self.recency.is_partial = False
        while True:
            found, at = self._namespace.cached_after(at, LEARN_STEP)
            for inode_id, last_used in found:
                self.recency.learn(inode_id, last_used)
            if at < 0:
                return
            await asyncio.sleep(LEARN_PAUSE)

    def excess(self) -> int:
        """Bytes to evict now; 0 below the high-water mark."""
        registered = self._workers.registered
        in_use = sum(info.fs_used for info in registered)
        quota = in_use + sum(info.available for info in registered)
        in_use -= self._still_settling()
        if in_use <= quota * self._conf.quota_eviction_high_rate:
            return 0
        return int(in_use - quota * self._conf.quota_eviction_low_rate)

    async def step(self) -> int:
        """Evict what is too much; how many bytes went (or would, in a dry run)."""
        needed = self.excess()
        if needed <= 0:
            return 0
        self.totals.runs += 1
        freed = 0
        while freed < needed:
            candidates = await self._coldest()
            freed += await self._evict(candidates, needed - freed)
            if self._conf.quota_eviction_dry_run or not candidates:
                break
        if freed < needed and self.recency.is_partial and not self._conf.quota_eviction_dry_run:
            await self.learn()  # the next run sees the files that were forgotten
        self._report(needed, freed)
        return freed

    async def _coldest(self) -> list[int]:
        for found in self.recency.coldest(BATCH):
            if found is not None:
                return found
            await asyncio.sleep(0)
        return []

    async def _evict(self, candidates: list[int], needed: int) -> int:
        """Bytes that went, from the first candidate on, until they are ``needed`` bytes."""
        freed = 0
        for seen, inode_id in enumerate(candidates, 1):
            if freed >= needed:
                break
            file = self._namespace.cached_file(inode_id)
            if file is None:
                self.recency.forget(inode_id)
            elif self._conf.quota_eviction_dry_run:
                freed += file.bytes
                _log.info("dry run: %s (%d bytes) would be evicted", file.path, file.bytes)
            else:
                freed += self._drop(file)
            if seen % EVICT_STEP == 0:
                await asyncio.sleep(0)
        return freed

    def _drop(self, file: CachedFile) -> int:
        self.recency.forget(file.inode_id)
        mount = self._namespace.mount_info(file.path)
        delete = (
            self._conf.quota_eviction_mode == "delete"
            and mount is not None
            and mount.write_type is WriteType.CACHE_MODE
        )
        try:
            size = self._namespace.evict(file.inode_id, delete=delete).bytes
        except CurvineError as error:
            _log.warning("%s could not be evicted: %s", file.path, error)
            return 0
        self.totals.files += 1
        self.totals.bytes += size
        self._settling += size
        self._settled_at = self._clock.now_ms() + SETTLE_MS
        return size

    def _still_settling(self) -> int:
        """Evicted bytes that the workers still count as used."""
        if not self._settling:
            return 0
        now = self._clock.now_ms()
        workers = [info.address.worker_id for info in self._workers.registered]
        if not any(self._namespace.pending_deletes(worker, 1) for worker in workers):
            # The next heartbeat but one was certainly put together after the deletion.
            self._settled_at = min(self._settled_at, now + 2 * self._conf.heartbeat_interval)
        if now >= self._settled_at:
            self._settling = 0
        return self._settling

    def _report(self, needed: int, freed: int) -> None:
        if self._conf.quota_eviction_dry_run:
            _log.info("dry run: %d of %d bytes would be evicted", freed, needed)
        elif freed < needed:
            _log.warning("%d bytes should be evicted, only %d could be", needed, freed)
        else:
            _log.info("%d bytes were evicted", freed)

    async def _guarded(self, *, learn: bool) -> None:
        try:
            if learn:
                await self.learn()
            else:
                await self.step()
        except Exception:
            _log.exception("eviction failed, it is tried again")
