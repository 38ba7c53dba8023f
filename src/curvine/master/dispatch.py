# SPDX-License-Identifier: Apache-2.0
"""From a row of the RPC table to a handler of the RPC server.

What every call has in common stands here and nowhere else: the role check before anything is
looked at, the decoding of the header, the wait for the log where ``sync = always``, count and
duration. Durations are seconds of the loop's own time and of waiting, not of the network.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message

from curvine.errors import Common, CurvineError
from curvine.master.metrics import CallStats
from curvine.master.services import Services
from curvine.master.texts import text_check
from curvine.rpc.server import Handler, ServerConnection
from curvine.telemetry.logs import OnceLogger
from curvine.wire.codes import RpcCode, code_name
from curvine.wire.frame import Frame

_log = logging.getLogger(__name__)

Answer = bytes | Awaitable[bytes]  # a reply's header
OnMedium = Callable[[bytes], "asyncio.Future[bytes] | None"]
Call = Callable[[Services, Any, int], Answer]  # services, decoded request, request id
StreamCall = Callable[[Services, Any, ServerConnection, Frame], Answer]


class Row(NamedTuple):
    """One RPC: its code, the message it takes, the message it answers with, who answers.

    ``mutates``: it changes the namespace, so that the answer may have to wait for the log.
    """

    code: RpcCode
    request: type[Message]
    reply: type[Message]
    call: Call
    mutates: bool = False


class StreamRow(NamedTuple):
    """One RPC that keeps its connection and pushes frames."""

    code: RpcCode
    request: type[Message]
    reply: type[Message]
    call: StreamCall


def handlers(rows: Iterable[Row | StreamRow], services: Services) -> dict[int, Handler]:
    """The handlers of all rows, by code."""
    return {
        row.code: _stream(row, services) if isinstance(row, StreamRow) else _unary(row, services)
        for row in rows
    }


def unknown(services: Services) -> Handler:
    """The answer to codes that no row has: the role first, then Common, logged once a peer."""
    once = OnceLogger(_log, clock=services.clock)

    def handle(connection: ServerConnection, frame: Frame) -> bytes:
        services.require_active(frame.code, connection.peer)
        text = f"Unsupported operation: {code_name(frame.code)} (code {frame.code})"
        once.log(logging.WARNING, (connection.peer, frame.code), "%s: %s", connection.peer, text)
        raise Common(text)

    return handle


def _parser(message: type[Message]) -> Callable[[bytes], Message]:
    """From a header to the message; Common if it is none, or holds text that is not UTF-8."""
    from_string = message.FromString
    check = text_check(message.DESCRIPTOR)

    def parse(header: bytes) -> Message:
        try:
            request = from_string(header)
            if check is not None and not header.isascii():
                check(request)
        except (DecodeError, UnicodeDecodeError) as error:
            raise Common(f"The request is not a {message.__name__}: {error}") from error
        return request

    return parse


def _unary(row: Row, services: Services) -> Handler:
    stats = services.metrics.for_code(row.code, code_name(row.code))
    parse = _parser(row.request)
    call = row.call
    on_medium = services.namespace.answer_after_sync if row.mutates else None
    watch = services.watch

    def handle(connection: ServerConnection, frame: Frame) -> Answer:
        start = perf_counter()
        try:
            if not services.is_active:
                services.require_active(frame.code, connection.peer)
            watch.sender = max(frame.seq_id, 0)
            answer = call(services, parse(frame.header), frame.req_id)
        except BaseException as error:
            if isinstance(error, CurvineError):
                stats.errors += 1
            stats.add(perf_counter() - start)
            raise
        finally:
            watch.sender = 0  # what a handler does after a wait counts as anybody's
        if type(answer) is not bytes:
            return _finish(answer, on_medium, stats, start)
        if on_medium is not None:
            synced = on_medium(answer)
            if synced is not None:
                synced.add_done_callback(partial(_synced, stats, start))
                return synced
        stats.add(perf_counter() - start)
        return answer

    return handle


def _synced(stats: CallStats, start: float, done: asyncio.Future[bytes]) -> None:
    if done.cancelled() or done.exception() is not None:
        stats.errors += 1
    stats.add(perf_counter() - start)


async def _finish(
    answer: Answer, on_medium: OnMedium | None, stats: CallStats, start: float
) -> bytes:
    try:
        header = answer if isinstance(answer, bytes) else await answer
        synced = on_medium(header) if on_medium is not None else None
        if synced is not None:
            await synced
    except CurvineError:
        stats.errors += 1
        raise
    finally:
        stats.add(perf_counter() - start)
    return header


def _stream(row: StreamRow, services: Services) -> Handler:
    stats = services.metrics.for_code(row.code, code_name(row.code))
    parse = _parser(row.request)

    def handle(connection: ServerConnection, frame: Frame) -> Answer:
        start = perf_counter()
        try:
            services.require_active(frame.code, connection.peer)
            return row.call(services, parse(frame.header), connection, frame)
        finally:
            stats.add(perf_counter() - start)

    return handle
