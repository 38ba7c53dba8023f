# SPDX-License-Identifier: Apache-2.0
"""ListObjects (both versions), ListObjectVersions, ListMultipartUploads."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import quote

from curvine.httpd.streaming import Outgoing
from curvine.s3.acl import bucket_acl, owner_rows
from curvine.s3.context import Call, quoted, xml_answer
from curvine.s3.errors import S3Error
from curvine.s3.listing import MAX_KEYS, Page, list_page
from curvine.s3.records import ObjectInfo, iso_date
from curvine.s3.uploads import Upload
from curvine.s3.xmldoc import Child


class _Shown:
    """How keys are written: plain, or percent-encoded where that is asked for."""

    def __init__(self, call: Call) -> None:
        kind = call.request.argument("encoding-type")
        if kind not in ("", "url"):
            raise S3Error("InvalidArgument", "encoding-type has to be url", ArgumentName=
                "encoding-type", ArgumentValue=kind[:100])  # fmt: skip
        self.rows: list[Child] = [("EncodingType", "url")] if kind else []
        self._encode = bool(kind)

    def key(self, text: str) -> str:
        """A key, prefix, marker or delimiter."""
        return quote(text, safe="/-_.~*") if self._encode else text


async def list_objects(call: Call) -> Outgoing:
    """ListObjects, version 1."""
    request, shown = call.request, _Shown(call)
    prefix, delimiter = request.argument("prefix"), request.argument("delimiter")
    marker, limit = request.argument("marker"), request.number("max-keys", MAX_KEYS)
    page, owner = await _page(call, prefix, delimiter, marker or None, min(limit, MAX_KEYS))
    rows: list[Child] = [
        ("Name", request.bucket), ("Prefix", shown.key(prefix)), ("Marker", shown.key(marker)),
        ("MaxKeys", limit), ("IsTruncated", str(page.truncated).lower()), *shown.rows,
    ]  # fmt: skip
    if delimiter:
        rows.append(("Delimiter", shown.key(delimiter)))
        if page.truncated:
            rows.append(("NextMarker", shown.key(page.last)))
    rows += _contents(page, shown, owner)
    return xml_answer("ListBucketResult", rows)


async def list_objects_v2(call: Call) -> Outgoing:
    """ListObjectsV2."""
    request, shown = call.request, _Shown(call)
    prefix, delimiter = request.argument("prefix"), request.argument("delimiter")
    start, limit = request.argument("start-after"), request.number("max-keys", MAX_KEYS)
    token = request.query.get("continuation-token")
    after = start if token is None else _position(token)
    page, owner = await _page(call, prefix, delimiter, after or None, min(limit, MAX_KEYS))
    rows: list[Child] = [
        ("Name", request.bucket), ("Prefix", shown.key(prefix)), ("MaxKeys", limit),
        ("KeyCount", len(page.objects) + len(page.prefixes)),
        ("IsTruncated", str(page.truncated).lower()), *shown.rows,
    ]  # fmt: skip
    if delimiter:
        rows.append(("Delimiter", shown.key(delimiter)))
    if token is not None:
        rows.append(("ContinuationToken", token))
    if page.truncated:
        rows.append(("NextContinuationToken", _token(page.last)))
    if start:
        rows.append(("StartAfter", shown.key(start)))
    with_owner = request.argument("fetch-owner").lower() == "true"
    rows += _contents(page, shown, owner if with_owner else "")
    return xml_answer("ListBucketResult", rows)


async def list_versions(call: Call) -> Outgoing:
    """ListObjectVersions: every object has one version, "null"."""
    request, shown = call.request, _Shown(call)
    prefix, delimiter = request.argument("prefix"), request.argument("delimiter")
    marker, limit = request.argument("key-marker"), request.number("max-keys", MAX_KEYS)
    page, owner = await _page(call, prefix, delimiter, marker or None, min(limit, MAX_KEYS))
    rows: list[Child] = [
        ("Name", request.bucket), ("Prefix", shown.key(prefix)), ("KeyMarker", shown.key(marker)),
        ("VersionIdMarker", request.argument("version-id-marker")), ("MaxKeys", limit),
        ("IsTruncated", str(page.truncated).lower()), *shown.rows,
    ]  # fmt: skip
    if delimiter:
        rows.append(("Delimiter", shown.key(delimiter)))
    if page.truncated:
        rows += [("NextKeyMarker", shown.key(page.last)), ("NextVersionIdMarker", "null")]
    for info in page.objects:
        version: list[Child] = [("VersionId", "null"), ("IsLatest", "true")]
        rows.append(("Version", [*_entry(info, shown), *version, _owner(info, owner)]))
    rows += [("CommonPrefixes", [("Prefix", shown.key(common))]) for common in page.prefixes]
    return xml_answer("ListVersionsResult", rows)


async def list_uploads(call: Call) -> Outgoing:
    """ListMultipartUploads."""
    request, shown = call.request, _Shown(call)
    await call.store.places.bucket(request.bucket)
    prefix, delimiter = request.argument("prefix"), request.argument("delimiter")
    limit = min(request.number("max-uploads", MAX_KEYS), MAX_KEYS)
    key_marker, id_marker = request.argument("key-marker"), request.argument("upload-id-marker")
    uploads = [
        upload
        for upload in await call.gateway.uploads.of_bucket(request.bucket)
        if upload.key.startswith(prefix)
    ]
    uploads = _behind(uploads, key_marker, id_marker)
    found: list[Upload] = []
    prefixes: list[str] = []
    truncated = False
    for upload in uploads:
        end = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        common = upload.key[: end + len(delimiter)] if end >= 0 else ""
        if common and (common in prefixes[-1:] or common == key_marker):
            continue
        if len(found) + len(prefixes) >= limit:
            truncated = True
            break
        if common:
            prefixes.append(common)
        else:
            found.append(upload)
    rows: list[Child] = [
        ("Bucket", request.bucket), ("KeyMarker", shown.key(key_marker)),
        ("UploadIdMarker", id_marker), ("Prefix", shown.key(prefix)),
        ("MaxUploads", limit), ("IsTruncated", str(truncated).lower()), *shown.rows,
    ]  # fmt: skip
    if delimiter:
        rows.append(("Delimiter", shown.key(delimiter)))
    if truncated:
        last = found[-1] if found else None
        next_key = max(last.key if last else "", prefixes[-1] if prefixes else "")
        rows.append(("NextKeyMarker", shown.key(next_key)))
        rows.append(("NextUploadIdMarker", last.id if last and last.key == next_key else ""))
    rows += [("Upload", _upload_rows(upload, shown)) for upload in found]
    rows += [("CommonPrefixes", [("Prefix", shown.key(common))]) for common in prefixes]
    return xml_answer("ListMultipartUploadsResult", rows)


def _behind(uploads: list[Upload], key: str, upload_id: str) -> list[Upload]:
    if not key:
        return uploads
    same = [upload for upload in uploads if upload.key == key] if upload_id else []
    ids = [upload.id for upload in same]
    rest = same[ids.index(upload_id) + 1 :] if upload_id in ids else []
    return rest + [upload for upload in uploads if upload.key > key]


def _upload_rows(upload: Upload, shown: _Shown) -> list[Child]:
    rows: list[Child] = [
        ("Key", shown.key(upload.key)), ("UploadId", upload.id),
        ("Initiator", owner_rows(upload.owner)), ("Owner", owner_rows(upload.owner)),
        ("StorageClass", "STANDARD"), ("Initiated", iso_date(upload.started)),
    ]  # fmt: skip
    if upload.algorithm:
        rows.append(("ChecksumAlgorithm", upload.algorithm.upper()))
        rows.append(("ChecksumType", upload.checksum_type))
    return rows


async def _page(
    call: Call, prefix: str, delimiter: str, after: str | None, limit: int
) -> tuple[Page, str]:
    """A page, and the bucket's owner."""
    bucket = call.request.bucket
    root = await call.store.places.bucket(bucket)
    page = await list_page(
        call.store.fs, bucket, root, prefix=prefix, delimiter=delimiter, after=after, limit=limit
    )
    return page, bucket_acl(root).owner


