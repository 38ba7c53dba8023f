# SPDX-License-Identifier: Apache-2.0
"""Several places in one mount: routing, synthetic directories, inode numbers, orphans."""

from __future__ import annotations

import errno

import pytest

from curvine.config.schema import ClusterConf, FuseMount
from curvine.errors import ConfigError, TimedOut
from curvine.fuse.abi.constants import ROOT_ID
from curvine.fuse.composite import CompositeFileSystem, Place
from curvine.fuse.nodes import ORPHANS
from curvine.fuse.places import conf_of_place
from curvine.testing.fuse_kernel import Kernel, run
from curvine.testing.memory_fs import MemoryFileSystem


async def two_places() -> tuple[MemoryFileSystem, MemoryFileSystem, Kernel]:
    one, two = MemoryFileSystem(), MemoryFileSystem()
    for fs in (one, two):
        await fs.mkdir("/data")
        await (await fs.create("/data/f")).close()
    places = [Place("/a/one", "/data", one), Place("/two", "/", two)]
    return one, two, Kernel(CompositeFileSystem(places, 0))


def test_places_appear_below_synthetic_directories() -> None:
    async def scenario() -> None:
        one, _, kernel = await two_places()
        assert await kernel.names(ROOT_ID, plus=True) == ["a", "two"]
        leading = await kernel.lookup(ROOT_ID, "a")
        assert await kernel.names(leading.nodeid) == ["one"]
        first = await kernel.walk("a/one/f")
        second = await kernel.walk("two/data/f")
        assert first.attr.ino != second.attr.ino and first.nodeid != second.nodeid
        place = await kernel.walk("a/one")
        await kernel.write_file(place.nodeid, "g", b"data")
        assert (await one.status("/data/g")).len == 4
        with pytest.raises(OSError) as caught:
            await kernel.mkdir(ROOT_ID, "x")
        assert caught.value.errno == errno.EROFS

    run(scenario())


def test_nothing_moves_from_one_place_to_another() -> None:
    async def scenario() -> None:
        _, _, kernel = await two_places()
        one, two = await kernel.walk("a/one"), await kernel.walk("two")
        with pytest.raises(OSError) as caught:
            await kernel.rename(one.nodeid, "f", two.nodeid, "f")
        assert caught.value.errno == errno.EXDEV
        with pytest.raises(OSError) as caught:
            await kernel.rename(ROOT_ID, "two", two.nodeid, "f")
        assert caught.value.errno == errno.EROFS

    run(scenario())


def test_a_place_may_be_the_root_and_others_shadow_it() -> None:
    async def scenario() -> None:
        base, over = MemoryFileSystem(), MemoryFileSystem()
        for name in ("/a", "/m", "/z"):
            await base.mkdir(name)
        await (await over.create("/inside")).close()
        kernel = Kernel(CompositeFileSystem([Place("/", "/", base), Place("/m", "/", over)], 0))
        assert await kernel.names(ROOT_ID) == ["a", "m", "z"]
        assert await kernel.names((await kernel.lookup(ROOT_ID, "m")).nodeid) == ["inside"]
        paged = CompositeFileSystem([Place("/", "/", base), Place("/m", "/", over)], 0)
        found, after = [], None
        while page := await paged.list("/", 1, after):
            after = page[-1].name
            found.append(after)
        assert found == ["a", "m", "z"]

    run(scenario())


def test_an_orphan_stays_in_its_own_cluster() -> None:
    async def scenario() -> None:
        one, two, kernel = await two_places()
        place = await kernel.walk("two/data")
        entry = await kernel.lookup(place.nodeid, "f")
        handle = await kernel.open(entry.nodeid)
        await kernel.unlink(place.nodeid, "f")
        assert await two.exists(ORPHANS) and not await one.exists(ORPHANS)
        assert (await kernel.getattr(entry.nodeid)).nlink == 0
        await kernel.close_handle(handle)
        (session,) = await two.list(ORPHANS)
        assert await two.list(session.path) == []

    run(scenario())


def test_a_cluster_that_is_away_leaves_the_others_alone() -> None:
    async def scenario() -> None:
        _, two, kernel = await two_places()
        two.faults[("status", "/")] = TimedOut("away")
        assert await kernel.names(ROOT_ID, plus=True) == ["a", "two"]
        with pytest.raises(OSError) as caught:
            await kernel.getattr((await kernel.lookup(ROOT_ID, "two")).nodeid)
        assert caught.value.errno == errno.ETIMEDOUT
        assert await kernel.names((await kernel.walk("a/one")).nodeid) == ["f"]

    run(scenario())


def test_options_of_a_place_are_typed_and_checked() -> None:
    conf = ClusterConf()
    mount = FuseMount(path="/x", options={"client.block_size": "4MB", "replicas": "2"})
    client = conf_of_place(conf, mount).client
    assert (client.block_size, client.replicas) == (4 << 20, 2)
    assert client.rpc_timeout_ms == conf.client.rpc_timeout_ms
    with pytest.raises(ConfigError):
        conf_of_place(conf, FuseMount(options={"replicas": "many"}))
