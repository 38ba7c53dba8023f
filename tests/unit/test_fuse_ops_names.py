# SPDX-License-Identifier: Apache-2.0
"""FUSE operations on names: lookup, directories, renames, links, attributes."""

from __future__ import annotations

import asyncio
import errno
import os
import stat

import pytest

from curvine import errors
from curvine.fuse.abi import constants as c
from curvine.fuse.settings import Settings
from curvine.model.inode import MAX_NAMES
from curvine.model.path import name_to_wire
from curvine.testing.fuse_kernel import Kernel, run
from curvine.testing.memory_fs import MemoryFileSystem

ROOT = c.ROOT_ID
EXCHANGE, NO_REPLACE = 2, 1


def raises(number: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def test_lookup_gives_one_node_per_file_and_forget_frees_it() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        first = await kernel.mkdir(ROOT, "d")
        again = await kernel.lookup(ROOT, "d")
        assert (first.nodeid, first.attr.ino) == (again.nodeid, again.attr.ino)
        assert stat.S_ISDIR(again.attr.mode)
        assert (again.entry_ms, again.attr_ms) == (1000, 1000)
        kernel.forget((first.nodeid, 2))
        with raises(errno.ESTALE):
            await kernel.getattr(first.nodeid)
        with raises(errno.ENOENT):
            await kernel.lookup(ROOT, "absent")

    run(scenario())


def test_a_missing_name_can_be_remembered_by_the_kernel() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem(), settings=Settings(negative_ms=500))
        entry = await kernel.lookup(ROOT, "absent")
        assert (entry.nodeid, entry.entry_ms) == (0, 500)

    run(scenario())


def test_names_keep_their_bytes() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        names = [b"caf\xe9", "naïve".encode(), "\uf7e9".encode(), b"a*b?[c]{d}\\", b" "]
        for name in names:
            await kernel.create(ROOT, name)
        assert sorted(map(os.fsencode, await kernel.names(ROOT))) == sorted(names)
        for name in names:
            assert stat.S_ISREG((await kernel.lookup(ROOT, name)).attr.mode)
        assert await fs.exists("/" + name_to_wire(b"caf\xe9"))

    run(scenario())


def test_a_name_of_more_than_255_bytes_is_too_long() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        await kernel.create(ROOT, "n" * 255)
        for attempt in (
            kernel.create(ROOT, "n" * 256),
            kernel.lookup(ROOT, "ü" * 128),
            kernel.mkdir(ROOT, "n" * 256),
            kernel.rename(ROOT, "n" * 255, ROOT, "n" * 256),
        ):
            with raises(errno.ENAMETOOLONG):
                await attempt

    run(scenario())


@pytest.mark.parametrize("plus", [False, True])
def test_a_listing_of_several_pages_is_complete_and_in_order(plus: bool) -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs, settings=Settings(list_limit=7))
        names = [f"file-{i:03}" for i in range(50)]
        for name in names:
            await (await fs.create(f"/{name}")).close()
        assert await kernel.names(ROOT, plus=plus, size=1024) == names
        dots = (await kernel.readdir(await kernel.opendir(ROOT), plus=plus))[:2]
        assert [name for name, _, _ in dots] == [".", ".."]

    run(scenario())


def test_deleting_while_listing_skips_nothing_and_seeking_back_works() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs, settings=Settings(list_limit=5))
        names = [f"{i:02}" for i in range(30)]
        for name in names:
            await (await fs.create(f"/{name}")).close()
        handle = await kernel.opendir(ROOT)
        seen: list[tuple[str, int]] = []
        cookie = 0
        while page := await kernel.readdir(handle, cookie, 160):
            seen.extend((name, behind) for name, _, behind in page)
            cookie = page[-1][2]
            for name, _, _ in page:
                if name not in (".", ".."):
                    await fs.delete(f"/{name}")
        assert [name for name, _ in seen[2:]] == names
        for name in names[10:]:
            await (await fs.create(f"/{name}")).close()
        back = next(behind for name, behind in seen if name == "12")
        page = await kernel.readdir(handle, back, 4096)
        assert [name for name, _, _ in page] == names[13:]
        page = await kernel.readdir(handle, 0, 4096)
        assert [name for name, _, _ in page[2:]] == names[10:]

    run(scenario())


