# SPDX-License-Identifier: Apache-2.0
"""What a start finds on disk (data-plane specification 3.5).

Published blocks are served again. What was being written is kept as RECOVERING if the machine has
run on since (an Open that asks for it goes on with it), and so is a block that was never published
in any case; the rest is removed: the published generations are whole.
"""

from __future__ import annotations

import os
from time import monotonic

from curvine.worker.blocks import OpenBlock, Published, State
from curvine.worker.layout import FoundBlock, remove
from curvine.worker.staging import Mode, Staging
from curvine.worker.sums import RunningSums, sums_of
from curvine.worker.tiers import StorageDir, Tiers


def take_inventory(
    tiers: Tiers, *, summed: bool
) -> tuple[dict[int, Published], dict[int, OpenBlock]]:
    """The published and the unfinished blocks of all directories, charged to them. Blocks."""
    published: dict[int, Published] = {}
    tails: dict[int, tuple[StorageDir, FoundBlock]] = {}
    for where in tiers.dirs:
        where.layout.remove_copies()
        for found in where.layout.scan_active():
            _take_active(where, found, published)
            if found.whole > found.len:
                tails[found.id] = (where, found)
    unfinished: dict[int, OpenBlock] = {}
    for where in tiers.dirs:
        for found in where.layout.scan_staging():
            rewrite = found.id in published
            if found.id in unfinished or (rewrite and not found.fresh):
                remove(where.layout.staging_path(found.id))
            else:
                mode = Mode.COPY if rewrite else Mode.NEW
                path = where.layout.staging_path(found.id)
                held = Staging(where, path, -1, mode, found.whole)
                held.sums = RunningSums() if summed else None
                held.was_lent = True  # perhaps it was
                held.counted = found.used
                where.used += found.used
                unfinished[found.id] = _recovering(found, held)
    for block, (where, found) in tails.items():
        generation = published[block]
        path = where.layout.active_path(block)
        if generation.dir is not where:
            continue  # removed: a copy took its place
        if block in unfinished:
            os.truncate(path, found.len)  # a copy will take its place
            continue
        held = Staging(where, path, -1, Mode.APPEND, found.whole)
        held.floor = found.len
        held.sums = sums_of(path, found.len) if summed else None
        held.was_lent = True
        held.base_used = min(found.len, found.used)
        held.counted = found.used - held.base_used
        where.used += held.counted
        unfinished[block] = _recovering(found, held)
    return published, unfinished


def _take_active(where: StorageDir, found: FoundBlock, published: dict[int, Published]) -> None:
    used = min(found.len, found.used)
    other = published.get(found.id)
    if other is not None:
        # It was being moved when the process ended: both are whole, the newer one was written to.
        path, known = where.layout.active_path(found.id), other.dir.layout.active_path(found.id)
        if os.stat(known).st_mtime_ns >= os.stat(path).st_mtime_ns:
            remove(path)
            return
        remove(known)
        other.dir.used -= other.used
    where.used += used
    published[found.id] = Published(where, found.len, used)


def _recovering(found: FoundBlock, held: Staging) -> OpenBlock:
    block = OpenBlock(found.id, held.dir.storage_type, found.whole)
    block.state = State.RECOVERING
    block.resumable = found.fresh
    block.idle_since = monotonic()
    block.staging = held
    return block
