# SPDX-License-Identifier: Apache-2.0
"""The aws-chunked encoding: bytes in, payload out. Pure: no sockets.

Each chunk is ``HEX-SIZE[;chunk-signature=HEX]\\r\\n payload \\r\\n``; a chunk of size 0 ends them,
trailing headers may follow. Payload is handed on before its signature is known to be right, so
nobody may publish it before :meth:`AwsChunked.finish` has returned. Every line is bounded, and so
is what framing may add to a small payload. Source: Amazon S3 API reference, "sigv4-streaming".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from curvine.s3.errors import S3Error
from curvine.s3.sigv4 import ChunkSigner

_HEAD = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_MAX_LINE = 512
_MAX_TRAILER = 4 * 1024
_HEAD_STATE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)
_SIGNATURE = "x-amz-trailer-signature"


class AwsChunked:
    """``signer``: chunks carry signatures. ``trailer``: trailing headers may follow."""

    def __init__(self, signer: ChunkSigner | None, *, trailer: bool) -> None:
        self.trailers: dict[str, str] = {}
        self.decoded = 0  # bytes of payload so far
        self._signer = signer
        self._may_trail = trailer
        self._state = _HEAD_STATE
        self._line = bytearray()
        self._left = 0
        self._hash = hashlib.sha256()
        self._claimed = b""
        self._trailer_lines = bytearray()
        self._trailer_size = 0

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Payload in ``data``; IncompleteBody or SignatureDoesNotMatch."""
        view = memoryview(data)
        offset = 0
        while offset < len(data):
            if self._state == _DATA:
                piece = view[offset : offset + self._left]
                offset += len(piece)
                self._left -= len(piece)
                self.decoded += len(piece)
                if self._signer is not None:
                    self._hash.update(piece)
                if not self._left:
                    self._state = _DATA_END
                yield piece
                continue
            if self._state == _DONE:
                raise S3Error("IncompleteBody", "There are bytes behind the last chunk")
            end = data.find(b"\n", offset)
            stop = len(data) if end < 0 else end + 1
            self._line += view[offset:stop]
            offset = stop
            if len(self._line) > (_MAX_TRAILER if self._state == _TRAILER else _MAX_LINE):
                raise S3Error("IncompleteBody", "A line of the chunked body is too long")
            if end >= 0:
                line = bytes(self._line)
                self._line.clear()
                self._take(line)

    def finish(self) -> None:
        """IncompleteBody unless the last chunk was there."""
        if self._state != _DONE and not (self._state == _TRAILER and not self._may_trail):
            raise S3Error("IncompleteBody", "The last chunk is missing")
        if self._signer is not None and self._may_trail:
            self._check_trailer()

    def _take(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise S3Error("IncompleteBody", "A line of the chunked body does not end in CRLF")
        line = line[:-2]
        if self._state == _DATA_END:
            if line:
                raise S3Error("IncompleteBody", "A chunk is longer than it says")
            self._check_chunk()
            self._state = _HEAD_STATE
        elif self._state == _HEAD_STATE:
            self._begin_chunk(line)
        else:
            self._take_trailer(line)

    def _begin_chunk(self, line: bytes) -> None:
        found = _HEAD.fullmatch(line)
        if found is None:
            raise S3Error("IncompleteBody", "The head of a chunk is not valid")
        self._left = int(found[1], 16)
        self._claimed = found[2] or b""
        if self._signer is not None and not self._claimed:
            raise S3Error("SignatureDoesNotMatch", "A chunk is not signed")
        self._hash = hashlib.sha256()
        self._state = _DATA if self._left else _TRAILER
        if not self._left:
            self._check_chunk()

    def _check_chunk(self) -> None:
        if self._signer is None:
            return
        wanted = self._signer.chunk(self._hash.hexdigest())
        if not hmac.compare_digest(wanted.encode(), self._claimed):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk is wrong")

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._state = _DONE
            return
        self._trailer_size += len(line)
        if not self._may_trail or self._trailer_size > _MAX_TRAILER:
            raise S3Error("IncompleteBody", "There are trailing headers that were not announced")
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            raise S3Error("IncompleteBody", "A trailing header is not valid")
        self.trailers[name] = value
        if name != _SIGNATURE:
            self._trailer_lines += f"{name}:{value}\n".encode("latin-1")

    def _check_trailer(self) -> None:
        assert self._signer is not None
        wanted = self._signer.trailer(bytes(self._trailer_lines))
        claimed = self.trailers.get(_SIGNATURE, "")
        if not hmac.compare_digest(wanted.encode(), claimed.encode("latin-1", "replace")):
            raise S3Error("SignatureDoesNotMatch", "The signature of the trailing headers is wrong")
