# SPDX-License-Identifier: Apache-2.0
"""http:// and https://: the files of a web server, read-only.

A path is a file if the server answers a HEAD of it, a directory if it leads to the same path with a
slash at its end (a redirect, or an answer there). The entries of a directory are the links of the
page that the server shows for it, as nginx, Apache, Python's server and rclone write it; without
such a page the directory cannot be listed, but files in it can be named and read.
Validity: ETag where there is one, else Last-Modified and length; a file with neither is never
cached. Source: RFC 9110; docs/under-storage.md.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from curvine.errors import (
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    UfsChanged,
    UfsFailed,
    Unsupported,
)
from curvine.model.inode import FileType
from curvine.ufs.base import OPEN_MODE, Capabilities, Ufs, UfsReader, UfsStatus
from curvine.ufs.blame import Place
from curvine.ufs.http_engine import Answer, WebServer, path_of
from curvine.ufs.patience import Patience

_TOGETHER = 16  # HEADs of one listing in flight
_SKIP = 1024 * 1024  # read at a time where a server knows no ranges
_GONE = (404, 410)
Listing = list[UfsStatus]  # inside the class the name "list" is a method


class HttpUfs(Ufs):
    """What lies at and below one URL."""

    capabilities = Capabilities()

    def __init__(self, uri: str, server: WebServer) -> None:
        self._root = uri.rstrip("/")
        self._server = server

    async def stat(self, uri: str) -> UfsStatus:
        return await self._stat(self._checked(uri))

    async def list(self, uri: str) -> Listing:
        where = self._checked(uri)
        answer, page = await self._server.text(f"{where}/")
        if answer.status in _GONE or not page:
            known = await self._stat(where)
            if not known.is_dir:
                raise NotADirectory(f"{uri} is a file")
            raise Unsupported(
                f"{uri}: the server shows no page with the entries of this directory;"
                " name the files"
            )
        gate = asyncio.Semaphore(_TOGETHER)
        names = _links(answer.url, page)
        found = await asyncio.gather(*(self._entry(gate, where, name) for name in names))
        entries = {status.name: status for status in found if status is not None}
        return [entries[name] for name in sorted(entries, key=_as_bytes)]

    async def open_read(self, uri: str, *, ahead: int = 0) -> UfsReader:
        where = self._checked(uri)
        answer, status = await self._look(where)
        if status.is_dir:
            raise IsADirectory(f"{uri} is a directory")
        return HttpReader(self._server, where, answer, status)

    async def close(self) -> None:
        await self._server.close()

    async def _entry(self, gate: asyncio.Semaphore, where: str, name: str) -> UfsStatus | None:
        if name.endswith("/"):
            return _directory(name[:-1])
        async with gate:
            try:
                return await self._stat(f"{where}/{name}")
            except (NotFound, UfsFailed):
                return None  # a link that leads nowhere

    async def _stat(self, where: str) -> UfsStatus:
        return (await self._look(where))[1]

    async def _look(self, where: str) -> tuple[Answer, UfsStatus]:
        name = where.rpartition("/")[2]
        answer = await self._server.head(where)
        if 200 <= answer.status < 300 and not urlsplit(answer.url).path.endswith("/"):
            length = answer.length
            if length is None:
                raise UfsFailed(f"{where}: the server does not say how long the file is")
            return answer, UfsStatus(
                name=name, is_dir=False, len=length, mtime=answer.mtime, mode=OPEN_MODE,
                etag=answer.etag,
            )  # fmt: skip
        if answer.status == 401:
            raise self._server.blamed(401, where)
        if 200 <= answer.status < 300 or where == self._root:
            return answer, _directory(name)
        if answer.status not in _GONE:
            raise self._server.blamed(answer.status, where)
        with_slash = await self._server.head(f"{where}/")
        if 200 <= with_slash.status < 300 or with_slash.status == 403:
            return with_slash, _directory(name)
        raise NotFound(f"{where} does not exist")

    def _checked(self, uri: str) -> str:
        wanted = uri.rstrip("/")
        if wanted == self._root:
            return wanted
        if not wanted.startswith(f"{self._root}/"):
            raise InvalidPath(f"{uri!r} is not under {self._root}/")
        if any(part in ("", ".", "..") for part in wanted[len(self._root) + 1 :].split("/")):
            raise InvalidPath(f"{uri!r} has an empty part, '.' or '..' in it")
        return wanted


class HttpReader(UfsReader):
    """One version of a file."""

    def __init__(self, server: WebServer, uri: str, answer: Answer, status: UfsStatus) -> None:
        self.length = status.len
        self.mtime = status.mtime
        self.etag = status.etag
        self._server = server
        self._uri = uri
        strong = self.etag is not None and not self.etag.startswith("W/")
        self._condition = {"If-Match": self.etag} if strong and self.etag else {}

    async def read_at(self, offset: int, size: int) -> bytes | memoryview:
        size = min(size, self.length - offset)
        if size <= 0:
            return b""

        async def fetch() -> bytes:
            wanted = {"Range": f"bytes={offset}-{offset + size - 1}", **self._condition}
            async with self._server.get(self._uri, wanted) as (answer, body):
                self._check(answer)
                if answer.status == 200:  # it knows no ranges and sends everything
                    left = offset
                    while left:
                        skipped = await body.read(min(left, _SKIP))
                        if not skipped:
                            raise UfsChanged(f"{self._uri} changed while it was read")
                        left -= len(skipped)
                elif not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                    raise UfsFailed(f"{self._uri}: the server sent another range than asked for")
                return await body.readexactly(size)

        return await self._server.patiently(self._uri, fetch)

    def _check(self, answer: Answer) -> None:
        if answer.status not in (200, 206, 412, 416):
            raise self._server.blamed(answer.status, self._uri)
        same = (answer.length, answer.etag, answer.mtime) == (self.length, self.etag, self.mtime)
        if answer.status in (412, 416) or not same:
            raise UfsChanged(f"{self._uri} changed while it was read")

    async def close(self) -> None:
        """Nothing is held."""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def http(uri: str, properties: Mapping[str, str], patience: Patience) -> Ufs:
    """The driver of http:// and https://."""
    parts = urlsplit(uri)
    if not parts.hostname or "@" in parts.netloc:
        raise InvalidArgument(
            f"{parts.scheme}://...: write scheme://host/path; credentials go into http.username and"
            " http.password, or http.token"
        )
    if parts.query or parts.fragment:
        raise InvalidArgument(f"{uri}: a mounted URL has neither '?' nor '#'")
    headers = {}
    if properties.get("http.token"):
        headers["Authorization"] = f"Bearer {properties['http.token']}"
    elif properties.get("http.username"):
        pair = f"{properties['http.username']}:{properties.get('http.password', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    root = f"{parts.scheme}://{parts.netloc}"
    place = Place(
        root, root, access="http.username", secret="http.password, http.token",
        endpoint_key="the URL",
    )  # fmt: skip
    return HttpUfs(uri, WebServer(place, patience, headers))


def _links(url: str, page: str) -> list[str]:
    """The names that a directory's page links to, directories with a slash at the end."""
    parser = _Links()
    parser.feed(page)
    here, base = path_of(url), urlsplit(url)
    found: dict[str, None] = {}
    for link in parser.found:
        target = urlsplit(urljoin(url, link))
        if (target.scheme, target.netloc) != (base.scheme, base.netloc) or target.query:
            continue
        path = path_of(target.geturl())
        name = path[len(here) :] if path.startswith(here) else ""
        plain = name.removesuffix("/")
        if plain not in ("", ".", "..") and "/" not in plain:
            found[name] = None
    return list(found)


def _directory(name: str) -> UfsStatus:
    return UfsStatus(name=name, is_dir=True, file_type=FileType.DIR, mode=OPEN_MODE)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
