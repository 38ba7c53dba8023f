# SPDX-License-Identifier: Apache-2.0
"""Files of an object store: reads by ranges of one version, writes through a staging file.

Object stores take whole objects. What is written goes into an unlinked temporary file (in TMPDIR),
from which it is uploaded: behind the writer as long as it writes in order, else at the end. So a
file may be written anywhere, read back and truncated while it is open, of any size, and memory
stays small. A write into what is already on its way aborts the upload, which begins anew when the
file is published. Bytes of the object that an append or an update keeps are fetched only when they
are needed. Offsets and sizes are bytes.

Concurrency: all methods run on the event loop. ``_lock`` is held while the file is published;
``_sent``, ``_ready`` and ``_islands`` are changed between two awaits only.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

from curvine.errors import CurvineError, DiskOutOfSpace, UfsChanged, UfsFailed
from curvine.ufs.base import Buffer, UfsReader, UfsWriter
from curvine.ufs.objects import MOST_PARTS, ObjectInfo, ObjectStore

T = TypeVar("T")

_PIECE = 4 * 1024 * 1024  # read from the staging file at a time
_FETCH = 16 * 1024 * 1024  # of kept bytes at a time
_BEHIND = 256 * 1024 * 1024  # so far may a writer be ahead of its upload


class ObjectReader(UfsReader):
    """One version of an object."""

    def __init__(
        self, store: ObjectStore, info: ObjectInfo, what: str, start: bytes | memoryview = b""
    ) -> None:
        """``start``: bytes from its beginning that are here already; they serve one read."""
        self.length = info.size
        self._start = start
        self.mtime = info.mtime
        self.etag = info.etag
        self._store = store
        self._info = info
        self._what = what

    async def read_at(self, offset: int, size: int) -> bytes | memoryview:
        size = min(size, self.length - offset)
        if size <= 0:
            return b""
        if offset == 0 and self._start:
            data, self._start = self._start[:size], b""
            if len(data) < size:
                rest = await self._store.read(self._info, len(data), size - len(data))
                data = b"".join((data, rest))
            return data
        data = await self._store.read(self._info, offset, size)
        if len(data) != size:
            raise UfsChanged(f"{self._what} changed while it was read")
        return data

    async def close(self) -> None:
        """Nothing is held."""


class _Stopped(Exception):
    """Raised inside an upload that is given up."""


class _Upload:
    """An upload that runs behind the writer."""

    def __init__(self) -> None:
        self.sent = 0  # bytes handed over
        self.finishing = False  # everything is there; no more is waited for
        self.stopped = False
        self.moved = asyncio.Event()  # more to send, or one of the flags
        self.progress = asyncio.Event()  # more was sent, or the upload ended
        self.task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Give it up; the parts that were sent are removed from the store."""
        self.stopped = True
        self.moved.set()
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)


