# SPDX-License-Identifier: Apache-2.0
"""The log's thread: everybody is answered, after an fsync that covers what he committed."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from curvine.errors import IoFailed
from curvine.metadata.durability import LogSync, SyncMode


class Disk:
    """Counts fsyncs; what was committed when one began is durable when it ends."""

    def __init__(self, seconds: float = 0.001) -> None:
        self.seconds = seconds
        self.committed = 0
        self.durable = 0
        self.fsyncs = 0
        self.broken = False

    def sync(self) -> None:
        covers = self.committed
        time.sleep(self.seconds)
        if self.broken:
            raise IoFailed("the disk is gone")
        self.durable = covers
        self.fsyncs += 1


@pytest.mark.parametrize("mode", list(SyncMode))
def test_an_answer_follows_its_fsync(mode: SyncMode) -> None:
    disk = Disk()
    log = LogSync(disk.sync, mode, 0.01)

    async def client() -> None:
        for number in range(50):
            disk.committed += 1
            log.committed()
            mine = disk.committed
            assert await log.give(number) == number
            assert disk.durable >= mine

    async def main() -> None:
        await asyncio.gather(*(client() for _ in range(20)))

    asyncio.run(main())
    log.close()
    assert disk.fsyncs < 20 * 50 / 4, "many share one"


def test_a_lone_caller_is_not_kept_waiting() -> None:
    disk = Disk(0)
    log = LogSync(disk.sync, SyncMode.ALWAYS, 1)

    async def main() -> float:
        begun = time.monotonic()
        for _ in range(200):
            log.committed()
            await log.wait()
        return time.monotonic() - begun

    assert asyncio.run(main()) < 2  # 10 ms each would be far too long already
    log.close()


def test_a_failed_fsync_is_told_to_all_who_wait() -> None:
    disk = Disk()
    disk.broken = True
    log = LogSync(disk.sync, SyncMode.ALWAYS, 1)

    async def main() -> list[object]:
        log.committed()
        return list(await asyncio.gather(*(log.wait() for _ in range(5)), return_exceptions=True))

    results = asyncio.run(main())
    assert len(results) == 5
    assert all(isinstance(result, IoFailed) for result in results)
    log.close()


def test_the_interval_passes_without_callers() -> None:
    disk = Disk()
    log = LogSync(disk.sync, SyncMode.INTERVAL, 0.01)
    log.committed()
    seen = threading.Event()
    for _ in range(200):
        if log.is_synced:
            break
        seen.wait(0.01)
    assert log.is_synced
    log.close()
