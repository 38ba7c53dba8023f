# SPDX-License-Identifier: Apache-2.0
"""Checksums of objects: the five algorithms of S3, and full-object CRCs put together from parts.

The only module that knows awscrt (Amazon's C library: CRC-64/NVME and the others at memory speed).
Values on the wire are base64 of the big-endian digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

from awscrt import checksums as awscrt_checksums

ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
HEADER = "x-amz-checksum-"
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"

_WIDTH = {"crc32": 32, "crc32c": 32, "crc64nvme": 64}
_POLYNOMIAL = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78, "crc64nvme": 0x9A6C9329AC4BC9B5}
_SIZE = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}


class Digest(Protocol):
    """An algorithm at work."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, width: int, extend: Callable[[int, bytes | memoryview], int]) -> None:
        self._bytes = width // 8
        self._extend = extend
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._extend(self._value, data)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._bytes, "big")


def _crc32(value: int, data: bytes | memoryview) -> int:
    return zlib.crc32(data, value)


def _crc32c(value: int, data: bytes | memoryview) -> int:
    return int(awscrt_checksums.crc32c(data, value))


def _crc64nvme(value: int, data: bytes | memoryview) -> int:
    return int(awscrt_checksums.crc64nvme(data, value))


def new(algorithm: str) -> Digest:
    """A fresh digest of one of :data:`ALGORITHMS`."""
    if algorithm == "crc32":
        return _Crc(32, _crc32)
    if algorithm == "crc32c":
        return _Crc(32, _crc32c)
    if algorithm == "crc64nvme":
        return _Crc(64, _crc64nvme)
    return hashlib.new(algorithm, usedforsecurity=False)


def encoded(digest: bytes) -> str:
    """A digest as headers carry it."""
    return base64.b64encode(digest).decode()


def decoded(algorithm: str, value: str) -> bytes | None:
    """The digest of a header; None where it is none of that algorithm."""
    try:
        raw = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _SIZE[algorithm] else None


def is_crc(algorithm: str) -> bool:
    """Whether full-object checksums can be made from those of parts."""
    return algorithm in _WIDTH


def of_parts(algorithm: str, digests: Sequence[bytes]) -> str:
    """The composite checksum: of the parts' digests, with their number."""
    digest = new(algorithm)
    for part in digests:
        digest.update(part)
    return f"{encoded(digest.digest())}-{len(digests)}"


def combined(algorithm: str, parts: Sequence[tuple[bytes, int]]) -> str:
    """The CRC of the whole from (CRC, length) of its parts."""
    width, polynomial = _WIDTH[algorithm], _POLYNOMIAL[algorithm]
    total = 0
    shifts: dict[int, list[int]] = {}
    for digest, length in parts:
        if length not in shifts:
            shifts[length] = _zeros(width, polynomial, length)
        total = _apply(shifts[length], total) ^ int.from_bytes(digest, "big")
    return encoded(total.to_bytes(width // 8, "big"))


def _zeros(width: int, polynomial: int, length: int) -> list[int]:
    """The matrix over GF(2) that puts ``length`` zero bytes behind a CRC (as zlib combines)."""
    bit = [polynomial] + [1 << index for index in range(width - 1)]
    power = _square(_square(_square(bit)))  # one byte
    result = [1 << index for index in range(width)]
    while length:
        if length & 1:
            result = [_apply(power, row) for row in result]
        power = _square(power)
        length >>= 1
    return result


def _square(matrix: list[int]) -> list[int]:
    return [_apply(matrix, row) for row in matrix]


def _apply(matrix: list[int], vector: int) -> int:
    total = 0
    for row in matrix:
        if vector & 1:
            total ^= row
        vector >>= 1
        if not vector:
            break
    return total
