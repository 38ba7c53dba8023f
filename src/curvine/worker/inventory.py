# SPDX-License-Identifier: Apache-2.0
"""What a start finds on disk (data-plane specification 3.5).

Published blocks are served again. A block that was being written and was never published is kept as
RECOVERING; the staging file of a rewrite is removed, its published generation is whole.
"""

from __future__ import annotations

import os

from curvine.worker.blocks import OpenBlock, Published, State
from curvine.worker.layout import FoundBlock, remove
from curvine.worker.staging import Mode, Staging
from curvine.worker.tiers import StorageDir, Tiers


def take_inventory(tiers: Tiers) -> tuple[dict[int, Published], dict[int, OpenBlock]]:
    """The published and the unfinished blocks of all directories, charged to them. Blocks."""
    published: dict[int, Published] = {}
    for where in tiers.dirs:
        for found in where.layout.scan_active():
            where.used += found.used
            _take_active(where, found, published)
    unfinished: dict[int, OpenBlock] = {}
    for where in tiers.dirs:
        for found in where.layout.scan_staging():
            if found.id in published or found.id in unfinished:
                remove(where.layout.staging_path(found.id))
            else:
                unfinished[found.id] = _recovering(where, found)
    return published, unfinished


def _take_active(where: StorageDir, found: FoundBlock, published: dict[int, Published]) -> None:
    other = published.get(found.id)
    if other is not None:
        # It was being moved when the process ended: the newer file is the whole one.
        path, known = where.layout.active_path(found.id), other.dir.layout.active_path(found.id)
        if os.stat(known).st_mtime_ns >= os.stat(path).st_mtime_ns:
            remove(path)
            where.used -= found.used
            return
        remove(known)
        other.dir.used -= other.used
    published[found.id] = Published(where, found.len, found.used)


def _recovering(where: StorageDir, found: FoundBlock) -> OpenBlock:
    where.used += found.used
    block = OpenBlock(found.id, where.storage_type, found.len)
    block.state = State.RECOVERING
    block.staging = Staging(where, where.layout.staging_path(found.id), -1, Mode.NEW, found.len)
    block.staging.counted = found.used
    return block
