# SPDX-License-Identifier: Apache-2.0
"""Cluster authentication with real processes: who gets in, who does not, where the token shows."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from curvine.client.blocking import BlockingFileSystem
from curvine.client.streams import local_socket_name
from curvine.config.schema import AuthConf, ClusterConf
from curvine.config.tokens import admin_token
from curvine.errors import Common, CurvineError, NotAuthenticated
from curvine.model.credentials import EXPOSE, MASTER, WITHHELD
from curvine.model.mount import MountInfo, MountOptions
from curvine.model.worker import WorkerAddress
from curvine.testing.cluster import CLUSTER_ID, WORKER_READY, MiniCluster, Process
from curvine.wire import codes
from curvine.wire.codes import RpcCode
from curvine.wire.frame import Frame, FrameDecoder, encode
from curvine.wire.pb import common_pb2, mount_pb2, worker_pb2
from curvine.wire.status import decode_error

TOKEN = "b0b5c4fe-a-token-that-must-not-be-seen-anywhere"
OTHER = "the-token-of-somebody-else-entirely"
NEXT = "the-token-that-comes-after-the-first-one"
CREDENTIAL = "wJalrXUtnFEMI-never-to-be-seen"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    root = tmp_path_factory.mktemp("auth")
    (root / "token").write_text(TOKEN + "\n")
    settings = {"auth": {"token_file": str(root / "token")}}
    with MiniCluster(root, workers=2, settings=settings) as made:
        yield made


def with_auth(cluster: MiniCluster, **auth: object) -> ClusterConf:
    """The client's configuration with another [auth] section; it soon gives up."""
    conf = cluster.conf(rpc_retry_max_duration_ms=1000, conn_timeout_ms=1000)
    return msgspec.structs.replace(conf, auth=AuthConf(**auth))


def worker_of(cluster: MiniCluster) -> WorkerAddress:
    with BlockingFileSystem(cluster.conf()) as fs:
        return fs.filesystem_info().live_workers[0].address


