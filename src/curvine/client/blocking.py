# SPDX-License-Identifier: Apache-2.0
"""The blocking face of the client, for scripts, `cv` and synchronous libraries.

One thread of the process runs the event loop of every :class:`BlockingFileSystem`; callers hand
their coroutines to it and wait. After a fork the child has no such thread: its first call starts
one, and its file systems connect anew. Files opened before the fork stay the parent's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from curvine.client.cluster import ClusterClient
from curvine.client.files import ReadableFile, WritableFile
from curvine.client.local_file import Buffer
from curvine.client.stats import ClientStats
from curvine.client.unified import UnifiedFileSystem
from curvine.config.schema import ClusterConf
from curvine.errors import IoFailed
from curvine.model.block import FileBlocks
from curvine.model.inode import FileStatus, FreeResult, SetAttr
from curvine.model.job import JobStatus
from curvine.model.mount import MountInfo, MountOptions
from curvine.model.worker import FilesystemInfo

T = TypeVar("T")
Entries = list[FileStatus]  # inside the class the name "list" is a method


class LoopThread:
    """The process's thread that runs an event loop; a daemon, so it never keeps a process alive."""

    _current: LoopThread | None = None
    _guard = threading.Lock()

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="curvine-client", daemon=True)
        self._thread.start()

    @classmethod
    def of_this_process(cls) -> LoopThread:
        """The thread, started if this process has none yet."""
        current = cls._current
        if current is not None and current.pid == os.getpid():
            return current
        with cls._guard:
            current = cls._current
            if current is None or current.pid != os.getpid():
                _inherited.append(current)
                current = cls._current = cls()
            return current

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the loop and wait for it; Ctrl-C cancels it."""
        if self.is_here():
            work.close()
            raise IoFailed("the blocking client was called from its own loop")
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin ``work`` on the loop; its result can be waited for."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run ``work`` on the loop without waiting for it; from any thread, the loop's as well."""
        if sys.is_finalizing():
            work.close()
        else:
            self.submit(work)

    def is_here(self) -> bool:
        """Whether the caller runs on the loop's own thread, where waiting would never end."""
        return threading.current_thread() is self._thread

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that runs on the thread."""
        return self._loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


# What a child process inherits and must not finalise: closing a loop or a socket of the parent here
# would take it out of the epoll set that both share.
_inherited: list[object] = []


def leave_to_parent(thing: object) -> None:
    """Keep what a parent process made, or a loop that is closed, from being finalised here."""
    _inherited.append(thing)


# A lock that another thread held at the fork would stay locked in the child for ever.
os.register_at_fork(after_in_child=lambda: setattr(LoopThread, "_guard", threading.Lock()))


class BlockingReader:
    """An open file: positional reads, from any thread."""

    def __init__(self, thread: LoopThread, reader: ReadableFile) -> None:
        self._thread = thread
        self._reader = reader
        self.status = reader.status
        self.length = reader.length

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; fewer only at the end of the file."""
        data = self._thread.run(self._reader.read(offset, length))
        return data if isinstance(data, bytes) else bytes(data)

    def local_fd(self) -> int | None:
        """A descriptor of the file's bytes where they are on this node, owned by the reader."""
        return self._thread.run(self._reader.local_fd())

    def close(self) -> None:
        """Release everything."""
        self._thread.run(self._reader.close())

    def __enter__(self) -> BlockingReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class BlockingWriter:
    """A file being written. Leaving its ``with`` block by an error gives the file up."""

    def __init__(self, thread: LoopThread, writer: WritableFile) -> None:
        self._thread = thread
        self._writer = writer

    @property
    def length(self) -> int:
        """Length including what others do not see yet."""
        return self._writer.length

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``."""
        self._thread.run(self._writer.write(offset, data))

    def append(self, data: Buffer) -> None:
        """Write all of ``data`` at the end."""
        self.write(self._writer.length, data)

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes, unpublished ones included."""
        return bytes(self._thread.run(self._writer.read(offset, length)))

    def truncate(self, length: int) -> None:
        """Set the length."""
        self._thread.run(self._writer.truncate(length))

    def flush(self, sync: bool = False) -> None:
        """Make everything visible to others; with ``sync`` also durable."""
        self._thread.run(self._writer.flush(sync))

    def close(self, set_attr: SetAttr | None = None) -> None:
        """Publish and finish."""
        self._thread.run(self._writer.close(set_attr))

    def abort(self) -> None:
        """Give up what was not published."""
        self._thread.run(self._writer.abort())

    def __enter__(self) -> BlockingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()


