# SPDX-License-Identifier: Apache-2.0
"""Block streams against a real worker process on a real socket: golden frames and every rule of
data-plane specification 1 and 2."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine.errors import BlockNotFound, Common, DiskOutOfSpace, InvalidFileSize, IoFailed
from curvine.wire import codes
from curvine.wire.frame import encode
from curvine.wire.pb import worker_pb2
from worker_wire import (
    BLOCK,
    CAPACITY,
    Peer,
    WorkerProcess,
    running_worker,
    seek,
    write_request,
)

VECTORS = {
    row["name"]: row
    for row in json.loads(
        (Path(__file__).parent.parent / "data" / "vectors" / "data.json").read_text()
    )["vectors"]
}


def frame(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["frame_hex"])


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with running_worker(tmp_path_factory.mktemp("worker")) as process:
        yield process


@pytest.fixture
def peer(worker: WorkerProcess) -> Iterator[Peer]:
    for leftover in (BLOCK, BLOCK + 1):
        with Peer(worker) as cleaner:
            cleaner.cancel(leftover)
            cleaner.cancel(leftover)
    with Peer(worker) as fresh:
        yield fresh


def raw(peer: Peer) -> bytes:
    reply = peer.next_frame()
    return encode(reply.code, reply.status, reply.req_id, reply.seq_id, reply.header, reply.data)


class TestGoldenFrames:
    """Recorded requests are answered with the recorded replies, byte for byte where no text is."""

    def open_like(self, peer: Peer, name: str, **more: object) -> None:
        """An Open with the ids of the golden frame ``name``."""
        peer.req_id = int(VECTORS[name]["req_id"])
        peer.open_write(**more)

    def test_write(self, worker: WorkerProcess, peer: Peer) -> None:
        self.open_like(peer, "write_complete_request")
        for name in (
            "write_running_request_sequential",
            "write_running_request_seek_and_data",
            "write_flush_request",
        ):
            peer.send(frame(name))
            reply = peer.next_frame()
            assert (reply.code, reply.status, reply.header, reply.data) == (80, 3, b"", b"")
            assert (reply.req_id, reply.seq_id) == (peer.req_id, VECTORS[name]["seq_id"])
        peer.send(frame("write_complete_request"))
        assert raw(peer) == frame("write_complete_response")
        assert worker.active().read_bytes() == b"curvWXYZ"

    def test_cancel(self, worker: WorkerProcess, peer: Peer) -> None:
        self.open_like(peer, "write_cancel_response")
        header = write_request(BLOCK, 0).SerializeToString()
        peer.send(encode(80, codes.CANCEL, peer.req_id, 4, header))
        assert raw(peer) == frame("write_cancel_response")
        assert not worker.staging().exists()

    def test_resize(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.send(frame("write_open_request_resize"))
        assert peer.next_frame().status == 2
        assert worker.staging().stat().st_size == 4096

    def test_bad_seek(self, peer: Peer) -> None:
        self.open_like(peer, "write_running_error_bad_seek")
        peer.send(encode(80, codes.RUNNING, peer.req_id, 5, seek(CAPACITY)))
        reply = peer.next_frame()
        assert (reply.status, reply.seq_id) == (0x13, 5)
        assert (
            reply.data[:4] == bytes.fromhex(VECTORS["write_running_error_bad_seek"]["data_hex"])[:4]
        )

    def test_read(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.send(frame("read_open_request"))
        reply = peer.next_frame()
        golden = bytes.fromhex(VECTORS["read_open_error_block_not_found"]["data_hex"])
        assert (reply.status, reply.header, reply.data[:4]) == (0x12, b"", golden[:4])
        data = os.urandom(300_000)
        peer.write_block(data)
        peer.send(frame("read_open_request"))
        assert raw(peer) == frame("read_open_response_remote")
        peer.send(frame("read_running_request_seek"))
        assert peer.next_frame().data == data[262144:]
        reply_bytes = frame("read_complete_response")
        req_id = int(VECTORS["read_complete_response"]["req_id"])
        done = worker_pb2.BlockReadRequest(
            id=BLOCK, off=0, len=0, chunk_size=0, short_circuit=False, enable_read_ahead=True,
            read_ahead_len=4194304, drop_cache_len=1048576,
        )  # fmt: skip
        peer.send(encode(81, codes.COMPLETE, req_id, 3, done.SerializeToString()))
        assert raw(peer) == reply_bytes

    def test_append_short_circuit(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"a" * 1000)
        peer.send(frame("write_open_request_shortcircuit_component"))
        reply = worker_pb2.BlockWriteResponse.FromString(peer.next_frame().header)
        assert reply.path == str(worker.staging())
        assert (reply.id, reply.off, reply.block_size) == (BLOCK, 1000, CAPACITY)
        assert worker.staging().read_bytes() == b"a" * 1000

    def test_batch(self, worker: WorkerProcess, peer: Peer) -> None:
        request = worker_pb2.BlocksBatchWriteRequest(
            off=0, block_size=CAPACITY, req_id=1000, seq_id=131072, chunk_size=131072,
            short_circuit=False, client_name="t",
        )  # fmt: skip
        for block in (BLOCK, BLOCK + 1):
            request.blocks.add().CopyFrom(write_request(block, 0).block)
        peer.send(encode(82, codes.OPEN, 1000, 0, request.SerializeToString()))
        assert raw(peer) == frame("batch_open_response")
        for name, status in (("batch_running_request", 3), ("batch_flush_request", 3),
                             ("batch_complete_request", 5)):  # fmt: skip
            peer.send(frame(name))
            assert peer.next_frame().status == status, name
        assert worker.active(BLOCK).read_bytes() == b"AAA"
        assert worker.active(BLOCK + 1).read_bytes() == b"BBBBB"

    def test_heartbeat_is_swallowed(self, peer: Peer) -> None:
        peer.send(frame("rpc_heartbeat_frame"))
        peer.send(frame("read_open_request"))
        assert peer.next_frame().status == 0x12


class TestRead:
    def test_value_checks(self, worker: WorkerProcess, peer: Peer) -> None:
        assert type(peer.fails(peer.open_read, 5, 99)) is BlockNotFound
        peer.write_block(b"hello")
        limit = 100 << 30
        for wrong in (
            {"length": -1}, {"length": limit + 1}, {"length": 5, "off": 6},
            {"length": 5, "off": -1}, {"length": 5, "chunk_size": 0},
            {"length": 5, "chunk_size": (16 << 20) + 1},
            {"length": 5, "read_ahead_len": (16 << 20) + 1},
        ):  # fmt: skip
            assert type(peer.fails(peer.open_read, **wrong)) is Common, wrong
        peer.open_read(5, enable_read_ahead=False, read_ahead_len=1 << 30)

    def test_end_is_an_error_and_seek(self, peer: Peer) -> None:
        peer.write_block(b"hello")
        peer.open_read(5)
        assert peer.get() == b"hello"
        assert type(peer.fails(peer.get)) is IoFailed
        assert peer.get(3) == b"lo"
        assert type(peer.fails(peer.get, 5)) is IoFailed
        assert type(peer.fails(peer.get, 6)) is IoFailed
        assert peer.get(0) == b"hello"

    def test_tail_of_zeros(self, peer: Peer) -> None:
        peer.write_block(b"hello")
        peer.open_read(12, chunk_size=4)
        assert [peer.get() for _ in range(3)] == [b"hell", b"o\0\0\0", b"\0\0\0\0"]

    def test_only_the_logical_length(self, peer: Peer) -> None:
        peer.write_block(b"hello")
        assert peer.read_block(3) == b"hel"

    def test_empty_block(self, peer: Peer) -> None:
        peer.write_block(b"")
        peer.open_read(0)
        assert type(peer.fails(peer.get)) is IoFailed

    def test_complete_checks_req_id_and_cancel_is_unsupported(self, peer: Peer) -> None:
        peer.write_block(b"hello")
        peer.open_read(5)
        done = worker_pb2.BlockReadRequest(id=BLOCK).SerializePartialToString()
        assert type(peer.fails(peer.ask, 81, codes.CANCEL, done)) is Common
        peer.req_id += 1
        assert peer.get() == b"hello"  # Running is not checked
        assert type(peer.fails(peer.ask, 81, codes.COMPLETE, done)) is Common
        peer.req_id -= 1
        peer.ask(81, codes.COMPLETE, done)
        peer.ask(81, codes.COMPLETE, done)  # no session: fine
        assert "Uninitialized" in str(peer.fails(peer.get))

    def test_short_circuit_by_path(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"hello")
        reply = peer.open_read(5, short_circuit=True)
        assert reply.path == str(worker.active())
        assert type(peer.fails(peer.get)) is Common
        assert not peer.open_read(6, short_circuit=True).HasField("path")
        assert peer.get() == b"hello\0"

    def test_sixteen_mib_chunks_in_flight(self, peer: Peer) -> None:
        data = os.urandom(1 << 20) * 40
        peer.open_write()
        for start in range(0, len(data), 16 << 20):
            peer.put(data[start : start + (16 << 20)])
        peer.commit(len(data))
        peer.open_read(len(data), chunk_size=16 << 20)
        peer.send(b"".join(encode(81, codes.RUNNING, peer.req_id, 1 + n) for n in range(3)))
        got = [peer.next_frame() for _ in range(3)]
        assert [reply.seq_id for reply in got] == [1, 2, 3]
        assert b"".join(bytes(reply.data) for reply in got) == data


class TestWrite:
    def test_value_checks(self, peer: Peer) -> None:
        for wrong, kind in (
            ({"off": -1}, Common),
            ({"off": CAPACITY + 1}, Common),
            ({"alloc": {"len": (1 << 50) + 1}}, InvalidFileSize),
            ({"alloc": {"len": 10, "off": 1}}, Common),
            ({"alloc": {"len": CAPACITY + 1}}, Common),
            ({"alloc": {"len": 10, "truncate": False, "mode": 2}}, Common),
        ):
            assert type(peer.fails(peer.open_write, **wrong)) is kind, wrong
        assert type(peer.fails(peer.open_read, 0)) is BlockNotFound
        peer.open_write(off=CAPACITY)

    def test_running_checks(self, peer: Peer) -> None:
        assert "Uninitialized" in str(peer.fails(peer.put, b"x"))
        peer.open_write(capacity=10)
        assert type(peer.fails(peer.put, b"x" * 11)) is IoFailed
        assert type(peer.fails(peer.put, b"x", 10)) is Common
        peer.put(b"")
        peer.put(b"0123456789")
        peer.put(b"abc", 2)
        peer.ask(80, codes.RUNNING, seek(0, flush=True), b"de")  # no seek: goes on at 5
        peer.req_id += 1
        assert type(peer.fails(peer.put, b"x", 0)) is Common
        peer.req_id -= 1
        peer.commit(10, capacity=10)
        assert peer.read_block(10) == b"01abcde789"

    def test_first_complete_needs_the_exact_length(self, peer: Peer) -> None:
        peer.open_write()
        peer.put(b"hello")
        assert type(peer.fails(peer.commit, 4)) is Common
        assert type(peer.fails(peer.commit, 6)) is Common
        assert "Uninitialized" in str(peer.fails(peer.put, b"x"))  # the session is gone
        peer.commit(5)  # from the header alone
        peer.commit(5)  # again: the same
        assert type(peer.fails(peer.commit, 6)) is Common
        assert type(peer.fails(peer.commit, 5, BLOCK + 1)) is BlockNotFound
        assert peer.read_block(5) == b"hello"

    def test_complete_over_the_capacity_gives_the_block_up(
        self, worker: WorkerProcess, peer: Peer
    ) -> None:
        peer.open_write()
        peer.put(b"hello")
        assert type(peer.fails(peer.commit, 5, capacity=4)) is Common
        assert not worker.staging().exists()

    def test_rewrite_extends_but_never_shortens(self, peer: Peer) -> None:
        peer.write_block(b"hello")
        peer.open_write(length=5)
        assert type(peer.fails(peer.commit, 4)) is Common
        peer.commit(8)
        assert peer.read_block(8) == b"hello\0\0\0"
        peer.open_write(length=8)
        peer.put(b"J", 0)
        assert peer.read_block(8) == b"hello\0\0\0"  # on this connection the write is dropped
        peer.commit(8)
        assert peer.read_block(8) == b"Jello\0\0\0"

    def test_readers_keep_the_old_generation(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"a" * 100_000)
        with Peer(worker) as reader, Peer(worker) as late:
            reader.open_read(100_000, chunk_size=50_000)
            peer.open_write(length=100_000)
            peer.put(b"b" * 60_000, 0)
            assert reader.get() == b"a" * 50_000
            assert late.read_block(100_000) == b"a" * 100_000
            peer.commit(100_000)
            assert reader.get() == b"a" * 50_000
            assert late.read_block(100_000) == b"b" * 60_000 + b"a" * 40_000

    def test_cancel(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.cancel(BLOCK + 1)  # unknown: fine
        peer.write_block(b"hello")
        peer.open_write(length=5)
        peer.put(b"X", 0)
        peer.cancel()
        assert peer.read_block(5) == b"hello"
        assert not worker.staging().exists()
        peer.open_write(length=5)  # and before the first write
        peer.cancel()
        assert peer.read_block(5) == b"hello"
        peer.cancel()  # published and not being rewritten: removes it
        assert type(peer.fails(peer.open_read, 5)) is BlockNotFound

    def test_late_cancel_of_a_dropped_rewrite_keeps_the_block(
        self, worker: WorkerProcess, peer: Peer
    ) -> None:
        peer.write_block(b"hello")
        with Peer(worker) as other:
            other.open_write(length=5)
        with Peer(worker) as other:
            other.open_write(length=5)
            assert type(other.fails(other.commit, 3)) is Common
        peer.cancel()
        assert peer.read_block(5) == b"hello"

    def test_session_replacement_and_resume(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.open_write()
        peer.put(b"hello")
        peer.open_write(BLOCK + 1)  # drops the first session, keeps its staging file
        peer.put(b"other")
        peer.commit(5, BLOCK + 1)
        assert worker.staging().read_bytes() == b"hello"
        with Peer(worker) as second:
            second.open_write(off=5)
            second.put(b" you")
            second.commit(9)
        assert peer.read_block(9) == b"hello you"

    def test_unpublished_blocks_are_readable(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.open_write()
        peer.put(b"hello")
        with Peer(worker) as reader:
            assert reader.read_block(5) == b"hello"

    def test_alloc(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.open_write(alloc={"len": 6, "truncate": False, "mode": 1})
        peer.commit(6)
        assert peer.read_block(6) == bytes(6)
        peer.open_write(length=6)
        peer.put(b"abcdef")
        peer.commit(6)
        peer.open_write(length=6, alloc={"len": 4})
        peer.commit(4)
        assert peer.read_block(4) == b"abcd"
        assert worker.active().stat().st_size == 4
        peer.open_write(length=4, alloc={"len": 9})
        peer.commit(9)
        assert peer.read_block(9) == b"abcd\0\0\0\0\0"
        peer.open_write(length=9, alloc={"len": 9, "truncate": False, "mode": 16})
        peer.commit(9)
        assert peer.read_block(9) == bytes(9)
        wrong = {"len": 4, "truncate": False}
        assert type(peer.fails(peer.open_write, length=9, alloc=wrong)) is IoFailed
        assert peer.read_block(9) == bytes(9)

    def test_sync_complete(self, peer: Peer) -> None:
        peer.write_block(b"hello", sync=True)
        peer.open_write(length=5, off=5)
        peer.put(b"!")
        peer.commit(6, sync=True)
        peer.commit(6, sync=True)
        assert peer.read_block(6) == b"hello!"

    def test_two_writers_share_one_staging_file(self, worker: WorkerProcess, peer: Peer) -> None:
        with Peer(worker) as second:
            peer.open_write()
            second.open_write(off=5)
            peer.put(b"hello")
            second.put(b"world")
            peer.commit(10)
            assert type(second.fails(second.put, b"x")) is IoFailed
            second.commit(10)
        assert peer.read_block(10) == b"helloworld"


class TestAppend:
    def test_appending_copies_nothing(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"a" * 70_000)
        inode = worker.active().stat().st_ino
        with Peer(worker) as reader:
            reader.open_read(80_000)
            for count in range(5):
                length = 70_000 + 10 * count
                peer.open_write(length=length, off=length)
                peer.put(b"0123456789")
                assert reader.read_block(length + 5)[length:] == bytes(5)  # not published yet
                peer.commit(length + 10)
        assert worker.active().stat().st_ino == inode
        assert peer.read_block(70_050) == b"a" * 70_000 + b"0123456789" * 5

    def test_write_below_turns_it_into_a_copy(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"hello")
        peer.open_write(length=5, off=5)
        peer.put(b" you")
        peer.put(b"J", 0)
        with Peer(worker) as reader:
            assert reader.read_block(5) == b"hello"
        assert worker.active().stat().st_size == 5
        peer.commit(9)
        assert peer.read_block(9) == b"Jello you"

    def test_cancel_cuts_the_tail_off(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"hello")
        peer.open_write(length=5, off=5)
        peer.put(b" you")
        peer.cancel()
        assert worker.active().read_bytes() == b"hello"


class TestLocalSocket:
    def test_read_by_descriptor(self, worker: WorkerProcess, peer: Peer) -> None:
        peer.write_block(b"hello")
        with Peer(worker, local=True) as local:
            reply = local.open_read(5, short_circuit=True)
            assert not reply.HasField("path") and len(local.fds) == 1
            assert os.pread(local.fds[0], 10, 0) == b"hello"
            with pytest.raises(OSError):
                os.pwrite(local.fds[0], b"x", 0)
            assert type(local.fails(local.get)) is Common
            local.ask(
                81, codes.COMPLETE, worker_pb2.BlockReadRequest(id=BLOCK).SerializePartialToString()
            )
            local.open_read(6, short_circuit=True)  # longer than the file: an ordinary session
            assert len(local.fds) == 1 and local.get() == b"hello\0"
            assert local.read_block(5) == b"hello"

    def test_write_by_descriptor(self, worker: WorkerProcess, peer: Peer) -> None:
        with Peer(worker, local=True) as local:
            assert local.open_write(short_circuit=True).block_size == 64 << 20  # the promise
            header = local.ask(80, codes.RUNNING, seek(70 << 20)).header  # more room, please
            more = worker_pb2.BlockWriteResponse.FromString(header)
            assert more.block_size > 70 << 20 and len(local.fds) == 1
            os.pwrite(local.fds[0], b"hello", 0)
            local.commit(5)
            assert peer.read_block(5) == b"hello"
            local.open_write(length=5, off=5, short_circuit=True)
            os.pwrite(local.fds[1], b" you", 5)
            assert peer.read_block(5) == b"hello"
            local.put(b"", 0)  # going below: another descriptor
            assert len(local.fds) == 3
            os.pwrite(local.fds[2], b"J", 0)
            assert peer.read_block(5) == b"hello"
            local.commit(9, sync=True)
        assert peer.read_block(9) == b"Jello you"


class TestBrokenPeers:
    @pytest.mark.parametrize(
        "junk",
        [
            b"\0" * 22,
            struct.pack(">iibBqi", 2**31 - 1, 0, 80, 0xF2, 1, 0),
            struct.pack(">iibBqi", 18, -5, 80, 0xF2, 1, 0),
            struct.pack(">iibBqi", 18, 0, 80, 0xFF, 1, 0),
        ],
    )
    def test_malformed_frame_closes_only_its_connection(
        self, peer: Peer, worker: WorkerProcess, junk: bytes
    ) -> None:
        with Peer(worker) as bad:
            bad.send(junk)
            bad.sock.shutdown(socket.SHUT_WR)
            assert bad.sock.recv(1) == b""
        peer.write_block(b"hello")
        assert peer.read_block(5) == b"hello"

    def test_unknown_code_and_garbage_header(self, peer: Peer) -> None:
        assert type(peer.fails(peer.ask, 66, codes.RPC)) is Common
        assert type(peer.fails(peer.ask, 80, codes.RPC)) is Common
        assert peer.fails(peer.ask, 80, codes.OPEN, b"\xff\xff\xff").code == "decode"
        peer.write_block(b"hello")

    def test_connection_cut_in_the_middle(self, peer: Peer, worker: WorkerProcess) -> None:
        with Peer(worker) as other:
            other.open_write()
            other.send(encode(80, codes.RUNNING, other.req_id, 1, b"", b"x" * 100_000)[:50_000])
        peer.open_write()
        peer.put(b"hello")
        peer.commit(5)
        assert peer.read_block(5) == b"hello"


def test_full_worker(tmp_path: Path) -> None:
    tiers = ("[MEM:1MB]mem", "[SSD:3MB]ssd")
    with running_worker(tmp_path, tiers) as worker, Peer(worker) as peer:
        data = os.urandom(2 << 20)
        peer.write_block(data, storage=0)  # too big for MEM: goes on in SSD
        assert worker.active(which=1).exists() and not worker.staging(which=0).exists()
        assert peer.read_block(len(data)) == data
        peer.open_write(BLOCK + 1)
        peer.put(b"x" * (1 << 20))
        assert type(peer.fails(peer.put, b"x" * (1 << 20))) is DiskOutOfSpace
        peer.cancel(BLOCK + 1)
        assert peer.read_block(len(data)) == data
        for number in range(8):
            peer.write_block(b"s" * (200 << 10), BLOCK + 10 + number)
        assert type(peer.fails(peer.write_block, b"x" * (1 << 20), BLOCK + 2)) in {
            Common, DiskOutOfSpace,
        }  # fmt: skip
        peer.cancel(BLOCK)
        peer.write_block(data, BLOCK + 3)
