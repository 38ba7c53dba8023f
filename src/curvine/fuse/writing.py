# SPDX-License-Identifier: Apache-2.0
"""The writing side of an open inode: the one writer that all its handles share.

Every method but ``override`` and ``adopt`` is called by whoever holds the inode's lock; the lock is
fair, so writes happen in the order in which they came. The writer is opened by the first change and
goes by path: when the file has another path it is completed, and the next change opens a new one.

In the node table, FLAG_DIRTY says that a writer is open, the cookie is the length up to which there
are bytes that nobody else sees yet (0: none). A server that takes over starts from these two.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from curvine.errors import CurvineError, NotFound
from curvine.fuse.attrs import Override
from curvine.fuse.contract import Data, Recoverable, Writer
from curvine.fuse.noderecords import FLAG_DIRTY
from curvine.fuse.refusals import Refused, Stale
from curvine.fuse.surroundings import Surroundings
from curvine.model.inode import MAX_FILE_SIZE, FileStatus, SetAttr

_log = logging.getLogger(__name__)
_ZEROS = memoryview(bytes(1 << 20))


class WriteSide:
    """See the module. ``changed`` is called when readers have to look again."""

    def __init__(self, env: Surroundings, nodeid: int, changed: Callable[[], None]) -> None:
        self._env = env
        self._nodes = env.nodes
        self._nodeid = nodeid
        self._changed = changed
        self.writer: Writer | None = None
        self.wrote_ms = 0  # time of the last change through the writer, 0 = none
        self.told = False  # the kernel got attributes since then
        self._path = ""
        self._times: SetAttr | None = None  # set by the user after the last write
        self._lost: CurvineError | None = None  # why answered writes did not survive a crash
        self._set_ids_cleared = False

    def override(self) -> Override | None:
        """Size and mtime that the master does not know yet."""
        if self.writer is None:
            return None
        return Override(self.writer.length, self.wrote_ms)

    def adopt(self, writer: Writer) -> None:
        """Take the writer of a file that was just created."""
        if self.writer is not None:  # a handle opened the same file a moment ago
            self._env.errands.run(writer.close())
            return
        self.writer = writer
        self.told = True
        self._path = self._nodes.path(self._nodeid)
        self._nodes.table.change_flags(self._nodeid, add=FLAG_DIRTY)

    # -- changes

    async def write(self, offset: int, data: Data, *, append: bool, req_id: int) -> None:
        """Return when the bytes are outside this process."""
        if append:
            await self._catch_up()
        writer = await self._ensure(req_id)
        if append:
            offset = writer.length
        if offset + len(data) > MAX_FILE_SIZE:
            raise Refused(errno.EFBIG)
        await writer.write(offset, data)
        self._wrote(writer)

    async def _catch_up(self) -> None:
        """Before an append: where another mount has made the file longer, begin behind that."""
        writer = self.writer
        if writer is None or writer.dirty:
            return
        status = await self._nodes.at(self._nodeid, self._env.files.status)
        if status.len != writer.length and self._nodes.is_same(self._nodeid, status):
            await self.complete()

    async def truncate(self, length: int, *, req_id: int) -> None:
        """Set the length."""
        writer = await self._ensure(req_id, truncate=length == 0)
        if writer.length != length:
            await writer.truncate(length)
        self._wrote(writer)

    async def allocate(self, length: int, *, req_id: int) -> None:
        """Make the file at least ``length`` bytes long."""
        writer = await self._ensure(req_id)
        if writer.length < length:
            await writer.truncate(length)
            self._wrote(writer)

    async def zero(self, start: int, end: int, *, req_id: int) -> None:
        """Write zeros over the part of [start, end) that the file has."""
        writer = await self._ensure(req_id)
        end = min(end, writer.length)
        while start < end:
            piece = min(end - start, len(_ZEROS))
            await writer.write(start, _ZEROS[:piece])
            start += piece
        self._wrote(writer)

    def _wrote(self, writer: Writer) -> None:
        self.wrote_ms = self._env.clock.now_ms()
        self.told = False
        self._times = None
        self._nodes.table.set_cookie(self._nodeid, writer.length)
        self._changed()

    async def _ensure(self, req_id: int, *, truncate: bool = False) -> Writer:
        if self.writer is not None and self._path != self._nodes.path(self._nodeid):
            await self.complete()  # a directory above was renamed
        if self.writer is not None:
            return self.writer
        files = self._env.files

        async def open_at(path: str) -> Writer:
            self._path = path
            if truncate:  # by path: not before it is sure that it is this file's
                self._same(await files.status(path))
                return await files.create(path, truncate=True, req_id=req_id)
            return await files.open_write(path, req_id=req_id)

        writer = await self._nodes.at(self._nodeid, open_at)
        try:
            self._same(writer.status)
        except Stale:
            await writer.abort()
            raise
        self.writer = writer
        self.wrote_ms = 0
        self._nodes.table.change_flags(self._nodeid, add=FLAG_DIRTY)
        return writer

    def _same(self, status: FileStatus) -> None:
        if not self._nodes.is_same(self._nodeid, status):
            raise Stale(f"another file took the place of node {self._nodeid}")

    # -- publishing

    async def flush(self, *, sync: bool, complete: bool) -> None:
        """Publish what was written; ``complete``: and end writing, if anything was written.

        What another client removed meanwhile has nobody to be published to: that is no error.
        """
        try:
            await self._flush(sync=sync, complete=complete)
        except CurvineError as error:
            if not await self._was_removed(error):
                raise

    async def _was_removed(self, error: CurvineError) -> bool:
        if self.writer is None or error.retryable:
            return False
        try:
            status = await self._env.files.status(self._path)
        except NotFound:
            gone = True
        except CurvineError:
            gone = False
        else:
            gone = not self._nodes.is_same(self._nodeid, status)
        if gone:
            _log.info("%s was removed by another client while it was written here", self._path)
            self._nodes.mark_removed(self._nodeid)
        return gone

    async def _flush(self, *, sync: bool, complete: bool) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost
        writer = self.writer
        if writer is None or self._nodes.is_removed(self._nodeid):
            return
        if complete and writer.dirty:
            await self.complete()
        elif sync or writer.dirty:
            await writer.flush(sync)
            self._nodes.table.set_cookie(self._nodeid, 0)

    def keep_times(self, opts: SetAttr) -> None:
        """The user set times: completing, which a master takes as a change, keeps them."""
        if self.writer is not None:
            self._times = SetAttr(atime=opts.atime, mtime=opts.mtime)
            self.wrote_ms = 0

    async def complete(self) -> None:
        """End writing for now; a later write begins anew."""
        if self.writer is None:
            return
        if self._nodes.is_removed(self._nodeid):
            writer = self.writer
            self._gone()
            self._env.errands.run(writer.abort())
            return
        times = self._times
        if times is None and self.wrote_ms:
            times = SetAttr(mtime=self.wrote_ms)
        await self.writer.close(times)
        self._gone()

    async def complete_or_abort(self) -> None:
        """End writing for good. Nobody waits for the answer of a RELEASE: errors are logged."""
        writer = self.writer
        try:
            await self.complete()
        except CurvineError as error:
            if not await self._was_removed(error):
                _log.error("%s could not be completed: %s", self._path, error)
            if writer is not None:
                self._gone()
                await writer.abort()

    def _gone(self) -> None:
        self.writer = None
        self._times = None
        self.wrote_ms = 0
        self._changed()
        self._nodes.table.set_cookie(self._nodeid, 0)
        self._nodes.table.change_flags(self._nodeid, remove=FLAG_DIRTY)
        if self.told:  # completing has moved the time of change
            self.told = False
            self._env.attributes_stale(self._nodeid)

    async def take_over(self, unpublished: int, req_id: int) -> None:
        """After a crash of the server: go on with the writer that died with it. ``unpublished`` is
        the table's cookie. What cannot be taken over fails the next flush, as a lost write does."""
        try:
            writer = await self._ensure(req_id)
            if isinstance(writer, Recoverable):
                await writer.recover(unpublished)
            if unpublished:
                self._nodes.table.set_cookie(self._nodeid, writer.length)
        except CurvineError as error:
            _log.error("writes to node %d may be lost: %s", self._nodeid, error)
            if unpublished:
                self._lost = error

    # -- setuid and setgid

    async def clear_set_ids(self, req_id: int) -> None:
        """A change by somebody without rights takes setuid and setgid away."""
        if self._set_ids_cleared:
            return
        files = self._env.files
        status = await self._nodes.at(self._nodeid, files.status)
        mode = without_set_ids(status.mode)
        if mode != status.mode:
            opts = SetAttr(mode=mode)
            await self._nodes.at(self._nodeid, lambda p: files.set_attr(p, opts, req_id=req_id))
        self._set_ids_cleared = True

    def mode_changed(self) -> None:
        """The mode was set: the next write looks at it again."""
        self._set_ids_cleared = False


def without_set_ids(mode: int) -> int:
    """``mode`` without setuid, and without setgid where the group may execute."""
    mode &= ~0o4000
    return mode & ~0o2000 if mode & 0o010 else mode
