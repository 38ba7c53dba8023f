# SPDX-License-Identifier: Apache-2.0
"""The body of a request: decoded, hashed while it passes, and checked at its end.

Whatever the request said about its body (length, Content-MD5, x-amz-content-sha256, a checksum in
head or trailer, chunk signatures) has to be true before :meth:`Intake.finish` returns; nothing may
be published before. Large pieces are hashed in threads, side by side, while they are written.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from curvine.httpd.streaming import BodyFailed
from curvine.s3 import checksums
from curvine.s3.chunked import AwsChunked
from curvine.s3.errors import S3Error
from curvine.s3.request import S3Request
from curvine.s3.sigv4 import (
    STREAMING,
    STREAMING_TRAILER,
    UNSIGNED,
    UNSIGNED_TRAILER,
    ChunkSigner,
    Claim,
)

_IN_THREAD = 96 * 1024  # bytes; hashing less costs less than handing it over
_CHUNKED = (STREAMING, STREAMING_TRAILER, UNSIGNED_TRAILER)


class Intake:
    """One body. ``md5`` (hex) and ``checksums`` (algorithm -> header value) are there at the end.

    ``compute``: an algorithm whose checksum is wanted although the request names none.
    """

    def __init__(
        self,
        request: S3Request,
        claim: Claim,
        key: bytes,
        executor: Executor | None = None,
        *,
        compute: str = "",
        object_checksum: bool = False,
    ) -> None:
        self._request = request
        self._executor = executor
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._digests: list[checksums.Digest] = [self._md5]
        self._chunked: AwsChunked | None = None
        self._sha256: checksums.Digest | None = None
        self._wanted_sha256 = ""
        self._wanted_md5 = _content_md5(request)
        self.received = 0
        if claim.payload in _CHUNKED:
            signed = claim.payload != UNSIGNED_TRAILER
            signer = ChunkSigner(claim, key) if signed else None
            self._chunked = AwsChunked(signer, trailer=claim.payload != STREAMING)
        elif claim.payload != UNSIGNED:
            self._sha256 = checksums.new("sha256")
            self._digests.append(self._sha256)
            self._wanted_sha256 = claim.payload
        self._trailer_name = request.header("x-amz-trailer") or ""
        # A completion names the checksum of the object, not that of its own document.
        self.algorithm, self._wanted_checksum = ("", "") if object_checksum else self._announced()
        self._checksum: checksums.Digest | None = None
        algorithm = self.algorithm or compute
        if algorithm:
            self.algorithm = algorithm
            if algorithm == "sha256" and self._sha256 is not None:
                self._checksum = self._sha256
            else:
                self._checksum = checksums.new(algorithm)
                self._digests.append(self._checksum)
        self.length = self._expected_length()

    @property
    def md5(self) -> str:
        """Hex digest of what has passed."""
        return self._md5.hexdigest()

    @property
    def checksum(self) -> tuple[str, str] | None:
        """(algorithm, value) where one was announced or asked for."""
        if self._checksum is None:
            return None
        return self.algorithm, checksums.encoded(self._checksum.digest())

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """The payload, hashed by the time the next piece is asked for."""
        while True:
            try:
                data = await self._request.body.read()
            except BodyFailed as error:
                raise S3Error("IncompleteBody") from error
            if not data:
                break
            for piece in (data,) if self._chunked is None else self._chunked.feed(data):
                self.received += len(piece)
                if self.length is not None and self.received > self.length:
                    raise S3Error("IncompleteBody", "The body is longer than announced")
                if len(piece) < _IN_THREAD:
                    self._hash(piece)
                    yield piece
                    continue
                jobs = [self._later(digest, piece) for digest in self._digests]
                try:
                    yield piece
                finally:
                    await asyncio.gather(*jobs)
        self.finish()

    async def read_all(self, limit: int) -> bytes:
        """A small body; MaxMessageLengthExceeded when it is none."""
        if self.length is not None and self.length > limit:
            raise S3Error("MaxMessageLengthExceeded")
        parts: list[bytes] = []
        async for piece in self.pieces():
            if self.received > limit:
                raise S3Error("MaxMessageLengthExceeded")
            parts.append(bytes(piece))
        return b"".join(parts)

    def finish(self) -> None:
        """Raise what is not as the request said."""
        if self._chunked is not None:
            self._chunked.finish()
        if self.length is not None and self.received != self.length:
            raise S3Error("IncompleteBody")
        if self._sha256 is not None:
            found = self._sha256.digest().hex()
            if not hmac.compare_digest(found, self._wanted_sha256):
                raise S3Error("XAmzContentSHA256Mismatch")
        if self._wanted_md5 and self._md5.digest() != self._wanted_md5:
            raise S3Error("BadDigest")
        self._check_checksum()

    def _check_checksum(self) -> None:
        wanted = self._wanted_checksum
        name = checksums.HEADER + self.algorithm
        if self._chunked is not None and self.algorithm and not wanted:
            wanted = self._chunked.trailers.get(name, "")
            if not wanted and self._trailer_name.lower() == name:
                raise S3Error("MalformedXML", f"The trailing header {name} is missing")
        if wanted and self._checksum is not None:
            raw = checksums.decoded(self.algorithm, wanted)
            if raw is None:
                raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
            if raw != self._checksum.digest():
                raise S3Error("BadDigest", f"The body does not match {name}")

    def _hash(self, piece: bytes | memoryview) -> None:
        for digest in self._digests:
            digest.update(piece)

    def _later(self, digest: checksums.Digest, piece: bytes | memoryview) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._executor, digest.update, piece)

    def _announced(self) -> tuple[str, str]:
        """(algorithm, value) of the checksum in the head, or announced for the trailer."""
        found = [
            (algorithm, self._request.headers[checksums.HEADER + algorithm])
            for algorithm in checksums.ALGORITHMS
            if checksums.HEADER + algorithm in self._request.headers
        ]
        if len(found) > 1:
            raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
        trailer = self._trailer_name.lower()
        if trailer:
            if found:
                raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
            algorithm = trailer.removeprefix(checksums.HEADER)
            if algorithm not in checksums.ALGORITHMS or self._chunked is None:
                raise S3Error("InvalidRequest", "The value of x-amz-trailer is not valid")
            return algorithm, ""
        if found:
            if checksums.decoded(*found[0]) is None:
                name = checksums.HEADER + found[0][0]
                raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
            return found[0]
        asked = (self._request.header("x-amz-sdk-checksum-algorithm") or "").lower()
        if asked and asked not in checksums.ALGORITHMS:
            raise S3Error("InvalidRequest", "The checksum algorithm is not known")
        return asked, ""

    def _expected_length(self) -> int | None:
        if self._chunked is None:
            return self._request.body.length
        raw = self._request.header("x-amz-decoded-content-length")
        if raw is None:
            raise S3Error("MissingContentLength", "x-amz-decoded-content-length is missing")
        if not (raw.isascii() and raw.isdigit()) or len(raw) > 18:
            raise S3Error("InvalidArgument", "x-amz-decoded-content-length is not a length")
        return int(raw)


def _content_md5(request: S3Request) -> bytes:
    raw = request.header("content-md5")
    if raw is None:
        return b""
    try:
        digest = base64.b64decode(raw.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest")
    return digest
