# SPDX-License-Identifier: Apache-2.0
"""``cv fs cat|put|get``: bytes between the cluster and this machine.

``get`` writes beside the target and renames, so that an interrupted copy never looks whole. ``put``
knows the size and asks for one block (decision 25).
"""

from __future__ import annotations

import os
import stat as stat_module
import sys
from typing import TYPE_CHECKING, BinaryIO

import click

from curvine.cli.context import Settings, interactive, pass_settings, run_with_fs
from curvine.cli.fs.listing import walk
from curvine.cli.fs.namespace import user_name
from curvine.errors import IsADirectory, NotFound
from curvine.model.inode import FileStatus
from curvine.model.path import join, name_from_wire, name_to_wire, normalize, relative

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from curvine.client.unified import UnifiedFileSystem

PIECE = 4 * 1024 * 1024


@click.command()
@click.argument("path")
@pass_settings
def cat(settings: Settings, path: str) -> None:
    """Print the file PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        await _copy_out(fs, normalize(path), sys.stdout.buffer, None)
        sys.stdout.buffer.flush()

    run_with_fs(settings, use)


@click.command()
@click.argument("remote")
@click.argument("local", default=".")
@pass_settings
def get(settings: Settings, remote: str, local: str) -> None:
    """Copy REMOTE, a file or a directory with all below it, to LOCAL."""

    async def use(fs: UnifiedFileSystem) -> None:
        top = await fs.status(normalize(remote))
        target = os.fsencode(local)
        if os.path.isdir(target) and top.name:
            target = os.path.join(target, name_from_wire(top.name))
        with _Meter() as meter:
            if not top.is_dir:
                await _get_file(fs, top, target, meter)
                return
            os.makedirs(target, exist_ok=True)
            async for directory, rows in walk(fs, top.path):
                for row in rows:
                    below = relative(join(directory, row.name), top.path)
                    place = os.path.join(target, *(name_from_wire(p) for p in below.split("/")))
                    if row.is_dir:
                        os.makedirs(place, exist_ok=True)
                    elif row.target is not None:
                        os.symlink(name_from_wire(row.target), place)
                    else:
                        await _get_file(fs, row, place, meter)

    run_with_fs(settings, use)


@click.command()
@click.argument("local", type=click.Path(exists=True))
@click.argument("remote")
@click.option("-f", "--force", is_flag=True, help="Replace a file that exists.")
@pass_settings
def put(settings: Settings, local: str, remote: str, force: bool) -> None:
    """Copy LOCAL, a file or a directory with all below it, to REMOTE."""

    async def use(fs: UnifiedFileSystem) -> None:
        source = os.fsencode(local)
        target = normalize(remote)
        if await _is_dir(fs, target):
            name = os.path.basename(os.path.abspath(source))
            target = join(target, name_to_wire(name))
        with _Meter() as meter:
            if not os.path.isdir(source):
                await _put_file(fs, source, target, force, meter)
                return
            for directory, names, files in os.walk(source):
                below = os.path.relpath(directory, source)
                base = target
                if below != b".":
                    base = "/".join([target, *map(name_to_wire, below.split(b"/"))])
                await fs.mkdir(base, mode=0o755, owner=user_name(), group="", create_parent=True)
                names.sort()
                for name in sorted(files):
                    place = join(base, name_to_wire(name))
                    await _put_file(fs, os.path.join(directory, name), place, force, meter)

    run_with_fs(settings, use)


class _Meter:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> _Meter:
        if interactive():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, name: str, size: int) -> None:
        """Start to show a file of ``size`` bytes."""
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=size)

    def advance(self, size: int) -> None:
        """``size`` bytes more are done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, size)


async def _is_dir(fs: UnifiedFileSystem, path: str) -> bool:
    try:
        return (await fs.status(path)).is_dir
    except NotFound:
        return False


async def _copy_out(fs: UnifiedFileSystem, path: str, out: BinaryIO, meter: _Meter | None) -> None:
    status = await fs.status(path)
    if status.is_dir:
        raise IsADirectory(f"{path} is a directory")
    reader = await fs.open_read(path)
    try:
        offset = 0
        while offset < reader.length:
            piece = await reader.read(offset, min(PIECE, reader.length - offset))
            if not piece:
                break
            out.write(piece)
            offset += len(piece)
            if meter is not None:
                meter.advance(len(piece))
    finally:
        await reader.close()


async def _get_file(
    fs: UnifiedFileSystem, status: FileStatus, target: bytes, meter: _Meter
) -> None:
    meter.begin(status.name, status.len)
    partial = target + b".curvine-partial"
    try:
        with open(partial, "wb") as out:
            await _copy_out(fs, status.path, out, meter)
        os.chmod(partial, stat_module.S_IMODE(status.mode) or 0o644)
        os.utime(partial, ns=(status.atime * 1_000_000, status.mtime * 1_000_000))
        os.replace(partial, target)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


async def _put_file(
    fs: UnifiedFileSystem, source: bytes, target: str, force: bool, meter: _Meter
) -> None:
    with open(source, "rb") as src:
        info = os.fstat(src.fileno())
        meter.begin(os.fsdecode(os.path.basename(source)), info.st_size)
        writer = await fs.create(
            target,
            mode=stat_module.S_IMODE(info.st_mode),
            owner=user_name(),
            group="",
            exclusive=not force,
            truncate=force,
            size_hint=info.st_size if stat_module.S_ISREG(info.st_mode) else None,
        )
        try:
            offset = 0
            while piece := src.read(PIECE):
                await writer.write(offset, piece)
                offset += len(piece)
                meter.advance(len(piece))
            await writer.close()
        except BaseException:
            await writer.abort()
            raise
