# SPDX-License-Identifier: Apache-2.0
"""``cv fs ls|stat|df|count|du``: looking, in the shapes of specification 8.13."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from curvine.cli.context import (
    Settings,
    output_option,
    pass_settings,
    print_json,
    print_table,
    run_with_fs,
)
from curvine.model.inode import FileStatus, FileType
from curvine.model.path import join, normalize
from curvine.units import format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_TYPE_LETTERS = {
    FileType.DIR: "d",
    FileType.LINK: "l",
    FileType.FIFO: "p",
    FileType.CHAR: "c",
    FileType.BLOCK: "b",
    FileType.SOCKET: "s",
}


def permissions(status: FileStatus) -> str:
    """``drwxr-xr-x`` for a status."""
    letters = "".join(
        letter if status.mode & (0o400 >> position) else "-"
        for position, letter in enumerate("rwxrwxrwx")
    )
    marks = list(_TYPE_LETTERS.get(status.file_type, "-") + letters)
    for bit, position, lower, upper in (
        (0o4000, 3, "s", "S"),
        (0o2000, 6, "s", "S"),
        (0o1000, 9, "t", "T"),
    ):
        if status.mode & bit:
            marks[position] = lower if marks[position] == "x" else upper
    return "".join(marks)


def printable(text: str, quote: bool) -> str:
    """``text`` safe for a terminal: other characters escaped, or "?" with ``quote``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else ("?" if quote else ascii(char)[1:-1]) for char in text
    )


def long_line(status: FileStatus, human: bool, access_time: bool, quote: bool) -> str:
    """One line of a long listing."""
    size = 0 if status.is_dir else status.len
    stamp = time.localtime((status.atime if access_time else status.mtime) / 1000)
    replicas = str(status.replicas) if status.replicas else "-"
    name = printable(status.path, quote)
    if status.target is not None:
        name += f" -> {printable(status.target, quote)}"
    when = time.strftime("%Y-%m-%d %H:%M", stamp)
    return (
        f"{permissions(status)} {replicas:>3} {status.owner or '-':<8} {status.group or '-':<8} "
        f"{format_size(size) if human else size:>12} {when} {name}"
    )


@click.command()
@click.argument("path", default="/")
@click.option("-C", "path_only", is_flag=True, help="Paths only.")
@click.option("-d", "itself", is_flag=True, help="The directory itself, not its entries.")
@click.option("-H", "human", is_flag=True, help="Sizes for people.")
@click.option("-q", "quote", is_flag=True, help="Print '?' for characters that do not print.")
@click.option("-R", "recursive", is_flag=True, help="Directories with all below them.")
@click.option("-r", "reverse", is_flag=True, help="Reverse the order.")
@click.option("-t", "by_time", is_flag=True, help="Newest first.")
@click.option("-S", "by_size", is_flag=True, help="Largest first.")
@click.option("-u", "access_time", is_flag=True, help="Show and sort by access time.")
@click.option("-l", "long", is_flag=True, help="Long listing (the default).")
@output_option
@pass_settings
def ls(
    settings: Settings,
    path: str,
    path_only: bool,
    itself: bool,
    human: bool,
    quote: bool,
    recursive: bool,
    reverse: bool,
    by_time: bool,
    by_size: bool,
    access_time: bool,
    long: bool,
    output: str,
) -> None:
    """List PATH."""

    def ordered(rows: list[FileStatus]) -> list[FileStatus]:
        if by_size:
            rows = sorted(rows, key=lambda s: -s.len)
        elif by_time:
            rows = sorted(rows, key=lambda s: -(s.atime if access_time else s.mtime))
        return rows[::-1] if reverse else rows

    def show(rows: list[FileStatus]) -> None:
        for row in ordered(rows):
            if path_only:
                click.echo(printable(row.path, quote))
            else:
                click.echo(long_line(row, human, access_time, quote))

    async def use(fs: UnifiedFileSystem) -> None:
        top = await fs.status(normalize(path))
        if itself or not top.is_dir:
            groups = [[top]]
        elif recursive:
            groups = [rows async for _, rows in walk(fs, top.path)]
        else:
            groups = [await fs.list(top.path)]
        if output == "json":
            print_json([row for rows in groups for row in ordered(rows)])
            return
        for rows in groups:
            show(rows)

    run_with_fs(settings, use)


