# SPDX-License-Identifier: Apache-2.0
"""A plain blocking client for master tests: frames over a socket, nothing of ours in between.

It shares only ``wire`` with the code under test, so that client library and server cannot be wrong
together. Time-outs are seconds.
"""

from __future__ import annotations

import itertools
import random
import socket
from typing import Any, TypeVar

from google.protobuf.message import Message

from curvine.model.inode import CreateOpts, MkdirOpts
from curvine.wire.codes import (
    RPC,
    SEQ_NONE,
    ResponseStatus,
    RpcCode,
    response_status,
)
from curvine.wire.convert import fill_create_opts, fill_mkdir_opts
from curvine.wire.frame import Frame, FrameDecoder, encode
from curvine.wire.pb import common_pb2, master_pb2, worker_pb2
from curvine.wire.status import decode_error

M = TypeVar("M", bound=Message)
_random = random.Random()


def new_id() -> int:
    """A request id as real clients make them: random and negative."""
    return -_random.getrandbits(62) - 2


class WireClient:
    """One connection to a master."""

    def __init__(self, address: tuple[str, int], timeout: float = 10.0) -> None:
        self._sock = socket.create_connection(address, timeout)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = FrameDecoder(max_header=1 << 29)
        self._frames: list[Frame] = []

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> WireClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self, code: int, message: Message | bytes, req_id: int | None = None, status: int = RPC
    ) -> int:
        """Send a request, do not wait; its id."""
        header = message if isinstance(message, bytes) else message.SerializeToString()
        req_id = new_id() if req_id is None else req_id
        self._sock.sendall(encode(code, status, req_id, SEQ_NONE, header))
        return req_id

    def send_bytes(self, data: bytes) -> None:
        self._sock.sendall(data)

    def receive(self) -> Frame:
        """The next frame; ConnectionError when the peer closed."""
        while not self._frames:
            data = self._sock.recv(1 << 16)
            if not data:
                raise ConnectionError("closed by the master")
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def call(
        self, code: int, message: Message | bytes, reply: type[M], req_id: int | None = None
    ) -> M:
        """One request and its reply; raises what an error reply says."""
        sent = self.send(code, message, req_id)
        frame = self.receive()
        assert (frame.code, frame.req_id, frame.seq_id) == (code, sent, SEQ_NONE)
        return opened(frame, reply)

    # -- the calls that most tests need ---------------------------------------------------------

    def mkdir(self, path: str, req_id: int | None = None, **opts: Any) -> None:
        request = master_pb2.MkdirRequest(path=path)
        fill_mkdir_opts(request.opts, MkdirOpts(**opts))
        self.call(RpcCode.MKDIR, request, master_pb2.MkdirResponse, req_id)

    def create(
        self, path: str, flags: int = 0x41, req_id: int | None = None, **opts: Any
    ) -> common_pb2.FileStatusProto:
        request = create_request(path, flags, **opts)
        reply = self.call(RpcCode.CREATE_FILE, request, master_pb2.CreateFileResponse, req_id)
        return reply.file_status

    def status(self, path: str) -> common_pb2.FileStatusProto:
        request = master_pb2.GetFileStatusRequest(path=path)
        return self.call(RpcCode.FILE_STATUS, request, master_pb2.GetFileStatusResponse).status

    def names(self, path: str) -> list[str]:
        request = master_pb2.ListStatusRequest(path=path, need_location=False)
        reply = self.call(RpcCode.LIST_STATUS, request, master_pb2.ListStatusResponse)
        return [status.name for status in reply.statuses]

    def delete(self, path: str, recursive: bool = False, req_id: int | None = None) -> int:
        request = master_pb2.DeleteRequest(path=path, recursive=recursive)
        reply = self.call(RpcCode.DELETE, request, master_pb2.DeleteResponse, req_id)
        return reply.res.inodes

    def rename(self, src: str, dst: str, flags: int = 0, req_id: int | None = None) -> bool:
        request = master_pb2.RenameRequest(src=src, dst=dst, flags=flags)
        return self.call(RpcCode.RENAME, request, master_pb2.RenameResponse, req_id).result

    def add_block(
        self, path: str, file_len: int = 0, last: int | None = None, **commit: Any
    ) -> common_pb2.LocatedBlockProto:
        request = add_block_request(path, file_len, last, **commit)
        return self.call(RpcCode.ADD_BLOCK, request, common_pb2.LocatedBlockProto)

    def complete(
        self, path: str, length: int, blocks: dict[int, tuple[int, int]], **fields: Any
    ) -> master_pb2.CompleteFileResponse:
        """``blocks``: id -> (length, worker id)."""
        request = master_pb2.CompleteFileRequest(
            path=path, len=length, client_name="test", only_flush=fields.pop("only_flush", False),
            **fields,
        )  # fmt: skip
        for block_id, (size, worker_id) in blocks.items():
            _commit(request.commit_blocks.add(), block_id, size, worker_id)
        return self.call(RpcCode.COMPLETE_FILE, request, master_pb2.CompleteFileResponse)

    def locations(self, path: str) -> common_pb2.FileBlocksProto:
        request = master_pb2.GetBlockLocationsRequest(path=path)
        code = RpcCode.GET_BLOCK_LOCATIONS
        return self.call(code, request, master_pb2.GetBlockLocationsResponse).blocks

    def info(self) -> master_pb2.GetFilesystemInfoResponse:
        return self.call(RpcCode.GET_FILESYSTEM_INFO, b"", master_pb2.GetFilesystemInfoResponse)

    def heartbeat(
        self,
        worker_id: int,
        status: int = 1,
        *,
        available: int = 1 << 40,
        port: int = 1,
        cluster_id: str = "mini",
    ) -> list[int]:
        """A heartbeat of a worker that only exists here; the blocks it is told to delete."""
        request = worker_pb2.WorkerHeartbeatRequest(
            cluster_id=cluster_id, worker_id=worker_id, fs_ctime=1, failed_dirs=0, status=status,
            software_version="test",
        )  # fmt: skip
        _address(request.address, worker_id, port)
        if status != 2:
            request.storages.add(
                dir_id=1, storage_id="s", failed=False, capacity=1 << 41, available=available,
                fs_used=0, non_fs_used=0, reserved_bytes=0, storage_type=1, block_num=0,
                dir_path="/d",
            )  # fmt: skip
        code = RpcCode.WORKER_HEARTBEAT
        reply = self.call(code, request, worker_pb2.WorkerHeartbeatResponse)
        return list(itertools.chain(*(cmd.delete_block.blocks for cmd in reply.cmds)))

    def report(
        self, worker_id: int, rows: dict[int, int], *, total: int | None = None
    ) -> list[int]:
        """A block report, full if ``total`` is given; ``rows``: id -> status 1, 2, 3."""
        request = worker_pb2.BlockReportListRequest(
            cluster_id="mini", worker_id=worker_id, full_report=total is not None,
            total_len=total or len(rows),
        )  # fmt: skip
        for block_id, status in rows.items():
            request.blocks.add(id=block_id, status=status, block_size=1, storage_type=1)
        code = RpcCode.WORKER_BLOCK_REPORT
        reply = self.call(code, request, worker_pb2.BlockReportListResponse)
        return list(itertools.chain(*(cmd.delete_block.blocks for cmd in reply.cmds)))


