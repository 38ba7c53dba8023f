# SPDX-License-Identifier: Apache-2.0
"""GET, HEAD, PUT, DELETE of objects, and the documents about one object."""

from __future__ import annotations

from curvine.httpd.streaming import Outgoing
from curvine.s3 import checksums
from curvine.s3.access import new_acl, open_object, stat
from curvine.s3.context import Call, Rows, empty, quoted, xml_answer
from curvine.s3.errors import S3Error
from curvine.s3.ops.conditions import check_read, meant, requested_range, write_condition
from curvine.s3.records import (
    ObjectInfo,
    Record,
    checksum_headers,
    http_date,
    part_checksum_headers,
    part_range,
    shown_headers,
    taken_headers,
)
from curvine.s3.transfer import SMALL, close_soon, file_pieces, small_range
from curvine.s3.xmldoc import Child

_OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}


async def get_object(call: Call) -> Outgoing:
    """GetObject."""
    request = call.request
    info, file = await open_object(call, request.bucket, request.key)
    handed_on = False
    try:
        status, headers, start, size = _reading(call, info)
        if not size:
            return Outgoing(status, tuple(headers), b"")
        if size <= SMALL:
            return Outgoing(status, tuple(headers), await small_range(file, start, size))
        piece = max(64 * 1024, int(call.gateway.conf.get_chunk_size_mb * 1024 * 1024))
        body = file_pieces(file, start, size, piece, lambda: close_soon(file))
        handed_on = True
        return Outgoing(status, tuple(headers), body, size)
    finally:
        if not handed_on:
            close_soon(file)


async def head_object(call: Call) -> Outgoing:
    """HeadObject."""
    request = call.request
    info = await stat(call, request.bucket, request.key)
    status, headers, _, size = _reading(call, info)
    return Outgoing(status, tuple(headers), b"", size)


def _reading(call: Call, info: ObjectInfo) -> tuple[int, Rows, int, int]:
    """(status, headers, first byte, size) of what a GET or HEAD asks for."""
    request = call.request
    check_version(call)
    check_read(request, info)
    headers: Rows = shown_headers(info.record)
    headers += [
        ("ETag", quoted(info.etag)),
        ("Last-Modified", http_date(info.mtime)),
        ("Accept-Ranges", "bytes"),
    ]
    for name, header in _OVERRIDES.items():
        if name in request.query:
            headers = [row for row in headers if row[0] != header]
            headers.append((header, request.query[name]))
    wants_checksum = (request.header("x-amz-checksum-mode") or "").upper() == "ENABLED"
    start, size, status = 0, info.length, 200
    if "partNumber" in request.query:
        number = request.number("partNumber", 1, 10_000)
        start, size, total = part_range(info.record, number, info.length)
        status = 206
        if info.record.parts:
            headers.append(("x-amz-mp-parts-count", str(total)))
        if wants_checksum:
            headers += part_checksum_headers(info.record, number)
    else:
        found = requested_range(request, info.length)
        if found is not None:
            start, size = found
            status = 206
    if status == 206 and size:
        headers.append(("Content-Range", f"bytes {start}-{start + size - 1}/{info.length}"))
    if wants_checksum and status == 200:
        headers += checksum_headers(info.record)
    return status, headers, start, size


def check_version(call: Call) -> None:
    """NoSuchVersion for a version other than the only one."""
    version = call.request.argument("versionId")
    if version and version != "null":
        raise S3Error("NoSuchVersion", VersionId=version[:100])


def check_put_headers(call: Call) -> None:
    """Refuse what would be silently ignored although it matters."""
    if any(
        name.startswith(("x-amz-server-side-encryption", "x-amz-object-lock"))
        for name in call.request.headers
    ):
        raise S3Error("NotImplemented", "Neither server-side encryption nor object lock is offered")


