# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the master: what it acknowledged is there after the restart, and nothing by halves."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvine import errors
from curvine.testing.cluster import MiniCluster
from curvine.wire.codes import ResponseStatus, RpcCode, response_status
from curvine.wire.pb import ext_pb2, master_pb2
from master_wire import WireClient, create_request, new_id

ROUNDS = 6
OPERATIONS = 400


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path, workers=0) as running:
        yield running


def kill_and_restart(cluster: MiniCluster) -> float:
    """Seconds of CPU that the restart took."""
    cluster.master.kill()
    cluster.master.start()
    return cluster.master.cpu_seconds


def send_script(client: WireClient, base: str) -> list[frozenset[str]]:
    """Send creates, renames and deletes without waiting; the names after each of them."""
    names: set[str] = set()
    states = [frozenset(names)]
    for index in range(OPERATIONS):
        if index % 4 < 2:
            client.send(RpcCode.CREATE_FILE, create_request(f"{base}/{index}"))
            names.add(str(index))
        elif index % 4 == 2:
            old, new = f"{base}/{index - 1}", f"{base}/{index}"
            client.send(RpcCode.RENAME, master_pb2.RenameRequest(src=old, dst=new, flags=0))
            names.remove(str(index - 1))
            names.add(str(index))
        else:
            path = f"{base}/{index - 3}"
            client.send(RpcCode.DELETE, master_pb2.DeleteRequest(path=path, recursive=False))
            names.remove(str(index - 3))
        states.append(frozenset(names))
    return states


def test_acknowledged_mutations_survive(cluster: MiniCluster) -> None:
    """One connection's requests run in order, so after the crash a prefix of them has happened:
    at least what was acknowledged."""
    rng = random.Random(1)
    total = 0
    for turn in range(ROUNDS):
        base = f"/r{turn}"
        with WireClient(cluster.master_address) as client:
            client.mkdir(base)
            states = send_script(client, base)
            acknowledged = rng.randrange(1, OPERATIONS)
            for _ in range(acknowledged):
                assert response_status(client.receive().status) is ResponseStatus.SUCCESS
            assert kill_and_restart(cluster) < 5
        with WireClient(cluster.master_address) as client:
            names = frozenset(client.names(base))
            assert names in states[acknowledged:]
            total += len(names)
            info = client.info()
            assert (info.inode_file_num, info.inode_dir_num) == (total, turn + 1)


def test_kill_under_load_of_many_clients(cluster: MiniCluster) -> None:
    """Eight clients create one file after another until the master dies under them."""
    acknowledged: list[list[str]] = [[] for _ in range(8)]

    def create_files(number: int) -> None:
        with WireClient(cluster.master_address) as client:
            try:
                for index in range(100_000):
                    client.create(f"/{number}-{index}")
                    acknowledged[number].append(f"{number}-{index}")
            except OSError:
                return

    threads = [threading.Thread(target=create_files, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while sum(map(len, acknowledged)) < 500:
        time.sleep(0.01)
    kill_and_restart(cluster)
    for thread in threads:
        thread.join(60)
    with WireClient(cluster.master_address) as client:
        names = set(client.names("/"))
        expected = {name for done in acknowledged for name in done}
        assert expected <= names
        assert len(expected) > 100
        assert len(names) <= len(expected) + 8, "at most one unanswered request a client"
        fresh = client.create("/fresh").id
        ids = {client.status(f"/{name}").id for name in random.Random(2).sample(sorted(names), 50)}
        assert fresh > max(ids), "inode ids are never used again"


def test_what_belongs_to_blocks_survives(cluster: MiniCluster) -> None:
    with WireClient(cluster.master_address) as client:
        client.heartbeat(5)
        client.create("/f")
        block = client.add_block("/f").block.id
        client.complete("/f", 9, {block: (9, 5)})
        client.create("/open")
        assigned = client.add_block("/open")
        client.create("/g")
        doomed = client.add_block("/g").block.id
        client.delete("/g")
        deleted = new_id()
        client.create("/again")
        client.delete("/again", req_id=deleted)
    kill_and_restart(cluster)
    with WireClient(cluster.master_address) as client:
        blocks = client.locations("/f").block_locs
        assert [loc.worker_id for loc in blocks[0].locs] == [5], "before any heartbeat"
        assert client.add_block("/open") == assigned, "a retried AddBlock gets the same workers"
        client.create("/again")
        assert client.delete("/again", req_id=deleted) == 0, "a replay is not executed again"
        assert "again" in client.names("/")
        assert client.heartbeat(5) == [doomed], "unconfirmed deletions are commanded again"
        assert [row.address.worker_id for row in client.info().live_workers] == [5]


def test_a_writer_waits_for_the_first_heartbeat(cluster: MiniCluster) -> None:
    with WireClient(cluster.master_address) as client:
        client.heartbeat(5)
        client.create("/f")
    kill_and_restart(cluster)
    with (
        WireClient(cluster.master_address) as writer,
        WireClient(cluster.master_address) as worker,
    ):
        beat = threading.Timer(0.3, worker.heartbeat, (5,))
        beat.start()
        assert [loc.worker_id for loc in writer.add_block("/f").locs] == [5]
        beat.join()
    with WireClient(cluster.master_address) as client:
        client.heartbeat(5, 2)
        client.create("/g")
        with pytest.raises(errors.Common, match="No available worker"):
            client.add_block("/g")


@pytest.mark.parametrize("mode", ["interval", "fsync", "always"])
def test_every_durability_mode(tmp_path: Path, mode: str) -> None:
    settings = {"journal": {"sync": mode, "sync_interval": "100ms"}}
    with MiniCluster(tmp_path, workers=0, settings=settings) as cluster:
        with WireClient(cluster.master_address) as client:
            for index in range(20):
                client.create(f"/{index}")
            sent = [
                client.send(RpcCode.CREATE_FILE, create_request(f"/p{index}"))
                for index in range(200)
            ]
            assert {client.receive().req_id for _ in sent} == set(sent)
            client.call(RpcCode.SYNC_METADATA, b"", ext_pb2.SyncMetadataResponse)
        kill_and_restart(cluster)
        with WireClient(cluster.master_address) as client:
            assert len(client.names("/")) == 220


def test_clean_stop_and_refused_starts(tmp_path: Path) -> None:
    cluster = MiniCluster(tmp_path, workers=0)
    with cluster:
        with WireClient(cluster.master_address) as client:
            client.mkdir("/kept")
        second = MiniCluster(tmp_path / "second", workers=0)
        text = cluster.conf_path.read_text()
        second.conf_path.write_text(text)
        with pytest.raises(RuntimeError, match="ERROR: "):
            second.master.start()
        assert cluster.master.stop() == 0
        cluster.master.start()
        with WireClient(cluster.master_address) as client:
            assert client.names("/") == ["kept"]
        cluster.master.stop()
        cluster.conf_path.write_text(text.replace("[master]", '[master]\nworker_policy = "best"'))
        with pytest.raises(RuntimeError, match=r"ERROR: .*worker_policy"):
            cluster.master.start()
