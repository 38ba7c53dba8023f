# SPDX-License-Identifier: Apache-2.0
"""Files, directories and what callers ask about them.

Values are frozen. Numbers of the enumerations are the wire's (control-plane specification 4.1), so
that converting is a cast. Times are ms since the Unix epoch, sizes are bytes.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import msgspec

ROOT_INODE_ID = 1000
MAX_FILE_SIZE = 1 << 50
# Names of one file (hard links): all of them stand in its record, which each new one writes anew.
MAX_NAMES = 1024
DEFAULT_BLOCK_SIZE = 128 * 1024 * 1024


class FileType(IntEnum):
    """Kind of inode."""

    DIR = 0
    FILE = 1
    LINK = 2
    STREAM = 3
    AGG = 4
    OBJECT = 5
    FIFO = 6
    CHAR = 7
    BLOCK = 8
    SOCKET = 9


class StorageType(IntEnum):
    """Medium asked for or used."""

    MEM = 0
    SSD = 1
    HDD = 2
    UFS = 3
    DISK = 4
    SPDK_DISK = 5


class TtlAction(IntEnum):
    """What happens when the time to live is over."""

    NONE = 0
    DELETE = 1
    FREE = 2


class StorageState(IntEnum):
    """Where the data of a file live."""

    CV = 1
    UFS = 2
    BOTH = 3


class OpenFlag(IntFlag):
    """Open flag bits of the wire (5.6); other bits are dropped."""

    RDONLY = 0
    WRONLY = 0x1
    RDWR = 0x2
    CREAT = 0x40
    EXCL = 0x80
    TRUNC = 0x200
    APPEND = 0x400


ACCESS_MASK = 0x3


class RenameFlag(IntFlag):
    """Rename flag bits of the wire (5.8)."""

    NONE = 0
    NO_REPLACE = 1
    EXCHANGE = 2


class StoragePolicy(msgspec.Struct, frozen=True, gc=False):
    """Wishes about storage, and the tie to the under storage.

    ``ttl_ms`` counts from mtime, 0 disables it. ``ufs_mtime`` is the mtime of the under-storage
    object that the cached copy was taken from, 0 = none.
    """

    storage_type: StorageType = StorageType.DISK
    ttl_ms: int = 0
    ttl_action: TtlAction = TtlAction.NONE
    ufs_mtime: int = 0
    state: StorageState = StorageState.CV


class FileStatus(msgspec.Struct, frozen=True):
    """What stat tells. For a directory ``len`` is the number of children."""

    id: int
    path: str
    name: str
    is_dir: bool
    mtime: int
    atime: int
    children_num: int = 0
    is_complete: bool = False
    len: int = 0
    replicas: int = 0
    block_size: int = 0
    file_type: FileType = FileType.FILE
    x_attr: dict[str, bytes] = {}
    storage_policy: StoragePolicy = StoragePolicy()
    owner: str = ""
    group: str = ""
    mode: int = 0
    target: str | None = None
    nlink: int = 1
    ctime: int | None = None

    @property
    def changed(self) -> int:
        """ctime, or mtime where the peer sends none (ms)."""
        return self.mtime if self.ctime is None else self.ctime


class MkdirOpts(msgspec.Struct, frozen=True):
    """Options of mkdir."""

    create_parent: bool = False
    mode: int = 0o755
    owner: str = ""
    group: str = ""
    x_attr: dict[str, bytes] = {}
    storage_policy: StoragePolicy = StoragePolicy()


class CreateOpts(msgspec.Struct, frozen=True):
    """Options of create and open. ``client_name`` identifies the writer until complete."""

    client_name: str = "localhost"
    create_parent: bool = False
    file_type: FileType = FileType.FILE
    replicas: int = 1
    block_size: int = DEFAULT_BLOCK_SIZE
    x_attr: dict[str, bytes] = {}
    storage_policy: StoragePolicy = StoragePolicy()
    mode: int = 0o644
    owner: str = ""
    group: str = ""
    sync_ufs_meta: bool = False
    ufs_len: int = 0


class SetAttr(msgspec.Struct, frozen=True):
    """Attributes to change; None leaves one as it is."""

    recursive: bool = False
    replicas: int | None = None
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    atime: int | None = None
    mtime: int | None = None
    ttl_ms: int | None = None
    ttl_action: TtlAction | None = None
    add_x_attr: dict[str, bytes] = {}
    remove_x_attr: tuple[str, ...] = ()
    ufs_mtime: int | None = None


class FreeResult(msgspec.Struct, frozen=True, gc=False):
    """What delete and free released: files, and bytes over all replicas."""

    inodes: int = 0
    bytes: int = 0


class ContentSummary(msgspec.Struct, frozen=True, gc=False):
    """What a path amounts to with everything below it; a directory counts itself.

    ``bytes`` are the lengths of files, ``cached_bytes`` of these what lies in blocks of the
    cluster, ``space_bytes`` the same for all replicas that the files ask for. A file with several
    names counts once. ``is_complete`` False: counted so far, there is more.
    """

    files: int = 0
    directories: int = 0
    bytes: int = 0
    cached_bytes: int = 0
    space_bytes: int = 0
    is_complete: bool = True


def valid_copy(status: FileStatus, now_ms: int) -> bool:
    """Whether the cached copy may stand for the under-storage object (5.11, data plane 5.3)."""
    policy = status.storage_policy
    if policy.ufs_mtime == 0 or policy.state != StorageState.BOTH:
        return False
    return not is_expired(status, now_ms)


def is_expired(status: FileStatus, now_ms: int) -> bool:
    """Whether the file outlived its TTL (5.12)."""
    policy = status.storage_policy
    return (
        policy.ttl_action != TtlAction.NONE
        and policy.ttl_ms > 0
        and now_ms > status.mtime + policy.ttl_ms
    )
