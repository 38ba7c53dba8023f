# SPDX-License-Identifier: Apache-2.0
"""Bytes that a medium changed: never served, set aside, told to the master, repaired.

Real workers; a master of a few lines in the first tests, a whole cluster in the last ones.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.test_client_mounts import get
from tests.worker_wire import BLOCK, CLUSTER, Peer, WorkerProcess, running_worker

from curvine.client.cluster import ClusterClient
from curvine.client.fallback import FallbackReader
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import IoFailed
from curvine.model.mount import MountOptions
from curvine.testing.cluster import MiniCluster
from curvine.worker.sums import BLOCK_ATTRIBUTE, decode, read_note

MIB = 1 << 20
NO_SCRUB = 'scrub_rate = "0"\n'
Scenario = Callable[[UnifiedFileSystem, ClusterClient], Awaitable[None]]


def flip(path: Path, at: int) -> None:
    """Change one bit, as a medium would: the file looks the same from outside."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 16]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def until(what: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def set_aside(worker: WorkerProcess) -> list[Path]:
    return list((worker.dirs[0] / CLUSTER / "quarantine").glob("blk_*"))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with running_worker(tmp_path, extra=NO_SCRUB) as running:
        yield running


def restart(worker: WorkerProcess) -> None:
    worker.stop()
    worker.start()


def test_a_bit_flipped_while_the_worker_was_down(worker: WorkerProcess) -> None:
    sizes = {BLOCK + n: size for n, size in enumerate([100_000, 3 * MIB + 5] * 3)}
    ways = ("remote", "remote", "path", "path", "descriptor", "descriptor")
    data = os.urandom(3 * MIB + 5)
    with Peer(worker) as peer:
        for block, size in sizes.items():
            peer.write_block(data[:size], block)
        peer.write_block(data, BLOCK + 9)
    worker.stop()
    for block, size in sizes.items():
        flip(worker.active(block), size - 10)
    worker.start()
    for (block, size), way in zip(sizes.items(), ways, strict=True):
        with Peer(worker, local=way == "descriptor") as peer:
            if way == "remote":
                error = peer.fails(peer.read_block, size, block)
            else:
                error = peer.fails(peer.open_read, size, block, short_circuit=True)
            assert isinstance(error, IoFailed) and not peer.fds
            until(lambda b=block: not worker.active(b).exists())  # type: ignore[misc]  # a default binds the loop's variable
            again = peer.fails(peer.open_read, size, block)
            assert isinstance(again, IoFailed) and "damaged" in again.message
    assert len(set_aside(worker)) == len(sizes)
    restart(worker)
    with Peer(worker) as peer:
        assert peer.read_block(len(data), BLOCK + 9) == data
        assert "damaged" in peer.fails(peer.open_read, 5).message
        peer.write_block(data)  # a copy from elsewhere takes its place
        assert peer.read_block(len(data)) == data


def test_what_is_good_in_front_of_it_is_served_and_no_bad_byte(worker: WorkerProcess) -> None:
    data = os.urandom(8 * MIB)
    with Peer(worker) as peer:
        peer.write_block(data)
    worker.stop()
    flip(worker.active(), 5 * MIB + 1)
    worker.start()
    got = b""
    with Peer(worker) as peer:
        peer.open_read(len(data))
        try:
            while len(got) < len(data):
                got += peer.get()
        except IoFailed:
            pass
    assert got == data[: len(got)] and len(got) <= 5 * MIB


def test_a_file_changed_under_a_running_worker(worker: WorkerProcess) -> None:
    data = os.urandom(2 * MIB)
    with Peer(worker) as peer:
        peer.write_block(data)
        assert peer.read_block(len(data)) == data
        flip(worker.active(), MIB + 3)
        peer.fails(peer.read_block, len(data))
        until(lambda: len(set_aside(worker)) == 1)


