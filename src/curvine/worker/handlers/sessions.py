# SPDX-License-Identifier: Apache-2.0
"""One stream session per connection (data-plane specification 1.2), and what all handlers share.

A connection has one slot. Open drops what was there and installs a new session; Running, Complete
and Cancel act on it; it is emptied by a successful Complete or Cancel and when the connection
closes. An unfinished write that is dropped leaves its block in writing state.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from curvine.errors import Common, DecodeFailed
from curvine.rpc.server import ServerConnection
from curvine.wire.codes import code_name, request_status
from curvine.wire.frame import Frame

M = TypeVar("M", bound=Message)

MAX_CHUNK = 16 * 1024 * 1024  # bytes of one chunk, of one read-ahead
DONE = b""  # a reply without a header


class Session:
    """An open stream."""

    __slots__ = ("req_id",)

    def __init__(self, req_id: int) -> None:
        self.req_id = req_id

    def close(self) -> None:
        """Release descriptors and promises; nothing on disk changes."""

    def flush(self, frame: Frame) -> bytes:
        """Answer a Running of code 80 that reached a session of another code."""
        raise uninitialized(frame)


class Slot:
    """The session of one connection."""

    __slots__ = ("current", "greeted")

    def __init__(self) -> None:
        self.current: Session | None = None
        self.greeted = False  # the peer's component was looked at

    def install(self, session: Session) -> None:
        self.drop()
        self.current = session

    def drop(self) -> None:
        session, self.current = self.current, None
        if session is not None:
            session.close()


def slot_of(connection: ServerConnection) -> Slot:
    """The connection's slot, made on first use and emptied when the connection closes."""
    slot = connection.session
    if not isinstance(slot, Slot):
        slot = connection.session = Slot()
        connection.on_close(slot.drop)
    return slot


def parse(kind: type[M], header: bytes) -> M:
    """The message in ``header``; missing required fields read as their defaults."""
    try:
        return kind.FromString(header)
    except DecodeError as error:
        raise DecodeFailed(f"{kind.__name__} cannot be decoded") from error


def unsupported(frame: Frame) -> Common:
    """The answer to a status that makes no sense for the code."""
    status = request_status(frame.status).name.lower()
    return Common(f"unsupported request: {code_name(frame.code)} {status}")


def uninitialized(frame: Frame) -> Common:
    """The answer to data for a stream that was not opened on this connection."""
    return Common(f"Uninitialized: no open {code_name(frame.code)} stream on this connection")


def check_req_id(session: Session, req_id: int) -> None:
    """All frames of a session carry the id of its Open."""
    if session.req_id != req_id:
        raise Common(f"request id {req_id} does not match the open stream's {session.req_id}")
