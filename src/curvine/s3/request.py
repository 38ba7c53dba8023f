# SPDX-License-Identifier: Apache-2.0
"""A request as S3 means it: bucket, key, query, headers.

The bucket is the first part of the path, or of the Host (virtual-host style): ``bucket.DOMAIN`` for
our domains, and ``bucket.s3.anything``. Paths are decoded once and never normalised.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_to_bytes

from curvine.httpd.streaming import Body, Incoming
from curvine.s3.errors import S3Error

_AMAZON_STYLE = re.compile(r"([a-z0-9][a-z0-9.-]*)\.s3(?:[.-][a-z0-9.-]+)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class S3Request:
    """One request. ``bucket`` and ``key`` are "" where the path has none."""

    __slots__ = (
        "body", "bucket", "headers", "host_bucket", "id", "key", "method", "path", "peer", "query",
        "query_text", "raw_headers",
    )  # fmt: skip

    def __init__(self, raw: Incoming, request_id: str, domains: Collection[str]) -> None:
        self.id = request_id
        self.method = raw.method
        self.peer = raw.peer
        self.body: Body = raw.body
        self.raw_headers = raw.headers
        self.headers: dict[str, str] = {}
        for name, value in raw.headers:
            if name in self.headers:
                self.headers[name] += "," + _text(value)
            else:
                self.headers[name] = _text(value)
        target = raw.target
        if "://" in target.partition("?")[0]:  # absolute form, as proxies send it
            target = "/" + target.split("://", 1)[1].partition("/")[2]
        self.path, _, self.query_text = target.partition("?")
        self.query = _parse_query(self.query_text)
        self.host_bucket = _bucket_of_host(self.headers.get("host", ""), domains)
        if self.host_bucket:
            self.bucket, self.key = self.host_bucket, _decoded(self.path[1:])
        else:
            bucket, _, key = self.path[1:].partition("/")
            self.bucket, self.key = _decoded(bucket), _decoded(key)

    def header(self, name: str) -> str | None:
        """A header by its name in lower case."""
        return self.headers.get(name)

    def argument(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.query.get(name, default)

    def number(self, name: str, default: int, most: int = 1 << 31) -> int:
        """A query parameter that is a number from 0 to ``most``. InvalidArgument."""
        raw = self.query.get(name)
        if raw is None or raw == "":
            return default
        if not (raw.isascii() and raw.isdigit()) or len(raw) > 10 or int(raw) > most:
            raise S3Error(
                "InvalidArgument", f"{name} has to be a number from 0 to {most}",
                ArgumentName=name, ArgumentValue=raw[:100],
            )  # fmt: skip
        return int(raw)

    @property
    def resource(self) -> str:
        """Bucket and key, for error documents."""
        return f"/{self.bucket}/{self.key}" if self.bucket else "/"


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _decoded(part: str) -> str:
    if "%" not in part and part.isascii():
        return part
    if _BAD_ESCAPE.search(part):
        raise S3Error("InvalidURI")
    try:
        return unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The path is not UTF-8") from None


def _parse_query(text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            key = _decoded_query(name)
            if key not in query:
                query[key] = _decoded_query(value)
    return query


def _decoded_query(part: str) -> str:
    if "%" not in part and "+" not in part and part.isascii():
        return part
    try:
        return unquote_to_bytes(part.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidArgument", "The query is not UTF-8") from None


def _bucket_of_host(host: str, domains: Collection[str]) -> str:
    name = host.lower()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] or name if name.rpartition(":")[2].isdigit() else name
    for domain in domains:
        if name.endswith("." + domain):
            return name[: -len(domain) - 1]
        if name == domain:
            return ""
    found = _AMAZON_STYLE.fullmatch(name)
    return found[1] if found else ""
