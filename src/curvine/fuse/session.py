# SPDX-License-Identifier: Apache-2.0
"""From requests to replies: dispatch, the descriptors of /dev/fuse, and an orderly end.

Concurrency: one loop. A handler runs at once, by hand, up to its first wait; what is answered
without waiting is written before the next request is read. The rest becomes a Task. The buffer of a
request that carries data (WRITE, SETXATTR) belongs to it until it is answered; every other request
has copied what it needs when it suspends.

A wait for a lock ends at once with INTERRUPT, and silently with the server: the kernel asks the
next one again, or lets the waiter go when the mount ends.

INTERRUPT: signals that programs take in their stride (timers, child exits) must not turn file calls
into EINTR. So a request is given ``INTERRUPT_GRACE`` seconds to finish by itself; only what hangs
longer, say on a master that is away, is cancelled, which lets the process be killed. Changes are
never cancelled: their outcome would be unknown.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from curvine.errors import Common, CurvineError, NotFound, ProtocolViolation
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import replies
from curvine.fuse.abi.opcodes import Opcode
from curvine.fuse.abi.requests import Request, decode
from curvine.fuse.device import SplicePipe
from curvine.fuse.ops.table import HANDLERS, REFUSALS
from curvine.fuse.reading import FileSlice, ReadSide, SharedReader
from curvine.fuse.refusals import errno_of
from curvine.fuse.requeststats import RequestStats
from curvine.fuse.volume import Reply, Volume
from curvine.rpc.step import Suspended, finish, is_coroutine, step

_log = logging.getLogger(__name__)

INTERRUPT_GRACE = 2.0  # seconds
_BATCH = 32  # requests read in one wake-up before other events get their turn
_BUFFERS_KEPT = 8
_IN_FLIGHT = 64 << 20  # bytes that requests being answered may hold; more waits in the kernel
_NARROW = 2 << 20  # likewise when memory is short
_WEIGHT = 4096  # bytes of a request that is being answered, about
_CARRIES_DATA = frozenset((Opcode.WRITE, Opcode.SETXATTR))
_BRINGS_DATA = frozenset((Opcode.READ, Opcode.READDIR, Opcode.READDIRPLUS))
_CANCELLED = frozenset(
    (
        Opcode.LOOKUP,
        Opcode.GETATTR,
        Opcode.READLINK,
        Opcode.OPEN,
        Opcode.READ,
        Opcode.READDIR,
        Opcode.READDIRPLUS,
        Opcode.STATFS,
        Opcode.GETXATTR,
        Opcode.LISTXATTR,
        Opcode.SETLKW,
        Opcode.FSYNCDIR,
        Opcode.LSEEK,
    )
)
_ENTRIES = frozenset(
    (Opcode.LOOKUP, Opcode.MKNOD, Opcode.MKDIR, Opcode.SYMLINK, Opcode.LINK, Opcode.CREATE)
)
_NAMES_MADE = frozenset(
    (
        Opcode.CREATE,
        Opcode.MKNOD,
        Opcode.MKDIR,
        Opcode.SYMLINK,
        Opcode.LINK,
        Opcode.RENAME,
        Opcode.RENAME2,
    )
)
_GONE = frozenset((errno.ENODEV, errno.ECONNABORTED, errno.ENOTCONN))


class Session:
    """Serves one volume. ``reply`` of :meth:`serve` gets what is to be sent, once or never."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._running: dict[int, tuple[Request, asyncio.Task[None]]] = {}
        self._beliefs = volume.env.beliefs
        self._ending = False
        self._slow = volume.settings.slow_seconds
        self.served = 0
        self.stats = RequestStats()

    @property
    def in_flight(self) -> int:
        """Requests that wait for something."""
        return len(self._running)

    def serve(
        self, request: Request, reply: Callable[[Request, Reply], None]
    ) -> asyncio.Task[None] | None:
        """Answer ``request`` now, or give the Task that will."""
        self.served += 1
        request.mark = self._beliefs.count
        if request.opcode == Opcode.INTERRUPT:
            self._interrupt(request.body.unique)
            return None
        started = perf_counter()
        handler = HANDLERS.get(request.opcode)
        if handler is None:
            if request.operation is None or request.operation.replies:
                number = REFUSALS.get(request.opcode, errno.ENOSYS)
                self._answer(request, replies.error(request.unique, number), reply, started)
            return None
        try:
            result: Any = handler(self._volume, request)
            if is_coroutine(result):
                result = step(result)
        except Exception as error:
            result = replies.error(request.unique, errno_of(error, request))
        if isinstance(result, Suspended):
            work = self._finish(request, result, reply, started)
            task = asyncio.get_running_loop().create_task(work)
            self._running[request.unique] = (request, task)
            return task
        self._answer(request, result, reply, started)
        return None

    def _answer(
        self,
        request: Request,
        result: Reply,
        reply: Callable[[Request, Reply], None],
        started: float,
    ) -> None:
        reply(request, result)
        seconds = self.stats.add(request, result, started)
        if seconds >= self._slow and request.opcode != Opcode.SETLKW:
            _log.warning("slow operation: %.1f s for %r", seconds, request)

    async def _finish(
        self,
        request: Request,
        suspended: Suspended[Reply],
        reply: Callable[[Request, Reply], None],
        started: float,
    ) -> None:
        try:
            result = await finish(suspended)
        except asyncio.CancelledError:
            result = None if self._ending else replies.error(request.unique, errno.EINTR)
        except Common as error:
            result = replies.error(request.unique, await self._number(request, error))
        except Exception as error:
            result = replies.error(request.unique, errno_of(error, request))
        finally:
            self._running.pop(request.unique, None)
        self._answer(request, result, reply, started)

    async def _number(self, request: Request, error: Common) -> int:
        """The errno of an unnamed error. Masters have no name for a directory that is gone."""
        if request.opcode in _NAMES_MADE:
            renames = request.opcode in (Opcode.RENAME, Opcode.RENAME2)
            try:
                for nodeid in (request.nodeid, *([request.body.newdir] if renames else [])):
                    await self._volume.status(nodeid)
            except NotFound as gone:
                return errno_of(gone, request)
            except CurvineError:
                pass  # nobody knows now
        return errno_of(error, request)

    def _interrupt(self, unique: int) -> None:
        request, _ = self._running.get(unique, (None, None))
        if request is None:
            return
        if request.opcode == Opcode.SETLKW:  # it waits for somebody, not for us
            self._cancel(unique)
        else:
            asyncio.get_running_loop().call_later(INTERRUPT_GRACE, self._cancel, unique)

    def _cancel(self, unique: int) -> None:
        request, task = self._running.get(unique, (None, None))
        if request is not None and task is not None and request.opcode in _CANCELLED:
            task.cancel()

    async def drain(self, timeout: float) -> None:
        """Wait for the requests in flight, then complete every file."""
        self._ending = True
        for unique, (request, _) in list(self._running.items()):
            if request.opcode == Opcode.SETLKW:
                self._cancel(unique)
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()], timeout=timeout)
        await self._volume.handles.close_all()
        await self._volume.env.errands.settle()


