# SPDX-License-Identifier: Apache-2.0
"""The one importer of OpenDAL: object stores that obstore lacks, and what it lacks of the others.

OpenDAL lists any key and knows markers of directories (keys that end in "/"); obstore's paths have
neither control characters nor a slash at their end. So listing and markers of every object store
go through here (docs/adr/0013-under-storage-engines.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import opendal
from opendal import exceptions as dal
from opendal import layers

from curvine.errors import CurvineError, NotFound, UfsChanged, UfsUnavailable
from curvine.ufs.base import Buffer
from curvine.ufs.blame import Place
from curvine.ufs.objects import PART, ObjectInfo, ObjectStore
from curvine.ufs.patience import Patience

_PAGE = 1000
_TOGETHER = 16  # deletes at a time

_FAILURES = (
    dal.Error, dal.Unexpected, dal.Unsupported, dal.ConfigInvalid, dal.NotFound,
    dal.PermissionDenied, dal.IsADirectory, dal.NotADirectory, dal.AlreadyExists, dal.IsSameFile,
    dal.ConditionNotMatch, dal.RateLimited, dal.RangeNotSatisfied, dal.Conflict,
)  # fmt: skip


def operator(service: str, options: Mapping[str, str], patience: Patience) -> opendal.AsyncOperator:
    """An operator of a service with its retries and time-outs."""
    made = opendal.AsyncOperator(service, **options)
    made = made.layer(layers.TimeoutLayer(patience.connect + patience.answer, patience.answer))
    return made.layer(
        layers.RetryLayer(
            max_times=patience.retries,
            factor=2.0,
            jitter=True,
            max_delay=patience.longest_pause,
            min_delay=min(patience.first_pause, patience.longest_pause),
        )
    )


def failed(place: Place, error: Exception, what: str) -> CurvineError:
    """Our error for one of OpenDAL's."""
    if isinstance(error, dal.NotFound) and "NoSuchBucket" not in str(error):
        return NotFound(f"{place.uri.rstrip('/')}/{what} does not exist")
    if isinstance(error, dal.ConditionNotMatch):
        return UfsChanged(f"{what} changed while it was read")
    if isinstance(error, dal.RateLimited):
        return UfsUnavailable(f"{place.uri}: the server throttles requests; try again later")
    return place.blamed(str(error), what)


class OpenDalObjects(ObjectStore):
    """A bucket behind an operator whose root is the bucket's."""

    def __init__(self, made: opendal.AsyncOperator, place: Place, part_size: int = PART) -> None:
        self._operator = made
        self._place = place
        self.part_size = part_size

    async def head(self, key: str) -> ObjectInfo:
        try:
            return _info(key, await self._operator.stat(key))
        except _FAILURES as error:
            raise failed(self._place, error, key) from None

    async def list(
        self, prefix: str, *, recursive: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[ObjectInfo]]:
        page: list[ObjectInfo] = []
        wanted: dict[str, Any] = {"recursive": recursive}
        if limit is not None:
            wanted["limit"] = limit + 1  # the directory's own marker may be among them
        try:
            async for entry in await self._operator.list(prefix or "/", **wanted):
                found = _entry(entry, recursive)
                if found is not None:
                    page.append(found)
                if len(page) >= _PAGE or (limit is not None and len(page) > limit):
                    yield page
                    if limit is not None:
                        return
                    page = []
        except _FAILURES as error:
            raise failed(self._place, error, prefix) from None
        if page:
            yield page

    async def read(self, info: ObjectInfo, offset: int, size: int) -> bytes | memoryview:
        options: dict[str, Any] = {"if_match": info.etag} if info.etag else {}
        try:
            return await self._operator.read(info.key, offset=offset, size=size, **options)
        except _FAILURES as error:
            raise failed(self._place, error, info.key) from None

    async def put(self, key: str, data: Buffer) -> None:
        try:
            if key.endswith("/"):
                await self._operator.create_dir(key)
            else:
                await self._operator.write(key, bytes(data))
        except _FAILURES as error:
            raise failed(self._place, error, key) from None

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], part_size: int) -> None:
        try:
            file = await self._operator.open(key, "wb", chunk=part_size)
            # Not closed after an exception: closing would make an object of what was sent so far.
            async for chunk in chunks:
                await file.write(chunk)
            await file.close()
        except _FAILURES as error:
            raise failed(self._place, error, key) from None

    async def copy(self, source: ObjectInfo, key: str) -> None:
        try:
            await self._operator.copy(source.key, key)
        except _FAILURES as error:
            raise failed(self._place, error, source.key) from None

    async def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _TOGETHER):
            await asyncio.gather(*(self._delete(key) for key in keys[start : start + _TOGETHER]))

    async def _delete(self, key: str) -> None:
        try:
            await self._operator.delete(key)
        except dal.NotFound:
            pass
        except _FAILURES as error:
            raise failed(self._place, error, key) from None


def _entry(entry: opendal.types.Entry, recursive: bool) -> ObjectInfo | None:
    """A listed entry; a directory without an object of its own is a prefix."""
    about = entry.metadata
    if entry.path.endswith("/") and about.last_modified is None:
        return None if recursive else ObjectInfo(entry.path, is_prefix=True)
    return _info(entry.path, about)


def _info(key: str, about: opendal.types.Metadata) -> ObjectInfo:
    changed = about.last_modified
    return ObjectInfo(
        key,
        about.content_length,
        0 if changed is None else round(changed.timestamp() * 1000),
        about.etag,
    )