def test_writing_on_does_not_hide_damage(worker: WorkerProcess) -> None:
    data = os.urandom(3 * MIB + 100)
    with Peer(worker) as peer:
        peer.write_block(data)
        peer.write_block(data, BLOCK + 1)
    worker.stop()
    for block in (BLOCK, BLOCK + 1):
        flip(worker.active(block), 3 * MIB + 50)  # in the chunk that an append goes on with
    worker.start()
    with Peer(worker) as peer:
        peer.open_write(length=len(data), off=len(data))
        peer.put(b"more")
        peer.commit(len(data) + 4)
        peer.fails(peer.read_block, len(data) + 4)
        peer.open_write(BLOCK + 1, length=len(data), off=3 * MIB)
        peer.fails(peer.put, b"x", 3 * MIB + 10)
        until(lambda: len(set_aside(worker)) == 2)
        for block in (BLOCK, BLOCK + 1):  # what is gone must not become zeros
            peer.fails(peer.open_write, block, length=len(data), off=len(data))


def test_sums_of_every_way_to_write(worker: WorkerProcess) -> None:
    """Sent, appended, rewritten, resized, extended, by descriptor, by path, in a batch's size."""
    rng = random.Random(4)
    data = bytearray(rng.randbytes(2 * MIB + 999))
    with Peer(worker) as peer:
        peer.write_block(bytes(data))
        for _ in range(5):
            more = rng.randbytes(4096)
            peer.open_write(length=len(data), off=len(data))
            peer.put(more)
            data += more
            peer.commit(len(data))
        peer.open_write(length=len(data), off=MIB - 5)
        peer.put(b"0123456789")
        data[MIB - 5 : MIB + 5] = b"0123456789"
        peer.commit(len(data))
        peer.open_write(length=len(data), alloc={"len": 2 * MIB - 7})
        del data[2 * MIB - 7 :]
        peer.commit(len(data))
        peer.open_write(length=len(data), off=len(data))
        peer.commit(len(data) + 5000)
        data += bytes(5000)
        path = peer.open_write(BLOCK + 1, short_circuit=True).path
        Path(path).write_bytes(data)
        peer.commit(len(data), BLOCK + 1)
    with Peer(worker, local=True) as peer:
        peer.open_write(BLOCK + 2, short_circuit=True)
        os.pwrite(peer.fds[0], data, 0)
        peer.commit(len(data), BLOCK + 2)
    for block in (BLOCK, BLOCK + 1, BLOCK + 2):
        path = worker.active(block)
        until(lambda p=path: (note := read_note(str(p))) is not None and note.complete)  # type: ignore[misc]  # a default binds the loop's variable
    restart(worker)
    for block in (BLOCK, BLOCK + 1, BLOCK + 2):
        with Peer(worker) as peer:
            assert peer.read_block(len(data), block) == data
    assert not set_aside(worker)


