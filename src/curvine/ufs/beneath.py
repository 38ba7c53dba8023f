# SPDX-License-Identifier: Apache-2.0
"""Opening paths that cannot leave a directory: openat2(2) with RESOLVE_BENEATH.

A symbolic link inside a tree of somebody else may point anywhere. Whoever serves that tree with
more rights than its owner must not follow such a link out of it. Kernels before 5.6, and sandboxes
that forbid openat2, get a walk that opens one component after the other and follows no link
(stricter: links inside the tree are refused as well, except as the last component of a stat).
Source: openat2(2), linux/openat2.h.
"""

from __future__ import annotations

import ctypes
import errno
import os

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_MISSING = (errno.ENOSYS, errno.EPERM, errno.E2BIG)
_RETRIES = 16  # EAGAIN: a rename elsewhere raced with a ".." of the path


class _OpenHow(ctypes.Structure):
    """struct open_how."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def open_beneath(root_fd: int, path: bytes, flags: int, mode: int = 0) -> int:
    """A descriptor of ``path`` (relative, b"" = the root itself) that lies below ``root_fd``.

    OSError as open(2) raises; EXDEV when the path would leave the root.
    """
    if _openat2_works(root_fd):
        return _openat2(root_fd, path or b".", flags, mode)
    return _walk(root_fd, path, flags, mode)


def _openat2(root_fd: int, path: bytes, flags: int, mode: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_RETRIES):
        fd = _syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root_fd),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code))


class _Probe:
    """Whether openat2 works here, asked once per process."""

    answer: bool | None = None


def _openat2_works(root_fd: int) -> bool:
    if _Probe.answer is None:
        try:
            os.close(_openat2(root_fd, b".", os.O_PATH, 0))
            _Probe.answer = True
        except OSError as error:
            _Probe.answer = error.errno not in _MISSING
    return _Probe.answer


def _walk(root_fd: int, path: bytes, flags: int, mode: int) -> int:
    """The same by hand: no component may be "..", none but the last may be a link."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if b".." in names:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    if not names:
        return os.open(b".", flags | os.O_CLOEXEC, mode, dir_fd=root_fd)
    here = os.dup(root_fd)
    try:
        for name in names[:-1]:
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(names[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=here)
    finally:
        os.close(here)
