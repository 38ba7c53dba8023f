# SPDX-License-Identifier: Apache-2.0
"""Which operation a request is: method, level (service, bucket, object), and a query parameter.

The first row that fits is the operation. A sub-resource that no row names is NotImplemented.
"""

from __future__ import annotations

from typing import NamedTuple

from curvine.s3.access import OBJECT, SIGNED
from curvine.s3.acl import OWNER, READ, READ_ACP, WRITE, WRITE_ACP
from curvine.s3.context import Operation
from curvine.s3.errors import S3Error
from curvine.s3.ops import acls, buckets, copying, cors, deleting, listings, multipart, objects
from curvine.s3.request import S3Request

SERVICE, BUCKET, KEY = "service", "bucket", "key"


class Row(NamedTuple):
    """One operation. ``needs``: what the caller needs (s3.access). ``header``: one that has to be
    there."""

    name: str
    method: str
    level: str
    query: tuple[str, ...]
    needs: str
    operation: Operation
    header: str = ""


_SETTINGS = (
    "policy", "policyStatus", "lifecycle", "website", "encryption", "replication", "object-lock",
    "ownershipControls", "publicAccessBlock", "tagging", "versioning", "logging", "notification",
    "accelerate", "requestPayment",
)  # fmt: skip

TABLE: tuple[Row, ...] = (
    Row("ListBuckets", "GET", SERVICE, (), SIGNED, buckets.list_buckets),
    Row("GetBucketLocation", "GET", BUCKET, ("location",), READ, buckets.get_location),
    Row("GetBucketAcl", "GET", BUCKET, ("acl",), READ_ACP, acls.get_bucket_acl),
    Row("PutBucketAcl", "PUT", BUCKET, ("acl",), WRITE_ACP, acls.put_bucket_acl),
    Row("GetBucketCors", "GET", BUCKET, ("cors",), OWNER, cors.get_cors),
    Row("PutBucketCors", "PUT", BUCKET, ("cors",), OWNER, cors.put_cors),
    Row("DeleteBucketCors", "DELETE", BUCKET, ("cors",), OWNER, cors.delete_cors),
    Row("ListMultipartUploads", "GET", BUCKET, ("uploads",), READ, listings.list_uploads),
    Row("ListObjectVersions", "GET", BUCKET, ("versions",), READ, listings.list_versions),
    *(
        Row("GetBucketSetting", "GET", BUCKET, (name,), OWNER, buckets.get_setting)
        for name in _SETTINGS
    ),
    *(
        Row("PutBucketSetting", "PUT", BUCKET, (name,), OWNER, buckets.put_setting)
        for name in _SETTINGS
    ),
    *(
        Row("DeleteBucketSetting", "DELETE", BUCKET, (name,), OWNER, buckets.delete_setting)
        for name in _SETTINGS
    ),
    Row("DeleteObjects", "POST", BUCKET, ("delete",), WRITE, deleting.delete_objects),
    Row("CreateBucket", "PUT", BUCKET, (), SIGNED, buckets.create_bucket),
    Row("HeadBucket", "HEAD", BUCKET, (), READ, buckets.head_bucket),
    Row("DeleteBucket", "DELETE", BUCKET, (), OWNER, buckets.delete_bucket),
    Row("ListObjects", "GET", BUCKET, (), READ, listings.list_objects),
    Row("CreateMultipartUpload", "POST", KEY, ("uploads",), WRITE, multipart.create_upload),
    Row("CompleteMultipartUpload", "POST", KEY, ("uploadId",), WRITE, multipart.complete_upload),
    Row("UploadPartCopy", "PUT", KEY, ("uploadId",), WRITE, copying.copy_part, "x-amz-copy-source"),
    Row("UploadPart", "PUT", KEY, ("uploadId",), WRITE, multipart.upload_part),
    Row("AbortMultipartUpload", "DELETE", KEY, ("uploadId",), WRITE, multipart.abort_upload),
    Row("ListParts", "GET", KEY, ("uploadId",), WRITE, multipart.list_parts),
    Row("GetObjectAcl", "GET", KEY, ("acl",), OBJECT, acls.get_object_acl),
    Row("PutObjectAcl", "PUT", KEY, ("acl",), OBJECT, acls.put_object_acl),
    Row("GetObjectTagging", "GET", KEY, ("tagging",), OBJECT, objects.no_tags),
    Row("GetObjectAttributes", "GET", KEY, ("attributes",), OBJECT, objects.get_attributes),
    Row("CopyObject", "PUT", KEY, (), WRITE, copying.copy_object, "x-amz-copy-source"),
    Row("PutObject", "PUT", KEY, (), WRITE, objects.put_object),
    Row("GetObject", "GET", KEY, (), OBJECT, objects.get_object),
    Row("HeadObject", "HEAD", KEY, (), OBJECT, objects.head_object),
    Row("DeleteObject", "DELETE", KEY, (), WRITE, objects.delete_object),
)

_V2 = Row("ListObjectsV2", "GET", BUCKET, (), READ, listings.list_objects_v2)
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
    level = KEY if request.key else BUCKET if request.bucket else SERVICE
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
