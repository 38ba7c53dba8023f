# SPDX-License-Identifier: Apache-2.0
"""What a load job has to do: which source it means, which files are missing, how they are cut.

Source: control-plane specification 5.17. Sizes are bytes, times ms.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from curvine.config.schema import ClientConf
from curvine.errors import Common, NotFound
from curvine.metadata.engine import Namespace
from curvine.model.inode import (
    DEFAULT_BLOCK_SIZE,
    FileStatus,
    FileType,
    StorageState,
    StorageType,
    TtlAction,
    valid_copy,
)
from curvine.model.job import LoadCommand, LoadJob
from curvine.model.mount import (
    MountInfo,
    WriteType,
    cv_path_of,
    mount_of_path,
    mount_of_uri,
    ufs_path_of,
)
from curvine.ufs.base import Ufs, UfsStatus, copy_of
from curvine.ufs.partial import is_partial

MIB = 1 << 20
MAX_SINGLE_BLOCK = (4 << 30) - MIB  # decision 25; a real master stores 32 bits of block size
HUGE_FILE_BLOCK = 1 << 30

T = TypeVar("T")
StatusOf = Callable[[str], FileStatus]  # raises NotFound


class Source(msgspec.Struct, frozen=True):
    """A load's source, resolved: the mount and both names of the same place."""

    mount: MountInfo
    uri: str
    path: str
    named: str = ""  # what the job is named for, where it is not the URI

    @property
    def job_id(self) -> str:
        """The same source always gives the same job."""
        name = (self.named or self.uri).encode("utf-8", "surrogatepass")
        return "job_" + hashlib.md5(name, usedforsecurity=False).hexdigest()


class PlannedFile(msgspec.Struct, frozen=True):
    """A file of a load's source; ``present``: nothing is to be done for it."""

    uri: str
    path: str
    length: int
    present: bool


def resolve_source(
    command: LoadCommand, mounts: tuple[MountInfo, ...], status_of: StatusOf
) -> Source:
    """The place that a command means. Common where it names none, NotFound for a missing path."""
    source = _without_end(command.source_path)
    if not source:
        raise Common("A load needs a source path")
    if "://" in source:
        mount = mount_of_uri(mounts, source)
        if mount is None:
            raise Common(f"{source} is not under any mount")
        path = cv_path_of(mount, source)
        if command.target_path and _without_end(command.target_path) != path:
            raise Common(f"{source} is mounted at {path}, it cannot go to {command.target_path}")
        return Source(mount, source, path)
    if command.target_path:
        raise Common(f"The target of {source} follows from its mount, leave it out")
    mount = mount_of_path(mounts, source)
    if mount is None:
        raise Common(f"{source} is not under any mount")
    status = status_of(source)
    only_here = not status.is_dir and status.storage_policy.ufs_mtime == 0
    if only_here and mount.write_type is WriteType.CACHE_MODE:
        raise Common(f"{source} is not known to exist in the under storage")
    return Source(mount, ufs_path_of(mount, source), source)


def resolve_export(
    command: LoadCommand, mounts: tuple[MountInfo, ...], status_of: StatusOf
) -> Source:
    """What an export of a Curvine path means; its job is named for that path."""
    source = _without_end(command.source_path)
    if not source:
        raise Common("An export needs a source path")
    if "://" in source:
        raise Common(f"{source} is not a path of the cluster; an export goes from there")
    if command.target_path:
        raise Common(f"The target of {source} follows from its mount, leave it out")
    mount = mount_of_path(mounts, source)
    if mount is None:
        raise Common(f"{source} is not under any mount")
    status_of(source)
    return Source(mount, ufs_path_of(mount, source), source, named=source)


async def export_files(namespace: Namespace, ufs: Ufs, job: LoadJob) -> AsyncIterator[PlannedFile]:
    """Files at or below an export's source; present is one that the under storage has already.

    Below a cache_mode mount the under storage is the truth and has everything. A file that is open
    for writing is left out: closing it exports it.
    """
    mount = job.mount
    step = 0
    for status in namespace.tree(job.source_path):
        step += 1
        if step % 200 == 0:
            await asyncio.sleep(0)
        if status.file_type is not FileType.FILE or not status.is_complete:
            continue
        uri = ufs_path_of(mount, status.path)
        policy = status.storage_policy
        here = mount.write_type is WriteType.CACHE_MODE or policy.state is StorageState.UFS
        if not here and policy.state is StorageState.BOTH:
            try:
                found = await ufs.stat(uri)
            except NotFound:
                pass
            else:
                same = (found.len, found.mtime) == (status.len, policy.ufs_mtime)
                here = same or job.overwrite is False
        yield PlannedFile(uri, status.path, status.len, present=here)


