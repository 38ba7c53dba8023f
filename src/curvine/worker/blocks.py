# SPDX-License-Identifier: Apache-2.0
"""What the worker knows of one block, and in which state it is.

States (data-plane specification 3.5)::

    ALLOCATING --file made--> WRITING --complete--> FINALIZING --published--> FINALIZED
                                 ^                      |
                                 +------ refused -------+
    a restart finds WRITING as RECOVERING: readable; an Open with ``resume`` makes it WRITING again;
    any other is refused if nothing was published, else begins anew; Cancel or delete ends it
    FINALIZED --open for write--> WRITING, the published generation stays and is served

FINALIZED is the absence of an :class:`OpenBlock`. Everything is owned by the loop thread; ``lock``
is held across the awaits of one change of state. Lengths are bytes.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum

import msgspec

from curvine.model.inode import StorageType
from curvine.worker.staging import Staging
from curvine.worker.sums import RunningSums
from curvine.worker.tiers import StorageDir


class State(IntEnum):
    """Upstream's numbers."""

    FINALIZED = 0
    WRITING = 1
    RECOVERING = 2
    ALLOCATING = 3
    FINALIZING = 4


class Published(msgspec.Struct, gc=False, eq=False):
    """A generation that readers see. ``marked``: its file's note says how long it is.

    ``stamp``: the file's ctime (ns) when its bytes were last known to be those that were written;
    0: not since this process started. ``unsummed``: what is known of sums that are not all known.
    """

    dir: StorageDir
    len: int
    used: int
    marked: bool = False
    stamp: int = 0
    unsummed: RunningSums | None = None


class View(msgspec.Struct, frozen=True, gc=False):
    """What a reader may open: a path, and how many bytes of it count."""

    path: str
    len: int
    storage_type: StorageType
    settled: bool  # False: in the middle of being published, so its path may move


class OpenBlock:
    """A block with an unpublished generation, or with a writer that has not written yet."""

    __slots__ = (
        "capacity", "ended", "id", "idle_since", "lock", "resumable", "staging", "state",
        "storage_type", "users",
    )  # fmt: skip

    def __init__(self, block: int, storage_type: StorageType, capacity: int) -> None:
        self.id = block
        self.storage_type = storage_type  # the type asked for
        self.capacity = capacity
        self.state = State.ALLOCATING
        self.staging: Staging | None = None  # None: a rewrite before its first write
        self.users = 0  # sessions attached
        self.resumable = True  # the bytes that are there are those that were written
        self.idle_since = 0.0  # monotonic; when the last session ended
        self.ended = False  # published or discarded: sessions still attached may not write
        self.lock = asyncio.Lock()
