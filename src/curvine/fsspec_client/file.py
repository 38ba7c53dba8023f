# SPDX-License-Identifier: Apache-2.0
"""Open files for Python: binary, buffered, as fsspec and ``io`` expect them.

Reading: local files need no cache and have none; remote ones go through fsspec's read-ahead cache
over the client's own prefetching, or through the cache that the caller names. Writing: a small file
is sent when it is closed, in one round trip; a larger one goes to the workers block by block, and
is published when it is closed or flushed, not before (data-plane specification 9.1).

Concurrency: like ``io`` objects, a file is used by one thread at a time.
"""

from __future__ import annotations

import atexit
import os
import sys
import uuid
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fsspec.caching import caches
from fsspec.spec import AbstractBufferedFile

from curvine.client.blocking import LoopThread
from curvine.client.files import WritableFile
from curvine.errors import InvalidArgument, IoFailed
from curvine.fsspec_client.source import Source
from curvine.fsspec_client.urls import info_of
from curvine.model.inode import RenameFlag
from curvine.model.path import join, split

if TYPE_CHECKING:
    from curvine.fsspec_client.filesystem import CurvineFileSystem

BUFFER = 4 * 1024 * 1024  # bytes that a writer collects, unless told otherwise
_AHEAD = 1024 * 1024  # bytes that a reader of small pieces asks for at once, likewise
_LARGE = 256 * 1024  # reads of this many go to the client, which reads ahead by itself
_LINE_PIECE = 64 * 1024


class CurvineFile(AbstractBufferedFile):
    """A file open for reading ("rb"). Pickles to the same place in the same file."""

    def __init__(
        self,
        fs: CurvineFileSystem,
        path: str,
        *,
        block_size: int | None = None,
        cache_type: str | None = None,
        cache_options: dict[str, Any] | None = None,
    ) -> None:
        self._closed = True  # until there is something to close
        self._source = Source(lambda: fs.open_reader(path))
        self.path = path
        self.fs = fs
        self.mode = "rb"
        self.blocksize = block_size or _AHEAD
        self.loc = 0
        self.autocommit = True
        self.start = self.end = None
        self.kwargs: dict[str, Any] = {}
        self._details = info_of(self._source.status, path)
        self.size = self._source.length
        self._own = cache_type is None
        self._direct = self._own and self._source.local
        kind = cache_type or ("none" if self._direct else "readahead")
        self.cache = caches[kind](
            self.blocksize, self._fetch_range, self.size, **(cache_options or {})
        )
        self._closed = False

    @property
    def local(self) -> bool:
        """Whether the file's bytes are read from this node's worker without a message."""
        return self._source.local

    def read(self, length: int | None = -1) -> bytes:
        """Up to ``length`` bytes, all that is left by default."""
        wanted = self.size - self.loc if length is None or length < 0 else length
        if self._closed or not (self._direct or (self._own and wanted >= _LARGE)):
            return bytes(super().read(-1 if length is None else length))
        data = self._source.read(self.loc, wanted)
        self.loc += len(data)
        return data

    def readinto(self, b: Any) -> int:
        """Fill the buffer ``b``; how many bytes, 0 at the end."""
        target = memoryview(b).cast("B")
        if self._closed or not (self._direct or (self._own and len(target) >= _LARGE)):
            return int(super().readinto(b))
        done = self._source.readinto(self.loc, target)
        self.loc += done
        return done

    def read_buffer(self, length: int = -1) -> memoryview:
        """Like ``read`` without a copy where the bytes are local. PyArrow calls it."""
        if self._closed:
            raise ValueError("I/O operation on closed file.")
        if not self._direct:
            return memoryview(self.read(length))
        wanted = self.size - self.loc if length is None or length < 0 else length
        view = self._source.view(self.loc, wanted)
        self.loc += len(view)
        return view

    def memory_map(self) -> memoryview:
        """The whole file: pages of the worker's file where it is local, else bytes read now."""
        if self._closed:
            raise ValueError("I/O operation on closed file.")
        return self._source.view(0, self.size)

    def read1(self, length: int = -1) -> bytes:
        """Up to ``length`` bytes, those of one piece by default; text decoding uses it."""
        return self.read(_LINE_PIECE if length is None or length < 0 else length)

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None) -> bytes:
        """Everything up to and with ``char``, or to the end."""
        return bytes(super().readuntil(char, blocks or min(self.blocksize, _LINE_PIECE)))

    def close(self) -> None:
        """Release everything. Buffers that were given out stay valid."""
        if not self._closed:
            self._closed = True
            self.cache = None
            self._source.close()

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._source.read(start, end - start)

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        kind = None if self._own or self.cache is None else self.cache.name
        return _reopen, (self.fs, self.path, self.blocksize, kind, self.loc)


