# SPDX-License-Identifier: Apache-2.0
"""The memory budget: where it comes from, and what gives way when it is used up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from curvine.fuse.memory import MemoryBudget, MemoryKeeper, cgroup_limit
from curvine.fuse.noderecords import ROOT, create_table
from curvine.fuse.nodetable import NodeTable

MIB = 1 << 20


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_the_limit_of_cgroup_v2_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    put(tmp_path / "proc", "0::/a/b/c")
    put(tmp_path / "fs/a/memory.max", str(300 * MIB))
    put(tmp_path / "fs/a/b/memory.max", "max")
    put(tmp_path / "fs/a/b/c/memory.max", str(500 * MIB))
    assert cgroup_limit(tmp_path / "proc", str(tmp_path / "fs")) == 300 * MIB


def test_the_limit_of_cgroup_v1_and_of_a_container(tmp_path: Path) -> None:
    put(tmp_path / "proc", "4:cpu,memory:/docker/77\n0::/")
    root = tmp_path / "fs"
    assert cgroup_limit(tmp_path / "proc", str(root)) == 0
    put(root / "memory/memory.limit_in_bytes", str(9223372036854771712))
    assert cgroup_limit(tmp_path / "proc", str(root)) == 0
    put(root / "memory/memory.limit_in_bytes", str(200 * MIB))  # the container's own view
    assert cgroup_limit(tmp_path / "proc", str(root)) == 200 * MIB
    put(root / "memory/docker/77/memory.limit_in_bytes", str(100 * MIB))
    assert cgroup_limit(tmp_path / "proc", str(root)) == 100 * MIB
    assert cgroup_limit(tmp_path / "absent", str(root)) == 0


def test_what_is_derived_from_the_budget() -> None:
    large = MemoryBudget(2048 * MIB, lambda: 1024 * MIB)
    assert large.pressure() == 0.5 and large.in_flight == 256 * MIB and not large.is_frugal
    small = MemoryBudget(100 * MIB, lambda: 100 * MIB)
    assert small.pressure() == 1.0 and 4 * MIB <= small.in_flight <= 16 * MIB and small.is_frugal
    assert 100_000 < small.nodes < 300_000


class Cache:
    shrunk = 0

    def shrink(self) -> None:
        self.shrunk += 1


class Gate:
    states: tuple[bool, ...] = ()

    def narrow(self, narrow: bool) -> None:
        self.states += (narrow,)


@pytest.mark.parametrize("minor", [45, 44])
def test_pressure_shrinks_then_narrows_then_sheds_nodes(minor: int) -> None:
    fd = create_table(1 << 10)
    table = NodeTable(fd)
    folder = table.intern(ROOT, b"d", 0, 500, 0o040755)
    for i in range(20):
        table.intern(folder, b"f%d" % i, 0, 1000 + i, 0o100644)
    table.opened(table.find(folder, b"f3"), 1)
    used = [10 * MIB]
    budget, cache, gate = MemoryBudget(100 * MIB, lambda: used[0]), Cache(), Gate()
    device_r, device_w = os.pipe()
    keeper = MemoryKeeper(budget, table, [cache], gate, device_w, minor=minor)
    asyncio.run(keeper.look())
    assert (cache.shrunk, gate.states, keeper.pruned) == (0, (), 0)
    used[0] = 80 * MIB
    asyncio.run(keeper.look())
    assert (cache.shrunk, gate.states, keeper.pruned) == (1, (), 0)
    used[0] = 95 * MIB
    asyncio.run(keeper.look())
    assert (cache.shrunk, gate.states, keeper.pruned) == (2, (True,), 19)  # not f3, not d
    assert len(os.read(device_r, 1 << 16)) > 19 * 8
    used[0] = 10 * MIB
    asyncio.run(keeper.look())
    assert gate.states == (True, False)
    for descriptor in (device_r, device_w):
        os.close(descriptor)
    table.close()
    os.close(fd)
