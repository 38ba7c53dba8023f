# SPDX-License-Identifier: Apache-2.0
"""Where objects are made and how directories for them come and go.

An object is written under a name of its own in HOME (of the root, or of the mount that the key lies
under, for a rename does not cross mounts) and renamed to its place: readers see the old or the new
one. Directories that this makes on the way are marked IMPLICIT and go with their last object.

A file in whose place a directory is needed (key ``a`` exists, ``a/b`` is put) becomes the file SELF
in that directory, without ever being gone: a directory with a second name of the file is made
aside, and exchanged with it in one step.
"""

from __future__ import annotations

import uuid

from curvine.client.unified import UnifiedFileSystem
from curvine.errors import AlreadyExists, Common, CurvineError, NotFound
from curvine.model.inode import FileStatus, FileType, MkdirOpts, RenameFlag, SetAttr
from curvine.model.mount import MountInfo, WriteType
from curvine.model.path import join, split
from curvine.s3.errors import S3Error
from curvine.s3.keys import (
    DIR,
    DIR_ATTRIBUTE,
    HAS_SPECIAL,
    HOME,
    IMPLICIT,
    SELF,
    SPECIAL,
    bucket_path,
    self_path,
)

_ATTEMPTS = 20  # of a rename whose directories others remove or replace meanwhile


class Place:
    """What is possible where a key lies. ``home``: directory of unfinished things.

    ``native``: the master keeps names and attributes; elsewhere an under storage does. ``staged``:
    objects are written aside and renamed; elsewhere the store itself shows them whole or not at
    all.
    """

    __slots__ = ("home", "native", "staged")

    def __init__(self, fs: UnifiedFileSystem, mount: MountInfo | None) -> None:
        cached = mount is not None and mount.write_type == WriteType.CACHE_MODE
        root = mount.cv_path if mount is not None else "/"
        self.home = join(root, HOME)
        self.native = not cached
        self.staged = not cached or (
            mount is not None and fs.storage(mount).capabilities.random_write
        )

    def new_name(self) -> str:
        """A name for something unfinished."""
        return f"{self.home}/put/{uuid.uuid4().hex}"


def marks(status: FileStatus) -> str:
    """The letters of a directory's attribute."""
    return status.x_attr.get(DIR_ATTRIBUTE, b"").decode("ascii", "replace")


