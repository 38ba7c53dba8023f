# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the master at random moments, under a mixed load of 16 clients that pipeline.

Each client works in a tree of its own and on names of its own in a shared directory, so it knows
what the namespace has to look like: the reference model of tests/model after a prefix of what it
sent, at least as long as what was acknowledged. After each restart every tree is compared whole,
the totals are, and what was not answered is sent again under its old request ids: it must succeed,
whether it had happened or not. 200 kills: ``CURVINE_KILLS=200 pytest tests/stress -k kill``.
"""

from __future__ import annotations

import copy
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from curvine.errors import NotFound
from curvine.model.inode import MkdirOpts
from curvine.testing.cluster import MiniCluster
from curvine.wire.codes import RPC, ResponseStatus, RpcCode, response_status
from curvine.wire.convert import fill_mkdir_opts
from curvine.wire.frame import encode
from curvine.wire.pb import common_pb2, master_pb2
from curvine.wire.status import decode_error
from master_wire import WireClient, add_block_request, create_request, new_id
from model.namespace_reference import MIB, Node, ReferenceNamespace, Refused

KILLS = int(os.environ.get("CURVINE_KILLS", "10"))
CLIENTS = 16
AT_ONCE = 150  # requests of one client at the start of a round
WINDOW = 12  # then: requests in flight of one client
NODES = 40  # a client's tree stays about this large
WORKER = 7
RESTART = 3.0  # CPU seconds, whatever else the machine does
NAMES = ["a", "b", "c", "d-e", "ü", "f g"]
KINDS = {0: "dir", 1: "file", 2: "link"}

Change = Callable[[ReferenceNamespace], object]


@dataclass
class Sent:
    """A request on its way: what it does to the model, one change after another."""

    code: int
    message: Message
    changes: list[Change]
    req_id: int = field(default_factory=new_id)
    happened: bool = False  # seen after a kill: the answer to its repetition tells the present


class Client:
    """One client. ``acknowledged`` is what it knows to be done, ``ahead`` what it asked for."""

    def __init__(self, number: int, seed: int) -> None:
        self.home = f"/c{number}"
        self.mine = f"c{number}-"  # names in /shared
        self.rng = random.Random(f"{seed}-{number}")
        self.acknowledged = ReferenceNamespace()
        self.ahead = ReferenceNamespace()
        self.sent: deque[Sent] = deque()
        self.outgoing: list[bytes] = []
        self.serial = 0
        self.answers = 0
        self.failure: BaseException | None = None
        for model in (self.acknowledged, self.ahead):
            model.mkdir(self.home, False, 0o755, "")
            model.mkdir("/shared", False, 0o755, "")

    def prepare(self) -> None:
        """What to send at once, before the master is set to work: what was not answered, under its
        old ids, and much more, so that it dies in the middle of its work.
        """
        self.outgoing = [encoded(request) for request in self.sent]
        for _ in range(AT_ONCE):
            self._ask(None)

    # -- running -------------------------------------------------------------------------------

    def run(self, address: tuple[str, int]) -> None:
        """Ask until the master dies; anything else that goes wrong is kept for the test."""
        try:
            with WireClient(address) as wire:
                self._flush(wire)
                while self.sent:
                    self._receive(wire)
                while True:
                    burst = self.rng.randint(1, WINDOW)
                    while len(self.sent) < burst:
                        self._ask(wire)
                    self._flush(wire)
                    for _ in range(self.rng.randint(1, len(self.sent))):
                        self._receive(wire)
        except OSError:
            return
        except BaseException as error:
            self.failure = error

    def _send(self, code: int, message: Message, changes: list[Change]) -> None:
        request = Sent(code, message, changes)
        self.sent.append(request)
        self.outgoing.append(encoded(request))

    def _flush(self, wire: WireClient) -> None:
        burst, self.outgoing = b"".join(self.outgoing), []
        wire.send_bytes(burst)

    def _receive(self, wire: WireClient) -> bytes:
        frame = wire.receive()
        request = self.sent[0]
        assert frame.req_id == request.req_id, "one connection's requests are answered in order"
        if response_status(frame.status) is not ResponseStatus.SUCCESS:
            error = decode_error(frame.data)
            gone = request.happened and isinstance(error, NotFound)  # by a later one, also done
            assert gone, f"{self.home}: {request.message} was refused: {error!r}"
        for change in request.changes:
            change(self.acknowledged)
        self.sent.popleft()
        self.answers += 1
        return frame.header

    def _ask(self, wire: WireClient | None) -> None:
        """One more request that the model says will succeed and change something."""
        pick = self.rng.choice
        many = len(self._paths()) > NODES
        kinds = [self._delete] if many else [
            self._create, self._create, self._batch, self._mkdir, self._rename, self._rename,
            self._exchange, self._delete, self._symlink, self._link, self._set_attr, self._write,
            self._write,
        ]  # fmt: skip
        kind = pick(kinds)
        if kind == self._write:
            if wire is not None:
                self._write(wire)
            return
        made = kind()
        if made is None:
            return
        code, message, changes = made
        try:
            done = [change(self.ahead) for change in changes]
        except Refused:  # before it changed anything
            return
        if done != [False]:  # both names the same: nothing would happen
            self._send(code, message, changes)

    # -- requests ------------------------------------------------------------------------------

    def _paths(self) -> list[str]:
        """Everything that is this client's, its home first."""
        return [path for path, _ in self.ahead.walk() if path not in {"/", "/shared"}]

    def _old(self) -> str:
        return self.rng.choice(self._paths()[1:] or [self.home])

    def _new(self) -> str:
        """A path that need not exist: below a directory, or in the shared one."""
        if self.rng.random() < 0.2:
            self.serial += 1
            return f"/shared/{self.mine}{self.serial}"
        inside = [p for p in self._paths() if p.startswith(self.home)]
        return f"{self.rng.choice(inside)}/{self.rng.choice(NAMES)}"

    def _create(self) -> Any:
        path = self._new()
        changes = [lambda m: m.create(path, 0x41, True, 0o644, "test")]
        message = create_request(path, create_parent=True, block_size=MIB)
        return RpcCode.CREATE_FILE, message, changes

    def _batch(self) -> Any:
        base = self._new()
        paths = [f"{base}{n}" for n in range(3)]
        if any(self.ahead.find(path) is not None for path in paths):
            return None
        message = master_pb2.CreateFilesBatchRequest()
        message.requests.extend(
            create_request(p, create_parent=True, block_size=MIB) for p in paths
        )
        changes = [lambda m, p=p: m.create(p, 0x41, True, 0o644, "test") for p in paths]
        return RpcCode.CREATE_FILES_BATCH, message, changes

    def _mkdir(self) -> Any:
        path, mode = self._new(), self.rng.choice([0o700, 0o755])
        message = master_pb2.MkdirRequest(path=path)
        fill_mkdir_opts(message.opts, MkdirOpts(mode=mode))
        return RpcCode.MKDIR, message, [lambda m: m.mkdir(path, False, mode, "")]

    def _rename(self) -> Any:
        src, dst = self._old(), self.rng.choice([self._new(), self._old()])
        return self._moved(src, dst, self.rng.choice([0, 0, 1]))

    def _exchange(self) -> Any:
        return self._moved(self._old(), self._old(), 2)

    def _moved(self, src: str, dst: str, flags: int) -> Any:
        if self.home in {src, dst} or self.ahead.find(src) is self.ahead.find(dst):
            return None
        message = master_pb2.RenameRequest(src=src, dst=dst, flags=flags)
        return RpcCode.RENAME, message, [lambda m: m.rename(src, dst, flags)]

    def _delete(self) -> Any:
        path = self._old()
        if path == self.home:
            return None
        message = master_pb2.DeleteRequest(path=path, recursive=True)
        return RpcCode.DELETE, message, [lambda m: (m.delete(path, True), None)[1]]

    def _symlink(self) -> Any:
        path = self._new()
        message = master_pb2.SymlinkRequest(
            target="a/b", link=path, force=False, mode=0o777, owner="", group=""
        )
        return RpcCode.SYMLINK, message, [lambda m: m.symlink("a/b", path, False)]

    def _link(self) -> Any:
        src, dst = self._old(), self._new()
        node = self.ahead.find(src)
        if node is None or node.kind != "file":
            return None
        message = master_pb2.LinkRequest(src_path=src, dst_path=dst)
        return RpcCode.LINK, message, [lambda m: m.link(src, dst)]

    def _set_attr(self) -> Any:
        path, mode = self._old(), self.rng.choice([0o600, 0o640, 0o755])
        recursive, value = self.rng.random() < 0.5, bytes([self.rng.randrange(256)])
        message = master_pb2.SetAttrRequest(path=path)
        message.opts.recursive = recursive
        message.opts.mode = mode
        message.opts.add_x_attr["user.x"] = value
        changes = [lambda m: m.set_attr(path, recursive, mode, None, value)]
        return RpcCode.SET_ATTR, message, changes

    def _write(self, wire: WireClient) -> None:
        """Append a block: ask for it, and commit it with the file's completion."""
        files = [
            path
            for path, node in self.ahead.walk()
            if node.kind == "file" and all(size == MIB for size in node.blocks)
        ]
        if not files:
            return
        path, size = self.rng.choice(files), self.rng.choice([MIB, MIB, 4096])
        self._flush(wire)
        while self.sent:
            self._receive(wire)
        node = self.ahead.find(path)
        assert node is not None
        located = wire.locations(path)
        block = located.block_locs[-1].block if located.block_locs else None
        if block is None or block.block_size:  # else: asked for before a kill, and not written
            request = add_block_request(path, node.length, block.id if block is not None else None)
            self._send(RpcCode.ADD_BLOCK, request, [lambda m: None])
            self._flush(wire)
            block = common_pb2.LocatedBlockProto.FromString(self._receive(wire)).block
        message = master_pb2.CompleteFileRequest(
            path=path, len=node.length + size, client_name="test", only_flush=False
        )
        row = message.commit_blocks.add(block_id=block.id, block_len=size)
        row.locations.add(worker_id=WORKER, storage_type=1)
        changes = [lambda m: m.write(path, size, "test", False)]
        changes[0](self.ahead)
        self._send(RpcCode.COMPLETE_FILE, message, changes)

    # -- checking ------------------------------------------------------------------------------

    def check(self, seen: dict[str, tuple[Any, ...]]) -> int:
        """What is there is what a prefix of the requests made, at least of the answered ones; how
        many changes of unanswered requests had happened."""
        mine = {
            path: row
            for path, row in seen.items()
            if path == self.home
            or path.startswith((f"{self.home}/", f"/shared/{self.mine}"))
        }  # fmt: skip
        model = copy.deepcopy(self.acknowledged)
        first = expected = self._expected(model)
        changes = [change for request in self.sent for change in request.changes]
        happened = -1  # the most that can have: a name made and removed again leaves no trace
        for number in range(len(changes) + 1):
            if mine == expected:
                happened = number
            if number < len(changes):
                changes[number](model)
                expected = self._expected(model)
        if happened >= 0:
            self._mark(happened)
            return happened
        lost = {p: (row, mine.get(p)) for p, row in first.items() if mine.get(p) != row}
        more = {p: row for p, row in mine.items() if p not in first}
        raise AssertionError(
            f"{self.home}: no prefix of {len(changes)} unanswered changes gives what is there;"
            f" against what was acknowledged: differs (model, master) {lost}, unknown {more};"
            f" unanswered {[str(request.message) for request in self.sent]}"
        )

    def _mark(self, happened: int) -> None:
        for request in list(self.sent):
            happened -= len(request.changes)
            request.happened = happened >= 0
            if request.code == RpcCode.ADD_BLOCK:
                self.sent.remove(request)  # whoever wrote there has given up

    def _expected(self, model: ReferenceNamespace) -> dict[str, tuple[Any, ...]]:
        return {path: row_of(node) for path, node in model.walk() if path not in {"/", "/shared"}}


