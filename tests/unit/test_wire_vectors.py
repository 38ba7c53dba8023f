# SPDX-License-Identifier: Apache-2.0
"""Every golden frame, both directions, whole and byte by byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from google.protobuf.message import Message

from curvine.wire import bincode, codes, status
from curvine.wire.frame import Frame, FrameDecoder, encode
from curvine.wire.pb import (
    common_pb2,
    ext_pb2,
    job_pb2,
    master_pb2,
    mount_pb2,
    replication_pb2,
    transfer_pb2,
    worker_pb2,
)

MODULES = (
    common_pb2,
    ext_pb2,
    job_pb2,
    master_pb2,
    mount_pb2,
    replication_pb2,
    transfer_pb2,
    worker_pb2,
)
DATA = Path(__file__).parent.parent / "data" / "vectors"
CONTROL = json.loads((DATA / "control.json").read_text())["vectors"]
BLOCKS = json.loads((DATA / "data.json").read_text())["vectors"]


def message_class(name: str) -> type[Message]:
    for module in MODULES:
        if hasattr(module, name):
            return getattr(module, name)
    raise AssertionError(f"no message {name}")


def decode_one(raw: bytes) -> Frame:
    (frame,) = FrameDecoder().feed(raw)
    decoder = FrameDecoder()
    pieces = [frame for byte in raw for frame in decoder.feed(bytes([byte]))]
    assert len(pieces) == 1
    assert pieces[0].header == frame.header
    assert bytes(pieces[0].data) == bytes(frame.data)
    assert decoder.pending == 0
    return frame


def check_message(name: str | None, header: bytes) -> Message | None:
    """Parse, serialise again and compare: our schema writes what the published one writes."""
    if not name:
        assert header == b""
        return None
    message = message_class(name).FromString(header)
    if header:  # an absent header stands for an all-default message
        assert message.SerializeToString(deterministic=True) == header
    return message


@pytest.mark.parametrize("vector", CONTROL, ids=lambda v: v["name"])
def test_control_vector(vector: dict) -> None:
    raw = bytes.fromhex(vector["hex"])
    frame = decode_one(raw)
    decoded = vector["decoded"]
    assert frame.code == decoded["code"]
    assert frame.status == int(decoded["status_byte"], 16)
    assert frame.req_id == int(decoded["req_id"])
    assert frame.seq_id == decoded["seq_id"]
    assert codes.request_status(frame.status) == decoded["request_status_nibble"]
    assert codes.response_status(frame.status) == decoded["response_status_nibble"]
    assert (
        codes.status_byte(decoded["request_status_nibble"], decoded["response_status_nibble"])
        == frame.status
    )
    assert frame.header.hex() == vector.get("header_hex", "")
    assert bytes(frame.data).hex() == vector.get("data_hex", "")
    message = check_message(vector.get("header_type"), frame.header)
    if message is not None and "header_json" in vector:
        expected = json_format.ParseDict(vector["header_json"], type(message)())
        assert message == expected
    if isinstance(vector.get("data_meaning"), dict) and "kind" in vector["data_meaning"]:
        meaning = vector["data_meaning"]
        error = status.decode_error(frame.data)
        assert status.kind_of(error) == meaning["kind"]
        assert error.message == meaning["message"]
        assert status.encode_error(error) == frame.data
    assert encode(*frame) == raw


@pytest.mark.parametrize("vector", BLOCKS, ids=lambda v: v["name"])
def test_data_vector(vector: dict) -> None:
    raw = bytes.fromhex(vector["frame_hex"])
    frame = decode_one(raw)
    assert frame.code == vector["code"]
    assert frame.status == int(vector["status_byte"], 16)
    assert frame.req_id == int(vector["req_id"])
    assert frame.seq_id == vector["seq_id"]
    assert codes.request_status(frame.status).name.lower() == vector["request_status"].lower()
    response = codes.response_status(frame.status)
    expected = {-1: "request", 0: "success", 1: "error"}[response]
    assert vector["response_status"] == expected
    assert frame.header.hex() == vector["header_hex"]
    assert bytes(frame.data).hex() == vector["data_hex"]
    message = check_message(vector["header_type"], frame.header)
    if message is not None and vector["header_fields"]:
        assert message == text_format.Parse(vector["header_fields"], type(message)())
    if response == codes.ResponseStatus.ERROR:
        error = status.decode_error(frame.data)
        assert status.encode_error(error) == frame.data
    assert encode(*frame) == raw


def vector_message(name: str) -> Message:
    (vector,) = [v for v in BLOCKS if v["name"] == name]
    frame = decode_one(bytes.fromhex(vector["frame_hex"]))
    return message_class(vector["header_type"]).FromString(frame.header)


def test_load_command_payload() -> None:
    raw = vector_message("submit_load_job_request").job_command
    command = bincode.decode_load_command(raw)
    assert command.source_path == "s3://bkt/dir/f.bin"
    assert command.overwrite is True
    assert bincode.encode_load_command(command) == raw


def test_load_task_payload() -> None:
    raw = vector_message("submit_load_task_request").task_command
    task = bincode.decode_load_task(raw)
    assert task.job.job_id == "job_0123456789abcdef0123456789abcdef"
    assert task.job.mount.ufs_path == "s3://bkt/dir"
    assert task.job.mount.properties["s3.endpoint_url"] == "http://127.0.0.1:9000"
    assert bincode.encode_load_task(task) == raw


@pytest.mark.parametrize("layout", bincode.TaskLayout)
def test_load_task_layouts_round_trip(layout: bincode.TaskLayout) -> None:
    task = bincode.decode_load_task(vector_message("submit_load_task_request").task_command)
    raw = bincode.encode_load_task(task, layout)
    again = bincode.decode_load_task(raw, layout)
    assert again.job.job_id == task.job.job_id
    assert again.target_path == task.target_path
    assert again.worker == task.worker
