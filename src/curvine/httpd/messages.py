# SPDX-License-Identifier: Apache-2.0
"""Requests and responses as pages see them: no trace of the library that serves them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Request:
    """One request without a body. ``peer`` and ``local`` are the connection's IP addresses."""

    __slots__ = ("_headers", "_query", "local", "method", "path", "peer", "port")

    def __init__(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        *,
        peer: str = "",
        local: str = "",
        port: int = 0,
    ) -> None:
        self.method = method
        self.path, _, self._query = target.partition("?")
        self._headers = [(name.lower(), value) for name, value in headers]
        self.peer = peer
        self.local = local
        self.port = port  # that we listen on

    def header(self, name: str) -> str | None:
        """A header; several of one name are joined by commas."""
        found = [value for key, value in self._headers if key == name]
        return ",".join(found) if found else None

    def header_names(self) -> set[str]:
        """All header names, in lower case."""
        return {name for name, _ in self._headers}

    def query(self, name: str) -> bytes | None:
        """The first value of a query parameter, as bytes: names of files need not be UTF-8."""
        for part in self._query.split("&"):
            key, _, value = part.replace("+", " ").partition("=")
            if unquote_to_bytes(key) == name.encode():
                return unquote_to_bytes(value)
        return None


class Response(NamedTuple):
    """An answer; an iterator is sent as it comes, at the client's pace."""

    body: bytes | AsyncIterator[bytes]
    status: int = 200
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """An answer that is an error: ``{"message": text}`` with a status."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


Handler = Callable[[Request], Response | Awaitable[Response]]


class Route(NamedTuple):
    """One path. ``changes``: only for administrators, and never by HEAD. ``public``: answered
    whatever the Host header says (probes and scrapers)."""

    path: str
    handler: Handler
    changes: bool = False
    public: bool = False


def as_json(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status)


def as_text(text: str, status: int = 200) -> Response:
    """Text for people and probes."""
    return Response(text.encode("utf-8", "replace"), status, TEXT)
