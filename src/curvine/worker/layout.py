# SPDX-License-Identifier: Apache-2.0
"""Where a worker keeps things on disk, and what a start finds there.

Below each data directory D lies the root D/<cluster_id> (data-plane specification 2.6, 3.4, 3.5)::

    version                          identity, TOML
    staging/blk_<id>                 block being written
    staging/move_<id>                copy of a block that moves here from another tier (ours)
    active/b<x>/b<y>/blk_<id>        published block; x = (id >> 48) & 31, y = (id >> 32) & 31

    quarantine/blk_<id>.<ms>         a block whose bytes are not what was written, set aside (ours)

A block's content is the file's content, its length the file's length. What is ours stands in one
extended attribute, the note (see ``sums``): checksums, and

- the published length, while a published block is appended to in place, and afterwards; what lies
  behind it was not committed. Such a file has the sticky bit in its mode, so that a scan need not
  ask every file for its note. A file without it is published as long as it is.
- which run of the machine wrote it. Unfinished bytes can be trusted as long as the machine runs: a
  killed worker leaves them in the page cache. After a reboot they are given up.

Lengths are bytes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tomllib
import uuid
import zlib
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from curvine.errors import ConfigError
from curvine.worker.sums import read_note

_PREFIX = "blk_"
_MOVING = "move_"


class Identity(msgspec.Struct, frozen=True):
    """Who a directory belongs to. ``dir_id`` is the CRC-32 of ``storage_id``."""

    cluster_id: str
    worker_id: int
    storage_id: str
    dir_id: int


class FoundBlock(msgspec.Struct, frozen=True, gc=False):
    """A block file met by a scan: its length, and the bytes it takes on disk.

    ``whole``: the length with what was appended in place and not published; ``fresh``: the machine
    has not been rebooted since unfinished bytes were written."""

    id: int
    len: int
    used: int
    whole: int
    fresh: bool = False


class Layout:
    """Paths below one root. Methods that touch the disk block."""

    def __init__(self, data_dir: str, cluster_id: str) -> None:
        self.data_dir = os.path.abspath(data_dir)
        self.root = os.path.join(self.data_dir, cluster_id)
        self.staging_dir = os.path.join(self.root, "staging")
        self.active_dir = os.path.join(self.root, "active")
        self.quarantine_dir = os.path.join(self.root, "quarantine")
        self._version_file = os.path.join(self.root, "version")
        self._made: set[str] = set()

    def staging_path(self, block: int) -> str:
        return f"{self.staging_dir}/{_PREFIX}{block}"

    def active_path(self, block: int) -> str:
        x, y = (block >> 48) & 31, (block >> 32) & 31
        return f"{self.active_dir}/b{x}/b{y}/{_PREFIX}{block}"

    def prepare(self, *, wipe: bool) -> int:
        """Make the root; with ``wipe`` empty it first. The descriptor returned keeps it ours."""
        try:
            if wipe:
                shutil.rmtree(self.root, ignore_errors=True)
            os.makedirs(self.staging_dir, exist_ok=True)
            os.makedirs(self.active_dir, exist_ok=True)
            lock = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(
                f"worker.data_dir {self.data_dir}: {error.strerror}; "
                "give a directory that can be written to"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigError(
                f"worker.data_dir {self.data_dir} is used by another worker process; "
                "stop it or give another directory"
            ) from error
        return lock

    def load_identity(self) -> Identity | None:
        """The identity written by an earlier start, if there is one."""
        try:
            with open(self._version_file, "rb") as file:
                raw = tomllib.load(file)
            storage_id = str(raw["storage_id"])
            return Identity(
                cluster_id=str(raw["cluster_id"]),
                worker_id=int(raw["worker_id"]) & 0xFFFFFFFF,
                storage_id=storage_id,
                dir_id=int(raw.get("dir_id", dir_id_of(storage_id))) & 0xFFFFFFFF,
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._version_file} cannot be read ({error}); restore it, or remove the "
                "directory if its blocks may be lost"
            ) from error

    def store_identity(self, identity: Identity, now_ms: int) -> None:
        """Write the version file; done at every start."""
        text = (
            f'cluster_id = "{identity.cluster_id}"\n'
            f"worker_id = {identity.worker_id}\n"
            f'storage_id = "{identity.storage_id}"\n'
            f"dir_id = {identity.dir_id}\n"
            f"time_ms = {now_ms}\n"
        )
        temporary = self._version_file + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._version_file)

    def publish(self, block: int, *, sync: bool) -> None:
        """Move the staging file of ``block`` to its active place, over an older generation."""
        self.install(self.staging_path(block), block)
        if sync:
            self.sync_entry(block)

    def moving_path(self, block: int) -> str:
        """Where a block that comes from another directory is copied to."""
        return f"{self.staging_dir}/{_MOVING}{block}"

    def install(self, path: str, block: int) -> None:
        """Move a finished copy to its active place."""
        target = self.active_path(block)
        try:
            os.rename(path, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(path, target)

    def sync_entry(self, block: int) -> None:
        """Put the directory entry of a published block on the medium."""
        self._sync_directories(os.path.dirname(self.active_path(block)))

    def remove_copies(self) -> None:
        """Remove what moves that were interrupted have left."""
        for name in os.listdir(self.staging_dir):
            if name.startswith(_MOVING):
                remove(f"{self.staging_dir}/{name}")

    def try_medium(self) -> None:
        """Write, sync and remove a small file. OSError: the directory cannot be written to."""
        path = os.path.join(self.root, ".try")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, b"x")
            os.fsync(fd)
        finally:
            os.close(fd)
            os.unlink(path)

    def set_aside(self, block: int, now_ms: int) -> str:
        """Move a published block's file out of the way of readers and scans; its new path."""
        target = f"{self.quarantine_dir}/{_PREFIX}{block}.{now_ms}"
        os.makedirs(self.quarantine_dir, exist_ok=True)
        os.rename(self.active_path(block), target)
        return target

    def aside(self) -> Iterator[tuple[int, int, str]]:
        """(block, ms since the epoch, path) of everything that was set aside."""
        try:
            names = os.listdir(self.quarantine_dir)
        except OSError:
            return
        for name in names:
            stem, _, moment = name.rpartition(".")
            block = block_of_name(stem)
            if block is not None and moment.isdigit():
                yield block, int(moment), f"{self.quarantine_dir}/{name}"

    def _sync_directories(self, leaf: str) -> None:
        """Put the entry just made on the medium; its parents once, when they may be new."""
        _sync_directory(leaf)
        if leaf not in self._made:
            for parent in (os.path.dirname(leaf), self.active_dir, self.root, self.data_dir):
                _sync_directory(parent)
            self._made.add(leaf)

    def scan_active(self) -> Iterator[FoundBlock]:
        """Every published block; unfinished appends are cut off if they cannot be trusted."""
        boot = boot_id()
        for outer in _directories(self.active_dir):
            for inner in _directories(outer):
                yield from _blocks(inner, boot, staged=False)

    def scan_staging(self) -> Iterator[FoundBlock]:
        """Every block that was being written when the last process ended."""
        return _blocks(self.staging_dir, boot_id(), staged=True)


