# SPDX-License-Identifier: Apache-2.0
"""Parts of the client that need no server: worker memory, mount table, auto-cache, fall-back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from curvine.client.autocache import QUIET, AutoCache
from curvine.client.fallback import FallbackReader
from curvine.client.health import WorkerHealth
from curvine.client.mount_secrets import MountSecrets
from curvine.client.mounts import MountTable
from curvine.client.namespace import Namespace
from curvine.client.ufs_file import UfsFileReader
from curvine.clock import ManualClock
from curvine.errors import ConnectionLost, IoFailed, NoAvailableWorker, NotFound, TimedOut
from curvine.model.block import ExtendedBlock, LocatedBlock
from curvine.model.inode import FileStatus
from curvine.model.job import JobState, JobStatus, LoadCommand
from curvine.model.mount import MountInfo
from curvine.model.worker import ClientAddress, WorkerAddress
from curvine.ufs.posix import PosixUfs
from curvine.wire.codes import RpcCode
from curvine.wire.convert import fill_located
from curvine.wire.frame import Frame
from curvine.wire.pb import common_pb2, master_pb2

WORKERS = [WorkerAddress(i, f"w{i}", "127.0.0.1", 9000 + i) for i in range(5)]


def test_failed_workers_come_last_until_they_answer_or_time_passes() -> None:
    clock = ManualClock()
    health = WorkerHealth(clock, ttl_ms=10_000)
    health.failed(WORKERS[0], ConnectionLost("gone"))
    health.failed(WORKERS[1], IoFailed("a block says nothing about its worker"))
    for _ in range(20):
        order = health.order(WORKERS, first={3, 0})
        assert order[0].worker_id == 3
        assert order[-1].worker_id == 0
        assert sorted(w.worker_id for w in order) == [0, 1, 2, 3, 4]
    assert health.suspects() == (0,)
    health.succeeded(WORKERS[0])
    assert health.suspects() == ()
    health.failed(WORKERS[0], ConnectionLost("gone"))
    clock.advance(1.1)
    assert health.suspects() == (), "it may be back"
    assert not health.suspect(WORKERS[0])
    assert health.doubtful


def test_a_worker_that_fails_again_is_avoided_for_longer() -> None:
    clock = ManualClock()
    health = WorkerHealth(clock, ttl_ms=5_000)
    avoided = []
    for _ in range(5):
        health.failed(WORKERS[0], ConnectionLost("gone"))
        health.failed(WORKERS[0], ConnectionLost("the same, seen by another reader"))
        began = clock.monotonic()
        while health.suspect(WORKERS[0]):
            clock.advance(0.1)
        avoided.append(round(clock.monotonic() - began))
    assert avoided == [1, 2, 4, 5, 5]
    health.succeeded(WORKERS[0])
    assert not health.doubtful
    health.failed(WORKERS[0], TimedOut("no answer"))
    clock.advance(4.9)
    assert health.suspect(WORKERS[0])


async def no_secrets(_mount_id: int) -> dict[str, str]:
    return {}


def test_the_mount_table_is_refreshed_behind_lookups() -> None:
    async def body() -> None:
        clock = ManualClock()
        answers = [(MountInfo("/a", "file:///a", 1),), ()]
        fail = False

        async def fetch() -> tuple[MountInfo, ...]:
            if fail:
                raise ConnectionLost("no master")
            return answers[0]

        table = MountTable(fetch, clock, ttl_ms=10_000, secrets=MountSecrets(no_secrets))
        assert table.cached("/a/x") is None, "nothing was fetched yet"
        found = await table.find("/a/x")
        assert found is not None and found.cv_path == "/a"
        assert await table.find("/ab") is None
        answers.pop(0)
        assert await table.find("/a/x") is found
        clock.advance(10)
        assert await table.find("/a/x") is found, "answered from the old table"
        for _ in range(1000):  # turns of the loop: it is fetched behind the lookups
            if await table.find("/a/x") is None:
                break
            await asyncio.sleep(0)
        assert await table.find("/a/x") is None
        fail = True
        clock.advance(10)
        assert await table.find("/a/x") is None
        await table.close()

    asyncio.run(body())


def test_a_missed_file_is_submitted_once() -> None:
    async def body() -> None:
        clock = ManualClock()
        submitted: list[str] = []

        async def submit(command: LoadCommand) -> JobStatus:
            submitted.append(command.source_path)
            if command.source_path == "file:///bad":
                raise ConnectionLost("no master")
            return JobStatus("job", JobState.PENDING)

        cache = AutoCache(submit, clock)
        for _ in range(10):
            cache.missed("file:///one")
            cache.missed("file:///bad")
            await asyncio.sleep(0)
        assert submitted == ["file:///one", "file:///bad"]
        clock.advance(QUIET)
        assert cache.missed("file:///one")
        cache.forget("file:///one")
        assert cache.missed("file:///one")
        await asyncio.sleep(0)
        assert submitted.count("file:///one") == 3
        await cache.close()

    asyncio.run(body())


class BrokenBlocks:
    """A reader whose blocks are all lost."""

    def __init__(self, length: int) -> None:
        self.status = FileStatus(0, "/f", "f", False, 0, 0)
        self.length = length
        self.reads = 0

    async def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        raise NoAvailableWorker("all lost")

    async def local_fd(self) -> int | None:
        return None

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("change", ["none", "content", "gone"])
def test_fall_back_only_to_the_same_file(tmp_path: Path, change: str) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    ufs, uri = PosixUfs(f"file://{tmp_path}"), f"file://{tmp_path}/f"

    async def body() -> None:
        mtime = (await ufs.stat(uri)).mtime
        if change == "content":
            (tmp_path / "f").write_bytes(b"other")
            os.utime(tmp_path / "f", (1, 1))  # both writes may lie in one tick of the clock
        if change == "gone":
            (tmp_path / "f").unlink()
        broken = BrokenBlocks(10)
        reader = FallbackReader(
            broken.status,
            broken,
            lambda: ufs.open_read(uri),
            still_same=lambda found: found.mtime == mtime,
        )
        if change == "none":
            assert await reader.read(2, 3) == b"234"
            assert await reader.read(8, 100) == b"89"
            assert broken.reads == 1, "it stays with the source"
        else:
            with pytest.raises(NoAvailableWorker):
                await reader.read(2, 3)
        await reader.close()
        await ufs.close()

    asyncio.run(body())


def test_an_under_storage_file_is_read_within_its_bounds(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    async def body() -> None:
        ufs = PosixUfs(f"file://{tmp_path}")
        source = await ufs.open_read(f"file://{tmp_path}/f")
        status = (await ufs.stat(f"file://{tmp_path}/f")).file_status("/data/f")
        assert (status.id, status.path, status.name) == (0, "/data/f", "f")
        reader = UfsFileReader(status, source)
        assert await reader.read(8, 100) == b"89"
        assert await reader.read(10, 1) == b""
        assert await reader.local_fd() is not None
        await reader.close()
        await ufs.close()

    asyncio.run(body())


class RecordingMaster:
    """A master in memory: keeps the requests, gives the prepared answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.calls: list[tuple[int, bytes, int]] = []

    async def call(self, code: int, header: bytes, *, req_id: int) -> Frame:
        self.calls.append((code, header, req_id))
        return Frame(code, 0x01, req_id, -1, self.answer)


