# SPDX-License-Identifier: Apache-2.0
"""What S3 knows about an object beyond its bytes, kept as JSON in an extended attribute.

ETag and checksums are true for the content they were computed from; a file that somebody changed
by another door carries them still. So the record names the length and the mtime that belong to it:
where they differ, the record's digests are not used, and the ETag is made from identity, time and
length, in a form that no client takes for an MD5. mtime is milliseconds.
"""

from __future__ import annotations

import hashlib
import time

import msgspec

from curvine.model.inode import FileStatus
from curvine.s3.acl import Acl
from curvine.s3.errors import S3Error
from curvine.s3.request import S3Request

ATTRIBUTE = "user.s3"
MAX_USER_METADATA = 2 * 1024  # bytes
META = "x-amz-meta-"
DEFAULT_TYPE = "binary/octet-stream"
# Headers of a PUT that come back with a GET.
KEPT_HEADERS = (
    "content-type", "cache-control", "content-disposition", "content-encoding",
    "content-language", "expires", "x-amz-website-redirect-location",
)  # fmt: skip


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """The attribute's content. ``parts``: [count, size] pairs of a multipart object."""

    etag: str = ""
    mtime: int = 0
    length: int = 0
    headers: dict[str, str] = {}
    meta: dict[str, str] = {}
    checksums: dict[str, str] = {}
    checksum_type: str = ""
    parts: list[tuple[int, int]] = []
    upload: str = ""  # id of the multipart upload that made it
    part_checksums: list[str] = []
    acl: Acl | None = None  # None: the bucket's owner and nobody else

    def encode(self) -> bytes:
        """As stored."""
        return msgspec.json.encode(self)

    def attribute(self) -> dict[str, bytes]:
        """The attribute that holds it."""
        return {ATTRIBUTE: self.encode()}


_decoder = msgspec.json.Decoder(Record)
_EMPTY = Record()


class ObjectInfo(msgspec.Struct, frozen=True):
    """An object: its file and its record, with a record that does not belong to it put right."""

    key: str
    status: FileStatus
    record: Record
    etag: str  # without quotes

    @property
    def length(self) -> int:
        """Bytes."""
        return self.status.len

    @property
    def mtime(self) -> int:
        """Last change, ms."""
        return self.status.mtime


def stored_record(status: FileStatus) -> Record:
    """The record as it is stored, whether it belongs to the content or not."""
    raw = status.x_attr.get(ATTRIBUTE)
    try:
        return _decoder.decode(raw) if raw is not None else _EMPTY
    except msgspec.DecodeError:
        return _EMPTY


def object_info(key: str, status: FileStatus) -> ObjectInfo:
    """An object from its file's status."""
    record = stored_record(status)
    if record.etag and record.mtime == status.mtime and record.length == status.len:
        return ObjectInfo(key, status, record, record.etag)
    if record.etag:
        record = Record(headers=record.headers, meta=record.meta, acl=record.acl)
    return ObjectInfo(key, status, record, _made_up(status))


def _made_up(status: FileStatus) -> str:
    identity = f"{status.id or status.path}/{status.mtime}/{status.len}"
    return (
        hashlib.md5(identity.encode("utf-8", "replace"), usedforsecurity=False).hexdigest() + "-1"
    )


def taken_headers(request: S3Request) -> tuple[dict[str, str], dict[str, str]]:
    """(content headers, user metadata) of a PUT. MetadataTooLarge."""
    headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
    encoding = headers.get("content-encoding")
    if encoding is not None:
        rest = [part.strip() for part in encoding.split(",") if part.strip() != "aws-chunked"]
        headers["content-encoding"] = ", ".join(rest)
        if not rest:
            del headers["content-encoding"]
    storage_class = request.header("x-amz-storage-class")
    if storage_class and storage_class != "STANDARD":
        raise S3Error("InvalidRequest", "The only storage class here is STANDARD")
    meta = {
        name[len(META) :]: value
        for name, value in request.headers.items()
        if name.startswith(META) and len(name) > len(META)
    }
    size = sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())
    if size > MAX_USER_METADATA:
        raise S3Error("MetadataTooLarge")
    return headers, meta


def shown_headers(record: Record) -> list[tuple[str, str]]:
    """The headers of an answer that come from the record."""
    rows = [("Content-Type", record.headers.get("content-type") or DEFAULT_TYPE)]
    rows += [
        (name.title() if not name.startswith("x-") else name, value)
        for name, value in record.headers.items()
        if name != "content-type"
    ]
    rows += [(META + name, value) for name, value in record.meta.items()]
    return rows


def checksum_headers(record: Record) -> list[tuple[str, str]]:
    """The checksum, for who asks for it."""
    rows = [(f"x-amz-checksum-{name}", value) for name, value in record.checksums.items()]
    if rows and record.checksum_type:
        rows.append(("x-amz-checksum-type", record.checksum_type))
    return rows


def part_checksum_headers(record: Record, number: int) -> list[tuple[str, str]]:
    """The checksum of one part."""
    if not record.parts:
        return checksum_headers(record)
    if not record.checksums or len(record.part_checksums) < number:
        return []
    name = f"x-amz-checksum-{next(iter(record.checksums))}"
    return [
        (name, record.part_checksums[number - 1]),
        ("x-amz-checksum-type", record.checksum_type),
    ]


def packed_parts(sizes: list[int]) -> list[tuple[int, int]]:
    """Sizes of parts as [count, size] pairs."""
    packed: list[tuple[int, int]] = []
    for size in sizes:
        if packed and packed[-1][1] == size:
            packed[-1] = (packed[-1][0] + 1, size)
        else:
            packed.append((1, size))
    return packed


def part_range(record: Record, number: int, length: int) -> tuple[int, int, int]:
    """(first byte, size, how many parts) of part ``number``. InvalidPartNumber."""
    packed = record.parts or [(1, length)]
    total = sum(count for count, _ in packed)
    if not 1 <= number <= total:
        raise S3Error("InvalidPartNumber", PartNumberRequested=str(number))
    start, left = 0, number - 1
    for count, size in packed:
        if left < count:
            return start + left * size, size, total
        start += count * size
        left -= count
    raise S3Error("InvalidPartNumber")


def http_date(ms: int) -> str:
    """A time as HTTP headers carry it."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(ms // 1000))


def iso_date(ms: int) -> str:
    """A time as S3's documents carry it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"
