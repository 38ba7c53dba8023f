# SPDX-License-Identifier: Apache-2.0
"""Mounting and unmounting: mount(2), /proc/self/mountinfo, dead mounts.

Nothing here asks a FUSE mount anything in this process: a question that its server has to answer is
put by a child with a time limit. Only dead mounts and our own (same device number) are unmounted.
Times in seconds. Standard library only: the supervisor imports this. Source: mount(2), umount2(2),
proc_pid_mountinfo(5), Fluid contract 3.4 and 10.1.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from curvine.errors import ConfigError
from curvine.fuse import fusermount

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS = 1, 2, 4, 8, 16
MS_DIRSYNC, MS_NOATIME, MS_NODIRATIME, MS_BIND = 128, 1024, 2048, 4096
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8

# What a mount whose server died answers to stat(2).
_DEAD = {errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNABORTED, errno.EIO}

# Options of -o: flag, and whether the word sets or clears it. Source: data-plane spec 6.3.
_FLAG_OPTIONS = {
    "ro": (MS_RDONLY, True),
    "rw": (MS_RDONLY, False),
    "nosuid": (MS_NOSUID, True),
    "suid": (MS_NOSUID, False),
    "nodev": (MS_NODEV, True),
    "dev": (MS_NODEV, False),
    "noexec": (MS_NOEXEC, True),
    "exec": (MS_NOEXEC, False),
    "sync": (MS_SYNCHRONOUS, True),
    "async": (MS_SYNCHRONOUS, False),
    "dirsync": (MS_DIRSYNC, True),
    "noatime": (MS_NOATIME, True),
    "atime": (MS_NOATIME, False),
    "nodiratime": (MS_NODIRATIME, True),
    "relatime": (MS_RELATIME, True),
    "strictatime": (MS_STRICTATIME, True),
}
_DATA_OPTIONS = {"allow_other", "default_permissions"}
_WITHOUT_EFFECT = {"big_write", "big_writes", "defaults"}
_REFUSED = {
    "allow_root": "allow_other is what this mount has",
    "max_write": "it is negotiated with the kernel",
    "auto_unmount": "curvine-fuse unmounts at its end by itself",
}


class Options(NamedTuple):
    """Mount options, sorted by who reads them. ``fsname``: the source to show, "" = the usual."""

    flags: int
    data: tuple[str, ...]
    nonempty: bool
    fsname: str = ""


def parse_options(words: Iterable[str], *, read_only: bool, check_permission: bool) -> Options:
    """From the words of -o, comma lists too. nosuid and nodev hold unless suid or dev is given."""
    flags = MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0)
    data = {"allow_other"} | ({"default_permissions"} if check_permission else set())
    nonempty = False
    fsname = ""
    for word in (part.strip() for option in words for part in option.split(",")):
        if word in _FLAG_OPTIONS:
            flag, on = _FLAG_OPTIONS[word]
            flags = flags | flag if on else flags & ~flag
        elif word in _DATA_OPTIONS:
            data.add(word)
        elif word == "nonempty":
            nonempty = True
        elif word.startswith("fsname="):
            fsname = word.removeprefix("fsname=")
        elif word.split("=")[0] in _REFUSED:
            reason = _REFUSED[word.split("=")[0]]
            raise ConfigError(f"mount option {word} is not accepted: {reason}")
        elif word and word not in _WITHOUT_EFFECT:
            raise ConfigError(f"mount option {word} is not known")
    if read_only:
        flags |= MS_RDONLY
    return Options(flags, tuple(sorted(data)), nonempty, fsname)


# --- what is mounted ------------------------------------------------------------------------------


class MountEntry(NamedTuple):
    """One line of mountinfo."""

    mount_id: int
    parent_id: int
    device: str  # "major:minor", the name of its directory in /sys/class/bdi
    point: str
    fstype: str
    source: str

    @property
    def is_fuse(self) -> bool:
        return self.fstype == "fuse" or self.fstype.startswith("fuse.")

    @property
    def is_curvine(self) -> bool:
        """Whether it is a mount of Curvine, ours or another."""
        return self.fstype.startswith("fuse.curvinefs")


def _unescape(text: str) -> str:
    """mountinfo writes blank, tab, newline and backslash as three octal digits."""
    if "\\" not in text:
        return text
    raw = os.fsencode(text).decode("unicode_escape").encode("latin-1")
    return os.fsdecode(raw)


def mount_table() -> list[MountEntry]:
    """Every mount of this namespace."""
    entries = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            before, _, after = line.rstrip("\n").partition(" - ")
            fields, rest = before.split(" "), after.split(" ")
            entries.append(
                MountEntry(
                    int(fields[0]),
                    int(fields[1]),
                    fields[2],
                    _unescape(fields[4]),
                    rest[0],
                    _unescape(rest[1]),
                )
            )
    return entries


def topmost(point: str, table: Sequence[MountEntry] | None = None) -> MountEntry | None:
    """The mount that is seen at ``point`` (a canonical path), if one is mounted exactly there."""
    here = [e for e in (mount_table() if table is None else table) if e.point == point]
    covered = {entry.parent_id for entry in here}
    top = [entry for entry in here if entry.mount_id not in covered]
    return top[-1] if top else None


def canonical(target: str) -> str:
    """The path as mountinfo shows it, found without touching what is mounted at the target."""
    path = os.path.abspath(target)
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if path == "/" or topmost(path):
        return path
    return os.path.realpath(path)


# --- questions with a time limit ------------------------------------------------------------------


def in_child(action: Callable[[], object], timeout: float) -> int | None:
    """The errno of ``action`` run in a child (0: it worked), or None if it did not end in time.

    A child that hangs in the kernel is left behind: it ends with the mount that it hangs in.
    """
    pid = os.fork()
    if not pid:
        code = 0
        try:
            action()
        except OSError as error:
            code = error.errno or errno.EIO
        except BaseException:
            code = errno.EINVAL
        os._exit(min(code, 255))
    deadline = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else errno.EINTR
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return None
        time.sleep(0.002)


def is_dead(point: str, timeout: float = 5.0) -> bool:
    """Whether the mount seen at ``point`` has lost its server. A slow one is not dead."""
    return in_child(lambda: os.stat(point), timeout) in _DEAD


# --- changing -------------------------------------------------------------------------------------


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, point: str, fstype: str, flags: int, data: str) -> None:
    result = _libc().mount(
        source.encode(), os.fsencode(point), fstype.encode(), ctypes.c_ulong(flags), data.encode()
    )
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), point)


def _umount(point: str, flags: int) -> None:
    if _libc().umount2(os.fsencode(point), flags | _UMOUNT_NOFOLLOW):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), point)


def mount_fuse(
    point: str, device_fd: int, *, fstype: str, source: str, flags: int, data: Sequence[str]
) -> MountEntry:
    """Mount an open /dev/fuse at a directory; the entry that it made. ``fstype`` comes without
    "fuse."."""
    words = [
        f"fd={device_fd}",
        "rootmode=40000",
        f"user_id={os.geteuid()}",
        f"group_id={os.getegid()}",
        *data,
    ]
    _mount(source, point, f"fuse.{fstype}", flags, ",".join(words))
    return made_at(point, fstype)


def made_at(point: str, fstype: str) -> MountEntry:
    """The mount of this type that was just made."""
    entry = topmost(point)
    if entry is None or entry.fstype != f"fuse.{fstype}":
        raise OSError(errno.ENOENT, "the mount that was made is not in mountinfo", point)
    return entry


def bind(existing: str, point: str, flags: int, timeout: float = 5.0) -> None:
    """Show the tree of ``existing`` at ``point`` as well (a child does it: it walks our mount)."""
    code = in_child(lambda: _mount(existing, point, "none", flags | MS_BIND, ""), timeout)
    if code != 0:
        raise OSError(code or errno.ETIMEDOUT, os.strerror(code or errno.ETIMEDOUT), point)


def detach_dead(point: str, attempts: int = 10) -> int:
    """Take away dead FUSE mounts at ``point``, topmost first; how many there were."""
    for count in range(attempts):
        entry = topmost(point)
        if entry is None or not entry.is_fuse or not is_dead(point):
            return count
        _umount(point, _MNT_DETACH)
    return attempts


def unmount_point(point: str, *, lazy: bool, timeout: float) -> int:
    """Unmount what is seen at ``point``, in a child; 0 or the errno."""
    code = in_child(lambda: _umount(point, _MNT_DETACH if lazy else 0), timeout)
    if code == errno.EPERM and os.geteuid() and fusermount.unmount(point, lazy=lazy):
        return 0
    return errno.ETIMEDOUT if code is None else code


def unmount(device: str, *, timeout: float = 5.0) -> list[str]:
    """Unmount everything of one device number in this namespace; points that stay (covered).

    First in the normal way, which writes dirty pages back; what is busy or does not end in time is
    detached: files that are open stay usable as long as the server lives.
    """
    left: list[str] = []
    for entry in reversed([e for e in mount_table() if e.device == device]):
        seen = topmost(entry.point)
        if seen is None or seen.device != device:
            left.append(entry.point)  # somebody else's mount lies on top: not ours to take away
            continue
        if unmount_point(entry.point, lazy=False, timeout=timeout) and unmount_point(
            entry.point, lazy=True, timeout=timeout
        ):
            left.append(entry.point)
    return left


def set_read_ahead(device: str, kilobytes: int) -> bool:
    """Raise a mount's read-ahead (the kernel's 128 KiB otherwise). False: not allowed here."""
    try:
        with open(f"/sys/class/bdi/{device}/read_ahead_kb", "w", encoding="ascii") as knob:
            knob.write(str(kilobytes))
    except OSError:  # /sys is read-only in an unprivileged container: only speed is lost
        return False
    return True
