# SPDX-License-Identifier: Apache-2.0
"""A connection that begins with a proof of membership: the side that was connected to.

A new connection waits here until its peer has proved the token; only then does the server hear of
it. Nothing is read but the frames of the proof, byte for byte, so what a peer sends behind them is
still in the socket for the connection's own channel: frames after the proof cost nothing more. A
peer that is not let in gets one error that says why, in the terms of the frame that it sent, and
its connection ends. Whoever says nothing for ``PATIENCE`` seconds is cut off, and what may be said
before the proof is bounded by ``MOST_BYTES``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from curvine.errors import Common, CurvineError, NotAuthenticated, ProtocolViolation
from curvine.rpc.auth import MOST_BYTES, Auth
from curvine.telemetry.logs import OnceLogger
from curvine.wire import codes
from curvine.wire.codes import RequestStatus, ResponseStatus, RpcCode
from curvine.wire.frame import MAX_REQUEST_HEADER, PREFIX_SIZE, Prefix, decode_prefix, encode
from curvine.wire.handshake import Verifier
from curvine.wire.status import encode_error

PATIENCE = 10.0  # seconds for the whole exchange
LINGER = 1.0  # seconds that a refused peer has to read why

#: takes the socket of a peer that was let in, its name, and bytes that were read already
Admit = Callable[[socket.socket, str, bytes], None]


class Gate:
    """What all connections of one server have in common before they are let in."""

    def __init__(
        self, name: str, auth: Auth, admit: Admit, once: OnceLogger, patience: float = PATIENCE
    ) -> None:
        self.name = name
        self.auth = auth
        self.admit = admit
        self.once = once
        self.patience = patience
        self.waiting: set[Arrival] = set()

    def arrived(self, sock: socket.socket, peer: str) -> None:
        """Somebody connected."""
        self.waiting.add(Arrival(self, sock, peer))

    def close(self) -> None:
        """Let nobody in any more."""
        for arrival in list(self.waiting):
            arrival.close()


class Arrival:
    """One peer before the gate. Its states: reads a prefix, reads the rest, was refused."""

    def __init__(self, gate: Gate, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        self._gate = gate
        self._sock = sock
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._prefix: Prefix | None = None
        self._verifier: Verifier | None = None  # since the first frame was right
        self._refused = False
        self._timer = self._loop.call_later(gate.patience, self._too_late)
        self._loop.add_reader(sock.fileno(), self._readable)

    def close(self) -> None:
        """End the connection."""
        self._leave()
        self._sock.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._gate.waiting.discard(self)

    def _readable(self) -> None:
        prefix = self._prefix
        if self._refused:
            wanted = MOST_BYTES
        elif prefix is None:
            wanted = PREFIX_SIZE - len(self._buffer)
        else:
            wanted = prefix.header_size + prefix.data_size - len(self._buffer)
        try:
            data = self._sock.recv(wanted)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._refused or len(data) < wanted:
            self._buffer = b"" if self._refused else self._buffer + data
            return
        try:
            self._complete(prefix, self._buffer + data)
        except CurvineError as error:
            self._log(f"refused {self._peer}: {error}")
            self.close()

    def _complete(self, prefix: Prefix | None, data: bytes) -> None:
        """A prefix, or the rest of a frame, is here."""
        self._buffer = b""
        if prefix is None:
            prefix = decode_prefix(data, 0, MAX_REQUEST_HEADER)
            if prefix.code not in _OURS and not self._gate.auth.required:
                self._admit(data)
                return
            if max(prefix.header_size, prefix.data_size) > MOST_BYTES:
                raise ProtocolViolation(f"its first frame is over {MOST_BYTES} bytes")
            if codes.response_status(prefix.status) is not ResponseStatus.UNDEFINED:
                raise ProtocolViolation("it sent a reply to a server")
            if prefix.header_size + prefix.data_size:
                self._prefix = prefix
                return
            data = b""
        self._prefix = None
        if codes.request_status(prefix.status) is RequestStatus.HEARTBEAT:
            return
        try:
            self._handle(prefix, data[: prefix.header_size])
        except NotAuthenticated as error:
            self._refuse(prefix, error)

    def _handle(self, prefix: Prefix, header: bytes) -> None:
        verifier = self._verifier
        if prefix.code == RpcCode.AUTH_HELLO and verifier is None:
            self._verifier = self._gate.auth.verifier()
            self._send(prefix, True, self._verifier.challenge(header))
        elif prefix.code == RpcCode.AUTH_PROOF and verifier is not None:
            verifier.check(header)
            self._admit(b"")
        else:
            raise NotAuthenticated(
                f"{codes.code_name(prefix.code)} is refused: this {self._gate.name} serves only"
                " peers that prove the cluster's token; give the caller one (auth.token_file or"
                " CURVINE_AUTH_TOKEN_FILE; Curvine's own programs have no such option)"
            )

    def _admit(self, read: bytes) -> None:
        self._leave()
        self._gate.admit(self._sock, self._peer, read)

    def _refuse(self, prefix: Prefix, error: NotAuthenticated) -> None:
        """Say why, and close when that is read; closing at once could destroy the answer."""
        self._log(f"refused {self._peer}: {error}")
        self._refused = True
        self._timer.cancel()
        self._timer = self._loop.call_later(LINGER, self.close)
        self._send(prefix, False, encode_error(error))

    def _send(self, prefix: Prefix, success: bool, body: bytes) -> None:
        """Answer a frame. It is small: a socket that does not take it at once is given up."""
        status = codes.success_byte(prefix.status) if success else codes.error_byte(prefix.status)
        parts = (body, b"") if success else (b"", body)
        frame = encode(prefix.code, status, prefix.req_id, prefix.seq_id, *parts)
        try:
            sent = self._sock.send(frame)
            if not success:
                self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            sent = 0
        if sent < len(frame):
            raise ProtocolViolation("it takes no answers")

    def _too_late(self) -> None:
        self._log(
            f"closed the connection of {self._peer}, which proved nothing for"
            f" {self._gate.patience:g} s"
        )
        self.close()

    def _log(self, text: str) -> None:
        gate = self._gate
        gate.once.log(logging.WARNING, ("gate", self._peer, text), "%s: %s", gate.name, text)


_OURS = (RpcCode.AUTH_HELLO, RpcCode.AUTH_PROOF)


def no_token_here(name: str) -> Callable[[object, object], bytes]:
    """The handler of AuthHello on a server without a token."""

    def handle(_connection: object, _frame: object) -> bytes:
        raise Common(
            f"this {name} has no token itself (auth.token_file); give it one, or let the caller"
            " do without (auth.required = false)"
        )

    return handle
