# SPDX-License-Identifier: Apache-2.0
"""Status pages of a real master and worker: every endpoint, its shape, and who is refused."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from curvine.client.blocking import BlockingFileSystem
from curvine.model.path import name_to_wire
from curvine.telemetry.metric_table import MASTER, WORKER
from curvine.testing.cluster import MiniCluster
from master_wire import WireClient

ODD = (
    b"plain", b"a b+c&d=%41", b'quote"back\\slash', b"new\nline\x01", "söme☃".encode(),
    b"\xff\xfe",
)  # fmt: skip
STATUS_KEYS = [
    "id", "path", "name", "is_dir", "mtime", "atime", "children_num", "is_complete", "len",
    "replicas", "block_size", "file_type", "x_attr", "storage_policy", "mode", "owner", "group",
    "nlink", "target",
]  # fmt: skip
WORKER_KEYS = [
    "address", "weight", "software_version", "startup_time_ms", "capacity", "available", "fs_used",
    "non_fs_used", "reserved_bytes", "last_update", "block_num", "storage_map", "status",
    "worker_session_id", "transfer_capabilities", "component_info",
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("pages")) as cluster:
        with BlockingFileSystem(cluster.conf()) as files:
            files.mkdir("/dir", create_parent=True)
            files.mkdir("/odd")
            with files.create("/dir/file", block_size=1 << 20) as file:
                file.write(0, b"x" * ((2 << 20) + 5))
            files.symlink("/dir/file", "/dir/link")
            for name in ODD:
                files.mkdir("/odd/" + name_to_wire(name))
        yield cluster


def base(cluster: MiniCluster) -> str:
    return f"http://127.0.0.1:{cluster.conf().master.web_port}"


def ask(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def read(cluster: MiniCluster, target: str) -> Any:
    status, body = ask(base(cluster) + target)
    assert status == 200, body
    return json.loads(body)


def worker_line(cluster: MiniCluster, status: str) -> str:
    row = read(cluster, "/api/workers")["live_workers"][0]["address"]
    return f"{row['worker_id']},127.0.0.1:{cluster.worker_ports[0]},{status}"


def metrics(url: str) -> dict[str, float]:
    status, body = ask(url + "/metrics")
    assert status == 200
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def families(url: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", ask(url + "/metrics")[1].decode(), re.M))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_overview(cluster: MiniCluster) -> None:
    found = read(cluster, "/api/overview")
    assert list(found) == [
        "cluster_id", "master_addr", "start_time", "live_workers", "lost_workers", "available",
        "capacity", "fs_used", "reserved_bytes", "files_total", "dir_total", "master_state",
    ]  # fmt: skip
    assert found["cluster_id"] == "mini"
    assert found["master_addr"] == f"127.0.0.1:{cluster.master_port}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", found["start_time"])
    assert (found["live_workers"], found["lost_workers"]) == (1, 0)
    assert found["capacity"] >= found["available"] > 0
    assert (found["files_total"], found["dir_total"]) == (2, 2 + len(ODD))
    assert found["master_state"] == "Active"


def test_report(cluster: MiniCluster) -> None:
    lines = ask(base(cluster) + "/report")[1].decode().splitlines()
    assert lines[0] == "Curvine cluster summary:"
    names = [line.partition(":")[0].strip() for line in lines[1:]]
    assert names == [
        "available", "capacity", "fs_used", "dir_total", "files_total", "live_workers",
        "lost_workers",
    ]  # fmt: skip
    assert re.fullmatch(r"    capacity: \d+\.\d\dGB", lines[2])
    assert lines[6] == "    live_workers: 1"


def test_config(cluster: MiniCluster) -> None:
    found = read(cluster, "/api/config")
    assert found["master"]["rpc_port"] == cluster.master_port
    assert found["master"]["heartbeat_interval"] == "500ms"
    assert found["client"]["rpc_retry_max_duration_ms"] == 10_000
    assert found["journal"]["hostname"] == "127.0.0.1"


def test_browse(cluster: MiniCluster) -> None:
    rows = {row["name"]: row for row in read(cluster, "/api/browse?path=/dir")}
    assert list(rows) == ["file", "link"]
    file = rows["file"]
    assert list(file) == STATUS_KEYS
    assert file["path"] == "/dir/file" and file["len"] == (2 << 20) + 5
    assert file["file_type"] == "File" and rows["link"]["file_type"] == "Link"
    assert rows["link"]["target"] == "/dir/file" and file["target"] is None
    assert file["storage_policy"] == {
        "storage_type": "Disk", "ttl_ms": 0, "ttl_action": "None", "ufs_mtime": 0, "state": "Cv",
    }  # fmt: skip
    assert file["mode"] & 0o777 == 0o644
    assert len(file["x_attr"]["\0curvine.ctime"]) == 8
    assert [row["name"] for row in read(cluster, "/api/browse?path=/dir/file")] == ["file"]
    assert [row["name"] for row in read(cluster, "/api/browse?path=/d*/f*")] == ["file"]
    assert {row["name"] for row in read(cluster, "/api/browse?path=//odd/")} == {
        name_to_wire(name) for name in ODD
    }


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_browse_finds_odd_names(cluster: MiniCluster, name: bytes) -> None:
    assert read(cluster, "/api/browse?path=/odd/" + quote(name)) == []


@pytest.mark.parametrize("target", ["", "?path=", "?path=relative", "?path=/none", "?path=/%00"])
def test_browse_refuses_what_is_no_path(cluster: MiniCluster, target: str) -> None:
    status, body = ask(base(cluster) + "/api/browse" + target)
    assert status == 500
    assert json.loads(body)["message"]


def test_a_large_directory_is_listed_whole(cluster: MiniCluster) -> None:
    with BlockingFileSystem(cluster.conf()) as files:
        files.mkdir("/large")
        for number in range(300):
            files.mkdir(f"/large/{number:04}")
    rows = read(cluster, "/api/browse?path=/large")
    assert [row["name"] for row in rows] == [f"{number:04}" for number in range(300)]


def test_block_locations(cluster: MiniCluster) -> None:
    found = read(cluster, "/api/block_locations?path=/dir/file")
    assert list(found) == ["status", "block_locs"]
    assert list(found["status"]) == STATUS_KEYS
    assert [row["block"]["len"] for row in found["block_locs"]] == [1 << 20, 1 << 20, 5]
    first = found["block_locs"][0]
    assert list(first) == ["block", "locs", "has_spdk"]
    assert list(first["block"]) == ["id", "len", "storage_type", "file_type", "alloc_opts"]
    assert first["block"]["id"] >> 24 == found["status"]["id"]
    assert first["block"]["file_type"] == "File" and first["block"]["alloc_opts"] is None
    assert list(first["locs"][0]) == ["worker_id", "hostname", "ip_addr", "rpc_port", "web_port"]
    assert first["locs"][0]["rpc_port"] == cluster.worker_ports[0]
    assert first["has_spdk"] is False
    for path in ("/dir", "/none"):
        assert ask(f"{base(cluster)}/api/block_locations?path={path}")[0] == 500


def test_workers(cluster: MiniCluster) -> None:
    found = read(cluster, "/api/workers")
    assert list(found) == ["live_workers", "lost_workers"]
    assert found["lost_workers"] == []
    (worker,) = found["live_workers"]
    assert list(worker) == WORKER_KEYS
    assert worker["status"] == "Live"
    assert worker["address"]["web_port"] > 0
    (storage_id, storage), *_ = worker["storage_map"].items()
    assert storage["storage_id"] == storage_id and storage["storage_type"] == "Ssd"
    assert worker["component_info"]["component"] == "worker"
    assert read(cluster, "/workers") == [worker_line(cluster, "Live")]


def test_decommission_from_this_machine(cluster: MiniCluster) -> None:
    assert read(cluster, "/get-dcm") == []
    assert read(cluster, "/add-dcm?workers=127.0.0.1") == [worker_line(cluster, "Decommission")]
    assert read(cluster, "/add-dcm?workers=127.0.0.1") == []
    assert read(cluster, "/get-dcm") == [worker_line(cluster, "Decommission")]
    (worker,) = read(cluster, "/api/workers")["live_workers"]
    assert worker["status"] == "Decommission"
    assert set(worker["decommission"]) >= {"blocks_left", "blocks_unmovable", "done"}
    assert read(cluster, "/remove-dcm?workers=127.0.0.1,nobody") == [worker_line(cluster, "Live")]
    assert read(cluster, "/get-dcm") == []
    assert ask(base(cluster) + "/add-dcm")[0] == 400
    assert ask(base(cluster) + "/add-dcm?workers=,")[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"User-Agent": "Mozilla/5.0"},
        {"Authorization": "Bearer 0123456789abcdef"},
    ],
)
def test_changes_are_refused_to_strangers(cluster: MiniCluster, headers: dict[str, str]) -> None:
    for page in ("add-dcm", "remove-dcm"):
        status, body = ask(f"{base(cluster)}/{page}?workers=127.0.0.1", headers)
        assert status in (401, 403), body
        assert json.loads(body)["message"]
    assert read(cluster, "/get-dcm") == []


def test_health(cluster: MiniCluster) -> None:
    worker = f"http://127.0.0.1:{worker_web(cluster)}"
    for url in (base(cluster), worker):
        assert ask(url + "/healthz") == (200, b"ok")
        assert ask(url + "/readyz") == (200, b"ok")
        assert ask(url + "/nosuch")[0] == 404


def worker_web(cluster: MiniCluster) -> int:
    (row,) = read(cluster, "/api/workers")["live_workers"]
    return int(row["address"]["web_port"])


def test_master_metrics(cluster: MiniCluster) -> None:
    before = metrics(base(cluster))
    with BlockingFileSystem(cluster.conf()) as files:
        files.status("/dir/file")
    found = metrics(base(cluster))
    name = "operation_duration_count operation=FileStatus"
    assert found[name] == before[name] + 1
    assert found["rpc_request_total_count_total"] > before["rpc_request_total_count_total"]
    assert found["rpc_request_time_total"] > 0
    assert found["worker_num tag=live"] == 1
    assert found["inode_file_num"] == 2
    assert found["journal_committed"] > 0
    eventually(lambda: metrics(base(cluster))["num_blocks"] >= 3)  # the next heartbeat tells
    assert not any("WorkerHeartbeat" in key for key in found if key.startswith("operation_"))
    expected = {row.name for row in MASTER if not row.absent}
    assert expected - families(base(cluster)) == set()


def test_worker_metrics(cluster: MiniCluster) -> None:
    worker = f"http://127.0.0.1:{worker_web(cluster)}"
    with BlockingFileSystem(cluster.conf(short_circuit=False)) as files:
        with files.create("/dir/far") as file:
            file.write(0, b"y" * 300_000)
        with files.open_read("/dir/far") as file:
            assert file.read(0, 300_000) == b"y" * 300_000
        files.delete("/dir/far", recursive=False)
    found = metrics(worker)
    assert found["write_bytes_total"] >= 300_000
    assert found["read_bytes_total"] >= 300_000
    assert found["write_blocks_total type=remote"] >= 1
    assert found["read_blocks_total type=remote"] >= 1
    assert found["write_blocks_total type=local"] >= 1
    assert found["file_layout_operation_us_count operation=finalize"] >= 2
    assert (found["total_disks"], found["failed_disks"]) == (1, 0)
    assert found["worker_registered"] == 1
    expected = {row.name for row in WORKER if not row.absent}
    assert expected - families(worker) == set()


def stat_times(cluster: MiniCluster, count: int) -> list[float]:
    times = []
    with WireClient(cluster.master_address) as wire:
        for _ in range(count):
            start = time.perf_counter()
            wire.status("/dir/file")
            times.append(time.perf_counter() - start)
    return times


def test_slow_http_clients_cost_rpc_nothing(cluster: MiniCluster) -> None:
    address = ("127.0.0.1", cluster.conf().master.web_port)
    quiet = statistics.median(stat_times(cluster, 2000))
    clients = []
    try:
        for number in range(300):  # more than are served at a time
            client = socket.create_connection(address, timeout=5)
            clients.append(client)
            if number % 3 == 0:
                client.send(b"GET /api/browse?path=/large HTTP/1.1\r\nHost: 127")  # never finished
            elif number % 3 == 1:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                line = b"GET /api/browse?path=/large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
                client.send(line * 20)  # answers that nobody reads
        busy = statistics.median(stat_times(cluster, 2000))
        assert busy < 3 * quiet + 0.001, (quiet, busy)
        assert ask(base(cluster) + "/healthz")[0] == 200, "a new client is served"
        fds = len(os.listdir(f"/proc/{cluster.master.pid}/fd"))
        assert fds < 250, "connections are counted"
    finally:
        for client in clients:
            client.close()


class TestWithTokens:
    """An admin token in a file: nobody changes anything without it, wherever from."""

    TOKEN = "correct-horse-battery-staple"

    def test_the_token_and_only_the_token(self, tmp_path: Path) -> None:
        path = tmp_path / "admin.token"
        path.write_text(self.TOKEN + "\n")
        settings = {"auth": {"admin_token_file": str(path)}}
        with MiniCluster(tmp_path / "cluster", settings=settings) as cluster:
            change = base(cluster) + "/add-dcm?workers=127.0.0.1"
            right = {"Authorization": f"Bearer {self.TOKEN}"}
            assert ask(change)[0] == 403
            assert ask(change, {"Authorization": "Bearer " + "x" * 28})[0] == 401
            assert ask(f"{change}&token={self.TOKEN}")[0] == 403
            assert ask(change, {**right, "X-Forwarded-For": "10.0.0.1"})[0] == 200
            path.write_text("another-horse-battery-staple\n")
            other = {"Authorization": "Bearer another-horse-battery-staple"}
            assert ask(base(cluster) + "/remove-dcm?workers=127.0.0.1", other)[0] == 200
            shown = b"".join(
                ask(base(cluster) + page)[1]
                for page in ("/api/config", "/api/overview", "/metrics", "/api/workers")
            )
            for word in (self.TOKEN, "another-horse"):
                assert word not in shown.decode() + cluster.logs()


def test_a_taken_port_is_a_warning(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        web = {"web_port": taken.getsockname()[1]}
        cluster = MiniCluster(tmp_path, settings={"master": web})
        with cluster:
            assert "no HTTP pages" in cluster.master.output()
            with BlockingFileSystem(cluster.conf()) as files:
                assert files.exists("/")
