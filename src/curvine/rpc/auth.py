# SPDX-License-Identifier: Apache-2.0
"""A connection that begins with a proof of membership: the side that connects.

The proof is given on the bare socket before frames are exchanged, so a connection costs one round
trip more than without, and its frames cost nothing more. Without ``Auth`` nothing is added at all.
Times are seconds. See ``wire.handshake`` for the exchange and ``rpc.gate`` for the other side.

Nothing here uses ``asyncio.timeout``: callers may be stepped by hand (``rpc.step``).
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
from collections.abc import Mapping

from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.config.tokens import Tokens, cluster_tokens
from curvine.errors import ConnectionLost, NotAuthenticated, ProtocolViolation
from curvine.rpc.dialing import Address, describe, dial, reason_of, within
from curvine.wire import codes
from curvine.wire.frame import PREFIX_SIZE, decode_prefix, encode
from curvine.wire.handshake import Caller, Verifier
from curvine.wire.status import decode_error

MOST_BYTES = 64 * 1024  # of the header, and of the data, of a frame before the proof


class Auth:
    """What this process proves, and asks others to prove.

    ``required`` false: a peer without a token is talked to all the same.
    """

    def __init__(self, tokens: Tokens, cluster_id: str, *, required: bool = True) -> None:
        self.required = required
        self.source = tokens.source
        self._tokens = tokens
        self._cluster_id = cluster_id

    @classmethod
    def of(
        cls, conf: ClusterConf, clock: Clock, environ: Mapping[str, str] = os.environ
    ) -> Auth | None:
        """As the configuration says; None: authentication is off. ConfigError: no usable token."""
        tokens = cluster_tokens(conf, clock, environ)
        if tokens is None:
            return None
        return cls(tokens, conf.cluster_id, required=conf.auth.required)

    def caller(self) -> Caller:
        """For a connection that we make."""
        return Caller(self._tokens.good(), self._cluster_id)

    def verifier(self) -> Verifier:
        """For a connection that somebody made to us."""
        return Verifier(self._tokens.good(), self._cluster_id)


async def connect(address: Address, timeout: float, auth: Auth | None) -> socket.socket:
    """Dial and, with ``auth``, prove ourselves. ConnectionLost, or NotAuthenticated (final)."""
    sock = await dial(address, timeout)
    if auth is None:
        return sock
    peer = describe(address)
    try:
        await within(_prove(sock, peer, auth), timeout)
    except TimeoutError:
        sock.close()
        text = f"{peer} did not answer the authentication within {timeout:g} s"
        raise ConnectionLost(text) from None
    except OSError as error:
        sock.close()
        text = f"{peer} broke off the authentication: {reason_of(error)}"
        raise ConnectionLost(text) from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _prove(sock: socket.socket, peer: str, auth: Auth) -> None:
    loop = asyncio.get_running_loop()
    caller = auth.caller()
    req_id = -1 - secrets.randbits(62)
    hello = encode(codes.RpcCode.AUTH_HELLO, codes.RPC, req_id, codes.SEQ_NONE, caller.hello())
    await loop.sock_sendall(sock, hello)
    try:
        prefix = decode_prefix(
            await _exactly(loop, sock, PREFIX_SIZE), 0, MOST_BYTES, max_data=MOST_BYTES
        )
    except ProtocolViolation as error:
        raise NotAuthenticated(f"{peer} does not speak our protocol: {error}") from None
    header = await _exactly(loop, sock, prefix.header_size)
    data = await _exactly(loop, sock, prefix.data_size)
    if codes.response_status(prefix.status) is not codes.ResponseStatus.SUCCESS:
        if auth.required:
            raise NotAuthenticated(f"{peer} refused the authentication: {decode_error(data)}")
        return
    try:
        answer = caller.answer(header)
    except NotAuthenticated as error:
        raise NotAuthenticated(f"{peer} was not authenticated: {error} ({auth.source})") from None
    await loop.sock_sendall(
        sock, encode(codes.RpcCode.AUTH_PROOF, codes.RPC, req_id, codes.SEQ_NONE, answer)
    )


async def _exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int) -> bytes:
    """Not a byte more than ``size``: what follows belongs to the connection's channel."""
    parts = []
    while size:
        part = await loop.sock_recv(sock, size)
        if not part:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
