# SPDX-License-Identifier: Apache-2.0
"""Small rules of the worker's handlers: who is welcome, which edition of a task is read."""

from __future__ import annotations

import pytest

from curvine.config.schema_shared import CompatibilityConf
from curvine.errors import Common, DecodeFailed
from curvine.model.inode import StorageType, TtlAction
from curvine.model.job import LoadJob, LoadTask
from curvine.model.mount import MountInfo
from curvine.model.worker import WorkerAddress
from curvine.wire.bincode import TaskLayout, encode_load_task
from curvine.wire.pb import common_pb2
from curvine.worker.handlers.peers import PeerCheck
from curvine.worker.handlers.task import decode_task


def peer(version: str, protocol: int = 1, least: int = 1) -> common_pb2.ComponentInfoProto:
    return common_pb2.ComponentInfoProto(
        component="client",
        release_version=version,
        protocol_version=protocol,
        min_protocol_version=least,
    )


def test_peers() -> None:
    relaxed = PeerCheck(CompatibilityConf(blocked_versions=("0.3.1",), min_client_version="0.3.0"))
    relaxed.check(peer("0.1.0", 5, 4))
    with pytest.raises(Common, match="blocked"):
        relaxed.check(peer("0.3.1"))
    strict = PeerCheck(CompatibilityConf(mode="enforce", min_client_version="0.3.0"))
    strict.check(peer("0.3.0"))
    strict.check(peer("who knows"))
    for wrong in (peer("0.2.9"), peer("0.4.0", 3, 2)):
        with pytest.raises(Common):
            strict.check(wrong)


@pytest.mark.parametrize("layout", list(TaskLayout))
def test_tasks_of_every_edition(layout: TaskLayout) -> None:
    mount = MountInfo("/data", "file:///src", 7, {"key": "value"}, ttl_ms=5)
    job = LoadJob(
        "job", "file:///src", "/data", 1 << 27, 1, StorageType.SSD, 5, TtlAction.DELETE, mount, 9,
        True,
    )  # fmt: skip
    worker = WorkerAddress(3, "host", "10.0.0.1", 8997, 9002)
    task = LoadTask(job, "job_run_1_task_0", worker, "file:///src/f", "/data/f", 11)
    assert decode_task(encode_load_task(task, layout)) == task


def test_a_task_that_is_none() -> None:
    with pytest.raises(DecodeFailed):
        decode_task(b"nonsense")
