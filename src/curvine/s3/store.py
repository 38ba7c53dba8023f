# SPDX-License-Identifier: Apache-2.0
"""Objects in the name space: stat, open, put, copy, delete. Knows no HTTP.

Conditions of a PUT are kept in one step with it: "not there" by a rename that does not replace,
"this very one" by a rename that says which file it replaces. Masters that are not ours cannot do
the latter: there it is an exchange that is undone when something else came out. Times are ms, sizes
bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from curvine.client.files import ReadableFile, WritableFile
from curvine.client.unified import UnifiedFileSystem
from curvine.clock import Clock
from curvine.errors import (
    AlreadyExists,
    Common,
    CurvineError,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotFound,
    ParentNotDirectory,
)
from curvine.model.inode import FileStatus, FileType, RenameFlag, SetAttr
from curvine.s3.acl import Acl
from curvine.s3.errors import S3Error
from curvine.s3.keys import DIR, object_path, self_path
from curvine.s3.places import Place, Places
from curvine.s3.records import ObjectInfo, Record, object_info, stored_record
from curvine.s3.transfer import SMALL_BODY, store_body
from curvine.wire.codes import CAP_EXPECT, CAP_EXPECT_DELETE

_ATTEMPTS = 20  # of a conditional PUT that others get ahead of
_ABSENT = (NotFound, NotADirectory, ParentNotDirectory, IsADirectory)


class Condition(NamedTuple):
    """If-Match and If-None-Match of a PUT: ETags without quotes, or "*"."""

    match: str = ""
    none_match: str = ""

    def check(self, found: ObjectInfo | None) -> None:
        """PreconditionFailed, or NoSuchKey where If-Match finds nothing."""
        if self.match:
            if found is None:
                raise S3Error("NoSuchKey")
            if self.match not in ("*", found.etag):
                raise S3Error("PreconditionFailed", Condition="If-Match")
        if self.none_match and found is not None and self.none_match in ("*", found.etag):
            raise S3Error("PreconditionFailed", Condition="If-None-Match")


class Meant(NamedTuple):
    """Which object a DELETE means: ETag without quotes or "*", time of change (s), size."""

    etag: str = ""
    modified: int | None = None
    size: int | None = None

    def check(self, found: ObjectInfo) -> None:
        """PreconditionFailed if it is another one."""
        if self.etag and self.etag not in ("*", found.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
        if self.modified is not None and self.modified != found.mtime // 1000:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-last-modified-time")
        if self.size is not None and self.size != found.length:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-size")


NO_CONDITION = Condition()
ANY = Meant()
MakeRecord = Callable[[int], Record]  # from the object's length


class Store:
    """See the module."""

    def __init__(self, fs: UnifiedFileSystem, clock: Clock) -> None:
        self.fs = fs
        self.clock = clock
        self.places = Places(fs)

    # -- reading ----------------------------------------------------------------------------------

    async def stat(self, bucket: str, key: str) -> ObjectInfo:
        """An object. NoSuchKey, NoSuchBucket."""
        path = object_path(bucket, key)
        try:
            status = await self.fs.status(path)
            if status.is_dir:
                status = await self.fs.status(self_path(path))
        except _ABSENT:
            raise await self.absent(bucket, key) from None
        except Common:
            raise await self.absent(bucket, key) from None
        if status.is_dir or status.file_type == FileType.LINK:
            raise await self.absent(bucket, key)
        return object_info(key, status)

    async def find(self, bucket: str, key: str) -> ObjectInfo | None:
        """An object or None. NoSuchBucket."""
        try:
            return await self.stat(bucket, key)
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            return None

    async def open(self, bucket: str, key: str) -> tuple[ObjectInfo, ReadableFile]:
        """An object open for reading; the file is the caller's to close."""
        path = object_path(bucket, key)
        try:
            try:
                file = await self.fs.open_read(path)
            except IsADirectory:
                file = await self.fs.open_read(self_path(path))
        except (*_ABSENT, InvalidArgument):
            raise await self.absent(bucket, key) from None
        return object_info(key, file.status), file

    async def absent(self, bucket: str, key: str) -> S3Error:
        """Why there is no object: NoSuchBucket or NoSuchKey."""
        try:
            await self.places.bucket(bucket)
        except S3Error as error:
            return error
        return S3Error("NoSuchKey", Key=key)

    # -- writing ----------------------------------------------------------------------------------

    async def put(
        self,
        bucket: str,
        key: str,
        pieces: AsyncIterator[bytes | memoryview],
        length: int | None,
        record: MakeRecord,
        condition: Condition = NO_CONDITION,
    ) -> ObjectInfo:
        """Store a body under a key. Nothing is seen of it before all of it is there and right."""

        async def fill(writer: WritableFile) -> int:
            return await store_body(pieces, writer, length=length)

        return await self.make(bucket, key, fill, length, record, condition)

    async def make(
        self,
        bucket: str,
        key: str,
        fill: Callable[[WritableFile], Awaitable[int]],
        length: int | None,
        record: MakeRecord,
        condition: Condition = NO_CONDITION,
    ) -> ObjectInfo:
        """The same with whatever ``fill`` writes; it gives the length."""
        path = object_path(bucket, key)
        place = await self.places.of(path)
        if condition != NO_CONDITION:
            condition.check(await self.find(bucket, key))
        if not place.staged:
            return await self._put_directly(bucket, key, path, place, fill, length, record)
        if length is None or length > SMALL_BODY:  # others meet it when they are renamed
            await self.places.bucket(bucket)
        temporary = place.new_name()
        status = await self.write_aside(place, temporary, fill, length, record)
        try:
            await self._publish(bucket, key, temporary, path, place, condition)
        except BaseException:
            await self.discard(temporary)
            raise
        if not place.native:
            status = await self.fs.status(path)
        return object_info(key, status)

    async def write_aside(
        self,
        place: Place,
        name: str,
        fill: Callable[[WritableFile], Awaitable[int]],
        length: int | None,
        record: MakeRecord,
    ) -> FileStatus:
        """Write an unfinished file; its status when it is finished."""
        await self.places.prepare_home(place)
        try:
            writer = await self._create(name, length)
        except (NotFound, Common):
            await self.places.prepare_home(place, again=True)
            writer = await self._create(name, length)
        try:
            size = await fill(writer)
            made = record(size)
            now = self.clock.now_ms()
            made = replace(made, mtime=now, length=size)
            await writer.close(SetAttr(mtime=now, add_x_attr=made.attribute()))
        except BaseException:
            await self._give_up(writer, name)
            raise
        attributes = made.attribute()
        return replace(writer.status, len=size, mtime=now, x_attr=attributes, is_complete=True)

    async def _create(self, name: str, length: int | None) -> WritableFile:
        return await self.fs.create(name, mode=0o644, size_hint=length, create_parent=True)

    async def _put_directly(
        self,
        bucket: str,
        key: str,
        path: str,
        place: Place,
        fill: Callable[[WritableFile], Awaitable[int]],
        length: int | None,
        record: MakeRecord,
    ) -> ObjectInfo:
        """Into an under storage that shows a file when it is finished, not before."""
        if key.endswith("/") and not length:
            await self.fs.mkdir(path.removesuffix(f"/{DIR}"), create_parent=True)
            return object_info(key, await self.fs.status(path.removesuffix(f"/{DIR}")))
        await self.places.make_parents(bucket, path, place)
        writer = await self._create(path, length)
        try:
            record(await fill(writer))
            await writer.close()
        except BaseException:
            await writer.abort()
            raise
        return object_info(key, await self.fs.status(path))

    async def _publish(
        self,
        bucket: str,
        key: str,
        temporary: str,
        path: str,
        place: Place,
        condition: Condition,
    ) -> None:
        publish = self.places.publish
        if not place.native or condition == NO_CONDITION:
            await publish(bucket, temporary, path, place)
            return
        if condition.none_match == "*":
            try:
                await publish(bucket, temporary, path, place, RenameFlag.NO_REPLACE)
            except AlreadyExists:
                raise S3Error("PreconditionFailed", Condition="If-None-Match") from None
            return
        for _ in range(_ATTEMPTS):
            found = await self.find(bucket, key)
            condition.check(found)
            if found is None:
                await publish(bucket, temporary, path, place, RenameFlag.NO_REPLACE)
                return
            if CAP_EXPECT not in self.fs.cluster.capabilities:
                await self._exchange(bucket, temporary, path, place, found)
                return
            try:
                await self.fs.cluster.ns.replace(temporary, found.status)
                return
            except (NotFound, Common):
                continue  # it has changed meanwhile: does the condition still hold?
        raise S3Error("ConditionalRequestConflict")

    async def _exchange(
        self, bucket: str, temporary: str, path: str, place: Place, found: ObjectInfo
    ) -> None:
        """Replace ``found`` where the master cannot make sure of it: undone if it was another."""
        try:
            final = await self.places.publish(bucket, temporary, path, place, RenameFlag.EXCHANGE)
        except NotFound:
            raise S3Error("NoSuchKey", Key=found.key) from None
        came_out = object_info(found.key, await self.fs.status(temporary))
        if came_out.status.id != found.status.id or came_out.etag != found.etag:
            await self.fs.rename(temporary, final, RenameFlag.EXCHANGE)
            raise S3Error("PreconditionFailed", Condition="If-Match")
        await self.discard(temporary)

    async def set_record(self, bucket: str, info: ObjectInfo, record: Record) -> ObjectInfo:
        """Change what is known about an object without touching its bytes."""
        now = self.clock.now_ms()
        record = replace(record, mtime=now, length=info.length)
        changes = SetAttr(mtime=now, add_x_attr=record.attribute())
        return object_info(info.key, await self._set_unchanged(info.status, changes))

    async def set_acl(self, info: ObjectInfo, acl: Acl | None) -> None:
        """Change an object's ACL and nothing else."""
        record = replace(stored_record(info.status), acl=acl)
        await self._set_unchanged(info.status, SetAttr(add_x_attr=record.attribute()))

    async def _set_unchanged(self, status: FileStatus, changes: SetAttr) -> FileStatus:
        """Set attributes of that very file. ConditionalRequestConflict if another is there."""
        cluster = self.fs.cluster
        mount = await self.fs.mount_of(status.path)
        if CAP_EXPECT not in cluster.capabilities or not Place(self.fs, mount).native:
            return await self.fs.set_attr(status.path, changes)
        try:
            return await cluster.ns.set_attr(status.path, changes, unchanged_since=status.changed)
        except Common:
            raise S3Error("ConditionalRequestConflict") from None

    # -- removing ---------------------------------------------------------------------------------

    async def delete(self, bucket: str, key: str, meant: Meant = ANY) -> None:
        """Remove an object; none is fine as well. NoSuchBucket, PreconditionFailed.

        What is meant is removed in one step with finding out, by masters of ours.
        """
        cluster = self.fs.cluster
        for _ in range(_ATTEMPTS):
            found = await self.find(bucket, key)
            if found is None:
                return
            meant.check(found)
            path = found.status.path
            place = await self.places.of(path)
            sure = place.native and CAP_EXPECT_DELETE in cluster.capabilities
            try:
                if meant != ANY and sure:
                    await cluster.ns.delete_same(found.status)
                else:
                    await self.fs.delete(path)
            except _ABSENT:
                return
            except Common:
                if meant == ANY:
                    raise
                continue  # it has changed meanwhile: is it still the one that is meant?
            await self.places.prune(bucket, path, place)
            return
        raise S3Error("ConditionalRequestConflict")

    async def discard(self, path: str) -> None:
        """Remove something unfinished, if it is there."""
        try:
            await self.fs.delete(path, True)
        except CurvineError:
            pass

    async def _give_up(self, writer: WritableFile, name: str) -> None:
        try:
            await writer.abort()
        except CurvineError:
            pass
        await self.discard(name)
