# SPDX-License-Identifier: Apache-2.0
"""Job and task payloads in bincode 1.3: fixed width, little endian (specification 5.17).

Strings, lists and maps carry a u64 count; an option is one tag byte; an enumeration is its u32
*variant index*. Extra trailing bytes are accepted, missing ones fail. A task's layout grew twice:
``TaskLayout`` names the three editions, because the mount description sits in its middle.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from struct import error as struct_error
from typing import TypeVar

from curvine.errors import DecodeFailed
from curvine.model.inode import StorageType, TtlAction
from curvine.model.job import LoadCommand, LoadJob, LoadTask
from curvine.model.mount import AccessMode, MountInfo, Provider, WriteType
from curvine.model.worker import WorkerAddress

_U32 = Struct("<I")
_I32 = Struct("<i")
_I64 = Struct("<q")
_U64 = Struct("<Q")

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)


class TaskLayout(IntEnum):
    """Edition of LoadTaskInfo, named for the first release that has it."""

    V0_2 = 0  # no auto_cache, access_mode, write_cache, source plan or transfer report
    V0_3_6 = 1  # adds auto_cache and access_mode
    V0_4_1 = 2  # adds write_cache, the source plan and the transfer report


class _Writer:
    """Appends values to a buffer."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def getvalue(self) -> bytes:
        return b"".join(self._parts)

    def u32(self, value: int) -> None:
        self._parts.append(_U32.pack(value))

    def i32(self, value: int) -> None:
        self._parts.append(_I32.pack(value))

    def i64(self, value: int) -> None:
        self._parts.append(_I64.pack(value))

    def flag(self, value: bool) -> None:
        self._parts.append(b"\1" if value else b"\0")

    def text(self, value: str) -> None:
        raw = value.encode("utf-8")
        self._parts.append(_U64.pack(len(raw)))
        self._parts.append(raw)

    def text_map(self, value: dict[str, str]) -> None:
        self._parts.append(_U64.pack(len(value)))
        for key, item in value.items():
            self.text(key)
            self.text(item)

    def option(self, value: T | None, write: Callable[[T], None]) -> None:
        self.flag(value is not None)
        if value is not None:
            write(value)


