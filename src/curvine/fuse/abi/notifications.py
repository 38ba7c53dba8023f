# SPDX-License-Identifier: Apache-2.0
"""Messages that a server sends to the kernel unasked: complete, header included.

Written only by the thread of ``fuse.notify`` (some block until a request in flight is answered).
Source: include/uapi/linux/fuse.h, fs/fuse/dev.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from curvine.fuse.abi import constants as c

_PLAIN = Struct("=IiQ")
_INVAL_INODE = Struct("=IiQ" + "Qqq")
_INVAL_ENTRY = Struct("=IiQ" + "QII")
_DELETE = Struct("=IiQ" + "QQI4x")
_PRUNE = Struct("=IiQ" + "I4x8x")
_STORE = Struct("=IiQ" + "QQI4x")


def inval_inode(nodeid: int, offset: int = 0, length: int = 0) -> bytes:
    """Drop attributes, and pages from ``offset`` on (length 0: to the end; offset < 0: none)."""
    return _INVAL_INODE.pack(_INVAL_INODE.size, c.NOTIFY_INVAL_INODE, 0, nodeid, offset, length)


def inval_entry(parent: int, name: bytes, *, expire_only: bool = False) -> bytes:
    """Drop a name of directory node ``parent``; ``expire_only`` (7.38) makes it looked up again."""
    size = _INVAL_ENTRY.size + len(name) + 1
    flags = c.EXPIRE_ONLY if expire_only else 0
    packed = _INVAL_ENTRY.pack(size, c.NOTIFY_INVAL_ENTRY, 0, parent, len(name), flags)
    return packed + name + b"\0"


def delete(parent: int, child: int, name: bytes) -> bytes:
    """The name is gone for good (inotify watchers are told); ``child`` is its node."""
    size = _DELETE.size + len(name) + 1
    return _DELETE.pack(size, c.NOTIFY_DELETE, 0, parent, child, len(name)) + name + b"\0"


def store(nodeid: int, offset: int, payload: bytes) -> bytes:
    """Put bytes into the page cache of a node."""
    size = _STORE.size + len(payload)
    return _STORE.pack(size, c.NOTIFY_STORE, 0, nodeid, offset, len(payload)) + payload


def resend() -> bytes:
    """Give out again every request that was read and not answered (7.40)."""
    return _PLAIN.pack(_PLAIN.size, c.NOTIFY_RESEND, 0)


def prune(nodeids: Sequence[int]) -> bytes:
    """Forget these nodes as far as nobody uses them (7.45)."""
    size = _PRUNE.size + 8 * len(nodeids)
    head = _PRUNE.pack(size, c.NOTIFY_PRUNE, 0, len(nodeids))
    return head + Struct(f"={len(nodeids)}Q").pack(*nodeids)


def inc_epoch() -> bytes:
    """Make every cached name of the mount be looked up again (7.44)."""
    return _PLAIN.pack(_PLAIN.size, c.NOTIFY_INC_EPOCH, 0)
