# SPDX-License-Identifier: Apache-2.0
"""How fast do bytes move between a client and a worker, beside a socket and the native file?

Remote streams of hot blocks are compared with ``iperf3`` over the same loopback (a plain socket
loop where iperf3 is missing), both sides pinned alike; reads and writes of local blocks with pread
and pwrite of a file on the same file system. Medians of rounds taken in turns. Targets: remote
read >= 0.9, local read >= 0.95, local write >= 0.8. The rows in CPU s/GiB count both sides; there,
less is more.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from report import Report

from curvine.testing.cluster import MiniCluster, free_port

GIB = 1 << 30
SIZE = 256 * 1024 * 1024
ROUNDS = int(os.environ.get("CURVINE_BENCH_ROUNDS", "5"))
SECONDS = 2
TICK = os.sysconf("SC_CLK_TCK")
Figure = tuple[float, float]  # bytes per second, CPU seconds per GiB
Reference = Callable[[int, str, str], Figure]

# One client process: reads or writes whole files with ``streams`` of them at once.
CLIENT = """
import asyncio, os, sys, time
from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.config.load import load
import uvloop

conf, action, streams, size, piece = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
more = dict(word.split("=") for word in sys.argv[6:])

async def read(fs, name):
    reader = await fs.open_read(name)
    for offset in range(0, size, piece):
        assert len(await reader.read(offset, piece)) == piece
    await reader.close()

async def write(fs, name):
    data = memoryview(os.urandom(piece))
    writer = await fs.create(name, block_size=max(size, 1 << 20))
    for offset in range(0, size, piece):
        await writer.write(offset, data)
    await writer.close()

async def delete(fs, name):
    if await fs.exists(name):
        await fs.delete(name, False)

async def main():
    loaded = load(conf, env={}, overrides={f"client.{k}": v for k, v in more.items()}).conf
    async with ClusterClient(loaded) as cluster:
        fs = UnifiedFileSystem(cluster)
        names = [f"/bench-{n}" for n in range(streams)]
        call = {"read": read, "write": write, "delete": delete}[action]
        if action == "read":
            await asyncio.gather(*(call(fs, name) for name in names))
        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(call(fs, name) for name in names))
        print(time.perf_counter() - began, time.process_time() - cpu)
        await fs.close()

uvloop.run(main())
"""

NATIVE = """
import os, sys, time
path, action, size, piece = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if action == "read":
    fd = os.open(path, os.O_RDONLY)
    run = lambda: [os.pread(fd, piece, offset) and None for offset in range(0, size, piece)]
    run()
