# SPDX-License-Identifier: Apache-2.0
"""CRC-32C sums of a block, chunk by chunk, and the note about a block that its file carries.

The note is one extended attribute (``BLOCK_ATTRIBUTE``), little endian, written in one call, so
that length and sums change together::

    version u8 = 1 | log2(chunk size) u8 | 0 u16 | run of the machine u32 | length u64
    CRC-32C u32 for each chunk, in order | CRC-32C u32 of all before

There may be fewer sums than chunks: those that follow are not known yet. The sum of the last chunk
is of what the length leaves of it. Chunks start with 1 MiB and double as a block grows, so that a
note stays below what ext4 keeps in one block (4 KiB), whatever the size. Sizes are bytes.
"""

from __future__ import annotations

import errno
import os
import struct

import msgspec

from curvine.checksum import combine, crc32c

BLOCK_ATTRIBUTE = "user.curvine.block"
FIRST_SHIFT = 20  # 1 MiB
MAX_CHUNKS = 512
_VERSION = 1
_HEAD = struct.Struct("<BBHIQ")
_SUM = struct.Struct("<I")
_UNKNOWN = -1
_PIECE = 1 << 20
_ALIGN = 4096  # of lengths, for reading past the page cache

Buffer = bytes | bytearray | memoryview


class Note(msgspec.Struct, frozen=True, gc=False):
    """What a block's file says of itself. ``length``: published bytes (0 while it is staged);
    ``boot``: the run of the machine that wrote it; ``sums``: of the chunks from the start on."""

    length: int
    boot: int
    shift: int = FIRST_SHIFT
    sums: tuple[int, ...] = ()

    @property
    def covered(self) -> int:
        """How many bytes from the start on have a sum."""
        return min(self.length, len(self.sums) << self.shift)

    @property
    def complete(self) -> bool:
        """Whether every byte has a sum."""
        return self.covered == self.length

    def extent(self, chunk: int) -> tuple[int, int]:
        """Offset and size of a chunk."""
        start = chunk << self.shift
        return start, min(1 << self.shift, self.length - start)

    def encode(self) -> bytes:
        """The attribute's value."""
        body = _HEAD.pack(_VERSION, self.shift, 0, self.boot, self.length) + struct.pack(
            f"<{len(self.sums)}I", *self.sums
        )
        return body + _SUM.pack(crc32c(body))


def decode(raw: bytes) -> Note | None:
    """The note in an attribute's value; None where it is none of ours, or damaged."""
    count, rest = divmod(len(raw) - _HEAD.size - _SUM.size, 4)
    if count < 0 or rest or crc32c(raw[:-4]) != _SUM.unpack(raw[-4:])[0]:
        return None
    version, shift, _, boot, length = _HEAD.unpack_from(raw)
    if version != _VERSION or not 12 <= shift <= 62 or count > -(-length >> shift):
        return None
    return Note(length, boot, shift, struct.unpack_from(f"<{count}I", raw, _HEAD.size))


def read_note(file: int | str) -> Note | None:
    """The note of a file (descriptor or path); None without one. OSError where the disk fails."""
    try:
        return decode(os.getxattr(file, BLOCK_ATTRIBUTE))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise


def write_note(file: int | str, note: Note) -> bool:
    """Give a file its note; False where its file system keeps none. OSError: the disk fails."""
    try:
        os.setxattr(file, BLOCK_ATTRIBUTE, note.encode())
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.E2BIG, errno.ERANGE):
            return False
        raise
    return True


