# SPDX-License-Identifier: Apache-2.0
"""Damaged requests to handlers and to running servers: an answer each, no crash, hang or growth.

An exception that is not of our catalogue would reach a client as an error as well; here it fails,
because it means that a handler believed something that it had not checked.
"""

from __future__ import annotations

import asyncio
import random
import resource
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from fuzz_corpus import SECONDS, SEED, budget, damaged, filled, golden
from google.protobuf import text_format

from curvine.clock import ManualClock
from curvine.config.load import load
from curvine.errors import CurvineError
from curvine.master.dispatch import StreamRow, handlers
from curvine.master.server import MasterServer, limits_of
from curvine.master.table import ROWS
from curvine.metadata import Namespace
from curvine.testing.cluster import MiniCluster
from curvine.ufs.registry import open_ufs
from curvine.wire import codes
from curvine.wire.frame import Frame, encode
from master_wire import WireClient

pytestmark = pytest.mark.timeout(120 + 2 * SECONDS)

SLOW = 1.0  # seconds of computing that a call may take
HANG = 20.0  # seconds by the clock; a busy machine lets a process wait for whole seconds
GROWTH = 256 << 20  # bytes of resident memory


class Peer:
    """A connection, as far as handlers look at one."""

    peer = "10.0.0.9"
    session = None
    exempt_from_idle = False
    backlog = 0

    def on_close(self, _callback: object) -> None:
        """Nothing closes."""

    def flush(self) -> None:
        """Nothing waits here."""

    def send(self, *_frame: object) -> None:
        """Nobody listens."""


async def ask(handler: Any, frame: Frame) -> None:
    """One call to its end, or to the end of our patience (a call may wait for a worker)."""
    reply = handler(Peer(), frame)
    if isinstance(reply, bytes):
        return
    task = asyncio.ensure_future(reply)
    done, _ = await asyncio.wait([task], timeout=0.05)
    if not done:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return
    assert isinstance(task.result(), bytes)


async def fuzz_handlers(root: Path) -> int:
    rng = random.Random(SEED + 3)
    overrides = {"master.meta_dir": str(root), "cluster_id": "unit"}
    conf = load(None, env={"HOME": str(root)}, overrides=overrides).conf
    namespace = Namespace(str(root / "ns"), clock=ManualClock(), limits=limits_of(conf))
    server = MasterServer(conf, ManualClock(), namespace, open_ufs)
    table = handlers(ROWS, server.services)
    calls = 0
    try:
        for _ in budget():
            row = rng.choice(ROWS)
            message = filled(rng, row.request)
            raw = message.SerializePartialToString()
            if rng.random() < 0.3:
                raw = damaged(rng, raw)
            status = codes.OPEN if isinstance(row, StreamRow) else codes.RPC
            frame = Frame(row.code, status, rng.choice((-5, -6, 0, rng.getrandbits(62))), -1, raw)
            begun, computed = time.monotonic(), time.thread_time()
            try:
                await ask(table[row.code], frame)
            except CurvineError:
                pass
            except Exception as error:
                text = text_format.MessageToString(message, as_one_line=True)
                raise AssertionError(f"{row.code.name} {raw.hex()} ({text})") from error
            assert time.thread_time() - computed < SLOW, (row.code.name, raw.hex())
            assert time.monotonic() - begun < HANG, (row.code.name, raw.hex())
            calls += 1
            if calls % 5000 == 0:  # the tree must not grow without end
                for name in namespace.list_status("/"):
                    try:
                        namespace.delete(name.path, recursive=True)
                    except CurvineError:
                        continue  # a mount point
                while namespace.reclaim_step():
                    pass
        namespace.status("/")
        namespace.counts()
    finally:
        await server.close()
        namespace.close()
    return calls


def test_damaged_requests_to_every_handler(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls = asyncio.run(fuzz_handlers(tmp_path))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"{calls} calls, {grown >> 20} MiB more memory")
    assert grown < GROWTH


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_damaged_frames_to_running_servers(tmp_path: Path) -> None:
    """Master and worker take whatever comes over a socket, and still serve the next."""
    rng, frames = random.Random(SEED + 4), golden()
    rows = [row for row in ROWS if not isinstance(row, StreamRow)]
    with MiniCluster(tmp_path) as cluster:
        addresses = [cluster.master_address, ("127.0.0.1", cluster.worker_ports[0])]
        pids = [cluster.master.pid, cluster.workers[0].pid]
        before = [resident(pid) for pid in pids]
        for _ in budget():
            stream = b"".join(damaged(rng, rng.choice(frames)) for _ in range(rng.randint(1, 8)))
            if rng.random() < 0.5:
                row = rng.choice(rows)
                raw = damaged(rng, filled(rng, row.request).SerializePartialToString())
                stream = encode(row.code, codes.RPC, rng.getrandbits(60), -1, raw) + stream
            throw(rng, rng.choice(addresses), stream)
        with WireClient(cluster.master_address) as wire:
            assert wire.status("/").is_dir
        socket.create_connection(addresses[1], 5).close()
        assert cluster.master.running
        assert cluster.workers[0].running
        for pid, bytes_before in zip(pids, before, strict=True):
            assert resident(pid) - bytes_before < GROWTH
        assert "Traceback" not in cluster.logs(), cluster.logs()


def throw(rng: random.Random, address: tuple[str, int], stream: bytes) -> None:
    """Send, perhaps read a little, and hang up in one of several ways."""
    with socket.create_connection(address, 5) as sock:
        try:
            at = 0
            while at < len(stream):
                size = rng.choice((1, 22, 100, 1 << 16))
                sock.sendall(stream[at : at + size])
                at += size
            sock.settimeout(rng.choice((0.001, 0.01)))
            sock.recv(1 << 16)
        except OSError:
            return  # refused, or nothing to say
