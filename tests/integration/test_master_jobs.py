# SPDX-License-Identifier: Apache-2.0
"""Load jobs against a worker that only takes tasks: planning, hand-over, reports, ends."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curvine import errors
from curvine.master.load_plan import HUGE_FILE_BLOCK, MAX_SINGLE_BLOCK
from curvine.model.inode import SetAttr
from curvine.model.job import JobState, LoadCommand, LoadTask
from curvine.model.mount import MountOptions, WriteType
from curvine.testing.cluster import MiniCluster
from curvine.wire.bincode import TaskLayout, decode_load_task, encode_load_command
from curvine.wire.codes import RpcCode, success_byte
from curvine.wire.convert import fill_set_attr
from curvine.wire.convert_cluster import fill_mount_options
from curvine.wire.frame import FrameDecoder, encode
from curvine.wire.pb import job_pb2, master_pb2, mount_pb2
from master_wire import WireClient

WORKER = 31
_submitted: set[str] = set()


class TaskTaker:
    """The task side of a worker: takes SubmitTask and CancelJob on a real socket."""

    def __init__(self) -> None:
        self.tasks: queue.Queue[LoadTask] = queue.Queue()
        self.cancelled: queue.Queue[str] = queue.Queue()
        self.refusal = ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        decoder = FrameDecoder()
        while data := peer.recv(1 << 16):
            for frame in decoder.feed(data):
                header = b""
                if frame.code == RpcCode.SUBMIT_TASK:
                    request = job_pb2.SubmitTaskRequest.FromString(frame.header)
                    # a worker that announces nothing gets the older payload
                    task = decode_load_task(request.task_command, TaskLayout.V0_3_6)
                    header = job_pb2.SubmitTaskResponse(
                        task_id=task.task_id,
                        accepted=not self.refusal,
                        reject_reason=self.refusal,
                    ).SerializeToString()
                    if not self.refusal:
                        self.tasks.put(task)
                else:
                    self.cancelled.put(job_pb2.CancelJobRequest.FromString(frame.header).job_id)
                peer.sendall(
                    encode(
                        frame.code, success_byte(frame.status), frame.req_id, frame.seq_id, header
                    )
                )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with MiniCluster(tmp_path_factory.mktemp("jobs"), workers=0) as running:
        yield running


@pytest.fixture
def client(cluster: MiniCluster) -> Iterator[WireClient]:
    with WireClient(cluster.master_address) as connected:
        yield connected


@pytest.fixture
def taker(client: WireClient) -> Iterator[TaskTaker]:
    taking = TaskTaker()
    client.heartbeat(WORKER, port=taking.port)
    yield taking
    for job_id in _submitted:  # else their tasks would go to the next test's worker
        request = job_pb2.CancelJobRequest(job_id=job_id)
        client.call(RpcCode.CANCEL_JOB, request, job_pb2.CancelJobResponse)
    _submitted.clear()
    client.heartbeat(WORKER, 2, port=taking.port)
    taking.close()


@pytest.fixture
def mounted(client: WireClient, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A file:// mount of a small tree: (Curvine path, directory)."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_bytes(b"a" * 10)
    (tree / "sub" / "b").write_bytes(b"b" * 20)
    (tree / "link").symlink_to("a")
    with (tree / "big").open("wb") as big:
        big.truncate(3 << 30)
    with (tree / "huge").open("wb") as huge:
        huge.truncate(MAX_SINGLE_BLOCK + 1)
    path = f"/{tmp_path.name}"
    request = mount_pb2.MountRequest(cv_path=path, ufs_path=tree.as_uri())
    options = MountOptions(write_type=WriteType.CACHE_MODE, ttl_ms=1000)
    fill_mount_options(request.mount_options, options)
    client.call(RpcCode.MOUNT, request, mount_pb2.MountResponse)
    yield path, tree
    unmount = mount_pb2.UnMountRequest(cv_path=path)
    client.call(RpcCode.UN_MOUNT, unmount, mount_pb2.UnMountResponse)


def submit(client: WireClient, source: str, **options: object) -> job_pb2.SubmitJobResponse:
    command = encode_load_command(LoadCommand(source, **options))  # type: ignore[arg-type]
    request = job_pb2.SubmitJobRequest(job_type=job_pb2.LOAD, job_command=command)
    reply = client.call(RpcCode.SUBMIT_JOB, request, job_pb2.SubmitJobResponse)
    _submitted.add(reply.job_id)
    return reply


def status(client: WireClient, job_id: str) -> job_pb2.GetJobStatusResponse:
    request = job_pb2.GetJobStatusRequest(job_id=job_id, verbose=False)
    return client.call(RpcCode.GET_JOB_STATUS, request, job_pb2.GetJobStatusResponse)


def report(client: WireClient, task: LoadTask, state: JobState, message: str = "") -> None:
    size = Path(task.source_path.removeprefix("file://")).stat().st_size
    request = job_pb2.TaskReportRequest(job_id=task.job.job_id, task_id=task.task_id)
    request.report.CopyFrom(
        job_pb2.JobTaskProgressProto(
            loaded_size=size if state is JobState.COMPLETED else size // 2,
            total_size=size,
            update_time=int(time.time() * 1000),
            state=state,
            message=message,
        )
    )
    client.call(RpcCode.REPORT_TASK, request, job_pb2.TaskReportResponse)


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_tree_is_loaded(client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]) -> None:
    path, tree = mounted
    reply = submit(client, tree.as_uri())
    assert (reply.target_path, reply.state) == (path, JobState.PENDING)
    tasks = {task.target_path: task for task in (taker.tasks.get(timeout=5) for _ in range(4))}
    assert set(tasks) == {f"{path}/a", f"{path}/sub/b", f"{path}/big", f"{path}/huge"}
    task = tasks[f"{path}/sub/b"]
    assert task.source_path == f"{tree.as_uri()}/sub/b"
    assert (task.worker.worker_id, task.job.mount.cv_path, task.job.ttl_ms) == (WORKER, path, 1000)
    assert task.job.block_size == 128 << 20
    assert tasks[f"{path}/big"].job.block_size == 3 << 30, "one block a file"
    assert tasks[f"{path}/huge"].job.block_size == HUGE_FILE_BLOCK
    assert submit(client, tree.as_uri()).state == JobState.LOADING, "the running job, not another"
    report(client, task, JobState.LOADING)
    progress = status(client, reply.job_id).progress
    assert progress.loaded_size == 10
    assert progress.total_size == 30 + (3 << 30) + MAX_SINGLE_BLOCK + 1
    for each in tasks.values():
        report(client, each, JobState.COMPLETED)
    final = status(client, reply.job_id)
    assert final.state == JobState.COMPLETED
    assert final.progress.loaded_size == final.progress.total_size
    assert taker.tasks.empty()


def test_what_is_cached_is_left_alone(
    client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]
) -> None:
    path, tree = mounted
    source = tree / "a"
    client.create(f"{path}/a")
    block = client.add_block(f"{path}/a").block.id
    client.complete(f"{path}/a", 10, {block: (10, WORKER)})
    change = master_pb2.SetAttrRequest(path=f"{path}/a")
    fill_set_attr(change.opts, SetAttr(ufs_mtime=source.stat().st_mtime_ns // 1_000_000))
    client.call(RpcCode.SET_ATTR, change, master_pb2.SetAttrResponse)
    job_id = submit(client, f"{path}/a").job_id
    eventually(lambda: status(client, job_id).state == JobState.COMPLETED)
    assert taker.tasks.empty()
    progress = status(client, job_id).progress
    assert (progress.loaded_size, progress.total_size) == (10, 10), "what is there counts as loaded"
    source.write_bytes(b"changed!!!")
    later = source.stat().st_mtime + 5
    os.utime(source, (later, later))
    submit(client, f"{path}/a")
    assert taker.tasks.get(timeout=5).target_path == f"{path}/a"


def test_a_source_has_one_job_however_it_is_written(
    client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]
) -> None:
    path, tree = mounted
    names = (tree.as_uri(), f"{tree.as_uri()}/", path, f"{path}/")
    assert len({submit(client, name).job_id for name in names}) == 1


def test_a_failed_task_fails_the_job(
    client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]
) -> None:
    _, tree = mounted
    job_id = submit(client, f"{tree.as_uri()}/sub").job_id
    task = taker.tasks.get(timeout=5)
    report(client, task, JobState.FAILED, "no room")
    final = status(client, job_id)
    assert final.state == JobState.FAILED
    assert "sub/b: no room" in final.progress.message
    assert submit(client, f"{tree.as_uri()}/sub").job_id == job_id, "an ended job is replaced"
    assert taker.tasks.get(timeout=5).task_id != task.task_id


def test_cancel_tells_the_worker(
    client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]
) -> None:
    _, tree = mounted
    job_id = submit(client, f"{tree.as_uri()}/sub").job_id
    task = taker.tasks.get(timeout=5)
    request = job_pb2.CancelJobRequest(job_id=job_id)
    client.call(RpcCode.CANCEL_JOB, request, job_pb2.CancelJobResponse)
    assert taker.cancelled.get(timeout=5) == job_id
    report(client, task, JobState.COMPLETED)
    assert status(client, job_id).state == JobState.CANCELED
    client.call(RpcCode.CANCEL_JOB, request, job_pb2.CancelJobResponse)


def test_a_restarted_worker_gets_its_tasks_again(
    client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]
) -> None:
    _, tree = mounted
    job_id = submit(client, f"{tree.as_uri()}/sub").job_id
    first = taker.tasks.get(timeout=5)
    client.heartbeat(WORKER, 0, port=taker.port)
    client.heartbeat(WORKER, port=taker.port)
    again = taker.tasks.get(timeout=5)
    assert again.task_id == first.task_id
    report(client, again, JobState.COMPLETED)
    assert status(client, job_id).state == JobState.COMPLETED


def test_refusals(client: WireClient, taker: TaskTaker, mounted: tuple[str, Path]) -> None:
    path, tree = mounted
    taker.refusal = "too busy"
    job_id = submit(client, f"{tree.as_uri()}/sub").job_id
    eventually(lambda: status(client, job_id).state == JobState.FAILED)
    assert "too busy" in status(client, job_id).progress.message
    job_id = submit(client, f"{tree.as_uri()}/nothing").job_id
    eventually(lambda: status(client, job_id).state == JobState.FAILED)
    for source, options, error in (
        ("", {}, errors.Common),
        ("file:///somewhere/else", {}, errors.Common),
        ("/elsewhere", {}, errors.Common),
        (f"{path}/missing", {}, errors.NotFound),
        (tree.as_uri(), {"target_path": "/other"}, errors.Common),
        (path, {"target_path": path}, errors.Common),
    ):
        with pytest.raises(error):
            submit(client, source, **options)
    with pytest.raises(errors.JobNotFound):
        status(client, "job_0")
    request = job_pb2.SubmitJobRequest(job_type=job_pb2.LOAD, job_command=b"\x05")
    with pytest.raises(errors.Common):
        client.call(RpcCode.SUBMIT_JOB, request, job_pb2.SubmitJobResponse)
