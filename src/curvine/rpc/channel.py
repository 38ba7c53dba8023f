# SPDX-License-Identifier: Apache-2.0
"""A stream socket on the loop that carries frames: TCP, or an abstract Unix socket with fds.

One class for every connection, driven by ``loop.add_reader`` and ``add_writer`` instead of a
transport, because sendfile and SCM_RIGHTS need the socket itself (as fast as uvloop's transport for
an echo of small frames, measured). Rules:

- One recv per wake-up, so a fast peer cannot starve the others. What the owner puts into ``out``
  while it handles the frames of a wake-up leaves in one system call at its end; what it puts there
  at another time leaves with the next turn of the loop (``flush_soon``).
- Owners that produce without being asked stop when ``out.queued`` is above HIGH_WATER and are
  called back (``on_drained``) when ``want_drain`` is reached.
- A frame with a file descriptor travels in a message of its own, so the receiver knows its frame:
  the kernel ends a read behind the bytes that came with a descriptor.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from curvine.errors import ConnectionLost, CurvineError, IoFailed, ProtocolViolation
from curvine.rpc.bulk import FileSlice, warm
from curvine.rpc.dialing import reason_of
from curvine.rpc.outbox import Outbox
from curvine.rpc.reading import FrameReader, Sink
from curvine.wire.frame import Frame

HIGH_WATER = 1024 * 1024  # bytes; a producer stops here
LOW_WATER = 256 * 1024  # and goes on here
NO_DRAIN = -1
_READ_SIZE = 64 * 1024
_READS_NOW = 16  # reads of read_now at most: a peer that sends without end is not waited for
_INT_SIZE = array.array("i").itemsize


class ChannelOwner(Protocol):
    """Who acts on what a channel receives; always called on the loop."""

    def on_frames(self, frames: list[Frame]) -> None: ...

    def on_drained(self) -> None: ...

    def on_closed(self, error: CurvineError | None) -> None:
        """The channel is closed; None means in good order, by either side."""


class PassedFd:
    """A descriptor that came with a frame. Closed with this object unless it is taken."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take(self) -> int:
        """The descriptor, from now on the caller's to close; -1 if it was taken before."""
        fd, self._fd = self._fd, -1
        return fd

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class PassedFrame(Frame):
    """A frame that brought a descriptor."""

    passed: PassedFd


def frame_fd(frame: Frame) -> int | None:
    """Take the descriptor that came with ``frame``, if there is one; the caller closes it."""
    if isinstance(frame, PassedFrame):
        fd = frame.passed.take()
        return fd if fd >= 0 else None
    return None