def new_identity(cluster_id: str, worker_id: int | None) -> Identity:
    """A fresh directory's identity; without a ``worker_id`` to adopt, a random one."""
    storage_id = str(uuid.uuid4())
    if worker_id is None:
        worker_id = int.from_bytes(os.urandom(4), "big") or 1
    return Identity(cluster_id, worker_id, storage_id, dir_id_of(storage_id))


def dir_id_of(storage_id: str) -> int:
    """CRC-32 of the storage id."""
    return zlib.crc32(storage_id.encode())


def remove(path: str) -> bool:
    """Unlink ``path``; False if it was not there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def bytes_used(info: os.stat_result) -> int:
    """What a file takes: its length, or its disk blocks where they are fewer (holes)."""
    return min(info.st_size, info.st_blocks * 512)


def block_of_name(name: str) -> int | None:
    """The id in a file name ``blk_<decimal>``; None for any other name."""
    digits = name.removeprefix(_PREFIX)
    if digits == name or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits)


def _directories(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _blocks(path: str, boot: int, *, staged: bool) -> Iterator[FoundBlock]:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(directory) as entries:  # by descriptor: no path is looked up per file
            for entry in entries:
                block = block_of_name(entry.name)
                if block is None or not entry.is_file(follow_symlinks=False):
                    continue
                info = entry.stat(follow_symlinks=False)
                length = whole = info.st_size
                fresh = False
                if staged:
                    note = read_note(f"{path}/{entry.name}")
                    fresh = note is not None and note.boot == boot
                elif info.st_mode & stat.S_ISVTX:
                    length, fresh = _published_part(f"{path}/{entry.name}", length, boot)
                    whole = whole if fresh else length
                used = min(whole, info.st_blocks * 512)
                yield FoundBlock(block, length, used, whole, fresh)
    finally:
        os.close(directory)


def _published_part(path: str, length: int, boot: int) -> tuple[int, bool]:
    """The published length of a file that was appended to in place, and whether more is kept."""
    note = read_note(path)
    if note is None:
        return length, False  # copied from elsewhere without its note: all of it counts
    published = min(note.length, length)
    if published == length or note.boot == boot:
        return published, published < length
    os.truncate(path, published)
    return published, False


@lru_cache(maxsize=1)
def boot_id() -> int:
    """Names this run of the machine in 32 bits; a new one where the kernel does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return zlib.crc32(file.read().strip())
    except OSError:
        return int.from_bytes(os.urandom(4), "big")


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
