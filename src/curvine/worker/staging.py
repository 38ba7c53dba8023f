# SPDX-License-Identifier: Apache-2.0
"""One generation of a block while it is being written: its file and what it is charged for.

Three modes:

- NEW: a file of its own under staging/, renamed into active/ when published.
- COPY: the same, started as a copy of the published generation (a reflink where the file system
  has them, else the kernel copies). Readers of the old generation keep the old file.
- APPEND: the published file itself, grown behind its published length. Nothing below that length is
  touched, and the worker serves no byte behind it before it is published, so readers of the old
  generation see it unchanged; appending costs what is appended, not a copy. The published length
  stands in the note of the file (see ``layout``), so that a crash loses only the tail.
  A write below the published length turns the generation into a COPY first.

Functions and methods here block; short ones run on the loop, copies in threads. Sizes are bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from enum import Enum

from curvine.errors import Common, IoFailed
from curvine.model.block import AllocOpts
from curvine.worker.layout import boot_id, bytes_used, remove
from curvine.worker.sums import Buffer, Note, RunningSums, read_note, write_note
from curvine.worker.tiers import StorageDir

FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
# Room for a writer that writes by itself: at first, and where that is too much (bytes).
FIRST_PROMISE = 64 * 1024 * 1024
LEAST_PROMISE = 1024 * 1024
_COPY_STEP = 64 * 1024 * 1024
# Bytes whose sums are read back while publishing; with more of them the sums come later.
READ_BACK = 256 * 1024
# fallocate modes of linux/falloc.h that the protocol knows
KEEP_SIZE = 0x01
ZERO_RANGE = 0x10
MODE_MASK = 0x7F
# the kernel or the file system lacks this way of copying; another one works
_NO_SUCH_COPY = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY}


class Mode(Enum):
    """How a generation came to be."""

    NEW = "new"
    COPY = "copy"
    APPEND = "append"


class Staging:
    """The file of an unpublished generation."""

    __slots__ = (
        "base_used", "counted", "dir", "fd", "floor", "lent", "mode", "path", "promised",
        "reserved", "size", "sums", "was_lent",
    )  # fmt: skip

    def __init__(self, where: StorageDir, path: str, fd: int, mode: Mode, size: int) -> None:
        self.dir = where
        self.path = path
        self.fd = fd  # -1 = not open
        self.mode = mode
        self.size = size  # length of the file as we know it
        self.floor = size if mode is Mode.APPEND else 0  # writes below are not allowed
        self.base_used = 0  # bytes of the file that count for the published generation (APPEND)
        self.counted = 0  # bytes charged to the directory for this generation
        self.promised = 0  # offset up to which writers that write by themselves may write
        self.reserved = 0  # bytes set aside for that
        self.lent = False  # such a writer may have changed the size behind our back
        self.was_lent = False  # or the bytes, at any time since
        self.sums: RunningSums | None = None  # None: none are kept

    def open(self) -> int:
        """The descriptor, opened again if no writer was attached for a while."""
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return self.fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def grow(self, offset: int, length: int) -> bool:
        """Charge for a write; False where the directory has no room.

        Holes cost nothing. While the file has some, every write counts in full, as nobody knows
        whether it fills one; never more than the file's length, and publishing counts exactly.
        """
        size = max(self.size, offset + length)
        more = min(length, size - self.floor - self.counted)
        if more > 0:
            if not self.dir.charge(more):
                return False
            self.counted += more
        self.size = size
        return True

    def cut_back(self, size: int) -> None:
        """A write met a full disk: the file is as long as before, and counted as it is."""
        fd = self.open()
        if os.fstat(fd).st_size > size:
            os.ftruncate(fd, size)
        self.size = size
        if self.sums is not None:
            self.sums.cut(size)
        really = max(0, self.used() - self.base_used)
        self.dir.recount(self.counted, really)
        self.counted = really

    def length(self) -> int:
        """The length right now, also while somebody else writes the file."""
        return os.fstat(self.fd).st_size if self.lent and self.fd >= 0 else self.size

    def settle(self) -> int:
        """The true length; what a writer of its own added is counted, its promise shrinks by it."""
        if self.lent:
            info = os.fstat(self.open())
            self.size = info.st_size
            really = max(0, bytes_used(info) - self.base_used)
            self.dir.recount(self.counted, really)
            self.counted = really
            ahead = min(self.reserved, max(0, self.promised - self.size))
            self.dir.unreserve(self.reserved - ahead)
            self.reserved = ahead
        return self.size

    def lend(self, capacity: int, *, whole: bool) -> bool:
        """Let somebody else write the file, if room can be promised.

        ``whole``: up to ``capacity`` at once, since the writer does not ask again. Otherwise for a
        start; ``promise_more`` adds to it.
        """
        lent, self.lent = self.lent, True
        self.was_lent = True
        if whole:
            done = self._promise(capacity, 0, share=2)
        else:
            done = any(
                self._promise(min(capacity, self.size + room), 0, share=2)
                for room in (FIRST_PROMISE, LEAST_PROMISE)
            )
        self.lent = done or lent
        return done

    def promise_more(self, end: int, capacity: int) -> bool:
        """Promise room up to ``end``, and well beyond where there is some: writers ask seldom.

        A writer that leaves a hole before ``end`` gets room for the far side of it only.
        """
        start = max(self.promised, self.settle())
        hole = max(0, end - start - FIRST_PROMISE)
        step = max(FIRST_PROMISE, self.counted)
        near = max(end, start)
        return any(
            self._promise(min(capacity, near + room), hole, share=2)
            for room in (step, FIRST_PROMISE // 8, LEAST_PROMISE)
        ) or self._promise(end, hole, share=1)

    def _promise(self, end: int, hole: int, *, share: int) -> bool:
        """Set room aside for writes up to ``end`` except for ``hole`` bytes, at most one
        ``share``-th of what is left."""
        more = end - hole - max(self.promised, self.settle())
        if more > 0:
            if not self.dir.reserve(more, share):
                return False
            self.reserved += more
        self.promised = max(self.promised, self.size, end)
        return True

    def take_back(self) -> None:
        """The writers that wrote by themselves are gone."""
        self.settle()
        self._forget_promise()

    def _forget_promise(self) -> None:
        self.dir.unreserve(self.reserved)
        self.reserved = self.promised = 0
        self.lent = False

    def resize(self, opts: AllocOpts) -> None:
        """Give the file the size that an Open asked for; the caller has checked the values."""
        more = 0 if opts.truncate else opts.len - self.floor - self.counted
        if more > 0 and not self.dir.charge(more):
            raise Common(f"no room for {opts.len} bytes in {self.dir.layout.data_dir}")
        self.counted += max(0, more)
        fd = self.open()
        if self.sums is not None:
            self.sums.cut(opts.len if opts.truncate else 0)
        try:
            if opts.truncate:
                os.ftruncate(fd, opts.len)
            else:
                _allocate(fd, opts.mode & MODE_MASK & ~KEEP_SIZE, opts.len)
        except OSError as error:
            raise IoFailed(
                f"cannot make the block {opts.len} bytes long: {error.strerror}"
            ) from error
        really = os.fstat(fd).st_size
        if really != opts.len:
            raise IoFailed(f"the block is {really} bytes long after it was made {opts.len}")
        self.size = really
        less = self.counted - (really - self.floor)
        if less > 0:
            self.dir.release(less)
            self.counted -= less

    def extend(self, length: int) -> None:
        """Add zeros (a hole) up to ``length``."""
        os.ftruncate(self.open(), length)
        self.size = length

    def wrote(self, offset: int, data: Buffer) -> None:
        """``data`` has been written at ``offset``: add it to the sums."""
        if self.sums is not None:
            self.sums.put(offset, data)

    def spoiled(self, offset: int, size: int) -> None:
        """Something has been written there, and nobody knows what."""
        if self.sums is not None:
            self.sums.spoil(offset, size)

    def seal(self, length: int) -> bool:
        """Write the note of a generation of ``length`` bytes; in APPEND that is what publishes it.

        False: not every sum is known yet, and finding out takes long.
        """
        fd, sums = self.open(), self.sums
        note = Note(length, boot_id())
        if sums is not None:
            if self.was_lent and self.mode is Mode.APPEND:
                sums.lose()
            elif self.was_lent:
                sums.forget()
            if sums.unknown(length) <= READ_BACK:
                sums.read_back(fd, length)
            note = sums.note(length, note.boot)
        kept = True
        if note.sums or self.mode is Mode.APPEND:
            try:
                kept = write_note(fd, note)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                # No room for the sums: the bytes are worth more than they are.
                kept = self.mode is not Mode.APPEND or write_note(fd, Note(length, note.boot))
                note = Note(length, note.boot)
        if not kept and self.mode is Mode.APPEND:
            raise OSError(errno.ENOTSUP, "the file system keeps no attributes any more")
        return sums is None or not kept or note.complete

    def mark_appended(self, note: Note | None) -> bool:
        """Write down the published length, then say by the file's mode that it counts; False where
        the file system keeps no attributes. ``note``: what the file says so far."""
        known = note or Note(self.floor, 0)
        mark = Note(self.floor, boot_id(), known.shift, known.sums)
        if not write_note(self.open(), mark):
            return False
        os.fchmod(self.open(), 0o644 | stat.S_ISVTX)
        return True

    def sync(self) -> None:
        """Put data, length and note on the medium."""
        os.fsync(self.open())

    def used(self) -> int:
        return bytes_used(os.fstat(self.open()))

    def leave(self) -> None:
        """Forget this generation and leave its file as it is."""
        self._forget_promise()
        self.dir.release(self.counted)
        self.counted = 0
        self.close()

    def discard(self) -> None:
        """Forget this generation: remove the file, or cut off what was appended."""
        self._forget_promise()
        try:
            if self.mode is Mode.APPEND:
                os.truncate(self.path, self.floor)
            else:
                remove(self.path)
        except FileNotFoundError:
            pass
        finally:
            self.dir.release(self.counted)
            self.counted = 0
            self.close()


def create(where: StorageDir, block: int, *, summed: bool) -> Staging:
    """An empty NEW generation."""
    path = where.layout.staging_path(block)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    _mark_boot(fd)
    held = Staging(where, path, fd, Mode.NEW, 0)
    held.sums = RunningSums() if summed else None
    return held


def _mark_boot(fd: int) -> None:
    """Say that the file can be gone on with as long as the machine runs."""
    try:
        # A file system without attributes: a restart of the worker gives the file up.
        write_note(fd, Note(0, boot_id()))
    except OSError:
        pass  # what is wrong shows as soon as bytes come


def append_to(
    where: StorageDir, block: int, length: int, used: int, *, marked: bool, summed: bool
) -> Staging | None:
    """An APPEND generation on the published file, which has ``length`` bytes and takes ``used``;
    None where the length cannot be noted."""
    path = where.layout.active_path(block)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    staging = Staging(where, path, fd, Mode.APPEND, length)
    staging.base_used = used
    try:
        note = read_note(fd) if summed or not marked else None
        if note is not None and note.length != length:
            note = None
        done = marked or staging.mark_appended(note)
    except OSError:
        done = False
    if not done:
        staging.close()
        return None
    if summed:
        staging.sums = RunningSums(note)
    return staging


def copy_of(
    where: StorageDir, block: int, source: str, length: int, charged: int, mode: Mode
) -> Staging:
    """A generation that starts with the first ``length`` bytes of ``source``; ``charged`` bytes
    were counted for it. Without sums: the caller knows where they are."""
    path = where.layout.staging_path(block)
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        origin = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy_bytes(origin, target, length)
            _mark_boot(target)
        finally:
            os.close(origin)
    except BaseException:
        os.close(target)
        remove(path)
        raise
    staging = Staging(where, path, target, mode, length)
    staging.counted = charged
    return staging


def copy_bytes(source: int, target: int, length: int) -> None:
    """Make ``target`` the first ``length`` bytes of ``source``: share, else copy all but holes."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_SUCH_COPY:
            raise
        offset = 0
        while offset < length:
            try:
                start = os.lseek(source, offset, os.SEEK_DATA)
            except OSError as end:
                if end.errno != errno.ENXIO:  # ENXIO: only a hole follows
                    raise
                break
            offset = min(length, os.lseek(source, start, os.SEEK_HOLE))
            copy_range(source, start, target, start, offset - start)
    os.ftruncate(target, length)


def copy_range(source: int, source_off: int, target: int, target_off: int, length: int) -> int:
    """Copy inside the kernel; returns the bytes copied, fewer where the source ends early."""
    done = 0
    in_kernel = True
    while done < length:
        step = min(_COPY_STEP, length - done)
        if in_kernel:
            try:
                count = os.copy_file_range(
                    source, target, step, source_off + done, target_off + done
                )
            except OSError as error:
                if error.errno not in _NO_SUCH_COPY:
                    raise
                in_kernel = False
                os.lseek(target, target_off + done, os.SEEK_SET)
                continue
        else:
            count = os.sendfile(target, source, source_off + done, step)
        if count == 0:
            break
        done += count
    return done


def _allocate(fd: int, mode: int, length: int) -> None:
    if mode == ZERO_RANGE:
        if os.fstat(fd).st_size > length:
            return  # a range inside a longer file would not give the length asked for
        # What fallocate(ZERO_RANGE) leaves: zeros, and blocks set aside for them.
        os.ftruncate(fd, 0)
    if length:
        os.posix_fallocate(fd, 0, length)
