# SPDX-License-Identifier: Apache-2.0
"""DeleteObjects: up to a thousand keys in one request."""

from __future__ import annotations

import asyncio

from curvine.errors import CurvineError
from curvine.httpd.streaming import Outgoing
from curvine.s3.context import Call, xml_answer
from curvine.s3.errors import S3Error, translated
from curvine.s3.ops.conditions import meant
from curvine.s3.store import ANY, Meant
from curvine.s3.xmldoc import Child

_MOST = 1000
_AT_A_TIME = 32


async def delete_objects(call: Call) -> Outgoing:
    """One result a key; a key that cannot be deleted stops nothing."""
    root = await call.xml("Delete")
    await call.store.places.bucket(call.request.bucket)
    entries = root.all("Object")
    if not 0 < len(entries) <= _MOST:
        raise S3Error("MalformedXML", f"DeleteObjects takes 1 to {_MOST} keys")
    quiet = (root.value("Quiet") or "").lower() == "true"
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def one(key: str, version: str, wanted: Meant) -> S3Error | None:
        async with gate:
            try:
                if version not in ("", "null"):
                    raise S3Error("NoSuchVersion")
                await call.store.delete(call.request.bucket, key, wanted)
            except S3Error as error:
                return error
            except CurvineError as error:
                return translated(error)
        return None

    keys: list[tuple[str, str, Meant]] = []
    for entry in entries:
        found = entry.all("Key")
        if len(found) != 1 or not found[0].text:
            raise S3Error("MalformedXML", "Every Object needs one Key")
        said = [entry.value(name) or "" for name in ("ETag", "LastModifiedTime", "Size")]
        wanted = meant(*said) if any(said) else ANY
        keys.append((found[0].text, entry.value("VersionId") or "", wanted))
    results = await asyncio.gather(*(one(*key) for key in keys))
    rows: list[Child] = []
    for (key, version, _), error in zip(keys, results, strict=True):
        row: list[Child] = [("Key", key)]
        if version:
            row.append(("VersionId", version))
        if error is not None:
            rows.append(("Error", [*row, ("Code", error.code), ("Message", error.message)]))
        elif not quiet:
            rows.append(("Deleted", row))
    return xml_answer("DeleteResult", rows)
