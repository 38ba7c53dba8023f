# SPDX-License-Identifier: Apache-2.0
"""A real worker process and a raw socket to it, for tests that speak frames."""

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curvine.errors import CurvineError
from curvine.testing.cluster import free_port
from curvine.wire import codes
from curvine.wire.frame import MAX_REPLY_HEADER, Frame, FrameDecoder, encode
from curvine.wire.pb import worker_pb2
from curvine.wire.status import decode_error

CLUSTER = "worker-test"
BLOCK = 16793993216  # of inode 1001, as in the vectors
CAPACITY = 128 * 1024 * 1024


class WorkerProcess:
    """``curvine-worker`` on free ports, its master not there unless ``master_port`` is."""

    def __init__(
        self,
        root: Path,
        data_dirs: tuple[str, ...] = ("data",),
        *,
        master_port: int | None = None,
        extra: str = "",
    ) -> None:
        self.root = root
        self.port = free_port()
        self.dirs = [root / entry.rpartition("]")[2] for entry in data_dirs]
        entries = [
            f'"{entry[: len(entry) - len(path.name)]}{path}"'
            for entry, path in zip(data_dirs, self.dirs, strict=True)
        ]
        self.conf = root / "worker.toml"
        self.conf.write_text(
            f'cluster_id = "{CLUSTER}"\nformat_worker = false\n'
            f"[master]\nhostname = '127.0.0.1'\nrpc_port = {master_port or free_port()}\n"
            'heartbeat_interval = "200ms"\n'
            f'[worker]\nhostname = "127.0.0.1"\nrpc_port = {self.port}\n'
            f"data_dir = [{', '.join(entries)}]\n{extra}"
        )
        self._child: subprocess.Popen[bytes] | None = None
        self.log = root / "worker.log"

    def start(self, until: str = "curvine-worker serving") -> WorkerProcess:
        since = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as sink:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "curvine.worker.run", "--conf", str(self.conf)],
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 20
        while until not in self.log.read_text()[since:]:
            assert self._child.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        child.send_signal(number)
        try:
            return child.wait(10)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()

    def worker_id(self) -> int:
        text = (self.dirs[0] / CLUSTER / "version").read_text()
        return int(next(x for x in text.splitlines() if x.startswith("worker_id")).split("=")[1])

    def active(self, block: int = BLOCK, which: int = 0) -> Path:
        inner = f"active/b{(block >> 48) & 31}/b{(block >> 32) & 31}/blk_{block}"
        return self.dirs[which] / CLUSTER / inner

    def staging(self, block: int = BLOCK, which: int = 0) -> Path:
        return self.dirs[which] / CLUSTER / "staging" / f"blk_{block}"


@contextmanager
def running_worker(root: Path, *args: object, **more: object) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(root, *args, **more)  # type: ignore[arg-type]
    try:
        yield worker.start()
    finally:
        worker.stop(signal.SIGKILL)


