# SPDX-License-Identifier: Apache-2.0
"""Keys of a bucket in S3's order, read from the directory tree page by page.

S3 orders by the bytes of whole keys, a directory by the bytes of names. They differ where a
directory ``a`` has a neighbour such as ``a-b``: the keys ``a/...`` come behind it, because "-"
sorts before "/". So a directory that a page names waits, under the name ``a/``, until the names
have passed it. What waits is only what begins with the name of what waits, so it is little.

Nothing is read but what lies at or behind the position asked for: each level of the tree is entered
at its own component of it. Code points order as UTF-8 bytes do, so texts are compared.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

from curvine.client.unified import UnifiedFileSystem
from curvine.errors import Common, CurvineError, NotADirectory, NotFound, ParentNotDirectory
from curvine.model.inode import FileStatus, FileType
from curvine.model.path import join
from curvine.s3.keys import (
    DIR,
    HAS_SPECIAL,
    HOME,
    SPECIAL,
    bucket_path,
    decode_component,
    directory_of,
    self_path,
)
from curvine.s3.places import marks

_PAGE = 1000  # entries asked for at a time, at most
_GONE = (NotFound, NotADirectory, ParentNotDirectory)
_LAST = "\U0010ffff"


class Entry(NamedTuple):
    """A key, or a directory (``key`` ends with "/", ``status`` is the directory's)."""

    key: str
    status: FileStatus
    is_dir: bool


class _Waiting(NamedTuple):
    order: str  # relative to the directory; a directory's ends with "/"
    number: int  # makes entries comparable
    path: str
    status: FileStatus


class _Level:
    """One directory being walked. ``after``: only what sorts behind it, relative; None = all."""

    def __init__(
        self,
        fs: UnifiedFileSystem,
        path: str,
        base: str,
        *,
        after: str | None,
        begins: str,
        special: bool,
        page: int,
    ) -> None:
        self.path = path
        self.base = base
        self.after = after
        self._fs = fs
        self._begins = begins
        self._special = special
        self._page = min(max(page, 2), _PAGE)
        self._names: deque[FileStatus] = deque()
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._last: str | None = None
        self._ended = False
        self._begun = False

    async def next(self) -> tuple[str, str, FileStatus] | None:
        """(relative key, path, status) of what comes next; a directory's key ends with "/"."""
        if not self._begun:
            self._begun = True
            await self._begin()
        while True:
            if not self._names and not self._ended:
                await self._read_page()
            head = self._names[0] if self._names else None
            if self._waiting and (head is None or self._waiting[0].order <= head.name):
                found = heapq.heappop(self._waiting)
                return found.order, found.path, found.status
            if head is None:
                return None
            self._names.popleft()
            if head.name.startswith(SPECIAL) or head.name == HOME:
                continue
            path = join(self.path, head.name)
            if head.is_dir:
                inside = await self._directory(head, path)
                if inside is not None:
                    return inside
            elif head.file_type != FileType.LINK and self._wanted(head.name):
                return head.name, path, head

    async def _directory(self, status: FileStatus, path: str) -> tuple[str, str, FileStatus] | None:
        """Let a directory wait; the object of the same name comes at once."""
        self._wait(status.name + "/", path, status)
        if HAS_SPECIAL in marks(status) and self._wanted(status.name):
            try:
                return status.name, self_path(path), await self._fs.status(self_path(path))
            except _GONE:
                pass
        return None

    def _wanted(self, order: str) -> bool:
        if not order.startswith(self._begins):
            return False
        return (
            self.after is None
            or order > self.after
            or (order.endswith("/") and self.after.startswith(order))
        )

    def _wait(self, order: str, path: str, status: FileStatus) -> None:
        if self._wanted(order):
            self._count += 1
            heapq.heappush(self._waiting, _Waiting(order, self._count, path, status))

    async def _begin(self) -> None:
        """Find where the names begin, and what waits already there."""
        if self._special:
            await self._special_names()
        start = _before(self._begins) if self._begins else None
        if self.after is not None and self.after >= self._begins and self.after:
            first = self.after.partition("/")[0]
            if first:
                for name in _shorter(first):
                    if name.startswith(self._begins):
                        await self._candidate(name)
                start = first
        self._last = start

    async def _candidate(self, name: str) -> None:
        """A directory whose name sorts before the position, but whose keys may lie behind it."""
        if name.startswith(SPECIAL) or name in (HOME, ".", ".."):
            return
        path = join(self.path, name)
        try:
            status = await self._fs.status(path)
        except (*_GONE, Common):
            return
        if status.is_dir:
            self._wait(name + "/", path, status)
            # The object of the same name is not behind the position: it is the position at most.

    async def _special_names(self) -> None:
        """Components that had to be escaped, and the object that is this directory."""
        last = _before(SPECIAL)
        while True:
            page = await self._fs.list(self.path, _PAGE, last)
            for status in page:
                name = status.name
                if not name.startswith(SPECIAL):
                    return
                path = join(self.path, name)
                component = decode_component(name)
                if name == DIR:
                    self._wait("", path, status)
                elif component is not None and status.is_dir:
                    self._wait(component + "/", path, status)
                    if HAS_SPECIAL in marks(status) and component:
                        await self._special_self(component, path)
                elif component is not None:
                    self._wait(component, path, status)
            if len(page) < _PAGE:
                return
            last = page[-1].name

    async def _special_self(self, component: str, path: str) -> None:
        try:
            self._wait(component, self_path(path), await self._fs.status(self_path(path)))
        except _GONE:
            pass

    async def _read_page(self) -> None:
        try:
            page = await self._fs.list(self.path, self._page, self._last)
        except _GONE:
            page = []  # removed while we walk
        if len(page) < self._page:
            self._ended = True
        if page:
            self._last = page[-1].name
            self._page = _PAGE
        for status in page:
            if self._begins and not status.name.startswith(self._begins):
                if status.name > self._begins and not self._begins.startswith(status.name):
                    self._ended = True
                    break
                continue
            self._names.append(status)


async def walk(
    fs: UnifiedFileSystem,
    bucket: str,
    root: FileStatus,
    *,
    prefix: str = "",
    after: str | None = None,
    page: int = _PAGE,
    shallow: bool = False,
) -> AsyncIterator[Entry]:
    """Keys of a bucket that begin with ``prefix`` and sort behind ``after``, in order.

    ``shallow``: directories at the level of ``prefix`` are named (key with "/") and not entered,
    unless ``after`` lies inside: then they are named when a key in them sorts behind it.
    """
    parents, _, begins = prefix.rpartition("/")
    base = prefix[: len(prefix) - len(begins)]
    start, status = bucket_path(bucket), root
    if base:
        start = directory_of(bucket, parents.split("/"))
        try:
            status = await fs.status(start)
        except (*_GONE, CurvineError):
            return
        if not status.is_dir:
            return
    if after is not None and after < prefix:
        after = None
    inner = None
    if after is not None:
        if not after.startswith(base):
            return  # behind everything that begins with the prefix
        inner = after[len(base) :]
    levels = [_level(fs, start, base, inner, begins, status, page)]
    while levels:
        level = levels[-1]
        found = await level.next()
        if found is None:
            levels.pop()
            continue
        order, path, status = found
        key = level.base + order
        if not status.is_dir:
            yield Entry(key, status, False)
            continue
        within = None
        if level.after is not None and level.after.startswith(order):
            within = level.after[len(order) :]
        if shallow and len(levels) == 1 and within is None:
            yield Entry(key, status, True)
            continue
        levels.append(_level(fs, path, key, within, "", status, page))


def _level(
    fs: UnifiedFileSystem,
    path: str,
    base: str,
    after: str | None,
    begins: str,
    status: FileStatus,
    page: int,
) -> _Level:
    special = HAS_SPECIAL in marks(status)
    return _Level(fs, path, base, after=after, begins=begins, special=special, page=page)


def _before(text: str) -> str:
    """A text that sorts before every one that begins with ``text``, and behind nearly all others
    that do: what lies between is sorted out by whoever reads."""
    code = ord(text[-1]) - 1
    if 0xD800 <= code <= 0xDFFF:
        code = 0xD7FF
    return text[:-1] + (chr(code) + _LAST if code > 0 else "")


def _shorter(name: str) -> list[str]:
    """Names that sort before ``name`` as such and behind it (or at it) with a "/" at their end."""
    return [name[:end] for end in range(1, len(name)) if name[end] < "/"] + [name]
