# SPDX-License-Identifier: Apache-2.0
"""A full directory is a clear error that loses nothing: a small cap, and a small file system."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import CurvineError, DiskOutOfSpace
from curvine.testing.cluster import MiniCluster

MIB = 1 << 20
PIECE = 300_000
Body = Callable[[UnifiedFileSystem], Awaitable[None]]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("FULL DISK TEST DID NOT RUN: mounting needs root")
    target = tmp_path / "disk"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


def run(cluster: MiniCluster, body: Body, short_circuit: bool) -> None:
    async def with_fs() -> None:
        conf = cluster.conf(short_circuit=short_circuit)
        async with ClusterClient(conf) as client:
            fs = UnifiedFileSystem(client)
            await body(fs)
            await fs.close()

    asyncio.run(with_fs())


def taken(root: Path) -> int:
    """Bytes that all block files take."""
    return sum(
        min(info.st_size, info.st_blocks * 512)
        for top, _, names in os.walk(root)
        for info in (os.stat(os.path.join(top, name)) for name in names)
    )


def piece(number: int) -> bytes:
    return bytes([number % 251]) * PIECE


async def fill(fs: UnifiedFileSystem, root: Path, cap: int) -> None:
    """Write until the disk is full: a clear error, and everything answered before is there."""
    keep = await fs.create("/keep", block_size=256 * MIB)
    await keep.write(0, b"precious" * 1000)
    await keep.close()
    writer = await fs.create("/big", block_size=256 * MIB)
    answered = 0
    with pytest.raises(DiskOutOfSpace):
        while True:
            await writer.write(answered * PIECE, piece(answered))
            answered += 1
            assert taken(root) <= cap, "the cap is hard"
    assert answered * PIECE > cap * 0.7, "the room is used"
    for offset in (0, 5 * PIECE):  # what is there can still be read
        assert await writer.read(offset, 1000) == piece(offset // PIECE)[:1000]
    await writer.close()
    reader = await fs.open_read("/big")
    assert reader.length == answered * PIECE
    for number in range(answered):
        assert await reader.read(number * PIECE, PIECE) == piece(number), f"piece {number}"
    await reader.close()
    reader = await fs.open_read("/keep")
    assert await reader.read(0, 8000) == b"precious" * 1000
    await reader.close()
    assert taken(root) <= cap


async def use_again(fs: UnifiedFileSystem) -> None:
    """Deleting makes room."""
    await fs.delete("/big", False)
    for _ in range(100):
        try:
            writer = await fs.create("/next", block_size=256 * MIB)
            await writer.write(0, b"x" * 20 * MIB)
            await writer.close()
            return
        except CurvineError:
            await asyncio.sleep(0.1)
    raise AssertionError("the room of a deleted file does not come back")


@pytest.mark.parametrize("short_circuit", [True, False])
def test_a_small_cap(tmp_path: Path, short_circuit: bool) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await fill(fs, tmp_path / "worker-0" / "data", 64 * MIB)
        await use_again(fs)

    with MiniCluster(tmp_path, data_dirs=("[SSD:64MB]data",)) as cluster:
        run(cluster, body, short_circuit)


@pytest.mark.parametrize("short_circuit", [True, False])
def test_a_small_disk(tmp_path: Path, small_disk: Path, short_circuit: bool) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        await fill(fs, small_disk, 64 * MIB)
        await use_again(fs)

    with MiniCluster(tmp_path / "c", data_dirs=(f"[SSD]../../{small_disk.name}/d",)) as cluster:
        run(cluster, body, short_circuit)


def test_a_full_directory_spills_to_another(tmp_path: Path) -> None:
    async def body(fs: UnifiedFileSystem) -> None:
        writer = await fs.create("/file", block_size=256 * MIB)
        for number in range(120):  # 36 MB, more than the first directory may hold
            await writer.write(number * PIECE, piece(number))
        await writer.close()
        reader = await fs.open_read("/file")
        for number in range(120):
            assert await reader.read(number * PIECE, PIECE) == piece(number)
        await reader.close()

    dirs = ("[SSD:24MB]one", "[SSD:200MB]two")
    with MiniCluster(tmp_path, data_dirs=dirs) as cluster:
        for short_circuit in (True, False):
            run(cluster, body, short_circuit)
