# SPDX-License-Identifier: Apache-2.0
"""From what an object store or an engine says to one line: which thing is wrong, and the way out.

The engines give texts of many lines with the server's answer inside; what is looked for is the
server's own error code, then the status, then what the transport says. Nothing of the request
(which is signed) gets into the line. Source: Amazon S3 API reference, error responses.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from curvine.errors import (
    AlreadyExists,
    CurvineError,
    DiskOutOfSpace,
    InvalidPath,
    NotFound,
    UfsChanged,
    UfsDenied,
    UfsFailed,
    UfsUnavailable,
)

_CODE = re.compile(r"<Code>\s*([A-Za-z0-9.]+)\s*</Code>|\bcode: \"([A-Za-z0-9.]+)\"")
_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})\b")
_SENTENCE = re.compile(r"<Message>([^<]{1,200})</Message>|\bmessage: \"([^\"]{1,200})\"")

# code -> (class, what is wrong and what to do); {place} is the storage, {keys} names the properties
_CODES: dict[str, tuple[type[CurvineError], str]] = {
    "NoSuchBucket": (UfsFailed, "the bucket does not exist; check its name and the endpoint"),
    "InvalidBucketName": (UfsFailed, "this is no valid bucket name; check the URI"),
    "NoSuchKey": (NotFound, "it does not exist"),
    "ContainerNotFound": (UfsFailed, "the container does not exist; check its name"),
    "InvalidAccessKeyId": (UfsDenied, "the access key is not known there; check {access}"),
    "SignatureDoesNotMatch": (UfsDenied, "the secret key is wrong; check {secret}"),
    "AuthenticationFailed": (UfsDenied, "the credentials are wrong; check {secret}"),
    "ExpiredToken": (UfsDenied, "the session token has expired; give a new one"),
    "InvalidToken": (UfsDenied, "the session token is not valid; give another"),
    "AccessDenied": (UfsDenied, "these credentials may not do that; ask for the permission"),
    "AllAccessDisabled": (UfsDenied, "the bucket is disabled; ask its owner"),
    "AccountProblem": (UfsDenied, "the account has a problem; ask its owner"),
    "RequestTimeTooSkewed": (
        UfsDenied,
        "the clock of this machine differs from the server's by too much; set it right (NTP)",
    ),
    "RequestExpired": (
        UfsDenied,
        "the request counts as expired: the clock of this machine is wrong; set it right (NTP)",
    ),
    "AuthorizationHeaderMalformed": (
        UfsFailed,
        "the region is wrong for this bucket; check {region}",
    ),
    "PermanentRedirect": (
        UfsFailed,
        "the bucket is in another region; check {region} and {endpoint}",
    ),
    "IllegalLocationConstraintException": (UfsFailed, "the region is wrong; check {region}"),
    "SlowDown": (UfsUnavailable, "the server throttles requests; try again later"),
    "ServiceUnavailable": (UfsUnavailable, "the server is too busy; try again later"),
    "Throttling": (UfsUnavailable, "the server throttles requests; try again later"),
    "RequestLimitExceeded": (UfsUnavailable, "the server throttles requests; try again later"),
    "TooManyRequests": (UfsUnavailable, "the server throttles requests; try again later"),
    "InternalError": (UfsUnavailable, "the server failed; try again later"),
    "RequestTimeout": (UfsUnavailable, "the server gave up waiting; try again later"),
    "NoSuchUpload": (UfsUnavailable, "the server has forgotten the upload"),
    "PreconditionFailed": (UfsChanged, "it changed while it was read"),
    "KeyTooLongError": (InvalidPath, "the name is too long for the store"),
    "EntityTooLarge": (UfsFailed, "it is too large for the store"),
    "InvalidObjectState": (UfsFailed, "it is archived; restore it in the store first"),
    "QuotaExceeded": (DiskOutOfSpace, "the quota of the store is used up"),
    "XMinioStorageFull": (DiskOutOfSpace, "the store is full"),
    "BucketAlreadyOwnedByYou": (AlreadyExists, "the bucket exists"),
}

_STATUSES: dict[int, str] = {
    301: "PermanentRedirect",
    307: "PermanentRedirect",
    404: "NoSuchKey",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    502: "ServiceUnavailable",
    503: "ServiceUnavailable",
    504: "RequestTimeout",
    507: "XMinioStorageFull",
}

# what a transport says -> what it means
_TRANSPORT = (
    (re.compile(r"connection refused", re.I), "nothing listens there"),
    (re.compile(r"dns error|failed to lookup|name or service not known", re.I),
     "the host name does not resolve"),
    (re.compile(r"no route to host|network is unreachable", re.I), "no network leads there"),
    (re.compile(r"certificate|tls|ssl", re.I), "TLS with it failed; check scheme and certificate"),
    (re.compile(r"timed? ?out|deadline|elapsed\)", re.I), "it does not answer in time"),
    (re.compile(r"kind: connect|client error \(connect\)|tcp connect", re.I),
     "nothing can be reached there"),
    (re.compile(r"error sending request|connection (reset|closed)|incomplete message|broken pipe"
                r"|error decoding response body|hyper|unexpected eof|io error", re.I),
     "the connection broke"),
)  # fmt: skip


class Place(msgspec.Struct, frozen=True):
    """Where requests go, for messages: the storage's URI, its endpoint, and the keys for both."""

    uri: str
    endpoint: str = ""
    access: str = "the credentials"
    secret: str = "the credentials"
    region: str = "the region"
    endpoint_key: str = "the endpoint"

    def blamed(self, text: str, what: str = "") -> CurvineError:
        """The error for an engine's ``text``, about ``what`` (a key) in this storage."""
        subject = f"{self.uri.rstrip('/')}/{what}" if what else self.uri
        found = _CODE.search(text)
        code = next(filter(None, found.groups())) if found else ""
        status = _STATUS.search(text)
        number = int(next(filter(None, status.groups()))) if status else 0
        if code not in _CODES:
            code = _STATUSES.get(number, "") or code
        if code in _CODES:
            kind, sentence = _CODES[code]
            return kind(f"{subject}: {self._filled(sentence)}")
        if number in (401, 403):
            sentence = "access is denied; check {access}, {secret} and what they may do"
            return UfsDenied(f"{subject}: {self._filled(sentence)}")
        for pattern, meaning in _TRANSPORT:
            if not number and pattern.search(text):
                host = urlsplit(self.endpoint).netloc or self.endpoint or "the server"
                return UfsUnavailable(f"{subject}: {host}: {meaning}; check {self.endpoint_key}")
        return UfsFailed(f"{subject}: {self._said(text, code, number)}")

    def _filled(self, sentence: str) -> str:
        return sentence.format(
            access=self.access, secret=self.secret, region=self.region, endpoint=self.endpoint_key
        )

    def _said(self, text: str, code: str, number: int) -> str:
        """What is left to say about something unforeseen: the server's own words, one line."""
        said = _SENTENCE.search(text)
        words = next(filter(None, said.groups())) if said else ""
        if not words and not code and number:
            words = f"the server answered with status {number}; is {self.endpoint_key} right?"
        elif not words and not code:
            words = text.strip().partition("\n")[0][:200]
        return ": ".join(part for part in (code, words) if part)
