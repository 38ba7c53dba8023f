# SPDX-License-Identifier: Apache-2.0
"""The contract of an under storage (UFS): what every implementation offers, and what it may not.

Addresses are URIs ``scheme://authority/path`` taken as they are: nothing in them is
percent-encoded; names that are not UTF-8 are escaped as in model.path. Sizes and offsets are
bytes, times ms since the Unix epoch. An implementation declares what it can do in
:class:`Capabilities`; what it declares it keeps, what it does not declare raises Unsupported.
Source: data-plane specification 5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

import msgspec

from curvine.errors import Unsupported
from curvine.model.inode import FileStatus, FileType, SetAttr, StoragePolicy, StorageState

ETAG_XATTR = "curvine.ufs.etag"  # on a cached copy: mtime and etag of its source; mounts hide it
OPEN_MODE = 0o777  # where a store has no modes: who may mount may use it, as upstream has it

Buffer = bytes | bytearray | memoryview


class Capabilities(msgspec.Struct, frozen=True, gc=False):
    """What an implementation can do beyond stat, list and read."""

    write: bool = False  # open_write, mkdir, delete
    append: bool = False
    random_write: bool = False  # writer.write_at anywhere, truncate
    rename: bool = False
    attributes: bool = False  # modes, owners and times are kept and can be set
    links: bool = False  # symbolic links exist and can be made
    cheap_stat: bool = False  # stat costs about a system call: validity may be checked at each open
    local_files: bool = False  # readers may have a descriptor (local_fd)


class UfsStatus(msgspec.Struct, frozen=True):
    """What stat and list tell about one entry. ``name`` is the last part of its URI."""

    name: str
    is_dir: bool
    len: int = 0
    mtime: int = 0
    atime: int = 0
    ctime: int | None = None
    file_type: FileType = FileType.FILE
    mode: int = 0
    owner: str = ""
    group: str = ""
    nlink: int = 1
    target: str | None = None
    etag: str | None = None  # the store's own mark of this content; None = it gives none

    def same_content(self, other: UfsStatus | UfsReader) -> bool:
        """Whether ``other`` is the same version: by etag where both have one, else by mtime."""
        if self.etag is not None and other.etag is not None:
            return self.etag == other.etag and self.len == _length(other)
        return (self.len, self.mtime) == (_length(other), other.mtime)

    def file_status(self, path: str, block_size: int = 0) -> FileStatus:
        """The entry as a file of the namespace at ``path``; inode id 0 says it lives in the UFS."""
        return FileStatus(
            id=0,
            path=path,
            name=path.rpartition("/")[2],
            is_dir=self.is_dir,
            mtime=self.mtime,
            atime=self.atime or self.mtime,
            ctime=self.ctime,
            is_complete=not self.is_dir,
            len=self.len,
            block_size=0 if self.is_dir else block_size,
            file_type=self.file_type,
            mode=self.mode,
            owner=self.owner,
            group=self.group,
            nlink=self.nlink,
            target=self.target,
            storage_policy=StoragePolicy(ufs_mtime=self.mtime, state=StorageState.UFS),
        )


class UfsReader(ABC):
    """An open file. ``length``, ``mtime`` and ``etag`` are those at open; reads may run side by
    side. Where the store can tell, all reads are of that version: UfsChanged if it is gone."""

    length: int
    mtime: int
    etag: str | None = None

    @abstractmethod
    async def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """Up to ``size`` bytes; fewer only at the end of the file. A memoryview is the engine's own
        buffer, not a copy."""

    def local_fd(self) -> int | None:
        """A descriptor whose bytes are the file's, owned by the reader; None = there is none."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """Release the file. A second call does nothing."""