class ObjectWriter(UfsWriter):
    """An object being written. ``kept`` is what was there and stays (append, update)."""

    def __init__(
        self,
        store: ObjectStore,
        key: str,
        what: str,
        kept: ObjectInfo | None,
        size_hint: int | None,
        *,
        made: bool,
    ) -> None:
        self.length = kept.size if kept is not None else 0
        self._store = store
        self._key = key
        self._what = what
        self._kept = kept
        self._kept_end = self.length  # below this the bytes are the kept object's
        self._part = max(store.part_size, -(-(size_hint or 0) // (MOST_PARTS - 100)))
        self._dirty = kept is None  # a new file is there after close even if nothing is written
        self._ready = self.length  # everything below is in place
        self._islands: dict[int, int] = {}  # written beyond that: start -> end
        self._limit: int | None = None  # bytes from here on are being changed: not to be sent now
        self._staging: BinaryIO | None = None
        self._upload: _Upload | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def write_at(self, offset: int, data: Buffer) -> None:
        if self._closed:
            raise UfsFailed(f"{self._what} is closed")
        if not data:
            return
        async with self._lock:
            if offset < self._kept_end:
                await self._fetch_kept()
            await self._stop_if_sent(offset)
            with self._changing_from(offset):
                await self._in_thread(_pwrite_all, self._fd(), data, offset)
            self._dirty = True
            end = offset + len(data)
            self.length = max(self.length, end)
            self._note(offset, end)
            self._stream()
        await self._wait_for_upload()

    async def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.length - offset)
        if size <= 0:
            return b""
        async with self._lock:
            if offset < self._kept_end:
                await self._fetch_kept()
            return await self._in_thread(_pread_all, self._fd(), offset, size)

    async def truncate(self, length: int) -> None:
        if length == self.length:
            return
        async with self._lock:
            await self._stop_if_sent(length)
            self._kept_end = min(self._kept_end, length)
            with self._changing_from(length):
                await self._in_thread(os.ftruncate, self._fd(), length)
            # What is added at the end is zeros, and in place.
            grown = self._ready >= self.length and length > self.length
            self._ready = length if grown else min(self._ready, length)
            self._islands = {s: min(e, length) for s, e in self._islands.items() if s < length}
            self.length = length
            self._dirty = True
            self._stream()

    async def sync(self) -> None:
        """Publish what was written so far."""
        async with self._lock:
            await self._publish()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with self._lock:
                await self._publish()
        finally:
            await self._drop()

    async def abort(self) -> None:
        self._closed = True
        await self._drop()

    # --- uploading ------------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Make the object what was written. What failed for a passing reason is tried once more."""
        if not self._dirty:
            return
        self._check_size()
        upload, self._upload = self._upload, None
        if upload is not None:
            self._ready = self.length
            upload.finishing = True
            upload.moved.set()
        try:
            if upload is not None and upload.task is not None:
                await asyncio.shield(upload.task)
            else:
                await self._send_whole()
        except asyncio.CancelledError:
            if upload is not None:
                await upload.stop()
            raise
        except CurvineError as error:
            if upload is None and not error.retryable:
                raise
            await self._send_whole()  # the staging file still has everything
        self._dirty = False

    async def _send_whole(self) -> None:
        """One request for what fits into one part, else a new upload from the beginning."""
        self._ready = self.length
        if self.length <= self._part:
            await self._store.put(self._key, await self._content())
            return
        upload = self._begin()
        upload.finishing = True
        upload.moved.set()
        assert upload.task is not None
        try:
            await asyncio.shield(upload.task)
        except asyncio.CancelledError:
            await upload.stop()
            raise

    async def _content(self) -> bytes:
        """All of a small file."""
        kept = b""
        if self._kept is not None and self._kept_end > 0:
            kept = bytes(await self._store.read(self._kept, 0, self._kept_end))
        if self.length == len(kept):
            return kept
        rest = await self._in_thread(_pread_all, self._fd(), len(kept), self.length - len(kept))
        return kept + rest

    def _stream(self) -> None:
        """Start, or go on with, the upload behind the writer, if there is enough to send."""
        if self._upload is None and self._ready - self._kept_end >= 2 * self._part:
            self._upload = self._begin()
        if self._upload is not None:
            self._upload.moved.set()

    def _begin(self) -> _Upload:
        upload = _Upload()
        upload.task = asyncio.ensure_future(self._run(upload))
        # Its error is seen when the file is published.
        upload.task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return upload

    async def _run(self, upload: _Upload) -> None:
        try:
            await self._store.put_stream(self._key, self._chunks(upload), self._part)
        except _Stopped:
            pass
        finally:
            upload.progress.set()

    async def _chunks(self, upload: _Upload) -> AsyncIterator[bytes]:
        """The file's bytes in order, as they become ready."""
        while True:
            if upload.stopped:
                raise _Stopped
            end = self._ready if self._limit is None else min(self._ready, self._limit)
            left = end - upload.sent
            if left >= _PIECE or (upload.finishing and left > 0):
                yield await self._next_piece(upload, left)
                if upload.stopped:
                    raise _Stopped
                upload.progress.set()
            elif upload.finishing and self._limit is None:
                return
            else:
                upload.moved.clear()
                await upload.moved.wait()

    async def _next_piece(self, upload: _Upload, left: int) -> bytes:
        start, kept = upload.sent, self._kept
        if kept is not None and start < self._kept_end:
            size = min(_FETCH, self._kept_end - start)
            upload.sent += size
            return bytes(await self._store.read(kept, start, size))
        size = min(_PIECE, left)
        upload.sent += size  # before it is read: a write into it from here on stops the upload
        return await self._in_thread(_pread_all, self._fd(), start, size)

    async def _stop_if_sent(self, offset: int) -> None:
        upload = self._upload
        if upload is not None and offset < upload.sent:
            self._upload = None
            await upload.stop()

    @contextmanager
    def _changing_from(self, offset: int) -> Iterator[None]:
        """Keep the upload away from what a thread is changing."""
        self._limit = offset
        try:
            yield
        finally:
            self._limit = None

    async def _wait_for_upload(self) -> None:
        """Keep a writer from running ahead of its upload without bound."""
        while (
            (upload := self._upload) is not None
            and upload.task is not None
            and not upload.task.done()
            and self._ready - upload.sent > _BEHIND
        ):
            upload.progress.clear()
            await upload.progress.wait()

    def _check_size(self) -> None:
        most = self._part * MOST_PARTS
        if self.length > most:
            raise UfsFailed(
                f"{self._what} is larger than {MOST_PARTS} parts of {self._part} bytes; mount with"
                " a larger s3.multipart_size"
            )

    # --- the staging file -----------------------------------------------------------------------

    def _note(self, start: int, end: int) -> None:
        """Remember what was written; islands that are reached join the mainland."""
        if start > self._ready:
            self._islands[start] = max(end, self._islands.get(start, 0))
            return
        self._ready = max(self._ready, end)
        while True:
            near = [s for s in self._islands if s <= self._ready]
            if not near:
                return
            for island in near:
                self._ready = max(self._ready, self._islands.pop(island))

    async def _fetch_kept(self) -> None:
        """Bring the kept object's bytes into the staging file."""
        kept = self._kept
        assert kept is not None
        fd = self._fd()
        for offset in range(0, self._kept_end, _FETCH):
            size = min(_FETCH, self._kept_end - offset)
            data = await self._store.read(kept, offset, size)
            await self._in_thread(_pwrite_all, fd, data, offset)
        self._kept_end = 0
        self._kept = None

    def _fd(self) -> int:
        if self._staging is None:
            self._staging = tempfile.TemporaryFile(prefix="curvine-ufs-")  # noqa: SIM115  # closed by _drop
        return self._staging.fileno()

    async def _drop(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.stop()
        staging, self._staging = self._staging, None
        if staging is not None:
            await asyncio.get_running_loop().run_in_executor(None, staging.close)

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, functools.partial(call, *args))
        except OSError as error:
            raise DiskOutOfSpace(
                f"{self._what}: the staging file in {tempfile.gettempdir()} cannot be used:"
                f" {error.strerror}; set TMPDIR to a directory with room"
            ) from error


def _pwrite_all(fd: int, data: Buffer, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _pread_all(fd: int, offset: int, size: int) -> bytes:
    """``size`` bytes; what lies behind the end of the file reads as zeros."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            return data + bytes(size - len(data))
        data += more
    return data
