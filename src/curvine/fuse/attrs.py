# SPDX-License-Identifier: Apache-2.0
"""From a file's status to what stat(2) shows, and between owner names and numeric ids.

Metadata hold owners and groups as names (data-plane specification 6.5); the local user database
gives the numbers, a name that is a number stands for itself, anything else is the mount's own user.
Times are ms in metadata, seconds plus nanoseconds towards the kernel.
"""

from __future__ import annotations

import grp
import pwd
import stat
from collections.abc import Callable
from typing import NamedTuple

from curvine.clock import Clock
from curvine.fuse.abi.replies import Attr
from curvine.model.inode import FileStatus, FileType

BLOCK_SIZE = 65536  # st_blksize: what cp and dd take as a good size of one read
DIRECTORY_SIZE = 4096
RDEV_ATTRIBUTE = "curvine.rdev"  # device number of special files, u32 little-endian
FLAGS_ATTRIBUTE = "curvine.i_flags"  # inode flags of chattr, u32 little-endian
FS_IMMUTABLE_FL, FS_APPEND_FL = 0x10, 0x20
_CACHE_SECONDS = 60.0
_CACHE_LIMIT = 10_000
_NS_PER_MS = 1_000_000

TYPE_BITS = {
    FileType.DIR: stat.S_IFDIR,
    FileType.LINK: stat.S_IFLNK,
    FileType.FIFO: stat.S_IFIFO,
    FileType.CHAR: stat.S_IFCHR,
    FileType.BLOCK: stat.S_IFBLK,
    FileType.SOCKET: stat.S_IFSOCK,
}
SPECIAL_TYPES = {
    stat.S_IFIFO: FileType.FIFO,
    stat.S_IFCHR: FileType.CHAR,
    stat.S_IFBLK: FileType.BLOCK,
    stat.S_IFSOCK: FileType.SOCKET,
}


class Override(NamedTuple):
    """What this mount knows better than the master about a file that is being written."""

    size: int
    mtime: int  # ms, 0 = as the master says


def mode_of(status: FileStatus) -> int:
    """st_mode: permission bits with the type."""
    return (status.mode & 0o7777) | TYPE_BITS.get(status.file_type, stat.S_IFREG)


def file_flags(status: FileStatus) -> int:
    """FS_IMMUTABLE_FL and FS_APPEND_FL as far as they are set."""
    raw = status.x_attr.get(FLAGS_ATTRIBUTE)
    if raw is None:
        return 0
    return int.from_bytes(raw[:4], "little") & (FS_IMMUTABLE_FL | FS_APPEND_FL)


class Owners:
    """Names to ids and back, remembered for a minute."""

    def __init__(self, uid: int, gid: int, clock: Clock) -> None:
        self.uid = uid
        self.gid = gid
        self._clock = clock
        self._uids: dict[str, int] = {}
        self._gids: dict[str, int] = {}
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}
        self._until = 0.0

    def uid_of(self, name: str) -> int:
        """The user id that ``name`` stands for here."""
        self._refresh()
        found = self._uids.get(name)
        if found is None:
            found = self._number(name, lambda n: pwd.getpwnam(n).pw_uid, self.uid)
            self._uids[name] = found
        return found

    def gid_of(self, name: str) -> int:
        """The group id that ``name`` stands for here."""
        found = self._gids.get(name)
        if found is None:
            found = self._number(name, lambda n: grp.getgrnam(n).gr_gid, self.gid)
            self._gids[name] = found
        return found

    def user(self, uid: int) -> str:
        """The name to store for a user id; a number where the id has no name."""
        self._refresh()
        found = self._users.get(uid)
        if found is None:
            try:
                found = pwd.getpwuid(uid).pw_name
            except (KeyError, OverflowError):
                found = str(uid)
            self._users[uid] = found
        return found

    def group(self, gid: int) -> str:
        """The name to store for a group id; a number where the id has no name."""
        found = self._groups.get(gid)
        if found is None:
            try:
                found = grp.getgrgid(gid).gr_name
            except (KeyError, OverflowError):
                found = str(gid)
            self._groups[gid] = found
        return found

    @staticmethod
    def _number(name: str, look_up: Callable[[str], int], fallback: int) -> int:
        if not name:
            return fallback
        try:
            return look_up(name)
        except KeyError:
            number = int(name) if name.isdecimal() else fallback
            return number if number < 1 << 32 else fallback

    def _refresh(self) -> None:
        now = self._clock.monotonic()
        if now < self._until and len(self._uids) + len(self._users) < _CACHE_LIMIT:
            return
        self._until = now + _CACHE_SECONDS
        for cache in (self._uids, self._gids, self._users, self._groups):
            cache.clear()


def attributes(
    status: FileStatus,
    ino: int,
    owners: Owners,
    *,
    override: Override | None = None,
    nlink: int | None = None,
) -> Attr:
    """The attributes that the kernel gets for an inode."""
    file_type = status.file_type
    mtime = status.mtime
    changed = status.changed
    rdev = 0
    if file_type == FileType.DIR:
        size = DIRECTORY_SIZE
    elif file_type == FileType.LINK:
        size = len(status.target.encode("utf-8", "surrogatepass")) if status.target else 0
    else:
        size = status.len
        if override is not None:
            size = override.size
            mtime = override.mtime or mtime
            changed = max(changed, mtime)
        raw = status.x_attr.get(RDEV_ATTRIBUTE) if file_type in SPECIAL_BITS else None
        if raw is not None:
            rdev = int.from_bytes(raw[:4], "little")
    if nlink is None:
        nlink = status.nlink or 1
    mtime_s, mtime_ms = divmod(mtime, 1000)
    atime_s, atime_ms = divmod(status.atime, 1000)
    ctime_s, ctime_ms = divmod(changed, 1000)
    # A negative time travels as its two's complement, as the kernel reads it.
    return Attr(
        ino,
        size,
        (size + 511) >> 9,
        atime_s & _U64,
        mtime_s & _U64,
        ctime_s & _U64,
        atime_ms * _NS_PER_MS,
        mtime_ms * _NS_PER_MS,
        ctime_ms * _NS_PER_MS,
        mode_of(status),
        nlink,
        owners.uid_of(status.owner),
        owners.gid_of(status.group),
        rdev,
        BLOCK_SIZE,
    )


_U64 = (1 << 64) - 1
SPECIAL_BITS = frozenset(SPECIAL_TYPES.values())