def opened(frame: Frame, reply: type[M]) -> M:
    """The message in a reply, or its error raised."""
    if response_status(frame.status) is not ResponseStatus.SUCCESS:
        raise decode_error(frame.data)
    message = reply.FromString(frame.header)
    assert message.IsInitialized(), f"required fields missing: {message.FindInitializationErrors()}"
    return message


def create_request(path: str, flags: int = 0x41, **opts: Any) -> master_pb2.CreateFileRequest:
    request = master_pb2.CreateFileRequest(path=path, flags=flags)
    fill_create_opts(request.opts, CreateOpts(**{"client_name": "test", **opts}))
    return request


def add_block_request(
    path: str, file_len: int = 0, last: int | None = None, **commit: Any
) -> master_pb2.AddBlockRequest:
    """``commit``: size and worker_id of the last block, to be committed along."""
    request = master_pb2.AddBlockRequest(path=path, located=True, file_len=file_len)
    request.client_address.CopyFrom(
        common_pb2.ClientAddressProto(client_name="test", hostname="here", ip_addr="", port=0)
    )
    if last is not None:
        request.last_block.CopyFrom(
            common_pb2.ExtendedBlockProto(id=last, block_size=0, storage_type=4, file_type=1)
        )
        if commit:
            _commit(request.commit_blocks.add(), last, commit["size"], commit["worker_id"])
    return request


def _commit(row: common_pb2.CommitBlockProto, block_id: int, size: int, worker_id: int) -> None:
    row.block_id = block_id
    row.block_len = size
    row.locations.add(worker_id=worker_id, storage_type=1)


def _address(out: common_pb2.WorkerAddressProto, worker_id: int, port: int) -> None:
    out.worker_id = worker_id
    out.hostname = f"worker{worker_id}"
    out.ip_addr = "127.0.0.1"
    out.rpc_port = port
    out.web_port = 0