def test_a_scrub_finds_what_nobody_reads_and_blocks_without_sums_get_them(tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    with running_worker(tmp_path, extra='scrub_rate = "0"\n') as worker, Peer(worker) as peer:
        for number in range(4):
            peer.write_block(data, BLOCK + number)
        worker.stop()
        flip(worker.active(BLOCK + 2), 2 * MIB)
        os.removexattr(worker.active(BLOCK + 3), BLOCK_ATTRIBUTE)  # as upstream's worker writes it
        worker.conf.write_text(worker.conf.read_text().replace('"0"', '"1GB"'))
        worker.start()
        until(lambda: len(set_aside(worker)) == 1)
        assert not worker.active(BLOCK + 2).exists()
        until(lambda: read_note(str(worker.active(BLOCK + 3))) is not None)
        assert worker.active(BLOCK).exists() and worker.active(BLOCK + 1).exists()


def test_who_wants_the_file_is_sent_bytes_while_it_is_looked_at(tmp_path: Path) -> None:
    data = os.urandom(64 * MIB)
    extra = NO_SCRUB + 'checksum_patience = "0ms"\n'
    with running_worker(tmp_path, extra=extra) as worker:
        with Peer(worker) as peer:
            peer.write_block(data)
        restart(worker)
        with Peer(worker, local=True) as peer:
            peer.open_read(len(data), short_circuit=True)
            assert not peer.fds
            assert peer.get(50 * MIB) == data[50 * MIB : 50 * MIB + 131072]

        def given() -> bool:
            with Peer(worker, local=True) as peer:
                peer.open_read(len(data), short_circuit=True)
                return bool(peer.fds) and os.pread(peer.fds[0], 9, MIB) == data[MIB : MIB + 9]

        until(given)


def test_a_torn_file_is_damaged(worker: WorkerProcess) -> None:
    """What a power failure leaves of a block that was published without a sync."""
    data = os.urandom(300_000)
    with Peer(worker) as peer:
        peer.write_block(data)
    worker.stop()
    os.truncate(worker.active(), 4096)
    worker.start()
    with Peer(worker) as peer:
        assert "4096 bytes instead of 300000" in peer.fails(peer.read_block, len(data)).message


def test_switched_off(tmp_path: Path) -> None:
    with running_worker(tmp_path, extra="checksum = false\n") as worker:
        data = os.urandom(100_000)
        with Peer(worker) as peer:
            peer.write_block(data)
            note = decode(os.getxattr(worker.active(), BLOCK_ATTRIBUTE))
            assert note is not None and not note.sums
            flip(worker.active(), 5)
            assert peer.read_block(len(data)) != data


SETTINGS = {
    "master": {"heartbeat_interval": "300ms", "block_replication_retry_interval": "300ms"},
    "worker": {"scrub_rate": "0"},
    "client": {"replicas": 2, "block_size": "4MB"},
}


def play(cluster: MiniCluster, scenario: Scenario) -> None:
    async def run() -> None:
        async with ClusterClient(cluster.conf()) as client:
            fs = UnifiedFileSystem(client)
            await scenario(fs, client)
            await fs.close()

    asyncio.run(run())


def block_files(cluster: MiniCluster, worker: int) -> list[Path]:
    return sorted(cluster.root.glob(f"worker-{worker}/data/*/active/*/*/blk_*"))


def test_a_damaged_replica_is_replaced_and_no_reader_notices(tmp_path: Path) -> None:
    data = os.urandom(6 * MIB + 11)
    with MiniCluster(tmp_path / "c", workers=2, settings=SETTINGS | {"worker": {}}) as cluster:

        async def write(fs: UnifiedFileSystem, _: ClusterClient) -> None:
            file = await fs.create("/f", mode=0o644, truncate=False)
            await file.write(0, data)
            await file.close()

        async def read(fs: UnifiedFileSystem, _: ClusterClient) -> None:
            assert (await get(fs, "/f"))[0] == data

        play(cluster, write)
        originals = {p.name: p.read_bytes() for p in block_files(cluster, 0)}
        assert len(originals) == 2 and sorted(originals.values()) == sorted(
            p.read_bytes() for p in block_files(cluster, 1)
        )
        cluster.workers[0].stop()
        for path in block_files(cluster, 0):
            flip(path, 1_500_000)
        cluster.workers[0].start()
        for _ in range(6):  # whichever replica is asked first
            play(cluster, read)
        try:
            until(lambda: {p.name: p.read_bytes() for p in block_files(cluster, 0)} == originals)
        except AssertionError:
            raise AssertionError(cluster.logs()) from None
        play(cluster, read)


def test_a_damaged_cached_copy_is_fetched_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    content = os.urandom(5 * MIB)
    (source / "f").write_bytes(content)
    settings = SETTINGS | {"client": {"replicas": 1}}
    with MiniCluster(tmp_path / "c", workers=1, settings=settings) as cluster:

        async def cache(fs: UnifiedFileSystem, _: ClusterClient) -> None:
            if not await fs.exists("/data"):
                await fs.mount("/data", f"file://{source}", MountOptions(ttl_ms=86_400_000))
            deadline = time.monotonic() + 20
            while (await get(fs, "/data/f"))[1] is not FallbackReader:
                assert time.monotonic() < deadline, "the file was never cached"
                await asyncio.sleep(0.05)

        async def read(fs: UnifiedFileSystem, _: ClusterClient) -> None:
            assert (await get(fs, "/data/f"))[0] == content

        play(cluster, cache)
        (block,) = block_files(cluster, 0)
        until(lambda: (note := read_note(str(block))) is not None and note.complete)
        cluster.workers[0].stop()
        flip(block, 4_000_000)
        cluster.workers[0].start()
        play(cluster, read)
        play(cluster, cache)
        (again,) = block_files(cluster, 0)
        assert again.read_bytes() == content