async def walk(fs: UnifiedFileSystem, path: str) -> AsyncIterator[tuple[str, list[FileStatus]]]:
    """(directory, its entries) from ``path`` down, parents first."""
    pending = [path]
    while pending:
        directory = pending.pop()
        rows = list(await fs.list(directory))
        yield directory, rows
        pending += [join(directory, row.name) for row in reversed(rows) if row.is_dir]


@click.command()
@click.argument("path")
@output_option
@pass_settings
def stat(settings: Settings, path: str, output: str) -> None:
    """Everything that is known about PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        status = await fs.status(normalize(path))
        if output == "json":
            print_json(status)
            return
        policy = status.storage_policy
        rows: list[tuple[str, object]] = [
            ("Path", status.path),
            ("Id", status.id),
            ("Type", status.file_type.name.lower()),
            ("Length", status.len),
            ("Permissions", f"{permissions(status)} ({status.mode:04o})"),
            ("Owner", status.owner),
            ("Group", status.group),
            ("Links", status.nlink),
            ("Children", status.children_num),
            ("Complete", str(status.is_complete).lower()),
            ("Modified", _stamp(status.mtime)),
            ("Accessed", _stamp(status.atime)),
            ("Changed", _stamp(status.changed)),
            ("Replicas", status.replicas),
            ("Block size", status.block_size),
            ("Storage", policy.storage_type.name.lower()),
            ("State", policy.state.name.lower()),
            ("UFS mtime", _stamp(policy.ufs_mtime) if policy.ufs_mtime else "-"),
            ("TTL", f"{policy.ttl_ms} ms, {policy.ttl_action.name.lower()}"),
        ]
        if status.target is not None:
            rows.append(("Target", status.target))
        rows += [(f"Attribute {key}", value) for key, value in status.x_attr.items()]
        for key, value in rows:
            click.echo(f"{key}: {value}")

    run_with_fs(settings, use)


@click.command()
@click.option("-h", "human", is_flag=True, help="Sizes for people.")
@output_option
@pass_settings
def df(settings: Settings, human: bool, output: str) -> None:
    """Capacity of the cluster, as its live workers offer it."""

    async def use(fs: UnifiedFileSystem) -> None:
        info = await fs.filesystem_info()
        size = info.capacity if info.allocatable_capacity is None else info.allocatable_capacity
        free = info.available if info.allocatable_available is None else info.allocatable_available
        used = max(size - free, 0)
        if output == "json":
            print_json({"filesystem": info.active_master, "size": size, "available": free})
            return
        share = f"{100 * used / size:.0f}%" if size else "-"
        show = format_size if human else str
        print_table(
            ("Filesystem", "Size", "Used", "Available", "Use%"),
            [(f"curvine://{info.active_master}", show(size), show(used), show(free), share)],
            right="Size,Used,Available,Use%",
        )

    run_with_fs(settings, use)


@click.command()
@click.argument("path", default="/")
@output_option
@pass_settings
def count(settings: Settings, path: str, output: str) -> None:
    """Count directories, files and bytes below PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        directories, files, size = await _sum(fs, normalize(path))
        if output == "json":
            print_json({"directories": directories, "files": files, "bytes": size, "path": path})
            return
        print_table(
            ("DIR_COUNT", "FILE_COUNT", "CONTENT_SIZE", "PATHNAME"),
            [(directories, files, size, path)],
            right="DIR_COUNT,FILE_COUNT,CONTENT_SIZE",
        )

    run_with_fs(settings, use)


@click.command()
@click.argument("path", default="/")
@click.option("-h", "human", is_flag=True, help="Sizes for people.")
@click.option("-v", "verbose", is_flag=True, help="A line for each entry of PATH.")
@pass_settings
def du(settings: Settings, path: str, human: bool, verbose: bool) -> None:
    """Bytes below PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        top = normalize(path)
        show = format_size if human else str
        names = [top]
        if verbose and (await fs.status(top)).is_dir:
            names = [row.path for row in await fs.list(top)] + names
        for name in names:
            click.echo(f"{show((await _sum(fs, name))[2]):>12}  {name}")

    run_with_fs(settings, use)


async def _sum(fs: UnifiedFileSystem, path: str) -> tuple[int, int, int]:
    """(directories, files, bytes) of ``path`` with all below."""
    top = await fs.status(path)
    if not top.is_dir:
        return 0, 1, top.len
    directories, files, size = 1, 0, 0
    async for _, rows in walk(fs, path):
        for row in rows:
            directories += row.is_dir
            files += not row.is_dir
            size += 0 if row.is_dir else row.len
    return directories, files, size


def _stamp(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) + f".{ms % 1000:03d}"
