# SPDX-License-Identifier: Apache-2.0
"""What crashed clients and gateways leave behind: unfinished uploads and objects, removed later.

Several gateways may do it at once; what one has removed the other does not find. Times are ms.
"""

from __future__ import annotations

import asyncio
import logging

from curvine.client.unified import UnifiedFileSystem
from curvine.clock import Clock
from curvine.errors import CurvineError
from curvine.model.inode import FileStatus
from curvine.model.path import join
from curvine.s3.keys import HOME
from curvine.s3.uploads import read_upload

_log = logging.getLogger(__name__)

_PAUSE = 3600.0  # s
_FIRST = 30.0  # s after the start
UNFINISHED = 24 * 3600 * 1000  # an object that nobody has gone on with for this long


async def run(fs: UnifiedFileSystem, clock: Clock, expiry: int) -> None:
    """For ever. ``expiry``: age of an upload at which it goes."""
    await asyncio.sleep(_FIRST)
    while True:
        try:
            count = await sweep(fs, clock.now_ms(), expiry)
            if count:
                _log.info("%d unfinished uploads and objects removed", count)
        except CurvineError as error:
            _log.info("leftovers are not looked for: %s", error)
        await asyncio.sleep(_PAUSE)


async def sweep(fs: UnifiedFileSystem, now: int, expiry: int) -> int:
    """Once; how many went."""
    count = 0
    homes = [f"/{HOME}"]
    homes += [join(mount.cv_path, HOME) for mount in await fs.mount_table(fresh=False)]
    for home in homes:
        for entry in await _entries(fs, f"{home}/put"):
            if now - entry.changed > UNFINISHED:
                count += await _remove(fs, entry.path)
    for bucket in await _entries(fs, f"/{HOME}/uploads"):
        for entry in await _entries(fs, bucket.path):
            upload = read_upload(entry)
            started = upload.started if upload is not None else entry.mtime
            if now - max(started, entry.mtime) > expiry:
                count += await _remove(fs, entry.path)
    return count


async def _entries(fs: UnifiedFileSystem, path: str) -> list[FileStatus]:
    try:
        return await fs.list(path)
    except CurvineError:
        return []


async def _remove(fs: UnifiedFileSystem, path: str) -> int:
    try:
        await fs.delete(path, True)
    except CurvineError:
        return 0
    return 1
