# SPDX-License-Identifier: Apache-2.0
"""Removals and renames that a dead server had begun, sent again after the file was closed."""

from __future__ import annotations

import pytest

from curvine.fuse.abi import constants as c
from curvine.fuse.abi.opcodes import Opcode
from curvine.model.inode import FreeResult, RenameFlag
from curvine.testing.fuse_kernel import Kernel, orphans_of, run
from curvine.testing.memory_fs import MemoryFileSystem

ROOT = c.ROOT_ID


class Remembering(MemoryFileSystem):
    """Like a master: a change under an id that was used is not made again."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: set[int] = set()

    def _is_new(self, req_id: int | None) -> bool:
        new = req_id is None or req_id not in self._ids
        if req_id is not None:
            self._ids.add(req_id)
        return new

    async def delete(
        self, path: str, recursive: bool = False, *, req_id: int | None = None
    ) -> FreeResult:
        return await super().delete(path, recursive) if self._is_new(req_id) else FreeResult()

    async def rename(
        self, src: str, dst: str, flags: int = 0, *, req_id: int | None = None
    ) -> bool:
        return await super().rename(src, dst, flags) if self._is_new(req_id) else True


@pytest.mark.parametrize("others", [0, 1])
def test_an_unlink_whose_file_was_put_aside(others: int) -> None:
    async def scenario() -> None:
        fs = Remembering()
        kernel = Kernel(fs)
        entry = await kernel.write_file(ROOT, "a", b"data")
        if others:
            await fs.link("/a", "/b")  # by another client: a name that this mount does not know
        handle = await kernel.open(entry.nodeid)
        first = kernel.message(Opcode.UNLINK, ROOT, b"a\0", unique=998)
        orphans, req_id = kernel.volume.env.orphans, kernel.volume.request_id(first)
        await orphans.take_in("/a", entry.nodeid, req_id)
        await kernel.restart()  # so far it came
        await kernel.close_handle(handle)
        again = kernel.message(Opcode.UNLINK, ROOT, b"a\0", unique=998 | c.UNIQUE_RESEND)
        await kernel.send(again)
        assert orphans_of(fs) == [] and not await fs.exists("/a")
        if others:
            assert (await fs.status("/b")).nlink == 1

    run(scenario())


@pytest.mark.parametrize("put_aside", [False, True])
def test_a_rename_over_an_open_file(put_aside: bool) -> None:
    async def scenario() -> None:
        fs = Remembering()
        kernel = Kernel(fs)
        old = await kernel.write_file(ROOT, "a", b"old")
        await kernel.write_file(ROOT, "a.new", b"new")
        handle = await kernel.open(old.nodeid)
        body = ROOT.to_bytes(8, "little") + b"a.new\0a\0"
        first = kernel.message(Opcode.RENAME, ROOT, body, unique=998)
        volume = kernel.volume
        await fs.rename("/a.new", "/a", RenameFlag.EXCHANGE, req_id=volume.request_id(first))
        if put_aside:
            await volume.env.orphans.take_in("/a.new", old.nodeid, volume.request_id(first, 1))
        await kernel.restart()
        await kernel.close_handle(handle)
        await kernel.send(kernel.message(Opcode.RENAME, ROOT, body, unique=998 | c.UNIQUE_RESEND))
        assert orphans_of(fs) == [] and not await fs.exists("/a.new")
        found = await kernel.lookup(ROOT, "a")
        assert await kernel.read_file(found.nodeid) == b"new"

    run(scenario())


def test_a_name_that_is_looked_up_while_the_removed_one_is_open() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        entry = await kernel.write_file(ROOT, "a", b"data")
        await fs.link("/a", "/b")
        handle = await kernel.open(entry.nodeid)
        await kernel.unlink(ROOT, "a")
        found = await kernel.lookup(ROOT, "b")
        assert found.nodeid == entry.nodeid and found.attr.nlink == 1
        linked = await kernel.link(found.nodeid, ROOT, "c")
        assert linked.attr.nlink == 2
        await kernel.close_handle(handle)
        assert (await kernel.getattr(found.nodeid)).nlink == 2

    run(scenario())
