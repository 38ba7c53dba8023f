# SPDX-License-Identifier: Apache-2.0
"""Reading and changing the ACLs of buckets and objects."""

from __future__ import annotations

from curvine.httpd.streaming import Outgoing
from curvine.model.inode import SetAttr
from curvine.s3.access import acl_of, object_acl, stat
from curvine.s3.acl import (
    READ_ACP,
    WRITE_ACP,
    Acl,
    attribute,
    canned,
    from_document,
    from_headers,
    names_acl,
    policy_rows,
)
from curvine.s3.context import Call, empty, xml_answer
from curvine.s3.errors import S3Error
from curvine.s3.keys import bucket_path
from curvine.s3.xmldoc import MAX_DOCUMENT, parse


async def get_bucket_acl(call: Call) -> Outgoing:
    """GetBucketAcl."""
    return xml_answer("AccessControlPolicy", policy_rows(await acl_of(call, call.request.bucket)))


async def put_bucket_acl(call: Call) -> Outgoing:
    """PutBucketAcl."""
    bucket = call.request.bucket
    before = await acl_of(call, bucket)
    acl = await _wanted(call, before.owner, before.owner)
    await call.store.fs.set_attr(bucket_path(bucket), SetAttr(add_x_attr=attribute(acl)))
    return empty()


async def get_object_acl(call: Call) -> Outgoing:
    """GetObjectAcl."""
    request = call.request
    info = await stat(call, request.bucket, request.key, READ_ACP)
    return xml_answer("AccessControlPolicy", policy_rows(
        await object_acl(call, request.bucket, info)))  # fmt: skip


async def put_object_acl(call: Call) -> Outgoing:
    """PutObjectAcl."""
    request = call.request
    info = await stat(call, request.bucket, request.key, WRITE_ACP)
    bucket_owner = (await acl_of(call, request.bucket)).owner
    owner = info.record.acl.owner if info.record.acl is not None else bucket_owner
    acl = await _wanted(call, owner, bucket_owner)
    usual = acl == canned("private", bucket_owner)
    await call.store.set_acl(info, None if usual else acl)
    return empty()


async def _wanted(call: Call, owner: str, bucket_owner: str) -> Acl:
    """The ACL that a request brings, in its head or as a document."""
    request, known = call.request, call.gateway.known
    body = await call.intake().read_all(MAX_DOCUMENT)
    if names_acl(request):
        if body:
            raise S3Error("UnexpectedContent", "The ACL stands in the head and in the body")
        return from_headers(request, owner, bucket_owner, known)
    if not body:
        raise S3Error("MissingSecurityHeader", "The ACL is missing")
    return from_document(parse(body, "AccessControlPolicy"), owner, known)
