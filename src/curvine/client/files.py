# SPDX-License-Identifier: Apache-2.0
"""What an open file offers, whoever serves it: our blocks, an under storage, or both.

Offsets and lengths are bytes. Reads and writes of one file may run side by side.
"""

from __future__ import annotations

from typing import Protocol

from curvine.client.local_file import Buffer, Data
from curvine.model.inode import FileStatus, SetAttr


class ReadableFile(Protocol):
    """A file open for reading."""

    @property
    def status(self) -> FileStatus:
        """The file as it was at open."""

    @property
    def length(self) -> int:
        """Length at open."""

    @property
    def from_cache(self) -> bool:
        """Whether blocks serve it. What the under storage serves may be cached by the next open."""

    async def read(self, offset: int, length: int) -> Data:
        """Up to ``length`` bytes; fewer only at the end of the file."""

    async def local_fd(self) -> int | None:
        """A descriptor whose bytes [0, length) are the file's, owned by the reader; else None."""

    async def close(self) -> None:
        """Release everything. A second call does nothing."""


class WritableFile(Protocol):
    """A file open for writing."""

    @property
    def status(self) -> FileStatus:
        """The file as the master last described it, with the length as it is here."""

    @property
    def length(self) -> int:
        """Length including what others do not see yet."""

    @property
    def dirty(self) -> bool:
        """Whether bytes or the length are not published yet."""

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``; on return it is outside this process and ``data`` may change."""

    async def read(self, offset: int, length: int) -> Data:
        """Up to ``length`` bytes, one's own unpublished ones included."""

    async def truncate(self, length: int) -> None:
        """Set the length; bytes that appear are zeros."""

    async def flush(self, sync: bool = False) -> None:
        """Make everything visible to others; with ``sync`` also durable on the medium."""

    async def close(self, set_attr: SetAttr | None = None) -> None:
        """Publish and finish, applying ``set_attr`` last. A second call does nothing."""

    async def abort(self) -> None:
        """Give up what was not published."""