class UfsWriter(ABC):
    """A file being written. Nothing is promised to be visible before ``close``."""

    length: int

    @abstractmethod
    async def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of ``data``. Without random_write ``offset`` has to be ``length``."""

    async def read_at(self, offset: int, size: int) -> bytes:
        """Bytes of the file as written so far, with random_write only."""
        raise Unsupported("unfinished files of this under storage cannot be read")

    def local_fd(self) -> int | None:
        """A descriptor that writes the file, owned by the writer; None = there is none."""
        return None

    async def truncate(self, length: int) -> None:
        """Make the file ``length`` bytes long."""
        raise Unsupported("this under storage cannot truncate an open file")

    async def sync(self) -> None:  # noqa: B027  # an empty default: most stores sync at close
        """Put what was written on the medium, where that means something before close."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the file. A second call does nothing."""

    @abstractmethod
    async def abort(self) -> None:
        """Give the file up; where the store can, what was there before stays."""


class Ufs(ABC):
    """An under storage, rooted at the URI it was opened with: nothing outside can be reached."""

    capabilities: Capabilities = Capabilities()

    @abstractmethod
    async def stat(self, uri: str) -> UfsStatus:
        """The entry itself (a link is not followed). NotFound when there is none."""

    @abstractmethod
    async def list(self, uri: str) -> list[UfsStatus]:
        """The entries of a directory, sorted bytewise by name. NotFound, NotADirectory."""

    async def pages(self, uri: str) -> AsyncIterator[Sequence[UfsStatus]]:
        """The entries of a directory page by page, in no order, for directories of any size."""
        yield await self.list(uri)

    @abstractmethod
    async def open_read(self, uri: str, *, ahead: int = 0) -> UfsReader:
        """Open a file. NotFound, IsADirectory. ``ahead``: so many bytes from its start are read
        next; a store may bring them with the same request."""

    async def open_write(
        self, uri: str, *, mode: int = 0o644, append: bool = False, size_hint: int | None = None
    ) -> UfsWriter:
        """Create or replace a file; with ``append`` keep it and go on at its end. ``size_hint`` is
        the length that it will have, where that is known."""
        raise self._cannot("write")

    async def open_update(self, uri: str) -> UfsWriter:
        """Open an existing file for writes anywhere, its content kept."""
        raise self._cannot("write inside a file")

    async def mkdir(self, uri: str, *, mode: int = 0o755, parents: bool = False) -> None:
        """Make a directory. AlreadyExists unless ``parents``; NotFound for a missing parent."""
        raise self._cannot("make a directory")

    async def delete(self, uri: str, *, recursive: bool = False) -> None:
        """Remove an entry. NotFound, DirectoryNotEmpty."""
        raise self._cannot("delete")

    async def rename(self, src: str, dst: str) -> None:
        """Move an entry, replacing a file or an empty directory at ``dst``."""
        raise self._cannot("rename")

    async def set_attr(self, uri: str, changes: SetAttr) -> None:
        """Change mode, owner, group and times."""
        raise self._cannot("change attributes")

    async def symlink(self, target: str, uri: str) -> None:
        """Make a symbolic link."""
        raise self._cannot("make a symbolic link")

    async def close(self) -> None:  # noqa: B027  # an empty default: not every store holds something
        """Release connections and descriptors."""

    def _cannot(self, what: str) -> Unsupported:
        return Unsupported(f"{type(self).__name__} cannot {what}")


def copy_of(copy: FileStatus, source: UfsStatus | UfsReader) -> bool:
    """Whether a cached copy was taken from the file as ``source`` tells it."""
    mtime = copy.storage_policy.ufs_mtime
    mark = copy.x_attr.get(ETAG_XATTR, b"").decode("utf-8", "surrogateescape")
    told, _, etag = mark.partition(" ")
    if told != str(mtime):  # an older copy's: the file was written here and exported since
        etag = ""
    kept = UfsStatus(name="", is_dir=False, len=copy.len, mtime=mtime, etag=etag or None)
    return kept.same_content(source)


def copied(source: UfsReader | UfsStatus) -> SetAttr:
    """What makes a complete copy of ``source`` valid: its time, and its etag where there is one."""
    if source.etag is None:
        return SetAttr(ufs_mtime=source.mtime, remove_x_attr=(ETAG_XATTR,))
    mark = f"{source.mtime} {source.etag}".encode()
    return SetAttr(ufs_mtime=source.mtime, add_x_attr={ETAG_XATTR: mark})


def _length(found: UfsStatus | UfsReader) -> int:
    return found.len if isinstance(found, UfsStatus) else found.length