class DeviceLoop:
    """Reads requests from the descriptors of one mount and writes the replies."""

    def __init__(
        self,
        session: Session,
        volume: Volume,
        devices: Sequence[int],
        max_write: int,
        on_unmounted: Callable[[], None],
        in_flight: int = _IN_FLIGHT,
    ) -> None:
        self._session = session
        self._volume = volume
        self._devices = tuple(devices)
        self._size = max_write + c.WRITE_HEADROOM + 4096
        self._on_unmounted = on_unmounted
        self._loop = asyncio.get_running_loop()
        self._spare: list[bytearray] = []
        self._held = 0  # bytes in the hands of requests that are being answered
        self._usual = self._most = in_flight
        self._paused = False
        self._threads = ThreadPoolExecutor(
            min(volume.settings.io_threads, 32), thread_name_prefix="fuse-io"
        )
        self._pipe = SplicePipe(max_write) if volume.settings.splice else None
        self._debug = volume.settings.debug

    def start(self) -> None:
        """Begin to serve."""
        for fd in self._devices:
            self._loop.add_reader(fd, self._readable, fd)

    def stop(self) -> None:
        """Read no more requests; replies still go out."""
        for fd in self._devices:
            self._loop.remove_reader(fd)

    def close(self) -> None:
        """After the last reply."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._pipe is not None:
            self._pipe.close()

    # -- requests

    def _readable(self, fd: int) -> None:
        for _ in range(_BATCH):
            buffer = self._spare.pop() if self._spare else bytearray(self._size)
            try:
                length = os.readv(fd, [buffer])
            except BlockingIOError:
                self._spare.append(buffer)
                return
            except OSError as error:
                self._spare.append(buffer)
                if error.errno in _GONE:
                    self.stop()
                    self._on_unmounted()
                    return
                if error.errno not in (errno.ENOENT, errno.EINTR):
                    raise
                continue  # ENOENT: the request was taken back before we got it
            self._take(fd, buffer, length)
            if self._paused:
                return

    def _take(self, fd: int, buffer: bytearray, length: int) -> None:
        try:
            request = decode(memoryview(buffer)[:length])
        except ProtocolViolation as error:
            _log.error("a request of the kernel was dropped: %s", error)
            self._give_back(buffer)
            return
        if self._debug:
            _log.debug("%r", request)
        task = self._session.serve(request, lambda req, reply: self._reply(fd, req, reply))
        if task is None:
            self._give_back(buffer)
            return
        if request.opcode in _CARRIES_DATA:
            weight, lent = self._size, buffer
        else:
            self._give_back(buffer)
            weight = _WEIGHT + (request.body.size if request.opcode in _BRINGS_DATA else 0)
            lent = None
        self._held += weight
        task.add_done_callback(lambda _task: self._returned(weight, lent))
        if self._held >= self._most and not self._paused:
            self._paused = True
            self.stop()

    def _returned(self, weight: int, buffer: bytearray | None) -> None:
        self._held -= weight
        if buffer is not None:
            self._give_back(buffer)
        if self._paused and self._held < self._most // 2:
            self._paused = False
            self.start()

    # -- memory

    def narrow(self, narrow: bool) -> None:
        """Take few requests at a time, or as many as usual."""
        self._most = min(_NARROW, self._usual) if narrow else self._usual

    def shrink(self) -> None:
        """Let go of buffers that are not in use."""
        self._spare.clear()

    def _give_back(self, buffer: bytearray) -> None:
        if len(self._spare) < _BUFFERS_KEPT:
            self._spare.append(buffer)

    # -- replies

    def _reply(self, fd: int, request: Request, reply: Reply) -> None:
        if reply is None:
            return
        try:
            if isinstance(reply, FileSlice):
                self._send_slice(fd, request, reply)
            elif isinstance(reply, bytes):
                os.write(fd, reply)
            else:
                os.writev(fd, reply)
        except OSError as error:
            self._not_sent(request, reply, error)

    def _not_sent(self, request: Request, reply: Reply, error: OSError) -> None:
        if error.errno in _GONE:
            return
        if error.errno != errno.ENOENT:
            _log.error("the kernel refused the reply to %r: %s", request, error)
            return
        # The kernel gave the request up: it has not counted the lookup that we counted.
        if request.opcode in _ENTRIES and isinstance(reply, bytes) and len(reply) > 24:
            nodeid = int.from_bytes(reply[16:24], "little")
            if nodeid in self._volume.nodes.table:
                self._volume.nodes.table.forget(nodeid, 1)

    def _send_slice(self, fd: int, request: Request, piece: FileSlice) -> None:
        if not _in_page_cache(piece):
            file = self._volume.handles.find(request.nodeid)
            pinned = file.reading.pin(piece.fd) if file is not None else None
            if file is not None and pinned is not None:
                side = file.reading
                work = self._loop.run_in_executor(
                    self._threads, _copy_reply, fd, request.unique, piece
                )
                work.add_done_callback(lambda done: self._copied(done, side, pinned))
                return
        if self._pipe is None or not self._pipe.reply(fd, request.unique, *piece):
            _copy_reply(fd, request.unique, piece)

    @staticmethod
    def _copied(done: asyncio.Future[None], side: ReadSide, pinned: SharedReader) -> None:
        side.unpin(pinned)
        error = None if done.cancelled() else done.exception()
        if error is not None and not (isinstance(error, OSError) and error.errno in _GONE):
            _log.warning("a read could not be answered: %s", error)


def _in_page_cache(piece: FileSlice) -> bool:
    """Whether first and last byte can be read without waiting for a disk."""
    byte = bytearray(1)
    try:
        for offset in (piece.offset, piece.offset + piece.size - 1):
            os.preadv(piece.fd, [byte], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP  # a file system that cannot tell: take the short way
    return True


def _copy_reply(fd: int, unique: int, piece: FileSlice) -> None:
    """Answer a READ by copying; may wait for a disk."""
    try:
        data = os.pread(piece.fd, piece.size, piece.offset)
    except OSError as error:
        os.write(fd, replies.error(unique, error.errno or errno.EIO))
        return
    os.writev(fd, [replies.header(unique, len(data)), data])