class Places:
    """See the module."""

    def __init__(self, fs: UnifiedFileSystem) -> None:
        self._fs = fs
        self._ns = fs.cluster.ns
        self._homes: set[str] = set()

    async def of(self, path: str) -> Place:
        """The place that ``path`` belongs to."""
        return Place(self._fs, await self._fs.mount_of(path))

    async def prepare_home(self, place: Place, again: bool = False) -> None:
        """Make the directory of unfinished things."""
        if place.home in self._homes and not again:
            return
        await self._fs.mkdir(f"{place.home}/put", mode=0o700, create_parent=True)
        self._homes.add(place.home)

    async def bucket(self, bucket: str) -> FileStatus:
        """The bucket's directory. NoSuchBucket."""
        try:
            status = await self._fs.status(bucket_path(bucket))
        except NotFound:
            raise S3Error("NoSuchBucket", BucketName=bucket) from None
        if not status.is_dir:
            raise S3Error("NoSuchBucket", BucketName=bucket)
        return status

    async def publish(
        self, bucket: str, temporary: str, path: str, place: Place, flags: int = 0
    ) -> str:
        """Give a finished file its place; where that really is.

        ``flags`` NO_REPLACE: AlreadyExists when there is an object; EXCHANGE: NotFound when there
        is none, and the old one is at ``temporary`` afterwards.
        """
        if place.native and SPECIAL in path:
            await self._mark_parents(bucket, path)
        for attempt in range(_ATTEMPTS):
            try:
                await self._fs.rename(temporary, path, flags)
                return path
            except AlreadyExists:
                if not (await self._fs.status(path)).is_dir:
                    raise
                path = await self._inside(path, place)
            except CurvineError:
                if attempt == _ATTEMPTS - 1:
                    raise
                path = await self._make_way(bucket, path, place, flags)
        raise S3Error("SlowDown")

    async def _make_way(self, bucket: str, path: str, place: Place, flags: int) -> str:
        """Find out why a rename to ``path`` failed and remove the reason; where to go then."""
        try:
            status = await self._fs.status(path)
        except CurvineError:
            await self.make_parents(bucket, path, place)
            if flags & RenameFlag.EXCHANGE:
                raise
            return path
        if status.is_dir:
            return await self._inside(path, place)
        return path

    async def _inside(self, path: str, place: Place) -> str:
        """Where an object goes whose path is a directory."""
        if not place.native:
            raise S3Error("InvalidObjectState")
        await self._mark(path, HAS_SPECIAL)
        return self_path(path)

    async def make_parents(self, bucket: str, path: str, place: Place) -> None:
        """Make the directories above ``path``. NoSuchBucket."""
        root = bucket_path(bucket)
        missing: list[str] = []
        parent = split(path)[0]
        while True:
            try:
                status = await self._fs.status(parent)
            except NotFound:
                status = None
            except CurvineError:
                if parent == root:
                    raise
                status = None  # something above it is a file
            if status is not None:
                break
            if parent == root:
                raise S3Error("NoSuchBucket", BucketName=bucket)
            missing.append(parent)
            parent = split(parent)[0]
        if not status.is_dir:
            if parent == root:
                raise S3Error("NoSuchBucket", BucketName=bucket)
            await self._become_directory(parent, status, place)
        for directory in reversed(missing):
            await self._make_directory(directory, place)

    async def _make_directory(self, path: str, place: Place) -> None:
        try:
            if place.native:
                opts = MkdirOpts(mode=0o755, x_attr={DIR_ATTRIBUTE: IMPLICIT.encode()})
                await self._ns.mkdir(path, opts)
            else:
                await self._fs.mkdir(path)
        except AlreadyExists:
            pass
        except Common:
            if not await self._fs.exists(path):
                raise

    async def _become_directory(self, path: str, status: FileStatus, place: Place) -> None:
        """Put a directory in the place of a file, which becomes SELF in it."""
        if not place.native or status.file_type != FileType.FILE:
            raise S3Error("InvalidObjectState")
        await self.prepare_home(place)
        aside = place.new_name()
        letters = (IMPLICIT + HAS_SPECIAL).encode()
        await self._ns.mkdir(
            aside, MkdirOpts(create_parent=True, mode=0o755, x_attr={DIR_ATTRIBUTE: letters})
        )
        try:
            await self._ns.link(path, join(aside, SELF))
            await self._ns.rename(path, aside, RenameFlag.EXCHANGE)
        except CurvineError:
            await self._discard(aside)
            raise
        replaced = await self._fs.status(aside)
        if replaced.is_dir or replaced.id != status.id:  # it was replaced between the two calls
            await self._ns.rename(aside, self_path(path))
        else:
            await self._discard(aside)

    async def prune(self, bucket: str, path: str, place: Place) -> None:
        """Remove the empty directories above a deleted object that were made for its sake."""
        root = bucket_path(bucket)
        parent = split(path)[0]
        while place.native and parent != root:
            try:
                status = await self._ns.status(parent)
                if status.len or IMPLICIT not in marks(status):
                    return
                await self._ns.delete(parent, False)
            except CurvineError:
                return
            parent = split(parent)[0]

    async def _mark_parents(self, bucket: str, path: str) -> None:
        """Mark every directory above that has a special name of ``path`` in it."""
        parent, name = split(path)
        root = bucket_path(bucket)
        while len(parent) >= len(root):
            if name.startswith(SPECIAL):
                await self.make_parents(bucket, join(parent, DIR), await self.of(parent))
                await self._mark(parent, HAS_SPECIAL)
            parent, name = split(parent)

    async def _mark(self, path: str, letter: str) -> None:
        status = await self._ns.status(path)
        letters = marks(status)
        if status.is_dir and letter not in letters:
            changed = {DIR_ATTRIBUTE: (letters + letter).encode()}
            await self._ns.set_attr(path, SetAttr(add_x_attr=changed))

    async def _discard(self, path: str) -> None:
        try:
            await self._fs.delete(path, True)
        except CurvineError:
            pass
