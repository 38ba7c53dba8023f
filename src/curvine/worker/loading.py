# SPDX-License-Identifier: Apache-2.0
"""One load: a file of the under storage becomes a cached file, in one block where that is possible.

A block that the master puts on this worker alone is filled directly in the block store: by the
kernel, where the source is a local file, else piece by piece as it is downloaded. Any other block
goes through the client library to the workers that were chosen. The file is an entry of the under
storage (state Ufs) from the first moment to the last call, which makes it a copy; until then
readers use the source, and a load that fails leaves such an entry, or nothing. What a file is
called, owned and allowed stays as it was. Sizes are bytes, times ms.
Source: data-plane specification 5.7, decision 25.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Protocol

from msgspec.structs import replace

from curvine.client.block_writer import BlockWriter
from curvine.client.cluster import ClusterClient
from curvine.client.local_file import Data
from curvine.errors import (
    AlreadyExists,
    Common,
    ConnectionLost,
    CurvineError,
    InvalidArgument,
    NoAvailableWorker,
    NotFound,
    TimedOut,
    UfsFailed,
)
from curvine.model.block import BlockLocation, CommitBlock, FileBlocks, LocatedBlock
from curvine.model.inode import (
    CreateOpts,
    FileStatus,
    MkdirOpts,
    OpenFlag,
    StoragePolicy,
    StorageState,
)
from curvine.model.job import LoadTask
from curvine.model.mount import AccessMode, WriteType, ufs_path_of
from curvine.model.path import join, relative
from curvine.ufs.base import Ufs, UfsReader, UfsStatus, copied
from curvine.worker.blocks import OpenBlock
from curvine.worker.blockstore import BlockStore
from curvine.worker.budget import Budget
from curvine.worker.filling import PIECE, START, Filling

PIECES_AT_ONCE = 4  # of one file
IN_FLIGHT = 256 * 1024 * 1024  # of all files of a worker: what is in memory at a time
FILE_MODE = 0o644  # where the under storage knows no modes
KERNEL_PIECE = 64 * 1024 * 1024  # of a copy inside the kernel; progress is seen this often

_NOTHING_KNOWN = UfsStatus(name="", is_dir=False)


class _Target(Protocol):
    """A block being filled."""

    async def write(self, offset: int, data: Data) -> None: ...

    async def finish(self) -> CommitBlock: ...

    async def abort(self) -> None: ...


class _OwnBlock:
    """A block of this worker's store."""

    def __init__(self, store: BlockStore, worker_id: int, block: OpenBlock) -> None:
        self._store = store
        self._worker_id = worker_id
        self._block = block
        self._length = 0

    async def write(self, offset: int, data: Data) -> None:
        self._length = max(self._length, offset + len(data))
        waiting = self._store.write(self._block, offset, data)
        if waiting is not None:
            await waiting

    async def copy(self, offset: int, source: int, source_offset: int, size: int) -> None:
        """Fill from a local file."""
        self._length = max(self._length, offset + size)
        await self._store.fill(self._block, offset, source, source_offset, size)

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes that have been written."""
        held = self._block.staging
        if held is not None:
            fd = os.dup(held.open())
        else:
            layout = self._store.index.published[self._block.id].dir.layout
            path = layout.active_path(self._block.id)
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await self._store.io.run(os.pread, fd, size, offset)
        finally:
            os.close(fd)

    async def finish(self) -> CommitBlock:
        kind = self._store.index.storage_type(self._block)
        await self._store.complete(self._block.id, self._length, self._length, sync=False)
        location = BlockLocation(self._worker_id, kind)
        return CommitBlock(self._block.id, self._length, (location,))

    async def abort(self) -> None:
        await self._store.delete(self._block.id)


class _ClientBlock:
    """A block on other workers, written by the client library."""

    def __init__(self, writer: BlockWriter) -> None:
        self._writer = writer

    async def write(self, offset: int, data: Data) -> None:
        self._writer.begin(offset, len(data))
        await self._writer.write(offset, data)

    async def finish(self) -> CommitBlock:
        return await self._writer.finish()

    async def abort(self) -> None:
        await self._writer.abort()


class Loader:
    """Runs one task. ``done`` of ``length`` bytes are copied."""

    def __init__(
        self,
        client: ClusterClient,
        store: BlockStore,
        worker_id: int,
        ufs: Ufs,
        task: LoadTask,
        memory: Budget,
    ) -> None:
        """``memory`` is for the pieces that are fetched, shared by the worker's loads."""
        self._client = client
        self._memory = memory
        self._store = store
        self._worker_id = worker_id
        self._ufs = ufs
        self._task = task
        self._targets: list[tuple[int, _Target]] = []  # by the offset of the block in the file
        self._filling = Filling()
        self._version: tuple[int, int, str | None] | None = None
        self._opened = asyncio.Event()
        self.source = task.source_path
        self.done = 0
        self.length = 0

    async def run(self) -> None:
        """Copy the file, unless there is a good copy. Errors: the under storage's, the cluster's,
        UfsFailed if it changed."""
        try:
            await self._run()
        finally:
            self._filling.end()
            self._opened.set()

    async def read(
        self, version: tuple[int, int, str | None], offset: int, size: int, *, wait: bool
    ) -> bytes | None:
        """Bytes of the file as soon as they are there, nothing if they are not and the caller does
        not ``wait``. None if it is not ``version`` (length, mtime, etag) that is being loaded, or
        not into blocks of this worker."""
        await self._opened.wait()
        length = version[0]
        if version != self._version or not 0 <= offset < length:
            return None
        end = min(offset + size, length)
        if not wait and not self._filling.has(offset, end):
            return b""
        if not await self._filling.until(offset, end):
            return None
        parts = []
        for index, (start, target) in enumerate(self._targets):
            stop = self._targets[index + 1][0] if index + 1 < len(self._targets) else length
            if start < end and offset < stop:
                if not isinstance(target, _OwnBlock):
                    return None
                first = max(start, offset)
                parts.append(await target.read(first - start, min(end, stop) - first))
        data = b"".join(parts)
        return data if len(data) == end - offset else None

    async def _run(self) -> None:
        task = self._task
        async with self._memory.of(START):
            source = await self._ufs.open_read(task.source_path, ahead=START)
        try:
            self.length = source.length
            self._version = (source.length, source.mtime, source.etag)
            self._opened.set()
            entry = await self._entry(source)
            if entry is None:
                self.done = source.length
                return
            status = entry.status
            try:
                commits = await self._copy(source, entry)
                await self._check_unchanged(source)
                await self._client.ns.complete_file(
                    task.target_path,
                    inode_id=status.id,
                    length=source.length,
                    commits=commits[-1:],
                    only_flush=False,
                    set_attr=copied(source),
                )
            except BaseException:
                await asyncio.shield(self._remove(status))
                raise
        finally:
            await source.close()

    async def _entry(self, source: UfsReader) -> FileBlocks | None:
        """The entry to fill; None where the data are here already, or are newer here."""
        path = self._task.target_path
        try:
            return await self._create(source)
        except AlreadyExists:
            pass
        try:
            known = await self._client.ns.status(path)
        except NotFound:  # deleted meanwhile
            return await self._create(source)
        policy = known.storage_policy
        if known.is_dir:
            raise InvalidArgument(f"{path} is a directory, {self._task.source_path} is a file")
        if self._fs_mode and policy.state is StorageState.CV:
            return None  # changed here and not exported yet
        same = (known.len, policy.ufs_mtime) == (source.length, source.mtime)
        if same and policy.state is StorageState.BOTH:
            return None
        if same and policy.state is StorageState.UFS:
            return FileBlocks(known)  # blocks of an unfinished load are gone on with
        await self._client.ns.delete(path, False)
        return await self._create(source, known)

    @property
    def _fs_mode(self) -> bool:
        return self._task.job.mount.write_type is WriteType.FS_MODE

    async def _create(self, source: UfsReader, before: FileStatus | None = None) -> FileBlocks:
        job, target = self._task.job, self._task.target_path
        dressed = self._ufs.capabilities.attributes  # else its files have no owners and modes
        about = await self._ufs.stat(self._task.source_path) if dressed else _NOTHING_KNOWN
        opts = CreateOpts(
            client_name=self._client.client_name,
            create_parent=not dressed,
            replicas=job.replicas,
            block_size=job.block_size,
            storage_policy=StoragePolicy(
                storage_type=job.storage_type,
                ttl_ms=job.ttl_ms,
                ttl_action=job.ttl_action,
                ufs_mtime=source.mtime,
            ),
            mode=before.mode if before is not None else about.mode or FILE_MODE,
            owner=before.owner if before is not None else about.owner,
            group=before.group if before is not None else about.group,
            sync_ufs_meta=True,
            ufs_len=source.length,
        )
        flags = OpenFlag.WRONLY | OpenFlag.CREAT | OpenFlag.EXCL
        first = source.length > 0
        try:
            return await self._client.ns.create_file(target, opts, flags, first_block=first)
        except Common:  # most likely a parent is missing; if not, the second try says what it is
            if not dressed:
                raise
            await self._make_parents(target)
            opts = replace(opts, create_parent=True)
            return await self._client.ns.create_file(target, opts, flags, first_block=first)

    async def _make_parents(self, target: str) -> None:
        """Make the directories above ``target`` as they are in the source, mode and owner too."""
        mount = self._task.job.mount
        path = mount.cv_path
        for name in relative(target, mount.cv_path).split("/")[:-1]:
            path = join(path, name)
            about = await self._ufs.stat(ufs_path_of(mount, path))
            opts = MkdirOpts(
                create_parent=True, mode=about.mode, owner=about.owner, group=about.group
            )
            await self._client.ns.mkdir(path, opts)

    async def _copy(self, source: UfsReader, entry: FileBlocks) -> list[CommitBlock]:
        """Fill block after block; what was committed for each."""
        status = entry.status
        commits: list[CommitBlock] = []
        last = None
        while self.done < source.length:
            if entry.blocks and last is None:
                located = entry.blocks[0]
            else:
                located = await self._client.ns.add_block(
                    self._task.target_path,
                    inode_id=status.id,
                    commits=commits[-1:],
                    file_len=self.done,
                    last_block=last,
                )
            size = min(status.block_size, source.length - self.done)
            target = await self._open_somewhere(located, status.block_size)
            self._targets.append((self.done, target))
            await self._fill(target, source, self.done, size)
            commits.append(await target.finish())
            last = located.block
        return commits

    async def _open_somewhere(self, located: LocatedBlock, capacity: int) -> _Target:
        """Open a block where the master put it; elsewhere if that is out of reach by now (it may
        have been put there for a load that was not finished)."""
        try:
            return await self._open(located, capacity)
        except (ConnectionLost, NoAvailableWorker, TimedOut):
            failed = [worker.worker_id for worker in located.locs]
            again = await self._client.ns.assign_worker(
                self._task.target_path, located.block, exclude=failed
            )
            return await self._open(again, capacity)

    async def _open(self, located: LocatedBlock, capacity: int) -> _Target:
        block = located.block
        if [worker.worker_id for worker in located.locs] == [self._worker_id]:
            opened = await self._store.begin(block.id, block.storage_type, capacity, None)
            return _OwnBlock(self._store, self._worker_id, opened)
        writer = await BlockWriter.open(self._client.streams, located, offset=0, capacity=capacity)
        return _ClientBlock(writer)

    async def _fill(self, target: _Target, source: UfsReader, start: int, size: int) -> None:
        fd = source.local_fd()
        if fd is not None and isinstance(target, _OwnBlock):
            for offset in range(0, size, KERNEL_PIECE):
                piece = min(KERNEL_PIECE, size - offset)
                await target.copy(offset, fd, start + offset, piece)
                self.done += piece
            return
        pieces = self._filling.pieces(start, size)
        runners = min(PIECES_AT_ONCE, -(-size // PIECE))
        if runners == 1:  # most files are small
            await self._fetch(target, source, start, pieces)
            return
        fetching = [
            asyncio.ensure_future(self._fetch(target, source, start, pieces))
            for _ in range(runners)
        ]
        try:
            await asyncio.gather(*fetching)
        finally:
            for fetch in fetching:
                fetch.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)

    async def _fetch(
        self,
        target: _Target,
        source: UfsReader,
        start: int,
        pieces: Iterator[tuple[int, int]],
    ) -> None:
        """Take pieces from the common iterator until there are none."""
        for offset, size in pieces:
            async with self._memory.of(size):
                data = await source.read_at(offset, size)
                if len(data) != size:
                    raise UfsFailed(f"{self._task.source_path} became shorter during its load")
                await target.write(offset - start, data)
                del data
            self._filling.add(offset, offset + size)
            self.done += size

    async def _check_unchanged(self, source: UfsReader) -> None:
        mount = self._task.job.mount
        if source.etag is not None and mount.access_mode is AccessMode.READ_ONLY:
            return  # every read was of that version, or has failed
        # Whoever writes through the mount drops the copy afterwards: what he has written is seen
        # here, or the entry is gone before it becomes a copy, or the copy is dropped.
        now = await self._ufs.stat(self._task.source_path)
        if not now.same_content(source):
            raise UfsFailed(f"{self._task.source_path} changed during its load")

    async def _remove(self, status: FileStatus) -> None:
        """Take back what this load made, unless somebody else has the path by now."""
        for _, target in self._targets:
            try:
                await target.abort()
            except CurvineError:
                pass  # the master finds the leftover with the worker's next full report
        if self._fs_mode:
            return  # the entry stands for the file; its blocks are made anew by the next load
        try:
            known = await self._client.ns.status(self._task.target_path)
            if known.id == status.id and known.storage_policy.state is StorageState.UFS:
                await self._client.ns.delete(self._task.target_path, False)
        except CurvineError:
            pass  # an entry of state Ufs is no copy: nobody reads it
