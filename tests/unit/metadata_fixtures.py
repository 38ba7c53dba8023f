# SPDX-License-Identifier: Apache-2.0
"""A namespace in a temporary directory with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.clock import ManualClock
from curvine.metadata import Limits, Namespace, StoredBlock, StoreOptions
from curvine.model.block import BlockLocation, CommitBlock
from curvine.model.inode import CreateOpts, SetAttr, StoragePolicy, StorageType, TtlAction

MIB = 1 << 20
SMALL = StoreOptions(block_cache=1 << 20, big_memtable=1 << 20, small_memtable=1 << 20)
CREATE = 0x41
OVERWRITE = 0x241


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ns(tmp_path: Path, clock: ManualClock) -> Iterator[Namespace]:
    namespace = open_namespace(tmp_path, clock)
    yield namespace
    namespace.close()


def open_namespace(path: Path, clock: ManualClock, limits: Limits | None = None) -> Namespace:
    return Namespace(str(path / "meta"), clock=clock, limits=limits, store_options=SMALL)


def opts(client: str = "c", **changes: object) -> CreateOpts:
    return CreateOpts(**{"client_name": client, "block_size": MIB, **changes})  # type: ignore[arg-type]  # test shorthand


def commit(block: int, length: int, *workers: int) -> CommitBlock:
    return CommitBlock(block, length, tuple(BlockLocation(worker) for worker in workers))


def write_file(
    ns: Namespace, path: str, lengths: list[int], workers: tuple[int, ...] = (1,)
) -> list[StoredBlock]:
    """Create ``path`` and give it blocks of these lengths, committed and complete."""
    ns.create(path, opts(), CREATE)
    blocks: list[StoredBlock] = []
    commits: list[CommitBlock] = []
    for number, length in enumerate(lengths):
        block = ns.add_block(
            path,
            commits=commits,
            file_len=sum(lengths[:number]),
            last_block_id=blocks[-1].id if blocks else None,
            choose=lambda _: workers,
        )
        blocks.append(block)
        commits = [commit(block.id, length, *workers)]
    ns.complete(path, length=sum(lengths), client_name="c", commits=commits)
    return list(ns.file_blocks(path).blocks)


def cache_file(ns: Namespace, path: str, length: int, action: TtlAction) -> None:
    """A file as a load leaves it: complete, state Both."""
    ns.create(
        path,
        opts(storage_policy=StoragePolicy(StorageType.SSD, ttl_ms=60_000, ttl_action=action)),
        CREATE,
    )
    block = ns.add_block(path, choose=lambda _: (1,))
    ns.complete(path, length=length, client_name="c", commits=[commit(block.id, length, 1)])
    ns.set_attr(path, SetAttr(ufs_mtime=77))
