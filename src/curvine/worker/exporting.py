# SPDX-License-Identifier: Apache-2.0
"""One export: a file of an fs_mode mount is written to the under storage as a whole or not at all.

Object stores show an object when it is complete. Elsewhere the bytes go to a file beside it, which
takes the name at the end: a reader never sees half of one. Then the file's entry gets the time of
what was written (state Both), provided that nobody has changed the file meanwhile. Sizes are
bytes, times ms. Source: data-plane specification 5.4, 5.7.
"""

from __future__ import annotations

import asyncio
import hashlib

from curvine.client.cluster import ClusterClient
from curvine.client.files import ReadableFile
from curvine.errors import Common, CurvineError, InvalidArgument, NotFound, UfsFailed
from curvine.model.inode import FileStatus, FileType, SetAttr, StorageState
from curvine.model.job import LoadTask
from curvine.ufs.base import Ufs, UfsStatus, UfsWriter, copied
from curvine.ufs.partial import PARTIAL_PREFIX
from curvine.worker.iopool import IoPool
from curvine.worker.staging import copy_range

PIECE = 8 * 1024 * 1024  # of an upload
KERNEL_PIECE = 64 * 1024 * 1024  # of a copy inside the kernel; progress is seen this often


class Exporter:
    """Runs one task. ``done`` of ``length`` bytes are copied."""

    def __init__(self, client: ClusterClient, io: IoPool, ufs: Ufs, task: LoadTask) -> None:
        self._client = client
        self._io = io
        self._ufs = ufs
        self._task = task
        self.done = 0
        self.length = 0

    async def run(self) -> None:
        """Copy the file. Errors: the cluster's, the under storage's."""
        path, uri = self._task.source_path, self._task.target_path
        file = await self._client.ns.block_locations(path)
        status = file.status
        if status.file_type is not FileType.FILE:
            raise InvalidArgument(f"{path} is not a file")
        if status.storage_policy.state is StorageState.UFS:
            return  # its data are there already, and only there
        self.length = status.len
        reader = self._client.reader(file, patient=True)
        try:
            found = await self._written(uri, status, reader)
        finally:
            await reader.close()
        if found.len != status.len:
            raise UfsFailed(f"{uri} has {found.len} bytes after its export, not {status.len}")
        await self._note(path, status, found)

    async def _note(self, path: str, status: FileStatus, found: UfsStatus) -> None:
        """The copy counts, unless the file has changed: then another export follows."""
        now = await self._client.ns.status(path)
        if (now.id, now.ctime, now.mtime, now.len) != (
            status.id, status.ctime, status.mtime, status.len
        ):  # fmt: skip
            return
        try:
            await self._client.ns.set_attr(
                path,
                copied(found),
                unchanged_since=status.ctime or status.mtime,
            )
        except NotFound:
            pass  # deleted meanwhile; its deletion is exported next
        except Common:
            pass  # opened or changed between the two calls

    async def _written(self, uri: str, status: FileStatus, reader: ReadableFile) -> UfsStatus:
        if not self._ufs.capabilities.local_files:
            await self._write(await self._target(uri, status), reader)
            return await self._ufs.stat(uri)
        aside = _beside(uri)
        await self._write(await self._target(aside, status), reader)
        try:
            if self._ufs.capabilities.attributes:
                await self._dress(aside, status)
            await self._ufs.rename(aside, uri)
        except BaseException:
            await asyncio.shield(self._give_up(aside))
            raise
        return await self._ufs.stat(uri)

    async def _target(self, uri: str, status: FileStatus) -> UfsWriter:
        mode = status.mode & 0o7777 or 0o644
        try:
            return await self._ufs.open_write(uri, mode=mode, size_hint=status.len)
        except NotFound:
            await self._ufs.mkdir(uri.rpartition("/")[0], parents=True)
            return await self._ufs.open_write(uri, mode=mode, size_hint=status.len)

    async def _write(self, writer: UfsWriter, reader: ReadableFile) -> None:
        try:
            await self._copy(writer, reader)
            await writer.close()
        except BaseException:
            await asyncio.shield(writer.abort())
            raise

    async def _copy(self, writer: UfsWriter, reader: ReadableFile) -> None:
        source, target = await reader.local_fd(), writer.local_fd()
        if source is not None and target is not None:
            while self.done < self.length:
                piece = min(KERNEL_PIECE, self.length - self.done)
                copied = await self._io.run(copy_range, source, self.done, target, self.done, piece)
                if copied != piece:
                    raise UfsFailed(f"{self._task.source_path}: its data end at {self.done}")
                self.done += piece
            return
        while self.done < self.length:
            data = await reader.read(self.done, min(PIECE, self.length - self.done))
            if not data:
                raise UfsFailed(f"{self._task.source_path}: its data end at {self.done}")
            await writer.write_at(self.done, data)
            self.done += len(data)

    async def _dress(self, uri: str, status: FileStatus) -> None:
        """Give the file its times and owner, as far as this node may."""
        await self._ufs.set_attr(uri, SetAttr(mtime=status.mtime))
        if status.owner or status.group:
            try:
                await self._ufs.set_attr(
                    uri, SetAttr(owner=status.owner or None, group=status.group or None)
                )
            except CurvineError:
                pass  # names that are unknown here, or no right to give files away

    async def _give_up(self, uri: str) -> None:
        try:
            await self._ufs.delete(uri)
        except CurvineError:
            pass


def _beside(uri: str) -> str:
    """The name that a file has until it is complete: the same for every attempt."""
    parent, _, name = uri.rpartition("/")
    digest = hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return f"{parent}/{PARTIAL_PREFIX}{digest.hexdigest()}"
