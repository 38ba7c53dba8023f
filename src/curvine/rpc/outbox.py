# SPDX-License-Identifier: Apache-2.0
"""What a connection still has to send, in order: bytes, file slices, frames with a descriptor.

Sizes are bytes. The queue belongs to one :class:`curvine.rpc.channel.Channel`, which decides when
to send; :meth:`Outbox.send_some` makes the system calls.
"""

from __future__ import annotations

import array
import os
import socket
from typing import Any

from curvine.errors import IoFailed
from curvine.rpc.bulk import PIECE, FileSlice, is_resident
from curvine.wire.frame import Buffer

_JOIN_LIMIT = 64 * 1024  # below this, joining buffers is cheaper than a vector of them
_TURN = 4 * PIECE  # bytes sent by one connection before the others have their turn
_VECTOR = 64  # buffers per sendmsg, well under IOV_MAX


class _WithFd:
    """Bytes of a frame to be sent with a descriptor (a duplicate, ours)."""

    __slots__ = ("data", "fd")

    def __init__(self, data: bytes, fd: int) -> None:
        self.data = data
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Outbox:
    """See the module."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self._sock = sock
        self._peer = peer
        #: bytes, bytearray or memoryview; FileSlice; _WithFd
        self._items: list[Any] = []
        self._special = 0  # FileSlices and _WithFds among them
        self._warm_until = 0  # the head FileSlice may be sent up to this file offset
        self.queued = 0  # bytes that the kernel did not take yet
        self.files = 0  # FileSlices among the items
        self.sent = 0  # system calls that took something: changes as long as the peer reads
        self.cold: FileSlice | None = None  # has to be read from a disk before anything is sent

    def put(self, data: Buffer) -> None:
        """Queue bytes. Large buffers are not copied: leave them alone until they are sent."""
        self._items.append(data)
        self.queued += len(data)

    def put_slice(self, part: FileSlice) -> None:
        """Queue bytes of a file."""
        if part.length:
            self._items.append(part)
            self.queued += part.length
            self.files += 1
            self._special += 1

    def put_with_fd(self, data: bytes, fd: int) -> None:
        """Queue one whole frame that carries a duplicate of ``fd``."""
        self._items.append(_WithFd(data, os.dup(fd)))
        self.queued += len(data)
        self._special += 1

    def clear(self) -> None:
        """Forget everything."""
        self._items = []
        self.queued = self.files = self._special = 0
        self.cold = None

    def warmed(self) -> None:
        """The cold part has been fetched, or cannot be."""
        self.cold = None

    def send_some(self) -> None:
        """Send until everything or a fair share is sent, or ``cold`` is set.

        BlockingIOError: the kernel takes no more now. OSError: the connection broke. IoFailed: a
        file is shorter than the frame in front of it promised.
        """
        if self._special:
            self._send_mixed()
        elif self.queued <= _JOIN_LIMIT:
            self._send_joined()
        else:
            self._send_vectors(len(self._items), 0)

    def _send_joined(self) -> None:
        items = self._items
        data = items[0] if len(items) == 1 else b"".join(items)
        size = self._sock.send(data)
        self.sent += 1
        if size == self.queued:
            items.clear()
            self.queued = 0
        else:
            self._items = [memoryview(data)[size:]]
            self.queued -= size

    def _send_vectors(self, count: int, flags: int) -> bool:
        """Send the first ``count`` buffers; False if not all of them have left."""
        items = self._items
        left = _TURN
        while count and left > 0:
            batch = items[: min(count, _VECTOR)]
            offered = sum(map(len, batch))
            size = self._sock.sendmsg(batch, (), flags)
            self.sent += 1
            self.queued -= size
            left -= size
            full = size == offered
            done = 0
            while done < len(batch) and size >= len(batch[done]):
                size -= len(batch[done])
                done += 1
            del items[:done]
            count -= done
            if not full:
                items[0] = memoryview(items[0])[size:]
                return False
        return not count

    def _send_mixed(self) -> None:
        left = _TURN
        items = self._items
        while items and left > 0:
            head = items[0]
            if isinstance(head, FileSlice):
                size = self._send_slice(head)
                if not size:
                    return
                left -= size
            elif isinstance(head, _WithFd):
                if not self._send_with_fd(head):
                    return
            else:
                count = self._plain_items()
                # The bytes in front of a file wait for it instead of leaving as a packet.
                before_file = count < len(items) and isinstance(items[count], FileSlice)
                if not self._send_vectors(count, socket.MSG_MORE if before_file else 0):
                    return

    def _plain_items(self) -> int:
        for index, item in enumerate(self._items):
            if isinstance(item, FileSlice | _WithFd):
                return index
        return len(self._items)

    def _send_with_fd(self, head: _WithFd) -> bool:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (head.fd,)))
        size = self._sock.sendmsg((head.data,), (rights,))
        self.sent += 1
        self.queued -= size
        self._special -= 1
        if size == len(head.data):
            del self._items[0]
            return True
        # The descriptor left with the first byte; the rest are plain bytes.
        self._items[0] = memoryview(head.data)[size:]
        return False

    def _send_slice(self, part: FileSlice) -> int:
        """Send some of the head slice; 0 if it has to be fetched from the disk first."""
        piece = min(part.length, PIECE)
        if part.offset >= self._warm_until:
            self._warm_until = part.offset + piece  # fetched once: sendfile shows a bad disk
            if not is_resident(part.fd, part.offset, piece):
                self.cold = FileSlice(part.fd, part.offset, piece)
                return 0
        size = os.sendfile(self._sock.fileno(), part.fd, part.offset, piece)
        if not size:
            raise IoFailed(
                f"a file ended {part.length} bytes before the end that {self._peer} was promised"
            )
        self.sent += 1
        self.queued -= size
        if size == part.length:
            del self._items[0]
            self.files -= 1
            self._special -= 1
            self._warm_until = 0
        else:
            self._items[0] = FileSlice(part.fd, part.offset + size, part.length - size)
        return size
