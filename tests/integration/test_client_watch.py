# SPDX-License-Identifier: Apache-2.0
"""Being told of changes: pushed, polled, after a gap; the cache of locations that rests on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from curvine.client import change_source
from curvine.client.change_source import ChangeKind, Changes, Times
from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.client.watch import ChangeWatch, Mode
from curvine.errors import NotFound
from curvine.testing.cluster import MiniCluster
from curvine.wire.codes import RpcCode

LIMIT = 10.0  # s, for what takes milliseconds


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def run(
    cluster: MiniCluster, body: Callable[[UnifiedFileSystem, UnifiedFileSystem], Awaitable[None]]
) -> None:
    """Run ``body`` with two clients that know nothing of each other."""

    async def with_both() -> None:
        conf = cluster.conf()
        async with ClusterClient(conf) as one, ClusterClient(conf) as other:
            first, second = UnifiedFileSystem(one), UnifiedFileSystem(other)
            await body(first, second)
            await first.close()
            await second.close()

    asyncio.run(with_both())


async def put(fs: UnifiedFileSystem, path: str, content: bytes) -> None:
    writer = await fs.create(path)
    await writer.write(0, content)
    await writer.close()


async def get(fs: UnifiedFileSystem, path: str) -> bytes:
    reader = await fs.open_read(path)
    try:
        return bytes(await reader.read(0, reader.length))
    finally:
        await reader.close()


def lookups(fs: UnifiedFileSystem) -> int:
    """Calls to the master that open files for reading."""
    calls = fs.cluster.streams.stats.calls.get(RpcCode.GET_BLOCK_LOCATIONS)
    return sum(calls.buckets) if calls is not None else 0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that a notice brings about."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110  # another connection brings it about
            await asyncio.sleep(0.005)


def test_changes_are_pushed_below_the_prefixes(cluster: MiniCluster) -> None:
    async def body(mine: UnifiedFileSystem, theirs: UnifiedFileSystem) -> None:
        await theirs.mkdir("/pushed/deep", create_parent=True)
        watch = mine.cluster.watch
        got: list[Changes] = []
        stop = watch.listen(got.append)
        watch.start(("/pushed",))
        assert await watch.wait(Mode.PUSH, timeout=LIMIT)
        await put(theirs, "/elsewhere", b"1")
        await put(theirs, "/pushed/deep/file", b"12")
        assert watch.is_current("/pushed/deep/file") and not watch.is_current("/elsewhere")
        events = [event for changes in got for event in changes.events]
        assert {event.path for event in events} == {"/pushed/deep/file"}
        assert events[0].kind is ChangeKind.ENTRY
        assert ChangeKind.ATTR in [event.kind for event in events]
        assert events[0].inode_id == (await mine.status("/pushed/deep/file")).id
        watch.start(("/",))  # more of them: nothing in between is lost
        await theirs.delete("/elsewhere")
        await until(lambda: any(e.path == "/elsewhere" for c in got for e in c.events))
        assert watch.resets == 0
        stop()

    run(cluster, body)


def test_hot_files_cost_no_call_and_are_never_stale(cluster: MiniCluster) -> None:
    async def body(mine: UnifiedFileSystem, theirs: UnifiedFileSystem) -> None:
        await theirs.mkdir("/hot")
        mine.cluster.watch.start()
        assert await mine.cluster.watch.wait(Mode.PUSH, timeout=LIMIT)
        for round_number in range(50):
            content = f"round {round_number}".encode()
            await put(theirs, "/hot/file", content)
            before = lookups(mine)
            for _ in range(5):
                assert await get(mine, "/hot/file") == content
                assert (await mine.status("/hot/file")).len == len(content)
            assert lookups(mine) - before == 1, "one call for a version of a file"
        # Another name of the same file, its directory renamed, the file deleted, own changes.
        await theirs.link("/hot/file", "/other-name")
        assert await get(mine, "/hot/file") == content
        writer = await theirs.open_write("/other-name")
        await writer.write(0, b"ROUND")
        await writer.close()
        assert (await get(mine, "/hot/file"))[:5] == b"ROUND"
        await theirs.rename("/hot", "/cold")
        assert not await mine.exists("/hot/file")
        with pytest.raises(NotFound):
            await get(mine, "/hot/file")
        assert (await get(mine, "/cold/file"))[:5] == b"ROUND"
        await put(mine, "/cold/file", b"own")
        assert await get(mine, "/cold/file") == b"own"
        await theirs.delete("/cold", True)
        with pytest.raises(NotFound):
            await mine.status("/cold/file")

    run(cluster, body)


def test_a_client_that_opens_the_same_files_again_begins_to_watch(cluster: MiniCluster) -> None:
    async def body(mine: UnifiedFileSystem, theirs: UnifiedFileSystem) -> None:
        await theirs.mkdir("/set/a", create_parent=True)
        await theirs.mkdir("/set/b")
        for path in ("/set/a/1", "/set/b/2"):
            await put(theirs, path, b"x")
        for _ in range(20):
            await get(mine, "/set/a/1")
            await get(mine, "/set/b/2")
        assert await mine.cluster.watch.wait(Mode.PUSH, timeout=LIMIT)
        assert mine.cluster.watch.prefixes == ("/set",)
        await get(mine, "/set/a/1")
        before = lookups(mine)
        await get(mine, "/set/a/1")
        assert lookups(mine) == before

    run(cluster, body)


def test_a_master_without_push_is_polled(
    cluster: MiniCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own master, taken for one of upstream's: it has the same pages."""
    monkeypatch.setattr(change_source, "CAP_WATCH", "none has this")

    async def body(mine: UnifiedFileSystem, theirs: UnifiedFileSystem) -> None:
        watch = mine.cluster.watch
        got: list[Changes] = []
        watch.listen(got.append)
        watch.start(("/polled",))
        assert await watch.wait(Mode.POLL, timeout=LIMIT)
        await put(theirs, "/unseen", b"1")
        await theirs.mkdir("/polled")
        await put(theirs, "/polled/file", b"12")
        await until(lambda: any(e.path == "/polled/file" for c in got for e in c.events))
        await theirs.delete("/polled/file")
        gone = len(got)
        await until(lambda: any(e.path == "/polled/file" for c in got[gone:] for e in c.events))
        assert all(e.path != "/unseen" for c in got for e in c.events)
        assert not watch.is_current("/polled/file") and watch.resets == 0

    run(cluster, body)


