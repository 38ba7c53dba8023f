# SPDX-License-Identifier: Apache-2.0
"""How fast does the S3 gateway give and take objects, beside nginx with the same files?

GET and PUT of 64 KiB and 64 MiB over 1, 8 and 32 connections that are kept open. One gateway
process (presigned requests, so each signature is verified; PUTs are hashed for their ETag) beside
one nginx worker (static files by sendfile, PUT by its WebDAV module), the same client, the same
contents, the same file system, in turns. The rows in CPU s count the servers: gateway, worker and
master, or nginx; there, less is more.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore.client import Config
from report import Report

from curvine.testing.cluster import MiniCluster, free_port
from curvine.testing.s3_gateway import ACCESS_KEY, SECRET_KEY, MiniGateway

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"64 KiB": 64 * KIB, "64 MiB": 64 * MIB}
CONNECTIONS = (1, 8, 32)
ROUNDS = int(os.environ.get("CURVINE_BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("CURVINE_BENCH_SECONDS", "1.5"))
TICK = os.sysconf("SC_CLK_TCK")

# method, address, size, connections, seconds; then one target a line. Prints requests a second.
CLIENT = """
import socket, sys, threading, time
method, host, port, size, count, seconds = sys.argv[1:7]
size, count, seconds = int(size), int(count), float(seconds)
targets = sys.stdin.read().split()
body = bytes(range(256)) * (size // 256)
done, ends = [0] * count, time.perf_counter() + seconds

def run(n):
    sock = socket.create_connection((host, int(port)))
    buffer = memoryview(bytearray(1 << 20))
    turn = n
    while time.perf_counter() < ends or not done[n]:
        head = f"{method} {targets[turn % len(targets)]} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n"
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


class Server:
    """One side. ``targets``: what to ask for, by method and size."""

    def __init__(self, address: str, pids: Sequence[int]) -> None:
        self.address = address
        self.pids = pids
        self.targets: dict[tuple[str, int], list[str]] = {}

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
            command, input="\n".join(self.targets[method, size]), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        rate = float(done.stdout)
        spent = time.perf_counter() - began
        return rate, (self.cpu() - before) / max(rate * min(spent, SECONDS), 1) * 1000


def gateway_server(gateway: MiniGateway, cluster: MiniCluster) -> Server:
    pids = [gateway.pid, cluster.master.pid, *(worker.pid for worker in cluster.workers)]
    server = Server(gateway.endpoint.removeprefix("http://"), pids)
    s3 = boto3.client(
        "s3", endpoint_url=gateway.endpoint, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        config=Config(signature_version="s3v4"),
    )  # fmt: skip
    s3.create_bucket(Bucket="bench")
    for size in SIZES.values():
        for n in range(32 if size < MIB else 4):
            s3.put_object(Bucket="bench", Key=f"{size}/{n}", Body=bytes(range(256)) * (size // 256))
        for method, call in (("GET", "get_object"), ("PUT", "put_object")):
            keys = [f"{size}/{n}" for n in range(32 if size < MIB else 4)]
            if method == "PUT":
                keys = [f"new/{key}" for key in keys]
            urls = [
                s3.generate_presigned_url(call, Params={"Bucket": "bench", "Key": key})
                for key in keys
            ]
            server.targets[method, size] = [url.removeprefix(gateway.endpoint) for url in urls]
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
        names = [f"{size}/{n}" for n in range(32 if size < MIB else 4)]
        for name in names:
            (root / "files" / name).write_bytes(bytes(range(256)) * (size // 256))
        server.targets["GET", size] = [f"/{name}" for name in names]
        server.targets["PUT", size] = [f"/new/{name}" for name in names]
    return server, nginx


def main() -> int:
    if shutil.which("nginx") is None:
        print("s3: nginx is missing (Debian: nginx-light)", file=sys.stderr)
        return 1
    report = Report("s3", __doc__ or "")
    with tempfile.TemporaryDirectory(dir=os.environ.get("CURVINE_BENCH_DIR")) as directory:
        root = Path(directory)
        root.chmod(0o755)
        with MiniCluster(root / "cluster") as cluster, MiniGateway(cluster) as gateway:
            ours = gateway_server(gateway, cluster)
            theirs, nginx = nginx_server(root / "nginx")
            try:
                for method in ("GET", "PUT"):
                    for label, size in SIZES.items():
                        for connections in CONNECTIONS:
                            _row(report, ours, theirs, method, label, size, connections)
            finally:
                nginx.terminate()
                nginx.wait()
    report.write()
    return 0


def _row(
    report: Report, ours: Server, theirs: Server, method: str, label: str, size: int, count: int
) -> None:
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        found["ours"].append(ours.measure(method, size, count))
        found["theirs"].append(theirs.measure(method, size, count))
    rate = {who: statistics.median(row[0] for row in rows) for who, rows in found.items()}
    cpu = {who: statistics.median(row[1] for row in rows) for who, rows in found.items()}
    case, name = f"{method} {label} x{count}", "nginx"
    report.compare(
        case, rate["ours"] * size, rate["theirs"] * size, unit="B/s", reference_name=name
    )
    if cpu["theirs"]:
        report.compare(
            f"  CPU of {case}", cpu["ours"], cpu["theirs"], unit="s/1000", reference_name=name
        )


if __name__ == "__main__":
    sys.exit(main())
