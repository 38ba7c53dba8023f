# SPDX-License-Identifier: Apache-2.0
"""What a signature covers: the short cut for what is canonical already changes nothing."""

from __future__ import annotations

from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from curvine.s3.sigv4 import _CANONICAL, _CANONICAL_PATH, _requoted, _trimmed

PIECES = st.one_of(
    st.sampled_from(
        ["%", "%2F", "%2f", "%41", "%7E", "%00", "%zz", "/", "+", "a~b", "é", "=", " "]
    ),
    st.integers(0, 255).map(lambda byte: f"%{byte:02X}"),
    st.text("AZaz09-_.~/!*()", max_size=5),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


@given(TEXTS)
@example("%2D")
@example("AKIA%2F20260101%2Fus-east-1%2Fs3%2Faws4_request")
def test_query_parts(text: str) -> None:
    assert _requoted(text) == quote_from_bytes(
        unquote_to_bytes(text.replace("+", " ")), safe="-_.~"
    )


@given(TEXTS)
@example("/bucket/a%2Fb")
@example("/bucket/%E2%82%AC")
def test_paths(text: str) -> None:
    if _CANONICAL_PATH.fullmatch(text):
        assert quote_from_bytes(unquote_to_bytes(text), safe="/-_.~") == text


def test_what_clients_send_takes_the_short_cut() -> None:
    assert _CANONICAL.fullmatch(quote("AKIA/20260101/us-east-1/s3/aws4_request", safe=""))
    assert _CANONICAL_PATH.fullmatch("/bucket/" + quote("Ünï code/ü b+c", safe="/"))


def test_a_long_part_that_is_not_canonical_takes_no_longer() -> None:
    assert not _CANONICAL.fullmatch("a" * 16_000 + "!")
    assert not _CANONICAL_PATH.fullmatch("%20" * 5_000 + "%41")


@given(st.binary(max_size=12))
@example(b"  a   b ")
def test_header_values(value: bytes) -> None:
    text = value.decode("latin-1").strip()
    while "  " in text:
        text = text.replace("  ", " ")
    assert _trimmed(value) == text.encode("latin-1")
