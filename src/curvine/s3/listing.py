# SPDX-License-Identifier: Apache-2.0
"""One page of a bucket's keys: prefix, delimiter, position, limit.

Source: Amazon S3 API reference, ListObjects and ListObjectsV2. A common prefix counts as one entry;
a position that is a common prefix is behind all keys in it.
"""

from __future__ import annotations

from typing import NamedTuple

from curvine.client.unified import UnifiedFileSystem
from curvine.model.inode import FileStatus
from curvine.s3.records import ObjectInfo, object_info
from curvine.s3.walk import walk

MAX_KEYS = 1000
_LAST = "\U0010ffff"
_SKIP_AFTER = 200  # keys of one common prefix that are passed over before the walk starts anew


class Page(NamedTuple):
    """Objects and common prefixes, both in order; ``last`` is the position of the last of both."""

    objects: list[ObjectInfo]
    prefixes: list[str]
    truncated: bool
    last: str


class _Collector:
    def __init__(self, prefix: str, delimiter: str, after: str | None, limit: int) -> None:
        self.objects: list[ObjectInfo] = []
        self.prefixes: list[str] = []
        self.last = ""
        self.full = False
        self._prefix = prefix
        self._delimiter = delimiter
        self._after = after
        self._limit = limit
        self.passed = 0  # keys seen in a row that the last common prefix covers

    def take(self, key: str, status: FileStatus, is_dir: bool) -> None:
        """One key, or directory, of the walk."""
        common = key if is_dir else self._common(key)
        if common and ((self.prefixes and common == self.prefixes[-1]) or common == self._after):
            self.passed += 1
            return
        self.passed = 0
        if len(self.objects) + len(self.prefixes) >= self._limit:
            self.full = True
            return
        if common:
            self.prefixes.append(common)
            self.last = common
        else:
            self.objects.append(object_info(key, status))
            self.last = key

    def _common(self, key: str) -> str:
        if not self._delimiter:
            return ""
        end = key.find(self._delimiter, len(self._prefix))
        return key[: end + len(self._delimiter)] if end >= 0 else ""


async def list_page(
    fs: UnifiedFileSystem,
    bucket: str,
    root: FileStatus,
    *,
    prefix: str,
    delimiter: str,
    after: str | None,
    limit: int,
) -> Page:
    """At most ``limit`` keys and common prefixes behind ``after``."""
    collector = _Collector(prefix, delimiter, after, limit)
    if limit <= 0:
        return Page([], [], False, "")
    position = after
    if position is not None and delimiter and position.endswith(delimiter):
        inside = position.find(delimiter, len(prefix))
        if position.startswith(prefix) and inside == len(position) - len(delimiter):
            position += _LAST  # a common prefix: everything in it has been told
    while True:
        entries = walk(
            fs, bucket, root, prefix=prefix, after=position, page=limit + 1,
            shallow=delimiter == "/",
        )  # fmt: skip
        restart = False
        try:
            async for entry in entries:
                collector.take(entry.key, entry.status, entry.is_dir)
                if collector.full:
                    break
                if collector.passed > _SKIP_AFTER and collector.prefixes:
                    position = collector.prefixes[-1] + _LAST
                    restart = True
                    break
        finally:
            await entries.aclose()  # type: ignore[attr-defined]  # it is an async generator
        if not restart:
            break
        collector.passed = 0
    return Page(collector.objects, collector.prefixes, collector.full, collector.last)
