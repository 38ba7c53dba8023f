# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from curvine.errors import CurvineError
from curvine.httpd.streaming import Outgoing
from curvine.rpc.bulk import FileSlice
from curvine.s3 import checksums
from curvine.s3.access import new_acl
from curvine.s3.acl import owner_rows
from curvine.s3.context import Call, empty, quoted, xml_answer
from curvine.s3.errors import S3Error, translated
from curvine.s3.ops.conditions import write_condition
from curvine.s3.ops.objects import check_put_headers, checksum_name
from curvine.s3.records import ObjectInfo, Record, checksum_headers, iso_date, taken_headers
from curvine.s3.uploads import MAX_PARTS, Part, Upload, checksum_type_of
from curvine.s3.xmldoc import XML, Child, Node, document, element, opening

_PATIENCE = 10.0  # s before an answer is begun that has to wait for the parts to be joined


async def create_upload(call: Call) -> Outgoing:
    """CreateMultipartUpload."""
    request = call.request
    check_put_headers(call)
    headers, meta = taken_headers(request)
    await call.intake().read_all(1024)
    algorithm = (request.header("x-amz-checksum-algorithm") or "").lower()
    if algorithm and algorithm not in checksums.ALGORITHMS:
        raise S3Error("InvalidRequest", "The checksum algorithm is not known")
    kind = checksum_type_of(algorithm, request.header("x-amz-checksum-type") or "")
    upload = Upload(
        id="", bucket=request.bucket, key=request.key, started=0, owner=call.caller.owner,
        headers=headers, meta=meta, algorithm=algorithm, checksum_type=kind,
        acl=await new_acl(call),
    )  # fmt: skip
    upload = await call.gateway.uploads.create(upload)
    rows: list[Child] = [
        ("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id)
    ]  # fmt: skip
    shown = []
    if algorithm:
        shown = [
            ("x-amz-checksum-algorithm", algorithm.upper()),
            ("x-amz-checksum-type", kind),
        ]
    return xml_answer("InitiateMultipartUploadResult", rows, headers=shown)


async def find_upload(call: Call) -> Upload:
    """The upload that a request names."""
    request = call.request
    return await call.gateway.uploads.get(request.bucket, request.key, request.argument("uploadId"))


def part_number(call: Call) -> int:
    """The number of the part. InvalidArgument."""
    raw = call.request.argument("partNumber")
    if not (raw.isascii() and raw.isdigit()) or not 1 <= int(raw[:6]) <= MAX_PARTS:
        raise S3Error("InvalidArgument", f"Part numbers go from 1 to {MAX_PARTS}",
            ArgumentName="partNumber", ArgumentValue=raw[:100])  # fmt: skip
    return int(raw)


async def upload_part(call: Call) -> Outgoing:
    """UploadPart."""
    upload, number = await find_upload(call), part_number(call)
    intake = call.intake(compute=upload.algorithm)
    if upload.algorithm and intake.algorithm != upload.algorithm:
        raise S3Error("InvalidRequest", "The checksum is not of the upload's algorithm")

    def record(_size: int) -> Record:
        found = intake.checksum
        return Record(etag=intake.md5, checksums=dict([found]) if found else {})

    info = await call.gateway.uploads.put_part(
        upload, number, intake.pieces(), intake.length, record
    )
    return empty(200, [("ETag", quoted(info.etag)), *checksum_headers(info.record)])


async def list_parts(call: Call) -> Outgoing:
    """ListParts."""
    request, upload = call.request, await find_upload(call)
    marker = request.number("part-number-marker", 0)
    limit = min(request.number("max-parts", 1000), 1000)
    parts = await call.gateway.uploads.parts(upload, marker, limit + 1)
    shown, truncated = parts[:limit], len(parts) > limit
    rows: list[Child] = [
        ("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id),
        ("Initiator", owner_rows(upload.owner)), ("Owner", owner_rows(upload.owner)),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", shown[-1].number if shown else 0),
        ("MaxParts", limit), ("IsTruncated", str(truncated).lower()),
    ]  # fmt: skip
    if upload.algorithm:
        rows.append(("ChecksumAlgorithm", upload.algorithm.upper()))
        rows.append(("ChecksumType", upload.checksum_type))
    for part in shown:
        info = part.info
        row: list[Child] = [
            ("PartNumber", part.number), ("LastModified", iso_date(info.mtime)),
            ("ETag", quoted(info.etag)), ("Size", info.length),
        ]  # fmt: skip
        row += [(checksum_name(name), value) for name, value in info.record.checksums.items()]
        rows.append(("Part", row))
    return xml_answer("ListPartsResult", rows)


async def abort_upload(call: Call) -> Outgoing:
    """AbortMultipartUpload."""
    await call.gateway.uploads.abort(await find_upload(call))
    return empty(204)


async def complete_upload(call: Call) -> Outgoing:
    """CompleteMultipartUpload. One that was completed already is answered in the same way."""
    request = call.request
    root = await call.xml("CompleteMultipartUpload", object_checksum=True)
    parts = [_part(node) for node in root.all("Part")]
    if not 0 < len(parts) <= MAX_PARTS:
        raise S3Error("MalformedXML", f"An upload has 1 to {MAX_PARTS} parts")
    condition = write_condition(request)
    try:
        upload = await find_upload(call)
    except S3Error as error:
        if error.code == "NoSuchUpload":
            found = await call.store.find(request.bucket, request.key)
            if found is not None and found.record.upload == request.argument("uploadId"):
                return Outgoing(200, (("Content-Type", XML),), _completed(call, found))
        raise
    claimed = {
        name: request.headers[checksums.HEADER + name]
        for name in checksums.ALGORITHMS
        if checksums.HEADER + name in request.headers
    }
    job = asyncio.ensure_future(call.gateway.uploads.complete(upload, parts, condition, claimed))
    await asyncio.wait((job,), timeout=_PATIENCE)
    if job.done():
        return Outgoing(200, (("Content-Type", XML),), _completed(call, job.result()))
    return Outgoing(200, (("Content-Type", XML),), _slowly(call, job))


async def _slowly(call: Call, job: asyncio.Future[ObjectInfo]) -> AsyncIterator[bytes | FileSlice]:
    """An answer whose spaces tell the client that we are still at it."""
    yield opening()
    while not job.done():
        yield b" "
        await asyncio.wait((job,), timeout=_PATIENCE / 2)
    try:
        body = _completed(call, job.result())
    except (S3Error, CurvineError) as error:
        known = error if isinstance(error, S3Error) else translated(error)
        rows: list[Child] = [("Code", known.code), ("Message", known.message)]
        yield element("Error", [*rows, ("RequestId", call.request.id)]).encode()
        return
    yield body[len(opening()) :]


def _completed(call: Call, info: ObjectInfo) -> bytes:
    request = call.request
    host = request.header("host") or "localhost"
    rows: list[Child] = [
        ("Location", f"http://{host}/{request.bucket}/{request.key}"), ("Bucket", request.bucket),
        ("Key", request.key), ("ETag", quoted(info.etag)),
    ]  # fmt: skip
    rows += [(checksum_name(name), value) for name, value in info.record.checksums.items()]
    if info.record.checksum_type:
        rows.append(("ChecksumType", info.record.checksum_type))
    return document("CompleteMultipartUploadResult", rows)


def _part(node: Node) -> Part:
    number, etag = node.value("PartNumber"), node.value("ETag")
    if not number or not (number.isascii() and number.isdigit()) or etag is None:
        raise S3Error("MalformedXML", "A Part needs PartNumber and ETag")
    if not 1 <= int(number[:8]) <= MAX_PARTS:
        raise S3Error("InvalidPart", PartNumber=number[:8])
    values = [node.value(checksum_name(name)) for name in checksums.ALGORITHMS]
    return Part(int(number), etag.strip('"'), next((value for value in values if value), ""))
