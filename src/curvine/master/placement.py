# SPDX-License-Identifier: Apache-2.0
"""Which workers get a new block (control-plane specification 5.10). Sizes are bytes.

A candidate is Live, not excluded, and has room for a whole block. A worker that takes space lazily
(decision 25) needs room for the start of one only, and is a last resort when nobody has that much.
Where a medium is asked for, workers that have room on it come first; when there is none, any worker
does (the worker picks the directory). DISK, the default, stands for every medium.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from curvine.errors import Common, ConfigError
from curvine.master.workers import WorkerMap, fills_lazily
from curvine.model.inode import StorageType
from curvine.model.worker import WorkerInfo

LAZY_ROOM = 64 << 20  # what a lazily filling worker should have free for a block of any size


class NoWorker(Common):
    """No worker can take a block now. Travels as Common, which is what a real master answers."""


Order = Callable[[list[WorkerInfo], str], list[WorkerInfo]]


class Placement:
    """Chooses among the live workers by one policy."""

    def __init__(self, workers: WorkerMap, policy: str, rng: random.Random | None = None) -> None:
        self._workers = workers
        self._rng = rng or random.Random()
        self._turn = 0
        orders: dict[str, tuple[Order, bool]] = {
            # the flag: a worker with exactly one block's room counts as a candidate
            "local": (self._local, False),
            "robin": (self._robin, False),
            "random": (self._random, False),
            "load_based": (self._load_based, True),
            "weighted": (self._weighted, True),
        }
        if policy not in orders:
            raise ConfigError(
                f"master.worker_policy {policy!r} is unknown; write one of {', '.join(orders)}"
            )
        self._order, self._exact_fits = orders[policy]

    def choose(
        self,
        block_size: int,
        replicas: int,
        client_host: str,
        exclude: Collection[int] = (),
        medium: StorageType = StorageType.DISK,
    ) -> tuple[int, ...]:
        """Up to ``replicas`` worker ids, best first. NoWorker when there is none."""
        live = self._workers.live
        if exclude:
            live = tuple(info for info in live if info.address.worker_id not in exclude)
        candidates = [info for info in live if self._has_room(info, block_size)]
        if not candidates:
            candidates = [info for info in live if info.available > 0 and fills_lazily(info)]
        if not candidates:
            raise NoWorker(f"No available worker found for a block of {block_size} bytes")
        if len(candidates) == 1 and self._order != self._weighted:
            return (candidates[0].address.worker_id,)
        ordered = self._order(candidates, client_host)
        if not ordered:
            raise NoWorker("No available worker found: every candidate has weight 0")
        if medium is not StorageType.DISK:
            ordered.sort(key=lambda info: not _has_medium(info, medium, block_size))
        return tuple(info.address.worker_id for info in ordered[: max(replicas, 1)])

    def _has_room(self, info: WorkerInfo, block_size: int) -> bool:
        needed = min(block_size, LAZY_ROOM) if fills_lazily(info) else block_size
        return info.available > needed or (self._exact_fits and info.available == needed)

    def _local(self, candidates: list[WorkerInfo], client_host: str) -> list[WorkerInfo]:
        """The first worker on the client's host, the others in turn."""
        for index, info in enumerate(candidates):
            if info.address.hostname == client_host:
                rest = candidates[:index] + candidates[index + 1 :]
                return [info, *self._robin(rest, client_host)]
        return self._robin(candidates, client_host)

    def _robin(self, candidates: list[WorkerInfo], _client_host: str) -> list[WorkerInfo]:
        if not candidates:
            return candidates
        start = self._turn % len(candidates)
        self._turn += 1
        return candidates[start:] + candidates[:start]

    def _random(self, candidates: list[WorkerInfo], _client_host: str) -> list[WorkerInfo]:
        return self._rng.sample(candidates, len(candidates))

    def _load_based(self, candidates: list[WorkerInfo], _client_host: str) -> list[WorkerInfo]:
        return sorted(candidates, key=_free_share, reverse=True)

    def _weighted(self, candidates: list[WorkerInfo], _client_host: str) -> list[WorkerInfo]:
        """Proportional to weight, without repetition (Efraimidis and Spirakis' keys)."""
        weighted = [info for info in candidates if info.weight > 0]
        keys = {
            info.address.worker_id: self._rng.random() ** (1 / info.weight) for info in weighted
        }
        return sorted(weighted, key=lambda info: keys[info.address.worker_id], reverse=True)


def _has_medium(info: WorkerInfo, medium: StorageType, block_size: int) -> bool:
    """Whether a directory of that medium has room for the block, or for its start (as above)."""
    needed = min(block_size, LAZY_ROOM) if fills_lazily(info) else block_size
    return any(
        row.storage_type is medium and not row.failed and row.available >= needed
        for row in info.storages
    )


def _free_share(info: WorkerInfo) -> float:
    return info.available / info.capacity if info.capacity else 0.0
