# SPDX-License-Identifier: Apache-2.0
"""Directories over an object store, the way users of Hadoop's S3A and of s3fs know them.

A directory is there when a marker object (its key with a slash at the end) is there or when any key
lies below it; making one puts the marker. The mount's own root is always there, as long as the
bucket is. Taking the last entry out of a directory leaves the directory: its marker is put where
there was none. Where both "a" and "a/b" are keys, "a" is the directory. Keys that no path can name
(with empty parts, "." or "..") are left out of listings. Renames are copies and deletes: not atomic
for directories, where everything is copied before anything is deleted. Modes, owners and times that
are set are not kept. Source: data-plane specification 5.8.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence

from curvine.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    Unsupported,
)
from curvine.model.inode import FileType
from curvine.ufs.base import OPEN_MODE, Capabilities, Ufs, UfsReader, UfsStatus, UfsWriter
from curvine.ufs.object_files import ObjectReader, ObjectWriter
from curvine.ufs.objects import ObjectInfo, ObjectStore

_TOGETHER = 16  # objects of a directory that are copied at a time
_UNNAMED = ("", ".", "..")
_MOST_KEY = 1024  # bytes of a key (S3 and most others)

Listing = list[UfsStatus]  # inside ObjectUfs the name "list" is a method


class ObjectUfs(Ufs):
    """A bucket, or what lies below one prefix of it."""

    def __init__(self, root: str, store: ObjectStore, prefix: str) -> None:
        """``root`` is the URI that stands for ``prefix`` (without slashes around it)."""
        self._root = root.rstrip("/")
        self._store = store
        self._prefix = prefix.strip("/")
        writable = store.writable
        self.capabilities = Capabilities(
            write=writable, append=writable, random_write=writable, rename=writable
        )

    # --- reads ----------------------------------------------------------------------------------

    async def stat(self, uri: str) -> UfsStatus:
        key = self._key(uri)
        if key == self._prefix:
            return await self._stat_root(key)
        found, below = await asyncio.gather(self._head(key), self._first_below(f"{key}/"))
        if below is not None:
            return _directory(key, below)
        if found is None:
            raise NotFound(f"{uri} does not exist")
        return _file(found)

    async def list(self, uri: str) -> Listing:
        found: dict[str, UfsStatus] = {}
        async for page in self.pages(uri):
            for status in page:
                if status.is_dir or status.name not in found:  # "a/" wins over "a"
                    found[status.name] = status
        return [found[name] for name in sorted(found, key=_as_bytes)]

    async def pages(self, uri: str) -> AsyncIterator[Sequence[UfsStatus]]:
        key = self._key(uri)
        prefix = f"{key}/" if key else ""
        seen = key == self._prefix
        async for page in self._store.list(prefix):
            seen = seen or bool(page)
            yield [_entry(info) for info in page if _has_name(info.key, prefix)]
        if not seen:
            if await self._head(key) is not None:
                raise NotADirectory(f"{uri} is a file")
            raise NotFound(f"{uri} does not exist")

    async def open_read(self, uri: str, *, ahead: int = 0) -> UfsReader:
        key = self._key(uri)
        start: bytes | memoryview = b""
        try:
            if not key:
                raise NotFound(f"{uri} does not exist")
            if ahead:
                found, start = await self._store.head_and_start(key, ahead)
            else:
                found = await self._store.head(key)
        except NotFound:
            if key == self._prefix or await self._first_below(f"{key}/") is not None:
                raise IsADirectory(f"{uri} is a directory") from None
            raise NotFound(f"{uri} does not exist") from None
        return ObjectReader(self._store, found, uri, start)

    # --- changes --------------------------------------------------------------------------------

    async def open_write(
        self, uri: str, *, mode: int = 0o644, append: bool = False, size_hint: int | None = None
    ) -> UfsWriter:
        self._may_write("write")
        key = self._key(uri)
        before, below = await asyncio.gather(self._head(key), self._first_below(f"{key}/"))
        if below is not None or key == self._prefix:
            raise IsADirectory(f"{uri} is a directory")
        if before is None:
            await self._check_parent(key, uri)
        keep = before if append else None
        return ObjectWriter(self._store, key, uri, keep, size_hint, made=before is None)

    async def open_update(self, uri: str) -> UfsWriter:
        self._may_write("write inside a file")
        key = self._key(uri)
        found = await self._head(key)
        if found is None:
            raise NotFound(f"{uri} does not exist")
        return ObjectWriter(self._store, key, uri, found, None, made=False)

    async def put_plain(self, uri: str, content: bytes) -> None:
        """Put a whole object, without a look at directories."""
        self._may_write("write")
        await self._store.put(self._key(uri), content)

    async def mkdir(self, uri: str, *, mode: int = 0o755, parents: bool = False) -> None:
        self._may_write("make a directory")
        key = self._key(uri)
        if key == self._prefix:
            if not parents:
                raise AlreadyExists(f"{uri} already exists")
            return
        try:
            there = await self.stat(uri)
        except NotFound:
            pass
        else:
            if not parents or not there.is_dir:
                raise AlreadyExists(f"{uri} already exists")
            return
        if not parents:
            await self._check_parent(key, uri)
        await self._store.put(f"{key}/", b"")

    async def delete(self, uri: str, *, recursive: bool = False) -> None:
        self._may_write("delete")
        key = self._key(uri)
        if key == self._prefix:
            raise InvalidArgument(f"{uri} is the mounted directory itself")
        status = await self.stat(uri)
        if not status.is_dir:
            await self._store.delete([key])
        else:
            await self._delete_directory(key, uri, recursive)
        await self._keep_parent(key)

    async def rename(self, src: str, dst: str) -> None:
        self._may_write("rename")
        old, new = self._key(src), self._key(dst)
        if self._prefix in (old, new):
            raise InvalidArgument(f"{src}: the mounted directory itself cannot be renamed")
        if old == new:
            return
        source = await self.stat(src)
        await self._make_way(source, dst, new)
        if source.is_dir:
            if new.startswith(f"{old}/"):
                raise InvalidArgument(f"{dst} lies inside {src}")
            await self._move_tree(old, new)
        else:
            await self._store.copy(await self._store.head(old), new)
            await self._store.delete([old])
        await self._keep_parent(old)

    async def close(self) -> None:
        await self._store.close()

    # --- small parts ----------------------------------------------------------------------------

    async def _stat_root(self, key: str) -> UfsStatus:
        """The root is a directory, unless it is exactly one object. Asks for the bucket."""
        below = await self._first_below(f"{key}/" if key else "")
        if below is None and key:
            found = await self._head(key)
            if found is not None:
                return _file(found)
        return _directory(key, below)

    async def _head(self, key: str) -> ObjectInfo | None:
        try:
            return await self._store.head(key)
        except NotFound:
            return None

    async def _first_below(self, prefix: str) -> ObjectInfo | None:
        """The marker of a directory, or any entry of it; None = the directory is not there."""
        found = None
        async for page in self._store.list(prefix, limit=1):
            for info in page:
                if found is None or info.key == prefix:
                    found = info
            break
        return found

    async def _check_parent(self, key: str, uri: str) -> None:
        parent = key.rpartition("/")[0]
        if parent == self._prefix:
            return
        found, below = await asyncio.gather(self._head(parent), self._first_below(f"{parent}/"))
        if below is None:
            if found is not None:
                raise NotADirectory(f"{uri}: the parent is a file")
            raise NotFound(f"{uri}: the parent directory does not exist")

    async def _keep_parent(self, key: str) -> None:
        parent = key.rpartition("/")[0]
        if parent != self._prefix and await self._first_below(f"{parent}/") is None:
            await self._store.put(f"{parent}/", b"")

    async def _delete_directory(self, key: str, uri: str, recursive: bool) -> None:
        prefix = f"{key}/"
        implied = {prefix}
        async for page in self._store.list(
            prefix, recursive=recursive, limit=None if recursive else 2
        ):
            if not recursive and any(info.key != prefix for info in page):
                raise DirectoryNotEmpty(f"{uri} is not empty")
            await self._store.delete([info.key for info in page])
            implied.update(_directories_of(page, prefix))
        await self._drop_markers(implied)

    async def _drop_markers(self, prefixes: set[str]) -> None:
        """Stores over a file system keep emptied directories until their marker is deleted."""
        levels: dict[int, list[str]] = {}
        for prefix in prefixes:
            levels.setdefault(prefix.count("/"), []).append(prefix)
        for depth in sorted(levels, reverse=True):
            await self._store.delete(levels[depth])

    async def _make_way(self, source: UfsStatus, dst: str, new: str) -> None:
        """Check what stands at a rename's target; only an empty directory is taken away."""
        try:
            target = await self.stat(dst)
        except NotFound:
            await self._check_parent(new, dst)
            return
        if source.is_dir and not target.is_dir:
            raise NotADirectory(f"{dst} is a file")
        if not source.is_dir and target.is_dir:
            raise IsADirectory(f"{dst} is a directory")
        if target.is_dir:
            await self._delete_directory(new, dst, False)

    async def _move_tree(self, old: str, new: str) -> None:
        """Copy every object, then delete the old ones; what was copied goes if one copy fails."""
        moved = [
            info async for page in self._store.list(f"{old}/", recursive=True) for info in page
        ]
        made = [f"{new}{info.key[len(old) :]}" for info in moved]
        gate = asyncio.Semaphore(_TOGETHER)
        copies = [
            asyncio.ensure_future(_within(gate, self._copy(info, key)))
            for info, key in zip(moved, made, strict=True)
        ]
        try:
            await asyncio.gather(*copies)
        except BaseException:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            await self._store.delete(made)
            raise
        await self._store.delete([info.key for info in moved])
        await self._drop_markers({f"{old}/", *_directories_of(moved, f"{old}/")})

    async def _copy(self, info: ObjectInfo, key: str) -> None:
        if key.endswith("/"):
            await self._store.put(key, b"")
        else:
            await self._store.copy(info, key)

    def _may_write(self, what: str) -> None:
        if not self._store.writable:
            raise Unsupported(f"{self._root} is read-only: this under storage cannot {what}")

    def _key(self, uri: str) -> str:
        """The key of ``uri``; the prefix itself for the root."""
        wanted = uri.rstrip("/")
        if wanted == self._root:
            return self._prefix
        if not wanted.startswith(f"{self._root}/"):
            raise InvalidPath(f"{uri!r} is not under {self._root}/")
        rest = wanted[len(self._root) + 1 :]
        if any(part in _UNNAMED for part in rest.split("/")):
            raise InvalidPath(f"{uri!r} has an empty part, '.' or '..' in it")
        key = f"{self._prefix}/{rest}" if self._prefix else rest
        if len(_as_bytes(key)) > _MOST_KEY:
            raise InvalidPath(f"{uri!r} is longer than the {_MOST_KEY} bytes of a key")
        return key


