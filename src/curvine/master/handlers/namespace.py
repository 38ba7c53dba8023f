# SPDX-License-Identifier: Apache-2.0
"""Directories, names and attributes (control-plane specification 5.5, 5.7, 5.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

from curvine.master.dispatch import Answer
from curvine.master.services import Services
from curvine.master.status_bytes import status_field
from curvine.master.turns import in_turns
from curvine.metadata.reads import Listed
from curvine.model.inode import FileStatus, FreeResult
from curvine.wire.convert import (
    encode_summary,
    fill_free_result,
    fill_status,
    read_mkdir_opts,
    read_set_attr,
)
from curvine.wire.pb import ext_pb2, master_pb2

_EMPTY = b""  # a message without fields
LIST_PIECE = 200  # statuses of a listing made in one turn of the loop


def mkdir(master: Services, request: master_pb2.MkdirRequest, req_id: int) -> bytes:
    """Code 2. ``flag`` is false from a real master as well; nobody reads it."""
    status = master.namespace.mkdir(request.path, read_mkdir_opts(request.opts), req_id=req_id)
    out = master_pb2.MkdirResponse(flag=False)
    fill_status(out.status, status)
    return out.SerializeToString()


def delete(master: Services, request: master_pb2.DeleteRequest, req_id: int) -> Answer:
    """Code 3. The blocks are deleted by commands in the workers' next heartbeats."""
    if request.recursive:
        steps = master.namespace.delete_steps(request.path, recursive=True, req_id=req_id)
        return in_turns(steps, _delete_answer)
    expected = None
    if request.HasField("expected_id"):
        expected = request.expected_id, request.expected_mtime
    return _delete_answer(master.namespace.delete(request.path, req_id=req_id, expected=expected))


def _delete_answer(result: FreeResult) -> bytes:
    out = master_pb2.DeleteResponse()
    fill_free_result(out.res, result)
    return out.SerializeToString()


def file_status(master: Services, request: master_pb2.GetFileStatusRequest, _req_id: int) -> bytes:
    """Code 7."""
    return master.stat_replies.answer(master.namespace, request.path)


def list_status(master: Services, request: master_pb2.ListStatusRequest, _req_id: int) -> Answer:
    """Code 8."""
    return _listing(master.namespace.listing(request.path))


def list_options(master: Services, request: master_pb2.ListOptionsRequest, _req_id: int) -> Answer:
    """Code 27."""
    options = request.options
    rows = master.namespace.page(
        request.path,
        options.limit if options.HasField("limit") else None,
        options.start_after if options.HasField("start_after") else None,
    )
    return _listing(rows)


def _listing(rows: Iterator[Listed]) -> Answer:
    """Field 1 of ListStatusResponse and ListOptionsResponse, once for each row. Short listings are
    answered at once, long ones in pieces: others have their turn."""
    first = _piece(rows)
    return b"".join(first) if len(first) < LIST_PIECE else _long_listing(first, rows)


async def _long_listing(fields: list[bytes], rows: Iterator[Listed]) -> bytes:
    size = LIST_PIECE
    while size == LIST_PIECE:
        await asyncio.sleep(0)
        piece = _piece(rows)
        size = len(piece)
        fields += piece
    return b"".join(fields)


def _piece(rows: Iterator[Listed]) -> list[bytes]:
    return [status_field(inode, path) for path, inode in islice(rows, LIST_PIECE)]


_SUMMARY_WAIT_MS = 10_000
_SUMMARY_WAIT_MAX_MS = 60_000  # a client gives up after 120 s


async def content_summary(
    master: Services, request: ext_pb2.ContentSummaryRequest, _req_id: int
) -> bytes:
    """Code 105 (ours): what a path amounts to with everything below it."""
    wait = request.wait_ms if request.HasField("wait_ms") else _SUMMARY_WAIT_MS
    wait = min(wait, _SUMMARY_WAIT_MAX_MS)
    return encode_summary(await master.summing.summary(request.path, wait / 1000))


def exists(master: Services, request: master_pb2.ExistsRequest, _req_id: int) -> bytes:
    """Code 9."""
    found = master.namespace.exists(request.path)
    return master_pb2.ExistsResponse(exists=found).SerializeToString()


def rename(master: Services, request: master_pb2.RenameRequest, req_id: int) -> bytes:
    """Code 10."""
    expected = None
    if request.HasField("expected_id"):
        expected = request.expected_id, request.expected_mtime
    result = master.namespace.rename(
        request.src, request.dst, request.flags, expected, req_id=req_id
    )
    return master_pb2.RenameResponse(result=result).SerializeToString()


def set_attr(master: Services, request: master_pb2.SetAttrRequest, req_id: int) -> Answer:
    """Code 15."""
    opts = read_set_attr(request.opts)
    if request.HasField("unchanged_since"):
        master.namespace.check_unchanged(request.path, request.unchanged_since)
    if opts.recursive:
        steps = master.namespace.set_attr_steps(request.path, opts, req_id=req_id)
        return in_turns(steps, _set_attr_answer)
    return _set_attr_answer(master.namespace.set_attr(request.path, opts, req_id=req_id))


def _set_attr_answer(status: FileStatus) -> bytes:
    out = master_pb2.SetAttrResponse()
    fill_status(out.status, status)
    return out.SerializeToString()


def symlink(master: Services, request: master_pb2.SymlinkRequest, req_id: int) -> bytes:
    """Code 16."""
    master.namespace.symlink(
        request.target,
        request.link,
        force=request.force,
        mode=request.mode,
        owner=request.owner,
        group=request.group,
        req_id=req_id,
    )
    return _EMPTY


def link(master: Services, request: master_pb2.LinkRequest, req_id: int) -> bytes:
    """Code 17."""
    master.namespace.link(request.src_path, request.dst_path, req_id=req_id)
    return _EMPTY


def free(master: Services, request: master_pb2.FreeRequest, req_id: int) -> Answer:
    """Code 26."""
    if request.recursive:
        steps = master.namespace.free_steps(request.path, recursive=True, req_id=req_id)
        return in_turns(steps, _free_answer)
    return _free_answer(master.namespace.free(request.path, req_id=req_id))


def _free_answer(result: FreeResult) -> bytes:
    out = master_pb2.FreeResponse()
    fill_free_result(out.res, result)
    return out.SerializeToString()