def test_a_gap_resets_and_the_watch_comes_back(tmp_path: Path) -> None:
    async def scenario(cluster: MiniCluster) -> None:
        times = Times(answer=0.3, ping=0.2, gap=0.3, longest_retry=0.2)
        async with ClusterClient(cluster.conf()) as client:
            watch = ChangeWatch(
                cluster.conf().client_master_addrs(), client.identity, conn_timeout=1, times=times
            )
            got: list[Changes] = []
            watch.listen(got.append)
            watch.start()
            assert await watch.wait(Mode.PUSH, timeout=LIMIT)
            # A short interruption: the master remembers what was missed.
            cluster.master.pause()
            assert await watch.wait(Mode.OFF, timeout=LIMIT)
            assert not watch.is_current("/")
            await until(lambda: watch.resets == 1)
            cluster.master.resume()
            fs = UnifiedFileSystem(client)
            await fs.mkdir("/missed")
            assert await watch.wait(Mode.PUSH, timeout=LIMIT)
            await until(lambda: any(e.path == "/missed" for c in got for e in c.events))
            assert watch.resets == 1
            # A restart after a crash: what it does not remember is a reset.
            cluster.master.kill()
            assert await watch.wait(Mode.OFF, timeout=LIMIT)
            cluster.master.start()
            assert await watch.wait(Mode.PUSH, timeout=LIMIT)
            seen = len(got)
            await fs.mkdir("/after")
            await until(lambda: any(e.path == "/after" for c in got[seen:] for e in c.events))
            await watch.close()
            await fs.close()

    with MiniCluster(tmp_path, workers=0) as cluster:
        asyncio.run(scenario(cluster))
