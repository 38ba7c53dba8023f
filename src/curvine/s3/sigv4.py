# SPDX-License-Identifier: Apache-2.0
"""Signature Version 4: of requests, of presigned URLs, of chunks. Pure: no clock, no sockets.

Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)". Comparisons
take the same time wherever the difference is. Times are seconds since the Unix epoch.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from curvine.s3.errors import S3Error
from curvine.s3.request import S3Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
MAX_SKEW = 15 * 60
MAX_EXPIRES = 7 * 24 * 3600
_SAFE = "-_.~"
_TIME = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(rf"{ALGORITHM}\s+(.*)", re.DOTALL)
_HEX64 = re.compile(r"[0-9a-f]{64}")
_SPACES = re.compile(" +")
# What canonical requests leave as it is: most of what clients send. First for a query, then a path.
_KEPT = r"%(?!2[DE]|5F|7E|3\d|4[1-9A-F]|5[\dA]|6[1-9A-F]|7[\dA])[\dA-F]{2}"
_CANONICAL = re.compile(rf"(?:[A-Za-z0-9_.~-]++|{_KEPT})*+", re.ASCII)
_CANONICAL_PATH = re.compile(rf"(?:[A-Za-z0-9_.~/-]++|(?!%2F){_KEPT})++", re.ASCII)


class Claim(NamedTuple):
    """What a request says about its signature, not verified yet."""

    access_key: str
    date: str  # YYYYMMDD
    region: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str  # ISO basic format
    expires: int | None  # presigned: seconds after the timestamp
    payload: str  # hash of the body, or one of the words above

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/s3/aws4_request"


class ChunkSigner:
    """Signatures of an aws-chunked body, each over the one before."""

    def __init__(self, claim: Claim, key: bytes) -> None:
        self._key = key
        self._prefix = f"{claim.timestamp}\n{claim.scope}"
        self._before = claim.signature

    def chunk(self, digest: str) -> str:
        """The signature of the next chunk, whose content hashes to ``digest``."""
        return self._sign(f"{ALGORITHM}-PAYLOAD", f"{EMPTY_SHA256}\n{digest}")

    def trailer(self, lines: bytes) -> str:
        """The signature of the trailing headers ("name:value\\n" each)."""
        return self._sign(f"{ALGORITHM}-TRAILER", hashlib.sha256(lines).hexdigest())

    def _sign(self, algorithm: str, rest: str) -> str:
        text = f"{algorithm}\n{self._prefix}\n{self._before}\n{rest}"
        self._before = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return self._before


def unsigned_claim(request: S3Request) -> Claim:
    """The claim of a request without a signature: only what it says about its body."""
    payload = request.header("x-amz-content-sha256") or UNSIGNED
    if payload not in (UNSIGNED, UNSIGNED_TRAILER) and not _HEX64.fullmatch(payload):
        raise S3Error("AccessDenied", "Chunks cannot be signed where the request is not")
    return Claim("", "", "", (), "", "", None, payload)


def read_claim(request: S3Request) -> Claim | None:
    """What the request claims; None for an anonymous one. S3Error for a malformed claim."""
    authorization = request.header("authorization")
    if authorization is not None:
        if "X-Amz-Algorithm" in request.query:
            raise S3Error("InvalidArgument", "Only one of header and query may be signed")
        return _from_header(request, authorization)
    if "X-Amz-Algorithm" in request.query or "X-Amz-Signature" in request.query:
        return _from_query(request)
    if "Signature" in request.query and "AWSAccessKeyId" in request.query:
        raise S3Error("InvalidRequest", "Signature Version 2 is not offered; use Version 4")
    return None


def check_time(claim: Claim, now: float) -> None:
    """RequestTimeTooSkewed, or AccessDenied for a presigned URL that has expired."""
    stamp = _epoch(claim.timestamp)
    if claim.expires is None:
        if abs(now - stamp) > MAX_SKEW:
            raise S3Error("RequestTimeTooSkewed", RequestTime=claim.timestamp)
        return
    if stamp - now > MAX_SKEW:
        raise S3Error("AccessDenied", "The request is not valid yet")
    if now > stamp + claim.expires:
        raise S3Error("AccessDenied", "The request has expired", Expires=str(claim.expires))


def verify(request: S3Request, claim: Claim, secret: str) -> bytes:
    """SignatureDoesNotMatch unless ``secret`` made the signature; the signing key."""
    _all_signed(request, claim)
    canonical = canonical_request(request, claim)
    hashed = hashlib.sha256(canonical).hexdigest()
    text = f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{hashed}"
    key = signing_key(secret, claim.date, claim.region)
    wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), claim.signature.encode("utf-8", "replace")):
        raise S3Error("SignatureDoesNotMatch")
    return key


@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str) -> bytes:
    """The key of one day, region and secret."""
    key = ("AWS4" + secret).encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def canonical_request(request: S3Request, claim: Claim) -> bytes:
    """What is signed, byte for byte."""
    uri = request.path
    if not _CANONICAL_PATH.fullmatch(uri):
        uri = quote_from_bytes(unquote_to_bytes(uri), safe="/" + _SAFE) or "/"
    pairs = []
    for part in request.query_text.split("&"):
        if part:
            name, _, value = part.partition("=")
            pair = _requoted(name), _requoted(value)
            if claim.expires is None or pair[0] != "X-Amz-Signature":
                pairs.append(pair)
    query = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    lines = [request.method.encode(), uri.encode(), query.encode()]
    for name in claim.signed_headers:
        values = [value for key, value in request.raw_headers if key == name]
        joined = b",".join(map(_trimmed, values))
        lines.append(name.encode() + b":" + joined)
    lines += [b"", ";".join(claim.signed_headers).encode(), claim.payload.encode("utf-8")]
    return b"\n".join(lines)


def _requoted(part: str) -> str:
    if _CANONICAL.fullmatch(part):
        return part
    return quote_from_bytes(unquote_to_bytes(part.replace("+", " ")), safe=_SAFE)


def _trimmed(value: bytes) -> bytes:
    text = value.decode("latin-1").strip()
    return (_SPACES.sub(" ", text) if "  " in text else text).encode("latin-1")


def _all_signed(request: S3Request, claim: Claim) -> None:
    """Headers that change what a request does have to be signed."""
    signed = claim.signed_headers
    if "host" not in signed:
        raise S3Error("AccessDenied", "The host header has to be signed")
    for name, _ in request.raw_headers:
        if name.startswith("x-amz-") and name not in signed and name != "x-amz-content-sha256":
            raise S3Error("AccessDenied", "There is a header that was not signed", Header=name)


def _from_header(request: S3Request, authorization: str) -> Claim:
    found = _AUTHORIZATION.fullmatch(authorization.strip())
    if found is None:
        if authorization.startswith("AWS "):
            raise S3Error("InvalidRequest", "Signature Version 2 is not offered; use Version 4")
        raise S3Error("InvalidArgument", "The kind of authorization is not supported")
    fields: dict[str, str] = {}
    for part in found[1].split(","):
        name, _, value = part.strip().partition("=")
        fields[name] = value
    missing = [
        name for name in ("Credential", "SignedHeaders", "Signature") if not fields.get(name)
    ]
    if missing:
        raise S3Error("AuthorizationHeaderMalformed", f"{missing[0]} is missing")
    timestamp = request.header("x-amz-date") or _http_date(request.header("date"))
    if not timestamp:
        raise S3Error("AccessDenied", "A signed request needs x-amz-date or Date")
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        raise S3Error("InvalidRequest", "x-amz-content-sha256 is missing")
    words = (UNSIGNED, STREAMING, STREAMING_TRAILER, UNSIGNED_TRAILER)
    if payload not in words and not _HEX64.fullmatch(payload):
        raise S3Error(
            "InvalidArgument", "x-amz-content-sha256 has to be a digest or a word of Version 4"
        )
    return _claim(
        "AuthorizationHeaderMalformed", fields["Credential"], fields["SignedHeaders"],
        fields["Signature"], timestamp, None, payload,
    )  # fmt: skip


def _from_query(request: S3Request) -> Claim:
    query, code = request.query, "AuthorizationQueryParametersError"
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error(code, f"X-Amz-Algorithm has to be {ALGORITHM}")
    for name in ("Credential", "SignedHeaders", "Signature", "Date", "Expires"):
        if not query.get(f"X-Amz-{name}"):
            raise S3Error(code, f"X-Amz-{name} is missing")
    raw = query["X-Amz-Expires"]
    if not (raw.isascii() and raw.isdigit()) or len(raw) > 9 or not 0 < int(raw) <= MAX_EXPIRES:
        text = f"X-Amz-Expires has to be a number from 1 to {MAX_EXPIRES}"
        raise S3Error(code, text, status=403)
    payload = query.get("X-Amz-Content-Sha256") or request.header("x-amz-content-sha256")
    return _claim(
        code, query["X-Amz-Credential"], query["X-Amz-SignedHeaders"], query["X-Amz-Signature"],
        query["X-Amz-Date"], int(raw), payload or UNSIGNED,
    )  # fmt: skip


def _claim(
    code: str,
    credential: str,
    signed: str,
    signature: str,
    timestamp: str,
    expires: int | None,
    payload: str,
) -> Claim:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise S3Error(code, "The credential is not KEY/DATE/REGION/s3/aws4_request")
    access_key, date, region, service, _ = parts
    if service != "s3":
        raise S3Error(code, "The service of the credential has to be s3")
    _epoch(timestamp)
    if timestamp[:8] != date:
        raise S3Error(code, "The date of the credential is not the date of the request")
    headers = tuple(signed.lower().split(";"))
    return Claim(access_key, date, region, headers, signature, timestamp, expires, payload)


@lru_cache(maxsize=64)
def _epoch(timestamp: str) -> float:
    try:
        return calendar.timegm(time.strptime(timestamp, _TIME))
    except (ValueError, OverflowError):
        raise S3Error("AccessDenied", "The request's date is not valid") from None


def _http_date(value: str | None) -> str:
    if value is None:
        return ""
    if re.fullmatch(r"\d{8}T\d{6}Z", value):
        return value
    try:
        return time.strftime(_TIME, time.strptime(value, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError:
        raise S3Error("AccessDenied", "The request's date is not valid") from None
