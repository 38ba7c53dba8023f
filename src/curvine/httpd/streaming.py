# SPDX-License-Identifier: Apache-2.0
"""An HTTP server for data: bodies of any size stream in and out in bounded memory.

One handler is given every request. What it answers with may be bytes, an iterator, or slices of
open files, which leave by sendfile(2) without becoming Python objects (docs/adr, S3 data path).
Only waiting for the client has a deadline: a client that does not send its request, does not go on
with its body or does not take its answer is cut off. uvloop has no ``loop.sendfile``; the bytes go
to a duplicate of the socket, whose writability the loop watches. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from curvine.errors import ConnectionLost, CurvineError, IoFailed
from curvine.httpd.connections import Connections, Guard
from curvine.httpd.protocol import Protocol
from curvine.rpc.bulk import PIECE, FileSlice, is_resident, warm
from curvine.rpc.dialing import describe, set_tcp_options
from curvine.telemetry.logs import OnceLogger

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 4096
REQUEST_SECONDS = 20.0  # for a whole request head
IDLE_SECONDS = 120.0  # between two requests of a connection
STALL_SECONDS = 60.0  # for the next piece of a body, in either direction
MAX_LINE = 16 * 1024  # a key of 1,024 bytes percent-encoded, and a signature in the query
MAX_FIELD = 16 * 1024
MAX_HEADERS = 200
_READ_AHEAD = 512 * 1024  # of a body, before the socket is not read any more
_INLINE = 128 * 1024  # smaller slices of files in memory leave together with their head
_LINGER = 3.0  # a refused body is read for this long, so that the answer is not lost to a reset
_BACKLOG = 1024
_CLOSE_GRACE = 5.0


class BodyFailed(ConnectionLost):
    """The request's body ended early or was not framed as its head says."""

    code = "body_failed"


class Body:
    """The request's body, read once. ``length`` is None where the head does not tell it."""

    def __init__(self, raw: web.BaseRequest, guard: Guard) -> None:
        self.length = raw.content_length if raw.can_read_body else 0
        self._raw = raw
        self._guard = guard
        expects = raw.headers.get("Expect", "").lower() == "100-continue"
        self._promised = expects and raw.can_read_body
        self.untouched = self._promised  # the client was not told to send it

    async def read(self) -> bytes:
        """The next piece, of whatever size has come; b"" at the end. BodyFailed."""
        if self._promised:
            self._promised = self.untouched = False
            transport = self._raw.transport
            if transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._guard.progressed()
        try:
            return await self._raw.content.readany()
        except (OSError, asyncio.IncompleteReadError, web.RequestPayloadError) as error:
            raise BodyFailed("the body ended before its time") from error
        except (HttpProcessingError, ValueError) as error:
            raise BodyFailed("the body is not framed as HTTP says") from error
        finally:
            self._guard.free()


class Incoming(NamedTuple):
    """A request head and its body. ``target`` as received; header names in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, bytes], ...]
    body: Body
    peer: str


class Outgoing(NamedTuple):
    """An answer. With an iterator, ``length`` may be None: it is then sent in chunks.

    A FileSlice's descriptor has to stay open until the next piece is asked for.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | AsyncIterator[bytes | FileSlice] = b""
    length: int | None = None
    close: bool = False


Serve = Callable[[Incoming], Awaitable[Outgoing]]
Explain = Callable[[int, str], Outgoing]  # (status, reason) of a request that could not be read


class _Protocol(Protocol):
    """Requests that cannot be parsed are answered in our words."""

    def __init__(self, manager: web.Server, explain: Explain, **options: Any) -> None:
        super().__init__(manager, **options)
        self._explain = explain

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        reason = type(exc).__name__ if exc is not None else message or ""
        answer = self._explain(status, reason)
        response = web.Response(body=cast(bytes, answer.body), status=answer.status)
        response.headers.extend(answer.headers)
        response.force_close()
        return response