def encoded(request: Sent) -> bytes:
    return encode(request.code, RPC, request.req_id, -1, request.message.SerializeToString())


def row_of(node: Node) -> tuple[Any, ...]:
    return (
        node.kind,
        node.mode,
        node.nlink,
        node.length,
        node.target,
        node.xattrs.get("user.x"),
        node.kind != "dir" and not node.writers,
        [size for size in node.blocks if size],
    )


def tree_of(wire: WireClient) -> tuple[dict[str, tuple[Any, ...]], set[int], int, set[int]]:
    """(path -> row, ids of files, directories, block ids) of everything, seen over the wire."""
    rows: dict[str, tuple[Any, ...]] = {}
    files: set[int] = set()
    blocks: set[int] = set()
    pending = ["/"]
    directories = 0
    while pending:
        path = pending.pop()
        request = master_pb2.ListStatusRequest(path=path, need_location=False)
        reply = wire.call(RpcCode.LIST_STATUS, request, master_pb2.ListStatusResponse)
        assert wire.status(path).children_num == len(reply.statuses), path
        for status in reply.statuses:
            lengths: list[int] = []
            if status.is_dir:
                directories += 1
                pending.append(status.path)
            else:
                files.add(status.id)
            if status.file_type == 1:
                located = wire.locations(status.path).block_locs
                lengths = [row.block.block_size for row in located if row.block.block_size]
                blocks.update(row.block.id for row in located)
            rows[status.path] = (
                KINDS[status.file_type],
                status.mode,
                status.nlink,
                status.children_num if status.is_dir else status.len,
                status.target if status.HasField("target") else None,
                status.x_attr.get("user.x"),
                status.is_complete,
                lengths,
            )
    return rows, files, directories, blocks