class RunningSums:
    """The sums of a generation while it is written, from the bytes as they pass.

    Of every chunk it knows the sum of the first so many bytes. What was written out of order, by
    somebody else or by the kernel is read back when the block is published. Not for two threads at
    once.
    """

    __slots__ = ("_base", "_ends", "_sums", "shift")

    def __init__(self, base: Note | None = None) -> None:
        self._base = base
        self._start()

    def _start(self) -> None:
        base = self._base
        self.shift = base.shift if base is not None else FIRST_SHIFT
        self._sums = list(base.sums) if base is not None else []
        # bytes of each chunk that its sum covers; _UNKNOWN: some of them have changed since
        self._ends = [base.extent(i)[1] for i in range(len(self._sums))] if base is not None else []

    def put(self, offset: int, data: Buffer) -> None:
        """``data`` is in the file at ``offset``."""
        size = len(data)
        if not size:
            return
        self._reach(offset + size)
        index, within = offset >> self.shift, offset & (1 << self.shift) - 1
        room = (1 << self.shift) - within
        if size <= room:
            self._put(index, within, data)
            return
        view = memoryview(data)
        at = 0
        while at < size:
            piece = view[at : at + room]
            self._put(index, within, piece)
            at += room
            index, within, room = index + 1, 0, 1 << self.shift

    def _put(self, index: int, within: int, data: Buffer) -> None:
        known = self._ends[index]
        end = within + len(data)
        if within == known:
            self._sums[index] = crc32c(data, self._sums[index])
            self._ends[index] = end
        elif within == 0 and end >= (known if known >= 0 else 1 << self.shift):
            self._sums[index] = crc32c(data)
            self._ends[index] = end
        else:
            self._ends[index] = _UNKNOWN

    def spoil(self, offset: int, size: int) -> None:
        """Nobody knows what is in these bytes of the file."""
        if size <= 0:
            return
        self._reach(offset + size)
        for index in range(offset >> self.shift, (offset + size - 1 >> self.shift) + 1):
            if self._end_of(index) > offset:
                self._ends[index] = _UNKNOWN

    def lose(self) -> None:
        """Somebody else may write anywhere above the published length."""
        self._start()

    def forget(self) -> None:
        """Somebody else may write anywhere."""
        self._base = None
        self._start()

    def cut(self, length: int) -> None:
        """The file is ``length`` bytes long at most."""
        count = -(-length >> self.shift)
        del self._sums[count:], self._ends[count:]
        if count == len(self._ends) and count and self._end_of(count - 1) > length:
            self._ends[-1] = _UNKNOWN

    def _end_of(self, index: int) -> int:
        return (index << self.shift) + self._ends[index]

    def unknown(self, length: int) -> int:
        """How many bytes have to be read to know every sum of a file of ``length`` bytes."""
        self._reach(length)
        size = 1 << self.shift
        count = -(-length >> self.shift)
        total = 0
        for index in range(count):
            extent = min(size, length - (index << self.shift))
            known = self._ends[index]
            if known != extent:
                total += extent - known if 0 <= known < extent else extent
        return total

    def read_back(self, fd: int, length: int, most: int = 1 << 62) -> bool:
        """Learn what is not known from the file, True if more than ``most`` bytes would have to
        be read. Blocks. OSError: the disk fails."""
        self._reach(length)
        buffer = memoryview(bytearray(min(_PIECE, -(-max(length, 1) // _ALIGN) * _ALIGN)))
        for index in range(-(-length >> self.shift)):
            start = index << self.shift
            extent = min(1 << self.shift, length - start)
            known = self._ends[index]
            if known == extent:
                continue
            if most <= 0:
                return True
            if not 0 <= known < extent:
                known = self._sums[index] = 0
            self._sums[index] = sum_of(fd, start + known, extent - known, buffer, self._sums[index])
            self._ends[index] = extent
            most -= extent
        return False

    def note(self, length: int, boot: int) -> Note:
        """The note for a file of ``length`` bytes: the sums that are known, up to the first gap."""
        self._reach(length)
        count = -(-length >> self.shift)
        for index in range(count):
            if self._ends[index] != min(1 << self.shift, length - (index << self.shift)):
                count = index
                break
        return Note(length, boot, self.shift, tuple(self._sums[:count]))

    def _reach(self, end: int) -> None:
        """Have an entry for every chunk below ``end``; larger chunks where there are too many."""
        while end > MAX_CHUNKS << self.shift:
            self._double()
        more = -(-end >> self.shift) - len(self._ends)
        if more > 0:
            self._sums.extend([0] * more)
            self._ends.extend([0] * more)

    def _double(self) -> None:
        size = 1 << self.shift
        if len(self._ends) & 1:
            self._sums.append(0)
            self._ends.append(0)
        sums, ends = [], []
        for index in range(0, len(self._ends), 2):
            first, second = self._ends[index : index + 2]
            value = self._sums[index]
            if first == size and second > 0:
                value = combine(value, self._sums[index + 1], second)
                first += second
            elif (second and first != size) or second == _UNKNOWN:
                first = _UNKNOWN
            sums.append(value)
            ends.append(first)
        self._sums, self._ends = sums, ends
        self.shift += 1


def sums_of(path: str, length: int) -> RunningSums:
    """What is known of the sums of a published file of ``length`` bytes."""
    note = read_note(path)
    return RunningSums(note if note is not None and note.length == length else None)


def sum_of(fd: int, offset: int, size: int, buffer: memoryview, value: int = 0) -> int:
    """CRC-32C of a part of a file, read piece by piece into ``buffer``. Blocks.

    OSError: the disk fails, or (EIO) the file is shorter.
    """
    while size:
        whole = -(-min(size, len(buffer)) // _ALIGN) * _ALIGN
        read = min(size, os.preadv(fd, (buffer[:whole],), offset))
        if not read:
            raise OSError(errno.EIO, f"the file ends at byte {offset}")
        value = crc32c(buffer[:read], value)
        offset += read
        size -= read
    return value
