# SPDX-License-Identifier: Apache-2.0
"""Sums of blocks: the note of a file, and sums made from bytes as they pass."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curvine import checksum
from curvine.checksum import combine, crc32c
from curvine.worker import sums
from curvine.worker.sums import Note, RunningSums, decode

CHUNK = 4096
LIMIT = 4  # chunks, before they double


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "FIRST_SHIFT", 12)
    monkeypatch.setattr(sums, "MAX_CHUNKS", LIMIT)


def expected(content: bytes, shift: int) -> tuple[int, ...]:
    size = 1 << shift
    return tuple(crc32c(content[at : at + size]) for at in range(0, len(content), size))


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 1 << 40))
def test_combine(first: bytes, second: bytes, far: int) -> None:
    assert combine(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)
    assert combine(0, 7, far) == 7  # nothing in front


def test_known_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial
    assert crc32c(memoryview(bytearray(b"6789")), crc32c(b"12345")) == 0xE3069283
    assert checksum.combine(crc32c(b"12345"), crc32c(b"6789"), 4) == 0xE3069283


class TestNote:
    @given(st.integers(0, 1 << 40), st.integers(0, 0xFFFFFFFF), st.integers(12, 30), st.data())
    def test_round_trip(self, length: int, boot: int, shift: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, min(20, -(-length >> shift))))
        note = Note(length, boot, shift, tuple(range(count)))
        assert decode(note.encode()) == note
        assert note.complete is (note.covered == length)

    @given(st.binary(max_size=64))
    def test_other_bytes_are_no_note(self, raw: bytes) -> None:
        assert decode(raw) is None

    def test_a_damaged_note_is_none(self) -> None:
        raw = bytearray(Note(5000, 1, 12, (1, 2)).encode())
        for at in range(len(raw)):
            raw[at] ^= 4
            assert decode(bytes(raw)) is None
            raw[at] ^= 4
        assert decode(bytes(raw)) is not None

    def test_fits_an_ext4_block_whatever_the_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        running = RunningSums()
        running.spoil((1 << 40) - 1, 1)
        note = Note(1 << 40, 0, running.shift, (0,) * (1 << 40 >> running.shift))
        assert len(note.encode()) < 4000 - len(sums.BLOCK_ATTRIBUTE)


Action = tuple[str, int, int]
actions = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "append", "append", "spoil", "cut", "lose")),
        st.integers(0, 40_000),
        st.sampled_from((1, 100, 4096, 5000, 12_288)),
    ),
    max_size=12,
)


class TestRunningSums:
    @settings(max_examples=300)
    @given(st.binary(max_size=20_000), actions)
    def test_any_order_of_writes(self, start: bytes, steps: list[Action]) -> None:
        """Whatever happens to a file, its sums end up right, and what is known is right before."""
        content = bytearray(start)
        base = Note(len(start), 0, 14, expected(start, 14))
        running = RunningSums(base)
        floor = len(start)
        for kind, offset, size in steps:
            if kind == "append":
                offset = len(content)
            if kind == "lose":
                running.lose()
                floor = len(start)  # base no longer applies to what changed below
                if bytes(content[:floor]) != start:
                    running.forget()
            elif kind == "cut":
                del content[offset:]
                running.cut(offset)
            else:
                data = os.urandom(size)
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + size] = data
                if kind == "spoil":
                    running.spoil(offset, size)
                else:
                    running.put(offset, data)
            note = running.note(len(content), 3)
            assert note.sums == expected(bytes(content), note.shift)[: len(note.sums)]
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            running.read_back(file.fileno(), len(content))
        assert running.unknown(len(content)) == 0
        note = running.note(len(content), 3)
        assert note.sums == expected(bytes(content), note.shift) and note.complete

    def test_a_stream_needs_no_reading_back(self) -> None:
        running = RunningSums()
        data = os.urandom(100_000)
        for at in range(0, len(data), 7000):
            running.put(at, data[at : at + 7000])
        assert running.unknown(len(data)) == 0 and running.shift == 15
        assert running.note(len(data), 0).sums == expected(data, 15)

    def test_ranges_in_any_order_need_none_either(self) -> None:
        running = RunningSums()
        data = os.urandom(16 * 1024)
        for chunk in (2, 0, 3, 1):
            running.put(chunk * CHUNK, data[chunk * CHUNK : (chunk + 1) * CHUNK])
        assert running.unknown(len(data)) == 0
        assert running.note(len(data), 0).sums == expected(data, 12)

    def test_an_append_reads_nothing(self) -> None:
        data = os.urandom(10_000)
        running = RunningSums(Note(len(data), 0, 12, expected(data, 12)))
        more = os.urandom(3000)
        running.put(len(data), more)
        assert running.unknown(13_000) == 0
        assert running.note(13_000, 0).sums == expected(data + more, 12)

    def test_a_short_file_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_bytes(b"abc")
        with path.open("rb") as file, pytest.raises(OSError, match="ends at byte 3"):
            RunningSums().read_back(file.fileno(), 10)
