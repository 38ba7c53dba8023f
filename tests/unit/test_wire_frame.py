# SPDX-License-Identifier: Apache-2.0
"""The frame decoder under every split and every malformed prefix."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvine.errors import ProtocolViolation
from curvine.wire import codes, status
from curvine.wire.frame import MAX_DATA, PREFIX_SIZE, Frame, FrameDecoder, encode

frames = st.builds(
    Frame,
    code=st.integers(-128, 127),
    status=st.integers(0, 255),
    req_id=st.integers(-(2**63), 2**63 - 1),
    seq_id=st.integers(-(2**31), 2**31 - 1),
    header=st.binary(max_size=200),
    data=st.binary(max_size=300),
)


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 97), min_size=1, max_size=20))
def test_any_split_gives_the_same_frames(sent: list[Frame], sizes: list[int]) -> None:
    raw = b"".join(encode(*frame) for frame in sent)
    decoder = FrameDecoder()
    received: list[Frame] = []
    offset = turn = 0
    while offset < len(raw):
        size = sizes[turn % len(sizes)]
        received += decoder.feed(raw[offset : offset + size])
        offset += size
        turn += 1
    assert received == sent
    assert decoder.pending == 0


@pytest.mark.parametrize(
    ("total", "header"),
    [(17, 0), (-1, 0), (18, -1), (18, 1), (2**31 - 1, 0), (18 + MAX_DATA + 1, 0), (40, 30)],
)
def test_malformed_prefix(total: int, header: int) -> None:
    prefix = struct.pack(">iibBqi", total, header, 7, codes.RPC, 1, -1)
    with pytest.raises(ProtocolViolation):
        FrameDecoder().feed(prefix)


def test_limits_are_inclusive() -> None:
    header = struct.pack(">iibBqi", 18 + MAX_DATA, 0, 80, codes.RUNNING, 1, 1)
    decoder = FrameDecoder()
    assert decoder.feed(header) == []
    assert len(decoder.feed(bytes(MAX_DATA))) == 1
    small = FrameDecoder(max_header=10)
    assert small.feed(struct.pack(">iibBqi", 28, 10, 7, codes.RPC, 1, -1)) == []
    with pytest.raises(ProtocolViolation, match="11 bytes"):
        FrameDecoder(max_header=10).feed(struct.pack(">iibBqi", 29, 11, 7, codes.RPC, 1, -1))


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_raise(raw: bytes) -> None:
    decoder = FrameDecoder(max_header=1024, max_data=1024)
    try:
        decoder.feed(raw)
    except ProtocolViolation:
        return
    assert decoder.pending <= len(raw) + PREFIX_SIZE


@given(st.binary(max_size=100))
def test_any_error_body_gives_an_error(body: bytes) -> None:
    error = status.decode_error(body)
    assert len(status.encode_error(error)) >= 12


def test_every_kind_survives_the_wire() -> None:
    for kind, cls in status.KINDS:
        body = status.encode_error_body(kind, "text")
        assert type(status.decode_error(body)) is cls
    assert type(status.decode_error(status.encode_error_body(4711, "x"))).__name__ == "Common"


def test_undefined_request_swallows_the_response() -> None:
    assert codes.status_byte(-1, 0) == 0xFF
    assert codes.status_byte(-1, 1) == 0xFF
    assert codes.request_status(0xFF) == codes.RequestStatus.UNDEFINED
    assert codes.response_status(0x2F) == codes.ResponseStatus.UNDEFINED
