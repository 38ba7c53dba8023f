# SPDX-License-Identifier: Apache-2.0
"""``cv fs cat|put|get``: bytes between the cluster and this machine.

``get`` writes beside the target and renames, so that an interrupted copy never looks whole. ``put``
knows the size and asks for one block (decision 25). The small files of a tree are copied side by
side, large ones one after the other.
"""

from __future__ import annotations

import os
import stat as stat_module
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.fs.listing import walk
from curvine.cli.fs.namespace import user_name
from curvine.cli.fs.together import SMALL, Together
from curvine.cli.output import output_option, print_json
from curvine.cli.paths import CLUSTER_PATH
from curvine.cli.progress import Meter
from curvine.errors import IsADirectory, NotFound
from curvine.model.inode import FileStatus, FileType
from curvine.model.path import join, name_from_wire, name_to_wire, relative

if TYPE_CHECKING:
    from curvine.client.files import WritableFile
    from curvine.client.unified import UnifiedFileSystem

PIECE = 4 * 1024 * 1024
_SPECIAL = (FileType.FIFO, FileType.CHAR, FileType.BLOCK, FileType.SOCKET)


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@pass_settings
def cat(settings: Settings, path: str) -> None:
    """Print the file PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        await _copy_out(fs, path, sys.stdout.buffer, Meter())
        sys.stdout.buffer.flush()

    run_with_fs(settings, use)


@click.command()
@click.argument("remote", type=CLUSTER_PATH)
@click.argument("local", default=".")
@output_option
@pass_settings
def get(settings: Settings, remote: str, local: str, output: str) -> None:
    """Copy REMOTE, a file or a directory with all below it, to LOCAL."""

    async def use(fs: UnifiedFileSystem) -> Copied:
        top = await fs.status(remote)
        target = os.fsencode(local)
        if os.path.isdir(target) and top.name:
            target = os.path.join(target, name_from_wire(top.name))
        done = Copied(top.path, os.fsdecode(target))
        with Meter() as meter:
            if top.is_dir:
                await _get_tree(fs, top, target, done, meter)
            else:
                meter.begin(top.name, top.len)
                await _get_file(fs, top, target, done, meter)
        return done

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("local", type=click.Path(exists=True))
@click.argument("remote", type=CLUSTER_PATH)
@click.option("-f", "--force", is_flag=True, help="Replace a file that exists.")
@output_option
@pass_settings
def put(settings: Settings, local: str, remote: str, force: bool, output: str) -> None:
    """Copy LOCAL, a file or a directory with all below it, to REMOTE.

    Symbolic links inside a directory stay links; sockets, fifos and devices are left out.
    """

    async def use(fs: UnifiedFileSystem) -> Copied:
        source = os.fsencode(local)
        target = remote
        if await _is_dir(fs, target):
            target = join(target, name_to_wire(os.path.basename(os.path.abspath(source))))
        done = Copied(local, target)
        with Meter() as meter:
            if os.path.isdir(source):
                await _put_tree(fs, source, target, force, done, meter)
            else:
                size = os.stat(source).st_size
                meter.begin(os.fsdecode(os.path.basename(source)), size)
                await _put_file(fs, source, target, force, done, meter)
        return done

    _tell(output, run_with_fs(settings, use))


class Copied(msgspec.Struct):
    """What a copy amounted to; ``skipped`` are kinds of files that cannot be copied."""

    source: str
    target: str
    files: int = 0
    bytes: int = 0
    skipped: int = 0


def _tell(output: str, done: Copied) -> None:
    if output == "json":
        print_json(done)
    elif done.skipped:
        click.echo(f"{done.skipped} left out: neither file, directory nor link", err=True)


async def _get_tree(
    fs: UnifiedFileSystem, top: FileStatus, target: bytes, done: Copied, meter: Meter
) -> None:
    os.makedirs(target, exist_ok=True)
    async with Together() as small:
        meter.begin(top.name, None)
        async for directory, rows in walk(fs.list, top.path):
            for row in rows:
                below = relative(join(directory, row.name), top.path)
                place = os.path.join(target, *(name_from_wire(part) for part in below.split("/")))
                if row.is_dir:
                    os.makedirs(place, exist_ok=True)
                elif row.target is not None:
                    os.symlink(name_from_wire(row.target), place)
                    done.files += 1
                elif row.file_type in _SPECIAL:
                    done.skipped += 1
                elif row.len <= SMALL:
                    await small.add(_get_file(fs, row, place, done, meter))
                else:
                    meter.begin(row.name, row.len)
                    await _get_file(fs, row, place, done, meter)
                    meter.begin(top.name, None)


async def _put_tree(
    fs: UnifiedFileSystem, source: bytes, target: str, force: bool, done: Copied, meter: Meter
) -> None:
    await fs.mkdir(target, mode=0o755, owner=user_name(), group="", create_parent=True)
    tree = os.fsdecode(os.path.basename(source))
    pending = [(source, target)]
    async with Together() as small:
        meter.begin(tree, None)
        while pending:
            directory, base = pending.pop()
            with os.scandir(directory) as entries:
                rows = sorted(entries, key=lambda entry: entry.name)
            for row in rows:
                place = join(base, name_to_wire(row.name))
                if row.is_symlink():
                    link = name_to_wire(os.readlink(row.path))
                    await fs.symlink(link, place, owner=user_name())
                    done.files += 1
                elif row.is_dir():
                    await fs.mkdir(place, mode=0o755, owner=user_name(), create_parent=True)
                    pending.append((row.path, place))
                elif not row.is_file():
                    done.skipped += 1
                elif (size := row.stat().st_size) <= SMALL:
                    await small.add(_put_file(fs, row.path, place, force, done, meter))
                else:
                    meter.begin(os.fsdecode(row.name), size)
                    await _put_file(fs, row.path, place, force, done, meter)
                    meter.begin(tree, None)


async def _is_dir(fs: UnifiedFileSystem, path: str) -> bool:
    try:
        return (await fs.status(path)).is_dir
    except NotFound:
        return False


async def _copy_out(fs: UnifiedFileSystem, path: str, out: BinaryIO, meter: Meter) -> int:
    """Write the file to ``out``; how many bytes it had."""
    if await _is_dir(fs, path):
        raise IsADirectory(f"{path} is a directory; `cv fs get` copies it with all below it")
    reader = await fs.open_read(path)
    try:
        offset = 0
        while offset < reader.length:
            piece = await reader.read(offset, min(PIECE, reader.length - offset))
            if not piece:
                break
            out.write(piece)
            offset += len(piece)
            meter.advance(len(piece))
        return offset
    finally:
        await reader.close()


async def _get_file(
    fs: UnifiedFileSystem, status: FileStatus, target: bytes, done: Copied, meter: Meter
) -> None:
    partial = target + b".curvine-partial"
    try:
        with open(partial, "wb") as out:
            if status.len <= SMALL:
                size = out.write(await fs.read_file(status.path))
                meter.advance(size)
            else:
                size = await _copy_out(fs, status.path, out, meter)
        os.chmod(partial, stat_module.S_IMODE(status.mode) or 0o644)
        os.utime(partial, ns=(status.atime * 1_000_000, status.mtime * 1_000_000))
        os.replace(partial, target)
        done.bytes += size
        done.files += 1
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


async def _put_file(
    fs: UnifiedFileSystem, source: bytes, target: str, force: bool, done: Copied, meter: Meter
) -> None:
    with open(source, "rb") as src:
        info = os.fstat(src.fileno())
        known = info.st_size if stat_module.S_ISREG(info.st_mode) else None
        options: dict[str, Any] = {
            "mode": stat_module.S_IMODE(info.st_mode), "owner": user_name(), "group": "",
            "exclusive": not force, "truncate": force,
        }  # fmt: skip
        if known is not None and known <= SMALL:
            data = src.read()
            await fs.write_file(target, data, **options)
            meter.advance(len(data))
            copied = len(data)
        else:
            copied = await _send(await fs.create(target, size_hint=known, **options), src, meter)
    done.files += 1
    done.bytes += copied


async def _send(writer: WritableFile, src: BinaryIO, meter: Meter) -> int:
    """All of ``src`` into a new file; how many bytes."""
    try:
        offset = 0
        while piece := src.read(PIECE):
            await writer.write(offset, piece)
            offset += len(piece)
            meter.advance(len(piece))
        await writer.close()
        return offset
    except BaseException:
        await writer.abort()
        raise
