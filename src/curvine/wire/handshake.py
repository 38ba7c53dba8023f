# SPDX-License-Identifier: Apache-2.0
"""Two peers prove to each other that they hold the same token, without saying it. No sockets here.

::

    caller                                   server
    AuthHello(cluster id, nonce C)     --->
                                       <---  AuthChallenge(nonce S, proof of the server)
    AuthProof(proof of the caller)     --->
    requests, without waiting          --->

A proof is HMAC-SHA256 under the token over a label that says whose it is, the cluster id and both
nonces. Both nonces are fresh, so neither side's proof is good a second time, and no clock is
needed; the labels differ, so none can be sent back to its maker. The server proves first: a caller
tells a stranger nothing but its cluster id. While a token is being replaced the server gives one
proof per token that is good, and the caller goes on with the one that it can check.

Source: docs/adr/0007-cluster-authentication.md (ISO/IEC 9798-4, mutual three-pass).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from curvine.errors import NotAuthenticated
from curvine.wire.pb import ext_pb2

NONCE_SIZE = 32
_CALLER = b"curvine-py.auth.1 caller"
_SERVER = b"curvine-py.auth.1 server"
_MOST_PROOFS = 8  # tokens that are good at one time; more is nobody's rotation


def proof(token: bytes, label: bytes, cluster_id: bytes, caller: bytes, server: bytes) -> bytes:
    """What only a holder of ``token`` can make for these two nonces."""
    parts = (label, cluster_id, caller, server)
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(token, message, hashlib.sha256)


class Caller:
    """The side that connects."""

    def __init__(
        self, tokens: Sequence[bytes], cluster_id: str, nonce: bytes | None = None
    ) -> None:
        self._tokens = tokens
        self._cluster_id = cluster_id
        self._nonce = secrets.token_bytes(NONCE_SIZE) if nonce is None else nonce

    def hello(self) -> bytes:
        """The header of the first frame."""
        return ext_pb2.AuthHello(cluster_id=self._cluster_id, nonce=self._nonce).SerializeToString()

    def answer(self, challenge: bytes) -> bytes:
        """The header of the second frame. NotAuthenticated: the server holds none of our tokens."""
        try:
            message = ext_pb2.AuthChallenge.FromString(challenge)
        except DecodeError:
            raise NotAuthenticated("its answer is no challenge") from None
        if len(message.nonce) != NONCE_SIZE:
            raise NotAuthenticated("its challenge is malformed")
        cluster = self._cluster_id.encode()
        for token in self._tokens:
            expected = proof(token, _SERVER, cluster, self._nonce, message.nonce)
            given = [hmac.compare_digest(expected, p) for p in message.proofs[:_MOST_PROOFS]]
            if any(given):
                own = proof(token, _CALLER, cluster, self._nonce, message.nonce)
                return ext_pb2.AuthProof(proof=own).SerializeToString()
        raise NotAuthenticated("it did not prove that it holds our token")


class Verifier:
    """The side that was connected to; for one connection."""

    def __init__(
        self, tokens: Sequence[bytes], cluster_id: str, nonce: bytes | None = None
    ) -> None:
        self._tokens = tuple(tokens[:_MOST_PROOFS])
        self._cluster_id = cluster_id
        self._nonce = secrets.token_bytes(NONCE_SIZE) if nonce is None else nonce
        self._caller = b""

    def challenge(self, hello: bytes) -> bytes:
        """The header that answers the first frame. NotAuthenticated says what is wrong with it."""
        try:
            message = ext_pb2.AuthHello.FromString(hello)
        except DecodeError:
            raise NotAuthenticated("the first frame is no AuthHello") from None
        if len(message.nonce) != NONCE_SIZE or self._caller:
            raise NotAuthenticated("the first frame is malformed")
        if message.cluster_id != self._cluster_id:
            raise NotAuthenticated(
                f"this is cluster {self._cluster_id!r}, the caller's cluster_id is"
                f" {message.cluster_id[:64]!r}; set cluster_id alike"
            )
        self._caller = message.nonce
        cluster = self._cluster_id.encode()
        proofs = [
            proof(token, _SERVER, cluster, self._caller, self._nonce) for token in self._tokens
        ]
        return ext_pb2.AuthChallenge(nonce=self._nonce, proofs=proofs).SerializeToString()

    def check(self, answer: bytes) -> None:
        """NotAuthenticated unless the second frame proves one of our tokens. Works once."""
        caller, self._caller = self._caller, b""
        try:
            given = ext_pb2.AuthProof.FromString(answer).proof
        except DecodeError:
            given = b""
        cluster = self._cluster_id.encode()
        right = [
            hmac.compare_digest(given, proof(token, _CALLER, cluster, caller, self._nonce))
            for token in self._tokens
        ]
        if not (caller and any(right)):
            raise NotAuthenticated("the caller did not prove that it holds the cluster's token")
