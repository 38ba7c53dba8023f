# SPDX-License-Identifier: Apache-2.0
"""How many metadata calls a second does one master process answer, beside an echo of equal frames?

A real master process and real sockets; the namespace holds 10,000 files of one block each, its log
survives kill -9 (``interval``: fsync once a second) or power loss as well (``always``: an answer
waits for the fsync it shares with the others). Shapes are connections x requests in flight on each.

References, in the same run and with frames of the same sizes: ``echo``, a uvloop protocol that
sends an answer's bytes for each request's bytes it gets and looks at nothing, and ``frames``, which
takes apart each prefix and packs each answer. The figures per CPU second are those of the server
process, all its threads: the steadier ones where a machine is shared.

``always`` is also run on a simulated slow disk: an fsync that takes at least 2.5 ms.
Usage: python benchmarks/metadata.py [seconds per cell [kind ...]]
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from metadata_load import LENGTH, PER_DIRECTORY, WORKER, load, path_of
from report import Report

from curvine.model.inode import CreateOpts, MkdirOpts
from curvine.testing.cluster import CLUSTER_ID, MASTER_READY, MiniCluster, Process
from curvine.wire import codes
from curvine.wire.codes import RpcCode
from curvine.wire.convert import fill_create_opts, fill_mkdir_opts
from curvine.wire.frame import PREFIX, PREFIX_SIZE, encode
from curvine.wire.pb import master_pb2, worker_pb2

_arguments = sys.argv[1:] if __name__ == "__main__" else []
SECONDS = float(_arguments[0]) if _arguments else 0.4
KINDS = _arguments[1:] or ["interval", "always", "slow"]
SHAPES = tuple((connections, depth) for connections in (1, 8, 40) for depth in (1, 16, 64))
FILES = 10_000
READS = ("stat", "list 100", "open")
WRITES = ("create", "rename", "delete")
SLOW_FSYNC = 0.0025  # seconds

Requests = Iterator[bytes]
_size_of = struct.Struct(">i").unpack_from


class Cell(NamedTuple):
    """One measured cell. Times in seconds."""

    rate: float  # calls a second
    per_cpu: float  # calls a CPU second of the server
    p50: float
    p99: float
    calls: int


# -- requests ------------------------------------------------------------------------------------


def frame(code: int, message: Any) -> bytes:
    """One request with a fresh id."""
    req_id = -(int.from_bytes(os.urandom(7), "big") + 2)
    return encode(code, codes.RPC, req_id, -1, message.SerializeToString())


def scattered(count: int) -> Iterator[int]:
    """0..count-1 over and over in an order without pattern."""
    at = 0
    while True:
        yield at
        at = (at + 6_700_417) % count


def stats() -> Requests:
    for number in scattered(FILES):
        yield frame(RpcCode.FILE_STATUS, master_pb2.GetFileStatusRequest(path=path_of(number)))


def lists() -> Requests:
    for number in scattered(FILES // PER_DIRECTORY):
        path = path_of(number * PER_DIRECTORY).rpartition("/")[0]
        request = master_pb2.ListOptionsRequest(path=path)
        request.options.limit = 100
        yield frame(RpcCode.LIST_OPTIONS, request)


def opens() -> Requests:
    for number in scattered(FILES):
        request = master_pb2.GetBlockLocationsRequest(path=path_of(number))
        yield frame(RpcCode.GET_BLOCK_LOCATIONS, request)


def creates(base: str) -> Requests:
    for number in range(10_000_000):
        request = master_pb2.CreateFileRequest(path=f"{base}/file-{number:08}", flags=0x41)
        fill_create_opts(request.opts, CreateOpts(client_name="bench", owner="user", group="group"))
        yield frame(RpcCode.CREATE_FILE, request)


def renames(base: str) -> Requests:
    for number in range(10_000_000):
        src, dst = f"{base}/file-{number:08}", f"{base}/moved-{number:07}"
        yield frame(RpcCode.RENAME, master_pb2.RenameRequest(src=src, dst=dst, flags=0))


def deletes(base: str) -> Requests:
    for number in range(10_000_000):
        request = master_pb2.DeleteRequest(path=f"{base}/moved-{number:07}", recursive=False)
        yield frame(RpcCode.DELETE, request)


def call(address: tuple[str, int], request: bytes) -> bytes:
    """One request on a connection of its own; the whole answer."""
    with socket.create_connection(address) as sock:
        sock.sendall(request)
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + _size_of(answer)[0]:
            answer += sock.recv(1 << 20)
    return answer


def make_directory(address: tuple[str, int], path: str) -> None:
    """mkdir."""
    request = master_pb2.MkdirRequest(path=path)
    fill_mkdir_opts(request.opts, MkdirOpts())
    call(address, frame(RpcCode.MKDIR, request))


def register_worker(address: tuple[str, int]) -> None:
    """A heartbeat of the worker that holds the blocks: locations need its address."""
    request = worker_pb2.WorkerHeartbeatRequest(
        cluster_id=CLUSTER_ID, worker_id=WORKER, fs_ctime=1, failed_dirs=0, status=1,
        software_version="bench",
    )  # fmt: skip
    row = request.address
    row.worker_id, row.hostname, row.ip_addr, row.rpc_port, row.web_port = (
        WORKER, "node-7", "10.0.0.7", 8997, 9001,
    )  # fmt: skip
    request.storages.add(
        dir_id=1, storage_id="s", failed=False, capacity=1 << 44, available=1 << 43,
        fs_used=LENGTH, non_fs_used=0, reserved_bytes=0, storage_type=1, block_num=0,
        dir_path="/d",
    )  # fmt: skip
    answer = call(address, frame(RpcCode.WORKER_HEARTBEAT, request))
    if answer[9] >> 4 == codes.ResponseStatus.ERROR:
        raise RuntimeError(f"the master refused the worker: {answer[PREFIX_SIZE:]!r}")


# -- the client ----------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Caller:
    """One connection that keeps ``depth`` requests in flight."""

    def __init__(self, address: tuple[str, int], depth: int) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.depth = depth
        self.rest = b""
        self.sent: deque[float] = deque()
        self.errors = 0

    def send(self, blob: bytes, count: int) -> None:
        self.sent.extend([time.perf_counter()] * count)
        self.sock.sendall(blob)

    def receive(self, times: list[float]) -> int:
        """Answers that have come; ``times`` gets how long each took."""
        data = self.rest + self.sock.recv(1 << 20)
        now, sent = time.perf_counter(), self.sent
        offset, end, count = 0, len(data), 0
        while end - offset >= PREFIX_SIZE:
            size = _size_of(data, offset)[0] + 4
            if offset + size > end:
                break
            if data[offset + 9] >> 4 == codes.ResponseStatus.ERROR:
                self.errors += 1
            times.append(now - sent.popleft())
            offset += size
            count += 1
        self.rest = data[offset:]
        return count


def ask(
    pid: int, address: tuple[str, int], shape: tuple[int, int], requests: Requests, seconds: float
) -> Cell:
    """Keep asking for some seconds; every answer has to be a good one.

    The requests are made before the clock starts and repeated from there if they run out (the
    readers'), or the cell ends when they do (those that can be asked once).
    """
    connections, depth = shape
    callers = {}
    poller = select.epoll()
    for _ in range(connections):
        caller = Caller(address, depth)
        poller.register(caller.sock.fileno(), select.EPOLLIN)
        callers[caller.sock.fileno()] = caller
    times: list[float] = []
    running = len(callers) * depth
    used = cpu_seconds(pid)
    begin = time.perf_counter()
    for caller in callers.values():
        caller.send(b"".join(next(requests) for _ in range(depth)), depth)
    end = begin + seconds
    while running:
        for fd, _ in poller.poll():
            caller = callers[fd]
            count = caller.receive(times)
            running -= count
            if count and time.perf_counter() < end:
                blob = [request for _, request in zip(range(count), requests, strict=False)]
                if blob:
                    caller.send(b"".join(blob), len(blob))
                    running += len(blob)
    elapsed = time.perf_counter() - begin
    used = cpu_seconds(pid) - used
    errors = sum(caller.errors for caller in callers.values())
    for caller in callers.values():
        caller.sock.close()
    if errors:
        raise RuntimeError(f"{errors} of {len(times)} answers were errors")
    count = len(times)
    times.sort()
    p50, p99 = times[count // 2], times[min(count - 1, count * 99 // 100)]
    return Cell(count / elapsed, count / max(used, 1e-6), p50, p99, count)


def looped(requests: Requests, count: int = 20_000) -> Requests:
    """``count`` requests made now, again and again: the client's cost is sending alone."""
    made = [next(requests) for _ in range(count)]
    while True:
        yield from made


# -- references ----------------------------------------------------------------------------------


class Echo(asyncio.Protocol):
    """Sends an answer's bytes for each request's bytes."""

    request_size = 0
    answer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.rest = 0

    def data_received(self, data: bytes) -> None:
        count, self.rest = divmod(self.rest + len(data), self.request_size)
        if count:
            self.transport.write(self.answer * count)


class Frames(Echo):
    """Takes apart each prefix and packs each answer."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        out, offset, end = [], 0, len(data)
        header = self.answer[PREFIX_SIZE:]
        while end - offset >= PREFIX_SIZE:
            total, _, code, status, req_id, seq_id = PREFIX.unpack_from(data, offset)
            if offset + 4 + total > end:
                break
            out.append(
                PREFIX.pack(18 + len(header), len(header), code, status, req_id, seq_id) + header
            )
            offset += 4 + total
        self.buffer = data[offset:]
        if out:
            self.transport.write(b"".join(out))


def serve(protocol: type[Echo], request: bytes, answer: bytes) -> tuple[int, tuple[str, int]]:
    """A reference server in a child process: (pid, address)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        port = int(os.read(reading, 16))
        os.close(reading)
        return pid, ("127.0.0.1", port)

    async def main() -> None:
        protocol.request_size, protocol.answer = len(request), answer
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        os.write(writing, str(server.sockets[0].getsockname()[1]).encode())
        await asyncio.sleep(3600)

    try:
        uvloop.run(main())
    finally:
        os._exit(1)


def measure_reference(
    protocol: type[Echo], request: bytes, answer: bytes
) -> dict[tuple[int, int], Cell]:
    """The reference's cells, for requests and answers of these sizes."""
    pid, address = serve(protocol, request, answer)
    try:
        again = looped(iter([request] * 2), 2)
        return {shape: ask(pid, address, shape, again, SECONDS / 2) for shape in SHAPES}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fsync_times(directory: Path, count: int = 100) -> tuple[float, float]:
    """(median, 99th percentile) seconds of one fdatasync after an append of 400 bytes."""
    times = []
    with (directory / "fsync-probe").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 400)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    times.sort()
    return statistics.median(times), times[count * 99 // 100]


class SlowMaster(Process):
    """A master on a disk whose fsync takes at least ``slow`` seconds."""

    def __init__(self, cluster: MiniCluster, slow: float) -> None:
        log = cluster.root / "master.log"
        super().__init__("master", "metadata_slow", cluster.conf_path, log, MASTER_READY)
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        os.environ["SLOW_FSYNC"] = str(slow)


# -- the run -------------------------------------------------------------------------------------


class Table:
    """Prints and keeps the cells of one kind of master."""

    def __init__(self, report: Report, kind: str) -> None:
        self.report = report
        self.kind = kind

    def row(self, name: str, shape: tuple[int, int], cell: Cell, **references: Cell) -> None:
        shape_name = f"{shape[0]} x {shape[1]}"
        beside = "".join(
            f"  {label} {ref.per_cpu / 1e3:7.1f}k ({cell.per_cpu / ref.per_cpu:.2f})"
            for label, ref in references.items()
        )
        print(
            f"  {name:<9} {shape_name:>8}  {cell.rate / 1e3:7.1f}k/s {cell.per_cpu / 1e3:7.1f}k/cpu"
            f" s{beside}  p50 {cell.p50 * 1e3:6.2f} p99 {cell.p99 * 1e3:7.2f} ms",
            flush=True,
        )
        self.report.rows.append(
            {
                "case": f"{self.kind}: {name}, {shape_name} in flight",
                "unit": "call/s",
                **cell._asdict(),
                "references": {label: ref._asdict() for label, ref in references.items()},
            }
        )


def run_reads(cluster: MiniCluster, table: Table) -> None:
    """stat, list, open, each beside both echoes."""
    address = cluster.master_address
    register_worker(address)
    for name, source in zip(READS, (stats, lists, opens), strict=True):
        request = next(source())
        answer = call(address, request)
        echo = measure_reference(Echo, request, answer)
        frames = measure_reference(Frames, request, answer)
        requests = looped(source())
        for shape in SHAPES:
            cell = ask(cluster.master.pid, address, shape, requests, SECONDS)
            table.row(name, shape, cell, echo=echo[shape], frames=frames[shape])


def run_writes(cluster: MiniCluster, table: Table, shapes: tuple[tuple[int, int], ...]) -> None:
    """create, rename, delete; what one shape created is renamed and deleted by the same."""
    address, pid = cluster.master_address, cluster.master.pid
    sources: dict[str, Callable[[str], Requests]] = dict(
        zip(WRITES, (creates, renames, deletes), strict=True)
    )
    references = {}
    for name, source in sources.items():
        base = f"/probe-{os.getpid():08}"
        request = next(source(base))
        if name == "create":
            make_directory(address, base)
        answer = call(address, request)
        references[name] = (
            measure_reference(Echo, request, answer),
            measure_reference(Frames, request, answer),
        )
    for shape in shapes:
        base = f"/base-{shape[0]:04}-{shape[1]:04}"
        make_directory(address, base)
        made_now = 0
        for name, source in sources.items():
            budget = made_now or int(60_000 * max(SECONDS, 0.1)) + 4000
            requests = [r for r, _ in zip(source(base), range(budget), strict=False)]
            cell = ask(pid, address, shape, iter(requests), SECONDS)
            made_now = cell.calls
            echo, frames = references[name]
            table.row(name, shape, cell, echo=echo[shape], frames=frames[shape])


def run(report: Report, kind: str, sync: str, slow: float = 0.0) -> None:
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as place:
        root = Path(place)
        load(root / "meta" / "namespace", FILES)
        median, p99 = fsync_times(root)
        print(
            f"\n{kind}: fsync of this disk {median * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms"
            + (f", made to take {slow * 1e3:.1f} ms" if slow else "")
        )
        report.rows.append({"case": f"{kind}: fsync", "median": median, "p99": p99})
        cluster = MiniCluster(root, workers=0, settings={"journal": {"sync": sync}})
        if slow:
            cluster.master = SlowMaster(cluster, slow)
        with cluster:
            table = Table(report, kind)
            if sync == "interval":
                run_reads(cluster, table)
            run_writes(cluster, table, ((1, 64), (8, 64)) if slow else SHAPES)


def main() -> None:
    """Run and report."""
    report = Report("metadata", __doc__ or "")
    if "interval" in KINDS:
        run(report, "interval", "interval")
    if "always" in KINDS:
        run(report, "always", "always")
    if "slow" in KINDS:
        run(report, "always, slow disk", "always", SLOW_FSYNC)
    report.write()


if __name__ == "__main__":
    main()
