# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads in the name space.

An upload is a directory ``/HOME/uploads/BUCKET/ID`` whose attribute says what the object will be;
a part is a file in it, named by its number and put there by a rename, so the last one sent wins.
Completing copies the parts, in the gateway, into one file that then takes the object's place.
Times are ms, sizes bytes.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from curvine.client.files import WritableFile
from curvine.errors import CurvineError, NotFound
from curvine.model.inode import FileStatus, MkdirOpts
from curvine.model.path import join
from curvine.s3 import checksums
from curvine.s3.acl import Acl
from curvine.s3.errors import S3Error
from curvine.s3.keys import HOME, bucket_path, check_key
from curvine.s3.places import Place
from curvine.s3.records import ObjectInfo, Record, object_info, packed_parts
from curvine.s3.store import Condition, MakeRecord, Store
from curvine.s3.transfer import copy_range, store_body

ATTRIBUTE = "user.s3.upload"
MIN_PART = 5 * 1024 * 1024
MAX_PARTS = 10_000
_ID = frozenset("0123456789abcdef")


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """An upload under way, as its directory's attribute keeps it."""

    id: str
    bucket: str
    key: str
    started: int
    owner: str = ""
    headers: dict[str, str] = {}
    meta: dict[str, str] = {}
    algorithm: str = ""  # of checksums; "" = none was asked for
    checksum_type: str = ""
    acl: Acl | None = None  # of the object


class Part(msgspec.Struct, frozen=True):
    """A part as the client lists it for completion."""

    number: int
    etag: str
    checksum: str = ""


class StoredPart(msgspec.Struct, frozen=True):
    """A part as it is stored."""

    number: int
    info: ObjectInfo


Fill = Callable[[WritableFile], Awaitable[int]]
_decoder = msgspec.json.Decoder(Upload)
_ROOT = f"/{HOME}/uploads"


