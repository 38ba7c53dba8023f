# SPDX-License-Identifier: Apache-2.0
"""The receiving side of a connection: any split, frames received in place, malformed prefixes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curvine.rpc.reading import LARGE, FrameReader, new_buffer
from curvine.wire import codes
from curvine.wire.frame import MAX_DATA, Frame, encode

small = st.binary(max_size=60)
large = st.integers(LARGE, 3 * LARGE).map(lambda n: bytes(range(256)) * (n // 256 + 1))
frames = st.builds(
    Frame,
    code=st.integers(-128, 127),
    status=st.integers(0, 255),
    req_id=st.integers(-(2**63), 2**63 - 1),
    seq_id=st.integers(-(2**31), 2**31 - 1),
    header=st.one_of(small, large),
    data=st.one_of(small, large),
)


def receive(reader: FrameReader, raw: bytes, sizes: list[int]) -> list[Frame]:
    """What a socket does: feed, or fill the target, in pieces of the given sizes."""
    received: list[Frame] = []
    offset = turn = 0
    while offset < len(raw):
        piece = raw[offset : offset + sizes[turn % len(sizes)]]
        turn += 1
        target = reader.target
        if target is None:
            received += reader.feed(piece)
        else:
            piece = piece[: len(target)]
            target[: len(piece)] = piece
            whole = reader.filled(len(piece))
            received += [whole] if whole is not None else []
        offset += len(piece)
    return received


def plain(received: list[Frame]) -> list[Frame]:
    return [frame._replace(data=bytes(frame.data)) for frame in received]


@given(
    st.lists(frames, max_size=4),
    st.lists(st.one_of(st.integers(1, 60), st.integers(5000, 70000)), min_size=1, max_size=10),
)
def test_any_split_gives_the_same_frames(sent: list[Frame], sizes: list[int]) -> None:
    reader = FrameReader(1 << 20)
    raw = b"".join(encode(*frame) for frame in sent)
    # single bytes only for what is small: the test has to end
    sizes = [max(size, len(raw) // 2000) for size in sizes]
    assert plain(receive(reader, raw, sizes)) == sent
    assert not reader.partial


def test_large_data_land_where_the_sink_says() -> None:
    place = memoryview(bytearray(100_000))
    asked = []

    def sink(ahead: int, size: int) -> memoryview:
        asked.append((ahead, size))
        return place[:size]

    reader = FrameReader(100, sink=sink)
    data = bytes(range(250)) * 200
    raw = encode(81, 3, 1, 1, b"", b"tiny") + encode(81, 3, 1, 2, b"", data)
    received = receive(reader, raw, [1000])
    assert asked == [(1, 50_000)]
    assert received[0].data == b"tiny"
    assert isinstance(received[1].data, memoryview)
    assert received[1].data.obj is place.obj
    assert bytes(place[:50_000]) == data


@pytest.mark.parametrize(
    ("total", "header"),
    [(17, 0), (-1, 0), (18, -1), (18, 1), (2**31 - 1, 0), (18 + MAX_DATA + 1, 0), (150, 101)],
)
def test_a_malformed_prefix_breaks_the_reader_after_what_was_good(total: int, header: int) -> None:
    reader = FrameReader(100)
    good = encode(7, codes.RPC, 9, -1, b"x")
    received = reader.feed(good + struct.pack(">iibBqi", total, header, 7, codes.RPC, 1, -1))
    assert [frame.req_id for frame in received] == [9]
    assert reader.broken is not None


def test_a_promised_body_costs_no_memory_before_it_comes() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readers = [FrameReader(1 << 24) for _ in range(40)]
    prefix = encode(80, codes.RUNNING, 1, 1, b"", bytes(MAX_DATA))[:30]
    for reader in readers:
        assert reader.feed(prefix) == []
        assert reader.partial
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024, "40 half frames of 16 MiB took more than 64 MiB"


def test_large_buffers_are_used_again_when_nobody_looks_at_them() -> None:
    first = new_buffer(300_000)
    place = id(first.obj)
    part = first[10:20]
    del first
    second = new_buffer(300_000)
    assert id(second.obj) != place, "a part of it is still in use"
    part.release()
    del part
    third = new_buffer(290_000)
    assert (id(third.obj), len(third)) == (place, 290_000)