async def _within(gate: asyncio.Semaphore, work: Coroutine[object, object, None]) -> None:
    async with gate:
        await work


def _directories_of(objects: Sequence[ObjectInfo], prefix: str) -> set[str]:
    """The directories below ``prefix`` that the objects lie in."""
    found = set()
    for info in objects:
        above = info.key.rpartition("/")[0]
        while len(above) >= len(prefix):
            found.add(f"{above}/")
            above = above.rpartition("/")[0]
    return found


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _has_name(key: str, prefix: str) -> bool:
    """Whether a path can name the entry (the directory's own marker has none)."""
    return key.startswith(prefix) and key[len(prefix) :].removesuffix("/") not in _UNNAMED


def _entry(info: ObjectInfo) -> UfsStatus:
    return _directory(info.key.rstrip("/"), info) if info.key.endswith("/") else _file(info)


def _file(info: ObjectInfo) -> UfsStatus:
    return UfsStatus(
        name=info.key.rpartition("/")[2],
        is_dir=False,
        len=info.size,
        mtime=info.mtime,
        mode=OPEN_MODE,
        etag=info.etag,
    )


def _directory(key: str, below: ObjectInfo | None) -> UfsStatus:
    """A directory; its time is that of its marker, 0 without one."""
    own = below is not None and below.key == f"{key}/"
    return UfsStatus(
        name=key.rpartition("/")[2],
        is_dir=True,
        mtime=below.mtime if below is not None and own else 0,
        file_type=FileType.DIR,
        mode=OPEN_MODE,
    )
