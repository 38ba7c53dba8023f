# SPDX-License-Identifier: Apache-2.0
"""The INIT exchange as a pure function: what the kernel offers and we want -> reply and outcome.

Facts: the reply is 64 bytes or the kernel answers EINVAL; flags above bit 31 count only with
INIT_EXT; passthrough wants max_stack_depth >= 1 and excludes the writeback cache (fs/fuse/inode.c).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from curvine.fuse.abi import constants as c
from curvine.fuse.abi.structs import IN_HEADER, LAYOUTS, InitIn

_INIT_OUT = Struct("=IiQ" + "IIIIHHIIHHIIH22x")  # 16 + 64 bytes
_FLAGS2 = Struct("=I")
PAGE = 4096

# Data-plane specification 6.2, without the locks and killpriv (a server that implements those asks
# for them) and with what is newer. Flags that the kernel does not offer are left out.
DEFAULT_FLAGS = (
    c.ASYNC_READ
    | c.EXPORT_SUPPORT
    | c.BIG_WRITES
    | c.DONT_MASK
    | c.SPLICE_WRITE
    | c.SPLICE_MOVE
    | c.SPLICE_READ
    | c.AUTO_INVAL_DATA
    | c.DO_READDIRPLUS
    | c.READDIRPLUS_AUTO
    | c.ASYNC_DIO
    | c.NO_OPEN_SUPPORT
    | c.PARALLEL_DIROPS
    | c.ABORT_ERROR
    | c.MAX_PAGES
    | c.CACHE_SYMLINKS
    | c.NO_OPENDIR_SUPPORT
    | c.INIT_EXT
    | c.HAS_EXPIRE_ONLY
    | c.DIRECT_IO_ALLOW_MMAP
    | c.PASSTHROUGH
    | c.HAS_RESEND
)


class Wanted(NamedTuple):
    """What a server asks for in INIT."""

    flags: int = DEFAULT_FLAGS
    max_write: int = 1 << 20  # bytes; also bounds a READ through max_pages
    max_readahead: int = 1 << 20  # bytes; the bdi's value caps it until that is raised
    max_background: int = 256
    congestion_threshold: int = 192
    time_gran: int = 1_000_000  # nanoseconds
    max_stack_depth: int = 1  # 2 where backing files lie on a stacked file system
    request_timeout: int = 0  # seconds, 0 = none


class Negotiated(NamedTuple):
    """What holds for the life of the mount."""

    minor: int
    flags: int
    max_write: int
    max_pages: int
    max_readahead: int
    max_stack_depth: int
    offered: int  # every flag of the kernel

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)


def read_init(message: bytes | memoryview) -> tuple[int, InitIn, int]:
    """(unique, body, all flags) of an INIT request."""
    unique = IN_HEADER.unpack_from(message)[2]
    layout = LAYOUTS[InitIn]
    body = InitIn._make(layout.unpack_from(message, IN_HEADER.size))
    flags = body.flags
    position = IN_HEADER.size + layout.size
    if flags & c.INIT_EXT and len(message) >= position + _FLAGS2.size:
        flags |= _FLAGS2.unpack_from(message, position)[0] << 32
    return unique, body, flags


def negotiate(body: InitIn, offered: int, wanted: Wanted) -> Negotiated | None:
    """What both sides can do, or None for a kernel that is too old (answer EPROTO)."""
    if body.major != c.KERNEL_VERSION or body.minor < c.MINIMUM_MINOR:
        return None
    flags = wanted.flags & offered
    if flags & c.WRITEBACK_CACHE or wanted.max_stack_depth < 1:
        flags &= ~c.PASSTHROUGH
    max_write = max(PAGE, wanted.max_write // PAGE * PAGE)
    return Negotiated(
        minor=min(body.minor, c.KERNEL_MINOR),
        flags=flags,
        max_write=max_write,
        max_pages=max_write // PAGE,
        max_readahead=wanted.max_readahead,
        max_stack_depth=wanted.max_stack_depth if flags & c.PASSTHROUGH else 0,
        offered=offered,
    )


def init_reply(unique: int, agreed: Negotiated, wanted: Wanted) -> bytes:
    """The complete reply to INIT."""
    return _INIT_OUT.pack(
        _INIT_OUT.size, 0, unique,
        c.KERNEL_VERSION, agreed.minor, agreed.max_readahead, agreed.flags & 0xFFFFFFFF,
        wanted.max_background, wanted.congestion_threshold, agreed.max_write, wanted.time_gran,
        agreed.max_pages, 0, agreed.flags >> 32, agreed.max_stack_depth, wanted.request_timeout,
    )  # fmt: skip


def version_reply(unique: int) -> bytes:
    """To a kernel of a later major: our version only; it asks again with ours."""
    return _INIT_OUT.pack(_INIT_OUT.size, 0, unique, c.KERNEL_VERSION, c.KERNEL_MINOR, *([0] * 11))