async def put_object(call: Call) -> Outgoing:
    """PutObject."""
    request = call.request
    check_put_headers(call)
    headers, meta = taken_headers(request)
    intake = call.intake()
    if intake.length is None and "transfer-encoding" not in request.headers:
        raise S3Error("MissingContentLength")
    acl = await new_acl(call)

    def record(_size: int) -> Record:
        found = intake.checksum
        return Record(
            etag=intake.md5,
            headers=headers,
            meta=meta,
            checksums=dict([found]) if found else {},
            checksum_type=checksums.FULL_OBJECT if found else "",
            acl=acl,
        )

    info = await call.store.put(
        request.bucket, request.key, intake.pieces(), intake.length, record,
        write_condition(request),
    )  # fmt: skip
    return empty(200, [("ETag", quoted(info.etag)), *checksum_headers(info.record)])


async def delete_object(call: Call) -> Outgoing:
    """DeleteObject."""
    request = call.request
    check_version(call)
    names = ("if-match", "x-amz-if-match-last-modified-time", "x-amz-if-match-size")
    wanted = meant(*(request.header(name) or "" for name in names))
    await call.store.delete(request.bucket, request.key, wanted)
    return empty(204)


async def get_attributes(call: Call) -> Outgoing:
    """GetObjectAttributes."""
    request = call.request
    info = await stat(call, request.bucket, request.key)
    wanted = [word.strip() for word in (request.header("x-amz-object-attributes") or "").split(",")]
    known = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
    if not set(wanted) <= known:
        raise S3Error("InvalidArgument", "x-amz-object-attributes names something unknown")
    rows: list[Child] = []
    if "ETag" in wanted:
        rows.append(("ETag", info.etag))
    if "Checksum" in wanted and info.record.checksums:
        rows.append(("Checksum", _checksum_rows(info.record)))
    if "ObjectParts" in wanted and info.record.parts:
        rows.append(("ObjectParts", _part_rows(call, info.record)))
    if "StorageClass" in wanted:
        rows.append(("StorageClass", "STANDARD"))
    if "ObjectSize" in wanted:
        rows.append(("ObjectSize", info.length))
    headers: Rows = [("Last-Modified", http_date(info.mtime))]
    return xml_answer("GetObjectAttributesResponse", rows, headers=headers)


def checksum_name(algorithm: str) -> str:
    """The element of a checksum."""
    return "Checksum" + algorithm.upper()


def _checksum_rows(record: Record) -> list[Child]:
    rows: list[Child] = [(checksum_name(name), value) for name, value in record.checksums.items()]
    if record.checksum_type:
        rows.append(("ChecksumType", record.checksum_type))
    return rows


def _part_rows(call: Call, record: Record) -> list[Child]:
    request = call.request
    sizes = [size for count, size in record.parts for _ in range(count)]
    raw_marker, raw_most = (
        request.header("x-amz-part-number-marker"),
        request.header("x-amz-max-parts"),
    )
    marker = int(raw_marker) if raw_marker and raw_marker.isdigit() else 0
    most = min(int(raw_most) if raw_most and raw_most.isdigit() else 1000, 1000)
    rows: list[Child] = [("PartsCount", len(sizes)), ("PartNumberMarker", marker),
        ("MaxParts", most), ("IsTruncated", str(marker + most < len(sizes)).lower())]  # fmt: skip
    algorithm = next(iter(record.checksums), "")
    shown = list(enumerate(sizes, 1))[marker : marker + most]
    rows.append(("NextPartNumberMarker", shown[-1][0] if shown else marker))
    for number, size in shown:
        part: list[Child] = [("PartNumber", number), ("Size", size)]
        if algorithm and len(record.part_checksums) >= number:
            part.append((checksum_name(algorithm), record.part_checksums[number - 1]))
        rows.append(("Part", part))
    return rows


async def no_tags(call: Call) -> Outgoing:
    """GetObjectTagging: there never are any."""
    await stat(call, call.request.bucket, call.request.key)
    return xml_answer("Tagging", [("TagSet", [])])
