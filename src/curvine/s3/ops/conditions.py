# SPDX-License-Identifier: Apache-2.0
"""Conditional headers and ranges of reads and writes (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import calendar
import re
import time

from curvine.s3.context import quoted
from curvine.s3.errors import S3Error
from curvine.s3.records import ObjectInfo, http_date
from curvine.s3.request import S3Request
from curvine.s3.store import Condition, Meant

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_FORMATS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y",
            "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ")  # fmt: skip


def check_read(request: S3Request, info: ObjectInfo, prefix: str = "") -> None:
    """PreconditionFailed or NotModified. ``prefix``: of the headers' names, for copy sources."""
    get = request.headers.get
    match, none_match = get(f"{prefix}if-match"), get(f"{prefix}if-none-match")
    since = _seconds(get(f"{prefix}if-modified-since"))
    unmodified = _seconds(get(f"{prefix}if-unmodified-since"))
    changed = info.mtime // 1000
    if match is not None:
        if not _matches(match, info.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    elif unmodified is not None and changed > unmodified:
        raise S3Error("PreconditionFailed", Condition="If-Unmodified-Since")
    stale = False
    if none_match is not None:
        stale = _matches(none_match, info.etag)
    elif since is not None:
        stale = changed <= since
    if stale:
        if prefix:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        headers = (("ETag", quoted(info.etag)), ("Last-Modified", http_date(info.mtime)))
        raise S3Error("NotModified", headers=headers)


def meant(etag: str, modified: str, size: str) -> Meant:
    """Which object is to be deleted; "" where the request does not say. InvalidArgument."""
    when = _seconds(modified) if modified else None
    if modified and when is None:
        raise S3Error("InvalidArgument", "The time of change is not a date")
    if size and not (size.isascii() and size.isdigit() and len(size) <= 19):
        raise S3Error("InvalidArgument", "The size is not a number")
    return Meant(_bare(etag), when, int(size) if size else None)


def write_condition(request: S3Request) -> Condition:
    """The condition of a PUT."""
    match = request.header("if-match") or ""
    none_match = request.header("if-none-match") or ""
    return Condition(_bare(match), _bare(none_match))


def requested_range(request: S3Request, length: int) -> tuple[int, int] | None:
    """(first byte, size); None for the whole object. InvalidRange."""
    raw = request.header("range")
    found = _RANGE.fullmatch(raw.strip()) if raw else None
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        size = min(int(last), length)
        start = length - size
    else:
        start = int(first)
        if last and int(last) < start:
            return None
        size = min(int(last) + 1 if last else length, length) - start
    if size <= 0:
        raise S3Error(
            "InvalidRange", RangeRequested=raw or "", ActualObjectSize=str(length),
            headers=(("Content-Range", f"bytes */{length}"),),
        )  # fmt: skip
    return start, size


def _matches(header: str, etag: str) -> bool:
    return any(_bare(part) in ("*", etag) for part in header.split(","))


def _bare(value: str) -> str:
    return value.strip().removeprefix("W/").strip('"')


def _seconds(value: str | None) -> int | None:
    if value is None:
        return None
    for form in _FORMATS:
        try:
            return calendar.timegm(time.strptime(value.strip(), form))
        except ValueError:
            continue
    return None
