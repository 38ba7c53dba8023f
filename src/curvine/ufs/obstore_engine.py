# SPDX-License-Identifier: Apache-2.0
"""The one importer of obstore: S3, Google Cloud Storage, Azure and plain HTTP.

It moves the bytes: ranges of one version (If-Match) as buffers of its own, uploads in parts that
are aborted when they are given up. What its paths cannot say (control characters, a slash at the
end) goes to ``names``, the same bucket through OpenDAL, and so does listing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import obstore
from obstore import exceptions as obs
from obstore.store import AzureStore, GCSStore, S3Store

from curvine.errors import CurvineError, NotFound, UfsChanged
from curvine.ufs.base import Buffer
from curvine.ufs.blame import Place
from curvine.ufs.objects import MOST_PARTS, PART, STREAMS, ObjectInfo, ObjectStore
from curvine.ufs.patience import Patience

_MANY = 10_000  # retries: their pauses are random, the time-out is what ends them
_BULK = 1000  # keys of one delete
_MOST_COPY = 5 << 30  # bytes that one CopyObject may copy
_COPY_PIECE = 16 << 20
_UNSAYABLE = re.compile(r"[\x00-\x1f\x7f]|//|^/|/$|(^|/)\.\.?(/|$)")
# An empty object has no range; some servers send ranges with status 200.
_NO_RANGE = re.compile(r"\b416\b|InvalidRange|non-partial response")

_FAILURES = (obs.BaseError, OSError, ValueError)

AnyStore = S3Store | GCSStore | AzureStore


class ObstoreObjects(ObjectStore):
    """A bucket."""

    def __init__(
        self, store: AnyStore, names: ObjectStore, place: Place, part_size: int = PART
    ) -> None:
        self._store = store
        self._names = names
        self._place = place
        self.part_size = part_size
        self._ranges_work = True

    async def head(self, key: str) -> ObjectInfo:
        if _UNSAYABLE.search(key):
            return await self._names.head(key)
        try:
            return _info(key, await obstore.head_async(self._store, key))
        except _FAILURES as error:
            raise self._failed(error, key) from None

    async def head_and_start(self, key: str, size: int) -> tuple[ObjectInfo, bytes | memoryview]:
        if _UNSAYABLE.search(key) or not self._ranges_work:
            return await super().head_and_start(key, size)
        try:
            answer = await obstore.get_async(
                self._store,
                key,
                options={"range": (0, size)},
            )
            return _info(key, answer.meta), memoryview(await answer.bytes_async())
        except _FAILURES as error:
            if _NO_RANGE.search(str(error)):
                return await super().head_and_start(key, size)
            raise self._failed(error, key) from None

    def list(
        self, prefix: str, *, recursive: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[ObjectInfo]]:
        return self._names.list(prefix, recursive=recursive, limit=limit)

    async def read(self, info: ObjectInfo, offset: int, size: int) -> bytes | memoryview:
        if _UNSAYABLE.search(info.key) or not self._ranges_work:
            return await self._names.read(info, offset, size)
        options: dict[str, Any] = {"range": (offset, offset + size)}
        if info.etag is not None:
            options["if_match"] = info.etag
        try:
            answer = await obstore.get_async(
                self._store,
                info.key,
                options=options,  # type: ignore[arg-type]  # a TypedDict
            )
            now = _info(info.key, answer.meta)
            if (now.etag, now.size) != (info.etag, info.size) or (
                info.etag is None and now.mtime != info.mtime
            ):
                raise UfsChanged(f"{self._place.uri}/{info.key} changed while it was read")
            return memoryview(await answer.bytes_async())
        except _FAILURES as error:
            if "non-partial response" in str(error):
                # Some servers send ranges with status 200, which obstore takes for the whole.
                self._ranges_work = False
                return await self._names.read(info, offset, size)
            raise self._failed(error, info.key) from None

    async def put(self, key: str, data: Buffer) -> None:
        if _UNSAYABLE.search(key):
            await self._names.put(key, data)
            return
        try:
            await obstore.put_async(self._store, key, bytes(data), use_multipart=False)
        except _FAILURES as error:
            raise self._failed(error, key) from None

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], part_size: int) -> None:
        if _UNSAYABLE.search(key):
            await self._names.put_stream(key, chunks, part_size)
            return
        try:
            await obstore.put_async(
                self._store,
                key,
                chunks,
                use_multipart=True,
                chunk_size=part_size,
                max_concurrency=STREAMS,
            )
        except _FAILURES as error:
            raise self._failed(error, key) from None

    async def copy(self, source: ObjectInfo, key: str) -> None:
        if source.size > _MOST_COPY:
            part = max(self.part_size, -(-source.size // (MOST_PARTS - 100)))
            await self.put_stream(key, self._pieces(source), part)
        elif _UNSAYABLE.search(source.key) or _UNSAYABLE.search(key):
            await self._names.copy(source, key)
        else:
            try:
                await obstore.copy_async(self._store, source.key, key)
            except _FAILURES as error:
                raise self._failed(error, source.key) from None

    async def delete(self, keys: Sequence[str]) -> None:
        odd = [key for key in keys if _UNSAYABLE.search(key)]
        plain = [key for key in keys if not _UNSAYABLE.search(key)]
        if odd:
            await self._names.delete(odd)
        for start in range(0, len(plain), _BULK):
            batch = plain[start : start + _BULK]
            try:
                await obstore.delete_async(self._store, batch if len(batch) > 1 else batch[0])
            except _FAILURES as error:
                failure = self._failed(error, batch[0])
                if not isinstance(failure, NotFound):
                    raise failure from None
                if len(batch) > 1:
                    await self._names.delete(batch)

    async def close(self) -> None:
        await self._names.close()

    async def _pieces(self, source: ObjectInfo) -> AsyncIterator[bytes]:
        for offset in range(0, source.size, _COPY_PIECE):
            yield bytes(await self.read(source, offset, min(_COPY_PIECE, source.size - offset)))

    def _failed(self, error: Exception, key: str) -> CurvineError:
        if isinstance(error, CurvineError):  # raised by what feeds an upload
            return error
        if isinstance(error, obs.PreconditionError):
            return UfsChanged(f"{self._place.uri}/{key} changed while it was read")
        text = str(error)
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
            return NotFound(f"{self._place.uri.rstrip('/')}/{key} does not exist")
        return self._place.blamed(text, key)


def s3_store(
    bucket: str,
    config: dict[str, Any],
    credentials: dict[str, str] | None,
    patience: Patience,
) -> S3Store:
    """An S3 bucket. ``credentials``: access_key_id, secret_access_key, perhaps token; None = sign
    nothing. Given as a provider, so that none are taken from the environment."""
    if credentials is None:
        common = _common(config.get("endpoint", ""), patience)
        return S3Store(bucket, skip_signature=True, **config, **common)
    fixed = {**credentials, "expires_at": None}
    return S3Store(
        bucket,
        credential_provider=lambda: fixed,  # type: ignore[arg-type]  # a TypedDict
        **config,
        **_common(config.get("endpoint", ""), patience),
    )


def gcs_store(bucket: str, config: dict[str, Any], patience: Patience) -> GCSStore:
    """A Google Cloud Storage bucket."""
    return GCSStore(bucket, config=config, **_common(config.get("base_url", ""), patience))  # type: ignore[arg-type]  # a TypedDict


def azure_store(container: str, config: dict[str, Any], patience: Patience) -> AzureStore:
    """An Azure Blob Storage container."""
    return AzureStore(container, config=config, **_common(config.get("endpoint", ""), patience))  # type: ignore[arg-type]  # a TypedDict


def _common(endpoint: str, patience: Patience) -> dict[str, Any]:
    return {
        "client_options": {
            "allow_http": endpoint.lower().startswith("http://"),
            "connect_timeout": timedelta(seconds=patience.connect),
            "timeout": timedelta(seconds=patience.connect + patience.answer),
        },
        "retry_config": {
            "max_retries": _MANY if patience.outlast else patience.retries,
            "retry_timeout": timedelta(seconds=patience.total),
            "backoff": {
                "init_backoff": timedelta(seconds=patience.first_pause),
                "max_backoff": timedelta(seconds=patience.longest_pause),
                "base": 2,
            },
        },
    }


def _info(key: str, meta: Any) -> ObjectInfo:
    return ObjectInfo(
        key,
        meta["size"],
        round(meta["last_modified"].timestamp() * 1000),
        meta.get("e_tag"),
    )
