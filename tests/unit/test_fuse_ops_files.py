# SPDX-License-Identifier: Apache-2.0
"""FUSE operations on open files: reading, writing, sizes and times, files that lose their name."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from curvine import errors
from curvine.clock import ManualClock
from curvine.fuse.abi import constants as c
from curvine.fuse.settings import Settings
from curvine.testing.fuse_kernel import Handle, Kernel, PassthroughLog, orphans_of, run
from curvine.testing.memory_fs import MemoryFileSystem

ROOT = c.ROOT_ID


def test_written_bytes_are_read_back_before_and_after_close() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        entry, handle = await kernel.create(ROOT, "a", 0o640)
        assert await kernel.write(handle, 0, b"hello") == 5
        assert await kernel.write(handle, 10, b"world") == 5
        assert await kernel.read(handle, 0, 4096) == b"hello" + bytes(5) + b"world"
        attr = await kernel.getattr(entry.nodeid)
        assert (attr.size, stat.S_IMODE(attr.mode)) == (15, 0o640)
        await kernel.close_handle(handle)
        assert await kernel.read_file(entry.nodeid) == b"hello" + bytes(5) + b"world"
        assert (await fs.status("/a")).is_complete

    run(scenario())


def test_fsync_makes_bytes_visible_to_other_clients() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        _, handle = await kernel.create(ROOT, "a")
        await kernel.write(handle, 0, b"x" * 100)
        assert (await fs.status("/a")).len == 0
        await kernel.fsync(handle)
        assert (await fs.status("/a")).len == 100

    run(scenario())


def test_append_writes_at_the_end_whatever_the_kernel_believes() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        entry = await kernel.write_file(ROOT, "log", b"one\n")
        other = await fs.open_write("/log")
        await other.write(4, b"two\n")
        await other.close()
        handle = await kernel.open(entry.nodeid, os.O_WRONLY | os.O_APPEND)
        await kernel.write(handle, 4, b"three\n")
        await kernel.close_handle(handle)
        assert await kernel.read_file(entry.nodeid) == b"one\ntwo\nthree\n"

    run(scenario())


def test_truncate_with_and_without_an_open_handle() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        entry = await kernel.write_file(ROOT, "a", b"0123456789")
        attr = await kernel.setattr(entry.nodeid, c.FATTR_SIZE, size=4)
        assert attr.size == 4
        handle = await kernel.open(entry.nodeid, os.O_RDWR)
        await kernel.setattr(entry.nodeid, c.FATTR_SIZE | c.FATTR_FH, size=0)
        await kernel.write(handle, 2, b"z")
        assert await kernel.read(handle, 0, 10) == b"\0\0z"
        await kernel.close_handle(handle)
        attr = await kernel.setattr(entry.nodeid, c.FATTR_SIZE, size=5)
        assert attr.size == 5
        assert await kernel.read_file(entry.nodeid) == b"\0\0z\0\0"

    run(scenario())


def test_times_set_on_an_open_file_survive_its_close() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        fs = MemoryFileSystem(clock)
        kernel = Kernel(fs, clock=clock)
        entry, handle = await kernel.create(ROOT, "a")
        await kernel.write(handle, 0, b"data")
        clock.advance(5)
        attr = await kernel.setattr(
            entry.nodeid, c.FATTR_MTIME | c.FATTR_ATIME, mtime=1000, mtimensec=7_000_000, atime=2000
        )
        assert (attr.mtime, attr.mtimensec, attr.atime) == (1000, 7_000_000, 2000)
        clock.advance(5)
        await kernel.close_handle(handle)
        assert (await fs.status("/a")).mtime == 1_000_007
        attr = await kernel.setattr(entry.nodeid, c.FATTR_MTIME, mtime=(1 << 64) - 3)
        assert attr.mtime == (1 << 64) - 3, "before 1970"

    run(scenario())


def test_mtime_is_that_of_the_last_write() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        fs = MemoryFileSystem(clock)
        kernel = Kernel(fs, clock=clock)
        entry, handle = await kernel.create(ROOT, "a")
        clock.advance(1)
        await kernel.write(handle, 0, b"data")
        written = clock.now_ms()
        clock.advance(60)
        assert (await kernel.getattr(entry.nodeid)).mtime == written // 1000
        await kernel.close_handle(handle)
        assert (await fs.status("/a")).mtime == written

    run(scenario())


def test_an_unlinked_open_file_keeps_working_and_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        entry, handle = await kernel.create(ROOT, "a")
        await kernel.write(handle, 0, b"before")
        await kernel.unlink(ROOT, "a")
        with pytest.raises(FileNotFoundError):
            await kernel.lookup(ROOT, "a")
        assert await kernel.names(ROOT) == []
        assert (await kernel.getattr(entry.nodeid)).nlink == 0
        await kernel.write(handle, 6, b" after")
        assert await kernel.read(handle, 0, 100) == b"before after"
        assert len(orphans_of(fs)) == 1
        await kernel.close_handle(handle)
        assert orphans_of(fs) == []

    run(scenario())


def test_a_file_renamed_over_keeps_its_bytes_for_whoever_has_it_open() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        old = await kernel.write_file(ROOT, "a", b"old")
        new = await kernel.write_file(ROOT, "b", b"new!")
        reader = await kernel.open(old.nodeid)
        await kernel.rename(ROOT, "b", ROOT, "a")
        assert await kernel.read(reader, 0, 100) == b"old"
        found = await kernel.lookup(ROOT, "a")
        assert found.nodeid == new.nodeid
        assert await kernel.read_file(found.nodeid) == b"new!"
        assert await kernel.names(ROOT) == ["a"]
        assert (await kernel.getattr(old.nodeid)).nlink == 0
        await kernel.close_handle(reader)
        assert orphans_of(fs) == []

    run(scenario())


def test_a_second_link_keeps_an_unlinked_open_file_where_it_is() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        entry = await kernel.write_file(ROOT, "a", b"data")
        linked = await kernel.link(entry.nodeid, ROOT, "b")
        assert (linked.nodeid, linked.attr.nlink) == (entry.nodeid, 2)
        handle = await kernel.open(entry.nodeid)
        await kernel.unlink(ROOT, "a")
        assert orphans_of(fs) == []
        assert (await kernel.getattr(entry.nodeid)).nlink == 1
        assert await kernel.read(handle, 0, 9) == b"data"

    run(scenario())


def test_a_restarted_server_serves_old_nodes_and_handles() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        directory = await kernel.mkdir(ROOT, "d")
        entry, handle = await kernel.create(directory.nodeid, "a")
        await kernel.write(handle, 0, b"0123456789")
        await kernel.fsync(handle)
        listing = await kernel.opendir(directory.nodeid)
        await kernel.unlink(directory.nodeid, "a")
        await kernel.restart()
        assert await kernel.read(handle, 2, 3) == b"234"
        assert await kernel.readdir(listing, 2) == []
        assert (await kernel.getattr(entry.nodeid)).nlink == 0
        await kernel.write(handle, 10, b"x")
        await kernel.close_handle(handle)
        assert orphans_of(fs) == []

    run(scenario())


def test_a_resent_change_carries_the_request_id_of_its_first_time() -> None:
    kernel = Kernel(MemoryFileSystem())
    first = kernel.message(1, ROOT, b"a\0", unique=42)
    again = kernel.message(1, ROOT, b"a\0", unique=42 | c.UNIQUE_RESEND)
    assert kernel.volume.request_id(first) == kernel.volume.request_id(again) < 0
    assert kernel.volume.request_id(first, 1) != kernel.volume.request_id(first)
    assert Kernel(MemoryFileSystem()).volume.request_id(first) != kernel.volume.request_id(first)


def test_passthrough_holds_one_backing_id_until_the_last_close() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        fs = MemoryFileSystem(clock, local_files=True)
        log = PassthroughLog()
        kernel = Kernel(fs, clock=clock, passthrough=log)
        entry = await kernel.write_file(ROOT, "a", b"data")
        fresh = await kernel.open(entry.nodeid)
        assert not fresh.open_flags & c.FOPEN_PASSTHROUGH, "still being changed"
        await kernel.close_handle(fresh)
        clock.advance(60)
        first = await kernel.open(entry.nodeid)
        second = await kernel.open(entry.nodeid)
        for handle in (first, second):
            assert handle.open_flags & (c.FOPEN_PASSTHROUGH | c.FOPEN_DIRECT_IO) == (
                c.FOPEN_PASSTHROUGH
            )
        assert len(log.opened) == 1
        writer = await kernel.open(entry.nodeid, os.O_WRONLY)
        both = c.FOPEN_PASSTHROUGH | c.FOPEN_DIRECT_IO
        assert writer.open_flags & both == both
        await kernel.write(writer, 0, b"DATA")
        await kernel.close_handle(writer)
        later = await kernel.open(entry.nodeid)
        assert later.open_flags & both == both, "the backing file is old"
        assert await kernel.read(later, 0, 10) == b"DATA"
        for handle in (first, second):
            await kernel.close_handle(handle)
        assert log.closed == []
        await kernel.close_handle(later)
        assert log.closed == [1]

    run(scenario())


def test_pages_are_kept_only_while_the_file_is_the_same() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        fs = MemoryFileSystem(clock)
        kernel = Kernel(fs, clock=clock)
        await (await fs.create("/a")).close()
        entry = await kernel.lookup(ROOT, "a")
        first = await kernel.open(entry.nodeid)
        assert first.open_flags & c.FOPEN_KEEP_CACHE
        await kernel.close_handle(first)
        other = await fs.open_write("/a")
        await other.write(0, b"changed")
        clock.advance(1)
        await other.close()
        second = await kernel.open(entry.nodeid)
        assert not second.open_flags & c.FOPEN_KEEP_CACHE
        assert kernel.changed == [entry.nodeid], "the kernel is told before the open is answered"
        assert await kernel.read(second, 0, 100) == b"changed"

    run(scenario())


def test_growth_by_another_client_is_read_once_the_kernel_knows_it() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        fs = MemoryFileSystem(clock)
        kernel = Kernel(fs, clock=clock)
        entry = await kernel.write_file(ROOT, "log", b"one\n")
        handle = await kernel.open(entry.nodeid)
        assert await kernel.read(handle, 0, 100) == b"one\n"
        clock.advance(1)
        other = await fs.open_write("/log")
        await other.write(4, b"two\n")
        await other.close()
        assert (await kernel.getattr(entry.nodeid)).size == 8
        assert await kernel.read(handle, 0, 100) == b"one\ntwo\n"

    run(scenario())


def test_setuid_and_setgid_go_away_with_a_foreign_write_and_a_new_owner() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        entry, handle = await kernel.create(ROOT, "a", 0o6755)
        await kernel.write(handle, 0, b"x")
        assert stat.S_IMODE((await kernel.getattr(entry.nodeid)).mode) == 0o6755
        await kernel.write(handle, 1, b"x", c.WRITE_KILL_SUIDGID)
        assert stat.S_IMODE((await kernel.getattr(entry.nodeid)).mode) == 0o755
        await kernel.setattr(entry.nodeid, c.FATTR_MODE, mode=0o6644)
        attr = await kernel.setattr(entry.nodeid, c.FATTR_UID, uid=4711)
        assert (stat.S_IMODE(attr.mode), attr.uid) == (0o2644, 4711)

    run(scenario())


def test_fallocate_and_seeking_holes() -> None:
    async def scenario() -> None:
        kernel = Kernel(MemoryFileSystem())
        entry, handle = await kernel.create(ROOT, "a")
        await kernel.fallocate(handle, 0, 1000)
        assert (await kernel.getattr(entry.nodeid)).size == 1000
        await kernel.fallocate(handle, 0, 5000, 1)
        assert (await kernel.getattr(entry.nodeid)).size == 1000
        await kernel.fallocate(handle, 10, 20, 3)  # PUNCH_HOLE | KEEP_SIZE
        assert await kernel.lseek(handle, 10, os.SEEK_DATA) == 10
        assert await kernel.lseek(handle, 10, os.SEEK_HOLE) == 1000
        with pytest.raises(OSError) as caught:
            await kernel.lseek(handle, 1000, os.SEEK_DATA)
        assert caught.value.errno == errno.ENXIO
        with pytest.raises(OSError) as caught:
            await kernel.fallocate(handle, 0, 10, 8)  # COLLAPSE_RANGE
        assert caught.value.errno == errno.EOPNOTSUPP

    run(scenario())


def test_errors_reach_the_caller_as_errno() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        kernel = Kernel(fs)
        _, handle = await kernel.create(ROOT, "a")
        fs.faults[("write", "/a")] = errors.DiskOutOfSpace("full")
        with pytest.raises(OSError) as caught:
            await kernel.write(handle, 0, b"x")
        assert caught.value.errno == errno.ENOSPC
        await kernel.write(handle, 0, b"x")
        fs.faults[("flush", "/a")] = errors.NoAvailableWorker("none")
        with pytest.raises(OSError) as caught:
            await kernel.flush(handle)
        assert caught.value.errno == errno.EIO
        fs.read_only_prefixes.append("/a")
        with pytest.raises(OSError) as caught:
            await kernel.open(handle.nodeid, os.O_WRONLY)
        assert caught.value.errno == errno.EROFS

    run(scenario())


def test_a_read_only_mount_refuses_every_change() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        await (await fs.create("/a")).close()
        kernel = Kernel(fs, settings=Settings(read_only=True))
        entry = await kernel.lookup(ROOT, "a")
        attempts = [
            kernel.create(ROOT, "b"),
            kernel.mkdir(ROOT, "b"),
            kernel.unlink(ROOT, "a"),
            kernel.rename(ROOT, "a", ROOT, "b"),
            kernel.symlink(ROOT, "b", "a"),
            kernel.setattr(entry.nodeid, c.FATTR_MODE, mode=0),
            kernel.open(entry.nodeid, os.O_WRONLY),
        ]
        for attempt in attempts:
            with pytest.raises(OSError) as caught:
                await attempt
            assert caught.value.errno == errno.EROFS
        assert await kernel.read_file(entry.nodeid) == b""

    run(scenario())


def test_a_no_open_mount_reads_without_handles() -> None:
    async def scenario() -> None:
        fs = MemoryFileSystem()
        writer = await fs.create("/a")
        await writer.write(0, b"data")
        await writer.close()
        kernel = Kernel(fs, settings=Settings(read_only=True, read_path="no_open"))
        entry = await kernel.lookup(ROOT, "a")
        with pytest.raises(OSError) as caught:
            await kernel.open(entry.nodeid)
        assert caught.value.errno == errno.ENOSYS
        nobody = Handle(entry.nodeid, 0, 0, os.O_RDONLY)
        assert await kernel.read(nobody, 0, 100) == b"data"
        other = await fs.open_write("/a")
        await other.write(4, b" and more")
        await other.close()
        await kernel.getattr(entry.nodeid)
        assert await kernel.read(nobody, 0, 100) == b"data and more"

    run(scenario())