class Channel:
    """See the module. Made on a running loop; ``start`` begins to read."""

    def __init__(
        self,
        sock: socket.socket,
        owner: ChannelOwner,
        *,
        max_header: int,
        peer: str,
        sink: Sink | None = None,
        executor: Executor | None = None,
    ) -> None:
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._owner = owner
        self._reader = FrameReader(max_header, sink=sink)
        self._executor = executor  # threads that wait for the disk; None: the loop's own
        self.peer = peer
        self.is_local = sock.family == socket.AF_UNIX
        self._recv: Callable[[int], bytes] = self._recv_local if self.is_local else sock.recv
        self._recv_into: Callable[[memoryview], int] = (
            self._recv_into_local if self.is_local else sock.recv_into
        )
        self._passed: PassedFd | None = None  # came with the last read
        self._awaiting: PassedFd | None = None  # came with a frame that is not complete yet
        self._reading = False
        self._flush_planned = False
        self._watching = False  # a writer is registered with the loop
        self._blocked = False  # waiting for writability, or for a thread that fetches cold bytes
        self._drain_waiters: list[asyncio.Future[None]] = []
        self.out = Outbox(sock, peer)
        self.received = 0  # reads that gave something
        self.want_drain = NO_DRAIN  # call on_drained once out.queued is not above this
        self.closed = False

    @property
    def partial(self) -> bool:
        """Whether the peer has sent the beginning of a frame and not its end."""
        return self._reader.partial

    @property
    def is_reading(self) -> bool:
        """Whether the peer is being listened to (not paused)."""
        return self._reading

    # -- reading ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Read from now on; also again, after ``pause``."""
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def preload(self, data: bytes) -> None:
        """Take bytes of the peer that were read before there was a channel (no whole frame)."""
        self._reader.feed(data)

    def pause(self) -> None:
        """Leave what the peer sends in the kernel's buffer until ``start``."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def read_now(self) -> bool:
        """Take what the peer has sent up to now, without waiting for the loop to notice. Whether
        nothing is left."""
        for _ in range(_READS_NOW):
            before = self.received
            if not self._reading:
                return False
            self._readable()
            if self.received == before:
                return not self.closed
        return False

    def _readable(self) -> None:
        reader = self._reader
        target = reader.target
        try:
            if target is None:
                data = self._recv(_READ_SIZE)
                if not data:
                    self._end_of_stream()
                    return
                frames = reader.feed(data)
            else:
                size = self._recv_into(target)
                if not size:
                    self._end_of_stream()
                    return
                whole = reader.filled(size)
                frames = [whole] if whole is not None else []
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(self._lost(error))
            return
        except ProtocolViolation as error:
            self.close(error)
            return
        self.received += 1
        if reader.partial and (reset := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            # It came together with these bytes: libuv reports it once, and watches no longer.
            self.close(self._lost(OSError(reset, os.strerror(reset))))
            return
        if self._passed is not None or self._awaiting is not None:
            self._join_fds(frames)
        if frames:
            self._owner.on_frames(frames)
        if self.out.queued and not self._blocked:
            self.flush()
        if reader.broken is not None:
            self.close(reader.broken)

    def _end_of_stream(self) -> None:
        if self._reader.partial:
            self.close(ConnectionLost(f"{self.peer} closed the connection inside a frame"))
        else:
            self.close()

    def _recv_local(self, size: int) -> bytes:
        data, ancillary, flags, _ = self._sock.recvmsg(
            size, socket.CMSG_SPACE(_INT_SIZE), socket.MSG_CMSG_CLOEXEC
        )
        if ancillary or flags & socket.MSG_CTRUNC:
            self._collect_fd(ancillary, flags)
        return data

    def _recv_into_local(self, target: memoryview) -> int:
        size, ancillary, flags, _ = self._sock.recvmsg_into(
            (target,), socket.CMSG_SPACE(_INT_SIZE), socket.MSG_CMSG_CLOEXEC
        )
        if ancillary or flags & socket.MSG_CTRUNC:
            self._collect_fd(ancillary, flags)
        return size

    def _collect_fd(self, ancillary: list[tuple[int, int, bytes]], flags: int) -> None:
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % _INT_SIZE])
        passed = [PassedFd(fd) for fd in fds]  # those that are not kept are closed
        if flags & socket.MSG_CTRUNC or len(passed) > 1:
            raise ProtocolViolation(f"{self.peer} passed more than one descriptor with a frame")
        if passed:
            self._passed = passed[0]

    def _join_fds(self, frames: list[Frame]) -> None:
        """Give a received descriptor to its frame (see the module's last rule)."""
        if self._awaiting is not None and frames:
            frames[0] = _with_fd(frames[0], self._awaiting)
            self._awaiting = None
        if self._passed is not None:
            if self._reader.partial:
                self._awaiting = self._passed
            elif frames:
                frames[-1] = _with_fd(frames[-1], self._passed)
            self._passed = None

    # -- writing ----------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what is queued in the next turn of the loop, together with what comes until then."""
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_planned = False
        if self.out.queued and not self._blocked:
            self.flush()

    def flush(self) -> None:
        """Send as much as the kernel takes now."""
        if self._blocked or self.closed:
            return
        out = self.out
        if not out.queued:
            return
        try:
            out.send_some()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.close(self._lost(error))
            return
        except IoFailed as error:
            self.close(error)
            return
        if out.queued:
            self._blocked = True
            if out.cold is not None:
                self._fetch(out.cold)
            elif not self._watching:
                self._watching = True
                self._loop.add_writer(self._fd, self._writable)

    def _fetch(self, cold: FileSlice) -> None:
        try:
            own = os.dup(cold.fd)  # the thread may outlive the caller's descriptor
        except OSError as error:
            self.close(IoFailed(f"cannot read a file for {self.peer}: {error.strerror}"))
            return
        job = self._loop.run_in_executor(self._executor, warm, own, cold.offset, cold.length)
        job.add_done_callback(self._warmed)

    def _warmed(self, job: asyncio.Future[None]) -> None:
        if not job.cancelled():
            job.exception()  # a bad disk shows itself again, in sendfile
        self.out.warmed()
        self._unblock()

    def _writable(self) -> None:
        if self.out.cold is None:
            self._unblock()
        if self._watching and (not self.out.queued or self.out.cold is not None):
            self._watching = False
            self._loop.remove_writer(self._fd)

    def _unblock(self) -> None:
        self._blocked = False
        self.flush()
        if self.closed:
            return
        queued = self.out.queued
        if self._drain_waiters and queued <= LOW_WATER:
            self._wake_waiters()
        if queued <= self.want_drain:
            self.want_drain = NO_DRAIN
            self._owner.on_drained()

    async def drain(self) -> None:
        """Wait until the peer has taken enough for more to be put; at once if it has."""
        if self.out.queued > HIGH_WATER:
            self.flush()
        if self.out.queued > HIGH_WATER:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    def _wake_waiters(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- the end ----------------------------------------------------------------------------------

    def close(self, error: CurvineError | None = None) -> None:
        """Close the socket now; what is queued is dropped. The owner is told once."""
        if self.closed:
            return
        self.closed = True
        self.pause()
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._fd)
        self._sock.close()
        self.out.clear()
        self._passed = self._awaiting = None
        self._wake_waiters()
        self._owner.on_closed(error)

    def _lost(self, error: OSError) -> ConnectionLost:
        return ConnectionLost(f"the connection with {self.peer} broke: {reason_of(error)}")


def _with_fd(frame: Frame, passed: PassedFd) -> Frame:
    result = PassedFrame(*frame)
    result.passed = passed
    return result