else:
    data = os.urandom(piece)
    if os.path.exists(path):
        os.unlink(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    run = lambda: [os.pwrite(fd, data, offset) and None for offset in range(0, size, piece)]
cpu, began = time.process_time(), time.perf_counter()
run()
os.close(fd)
print(time.perf_counter() - began, time.process_time() - cpu)
"""

# The fallback for iperf3: one process sends, the other receives into one buffer.
SOCKET = """
import os, socket, sys, threading, time
port, streams, seconds, side = *map(int, sys.argv[1:4]), sys.argv[4]
if side == "send":
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    print("ready", flush=True)
    data = bytes(1 << 17)
    def send(peer):
        try:
            while True: peer.sendall(data)
        except OSError: pass
    threads = [threading.Thread(target=send, args=(listener.accept()[0],)) for _ in range(streams)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
else:
    total = [0] * streams
    def receive(n):
        peer, buffer = socket.create_connection(("127.0.0.1", port)), bytearray(1 << 17)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end: total[n] += peer.recv_into(buffer)
    threads = [threading.Thread(target=receive, args=(n,)) for n in range(streams)]
    began = time.perf_counter()
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(sum(total), time.perf_counter() - began)
"""


def cores() -> tuple[str, str]:
    """Where servers and where clients run; the same one on a machine with one core."""
    allowed = sorted(os.sched_getaffinity(0))
    return str(allowed[0]), str(allowed[-1])


def python(code: str, *arguments: object, core: str = "") -> list[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return ["taskset", "-c", core, *command] if core and shutil.which("taskset") else command


def output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def ours(
    cluster: MiniCluster, action: str, streams: int, piece: int, core: str, **client: object
) -> Figure:
    """A client of its own against the worker."""
    words = [f"{name}={value}" for name, value in client.items()]
    if action == "write":  # the worker frees what was there before, and not meanwhile
        output(python(CLIENT, cluster.conf_path, "delete", streams, SIZE, piece))
        time.sleep(1.5)
    worker = cluster.workers[0].pid
    before = cpu_of(worker)
    command = python(CLIENT, cluster.conf_path, action, streams, SIZE, piece, *words, core=core)
    seconds, cpu = map(float, output(command).split())
    total = SIZE * streams
    passes = 2 if action == "read" else 1  # the first one of a read warms up
    return total / seconds, (cpu + (cpu_of(worker) - before) / passes) * GIB / total


def native(path: Path, action: str, piece: int, core: str) -> Figure:
    seconds, cpu = map(float, output(python(NATIVE, path, action, SIZE, piece, core=core)).split())
    return SIZE / seconds, cpu * GIB / SIZE


def iperf(streams: int, sender: str, receiver: str) -> Figure:
    """iperf3 with the server as the sender, as a worker is."""
    port = free_port()
    server = subprocess.Popen(
        ["taskset", "-c", sender, "iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _until_open(port)
        words = ["-c", "127.0.0.1", "-p", str(port), "-R", "-t", str(SECONDS), "-P", str(streams)]
        found = json.loads(output(["taskset", "-c", receiver, "iperf3", "-J", *words]))
    finally:
        server.kill()
        server.wait()
    end = found["end"]
    received = end["sum_received"]
    load = end["cpu_utilization_percent"]
    cpu = (load["host_total"] + load["remote_total"]) / 100 * received["seconds"]
    return received["bytes"] / received["seconds"], cpu * GIB / received["bytes"]


def _until_open(port: int) -> None:
    """Wait until iperf3 listens, without taking its one connection."""
    wanted = f":{port:04X} "
    for _ in range(500):
        if wanted in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.01)
    raise RuntimeError("iperf3 does not listen")


def plain_sockets(streams: int, sender: str, receiver: str) -> Figure:
    """The same with a loop of our own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    send = subprocess.Popen(
        python(SOCKET, port, streams, SECONDS, "send", core=sender), stdout=subprocess.PIPE
    )
    try:
        assert send.stdout is not None
        send.stdout.readline()
        received, seconds = map(
            float, output(python(SOCKET, port, streams, SECONDS, "receive", core=receiver)).split()
        )
        cpu = cpu_of(send.pid)
    finally:
        send.kill()
        send.wait()
    return received / seconds, cpu * GIB / received


def median(figures: list[Figure]) -> Figure:
    return tuple(map(statistics.median, zip(*figures, strict=True)))  # type: ignore[return-value]


def compare(
    report: Report, case: str, name: str, mine: Callable[[], Figure], other: Callable[[], Figure]
) -> None:
    """Measure both in turns; a row for the speed and one for what it costs."""
    mines, others = [], []
    for _ in range(ROUNDS):
        mines.append(mine())
        others.append(other())
    speed, cost = median(mines)
    other_speed, other_cost = median(others)
    report.compare(case, speed, other_speed, unit="B/s", reference_name=name)
    report.compare(f"{case}, CPU", cost, max(other_cost, 1e-9), unit="s/GiB", reference_name=name)


def remote(
    report: Report, cluster: MiniCluster, streams: int, name: str, reference: Reference
) -> None:
    """Rows over TCP."""
    server_core, client_core = cores()
    ours(cluster, "write", streams, 1 << 20, client_core)
    for action in ("read", "write"):
        compare(
            report,
            f"remote {action}, {streams} streams",
            name,
            lambda a=action: ours(  # type: ignore[misc]  # a default binds the loop's variable
                cluster, a, streams, 1 << 20, client_core, short_circuit="false"
            ),
            lambda: reference(streams, server_core, client_core),
        )


def local(report: Report, cluster: MiniCluster, piece: int, native_file: Path) -> None:
    """Rows through the worker's descriptors."""
    core = cores()[1]
    ours(cluster, "write", 1, 1 << 20, core)
    native(native_file, "write", 1 << 20, core)
    for action, name in (("read", "pread"), ("write", "pwrite")):
        compare(
            report,
            f"local {action}, {piece >> 10} KiB",
            name,
            lambda a=action: ours(cluster, a, 1, piece, core),  # type: ignore[misc]  # as above
            lambda a=action: native(native_file, a, piece, core),  # type: ignore[misc]  # as above
        )


def main() -> None:
    """Run and report."""
    report = Report("data", __doc__ or "")
    server_core, _ = cores()
    name, reference = "iperf3", iperf
    if not (shutil.which("iperf3") and shutil.which("taskset")):
        name, reference = "plain sockets", plain_sockets
    with tempfile.TemporaryDirectory(prefix="curvine-bench-") as top:
        native_file = Path(top) / "native"
        with MiniCluster(Path(top) / "cluster") as cluster:
            pid = cluster.workers[0].pid
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), {int(server_core)})
            for streams in (1, 8):
                remote(report, cluster, streams, name, reference)
            for piece in (128 << 10, 1 << 20):
                local(report, cluster, piece, native_file)
    report.write()


if __name__ == "__main__":
    main()
