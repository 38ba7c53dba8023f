# SPDX-License-Identifier: Apache-2.0
"""One connection of the HTTP library, with the manners that it lacks.

- A client may close its sending side once its request is out (RFC 9112 section 9.6); it still gets
  its answer. The library would drop the connection.
- A request that cannot be read is answered after the rest of it has come: closing a socket with
  unread bytes sends a reset, which destroys the answer on its way. What comes is thrown away, for
  a bounded time, until the client waits.
- Such a request is no error of ours: strangers do not get to fill the log with tracebacks.

Times are seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

_DEAF_SECONDS = 3.0  # for the rest of a request that cannot be read
_QUIET = 0.1  # a client that sends nothing for this long waits for the answer


class Protocol(web.RequestHandler):
    """See the module."""

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)
        self._ended = False  # the client sends nothing more
        self._deaf = False  # what it sends cannot be understood any more
        self._heard = asyncio.Event()
        self._body: StreamReader = EMPTY_PAYLOAD  # of the request that came last

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._heard.set()
            return
        super().data_received(data)
        if self._messages:
            head, self._body = self._messages[-1]
            self._deaf = not isinstance(head, RawRequestMessage)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # the library answers None
        """True keeps the sending side open: an answer is still owed."""
        waiter = self._waiter
        if not self._request_count or (waiter is not None and not waiter.done()):
            return None
        self._ended = True
        self._heard.set()
        if not self._body.is_eof():
            torn = web.RequestPayloadError("the client ended in the middle of a body")
            self._body.set_exception(torn)
            self._body.feed_eof()
        return True

    @property
    def is_last(self) -> bool:
        """Whether nothing can follow the request that is being answered."""
        return self._ended and not self._messages

    def _make_error_handler(
        self, err_info: Any
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        answer = super()._make_error_handler(err_info)

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            await self._hear_out()
            return await answer(request)

        return handler

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What the library logs; without the exception (``exc_info``) of an unreadable request."""
        if isinstance(kw.get("exc_info"), HttpProcessingError):
            self.logger.debug(*args)
        else:
            super().log_exception(*args, **kw)

    async def _hear_out(self) -> None:
        """Read on until the client is quiet."""
        self._resume_reading_for_buffer()
        try:
            async with asyncio.timeout(_DEAF_SECONDS):
                while not self._ended:
                    self._heard.clear()
                    await asyncio.wait_for(self._heard.wait(), _QUIET)
        except TimeoutError:
            pass
