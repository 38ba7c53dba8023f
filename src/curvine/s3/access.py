# SPDX-License-Identifier: Apache-2.0
"""Whether a caller may do what he asks for.

What a bucket's ACL decides is decided before the operation begins (:func:`authorize`, from the
table of operations). Reading an object is decided on the very file that was opened or looked at,
so that no object that was exchanged meanwhile gets out.
"""

from __future__ import annotations

from curvine.client.files import ReadableFile
from curvine.s3.acl import READ, Acl, bucket_acl, canned, canonical_id, from_headers, names_acl
from curvine.s3.context import Call
from curvine.s3.errors import S3Error
from curvine.s3.keys import is_bucket
from curvine.s3.records import ObjectInfo

SIGNED = "SIGNED"  # any key will do
OBJECT = "OBJECT"  # the operation asks for itself, object by object
_EXPECTED = "x-amz-expected-bucket-owner"


async def authorize(call: Call, needs: str) -> None:
    """AccessDenied unless the caller may; ``needs``: a permission on the bucket, or a word above.
    NoSuchBucket."""
    request, caller = call.request, call.caller
    if not caller.owner and (needs == SIGNED or not is_bucket(request.bucket)):
        raise S3Error("AccessDenied")
    expected = request.header(_EXPECTED)
    decided = caller.admin or needs in (SIGNED, OBJECT)
    if (expected is not None and request.bucket and needs != SIGNED) or not decided:
        acl = await acl_of(call, request.bucket)
        if not decided and not acl.allows(caller, needs):
            raise S3Error("AccessDenied")
        if expected is not None and expected != canonical_id(acl.owner):
            raise S3Error("AccessDenied", "The bucket has another owner")


async def acl_of(call: Call, bucket: str) -> Acl:
    """The ACL of a bucket. NoSuchBucket."""
    return bucket_acl(await call.store.places.bucket(bucket))


async def object_acl(call: Call, bucket: str, info: ObjectInfo) -> Acl:
    """The ACL of an object."""
    if info.record.acl is not None:
        return info.record.acl
    return canned("private", (await acl_of(call, bucket)).owner)


async def check_object(call: Call, bucket: str, info: ObjectInfo, permission: str) -> None:
    """AccessDenied unless the caller may do that with the object."""
    if call.caller.admin:
        return
    if not (await object_acl(call, bucket, info)).allows(call.caller, permission):
        raise S3Error("AccessDenied")


async def stat(call: Call, bucket: str, key: str, permission: str = READ) -> ObjectInfo:
    """An object that the caller may read. NoSuchKey only for who may list the bucket."""
    try:
        info = await call.store.stat(bucket, key)
    except S3Error as error:
        raise await _absent(call, bucket, error) from None
    await check_object(call, bucket, info, permission)
    return info


async def open_object(call: Call, bucket: str, key: str) -> tuple[ObjectInfo, ReadableFile]:
    """The same, open for reading; the file is the caller's to close."""
    try:
        info, file = await call.store.open(bucket, key)
    except S3Error as error:
        raise await _absent(call, bucket, error) from None
    try:
        await check_object(call, bucket, info, READ)
    except BaseException:
        await file.close()
        raise
    return info, file


async def _absent(call: Call, bucket: str, error: S3Error) -> S3Error:
    if error.code != "NoSuchKey" or call.caller.admin:
        return error
    may_list = (await acl_of(call, bucket)).allows(call.caller, READ)
    return error if may_list else S3Error("AccessDenied")


async def new_acl(call: Call) -> Acl | None:
    """The ACL of an object that the caller is about to make; None where it is the usual one: the
    bucket's owner and nobody else. InvalidArgument and others for what the head asks for."""
    request, caller = call.request, call.caller
    asks = names_acl(request)
    if asks and not caller.owner:
        raise S3Error("AccessDenied", "A request without a signature cannot set an ACL")
    if not asks and (caller.admin or not caller.owner):
        return None
    bucket_owner = (await acl_of(call, request.bucket)).owner
    owner = bucket_owner if caller.admin else caller.owner
    acl = from_headers(request, owner, bucket_owner, call.gateway.known)
    return None if acl == canned("private", bucket_owner) else acl
