# SPDX-License-Identifier: Apache-2.0
"""The proof that two peers hold one token: fixed vectors, and all that must not pass."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvine.errors import NotAuthenticated
from curvine.wire.handshake import NONCE_SIZE, Caller, Verifier, proof
from curvine.wire.pb import ext_pb2

TOKEN = b"0123456789abcdef0123456789abcdef"
OLD = b"the-token-that-was-good-before"
C, S = b"c" * NONCE_SIZE, b"s" * NONCE_SIZE


def exchange(caller: Caller, verifier: Verifier) -> None:
    verifier.check(caller.answer(verifier.challenge(caller.hello())))


def test_vectors() -> None:
    """What stands in docs/adr/0007: another implementation must come to the same bytes."""
    caller, verifier = Caller([TOKEN], "curvine", C), Verifier([TOKEN], "curvine", S)
    hello = caller.hello()
    assert hello.hex() == "0a0763757276696e65" + "1220" + C.hex()
    challenge = verifier.challenge(hello)
    server = "5c16d5f777c45ca475799b464de5dc253a2fa7afe02496a4ffe13cdc6a65eb12"
    assert challenge.hex() == "0a20" + S.hex() + "1220" + server
    answer = caller.answer(challenge)
    own = "b2ec32bb745cca98e8222314fe6361df86221c5d670d4332ca2edbcced419767"
    assert answer.hex() == "0a20" + own
    verifier.check(answer)


def test_the_formula_of_a_proof() -> None:
    message = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (b"curvine-py.auth.1 server", b"curvine", C, S)
    )
    expected = hmac.new(TOKEN, message, hashlib.sha256).digest()
    assert proof(TOKEN, b"curvine-py.auth.1 server", b"curvine", C, S) == expected


def test_fresh_nonces_every_time() -> None:
    callers = {Caller([TOKEN], "c").hello() for _ in range(50)}
    hello = Caller([TOKEN], "c").hello()
    challenges = {Verifier([TOKEN], "c").challenge(hello) for _ in range(50)}
    assert len(callers) == len(challenges) == 50


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [([TOKEN], [TOKEN]), ([TOKEN], [OLD, TOKEN]), ([TOKEN, OLD], [OLD]), ([OLD, TOKEN], [TOKEN])],
)
def test_while_a_token_is_replaced(ours: list[bytes], theirs: list[bytes]) -> None:
    exchange(Caller(ours, "c"), Verifier(theirs, "c"))


def test_another_token() -> None:
    verifier = Verifier([TOKEN], "c")
    caller = Caller([OLD], "c")
    challenge = verifier.challenge(caller.hello())
    with pytest.raises(NotAuthenticated, match="did not prove"):
        caller.answer(challenge)


def test_a_caller_that_only_pretends() -> None:
    """It skips the check of the server and signs with what it has."""
    verifier = Verifier([TOKEN], "c", S)
    verifier.challenge(Caller([OLD], "c", C).hello())
    forged = proof(OLD, b"curvine-py.auth.1 caller", b"c", C, S)
    with pytest.raises(NotAuthenticated):
        verifier.check(ext_pb2.AuthProof(proof=forged).SerializeToString())


def test_replay() -> None:
    """What was heard on one connection opens no other, and not the same one again."""
    caller, verifier = Caller([TOKEN], "c"), Verifier([TOKEN], "c")
    hello = caller.hello()
    answer = caller.answer(verifier.challenge(hello))
    verifier.check(answer)
    with pytest.raises(NotAuthenticated):
        verifier.check(answer)
    again = Verifier([TOKEN], "c")
    again.challenge(hello)
    with pytest.raises(NotAuthenticated):
        again.check(answer)


def test_a_replayed_challenge_does_not_pass_for_the_server() -> None:
    verifier = Verifier([TOKEN], "c")
    heard = verifier.challenge(Caller([TOKEN], "c").hello())
    with pytest.raises(NotAuthenticated):
        Caller([TOKEN], "c").answer(heard)


def test_reflection() -> None:
    """A server's own proof is no caller's proof, with whatever nonces."""
    verifier = Verifier([TOKEN], "c", S)
    challenge = ext_pb2.AuthChallenge.FromString(verifier.challenge(Caller([OLD], "c", C).hello()))
    with pytest.raises(NotAuthenticated):
        verifier.check(ext_pb2.AuthProof(proof=challenge.proofs[0]).SerializeToString())
    mirror = Verifier([TOKEN], "c", C)  # the attacker gives its victim the server's nonce
    mirrored = ext_pb2.AuthChallenge.FromString(mirror.challenge(Caller([OLD], "c", S).hello()))
    second = Verifier([TOKEN], "c", S)
    second.challenge(Caller([OLD], "c", C).hello())
    with pytest.raises(NotAuthenticated):
        second.check(ext_pb2.AuthProof(proof=mirrored.proofs[0]).SerializeToString())


def test_another_cluster() -> None:
    with pytest.raises(NotAuthenticated, match=r"'prod'.*'test'.*cluster_id"):
        Verifier([TOKEN], "prod").challenge(Caller([TOKEN], "test").hello())


def test_no_proof_before_the_challenge() -> None:
    with pytest.raises(NotAuthenticated):
        Verifier([TOKEN], "c").check(ext_pb2.AuthProof(proof=b"x" * 32).SerializeToString())
    empty = proof(TOKEN, b"curvine-py.auth.1 caller", b"c", b"", S)
    with pytest.raises(NotAuthenticated):
        Verifier([TOKEN], "c", S).check(ext_pb2.AuthProof(proof=empty).SerializeToString())


@given(st.binary(max_size=120))
def test_noise(data: bytes) -> None:
    verifier = Verifier([TOKEN], "c")
    for step in (verifier.challenge, verifier.check, Caller([TOKEN], "c").answer):
        with pytest.raises(NotAuthenticated):
            step(data)


@pytest.mark.parametrize("size", [0, 1, NONCE_SIZE - 1, NONCE_SIZE + 1])
def test_nonces_of_another_size(size: int) -> None:
    hello = ext_pb2.AuthHello(cluster_id="c", nonce=b"n" * size).SerializeToString()
    with pytest.raises(NotAuthenticated, match="malformed"):
        Verifier([TOKEN], "c").challenge(hello)
    challenge = ext_pb2.AuthChallenge(nonce=b"n" * size).SerializeToString()
    with pytest.raises(NotAuthenticated, match="malformed"):
        Caller([TOKEN], "c").answer(challenge)
