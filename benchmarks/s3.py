# SPDX-License-Identifier: Apache-2.0
"""How fast does the S3 gateway give and take objects, beside nginx and other S3 servers?

GET and PUT of 64 KiB and 64 MiB over 1, 8 and 32 connections that are kept open; the same client,
contents and file system, in turns. One gateway process beside

- one nginx worker: static files by sendfile, PUT by its WebDAV module, no signatures;
- SeaweedFS (``weed server -s3``, all cores) and ``rclone serve s3`` (all cores), with the same
  signed requests.

Each signature is verified and each PUT hashed for its ETag, but by nginx. Rows in CPU s count all
processes of a server (gateway, worker and master of ours); there, less is more.
CURVINE_BENCH_SIZES=small leaves out the 64 MiB; CURVINE_BENCH_CONNECTIONS=8 all but 8 connections.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials
from report import Report

from curvine.testing.cluster import MiniCluster, free_port
from curvine.testing.object_servers import ACCESS, SECRET, SeaweedServer, program
from curvine.testing.s3_gateway import ACCESS_KEY, SECRET_KEY, MiniGateway

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"64 KiB": 64 * KIB, "64 MiB": 64 * MIB}
if os.environ.get("CURVINE_BENCH_SIZES") == "small":
    del SIZES["64 MiB"]
CONNECTIONS = tuple(map(int, os.environ.get("CURVINE_BENCH_CONNECTIONS", "1,8,32").split(",")))
ROUNDS = int(os.environ.get("CURVINE_BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("CURVINE_BENCH_SECONDS", "1.5"))
TICK = os.sysconf("SC_CLK_TCK")

# method, address, size, connections, seconds; then JSON: [[target, headers], ...]. Prints requests
# a second.
CLIENT = """
import json, socket, sys, threading, time
method, host, port, size, count, seconds = sys.argv[1:7]
size, count, seconds = int(size), int(count), float(seconds)
targets = json.load(sys.stdin)
body = bytes(range(256)) * (size // 256)
done, ends = [0] * count, time.perf_counter() + seconds

def run(n):
    sock = socket.create_connection((host, int(port)))
    buffer = memoryview(bytearray(1 << 20))
    turn = n
    while time.perf_counter() < ends or not done[n]:
        target, headers = targets[turn % len(targets)]
        head = f"{method} {target} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n{headers}"
        turn += 1
        if method == "PUT":
            head += f"Content-Length: {size}\\r\\n"
        sock.sendall(head.encode() + b"\\r\\n")
        if method == "PUT":
            sock.sendall(body)
        got = b""
        while b"\\r\\n\\r\\n" not in got:
            piece = sock.recv(65536)
            assert piece, "the server closed the connection"
            got += piece
        head, _, rest = got.partition(b"\\r\\n\\r\\n")
        assert head[9:12] in (b"200", b"201", b"204"), head
        left = 0
        for line in head.lower().split(b"\\r\\n"):
            if line.startswith(b"content-length:"):
                left = int(line.split(b":")[1]) - len(rest)
        assert method == "PUT" or left + len(rest) == size
        while left > 0:
            left -= sock.recv_into(buffer, min(left, len(buffer)))
        done[n] += 1

began = time.perf_counter()
threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert all(done), "a connection has failed"
print(sum(done) / (time.perf_counter() - began))
"""

NGINX = """
worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log; user root;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; client_max_body_size 0; keepalive_requests 1000000;
    client_body_temp_path {root}/temp;
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {root}/files; dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


class UnsignedPayload(S3SigV4Auth):
    """Signs a request whose body is not known yet."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


class Server:
    """One side. ``targets``: what to ask for, by method and size."""

    def __init__(self, address: str, pids: Sequence[int]) -> None:
        self.address = address
        self.pids = pids
        self.targets: dict[tuple[str, int], list[tuple[str, str]]] = {}

    def cpu(self) -> float:
        """CPU seconds so far."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def measure(self, method: str, size: int, connections: int) -> tuple[float, float]:
        """(requests a second, CPU seconds a thousand requests)."""
        host, port = self.address.split(":")
        before, began = self.cpu(), time.perf_counter()
        arguments = map(str, (method, host, port, size, connections, SECONDS))
        command = [sys.executable, "-c", CLIENT, *arguments]
        done = subprocess.run(
            command, input=json.dumps(self.targets[method, size]), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        rate = float(done.stdout)
        spent = time.perf_counter() - began
        return rate, (self.cpu() - before) / max(rate * min(spent, SECONDS), 1) * 1000


def count_of(size: int) -> int:
    """How many objects there are of a size."""
    return 32 if size < MIB else 4


def s3_server(endpoint: str, pids: Sequence[int], access: str, secret: str) -> Server:
    """A server that speaks S3, with its objects; every request is signed once, which is good for
    fifteen minutes."""
    server = Server(endpoint.removeprefix("http://"), pids)
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(
            signature_version="s3v4", s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
        ),
    )  # fmt: skip
    s3.create_bucket(Bucket="bench")
    signer = UnsignedPayload(Credentials(access, secret), "s3", "us-east-1")
    for size in SIZES.values():
        keys = [f"{size}/{n}" for n in range(count_of(size))]
        for key in keys:
            s3.put_object(Bucket="bench", Key=key, Body=bytes(range(256)) * (size // 256))
        for method, prefix in (("GET", ""), ("PUT", "new/")):
            rows = server.targets[method, size] = []
            for key in keys:
                target = f"/bench/{prefix}{key}"
                request = AWSRequest(method, endpoint + target)
                signer.add_auth(request)
                heads = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
                rows.append((target, heads))
    return server


def nginx_server(root: Path) -> tuple[Server, subprocess.Popen[bytes]]:
    for name in ("files", "temp"):
        (root / name).mkdir(parents=True)
    port = free_port()
    (root / "nginx.conf").write_text(NGINX.format(root=root, port=port))
    nginx = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf")])
    children = Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children")
    while not children.read_text().split():
        time.sleep(0.05)
    server = Server(f"127.0.0.1:{port}", [nginx.pid, *map(int, children.read_text().split())])
    for size in SIZES.values():
        (root / "files" / str(size)).mkdir()
        names = [f"{size}/{n}" for n in range(count_of(size))]
        for name in names:
            (root / "files" / name).write_bytes(bytes(range(256)) * (size // 256))
        server.targets["GET", size] = [(f"/{name}", "") for name in names]
        server.targets["PUT", size] = [(f"/new/{name}", "") for name in names]
    return server, nginx


@contextlib.contextmanager
def rclone_server(root: Path) -> Iterator[Server]:
    """``rclone serve s3`` over a directory."""
    (root / "files").mkdir(parents=True)
    port = free_port()
    command = [
        program("rclone") or "rclone", "serve", "s3", str(root / "files"),
        "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}", "--log-level", "ERROR",
    ]  # fmt: skip
    environ = {**os.environ, "RCLONE_CONFIG": str(root / "none")}
    with (root / "log").open("wb") as log:
        rclone = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if rclone.poll() is not None:
                    raise RuntimeError((root / "log").read_text()) from None
                time.sleep(0.05)
        yield s3_server(f"http://127.0.0.1:{port}", [rclone.pid], ACCESS, SECRET)
    finally:
        rclone.terminate()
        rclone.wait()


@contextlib.contextmanager
def nginx_process(root: Path) -> Iterator[Server]:
    """nginx, until the end of the block."""
    server, nginx = nginx_server(root)
    try:
        yield server
    finally:
        nginx.terminate()
        nginx.wait()


def main() -> int:
    if shutil.which("nginx") is None:
        print("s3: nginx is missing (Debian: nginx-light)", file=sys.stderr)
        return 1
    report = Report("s3", __doc__ or "")
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("CURVINE_BENCH_DIR")) as directory,
        contextlib.ExitStack() as stack,
    ):
        root = Path(directory)
        root.chmod(0o755)
        cluster = stack.enter_context(MiniCluster(root / "cluster"))
        gateway = stack.enter_context(MiniGateway(cluster))
        pids = [gateway.pid, cluster.master.pid, *(worker.pid for worker in cluster.workers)]
        ours = s3_server(gateway.endpoint, pids, ACCESS_KEY, SECRET_KEY)
        others = {"nginx": stack.enter_context(nginx_process(root / "nginx"))}
        if program("weed"):
            weed = SeaweedServer(root / "weed")
            weed.start()
            stack.callback(weed.kill)
            others["weed"] = s3_server(weed.endpoint, [weed.pid], ACCESS, SECRET)
        if program("rclone"):
            others["rclone"] = stack.enter_context(rclone_server(root / "rclone"))
        for method in ("GET", "PUT"):
            for label in SIZES:
                for connections in CONNECTIONS:
                    _rows(report, ours, others, method, label, connections)
    report.write()
    return 0


def _rows(
    report: Report, ours: Server, others: dict[str, Server], method: str, label: str, count: int
) -> None:
    """One case: requests a second and CPU time beside every other server, all in turns."""
    size = SIZES[label]
    servers = {"": ours, **others}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            found[name].append(server.measure(method, size, count))
    rate = {name: statistics.median(row[0] for row in rows) for name, rows in found.items()}
    cpu = {name: statistics.median(row[1] for row in rows) for name, rows in found.items()}
    case = f"{method} {label} x{count}"
    for name in others:
        report.compare(case, rate[""] * size, rate[name] * size, unit="B/s", reference_name=name)
    for name in others:
        if cpu[name]:
            row = f"  CPU of {case}"
            report.compare(row, cpu[""], cpu[name], unit="s/1000", reference_name=name)


if __name__ == "__main__":
    sys.exit(main())