class CurvineWriter(AbstractBufferedFile):
    """A file open for writing ("wb", "xb", "ab"). A ``with`` block left by an error gives it up.

    ``autocommit`` False (transactions): what is written shows when ``commit`` is called, all at
    once; a new file lies under a hidden name beside its place until then.
    """

    def __init__(
        self,
        fs: CurvineFileSystem,
        path: str,
        mode: str,
        *,
        block_size: int | None = None,
        autocommit: bool = True,
    ) -> None:
        self._closed = True
        self.fs = fs
        self.path = path
        self.mode = mode
        self.blocksize = block_size or BUFFER
        self.autocommit = autocommit
        self.kwargs: dict[str, Any] = {}
        self._pending = bytearray()
        self._writer: WritableFile | None = None
        self._pid = os.getpid()
        self._thread = LoopThread.of_this_process()
        self._place = path if autocommit or mode == "ab" else _hidden(path)
        if mode == "ab":
            self._writer = self._thread.run(fs.open_appender(path))
        elif mode == "xb" and autocommit:
            self._writer = self._thread.run(fs.open_writer(path, exclusive=True))
        elif mode == "xb" and fs.exists(path):
            raise FileExistsError(path)
        self.loc = self._writer.length if self._writer is not None else 0
        self._closed = False
        _open_writers.add(self)

    def write(self, data: Any) -> int:
        """Take all of ``data``; it is sent when ``block_size`` bytes have come together."""
        self._usable()
        view = memoryview(data).cast("B")
        if not self._pending and len(view) >= self.blocksize:
            self._send(view)
        else:
            self._pending += view
            if len(self._pending) >= self.blocksize:
                self._send_pending()
        self.loc += len(view)
        return len(view)

    def flush(self, force: bool = False) -> None:
        """Send what is there and show it to others."""
        self._usable()
        if self._writer is None and not self._pending:
            return
        self._send_pending()
        writer = self._writer
        if writer is not None and self.autocommit:
            self._thread.run(writer.flush())

    def close(self) -> None:
        """Finish and publish the file; without ``autocommit`` that waits for ``commit``."""
        if self._closed:
            return
        if self._pid != os.getpid():
            self._closed = True  # it is the parent's file
            return
        try:
            self._finish()
        except BaseException:
            self._closed = True
            self._give_up()
            raise
        self._closed = True
        _open_writers.discard(self)

    def commit(self) -> None:
        """Give a file of a transaction its name and content."""
        if self._place != self.path:
            flags = RenameFlag.NO_REPLACE if self.mode == "xb" else RenameFlag.NONE
            self._thread.run(self.fs.rename_entry(self._place, self.path, flags))
        elif self._writer is not None:
            writer, self._writer = self._writer, None
            self._thread.run(writer.close())

    def discard(self) -> None:
        """Give up a file of a transaction."""
        self._closed = True
        self._give_up()

    def seek(self, loc: int, whence: int = 0) -> int:
        """Refused, except to where the file is."""
        if (whence, loc) in ((0, self.loc), (1, 0), (2, 0)):
            return self.loc
        raise OSError(29, "a file open for writing cannot seek")  # ESPIPE

    def _finish(self) -> None:
        if self._writer is None:
            exclusive = self.mode == "xb" and self.autocommit
            self._thread.run(self.fs.put_bytes(self._place, self._pending, exclusive=exclusive))
            self._pending = bytearray()
            return
        self._send_pending()
        if self.mode != "ab" or self.autocommit:
            self._thread.run(self._writer.close())
            self._writer = None

    def _send_pending(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._send(memoryview(pending))

    def _send(self, data: memoryview) -> None:
        if self._writer is None:
            self._writer = self._thread.run(self.fs.open_writer(self._place))
        self._thread.run(self._writer.write(self._writer.length, data))

    def _give_up(self) -> None:
        _open_writers.discard(self)
        self._pending = bytearray()
        writer, self._writer = self._writer, None
        if self._pid != os.getpid():
            return
        if writer is not None:
            self._thread.run(writer.abort())
        if self._place != self.path:
            self._thread.run(self.fs.remove_if_there(self._place))
        elif writer is not None and self.mode != "ab":
            self._thread.run(self.fs.remove_if_there(self._place, empty=writer.status.id))

    def _usable(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file.")
        if self._pid != os.getpid():
            raise IoFailed(f"{self.path} was opened for writing by the parent process")

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None and not self._closed:
            self._closed = True
            self._give_up()
            return
        self.close()

    def __del__(self) -> None:
        if self._closed or sys.is_finalizing() or self._pid != os.getpid():
            return
        if LoopThread.of_this_process().is_here():
            writer, self._writer = self._writer, None  # collected there by chance: cannot wait
            if writer is not None:
                self._thread.spawn(writer.close())
            return
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        raise InvalidArgument(f"{self.path} is open for writing: such a file cannot be pickled")


# Files that the program forgot to close are closed at its end, while there still is a loop.
_open_writers: weakref.WeakSet[CurvineWriter] = weakref.WeakSet()


@atexit.register
def _close_writers() -> None:
    for file in list(_open_writers):
        file.close()


def _hidden(path: str) -> str:
    parent, name = split(path)
    return join(parent, f".{name}.{uuid.uuid4().hex}.part")


def _reopen(
    fs: CurvineFileSystem, path: str, block_size: int, cache_type: str | None, loc: int
) -> CurvineFile:
    file = CurvineFile(fs, path, block_size=block_size, cache_type=cache_type)
    file.loc = loc
    return file