class BlockingFileSystem:
    """UnifiedFileSystem for callers without an event loop; the same methods, which wait."""

    def __init__(self, conf: ClusterConf, *, component: str = "client") -> None:
        self._conf = conf
        self._component = component
        self._guard = threading.Lock()
        self._fs: UnifiedFileSystem | None = None
        self._thread = LoopThread.of_this_process()

    def status(self, path: str) -> FileStatus:
        """stat."""
        return self._run(lambda fs: fs.status(path))

    def exists(self, path: str) -> bool:
        """Whether the path resolves."""
        return self._run(lambda fs: fs.exists(path))

    def list(self, path: str, limit: int | None = None, start_after: str | None = None) -> Entries:
        """Entries of a directory."""
        return self._run(lambda fs: fs.list(path, limit, start_after))

    def block_locations(self, path: str) -> FileBlocks:
        """The blocks of a file or of its cached copy."""
        return self._run(lambda fs: fs.block_locations(path))

    def open_read(self, path: str) -> BlockingReader:
        """Open a file for reading."""
        return BlockingReader(self._ready(), self._run(lambda fs: fs.open_read(path)))

    def create(self, path: str, **options: Any) -> BlockingWriter:
        """Open a file for writing; options as UnifiedFileSystem.create has them."""
        return BlockingWriter(self._ready(), self._run(lambda fs: fs.create(path, **options)))

    def open_write(self, path: str, append: bool = False) -> BlockingWriter:
        """Open an existing file for writing anywhere in it."""
        return BlockingWriter(self._ready(), self._run(lambda fs: fs.open_write(path, append)))

    def read_file(self, path: str) -> bytes:
        """All bytes of a file."""
        data = self._run(lambda fs: fs.read_file(path))
        return data if isinstance(data, bytes) else bytes(data)

    def write_file(self, path: str, data: Buffer, **options: Any) -> None:
        """Make a file of ``data``; options as UnifiedFileSystem.create has them."""
        self._run(lambda fs: fs.write_file(path, data, **options))

    def client_stats(self) -> ClientStats:
        """What this client has counted so far; connects if it has not."""
        return self._run(_stats)

    def mkdir(self, path: str, **options: Any) -> FileStatus:
        """Make a directory; options as UnifiedFileSystem.mkdir has them."""
        return self._run(lambda fs: fs.mkdir(path, **options))

    def delete(self, path: str, recursive: bool = False) -> FreeResult:
        """Remove an entry."""
        return self._run(lambda fs: fs.delete(path, recursive))

    def rename(self, src: str, dst: str, flags: int = 0) -> bool:
        """Move an entry."""
        return self._run(lambda fs: fs.rename(src, dst, flags))

    def set_attr(self, path: str, changes: SetAttr) -> FileStatus:
        """Change attributes."""
        return self._run(lambda fs: fs.set_attr(path, changes))

    def resize(self, path: str, length: int) -> FileStatus:
        """Set a file's length."""
        return self._run(lambda fs: fs.resize(path, length))

    def symlink(self, target: str, path: str, **options: Any) -> FileStatus:
        """Make a symbolic link."""
        return self._run(lambda fs: fs.symlink(target, path, **options))

    def link(self, src: str, dst: str) -> FileStatus:
        """Make another name of a file."""
        return self._run(lambda fs: fs.link(src, dst))

    def free(self, path: str, recursive: bool = False) -> FreeResult:
        """Drop cached data."""
        return self._run(lambda fs: fs.free(path, recursive))

    def filesystem_info(self) -> FilesystemInfo:
        """Totals of the cluster."""
        return self._run(lambda fs: fs.filesystem_info())

    def mount_table(self) -> tuple[MountInfo, ...]:
        """Every mount."""
        return self._run(lambda fs: fs.mount_table())

    def mount(self, cv_path: str, uri: str, options: MountOptions) -> None:
        """Mount an under storage."""
        self._run(lambda fs: fs.mount(cv_path, uri, options))

    def umount(self, cv_path: str) -> None:
        """Take a mount out of the table."""
        self._run(lambda fs: fs.umount(cv_path))

    def submit_load(
        self, source: str, target: str | None = None, overwrite: bool = True
    ) -> JobStatus:
        """Load a file or tree into the cache."""
        return self._run(lambda fs: fs.submit_load(source, target, overwrite))

    def job_status(self, job_id: str) -> JobStatus:
        """State and progress of a job."""
        return self._run(lambda fs: fs.job_status(job_id))

    def cancel_job(self, job_id: str) -> None:
        """Stop a job."""
        self._run(lambda fs: fs.cancel_job(job_id))

    def close(self) -> None:
        """Close every connection."""
        fs, self._fs = self._fs, None
        if fs is not None and self._thread.pid == os.getpid():
            self._thread.run(_close(fs))

    def __enter__(self) -> BlockingFileSystem:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, call: Callable[[UnifiedFileSystem], Coroutine[Any, Any, T]]) -> T:
        thread = self._ready()
        fs = self._fs
        if fs is None:
            with self._guard:
                fs = self._fs
                if fs is None:
                    fs = self._fs = thread.run(_open(self._conf, self._component))
        return thread.run(call(fs))

    def _ready(self) -> LoopThread:
        """This process's loop thread; what a parent process had connected is left to it."""
        thread = self._thread
        if thread.pid != os.getpid():
            _inherited.extend((thread, self._fs))
            thread = self._thread = LoopThread.of_this_process()
            self._guard = threading.Lock()
            self._fs = None
        return thread


async def _open(conf: ClusterConf, component: str) -> UnifiedFileSystem:
    cluster = ClusterClient(conf, component=component)
    await cluster.__aenter__()
    return UnifiedFileSystem(cluster)


async def _stats(fs: UnifiedFileSystem) -> ClientStats:
    return fs.cluster.streams.stats


async def _close(fs: UnifiedFileSystem) -> None:
    await fs.close()
    await fs.cluster.close()