@pytest.mark.timeout(300 + 60 * KILLS)
def test_kills_under_mixed_load(tmp_path: Path) -> None:
    seed = int(os.environ.get("CURVINE_SEED", "1"))
    rng = random.Random(seed)
    clients = [Client(number, seed) for number in range(CLIENTS)]
    restarts: list[float] = []
    unanswered = happened = newest = 0
    with MiniCluster(tmp_path, workers=0) as cluster:
        with WireClient(cluster.master_address) as wire:
            wire.mkdir("/shared")
            for client in clients:
                wire.mkdir(client.home)
        for _ in range(KILLS):
            with WireClient(cluster.master_address) as wire:
                wire.heartbeat(WORKER)
            threads = [
                threading.Thread(target=client.run, args=(cluster.master_address,))
                for client in clients
            ]
            for client in clients:
                client.prepare()
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.0, 0.6) ** 2)  # oftener early, when most is under way
            cluster.master.kill()
            for thread in threads:
                thread.join(60)
            cluster.master.start()
            restarts.append(cluster.master.cpu_seconds)
            for client in clients:
                assert client.failure is None, client.failure
            with WireClient(cluster.master_address) as wire:
                rows, files, directories, blocks = tree_of(wire)
                info = wire.info()
                assert (info.inode_dir_num, info.inode_file_num) == (directories, len(files))
                for client in clients:
                    unanswered += sum(len(request.changes) for request in client.sent)
                    happened += client.check(rows)
                doomed = set(wire.heartbeat(WORKER))
                assert not doomed & blocks, "a block of a living file is to be deleted"
                probe = f"/shared/probe-{len(restarts)}"
                fresh = wire.create(probe).id
                assert fresh > newest, "an inode id was used twice"
                newest = max(fresh, newest, *files)
                wire.delete(probe)
        assert "Traceback" not in cluster.master.output()
    answers = sum(client.answers for client in clients)
    restarts.sort()
    print(
        f"\n{KILLS} kills, {answers} acknowledged, {unanswered} changes unanswered at a kill, of"
        f" which {happened} had happened; computing of a restart: median"
        f" {restarts[len(restarts) // 2]:.2f} s, longest {restarts[-1]:.2f} s"
    )
    assert answers > 20 * KILLS
    assert restarts[-1] < RESTART
