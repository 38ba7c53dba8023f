# SPDX-License-Identifier: Apache-2.0
"""Frames: bytes in, :class:`Frame` out. No sockets here.

A frame is a 22-byte prefix, a protobuf header and raw data, all integers signed and big endian
(control-plane specification 1.1)::

    0   i32  total_size   bytes that follow this field = 18 + header_size + data_size
    4   i32  header_size
    8   i8   code         RPC code
    9   i8   status       two nibbles, see wire.codes
    10  i64  req_id
    18  i32  seq_id
    22       header, then data

A peer that breaks this cannot be resynchronised: :class:`curvine.errors.ProtocolViolation` is
raised and the connection has to be closed.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from curvine.errors import ProtocolViolation

PREFIX = Struct(">iibBqi")
PREFIX_SIZE = PREFIX.size  # 22
OVERHEAD = PREFIX_SIZE - 4  # what total_size counts besides header and data
MAX_DATA = 16 * 1024 * 1024  # exactly 16 MiB is accepted
MAX_REQUEST_HEADER = 16 * 1024 * 1024  # decision 10: servers
MAX_REPLY_HEADER = 512 * 1024 * 1024  # decision 10: clients

Buffer = bytes | bytearray | memoryview


class Frame(NamedTuple):
    """One frame. ``status`` is the raw byte 0..255; ``header`` and ``data`` are owned copies."""

    code: int
    status: int
    req_id: int
    seq_id: int
    header: bytes = b""
    data: Buffer = b""


class Prefix(NamedTuple):
    """The fixed part of a frame, checked. ``rest`` bytes of header and data follow it."""

    code: int
    status: int
    req_id: int
    seq_id: int
    header_size: int
    data_size: int


def decode_prefix(buffer: Buffer, offset: int, max_header: int, max_data: int = MAX_DATA) -> Prefix:
    """Decode and check the 22 bytes at ``offset``; ProtocolViolation names what is wrong."""
    total, header_size, code, status, req_id, seq_id = PREFIX.unpack_from(buffer, offset)
    data_size = total - header_size - OVERHEAD
    if total < OVERHEAD or header_size < 0 or data_size < 0:
        raise ProtocolViolation(
            f"malformed frame: total size {total}, header size {header_size} do not fit together"
        )
    if header_size > max_header:
        raise ProtocolViolation(f"frame header of {header_size} bytes is over {max_header}")
    if data_size > max_data:
        raise ProtocolViolation(f"frame data of {data_size} bytes are over {max_data}")
    return Prefix(code, status, req_id, seq_id, header_size, data_size)


def encode_prefix(
    code: int, status: int, req_id: int, seq_id: int, header_size: int, data_size: int
) -> bytes:
    """The 22 bytes in front of a header and data of the given sizes."""
    return PREFIX.pack(
        OVERHEAD + header_size + data_size, header_size, code, status, req_id, seq_id
    )


def encode(
    code: int, status: int, req_id: int, seq_id: int, header: bytes = b"", data: Buffer = b""
) -> bytes:
    """A whole frame in one piece. For large data send the parts instead: no copy."""
    prefix = encode_prefix(code, status, req_id, seq_id, len(header), len(data))
    return b"".join((prefix, header, data))


class FrameDecoder:
    """Collects bytes and gives out complete frames.

    Only the bytes of the frame that is being received are kept, so memory is bounded by
    ``max_header`` + ``max_data``.
    """

    def __init__(self, max_header: int = MAX_REQUEST_HEADER, max_data: int = MAX_DATA) -> None:
        self._max_header = max_header
        self._max_data = max_data
        self._buffer = bytearray()
        self._prefix: Prefix | None = None
        self._needed = PREFIX_SIZE

    @property
    def pending(self) -> int:
        """Bytes of an incomplete frame; 0 means that closing here would be clean."""
        return len(self._buffer) + (PREFIX_SIZE if self._prefix else 0)

    def feed(self, data: Buffer) -> list[Frame]:
        """Take ``data`` and return the frames that it completes, in order."""
        frames: list[Frame] = []
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return frames
            source = bytes(self._buffer)
            self._buffer = bytearray()
        else:
            source = bytes(data)
        offset = self._decode(source, frames)
        if offset < len(source):
            self._buffer += source[offset:] if offset else source
        return frames

    def _decode(self, source: bytes, frames: list[Frame]) -> int:
        """Append the complete frames of ``source``; return how many bytes were used."""
        offset, end = 0, len(source)
        while end - offset >= self._needed:
            prefix = self._prefix
            if prefix is None:
                prefix = decode_prefix(source, offset, self._max_header, self._max_data)
                offset += PREFIX_SIZE
                self._prefix = prefix
                self._needed = prefix.header_size + prefix.data_size
                continue
            middle = offset + prefix.header_size
            stop = middle + prefix.data_size
            data: Buffer = source[middle:stop]
            frames.append(
                Frame(
                    prefix.code,
                    prefix.status,
                    prefix.req_id,
                    prefix.seq_id,
                    source[offset:middle],
                    data,
                )
            )
            offset = stop
            self._prefix = None
            self._needed = PREFIX_SIZE
        return offset
