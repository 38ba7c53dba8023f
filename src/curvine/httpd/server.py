# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of every process: a table of paths, bounded in time, connections and memory.

It shares the process's loop with RPC or FUSE, so nothing a client does may cost them anything:

- a connection that does not finish its request, or does not take its answer, is cut off;
- connections and requests at work are counted; at the limit the longest waiting one is cut off;
- long answers are made piece by piece, as the client takes them;
- all pages together get a share of the loop (``httpd.pace``).

An address that is in use is a warning: several pods of a node may share the network's ports
(fluid-contract 6). Times are seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from aiohttp import web

from curvine.errors import CurvineError
from curvine.httpd.access import Access
from curvine.httpd.connections import Connections, Guard
from curvine.httpd.messages import Refused, Request, Response, Route, as_json
from curvine.httpd.pace import Pace
from curvine.httpd.protocol import Protocol
from curvine.rpc.dialing import describe, listen
from curvine.telemetry.logs import OnceLogger

_log = logging.getLogger(__name__)

MAX_REQUESTS = 32  # at work at a time
PIECE = 64 * 1024  # bytes sent before the client's pace is looked at
_SEND_BUFFER = 128 * 1024  # bytes of an answer that the kernel takes before the client does
_CLOSE_GRACE = 1.0
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_METHODS = ("GET", "HEAD", "POST")


class HttpServer:
    """Serves ``routes``. ``name`` is for the log."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        name: str,
        access: Access | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._routes = {route.path: route for route in routes}
        self._name = name
        self._access = access or Access()
        self._once = OnceLogger(_log)
        self._connections = Connections() if connections is None else connections
        self._pace = Pace()
        self._working = 0
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port listened on; 0 while there is none."""
        return self._port

    async def start(self, host: str, port: int) -> tuple[str, int] | None:
        """Listen; the address that it really is, None (and a warning) if it cannot be had."""
        try:
            sock = await listen(host, port)
        except CurvineError as error:
            _log.warning("%s: no HTTP pages: %s", self._name, error)
            return None
        self._web = web.Server(self._serve, access_log=None, logger=_log)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # accepted ones inherit
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=sock)
        address = sock.getsockname()
        self._port = int(address[1])
        _log.info("%s: HTTP pages at %s", self._name, describe((str(address[0]), self._port)))
        return str(address[0]), self._port

    async def close(self) -> None:
        """Stop; answers under way get a moment."""
        if self._server is None or self._web is None:
            return
        self._server.close()
        self._web.pre_shutdown()
        await self._web.shutdown(_CLOSE_GRACE)
        self._connections.close()
        self._server = None

    def _accept(self) -> Guard:
        assert self._web is not None
        protocol = Protocol(
            self._web,
            access_log=None,
            logger=_log,
            max_line_size=16 * 1024,  # a path may be long
            max_field_size=8 * 1024,
            lingering_time=0,
            keepalive_timeout=60,
        )
        return self._connections.guard(protocol)

    # -- one request ------------------------------------------------------------------------------

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        guard = self._connections.guard_of(raw.protocol)
        guard.busy()
        try:
            await guard.writable()
            response = await self._answer(raw)
            sent = await self._send(raw, response, guard)
            if raw.can_read_body or raw.method not in _METHODS:
                sent.force_close()  # whatever follows is not a request
            if cast(Protocol, raw.protocol).is_last:
                sent.force_close()
            return sent
        finally:
            guard.idle()

    async def _answer(self, raw: web.BaseRequest) -> Response:
        request = _request(raw, self._port)
        route = self._routes.get(request.path)
        is_probe = route is not None and route.public
        if self._working >= MAX_REQUESTS and not is_probe:
            return as_json({"message": "too many requests at a time, try again"}, 503)
        self._working += 1
        try:
            if is_probe:
                found = self._handle(request, route)
            else:
                async with self._pace:
                    found = self._handle(request, route)
            return found if isinstance(found, Response) else await found
        except Refused as refusal:
            answer = as_json({"message": refusal.text}, refusal.status)
            return answer._replace(headers=refusal.headers)
        except CurvineError as error:
            return as_json({"message": error.message}, 500)
        except Exception as error:
            text = "%s: %s failed"
            self._once.log(
                logging.ERROR, (raw.path, type(error)), text, self._name, raw.path, error=error
            )
            return as_json({"message": "failed inside the server; its log says why"}, 500)
        finally:
            self._working -= 1

    def _handle(self, request: Request, route: Route | None) -> Response | Awaitable[Response]:
        if request.method not in _METHODS:
            raise Refused(405, f"{request.method} is not served", (("Allow", "GET, HEAD, POST"),))
        if route is None or not route.public:
            self._access.check_read(request)
        if route is None:
            raise Refused(404, f"there is no page {request.path[:200]}")
        if route.changes:
            if request.method == "HEAD":
                raise Refused(405, "HEAD changes nothing", (("Allow", "GET, POST"),))
            self._access.check_change(request)
        elif request.method == "POST":
            raise Refused(405, "this page is only read", (("Allow", "GET, HEAD"),))
        return route.handler(request)

    async def _send(
        self, raw: web.BaseRequest, response: Response, guard: Guard
    ) -> web.StreamResponse:
        body = response.body
        headers = {**_HEADERS, **dict(response.headers), "Content-Type": response.content_type}
        if isinstance(body, bytes) and len(body) <= PIECE:
            return web.Response(body=body, status=response.status, headers=headers)
        stream = web.StreamResponse(status=response.status, headers=headers)
        if isinstance(body, bytes):
            stream.content_length = len(body)
            await stream.prepare(raw)
            for start in range(0, len(body), PIECE):
                await stream.write(body[start : start + PIECE])
                guard.progressed()
            return stream
        await stream.prepare(raw)
        try:
            while raw.method != "HEAD":
                async with self._pace:
                    piece = await anext(body, None)
                if piece is None:
                    break
                await stream.write(piece)
                guard.progressed()
        except CurvineError as error:  # too late for another status: the client sees a torn answer
            self._once.log(
                logging.WARNING, raw.path, "%s: %s ended early: %s", self._name, raw.path, error
            )
            guard.cut()
        return stream


def _request(raw: web.BaseRequest, port: int) -> Request:
    transport = cast(Any, raw.transport)  # None when the peer is gone already
    peer = transport.get_extra_info("peername") if transport is not None else None
    local = transport.get_extra_info("sockname") if transport is not None else None
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw.raw_headers]
    return Request(
        raw.method,
        raw.raw_path,
        headers,
        peer=str(peer[0]) if peer else "",
        local=str(local[0]) if local else "",
        port=port,
    )
