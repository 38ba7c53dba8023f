# SPDX-License-Identifier: Apache-2.0
"""Buckets: listing, making, removing, and what is asked about one."""

from __future__ import annotations

from curvine.errors import AlreadyExists, CurvineError
from curvine.httpd.streaming import Outgoing
from curvine.model.inode import FileStatus, MkdirOpts
from curvine.s3.acl import ADMIN, OWNER, attribute, bucket_acl, canned, from_headers, owner_rows
from curvine.s3.context import Call, empty, xml_answer
from curvine.s3.errors import S3Error
from curvine.s3.keys import bucket_path, check_new_bucket, is_bucket
from curvine.s3.listing import list_page
from curvine.s3.ops.objects import check_put_headers
from curvine.s3.records import iso_date
from curvine.s3.xmldoc import MAX_DOCUMENT, NAMESPACE, Child, parse, text

_PAGE = 1000
_NOT_THERE = {
    "policy": "NoSuchBucketPolicy",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "website": "NoSuchWebsiteConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "replication": "ReplicationConfigurationNotFoundError",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "tagging": "NoSuchTagSet",
}
_EMPTY = {
    "versioning": "VersioningConfiguration",
    "logging": "BucketLoggingStatus",
    "notification": "NotificationConfiguration",
    "accelerate": "AccelerateConfiguration",
}


async def list_buckets(call: Call) -> Outgoing:
    """ListBuckets."""
    request = call.request
    prefix = request.argument("prefix")
    most = request.number("max-buckets", 10_000) or 10_000
    after = request.argument("continuation-token")
    rows: list[Child] = []
    token = last = ""
    for status in await call.store.fs.list("/"):
        shown = status.is_dir and is_bucket(status.name) and status.name.startswith(prefix)
        if not shown or status.name <= after:
            continue
        if not bucket_acl(status).allows(call.caller, OWNER):
            continue
        if len(rows) >= most:
            token = last
            break
        last = status.name
        rows.append(("Bucket", [("Name", status.name), ("CreationDate", iso_date(_made(status)))]))
    answer: list[Child] = [("Owner", owner_rows(call.caller.owner)), ("Buckets", rows)]
    if token:
        answer.append(("ContinuationToken", token))
    if prefix:
        answer.append(("Prefix", prefix))
    return xml_answer("ListAllMyBucketsResult", answer)


def _made(status: FileStatus) -> int:
    raw = status.x_attr.get("user.s3.created", b"")
    return int(raw) if raw.isdigit() else status.mtime


async def create_bucket(call: Call) -> Outgoing:
    """CreateBucket."""
    request = call.request
    check_put_headers(call)
    if (request.header("x-amz-bucket-object-lock-enabled") or "").lower() == "true":
        raise S3Error("NotImplemented")
    body = await call.intake().read_all(MAX_DOCUMENT)
    if body:
        wanted = parse(body, "CreateBucketConfiguration").value("LocationConstraint")
        if wanted and wanted not in (call.gateway.conf.region, "us-east-1", "EU", "default"):
            raise S3Error("IllegalLocationConstraintException")
    check_new_bucket(request.bucket)
    owner = call.caller.owner
    acl = from_headers(request, owner, owner, call.gateway.known)
    path = bucket_path(request.bucket)
    try:
        if (await call.store.places.of(path)).native:
            opts = MkdirOpts(mode=0o755, x_attr=attribute(acl))
            await call.store.fs.cluster.ns.mkdir(path, opts)
        elif acl == canned("private", ADMIN):
            await call.store.fs.mkdir(path, mode=0o755)
        else:
            raise S3Error("AccessDenied", "An under storage keeps no owners of buckets")
    except AlreadyExists:
        status = await call.store.fs.status(path)
        if not status.is_dir or bucket_acl(status) != acl:
            raise S3Error("BucketAlreadyExists", BucketName=request.bucket) from None
        if call.gateway.conf.region != "us-east-1":
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=request.bucket) from None
    return empty(200, [("Location", f"/{request.bucket}")])


async def head_bucket(call: Call) -> Outgoing:
    """HeadBucket."""
    await call.store.places.bucket(call.request.bucket)
    return empty(200, [("x-amz-bucket-region", call.gateway.conf.region)])


async def delete_bucket(call: Call) -> Outgoing:
    """DeleteBucket: only an empty one, and never a mount."""
    request = call.request
    root = await call.store.places.bucket(request.bucket)
    fs = call.store.fs
    page = await list_page(fs, request.bucket, root, prefix="", delimiter="", after=None, limit=1)
    entries = await fs.list(bucket_path(request.bucket), 1) if not page.objects else []
    if page.objects or entries:
        raise S3Error("BucketNotEmpty", BucketName=request.bucket)
    mount = await fs.mount_of(bucket_path(request.bucket))
    if mount is not None:
        raise S3Error("AccessDenied", "The bucket is a mount; unmount it with cv umount")
    try:
        await fs.delete(bucket_path(request.bucket))
    except CurvineError:
        if await fs.exists(bucket_path(request.bucket)):
            raise S3Error("BucketNotEmpty", BucketName=request.bucket) from None
    await call.gateway.uploads.drop_bucket(request.bucket)
    return empty(204)


async def get_location(call: Call) -> Outgoing:
    """GetBucketLocation: empty for us-east-1, as Amazon answers."""
    await call.store.places.bucket(call.request.bucket)
    region = call.gateway.conf.region
    inner = "" if region == "us-east-1" else text(region)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<LocationConstraint xmlns="{NAMESPACE}">{inner}</LocationConstraint>'
    )
    return Outgoing(200, (("Content-Type", "application/xml"),), body.encode())


async def get_setting(call: Call) -> Outgoing:
    """What is asked about a bucket that this gateway does not keep."""
    request = call.request
    await call.store.places.bucket(request.bucket)
    for name, code in _NOT_THERE.items():
        if name in request.query:
            raise S3Error(code, BucketName=request.bucket)
    for name, root in _EMPTY.items():
        if name in request.query:
            return xml_answer(root, [])
    if "policyStatus" in request.query:
        return xml_answer("PolicyStatus", [("IsPublic", "false")])
    if "requestPayment" in request.query:
        return xml_answer("RequestPaymentConfiguration", [("Payer", "BucketOwner")])
    raise S3Error("NotImplemented")


async def put_setting(call: Call) -> Outgoing:
    """A setting that this gateway does not keep: refused, never silently dropped."""
    await call.store.places.bucket(call.request.bucket)
    raise S3Error("NotImplemented")


async def delete_setting(call: Call) -> Outgoing:
    """Removing a setting that there never is."""
    await call.store.places.bucket(call.request.bucket)
    return empty(204)