def ask(address: tuple[str, int] | str, *frames: bytes) -> list[Frame]:
    """What a server says to a peer that sends these frames, until it closes."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(f"\0{address}")
    else:
        sock = socket.create_connection(address)
    with sock:
        sock.settimeout(5)
        sock.sendall(b"".join(frames))
        decoder, answers = FrameDecoder(), []
        while data := sock.recv(1 << 16):
            answers += decoder.feed(data)
    return answers


def wait_for_job(fs: BlockingFileSystem, source: str) -> str:
    job = fs.submit_load(source)
    deadline = time.monotonic() + 20
    while not (status := fs.job_status(job.job_id)).state.ended and time.monotonic() < deadline:
        time.sleep(0.05)
    return f"{status.state.name}: {status.progress.message}"


def test_everything_works_with_the_token(cluster: MiniCluster, tmp_path: Path) -> None:
    """Client, master and workers, over TCP and the local socket, and a load in between."""
    for near in (True, False):
        with BlockingFileSystem(cluster.conf(short_circuit=near, replicas=2)) as fs:
            name = f"/near-{near}"
            with fs.create(name) as file:
                file.append(b"x" * 3_000_000)
            with fs.open_read(name) as reader:
                assert reader.read(2_999_990, 100) == b"x" * 10
            assert len(fs.filesystem_info().live_workers) == 2
    source = tmp_path / "ufs"
    source.mkdir()
    (source / "file").write_bytes(b"u" * 100_000)
    with BlockingFileSystem(cluster.conf()) as fs:
        fs.mount("/ufs", f"file://{source}", MountOptions())
        assert wait_for_job(fs, f"file://{source}/file") == "COMPLETED: "
        fs.umount("/ufs")


@pytest.mark.parametrize("door", ["master", "worker", "local"])
def test_no_frame_gets_past_without_the_token(cluster: MiniCluster, door: str) -> None:
    """Each code in turn: one error that says why, and the end of the connection."""
    worker = worker_of(cluster)
    local = local_socket_name(CLUSTER_ID, worker)
    addresses: dict[str, tuple[str, int] | str] = {
        "master": cluster.master_address,
        "worker": (worker.ip_addr, worker.rpc_port),
        "local": local,
    }
    for code in RpcCode:
        if code in (RpcCode.AUTH_HELLO, RpcCode.UNDEFINED, RpcCode.HEARTBEAT):
            continue
        for status in (codes.RPC, codes.OPEN):
            frame = encode(code, status, 5, 0)
            (answer,) = ask(addresses[door], frame, frame)
            assert (answer.code, answer.req_id) == (code, 5)
            error = decode_error(answer.data)
            assert type(error) is Common and "auth.token_file" in error.message


def test_the_client_says_what_is_wrong(cluster: MiniCluster, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(OTHER)
    began = time.monotonic()
    with (
        BlockingFileSystem(with_auth(cluster)) as fs,
        pytest.raises(CurvineError, match="prove the cluster's token"),
    ):
        fs.status("/")
    with (
        BlockingFileSystem(with_auth(cluster, token_file=str(tmp_path / "other"))) as fs,
        pytest.raises(NotAuthenticated, match="did not prove that it holds our token"),
    ):
        fs.status("/")
    assert time.monotonic() - began < 5, "a refusal is final, nobody searches for a better master"


def test_cv_and_the_environment(cluster: MiniCluster) -> None:
    conf = cluster.root / "client.toml"
    host, port = cluster.master_address
    conf.write_text(
        f'cluster_id = "{CLUSTER_ID}"\n'
        f'[[client.master_addrs]]\nhostname = "{host}"\nport = {port}\n'
    )
    command = [sys.executable, "-m", "curvine.cli.main", "--conf", str(conf), "fs", "ls", "/"]
    plain = {k: v for k, v in os.environ.items() if not k.startswith("CURVINE_")}
    for extra, good in (
        ({}, False),
        ({"CURVINE_AUTH_TOKEN": OTHER}, False),
        ({"CURVINE_AUTH_TOKEN": TOKEN}, True),
        ({"CURVINE_AUTH_TOKEN_FILE": str(cluster.root / "token")}, True),
    ):
        done = subprocess.run(
            command, env={**plain, **extra}, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode == 0) == good, done.stderr
        assert good or "token" in done.stderr
        assert "Traceback" not in done.stderr
        assert TOKEN not in done.stdout + done.stderr and OTHER not in done.stdout + done.stderr


def test_the_token_is_nowhere_to_be_seen(cluster: MiniCluster) -> None:
    """Logs, command lines, files that the cluster writes, the effective configuration."""
    token = (cluster.root / "token").read_text().strip()
    for process in (cluster.master, *cluster.workers):
        for name in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
        assert token not in process.output()
    for path in cluster.root.rglob("*"):
        if path.is_file() and not path.name.startswith("token"):
            assert token.encode() not in path.read_bytes(), path
    conf = cluster.conf()
    assert token not in repr(conf) + str(msgspec.to_builtins(conf))


def test_pages_change_nothing_without_the_admin_token(cluster: MiniCluster) -> None:
    """Not even for a caller on the same machine; and no page shows a token."""
    port = with_auth(cluster).master.web_port
    known = admin_token(TOKEN.encode(), CLUSTER_ID).decode()

    def ask_page(path: str, shown: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    change = "/remove-dcm?workers=nobody"
    for shown in ("", TOKEN, OTHER):
        assert ask_page(change, shown)[0] in {401, 403}
    assert ask_page(change, known)[0] not in {401, 403}
    for path in ("/metrics", "/healthz", "/report", "/api/overview", "/api/config", "/workers"):
        status, text = ask_page(path)
        assert status == 200 and TOKEN not in text and known not in text
    assert TOKEN not in cluster.master.output() and known not in cluster.master.output()


def test_a_worker_without_the_token_is_not_taken(cluster: MiniCluster, tmp_path: Path) -> None:
    settings = {
        "client": {"master_addrs": [{"hostname": "127.0.0.1", "port": cluster.master_port}]}
    }
    stranger = MiniCluster(tmp_path / "stranger", settings=settings)
    theirs = stranger.workers[0]
    refused = "prove the cluster's token"
    worker = Process("stranger", "curvine.worker.run", theirs.conf, theirs.log, refused)
    worker.start()  # returns when that is said
    worker.kill()
    assert WORKER_READY not in worker.output()
    heartbeat = worker_pb2.WorkerHeartbeatRequest(
        cluster_id=CLUSTER_ID, worker_id=77, fs_ctime=1, failed_dirs=0, status=0,
        software_version="x",
        address=common_pb2.WorkerAddressProto(
            worker_id=77, hostname="x", ip_addr="127.0.0.1", rpc_port=1, web_port=1
        ),
    )  # fmt: skip
    header = heartbeat.SerializeToString()
    (answer,) = ask(cluster.master_address, encode(40, codes.RPC, 1, -1, header))
    assert codes.response_status(answer.status) is codes.ResponseStatus.ERROR
    with BlockingFileSystem(cluster.conf()) as fs:
        assert len(fs.filesystem_info().live_workers) == 2


def test_a_new_token_without_a_restart(tmp_path: Path) -> None:
    """Old and new get in during the grace time, only the new one after it."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    settings = {"auth": {"token_file": str(token), "grace": "4s"}}
    old = tmp_path / "old"
    old.write_text(TOKEN)
    with MiniCluster(tmp_path / "cluster", settings=settings) as cluster:
        late = with_auth(cluster, token_file=str(old))
        with BlockingFileSystem(cluster.conf()) as fs:
            fs.mkdir("/before")
            fresh = tmp_path / "fresh"
            fresh.write_text(NEXT)
            fresh.replace(token)
            for conf in (cluster.conf(), late):
                with BlockingFileSystem(conf) as other:
                    assert other.exists("/before")
                    with other.create(f"/by-{conf is late}") as file:
                        file.append(b"x" * 1000)
            time.sleep(4.2)
            with BlockingFileSystem(late) as other, pytest.raises(NotAuthenticated):
                other.status("/")
            with fs.create("/after") as file:
                file.append(b"x" * 1000)
        with BlockingFileSystem(cluster.conf()) as other:
            with other.open_read("/after") as reader:
                assert reader.read(0, 1000) == b"x" * 1000
            assert len(other.filesystem_info().live_workers) == 1
        for process in (cluster.master, *cluster.workers):
            assert TOKEN not in process.output() and NEXT not in process.output()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("mounts")) as made:
        yield made


