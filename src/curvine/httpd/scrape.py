# SPDX-License-Identifier: Apache-2.0
"""The /metrics page of every process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from curvine.httpd.messages import Response
from curvine.telemetry.metrics import CONTENT_TYPE

_PIECE = 16 * 1024  # characters made before other work gets its turn


def metrics_page(families: Iterator[str]) -> Response:
    """Families of metrics as an answer, made piece by piece."""
    return Response(_pieces(families), content_type=CONTENT_TYPE)


async def _pieces(families: Iterator[str]) -> AsyncIterator[bytes]:
    piece: list[str] = []
    size = 0
    for family in families:
        piece.append(family)
        size += len(family)
        if size >= _PIECE:
            yield "".join(piece).encode("utf-8", "replace")
            piece, size = [], 0
    yield "".join(piece).encode("utf-8", "replace")