class Peer:
    """A blocking connection that sends frames and reads frames."""

    def __init__(self, worker: WorkerProcess, *, local: bool = False) -> None:
        if local:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(f"\0curvine/{CLUSTER}/{worker.worker_id()}/{worker.port}")
        else:
            self.sock = socket.create_connection(("127.0.0.1", worker.port))
        self.sock.settimeout(10)
        self._decoder = FrameDecoder(MAX_REPLY_HEADER)
        self._frames: list[Frame] = []
        self.fds: list[int] = []
        self.req_id = 7
        self.seq = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        for fd in self.fds:
            os.close(fd)

    def send(self, raw: bytes) -> None:
        self.sock.sendall(raw)

    def next_frame(self) -> Frame:
        while not self._frames:
            data, ancillary, _, _ = self.sock.recvmsg(1 << 20, socket.CMSG_SPACE(16))
            assert data, "the worker closed the connection"
            for _, _, raw in ancillary:
                self.fds.extend(array.array("i", raw[: len(raw) - len(raw) % 4]))
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def ask(self, code: int, status: int, header: bytes = b"", data: bytes = b"") -> Frame:
        """One request of the current stream; raises the error that the reply carries."""
        if status == codes.OPEN:
            self.seq = 0
        else:
            self.seq += 1
        self.send(encode(code, status, self.req_id, self.seq, header, data))
        reply = self.next_frame()
        assert (reply.code, reply.req_id, reply.seq_id) == (code, self.req_id, self.seq)
        if reply.status >> 4:
            raise decode_error(reply.data)
        assert reply.status == status & 0x0F
        return reply

    # --- streams --------------------------------------------------------------------------------

    def open_write(
        self, block: int = BLOCK, length: int = 0, off: int = 0, **more: object
    ) -> worker_pb2.BlockWriteResponse:
        request = write_request(block, length, off=off, **more)
        header = self.ask(80, codes.OPEN, request.SerializeToString()).header
        return worker_pb2.BlockWriteResponse.FromString(header)

    def put(self, data: bytes, at: int | None = None) -> None:
        self.ask(80, codes.RUNNING, b"" if at is None else seek(at), data)

    def commit(self, length: int, block: int = BLOCK, **more: object) -> None:
        self.ask(80, codes.COMPLETE, write_request(block, length, **more).SerializeToString())

    def cancel(self, block: int = BLOCK) -> None:
        self.ask(80, codes.CANCEL, write_request(block, 0).SerializeToString())

    def write_block(self, data: bytes, block: int = BLOCK, **more: object) -> None:
        self.open_write(block, **more)
        for start in range(0, len(data), 1 << 20):
            self.put(data[start : start + (1 << 20)])
        self.commit(len(data), block, **more)

    def open_read(
        self, length: int, block: int = BLOCK, **more: object
    ) -> worker_pb2.BlockReadResponse:
        request = worker_pb2.BlockReadRequest(
            id=block, off=0, len=length, chunk_size=131072, short_circuit=False,
            enable_read_ahead=True, read_ahead_len=1 << 20, drop_cache_len=1 << 20,
        )  # fmt: skip
        for name, value in more.items():
            setattr(request, name, value)
        header = self.ask(81, codes.OPEN, request.SerializeToString()).header
        return worker_pb2.BlockReadResponse.FromString(header)

    def get(self, at: int | None = None) -> bytes:
        return bytes(self.ask(81, codes.RUNNING, b"" if at is None else seek(at)).data)

    def read_block(self, length: int, block: int = BLOCK) -> bytes:
        self.open_read(length, block)
        data = b""
        while len(data) < length:
            data += self.get()
        self.ask(81, codes.COMPLETE, worker_pb2.BlockReadRequest(
            id=block, off=0, len=0, chunk_size=0, short_circuit=False, enable_read_ahead=True,
            read_ahead_len=0, drop_cache_len=0,
        ).SerializeToString())  # fmt: skip
        return data

    def fails(self, call: object, *args: object, **more: object) -> CurvineError:
        """The error that a call is answered with."""
        try:
            call(*args, **more)  # type: ignore[operator]
        except CurvineError as error:
            return error
        raise AssertionError("the worker accepted it")


def write_request(
    block: int,
    length: int,
    *,
    off: int = 0,
    capacity: int = CAPACITY,
    short_circuit: bool = False,
    alloc: dict[str, object] | None = None,
    sync: bool = False,
    resume: bool = False,
    storage: int = 4,
) -> worker_pb2.BlockWriteRequest:
    request = worker_pb2.BlockWriteRequest(
        off=off, block_size=capacity, short_circuit=short_circuit, client_name="t",
        chunk_size=131072,
    )  # fmt: skip
    request.block.id = block
    request.block.block_size = length
    request.block.storage_type = storage  # type: ignore[assignment]
    request.block.file_type = 1  # type: ignore[assignment]
    if alloc is not None:
        for name, value in ({"truncate": True, "off": 0, "mode": 0} | alloc).items():
            setattr(request.block.alloc_opts, name, value)
    if sync:
        request.sync = True
    if resume:
        request.resume = True
    return request


def seek(offset: int, flush: bool = False) -> bytes:
    return worker_pb2.DataHeaderProto(offset=offset, flush=flush, is_last=False).SerializeToString()
