# SPDX-License-Identifier: Apache-2.0
"""CopyObject and UploadPartCopy."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

from msgspec.structs import replace

from curvine.client.files import WritableFile
from curvine.httpd.streaming import Outgoing
from curvine.s3 import checksums
from curvine.s3.access import new_acl, open_object
from curvine.s3.context import Call, quoted, xml_answer
from curvine.s3.errors import S3Error
from curvine.s3.ops.conditions import check_read, write_condition
from curvine.s3.ops.multipart import find_upload, part_number
from curvine.s3.ops.objects import check_put_headers, checksum_name
from curvine.s3.records import ObjectInfo, Record, iso_date, taken_headers
from curvine.s3.transfer import copy_range
from curvine.s3.xmldoc import Child

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class _Hashes:
    """MD5, and a checksum where one is wanted, of what is copied."""

    def __init__(self, algorithm: str) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._algorithm = algorithm
        self._checksum = checksums.new(algorithm) if algorithm else None

    def update(self, data: bytes | memoryview) -> None:
        """What has just been read."""
        self._md5.update(data)
        if self._checksum is not None:
            self._checksum.update(data)

    def record(self) -> Record:
        """What is known about the copy's content."""
        found = {}
        if self._checksum is not None:
            found = {self._algorithm: checksums.encoded(self._checksum.digest())}
        kind = checksums.FULL_OBJECT if found else ""
        return Record(etag=self._md5.hexdigest(), checksums=found, checksum_type=kind)


def _source(call: Call) -> tuple[str, str]:
    raw = call.request.header("x-amz-copy-source") or ""
    path, _, query = raw.partition("?")
    bucket, slash, key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not slash or not key:
        raise S3Error("InvalidArgument", "x-amz-copy-source has to be BUCKET/KEY")
    version = query.removeprefix("versionId=")
    if version and version != "null":
        raise S3Error("NoSuchVersion")
    return bucket, key


def _algorithm(call: Call) -> str:
    name = (call.request.header("x-amz-checksum-algorithm") or "").lower()
    if name and name not in checksums.ALGORITHMS:
        raise S3Error("InvalidRequest", "The checksum algorithm is not known")
    return name


async def copy_object(call: Call) -> Outgoing:
    """CopyObject."""
    request = call.request
    check_put_headers(call)
    bucket, key = _source(call)
    directive = (request.header("x-amz-metadata-directive") or "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "x-amz-metadata-directive has to be COPY or REPLACE")
    headers, meta = taken_headers(request)
    algorithm = _algorithm(call)
    acl = await new_acl(call)
    await call.store.places.bucket(request.bucket)
    info, source = await open_object(call, bucket, key)
    try:
        check_read(request, info, "x-amz-copy-source-")
        onto_itself = (bucket, key) == (request.bucket, request.key)
        if onto_itself and directive == "COPY" and not algorithm:
            raise S3Error("InvalidRequest", "A copy onto itself has to change something")
        if directive == "COPY":
            headers, meta = info.record.headers, info.record.meta
        if onto_itself and not algorithm and info.record.etag:
            changed = replace(info.record, headers=headers, meta=meta, acl=acl)
            return _copied(await call.store.set_record(bucket, info, changed), "CopyObjectResult")
        hashes = _Hashes(algorithm or next(iter(info.record.checksums), ""))

        async def fill(writer: WritableFile) -> int:
            await copy_range(source, 0, info.length, writer, 0, hashes.update)
            return info.length

        def record(_size: int) -> Record:
            return replace(hashes.record(), headers=headers, meta=meta, acl=acl)

        made = await call.store.make(
            request.bucket, request.key, fill, info.length, record, write_condition(request)
        )
    finally:
        await source.close()
    return _copied(made, "CopyObjectResult")


async def copy_part(call: Call) -> Outgoing:
    """UploadPartCopy."""
    request = call.request
    upload, number = await find_upload(call), part_number(call)
    bucket, key = _source(call)
    info, source = await open_object(call, bucket, key)
    try:
        check_read(request, info, "x-amz-copy-source-")
        start, size = 0, info.length
        raw = request.header("x-amz-copy-source-range")
        if raw is not None:
            found = _RANGE.fullmatch(raw)
            if found is None or int(found[1]) > int(found[2]):
                raise S3Error("InvalidArgument", "x-amz-copy-source-range is not bytes=FIRST-LAST")
            if int(found[2]) >= info.length:
                raise S3Error("InvalidRange", ActualObjectSize=str(info.length))
            start, size = int(found[1]), int(found[2]) - int(found[1]) + 1
        hashes = _Hashes(upload.algorithm)

        async def fill(writer: WritableFile) -> int:
            await copy_range(source, start, size, writer, 0, hashes.update)
            return size

        made = await call.gateway.uploads.make_part(
            upload, number, fill, size, lambda _size: hashes.record()
        )
    finally:
        await source.close()
    return _copied(made, "CopyPartResult")


def _copied(info: ObjectInfo, root: str) -> Outgoing:
    rows: list[Child] = [("ETag", quoted(info.etag)), ("LastModified", iso_date(info.mtime))]
    rows += [(checksum_name(name), value) for name, value in info.record.checksums.items()]
    return xml_answer(root, rows)
