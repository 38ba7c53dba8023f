# SPDX-License-Identifier: Apache-2.0
"""Requests to a web server that is an under storage, with patience; the client's side of aiohttp.

Paths are URIs as ``ufs.base`` has them (nothing in them is percent-encoded), answers are what
matters of a response. Redirects are followed, credentials stay with the server they are for.
Source: RFC 9110 (conditional requests, ranges).
"""

from __future__ import annotations

import asyncio
import email.utils
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

import aiohttp
import msgspec
from yarl import URL

from curvine.errors import CurvineError
from curvine.model.path import name_from_wire, name_to_wire
from curvine.ufs.blame import Place
from curvine.ufs.patience import Patience

T = TypeVar("T")
_AGAIN = frozenset({429, 500, 502, 503, 504})
_SAFE = "/!$&'()*+,;=:@~"  # RFC 3986: what a path may hold as it is
_TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)


class Answer(msgspec.Struct, frozen=True):
    """A response's head. ``url`` is where redirects led."""

    status: int
    url: str
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Bytes of the whole file, None where the server does not say."""
        of_range = self.headers.get("Content-Range", "")
        text = of_range.rpartition("/")[2] if of_range else self.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() else None

    @property
    def etag(self) -> str | None:
        """The mark of the content, as the server writes it."""
        return self.headers.get("ETag") or None

    @property
    def mtime(self) -> int:
        """ms; 0 = the server tells neither time nor mark, 1 = it tells a mark only."""
        text = self.headers.get("Last-Modified", "")
        try:
            return round(email.utils.parsedate_to_datetime(text).timestamp() * 1000)
        except ValueError:
            return 1 if self.etag else 0


class WebServer:
    """One web server. Used from one event loop."""

    def __init__(
        self, place: Place, patience: Patience, headers: Mapping[str, str] | None = None
    ) -> None:
        self._place = place
        self._patience = patience
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._session: aiohttp.ClientSession | None = None

    async def head(self, uri: str) -> Answer:
        """What the server tells about a file."""
        answer = await self._once("HEAD", uri, {})
        if answer.status in (405, 501):
            answer = await self._once("GET", uri, {"Range": "bytes=0-0"})
        return answer

    @asynccontextmanager
    async def get(
        self, uri: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Answer, aiohttp.StreamReader]]:
        """A response with its body."""
        async with self._request("GET", uri, headers) as response:
            yield _answer(response), response.content

    async def text(self, uri: str) -> tuple[Answer, str]:
        """A whole page, if it is one of HTML; else no text."""

        async def fetch() -> tuple[Answer, str]:
            async with self._request("GET", uri, {}) as response:
                html = response.content_type in ("text/html", "application/xhtml+xml")
                whole = response.ok and html
                return _answer(response), await response.text(errors="replace") if whole else ""

        return await self.patiently(uri, fetch)

    async def _once(self, method: str, uri: str, headers: Mapping[str, str]) -> Answer:
        async def ask() -> Answer:
            async with self._request(method, uri, headers) as response:
                return _answer(response)

        return await self.patiently(uri, ask)

    async def patiently(self, uri: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again what fails for a reason of the moment, as long as ``patience`` says."""
        loop, patience = asyncio.get_running_loop(), self._patience
        until, pause, tries = loop.time() + patience.total, patience.first_pause, 0
        while True:
            try:
                return await attempt()
            except CurvineError:
                raise
            except Busy as busy:
                error = self.blamed(busy.status, uri)
            except _TROUBLE as trouble:
                error = self._place.blamed(_words(trouble))
            tries += 1
            over = tries > patience.retries if not patience.outlast else loop.time() > until
            if over:
                raise error
            await asyncio.sleep(pause)
            pause = min(pause * 2, patience.longest_pause)

    def blamed(self, status: int, uri: str) -> CurvineError:
        """The error for a status."""
        return self._place.blamed(
            f"status code: {status}", uri.partition("://")[2].partition("/")[2]
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _request(
        self, method: str, uri: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            patience = self._patience
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=patience.connect, sock_read=patience.answer
                ),
            )
        async with self._session.request(method, url_of(uri), headers=headers) as response:
            if response.status in _AGAIN:
                raise Busy(response.status)
            yield response


class Busy(Exception):
    """A status that may be another one in a moment."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def url_of(uri: str) -> URL:
    """The URL of a URI."""
    scheme, _, rest = uri.partition("://")
    host, _, path = rest.partition("/")
    quoted = quote_from_bytes(name_from_wire(path), _SAFE)
    return URL(f"{scheme}://{host}/{quoted}", encoded=True)


def path_of(url: str) -> str:
    """The path of a URL as URIs have it."""
    return name_to_wire(unquote_to_bytes(urlsplit(url).path))


def _answer(response: aiohttp.ClientResponse) -> Answer:
    return Answer(response.status, str(response.url), response.headers)


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):  # its own text speaks of ssl in any case
        number = error.os_error.errno
        return os.strerror(number) if number and number > 0 else str(error.os_error)
    return str(error) or ("timed out" if isinstance(error, TimeoutError) else repr(error))
