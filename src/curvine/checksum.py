# SPDX-License-Identifier: Apache-2.0
"""CRC-32C (Castagnoli) by a library that uses the processor's instruction."""

from __future__ import annotations

import google_crc32c


def crc32c(data: bytes | memoryview, value: int = 0) -> int:
    """CRC-32C of ``data``, continuing from ``value``."""
    raw = data if isinstance(data, bytes) else bytes(data)
    return int(google_crc32c.extend(value, raw))