def test_readdirplus_counts_lookups_that_forget_gives_back() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        for name in ("a", "b"):
            await (await fs.create(f"/{name}")).close()
        table = kernel.volume.nodes.table
        before = len(table)
        await kernel.names(ROOT, plus=True)
        nodes = [table.find(ROOT, name) for name in (b"a", b"b")]
        assert len(table) == before + 2
        kernel.forget(*((nodeid, 1) for nodeid in nodes))
        assert len(table) == before

    run(scenario())


def test_rename_moves_nodes_with_their_children() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        source = await kernel.mkdir(ROOT, "src")
        target = await kernel.mkdir(ROOT, "dst")
        inner = await kernel.mkdir(source.nodeid, "inner")
        file = await kernel.write_file(inner.nodeid, "f", b"data")
        await kernel.rename(source.nodeid, "inner", target.nodeid, "moved")
        assert await kernel.read_file(file.nodeid) == b"data"
        assert (await kernel.walk("dst/moved/f")).nodeid == file.nodeid
        with raises(errno.ENOTEMPTY):
            await kernel.rename(ROOT, "src", ROOT, "dst")
        with raises(errno.EEXIST):
            await kernel.rename(ROOT, "src", ROOT, "dst", NO_REPLACE)
        await kernel.rename(ROOT, "src", ROOT, "dst", EXCHANGE)
        assert (await kernel.walk("src/moved/f")).nodeid == file.nodeid
        assert await kernel.names((await kernel.lookup(ROOT, "dst")).nodeid) == []
        with raises(errno.EINVAL):
            await kernel.rename(ROOT, "src", ROOT, "x", 4)

    run(scenario())


