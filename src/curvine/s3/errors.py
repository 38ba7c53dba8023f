# SPDX-License-Identifier: Apache-2.0
"""The S3 errors: code, HTTP status, message; and which of ours becomes which.

Source: Amazon S3 API reference, "Error responses". Codes are interface facts; the messages are
ours and name the way out.
"""

from __future__ import annotations

from curvine.errors import (
    AlreadyExists,
    CurvineError,
    DirectoryNotEmpty,
    DiskOutOfSpace,
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NoAvailableWorker,
    NoMaster,
    NotADirectory,
    NotAuthenticated,
    NotFound,
    ParentNotDirectory,
    ReadOnly,
    TimedOut,
    Unsupported,
)

# code -> (status, message)
_TABLE: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access denied"),
    "AuthorizationHeaderMalformed": (400, "The Authorization header is malformed"),
    "AuthorizationQueryParametersError": (400, "The signature in the query is malformed"),
    "BadDigest": (400, "The body does not match the digest that was sent with it"),
    "BucketAlreadyExists": (409, "The bucket exists already"),
    "BucketAlreadyOwnedByYou": (409, "The bucket exists already and is yours"),
    "BucketNotEmpty": (409, "The bucket is not empty"),
    "ConditionalRequestConflict": (409, "Another request changed the object; try again"),
    "CORSForbidden": (403, "No CORS rule of the bucket allows this"),
    "EntityTooSmall": (400, "Every part but the last needs at least 5 MiB"),
    "IllegalLocationConstraintException": (400, "The location is not this gateway's region"),
    "IncompleteBody": (400, "The body ended before its time"),
    "InternalError": (500, "The gateway failed; its log says why"),
    "InvalidAccessKeyId": (403, "The access key is not known here"),
    "InvalidArgument": (400, "An argument is not valid"),
    "InvalidBucketName": (400, "The bucket name is not valid"),
    "InvalidDigest": (400, "Content-MD5 is not a digest"),
    "InvalidObjectState": (403, "Objects that begin or end with this key are in the way"),
    "InvalidPart": (400, "A part is missing, or its ETag is another one"),
    "InvalidPartNumber": (416, "The object has no such part"),
    "InvalidPartOrder": (400, "The list of parts is not in ascending order"),
    "InvalidRange": (416, "The range lies outside the object"),
    "InvalidRequest": (400, "The request is not valid"),
    "InvalidURI": (400, "The path cannot be decoded"),
    "KeyTooLongError": (400, "The key is longer than 1024 bytes"),
    "MalformedACLError": (400, "The ACL is not well-formed or not what belongs here"),
    "MalformedXML": (400, "The XML is not well-formed or not what belongs here"),
    "MaxMessageLengthExceeded": (400, "The request's document is too large"),
    "MetadataTooLarge": (400, "User metadata is larger than 2 KiB"),
    "MethodNotAllowed": (405, "The method is not allowed on this resource"),
    "MissingContentLength": (411, "Content-Length is missing"),
    "MissingSecurityHeader": (400, "A header is missing"),
    "NoSuchBucket": (404, "The bucket does not exist"),
    "NoSuchBucketPolicy": (404, "The bucket has no policy"),
    "NoSuchCORSConfiguration": (404, "The bucket has no CORS rules"),
    "NoSuchKey": (404, "The key does not exist"),
    "NoSuchLifecycleConfiguration": (404, "The bucket has no lifecycle rules"),
    "NoSuchTagSet": (404, "There are no tags"),
    "NoSuchUpload": (404, "The upload does not exist; it may be complete or aborted"),
    "NoSuchVersion": (404, "The version does not exist: this gateway keeps no versions"),
    "NoSuchWebsiteConfiguration": (404, "The bucket has no website configuration"),
    "NotImplemented": (501, "This gateway does not offer that"),
    "NotModified": (304, ""),
    "ObjectLockConfigurationNotFoundError": (404, "The bucket has no object lock"),
    "OwnershipControlsNotFoundError": (404, "The bucket has no ownership controls"),
    "NoSuchPublicAccessBlockConfiguration": (404, "The bucket has no public access block"),
    "PreconditionFailed": (412, "A condition of the request does not hold"),
    "ReplicationConfigurationNotFoundError": (404, "The bucket has no replication"),
    "RequestTimeTooSkewed": (403, "The request's time differs from ours by more than 15 minutes"),
    "RequestTimeout": (400, "The body did not come in time"),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The bucket has no encryption rule"),
    "ServiceUnavailable": (503, "The cluster cannot serve this now; try again"),
    "SignatureDoesNotMatch": (403, "The signature is not the one that this request needs"),
    "SlowDown": (503, "Too much at a time; try again"),
    "TooManyBuckets": (400, "There are too many buckets"),
    "UnexpectedContent": (400, "This request has no body"),
    "UnresolvableGrantByEmailAddress": (400, "Grantees are named by canonical id, not by e-mail"),
    "XAmzContentSHA256Mismatch": (400, "The body does not match x-amz-content-sha256"),
}


class S3Error(Exception):
    """An answer that is an error. ``details``: further elements of the document."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        **details: str,
    ) -> None:
        default_status, default_message = _TABLE[code]
        self.code = code
        self.status = status or default_status
        self.message = message or default_message
        self.headers = headers
        self.details = details
        super().__init__(f"{code}: {self.message}")


_KINDS: tuple[tuple[type[CurvineError], str], ...] = (
    (NotFound, "NoSuchKey"),
    (IsADirectory, "NoSuchKey"),
    (NotADirectory, "NoSuchKey"),
    (ParentNotDirectory, "NoSuchKey"),
    (AlreadyExists, "InvalidObjectState"),
    (DirectoryNotEmpty, "BucketNotEmpty"),
    (ReadOnly, "AccessDenied"),
    (NotAuthenticated, "ServiceUnavailable"),
    (InvalidPath, "InvalidArgument"),
    (InvalidArgument, "InvalidArgument"),
    (Unsupported, "NotImplemented"),
    (NoMaster, "ServiceUnavailable"),
    (TimedOut, "ServiceUnavailable"),
    (NoAvailableWorker, "ServiceUnavailable"),
    (DiskOutOfSpace, "ServiceUnavailable"),
)


def translated(error: CurvineError) -> S3Error:
    """The S3 error that a client is told for one of ours."""
    for kind, code in _KINDS:
        if isinstance(error, kind):
            shown = code in ("AccessDenied", "InvalidArgument", "ServiceUnavailable")
            return S3Error(code, str(error) if shown else "")
    return S3Error("InternalError")
