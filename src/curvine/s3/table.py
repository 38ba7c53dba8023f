# SPDX-License-Identifier: Apache-2.0
"""Which operation a request is: method, level (service, bucket, object), and a query parameter.

The first row that fits is the operation. A sub-resource that no row names is NotImplemented.
"""

from __future__ import annotations

from typing import NamedTuple

from curvine.s3.context import Operation
from curvine.s3.errors import S3Error
from curvine.s3.ops import buckets, copying, cors, deleting, listings, multipart, objects
from curvine.s3.request import S3Request

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"


class Row(NamedTuple):
    """One operation. ``header``: one that has to be there."""

    name: str
    method: str
    level: str
    query: tuple[str, ...]
    operation: Operation
    header: str = ""


_SETTINGS = (
    "policy", "policyStatus", "lifecycle", "website", "encryption", "replication", "object-lock",
    "ownershipControls", "publicAccessBlock", "tagging", "versioning", "logging", "notification",
    "accelerate", "requestPayment",
)  # fmt: skip

TABLE: tuple[Row, ...] = (
    Row("ListBuckets", "GET", SERVICE, (), buckets.list_buckets),
    Row("GetBucketLocation", "GET", BUCKET, ("location",), buckets.get_location),
    Row("GetBucketAcl", "GET", BUCKET, ("acl",), objects.get_acl),
    Row("PutBucketAcl", "PUT", BUCKET, ("acl",), objects.put_acl),
    Row("GetBucketCors", "GET", BUCKET, ("cors",), cors.get_cors),
    Row("PutBucketCors", "PUT", BUCKET, ("cors",), cors.put_cors),
    Row("DeleteBucketCors", "DELETE", BUCKET, ("cors",), cors.delete_cors),
    Row("ListMultipartUploads", "GET", BUCKET, ("uploads",), listings.list_uploads),
    Row("ListObjectVersions", "GET", BUCKET, ("versions",), listings.list_versions),
    *(Row("GetBucketSetting", "GET", BUCKET, (name,), buckets.get_setting) for name in _SETTINGS),
    *(Row("PutBucketSetting", "PUT", BUCKET, (name,), buckets.put_setting) for name in _SETTINGS),
    *(
        Row("DeleteBucketSetting", "DELETE", BUCKET, (name,), buckets.delete_setting)
        for name in _SETTINGS
    ),
    Row("DeleteObjects", "POST", BUCKET, ("delete",), deleting.delete_objects),
    Row("CreateBucket", "PUT", BUCKET, (), buckets.create_bucket),
    Row("HeadBucket", "HEAD", BUCKET, (), buckets.head_bucket),
    Row("DeleteBucket", "DELETE", BUCKET, (), buckets.delete_bucket),
    Row("ListObjects", "GET", BUCKET, (), listings.list_objects),
    Row("CreateMultipartUpload", "POST", OBJECT, ("uploads",), multipart.create_upload),
    Row("CompleteMultipartUpload", "POST", OBJECT, ("uploadId",), multipart.complete_upload),
    Row("UploadPartCopy", "PUT", OBJECT, ("uploadId",), copying.copy_part, "x-amz-copy-source"),
    Row("UploadPart", "PUT", OBJECT, ("uploadId",), multipart.upload_part),
    Row("AbortMultipartUpload", "DELETE", OBJECT, ("uploadId",), multipart.abort_upload),
    Row("ListParts", "GET", OBJECT, ("uploadId",), multipart.list_parts),
    Row("GetObjectAcl", "GET", OBJECT, ("acl",), objects.get_acl),
    Row("PutObjectAcl", "PUT", OBJECT, ("acl",), objects.put_acl),
    Row("GetObjectTagging", "GET", OBJECT, ("tagging",), objects.no_tags),
    Row("GetObjectAttributes", "GET", OBJECT, ("attributes",), objects.get_attributes),
    Row("CopyObject", "PUT", OBJECT, (), copying.copy_object, "x-amz-copy-source"),
    Row("PutObject", "PUT", OBJECT, (), objects.put_object),
    Row("GetObject", "GET", OBJECT, (), objects.get_object),
    Row("HeadObject", "HEAD", OBJECT, (), objects.head_object),
    Row("DeleteObject", "DELETE", OBJECT, (), objects.delete_object),
)

_V2 = Row("ListObjectsV2", "GET", BUCKET, (), listings.list_objects_v2)
_SUB_RESOURCES = frozenset(
    ("acl", "analytics", "append", "attributes", "cors", "delete", "intelligent-tiering",
     "inventory", "legal-hold", "location", "metadataTable", "metrics", "renameObject", "restore",
     "retention", "select", "session", "torrent", "uploadId", "uploads", "versions", *_SETTINGS)
)  # fmt: skip
_BY_METHOD: dict[tuple[str, str], list[Row]] = {}
for _row in TABLE:
    _BY_METHOD.setdefault((_row.method, _row.level), []).append(_row)


def find(request: S3Request) -> Row:
    """The operation. MethodNotAllowed, NotImplemented."""
    level = OBJECT if request.key else BUCKET if request.bucket else SERVICE
    sub = _SUB_RESOURCES.intersection(request.query)
    for row in _BY_METHOD.get((request.method, level), ()):
        if row.header and row.header not in request.headers:
            continue
        if row.query:
            if all(name in request.query for name in row.query):
                return row
        elif not sub:
            if row.name == "ListObjects" and request.argument("list-type") == "2":
                return _V2
            return row
    raise S3Error("NotImplemented" if sub else "MethodNotAllowed")
