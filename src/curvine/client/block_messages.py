# SPDX-License-Identifier: Apache-2.0
"""Headers of the block streams' frames (data-plane specification 1.3 and 2.1). Sizes are bytes."""

from __future__ import annotations

from curvine.model.block import ExtendedBlock
from curvine.model.worker import ComponentInfo
from curvine.wire.convert import fill_block, fill_component
from curvine.wire.pb import worker_pb2

#: What a Running frame carries without a header: the stream goes on where it is.
ON = b""
#: A read-Complete header's other fields are not looked at (1.5).
_MIN_READ_AHEAD = 256 * 1024  # below this the worker does not read ahead anyway


def read_request(
    block: ExtendedBlock,
    *,
    offset: int = 0,
    chunk_size: int,
    short_circuit: bool = False,
    read_ahead: int = 0,
    identity: ComponentInfo | None = None,
) -> bytes:
    """Open of a read. ``len`` on the wire is the whole block's, not what remains."""
    request = worker_pb2.BlockReadRequest(
        id=block.id,
        off=offset,
        len=block.len,
        chunk_size=chunk_size,
        short_circuit=short_circuit,
        enable_read_ahead=read_ahead > 0 and block.len >= _MIN_READ_AHEAD,
        read_ahead_len=read_ahead,
        drop_cache_len=0,
    )
    if identity is not None:
        fill_component(request.component_info, identity)
    return request.SerializeToString()


def read_complete(block_id: int) -> bytes:
    """Complete of a read."""
    return worker_pb2.BlockReadRequest(
        id=block_id,
        off=0,
        len=0,
        chunk_size=0,
        short_circuit=False,
        enable_read_ahead=False,
        read_ahead_len=0,
        drop_cache_len=0,
    ).SerializeToString()


def write_request(
    block: ExtendedBlock,
    *,
    offset: int,
    capacity: int,
    client_name: str,
    chunk_size: int = 0,
    short_circuit: bool = False,
    sync: bool = False,
    resume: bool = False,
    only_published: bool = False,
    identity: ComponentInfo | None = None,
) -> bytes:
    """Open, Complete or Cancel of a write. ``block.len`` is the length now (the final one at
    Complete), ``capacity`` the file's block size; both are called block_size on the wire."""
    request = worker_pb2.BlockWriteRequest(
        off=offset,
        block_size=capacity,
        short_circuit=short_circuit,
        client_name=client_name,
        chunk_size=chunk_size,
    )
    fill_block(request.block, block)
    if sync:
        request.sync = True
    if resume:
        request.resume = True
    if only_published:
        request.only_published = True
    if identity is not None:
        fill_component(request.component_info, identity)
    return request.SerializeToString()


def seek(offset: int) -> bytes:
    """Header of a Running frame that continues at ``offset``."""
    return worker_pb2.DataHeaderProto(offset=offset, flush=False, is_last=False).SerializeToString()


def read_answer(header: bytes) -> worker_pb2.BlockReadResponse:
    """The reply to a read's Open."""
    return worker_pb2.BlockReadResponse.FromString(header)


def write_answer(header: bytes) -> worker_pb2.BlockWriteResponse:
    """The reply to a write's Open, or to a local writer that asked for room."""
    return worker_pb2.BlockWriteResponse.FromString(header)