def _owner(info: ObjectInfo, bucket_owner: str) -> Child:
    acl = info.record.acl
    return "Owner", owner_rows(acl.owner if acl is not None else bucket_owner)


def _entry(info: ObjectInfo, shown: _Shown) -> list[Child]:
    rows: list[Child] = [
        ("Key", shown.key(info.key)), ("LastModified", iso_date(info.mtime)),
        ("ETag", quoted(info.etag)), ("Size", info.length), ("StorageClass", "STANDARD"),
    ]  # fmt: skip
    if info.record.checksums:
        rows += [("ChecksumAlgorithm", name.upper()) for name in info.record.checksums]
        rows.append(("ChecksumType", info.record.checksum_type))
    return rows


def _contents(page: Page, shown: _Shown, owner: str) -> list[Child]:
    """``owner``: the bucket's, where owners are wanted."""
    rows: list[Child] = []
    for info in page.objects:
        extra = [_owner(info, owner)] if owner else []
        rows.append(("Contents", [*_entry(info, shown), *extra]))
    rows += [("CommonPrefixes", [("Prefix", shown.key(common))]) for common in page.prefixes]
    return rows


def _token(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode("utf-8", "surrogatepass")).decode()


def _position(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise S3Error("InvalidArgument", "The continuation token is not one of ours") from None
