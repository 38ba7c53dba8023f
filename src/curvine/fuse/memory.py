# SPDX-License-Identifier: Apache-2.0
"""The memory budget of a mount: how much it may have, how much it has, and what gives way.

Counted is the server's resident memory, in which the node table of the supervisor is mapped. When
it comes near the budget, what is only kept for speed goes (readers at rest, buffers), and the
kernel is asked to give nodes back; nearer still, few requests are taken at a time, and the rest
waits in the kernel. The out-of-memory killer never has a reason. Sizes in bytes.
Sources: cgroups(7), the kernel's cgroup-v1/memory.rst and cgroup-v2.rst, fuse_notify_prune.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from curvine.fuse.abi import notifications
from curvine.fuse.nodetable import NodeTable

_log = logging.getLogger(__name__)

SHARE_OF_CGROUP = 0.8  # the rest is for the supervisor, the kernel's slabs, pages being written
COMFORT = 128 << 20  # an idle server has about 50 MiB, a busy one 80 and what is in flight
FRUGAL = 256 << 20  # below this nothing is read ahead
_IDLE = 80 << 20
TIGHT, CRITICAL = 0.7, 0.85  # parts of the budget
_IN_FLIGHT, _LEAST_IN_FLIGHT = 256 << 20, 4 << 20
_PAUSE = 0.1  # seconds between two looks
_NODE_COST = 192  # a record, its part of the chains, now and then a long name
_NODE_SHARE = 0.4  # of the budget may be nodes
_PRUNED_AT_A_TIME = 4096
_COLLECT_EVERY = 50  # looks
_UNLIMITED = 1 << 60  # what cgroup v1 shows where there is no limit lies above
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cgroup_limit(proc: Path = Path("/proc/self/cgroup"), root: str = "/sys/fs/cgroup") -> int:
    """The smallest memory limit of the cgroups that this process is in; 0 = none."""
    limits = []
    for line in proc.read_text().splitlines() if proc.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            limits += _limits(Path(root), path, "memory.max")
            limits += _limits(Path(root, "unified"), path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(Path(root, "memory"), path, "memory.limit_in_bytes")
    return min(limits, default=0)


def _limits(root: Path, path: str, name: str) -> list[int]:
    """Those of the group and of all above; in a container the group itself is the root."""
    found = []
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts) + 1):
        try:
            text = root.joinpath(*parts[:depth], name).read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and 0 < int(text) < _UNLIMITED:
            found.append(int(text))
    return found


def resident() -> int:
    """Resident memory of this process, shared pages included."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * _PAGE


class Kept(Protocol):
    """What can do with less."""

    def shrink(self) -> None:
        """Let go of what is only kept for speed."""


class Throttle(Protocol):
    """Who takes the requests."""

    def narrow(self, narrow: bool) -> None:
        """Take few requests at a time (or as many as usual)."""


class MemoryBudget:
    """A limit and how much of it is used. ``limit`` 0: the cgroup's, or none."""

    def __init__(self, limit: int = 0, used: Callable[[], int] = resident) -> None:
        if not limit:
            limit = int(cgroup_limit() * SHARE_OF_CGROUP)
        if limit and limit < COMFORT:
            _log.warning(
                "a memory budget of %d MiB is tight: %d MiB or more serve without pauses",
                limit >> 20, COMFORT >> 20,
            )  # fmt: skip
        self.limit = limit
        self.used = used

    def pressure(self) -> float:
        """Used part of the budget, 0 when there is no limit."""
        return self.used() / self.limit if self.limit else 0.0

    @property
    def in_flight(self) -> int:
        """Bytes that requests being answered may hold together."""
        if not self.limit:
            return _IN_FLIGHT
        return min(max((self.limit - _IDLE) // 4, _LEAST_IN_FLIGHT), _IN_FLIGHT)

    @property
    def is_frugal(self) -> bool:
        """Whether nothing should be kept or fetched for speed alone."""
        return 0 < self.limit < FRUGAL

    @property
    def nodes(self) -> int:
        """How many nodes may be known; 0 = as many as the table has room for."""
        return int(self.limit * _NODE_SHARE / _NODE_COST) if self.limit else 0


class MemoryKeeper:
    """Looks ten times a second, and acts. ``minor``: the kernel's protocol."""

    def __init__(
        self,
        budget: MemoryBudget,
        table: NodeTable,
        kept: Sequence[Kept],
        throttle: Throttle,
        device: int,
        *,
        minor: int,
    ) -> None:
        self._budget = budget
        self._table = table
        self._kept = kept
        self._throttle = throttle
        self._device = device
        self._prunes = minor >= 45
        self._hand = 0  # where the next search for idle nodes begins
        self._looks = 0
        self._narrow = False
        self.pruned = 0  # nodes that the kernel was asked to forget

    async def run(self) -> None:
        """For ever; without a limit there is nothing to do."""
        while self._budget.limit:
            await asyncio.sleep(_PAUSE)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        pressure = self._budget.pressure()
        self._looks += 1
        if pressure >= TIGHT:
            for kept in self._kept:
                kept.shrink()
            if self._looks % _COLLECT_EVERY == 1:
                gc.collect()
                _trim()
        if (pressure >= CRITICAL) is not self._narrow:
            self._narrow = pressure >= CRITICAL
            self._throttle.narrow(self._narrow)
            state = "is nearly used up: few requests at a time" if self._narrow else "has room"
            _log.warning("the memory budget (%d MiB) %s", self._budget.limit >> 20, state)
        excess = len(self._table) - int(self._budget.nodes * 0.9)
        if excess > 0 or pressure >= CRITICAL:
            await self._shed(max(excess, _PRUNED_AT_A_TIME))

    async def _shed(self, wanted: int) -> None:
        """Ask for about as many nodes back, those first that nobody has used for longest."""
        self._hand, idle = self._table.idle_nodes(self._hand, min(wanted, 8 * _PRUNED_AT_A_TIME))
        for start in range(0, len(idle), _PRUNED_AT_A_TIME):
            messages = self._messages(idle[start : start + _PRUNED_AT_A_TIME])
            await asyncio.to_thread(self._notify, messages)  # it may block: never on the loop
        self.pruned += len(idle)

    def _messages(self, nodeids: Sequence[int]) -> list[bytes]:
        """What asks the kernel to forget; before 7.45 each name has to be taken away."""
        if self._prunes:
            return [notifications.prune(nodeids)]
        names = (name for nodeid in nodeids for name in self._table.names(nodeid))
        return [notifications.inval_entry(parent, name) for parent, name in names]

    def _notify(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            try:
                os.write(self._device, message)
            except OSError as error:
                _log.debug("nodes were not taken: %s", error)  # in use, or gone meanwhile


def _trim() -> None:
    """Give free memory of the C library back, where it is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