def resolve_options(
    source: Source, command: LoadCommand, client: ClientConf, now_ms: int
) -> LoadJob:
    """Every option: the command's, else the mount's, else the client's default."""
    mount = source.mount
    storage = _first(command.storage_type, mount.storage_type)
    return LoadJob(
        job_id=source.job_id,
        source_path=source.uri,
        target_path=source.path,
        block_size=_first(command.block_size, mount.block_size) or 0,  # 0: chosen for each file
        replicas=_first(command.replicas, mount.replicas) or client.replicas,
        storage_type=_storage_named(client.storage_type) if storage is None else storage,
        ttl_ms=mount.ttl_ms if command.ttl_ms is None else command.ttl_ms,
        ttl_action=_ttl_action(command, mount),
        mount=mount,
        create_time=now_ms,
        overwrite=command.overwrite,
    )


def for_file(job: LoadJob, length: int) -> LoadJob:
    """The job as the task of one file carries it: with that file's block size (decision 25)."""
    if job.block_size:
        return job
    size = max(DEFAULT_BLOCK_SIZE, -(-length // MIB) * MIB)
    if size > MAX_SINGLE_BLOCK:
        size = HUGE_FILE_BLOCK
    return msgspec.structs.replace(job, block_size=size)


async def files_of(
    ufs: Ufs, job: LoadJob, status_of: StatusOf, now_ms: int
) -> AsyncIterator[PlannedFile]:
    """Regular files at or below the job's source; present is one whose cached copy is good.

    NotFound when the source itself is missing; what vanishes while the tree is walked is left out.
    """
    mount = job.mount
    try:
        top = await ufs.stat(job.source_path)
    except NotFound:
        if _only_here(job, status_of):
            return  # written here and not exported yet: there is nothing to load
        raise
    pending = [(job.source_path, top)]
    while pending:
        uri, entry = pending.pop()
        if entry.is_dir:
            try:
                children = await ufs.list(uri)
            except NotFound:
                if uri == job.source_path:
                    raise
                continue
            base = uri.rstrip("/")
            pending.extend(
                (f"{base}/{child.name}", child)
                for child in reversed(children)
                if not is_partial(child.name)
            )
        elif entry.file_type is FileType.FILE:
            path = cv_path_of(mount, uri)
            wanted = _wanted(job, entry, path, status_of, now_ms)
            yield PlannedFile(uri, path, entry.len, present=not wanted)


def _only_here(job: LoadJob, status_of: StatusOf) -> bool:
    try:
        status = status_of(job.target_path)
    except NotFound:
        return False
    fs_mode = job.mount.write_type is WriteType.FS_MODE
    return fs_mode and status.storage_policy.state is StorageState.CV


def _wanted(job: LoadJob, entry: UfsStatus, path: str, status_of: StatusOf, now_ms: int) -> bool:
    try:
        cached = status_of(path)
    except NotFound:
        return True
    if job.overwrite is False:
        return False
    policy = cached.storage_policy
    if job.mount.write_type is WriteType.FS_MODE and policy.state is StorageState.CV:
        return False  # the namespace is the truth, and the under storage has not got it yet
    return not (valid_copy(cached, now_ms) and copy_of(cached, entry))


def _without_end(source: str) -> str:
    """A path or URI without trailing slashes: one source has one name, and so one job."""
    scheme, mark, rest = source.rpartition("://")
    return scheme + mark + (rest.rstrip("/") or rest[:1])


def _ttl_action(command: LoadCommand, mount: MountInfo) -> TtlAction:
    return mount.ttl_action if command.ttl_action is None else command.ttl_action


def _storage_named(name: str) -> StorageType:
    return StorageType.__members__.get(name.upper(), StorageType.DISK)


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