class StreamServer:
    """See the module. ``name`` is for the log."""

    def __init__(
        self, serve: Serve, explain: Explain, *, name: str, connections: Connections | None = None
    ) -> None:
        self._handler = serve
        self._explain = explain
        self._name = name
        self._once = OnceLogger(_log)
        if connections is None:
            connections = Connections(
                MAX_CONNECTIONS,
                waiting_seconds=REQUEST_SECONDS,
                idle_seconds=IDLE_SECONDS,
                busy_seconds=STALL_SECONDS,
                answer_seconds=float("inf"),
            )
        self.connections = connections
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> tuple[str, int]:
        """Serve a listening socket; the address that it really is."""
        self._web = web.Server(self._serve, access_log=None, logger=_log)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=sock, backlog=_BACKLOG)
        address = sock.getsockname()
        return str(address[0]), int(address[1])

    async def close(self) -> None:
        """Stop; answers under way get a moment."""
        if self._server is None or self._web is None:
            return
        self._server.close()
        self._web.pre_shutdown()
        await self._web.shutdown(_CLOSE_GRACE)
        self.connections.close()
        self._server = None

    def _accept(self) -> Guard:
        assert self._web is not None
        protocol = _Protocol(
            self._web,
            self._explain,
            access_log=None,
            logger=_log,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            lingering_time=_LINGER,
            keepalive_timeout=2 * IDLE_SECONDS,  # the guard is earlier
            tcp_keepalive=False,  # set on the listening socket
            read_bufsize=_READ_AHEAD,
            auto_decompress=False,
        )
        return self.connections.guard(protocol)

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        guard = self.connections.guard_of(raw.protocol)
        guard.busy()
        guard.free()
        body = Body(raw, guard)
        peer = raw.remote or ""
        headers = tuple((name.decode("latin-1").lower(), value) for name, value in raw.raw_headers)
        request = Incoming(raw.method, raw.raw_path, headers, body, peer)
        try:
            answer = await self._handler(request)
            guard.progressed()
            sent = await self._send(raw, answer, guard)
            if answer.close or body.untouched or cast(Protocol, raw.protocol).is_last:
                sent.force_close()
            guard.progressed()
            return sent
        finally:
            guard.idle()

    async def _send(
        self, raw: web.BaseRequest, answer: Outgoing, guard: Guard
    ) -> web.StreamResponse:
        body = answer.body
        if isinstance(body, bytes) and answer.length is None:
            whole = web.Response(body=body, status=answer.status)
            whole.headers.extend(answer.headers)
            return whole
        stream = web.StreamResponse(status=answer.status)
        stream.headers.extend(answer.headers)
        if answer.length is not None:
            stream.content_length = answer.length
        else:
            stream.enable_chunked_encoding()
        writer = cast(Any, await stream.prepare(raw))
        if isinstance(body, bytes):  # an answer to HEAD: the length of what GET would send
            return stream
        sender = _Sender(raw, guard)
        try:
            async for piece in body:
                if isinstance(piece, bytes):
                    await stream.write(piece)
                    guard.progressed()
                else:
                    await sender.send(writer, stream, piece)
        except (CurvineError, OSError) as error:
            # Too late for another status: the client sees a torn answer.
            if not isinstance(error, ConnectionError):
                text = "%s: an answer ended early: %s"
                self._once.log(logging.WARNING, type(error), text, self._name, error)
            guard.cut()
        finally:
            sender.close()
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        return stream


class _Sender:
    """Slices of files to one connection, behind what the library has written."""

    def __init__(self, raw: web.BaseRequest, guard: Guard) -> None:
        self._raw = raw
        self._guard = guard
        self._fd = -1
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] | None = None
        guard.on_lost = self._wake  # a duplicate does not notice that the connection was cut

    async def send(self, writer: Any, stream: web.StreamResponse, part: FileSlice) -> None:
        """Send a slice; ConnectionLost when the client has gone."""
        fd, offset, length = part
        while length > 0:
            piece = min(length, PIECE)
            if not is_resident(fd, offset, piece):
                self._guard.free()
                await self._loop.run_in_executor(None, warm, os.dup(fd), offset, piece)
            if piece <= _INLINE:
                data = os.pread(fd, piece, offset)
                if len(data) < piece:
                    raise IoFailed("a file ended before the end that the client was promised")
                await stream.write(data)
            else:
                writer.send_headers()
                await self._flushed()
                await self._sendfile(fd, offset, piece)
            self._guard.progressed()
            offset += piece
            length -= piece

    def close(self) -> None:
        """Release the duplicate of the socket."""
        self._guard.on_lost = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _flushed(self) -> None:
        """Wait until the kernel has what was written before: files overtake nothing."""
        while True:
            transport = self._raw.transport
            if transport is None or transport.is_closing():
                raise ConnectionLost("the client has gone")
            if not transport.get_write_buffer_size():
                break
            await asyncio.sleep(0)
            if transport.get_write_buffer_size():
                await self._writable()
        if self._fd < 0:
            self._fd = os.dup(transport.get_extra_info("socket").fileno())

    async def _sendfile(self, fd: int, offset: int, length: int) -> None:
        while length > 0:
            try:
                sent = os.sendfile(self._fd, fd, offset, length)
            except BlockingIOError:
                await self._writable()
                if self._raw.transport is None:  # cut: the duplicate would go on for ever
                    raise ConnectionLost("the client has gone") from None
                self._guard.progressed()
                continue
            if not sent:
                raise IoFailed("a file ended before the end that the client was promised")
            offset += sent
            length -= sent

    async def _writable(self) -> None:
        if self._fd < 0:
            transport = self._raw.transport
            if transport is None:
                raise ConnectionLost("the client has gone")
            self._fd = os.dup(transport.get_extra_info("socket").fileno())
        self._ready = self._loop.create_future()
        self._loop.add_writer(self._fd, self._wake)
        try:
            await self._ready
        finally:
            self._loop.remove_writer(self._fd)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)


def listen_shared(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; ``shared``: several processes take turns (SO_REUSEPORT). IoFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        set_tcp_options(sock)  # accepted sockets inherit them
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise IoFailed(f"cannot listen on {describe((host, port))}: {reason}") from error
    return sock
