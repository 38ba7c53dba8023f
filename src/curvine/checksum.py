# SPDX-License-Identifier: Apache-2.0
"""CRC-32C (Castagnoli) by a library that uses the processor's instruction.

The library takes any buffer without a copy and lets other threads run meanwhile (docs/adr/0009).
"""

from __future__ import annotations

from functools import lru_cache

import crc32c as _engine

_POLYNOMIAL = 0x82F63B78  # reflected: bit 31 is the coefficient of x^0
_ONE = 0x80000000


def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """CRC-32C of ``data``, continuing from ``value``."""
    return _engine.crc32c(data, value)


def combine(first: int, second: int, second_length: int) -> int:
    """The CRC-32C of two pieces in a row, of which the second has ``second_length`` bytes."""
    return _multiply(_power(second_length), first) ^ second


@lru_cache(maxsize=64)
def _power(length: int) -> int:
    """x to the power of 8 * ``length``, modulo the polynomial."""
    result, square = _ONE, _ONE >> 8  # x^8
    while length:
        if length & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        length >>= 1
    return result


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo the CRC's."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product
