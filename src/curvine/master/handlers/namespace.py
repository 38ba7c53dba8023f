# SPDX-License-Identifier: Apache-2.0
"""Directories, names and attributes (control-plane specification 5.5, 5.7, 5.8)."""

from __future__ import annotations

from curvine.master.services import Services
from curvine.wire.convert import (
    fill_free_result,
    fill_status,
    read_mkdir_opts,
    read_set_attr,
)
from curvine.wire.pb import master_pb2

_EMPTY = b""  # a message without fields


def mkdir(master: Services, request: master_pb2.MkdirRequest, req_id: int) -> bytes:
    """Code 2. ``flag`` is false from a real master as well; nobody reads it."""
    status = master.namespace.mkdir(request.path, read_mkdir_opts(request.opts), req_id=req_id)
    out = master_pb2.MkdirResponse(flag=False)
    fill_status(out.status, status)
    return out.SerializeToString()


def delete(master: Services, request: master_pb2.DeleteRequest, req_id: int) -> bytes:
    """Code 3. The blocks are deleted by commands in the workers' next heartbeats."""
    result = master.namespace.delete(request.path, request.recursive, req_id=req_id)
    out = master_pb2.DeleteResponse()
    fill_free_result(out.res, result)
    return out.SerializeToString()


def file_status(master: Services, request: master_pb2.GetFileStatusRequest, _req_id: int) -> bytes:
    """Code 7."""
    out = master_pb2.GetFileStatusResponse()
    fill_status(out.status, master.namespace.status(request.path))
    return out.SerializeToString()


def list_status(master: Services, request: master_pb2.ListStatusRequest, _req_id: int) -> bytes:
    """Code 8."""
    out = master_pb2.ListStatusResponse()
    add = out.statuses.add
    for status in master.namespace.list_status(request.path):
        fill_status(add(), status)
    return out.SerializeToString()


def list_options(master: Services, request: master_pb2.ListOptionsRequest, _req_id: int) -> bytes:
    """Code 27."""
    options = request.options
    statuses = master.namespace.list_options(
        request.path,
        options.limit if options.HasField("limit") else None,
        options.start_after if options.HasField("start_after") else None,
    )
    out = master_pb2.ListOptionsResponse()
    add = out.statuses.add
    for status in statuses:
        fill_status(add(), status)
    return out.SerializeToString()


def exists(master: Services, request: master_pb2.ExistsRequest, _req_id: int) -> bytes:
    """Code 9."""
    found = master.namespace.exists(request.path)
    return master_pb2.ExistsResponse(exists=found).SerializeToString()


def rename(master: Services, request: master_pb2.RenameRequest, req_id: int) -> bytes:
    """Code 10."""
    result = master.namespace.rename(request.src, request.dst, request.flags, req_id=req_id)
    return master_pb2.RenameResponse(result=result).SerializeToString()


def set_attr(master: Services, request: master_pb2.SetAttrRequest, req_id: int) -> bytes:
    """Code 15."""
    status = master.namespace.set_attr(request.path, read_set_attr(request.opts), req_id=req_id)
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


def free(master: Services, request: master_pb2.FreeRequest, req_id: int) -> bytes:
    """Code 26."""
    result = master.namespace.free(request.path, request.recursive, req_id=req_id)
    out = master_pb2.FreeResponse()
    fill_free_result(out.res, result)
    return out.SerializeToString()
