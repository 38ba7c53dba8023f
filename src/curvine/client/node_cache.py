# SPDX-License-Identifier: Apache-2.0
"""A read cache in a directory of this node, for nodes without a worker (decision 24, ADR 0011).

Blocks that were read from other nodes are copied into plain files behind the readers' backs;
whoever opens the file next gets a descriptor, as from a local worker: reads cost no message, and a
mount can let the kernel read by itself (passthrough). Any number of processes share the directory.

A file is named after its block's id, length and the times of the file that it belongs to, so a
block that is written again has another name and the old one is never asked for. It appears by a
rename when it is whole. Its CRC-32C is kept in an extended attribute and compared before this
process uses it for the first time; the cache does without where attributes are not to be had. The
files used longest ago go when there is no room. Sizes are bytes, times seconds unless they say
otherwise.

Concurrency: one loop; what touches the disk runs in threads, but for opening a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import msgspec

from curvine.checksum import crc32c
from curvine.client.local_file import Data
from curvine.errors import ConfigError, CurvineError
from curvine.telemetry.logs import OnceLogger

log = logging.getLogger(__name__)
_once = OnceLogger(log, interval=60)

_PIECE = 4 << 20
_FILLS = 2  # blocks copied at a time
_WAITING = 256  # blocks that wait for being copied; more are not noted
_SHARE = 4  # a block larger than this part of the cache is not kept
_RESCAN = 30.0  # how old what is known of other processes' files may be
_LEFT_OVER = 3600.0  # half a file that nobody has touched for so long belongs to nobody
_SUM = "user.curvine.crc32c"
_TEMPORARY = ".part-"


class Source(Protocol):
    """Where a block comes from."""

    async def read(self, offset: int, size: int) -> Data: ...

    async def close(self) -> None: ...


class BlockKey(msgspec.Struct, frozen=True, gc=False):
    """What a cached block is known by. ``version``: mtime and ctime of its file (ms)."""

    block_id: int
    length: int
    version: tuple[int, int]

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.block_id:x}-{self.length:x}-{self.version[0]:x}-{self.version[1]:x}"


class NodeCache:
    """See the module. ``limit``: bytes of all files together."""

    def __init__(self, directory: str, cluster_id: str, limit: int) -> None:
        self._top = Path(directory) / cluster_id
        self._limit = limit
        self._used = 0
        self._scanned = -_RESCAN
        self._trusted: set[str] = set()  # names that were written or compared by this process
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_FILLS)
        self._threads = ThreadPoolExecutor(_FILLS, thread_name_prefix="node-cache")
        self.filled = 0
        self.hits = 0
        try:
            self._top.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_left_overs(self._top)
        except OSError as error:
            raise ConfigError(f"client.node_cache_dir {directory}: {error.strerror}") from error

    def open(self, key: BlockKey) -> int | None:
        """A descriptor of the block's bytes, the caller's; None: they are not here (yet)."""
        name = key.name
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._failed(error)
            return None
        info = os.fstat(fd)
        whole = stat.S_ISREG(info.st_mode) and info.st_size == key.length
        if whole and name in self._trusted:
            with contextlib.suppress(OSError):
                os.utime(fd)  # used just now
            self.hits += 1
            return fd
        os.close(fd)
        self._start(name, lambda: self._compare(name, key.length))
        return None

    def want(self, key: BlockKey, source: Callable[[], Source]) -> None:
        """The block is read from elsewhere: have it here for the next one who opens it."""
        if key.length and key.length <= self._limit // _SHARE:
            self._start(key.name, lambda: self._fill(key, source()))

    async def close(self) -> None:
        """Stop what is being copied."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- filling

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if name in self._busy or len(self._tasks) >= _WAITING:
            return
        self._busy.add(name)
        task = asyncio.get_running_loop().create_task(self._run(name, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._slots:
                await work()
        except CurvineError as error:
            log.info("a block was not copied into the node's cache: %s", error)
        except OSError as error:
            self._failed(error)
        finally:
            self._busy.discard(name)

    async def _fill(self, key: BlockKey, source: Source) -> None:
        path = self._path(key.name)
        await self._in_thread(self._make_room, key.length)
        part = path.with_name(f"{_TEMPORARY}{os.getpid()}-{key.name}")
        fd = await self._in_thread(_create, part)
        try:
            checksum = 0
            for offset in range(0, key.length, _PIECE):
                data = await source.read(offset, min(_PIECE, key.length - offset))
                checksum = await self._in_thread(_append, fd, data, checksum)
            await self._in_thread(_publish, fd, part, path, checksum)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        finally:
            os.close(fd)
            await source.close()
        self._used += key.length
        self._trusted.add(key.name)
        self.filled += 1

    async def _compare(self, name: str, length: int) -> None:
        """Look whether a file is what was written once; else it goes."""
        path = self._path(name)
        if await self._in_thread(_is_sound, path, length):
            self._trusted.add(name)
            return
        log.warning("%s does not hold what was written to it; it is fetched anew", path)
        path.unlink(missing_ok=True)

    # -- room

    def _make_room(self, more: int) -> None:
        """Delete what was used longest ago until ``more`` bytes fit (thread)."""
        now = time.monotonic()
        if self._used + more <= self._limit and now - self._scanned < _RESCAN:
            return
        files = sorted(_files(self._top))  # by time of last use
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used + more <= self._limit:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                self._trusted.discard(os.path.basename(path))
            used -= size
        self._used, self._scanned = used, now

    # -- small parts

    def _path(self, name: str) -> Path:
        return self._top / name[:2] / name

    def _failed(self, error: OSError) -> None:
        text = "the node's cache in %s is not used: %s"
        _once.log(logging.WARNING, error.errno, text, self._top, error.strerror)

    async def _in_thread(self, call: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def remove_left_overs(top: Path) -> None:
    """Half files of processes that died."""
    before = time.time() - _LEFT_OVER
    for path in top.glob(f"*/{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()


def _files(top: Path) -> list[tuple[float, int, str]]:
    """(time of last use, size, path) of every whole file."""
    found = []
    for directory in os.scandir(top):
        for entry in os.scandir(directory.path):
            with contextlib.suppress(FileNotFoundError):
                if not entry.name.startswith(_TEMPORARY):
                    info = entry.stat(follow_symlinks=False)
                    found.append((info.st_mtime, info.st_size, entry.path))
    return found


def _create(part: Path) -> int:
    part.parent.mkdir(mode=0o700, exist_ok=True)
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _append(fd: int, data: Data, checksum: int) -> int:
    view = memoryview(data)
    checksum = crc32c(view, checksum)
    while view:
        view = view[os.write(fd, view) :]
    return checksum


def _publish(fd: int, part: Path, path: Path, checksum: int) -> None:
    with contextlib.suppress(OSError):  # no attributes there: the cache does without
        os.setxattr(fd, _SUM, checksum.to_bytes(4, "big"))
    os.rename(part, path)


def _is_sound(path: Path, length: int) -> bool:
    try:
        with path.open("rb") as file:
            try:
                expected = int.from_bytes(os.getxattr(file.fileno(), _SUM), "big")
            except OSError:
                return os.fstat(file.fileno()).st_size == length
            checksum = done = 0
            while piece := file.read(_PIECE):
                checksum = crc32c(piece, checksum)
                done += len(piece)
            return (checksum, done) == (expected, length)
    except FileNotFoundError:
        return False
