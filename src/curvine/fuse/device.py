# SPDX-License-Identifier: Apache-2.0
"""/dev/fuse: opening, cloning, backing files, and replies that never enter Python.

Sizes in bytes. A reply goes to the descriptor that its request was read from. Descriptors are
non-blocking for reading; writes of replies do not block. Source: fs/fuse/dev.c, passthrough.c.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
from collections.abc import Sequence
from struct import Struct
from types import TracebackType

from curvine.fuse.abi import constants as c
from curvine.fuse.abi.structs import IN_HEADER, OUT_HEADER

DEVICE = "/dev/fuse"
PAGE = 4096

_BACKING_MAP = Struct("=iIQ")  # fd, flags, padding
_U32 = Struct("=I")


def open_device(path: str = DEVICE) -> int:
    """A new, not yet mounted connection."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)


def clone_into(fresh: int, mounted: int) -> None:
    """Make ``fresh`` (an ``open_device``) a further descriptor of a mounted connection."""
    fcntl.ioctl(fresh, c.DEV_IOC_CLONE, bytearray(_U32.pack(mounted)))


def is_unmounted(device: int) -> bool:
    """Whether the kernel has ended this connection (unmounted or aborted)."""
    poll = select.poll()
    poll.register(device, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def backing_open(device: int, fd: int) -> int:
    """Register an open file for passthrough; its backing id. Needs CAP_SYS_ADMIN.

    OSError ELOOP: the file lies on a stacked file system and max_stack_depth was too small.
    """
    # A mutable buffer: fcntl.ioctl gives back the id only then.
    answer = bytearray(_BACKING_MAP.pack(fd, 0, 0))
    return int(fcntl.ioctl(device, c.DEV_IOC_BACKING_OPEN, answer))


def backing_close(device: int, backing_id: int) -> None:
    """Drop a registration; open passthrough handles keep the file. Unknown ids are ignored."""
    try:
        fcntl.ioctl(device, c.DEV_IOC_BACKING_CLOSE, bytearray(_U32.pack(backing_id)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def resend_pending(device: int) -> None:
    """Let the kernel give out again what a dead server had read and not answered."""
    os.write(device, OUT_HEADER.pack(OUT_HEADER.size, c.NOTIFY_RESEND, 0))


def refuse_pending(devices: Sequence[int], max_write: int) -> None:
    """Answer every request with ENOTCONN, those of a dead server first. Nobody else may read."""
    try:
        resend_pending(devices[0])
    except OSError:
        pass  # unmounted, or a kernel before 6.9: then only what is unread is refused
    for fd in devices:
        while True:
            try:
                request = os.read(fd, max_write + 2 * PAGE)
                unique = IN_HEADER.unpack_from(request)[2]
                os.write(fd, OUT_HEADER.pack(OUT_HEADER.size, -errno.ENOTCONN, unique))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EINVAL, errno.EINTR):
                    break  # nothing left, or unmounted (ENOENT, EINVAL: that one wants no answer)


class SplicePipe:
    """A pipe that carries READ replies from a file to the device without copying.

    One reply at a time; a session keeps one pipe per thread. ``capacity`` is the largest payload:
    the header takes one slot of the pipe and an unaligned file offset one more.
    """

    def __init__(self, wanted: int) -> None:
        self._out, self._in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        size = wanted + 2 * PAGE
        try:
            got = fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, size)
        except PermissionError:  # without CAP_SYS_RESOURCE: what fs.pipe-max-size allows
            with open("/proc/sys/fs/pipe-max-size", encoding="ascii") as limit:
                got = fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, int(limit.read()))
        self.capacity = got - 2 * PAGE

    def reply(self, device: int, unique: int, fd: int, offset: int, size: int) -> bool:
        """Answer a READ with bytes ``[offset, offset + size)`` of ``fd``.

        False: nothing was sent (the file is shorter, or ``size`` is above ``capacity``); copy then.
        OSError of the device is the caller's (ENOENT: the request was interrupted).
        """
        if size > self.capacity:
            return False
        total = OUT_HEADER.size + size
        os.write(self._in, OUT_HEADER.pack(total, 0, unique))
        filled = OUT_HEADER.size
        try:
            while filled < total:
                moved = os.splice(fd, self._in, total - filled, offset_src=offset)
                if not moved:
                    self._drain(filled)
                    return False
                filled += moved
                offset += moved
        except OSError:
            self._drain(filled)
            return False
        try:
            os.splice(self._out, device, total, flags=os.SPLICE_F_MOVE)
        except OSError:
            self._drain(total)
            raise
        return True

    def _drain(self, left: int) -> None:
        """Empty the pipe, so that the next reply starts clean."""
        while left > 0:
            try:
                left -= len(os.read(self._out, left))
            except BlockingIOError:
                return

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)

    def __enter__(self) -> SplicePipe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