class TestMountCredentials:
    """Without cluster authentication as well: what leaves the master is the mount's decision."""

    def told(self, cluster: MiniCluster, path: str, *, ours: bool) -> dict[str, str]:
        """The properties of a mount, asked for by table and by path, which must agree."""
        table = mount_pb2.GetMountTableRequest()
        info = mount_pb2.GetMountInfoRequest(path=path)
        if ours:
            table.references = info.references = True
        with socket.create_connection(cluster.master_address) as sock:
            answers = []
            for code, request in ((RpcCode.GET_MOUNT_TABLE, table), (RpcCode.GET_MOUNT_INFO, info)):
                sock.sendall(encode(code, codes.RPC, 1, -1, request.SerializeToString()))
                decoder = FrameDecoder()
                while not (frames := decoder.feed(sock.recv(1 << 16))):
                    pass
                answers.append(frames[0].header)
        rows = mount_pb2.GetMountTableResponse.FromString(answers[0]).mount_table
        by_table = next(dict(row.properties) for row in rows if row.cv_path == path)
        by_path = mount_pb2.GetMountInfoResponse.FromString(answers[1]).mount_info
        assert by_table == dict(by_path.properties)
        return by_table

    def mount(self, cluster: MiniCluster, path: str, uri: str, **properties: str) -> None:
        """As a foreign `cv mount` does it: no check of ours before it."""
        request = mount_pb2.MountRequest(cv_path=path, ufs_path=uri)
        request.mount_options.update = False
        request.mount_options.read_verify_ufs = False
        request.mount_options.write_type = 0
        request.mount_options.add_properties.update(
            {name.replace("__", "."): value for name, value in properties.items()}
        )
        with socket.create_connection(cluster.master_address) as sock:
            sock.sendall(encode(RpcCode.MOUNT, codes.RPC, 3, -1, request.SerializeToString()))
            (answer,) = FrameDecoder().feed(sock.recv(1 << 16))
        if codes.response_status(answer.status) is not codes.ResponseStatus.SUCCESS:
            raise decode_error(answer.data)

    def test_a_literal_is_kept(self, plain: MiniCluster, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x")
        self.mount(plain, "/kept", f"file://{tmp_path}", opendal__secret=CREDENTIAL)
        assert self.told(plain, "/kept", ours=False) == {"opendal.secret": WITHHELD}
        reference = self.told(plain, "/kept", ours=True)["opendal.secret"]
        assert reference.startswith(MASTER)
        with BlockingFileSystem(plain.conf()) as fs:
            assert wait_for_job(fs, f"file://{tmp_path}/file") == "COMPLETED: "
            changed = MountOptions(update=True, add_properties={"opendal.secret": "another"})
            fs.mount("/kept", f"file://{tmp_path}", changed)
            assert self.told(plain, "/kept", ours=True)["opendal.secret"] != reference
            fs.umount("/kept")
        with pytest.raises(Common, match="kept back"):
            self.mount(plain, "/again", f"file://{tmp_path}", opendal__secret=reference)
        with pytest.raises(Common, match="kept back"):
            self.mount(plain, "/again", f"file://{tmp_path}", opendal__secret=WITHHELD)

    def test_a_reference_works_everywhere(self, plain: MiniCluster, tmp_path: Path) -> None:
        (tmp_path / "ufs").mkdir()
        (tmp_path / "ufs" / "file").write_bytes(b"x" * 1000)
        (tmp_path / "credential").write_text(CREDENTIAL)
        reference = {"opendal.secret": f"file:{tmp_path}/credential"}
        options = MountOptions(add_properties=reference)
        with BlockingFileSystem(plain.conf()) as fs:
            fs.mount("/refer", f"file://{tmp_path}/ufs", options)
            assert self.told(plain, "/refer", ours=True) == reference
            assert self.told(plain, "/refer", ours=False) == {"opendal.secret": WITHHELD}
            assert wait_for_job(fs, f"file://{tmp_path}/ufs/file") == "COMPLETED: "
            (mount,) = (m for m in fs.mount_table() if m.cv_path == "/refer")
            assert isinstance(mount, MountInfo) and mount.properties == reference
            fs.umount("/refer")

    def test_an_exposed_one_travels(self, plain: MiniCluster, tmp_path: Path) -> None:
        (tmp_path / "ufs").mkdir()
        (tmp_path / "ufs" / "file").write_bytes(b"x" * 1000)
        (tmp_path / "credential").write_text(CREDENTIAL)
        exposed = {EXPOSE: "true", "opendal.secret": CREDENTIAL}
        with BlockingFileSystem(plain.conf()) as fs:
            fs.mount("/open", f"file://{tmp_path}/ufs", MountOptions(add_properties=exposed))
            assert self.told(plain, "/open", ours=True) == exposed
            assert self.told(plain, "/open", ours=False) == {"opendal.secret": CREDENTIAL}
            assert wait_for_job(fs, f"file://{tmp_path}/ufs/file") == "COMPLETED: "
            fs.umount("/open")

    def test_no_log_has_seen_one(self, plain: MiniCluster) -> None:
        for process in (plain.master, *plain.workers):
            assert CREDENTIAL not in process.output()


def test_a_mount_with_fuse(cluster: MiniCluster, tmp_path: Path) -> None:
    """curvine-fuse proves the token as every client does; nothing shows it."""
    if not os.path.exists("/dev/fuse") or os.geteuid() != 0:
        pytest.skip("FUSE TEST DID NOT RUN: no /dev/fuse, or not root")
    from curvine.testing.mounting import MiniMount

    with MiniMount(cluster.conf_path, tmp_path / "mnt") as mount:
        target = mount.target
        script = f"echo hello > {target}/by-fuse && cat {target}/by-fuse"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30)
        assert done.stdout == "hello\n", done.stderr
        token = (cluster.root / "token").read_bytes().strip()
        for pid in (mount.pid, *mount.server_pids()):
            for name in ("cmdline", "environ"):
                assert token not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert token.decode() not in mount.output()


def test_cost_of_a_connection(cluster: MiniCluster) -> None:
    """One round trip more; no second per connection is hidden in it."""
    from curvine.clock import SystemClock
    from curvine.rpc.auth import Auth
    from curvine.rpc.client import RpcConnection

    async def measure() -> float:
        auth = Auth.of(cluster.conf(), SystemClock())
        began = time.perf_counter()
        for _ in range(50):
            (await RpcConnection.connect(*cluster.master_address, auth=auth)).close()
        return (time.perf_counter() - began) / 50

    assert asyncio.run(measure()) < 0.05