class Uploads:
    """See the module."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fs = store.fs
        self._place = Place(store.fs, None)

    async def create(self, upload: Upload) -> Upload:
        """Begin an upload; it gets its id. NoSuchBucket."""
        check_key(upload.key)
        await self._store.places.bucket(upload.bucket)
        upload = msgspec.structs.replace(
            upload, id=uuid.uuid4().hex, started=self._store.clock.now_ms()
        )
        attributes = {ATTRIBUTE: msgspec.json.encode(upload)}
        opts = MkdirOpts(create_parent=True, mode=0o700, x_attr=attributes)
        await self._fs.cluster.ns.mkdir(_directory(upload), opts)
        return upload

    async def get(self, bucket: str, key: str, upload_id: str) -> Upload:
        """An upload. NoSuchUpload."""
        upload = None
        if len(upload_id) == 32 and _ID.issuperset(upload_id):
            try:
                path = f"{_ROOT}/{bucket_path(bucket)[1:]}/{upload_id}"
                upload = read_upload(await self._fs.status(path))
            except NotFound:
                pass
        if upload is None or upload.key != key:
            await self._store.places.bucket(bucket)
            raise S3Error("NoSuchUpload", UploadId=upload_id[:100])
        return upload

    async def put_part(
        self,
        upload: Upload,
        number: int,
        pieces: AsyncIterator[bytes | memoryview],
        length: int | None,
        record: MakeRecord,
    ) -> ObjectInfo:
        """Store a part from a body."""

        async def fill(writer: WritableFile) -> int:
            return await store_body(pieces, writer, length=length)

        return await self.make_part(upload, number, fill, length, record)

    async def make_part(
        self, upload: Upload, number: int, fill: Fill, length: int | None, record: MakeRecord
    ) -> ObjectInfo:
        """Store a part that ``fill`` writes. NoSuchUpload when it was aborted meanwhile."""
        name = self._place.new_name()
        status = await self._store.write_aside(self._place, name, fill, length, record)
        try:
            await self._fs.rename(name, join(_directory(upload), f"{number:05d}"))
        except BaseException as error:
            await self._store.discard(name)
            if isinstance(error, CurvineError) and not await self._fs.exists(_directory(upload)):
                raise S3Error("NoSuchUpload", UploadId=upload.id) from None
            raise
        return object_info(str(number), status)

    async def parts(
        self, upload: Upload, after: int = 0, limit: int = MAX_PARTS + 1
    ) -> list[StoredPart]:
        """Stored parts with numbers above ``after``, in order."""
        start = f"{after:05d}" if after else None
        return [
            StoredPart(int(status.name), object_info(status.name, status))
            for status in await self._fs.list(_directory(upload), limit, start)
        ]

    async def of_bucket(self, bucket: str) -> list[Upload]:
        """Every upload of a bucket, ordered by key and beginning."""
        try:
            entries = await self._fs.list(_ROOT + bucket_path(bucket))
        except NotFound:
            return []
        found = [upload for upload in map(read_upload, entries) if upload is not None]
        return sorted(found, key=lambda upload: (upload.key, upload.started, upload.id))

    async def abort(self, upload: Upload) -> None:
        """Throw an upload away. NoSuchUpload."""
        try:
            await self._fs.delete(_directory(upload), True)
        except NotFound:
            raise S3Error("NoSuchUpload", UploadId=upload.id) from None

    async def drop_bucket(self, bucket: str) -> None:
        """Throw away every upload of a bucket that has been deleted."""
        await self._store.discard(_ROOT + bucket_path(bucket))

    async def complete(
        self,
        upload: Upload,
        parts: Sequence[Part],
        condition: Condition,
        claimed: Mapping[str, str],
    ) -> ObjectInfo:
        """Make the object of the parts named. InvalidPart, InvalidPartOrder, EntityTooSmall.

        ``claimed``: the whole object's checksum by algorithm, as the client says it is.
        """
        stored = {part.number: part.info for part in await self.parts(upload)}
        chosen = _chosen(upload, parts, stored)
        record = _record(upload, chosen, claimed)
        length = sum(info.length for info in chosen)

        async def fill(writer: WritableFile) -> int:
            offset = 0
            for part in chosen:
                source = await self._fs.open_read(part.status.path)
                try:
                    await copy_range(source, 0, part.length, writer, offset)
                finally:
                    await source.close()
                offset += part.length
            return offset

        info = await self._store.make(
            upload.bucket, upload.key, fill, length, lambda _size: record, condition
        )
        await self._store.discard(_directory(upload))
        return info


def _directory(upload: Upload) -> str:
    return f"{_ROOT}/{upload.bucket}/{upload.id}"


def read_upload(status: FileStatus) -> Upload | None:
    """The upload that a directory is; None for something else."""
    raw = status.x_attr.get(ATTRIBUTE)
    try:
        return _decoder.decode(raw) if raw is not None else None
    except msgspec.DecodeError:
        return None


def checksum_type_of(algorithm: str, asked: str) -> str:
    """COMPOSITE or FULL_OBJECT, as asked for or usual. InvalidRequest for what there is not."""
    asked = asked.upper()
    if asked not in ("", checksums.COMPOSITE, checksums.FULL_OBJECT):
        raise S3Error("InvalidRequest", "The checksum type is not known")
    if not algorithm:
        if asked:
            raise S3Error("InvalidRequest", "A checksum type needs a checksum algorithm")
        return ""
    if algorithm == "crc64nvme":
        allowed: tuple[str, ...] = (checksums.FULL_OBJECT,)
    elif checksums.is_crc(algorithm):
        allowed = (checksums.COMPOSITE, checksums.FULL_OBJECT)
    else:
        allowed = (checksums.COMPOSITE,)
    if asked and asked not in allowed:
        text = f"The {asked} checksum type cannot be used with the {algorithm} checksum algorithm."
        raise S3Error("InvalidRequest", text)
    return asked or allowed[0]


def _chosen(
    upload: Upload, parts: Sequence[Part], stored: Mapping[int, ObjectInfo]
) -> list[ObjectInfo]:
    """The stored parts that the client named."""
    chosen: list[ObjectInfo] = []
    before = 0
    for part in parts:
        if part.number <= before:
            raise S3Error("InvalidPartOrder", UploadId=upload.id)
        before = part.number
        info = stored.get(part.number)
        if info is None or info.etag != part.etag:
            raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(part.number))
        known = info.record.checksums.get(upload.algorithm, "")
        if part.checksum and known and part.checksum != known:
            raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(part.number))
        chosen.append(info)
    for info in chosen[:-1]:
        if info.length < MIN_PART:
            raise S3Error(
                "EntityTooSmall", ProposedSize=str(info.length), MinSizeAllowed=str(MIN_PART),
                PartNumber=info.key, ETag=info.etag,
            )  # fmt: skip
    return chosen


def _record(upload: Upload, parts: Sequence[ObjectInfo], claimed: Mapping[str, str]) -> Record:
    joined = b"".join(bytes.fromhex(info.etag) for info in parts)
    etag = hashlib.md5(joined, usedforsecurity=False).hexdigest() + f"-{len(parts)}"
    algorithm, kind = upload.algorithm, upload.checksum_type
    values = [info.record.checksums.get(algorithm, "") for info in parts]
    found: dict[str, str] = {}
    if algorithm and all(values):
        raw = [checksums.decoded(algorithm, value) or b"" for value in values]
        if kind == checksums.COMPOSITE:
            found = {algorithm: checksums.of_parts(algorithm, raw)}
        else:
            sizes = [info.length for info in parts]
            found = {algorithm: checksums.combined(algorithm, list(zip(raw, sizes, strict=True)))}
    for name, value in claimed.items():
        if name in found and found[name] not in (value, f"{value}-{len(parts)}"):
            raise S3Error("BadDigest", "The object does not match the checksum that was claimed")
    return Record(
        etag=etag,
        headers=upload.headers,
        meta=upload.meta,
        checksums=found,
        checksum_type=kind if found else "",
        parts=packed_parts([info.length for info in parts]),
        upload=upload.id,
        acl=upload.acl,
        part_checksums=values if found else [],
    )
