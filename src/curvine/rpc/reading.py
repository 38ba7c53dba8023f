# SPDX-License-Identifier: Apache-2.0
"""Bytes of one connection to frames, with the bodies of large frames received where they stay.

Like :class:`curvine.wire.frame.FrameDecoder`, but a body that is large and not here yet gets a
buffer of its own, and ``target`` says where the socket shall put the next bytes (recv_into): block
data is copied once, by the kernel. Memory held by a half frame is what has been received of it:
large buffers are anonymous mappings whose pages do not exist before they are written.
"""

from __future__ import annotations

import mmap
import sys
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from curvine.errors import ProtocolViolation
from curvine.wire.frame import MAX_DATA, OVERHEAD, PREFIX, PREFIX_SIZE, Frame, decode_prefix

LARGE = 16 * 1024  # incomplete frames above this get a buffer of their own
_MAPPED = 64 * 1024  # buffers above this are mappings: a bytearray is zeroed, so its pages exist

_KEPT = 64  # mappings kept for the next frames, in use or not
_KEPT_BYTES = 64 * 1024 * 1024  # their bytes
_kept: deque[mmap.mmap] = deque()

_unpack = PREFIX.unpack_from
_new = tuple.__new__

#: (frames completed before this one in the same feed, data size) -> where its data shall go
Sink = Callable[[int, int], memoryview | None]


def _references_to_unused() -> int:
    """How many this interpreter counts for a mapping that only a local variable refers to."""
    mapping = mmap.mmap(-1, mmap.PAGESIZE)
    return sys.getrefcount(mapping)


_UNUSED = _references_to_unused()


def new_buffer(size: int) -> memoryview:
    """A writable buffer of ``size`` bytes with any content.

    Memory costs where it is first written: half of the time of a large frame. So large buffers come
    from mappings that nobody looks at any more; every view of one counts as a reference to it.
    """
    if size <= _MAPPED:
        return memoryview(bytearray(size))
    room = 1 << (size - 1).bit_length()
    for _ in range(len(_kept)):
        try:
            mapping = _kept.pop()  # the last one used: in the processor's cache. Now it is ours
        except IndexError:
            break  # other threads hold them
        if len(mapping) == room and sys.getrefcount(mapping) == _UNUSED:
            view = memoryview(mapping)[:size]
            _kept.append(mapping)
            return view
        _kept.appendleft(mapping)
    mapping = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if room <= _KEPT_BYTES // 4:
        _kept.append(mapping)
        while len(_kept) > _KEPT or sum(map(len, list(_kept))) > _KEPT_BYTES:
            _kept.popleft()
    return memoryview(mapping)[:size]


class FrameReader:
    """Feed it bytes, or fill its ``target``; either gives the frames that are now complete.

    After a malformed prefix ``broken`` holds the reason and nothing more may be fed; frames that
    came before it are still given out.
    """

    def __init__(self, max_header: int, max_data: int = MAX_DATA, sink: Sink | None = None) -> None:
        self._max_header = max_header
        self._max_data = max_data
        self._sink = sink
        self._rest = b""  # start of a frame that is small or whose prefix is not complete
        self._frame: tuple[int, int, int, int] | None = None  # of the large frame under way
        self._header = memoryview(b"")
        self._data = memoryview(b"")
        self.target: memoryview | None = None  # where the next bytes go; None: use feed()
        self.broken: ProtocolViolation | None = None

    @property
    def partial(self) -> bool:
        """Whether the connection stands in the middle of a frame."""
        return self.target is not None or bool(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes (only while ``target`` is None); return the frames that they complete."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        frames: list[Frame] = []
        max_header, max_data = self._max_header, self._max_data
        offset, end = 0, len(data)
        while end - offset >= PREFIX_SIZE:
            total, header_size, code, status, req_id, seq_id = _unpack(data, offset)
            middle = offset + PREFIX_SIZE + header_size
            stop = offset + 4 + total
            if not (0 <= header_size <= max_header and 0 <= stop - middle <= max_data):
                self._break(data, offset)
                return frames
            if stop > end:
                if total > LARGE:
                    self._frame = (code, status, req_id, seq_id)
                    body = memoryview(data)[offset + PREFIX_SIZE :]
                    self._begin(len(frames), header_size, stop - middle, body)
                    return frames
                break
            header = data[offset + PREFIX_SIZE : middle]
            frames.append(_new(Frame, (code, status, req_id, seq_id, header, data[middle:stop])))
            offset = stop
        if offset < end:
            self._rest = data[offset:] if offset else data
        return frames

    def filled(self, size: int) -> Frame | None:
        """Account for ``size`` bytes put into ``target``; return the frame if that completed it."""
        target = self.target
        frame = self._frame
        if target is None or frame is None:
            raise ValueError("no buffer is being filled")
        if size < len(target):
            self.target = target[size:]
            return None
        if target.obj is self._header.obj and len(self._data):
            self.target = self._data
            return None
        whole: Frame = _new(Frame, (*frame, bytes(self._header), self._data))
        self.target = self._frame = None
        self._header = self._data = memoryview(b"")
        return whole

    def _begin(self, ahead: int, header_size: int, data_size: int, have: memoryview) -> None:
        """Set up the buffers of a large frame of which ``have`` is already here."""
        self._header = new_buffer(header_size)
        sink = self._sink
        place = sink(ahead, data_size) if sink is not None and data_size else None
        self._data = place if place is not None else new_buffer(data_size)
        in_header = min(len(have), header_size)
        self._header[:in_header] = have[:in_header]
        in_data = len(have) - in_header
        self._data[:in_data] = have[in_header:]
        if in_header < header_size:
            self.target = self._header[in_header:]
        else:
            self.target = self._data[in_data:]

    def _break(self, data: bytes, offset: int) -> None:
        try:
            self._refuse(data, offset)
        except ProtocolViolation as error:
            self.broken = error

    def _refuse(self, data: bytes, offset: int) -> NoReturn:
        decode_prefix(data, offset, self._max_header, self._max_data)
        raise ProtocolViolation(f"malformed frame: sizes do not fit (overhead {OVERHEAD})")