class _Reader:
    """Takes values from a buffer; DecodeFailed when it is too short."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._offset = 0

    def _take(self, layout: Struct) -> int:
        try:
            (value,) = layout.unpack_from(self._raw, self._offset)
        except struct_error as error:
            raise DecodeFailed(f"job payload ends at byte {len(self._raw)}") from error
        self._offset += layout.size
        return int(value)

    def u32(self) -> int:
        return self._take(_U32)

    def i32(self) -> int:
        return self._take(_I32)

    def i64(self) -> int:
        return self._take(_I64)

    def count(self) -> int:
        value = self._take(_U64)
        if value > len(self._raw) - self._offset:
            raise DecodeFailed(f"job payload claims {value} items, more than it can hold")
        return value

    def flag(self) -> bool:
        if self._offset >= len(self._raw):
            raise DecodeFailed(f"job payload ends at byte {len(self._raw)}")
        value = self._raw[self._offset]
        self._offset += 1
        if value > 1:
            raise DecodeFailed(f"job payload has {value} where true or false is due")
        return value == 1

    def text(self) -> str:
        length = self.count()
        raw = self._raw[self._offset : self._offset + length]
        self._offset += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeFailed("job payload has a text that is not UTF-8") from error

    def text_map(self) -> dict[str, str]:
        return {self.text(): self.text() for _ in range(self.count())}

    def option(self, read: Callable[[], T]) -> T | None:
        return read() if self.flag() else None

    def enum(self, kind: type[E]) -> E:
        value = self.u32()
        try:
            return kind(value)
        except ValueError as error:
            raise DecodeFailed(f"job payload has {value}, no {kind.__name__}") from error


def encode_load_command(command: LoadCommand) -> bytes:
    """LoadJobCommand, stable since 0.2.0."""
    out = _Writer()
    out.text(command.source_path)
    out.option(command.target_path, out.text)
    out.option(command.replicas, out.i32)
    out.option(command.block_size, out.i64)
    out.option(command.storage_type, out.u32)
    out.option(command.ttl_ms, out.i64)
    out.option(command.ttl_action, out.u32)
    out.option(command.overwrite, out.flag)
    return out.getvalue()


def decode_load_command(raw: bytes) -> LoadCommand:
    """The command in SubmitJobRequest.job_command."""
    src = _Reader(raw)
    return LoadCommand(
        source_path=src.text(),
        target_path=src.option(src.text),
        replicas=src.option(src.i32),
        block_size=src.option(src.i64),
        storage_type=src.option(lambda: src.enum(StorageType)),
        ttl_ms=src.option(src.i64),
        ttl_action=src.option(lambda: src.enum(TtlAction)),
        overwrite=src.option(src.flag),
    )


def encode_load_task(task: LoadTask, layout: TaskLayout = TaskLayout.V0_4_1) -> bytes:
    """LoadTaskInfo in the edition that the worker understands."""
    out = _Writer()
    job = task.job
    out.text(job.job_id)
    out.text(job.source_path)
    out.text(job.target_path)
    out.i64(job.block_size)
    out.i32(job.replicas)
    out.u32(job.storage_type)
    out.i64(job.ttl_ms)
    out.u32(job.ttl_action)
    _write_mount(out, job.mount, layout)
    out.i64(job.create_time)
    out.option(job.overwrite, out.flag)
    out.text(task.task_id)
    out.u32(task.worker.worker_id)
    out.text(task.worker.hostname)
    out.text(task.worker.ip_addr)
    out.u32(task.worker.rpc_port)
    out.u32(task.worker.web_port)
    out.text(task.source_path)
    out.text(task.target_path)
    out.i64(task.create_time)
    if layout >= TaskLayout.V0_4_1:
        out.text(task.source_read_plan_json)
        out.flag(False)  # no transfer report: the transfer service is not ours
    return out.getvalue()


def decode_load_task(raw: bytes, layout: TaskLayout = TaskLayout.V0_4_1) -> LoadTask:
    """The task in SubmitTaskRequest.task_command."""
    src = _Reader(raw)
    head = (src.text(), src.text(), src.text(), src.i64(), src.i32())
    storage_type, ttl_ms, ttl_action = src.enum(StorageType), src.i64(), src.enum(TtlAction)
    mount = _read_mount(src, layout)
    job = LoadJob(
        job_id=head[0],
        source_path=head[1],
        target_path=head[2],
        block_size=head[3],
        replicas=head[4],
        storage_type=storage_type,
        ttl_ms=ttl_ms,
        ttl_action=ttl_action,
        mount=mount,
        create_time=src.i64(),
        overwrite=src.option(src.flag),
    )
    return LoadTask(
        job=job,
        task_id=src.text(),
        worker=WorkerAddress(src.u32(), src.text(), src.text(), src.u32(), src.u32()),
        source_path=src.text(),
        target_path=src.text(),
        create_time=src.i64(),
        source_read_plan_json=src.text() if layout >= TaskLayout.V0_4_1 else "",
    )


def _write_mount(out: _Writer, mount: MountInfo, layout: TaskLayout) -> None:
    out.text(mount.cv_path)
    out.text(mount.ufs_path)
    out.u32(mount.mount_id)
    out.text_map(mount.properties)
    out.i64(mount.ttl_ms)
    out.u32(mount.ttl_action)
    out.flag(mount.read_verify_ufs)
    out.option(mount.storage_type, out.u32)
    out.option(mount.block_size, out.i64)
    out.option(mount.replicas, out.i32)
    out.u32(mount.write_type)
    out.option(mount.provider, out.u32)
    if layout >= TaskLayout.V0_3_6:
        out.flag(mount.auto_cache)
        out.u32(mount.access_mode)
    if layout >= TaskLayout.V0_4_1:
        out.flag(mount.write_cache)


def _read_mount(src: _Reader, layout: TaskLayout) -> MountInfo:
    return MountInfo(
        cv_path=src.text(),
        ufs_path=src.text(),
        mount_id=src.u32(),
        properties=src.text_map(),
        ttl_ms=src.i64(),
        ttl_action=src.enum(TtlAction),
        read_verify_ufs=src.flag(),
        storage_type=src.option(lambda: src.enum(StorageType)),
        block_size=src.option(src.i64),
        replicas=src.option(src.i32),
        write_type=src.enum(WriteType),
        provider=src.option(lambda: src.enum(Provider)),
        auto_cache=src.flag() if layout >= TaskLayout.V0_3_6 else True,
        access_mode=src.enum(AccessMode) if layout >= TaskLayout.V0_3_6 else AccessMode.READ_ONLY,
        write_cache=src.flag() if layout >= TaskLayout.V0_4_1 else False,
    )