def test_add_block_takes_the_bare_answer_and_keeps_the_request_id() -> None:
    async def body() -> None:
        located = common_pb2.LocatedBlockProto()
        fill_located(located, LocatedBlock(ExtendedBlock(77, 0), (WORKERS[0],)))
        master = RecordingMaster(located.SerializeToString())
        client = ClientAddress("name", "host", "127.0.0.1")
        ns = Namespace(master, client, lambda: -5)
        got = await ns.add_block(
            "/f", inode_id=9, commits=(), file_len=0, last_block=None, exclude=(4,), req_id=-42
        )
        assert (got.block.id, got.locs) == (77, (WORKERS[0],))
        code, header, req_id = master.calls[0]
        request = master_pb2.AddBlockRequest.FromString(header)
        assert (code, req_id) == (RpcCode.ADD_BLOCK, -42)
        assert (request.path, request.inode_id, list(request.exclude_workers)) == ("/f", 9, [4])
        assert not request.HasField("last_block") and request.located
        master.answer = b""
        await ns.delete("/f", False)
        assert master.calls[1][2] == -5, "a fresh id where none is given"

    asyncio.run(body())


def test_missing_under_storage_files_stay_missing(tmp_path: Path) -> None:
    async def body() -> None:
        ufs = PosixUfs(f"file://{tmp_path}")
        with pytest.raises(FileNotFoundError):
            await ufs.open_read(f"file://{tmp_path}/nothing")
        with pytest.raises(NotFound):
            await ufs.stat(f"file://{tmp_path}/nothing")
        await ufs.close()

    asyncio.run(body())
