# SPDX-License-Identifier: Apache-2.0
"""Damaged bytes into everything that decodes: a result or an error of ours, in bounded memory."""

from __future__ import annotations

import random

import pytest
from fuzz_corpus import SECONDS, SEED, budget, damaged, filled, golden, message_classes
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from curvine.errors import CurvineError, ProtocolViolation
from curvine.rpc.reading import FrameReader
from curvine.wire import bincode, status
from curvine.wire.frame import PREFIX_SIZE, Frame, FrameDecoder

pytestmark = pytest.mark.timeout(120 + 2 * SECONDS)

MAX_HEADER, MAX_DATA = 4096, 8192

Plain = tuple[int, int, int, int, bytes, bytes]


def plain(frame: Frame) -> Plain:
    return (*frame[:4], bytes(frame.header), bytes(frame.data))


def decoded(stream: bytes, cuts: list[int]) -> tuple[list[Plain], bool]:
    """(frames, whether the stream was refused) by the sans-I/O decoder, in pieces."""
    decoder = FrameDecoder(MAX_HEADER, MAX_DATA)
    frames: list[Plain] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        try:
            frames += map(plain, decoder.feed(stream[start:end]))
        except ProtocolViolation:
            return frames, True
        assert decoder.pending <= PREFIX_SIZE + MAX_HEADER + MAX_DATA
    return frames, False


def read(stream: bytes, cuts: list[int]) -> tuple[list[Plain], bool]:
    """The same by the reader that connections use."""
    reader = FrameReader(MAX_HEADER, MAX_DATA)
    frames: list[Plain] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        piece = stream[start:end]
        while piece:
            target = reader.target
            if target is None:
                frames += map(plain, reader.feed(piece))
                break
            size = min(len(target), len(piece))
            target[:size] = piece[:size]
            whole = reader.filled(size)
            frames += [plain(whole)] if whole is not None else []
            piece = piece[size:]
        if reader.broken is not None:
            return frames, True
    return frames, False


def check_stream(stream: bytes, cuts: list[int]) -> None:
    first, first_refused = decoded(stream, cuts)
    second, second_refused = read(stream, cuts)
    assert second_refused == first_refused, stream.hex()
    assert second[: len(first)] == first, stream.hex()


@settings(max_examples=200)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_are_no_frames_or_frames(stream: bytes, cuts: list[int]) -> None:
    check_stream(stream, sorted(min(cut, len(stream)) for cut in cuts))


def test_damaged_streams() -> None:
    """Both decoders give the same frames, or both refuse."""
    rng, frames = random.Random(SEED), golden()
    for _ in budget():
        stream = b"".join(rng.choice(frames) for _ in range(rng.randint(1, 5)))
        stream = damaged(rng, stream)
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(5)))
        check_stream(stream, cuts)


def test_a_promise_of_much_costs_nothing() -> None:
    """A prefix that announces the most is not believed before the bytes come."""
    prefix = bytes.fromhex("7fffffff7fffffed07f1") + bytes(12)
    with pytest.raises(ProtocolViolation):
        FrameDecoder().feed(prefix)
    reader = FrameReader(1 << 24)
    reader.feed(prefix)
    assert reader.broken is not None


def test_damaged_messages() -> None:
    """Every message: parsed, or DecodeError; what was parsed can be written and parsed again."""
    rng, classes = random.Random(SEED + 1), message_classes()
    for _ in budget():
        message = rng.choice(classes)
        raw = damaged(rng, filled(rng, message).SerializePartialToString())
        try:
            once = message.FromString(raw)
        except DecodeError:
            continue
        try:
            again = message.FromString(once.SerializePartialToString())
        except (DecodeError, UnicodeDecodeError) as error:
            raise AssertionError(raw.hex()) from error
        assert again.SerializePartialToString(deterministic=True) == (
            once.SerializePartialToString(deterministic=True)
        ), raw.hex()


def test_damaged_payloads() -> None:
    """Job and task payloads (bincode) and error bodies."""
    rng = random.Random(SEED + 2)
    seeds = [frame for frame in golden() if len(frame) > 60]
    for _ in budget():
        raw = damaged(rng, rng.choice(seeds)[rng.randrange(60) :])
        status.decode_error(raw)
        for layout in bincode.TaskLayout:
            _refused(lambda raw=raw, layout=layout: bincode.decode_load_task(raw, layout))
        _refused(lambda raw=raw: bincode.decode_load_command(raw))


def _refused(decode: object) -> None:
    try:
        decode()  # type: ignore[operator]
    except CurvineError:
        pass