class SlowRename(MemoryFileSystem):
    """A master whose renames are carried out, but answered only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        done = await super().rename(src, dst, flags)
        await self.answer.wait()
        return done


def test_operations_below_a_directory_wait_for_its_rename() -> None:
    async def scenario() -> None:
        fs = SlowRename()
        kernel = Kernel(fs)
        directory = await kernel.mkdir(ROOT, "old")
        file = await kernel.write_file(directory.nodeid, "f", b"data")
        renaming = asyncio.create_task(kernel.rename(ROOT, "old", ROOT, "new"))
        await asyncio.sleep(0)
        asked = asyncio.create_task(kernel.getattr(file.nodeid))
        await asyncio.sleep(0.01)
        assert not asked.done()
        fs.answer.set()
        await renaming
        assert (await asked).size == 4

    run(scenario())


def test_a_node_whose_place_another_file_took_is_stale() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        entry = await kernel.write_file(ROOT, "a", b"data")
        await fs.delete("/a")
        await (await fs.create("/a")).close()
        with raises(errno.ESTALE):
            await kernel.getattr(entry.nodeid)
        assert (await kernel.lookup(ROOT, "a")).nodeid != entry.nodeid

    run(scenario())


def test_a_removed_directory_that_is_in_use_is_empty() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        directory = await kernel.mkdir(ROOT, "d")
        await kernel.write_file(directory.nodeid, "f", b"")
        with raises(errno.ENOTEMPTY):
            await kernel.rmdir(ROOT, "d")
        await kernel.unlink(directory.nodeid, "f")
        handle = await kernel.opendir(directory.nodeid)
        await kernel.rmdir(ROOT, "d")
        attr = await kernel.getattr(directory.nodeid)
        assert stat.S_ISDIR(attr.mode) and attr.nlink == 0
        assert [name for name, _, _ in await kernel.readdir(handle)] == [".", ".."]

    run(scenario())


def test_links_symbolic_and_hard() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        link = await kernel.symlink(ROOT, "l", "../some/where")
        assert stat.S_ISLNK(link.attr.mode) and link.attr.size == len("../some/where")
        assert await kernel.readlink(link.nodeid) == b"../some/where"
        file = await kernel.write_file(ROOT, "f", b"data")
        other = await kernel.link(file.nodeid, ROOT, "g")
        assert other.nodeid == file.nodeid and other.attr.nlink == 2
        await kernel.unlink(ROOT, "f")
        assert (await kernel.getattr(file.nodeid)).nlink == 1
        for number in range(MAX_NAMES - 1):
            await kernel.link(file.nodeid, ROOT, f"n{number}")
        with raises(errno.EMLINK):
            await kernel.link(file.nodeid, ROOT, "more")
        with raises(errno.EEXIST):
            await kernel.symlink(ROOT, "g", "x")

    run(scenario())


def test_special_files_keep_their_kind_and_number() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        fifo = await kernel.mknod(ROOT, "p", stat.S_IFIFO | 0o600)
        disk = await kernel.mknod(ROOT, "b", stat.S_IFBLK | 0o600, os.makedev(8, 1))
        plain = await kernel.mknod(ROOT, "f", stat.S_IFREG | 0o600)
        assert stat.S_ISFIFO(fifo.attr.mode) and stat.S_ISREG(plain.attr.mode)
        assert stat.S_ISBLK(disk.attr.mode) and disk.attr.rdev == os.makedev(8, 1)

    run(scenario())


def test_owners_are_stored_by_name_and_unknown_ones_by_number() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        kernel.uid, kernel.gid = 4711, 0
        entry = await kernel.mkdir(ROOT, "d", 0o777, 0o027)
        assert (entry.attr.uid, entry.attr.gid) == (4711, 0)
        assert stat.S_IMODE(entry.attr.mode) == 0o750
        status = await fs.status("/d")
        assert (status.owner, status.group) == ("4711", "root")
        attr = await kernel.setattr(entry.nodeid, c.FATTR_UID | c.FATTR_GID, uid=0, gid=99999)
        assert (attr.uid, attr.gid) == (0, 99999)
        assert (await fs.status("/d")).owner == "root"

    run(scenario())


def test_extended_attributes() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        entry = await kernel.mkdir(ROOT, "d")
        node = entry.nodeid
        await kernel.setxattr(node, "user.one", b"1\0binary")
        await kernel.setxattr(node, "user.two", b"")
        assert await kernel.getxattr(node, "user.one") == b"1\0binary"
        assert await kernel.getxattr(node, "user.one", 0) == (8).to_bytes(4, "little") + bytes(4)
        assert await kernel.listxattr(node) == b"user.one\0user.two\0"
        for number, attempt in (
            (errno.ERANGE, kernel.getxattr(node, "user.one", 3)),
            (errno.EEXIST, kernel.setxattr(node, "user.one", b"", 1)),
            (errno.ENODATA, kernel.setxattr(node, "user.three", b"", 2)),
            (errno.ENODATA, kernel.getxattr(node, "security.capability")),
            (errno.EOPNOTSUPP, kernel.getxattr(node, "system.posix_acl_access")),
            (errno.ENODATA, kernel.removexattr(node, "user.three")),
        ):
            with raises(number):
                await attempt
        await kernel.removexattr(node, "user.one")
        assert await kernel.listxattr(node) == b"user.two\0"

    run(scenario())


def test_statfs_never_has_zero_blocks() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        payload = await kernel.call(17, ROOT)
        blocks, free, available = (int.from_bytes(payload[i : i + 8], "little") for i in (0, 8, 16))
        assert blocks == (1 << 30) // 4096 and free == available == blocks

    run(scenario())


def test_unexpected_errors_answer_eio_and_unknown_operations_enosys() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        fs.faults[("status", "/a")] = errors.Common("odd")
        with raises(errno.EIO):
            await kernel.lookup(ROOT, "a")
        with raises(errno.ENOSYS):
            await kernel.call(4000, ROOT)
        with raises(errno.ENOSYS):
            await kernel.call(34, ROOT, bytes(8))

    run(scenario())


def test_files_of_the_under_storage_have_stable_numbers() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        nodes = kernel.volume.nodes
        status = (await kernel.files.status("/")).__class__(
            id=0, path="/data/x", name="x", is_dir=False, mtime=1, atime=1
        )
        one = nodes.ino(status, "/data/x")
        assert one == nodes.ino(status, "/data/x") != nodes.ino(status, "/data/y")
        assert one >> 62 == 1

    run(scenario())
