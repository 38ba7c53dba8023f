# SPDX-License-Identifier: Apache-2.0
"""``cv fs ls|stat``: looking, in the shapes of specification 8.13."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import click

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_pairs
from curvine.cli.paths import CLUSTER_PATH
from curvine.errors import NotFound
from curvine.model.inode import FileStatus, FileType, StoragePolicy
from curvine.model.path import join
from curvine.units import format_duration, format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

PATTERN = re.compile(r"[*?\[{\\]")  # what makes a path a pattern (control-plane 5.2)

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
@click.argument("path", default="/", type=CLUSTER_PATH)
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
    """List PATH, or what a pattern such as '/data/*.parquet' matches."""

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

    async def found(fs: UnifiedFileSystem) -> list[list[FileStatus]]:
        try:
            top = await fs.status(path)
        except NotFound:
            if PATTERN.search(path):
                return [list(await fs.cluster.ns.list_status(path))]
            raise
        if itself or not top.is_dir:
            return [[top]]
        if recursive:
            return [list(rows) async for _, rows in walk(fs.list, top.path)]
        return [list(await fs.list(top.path))]

    async def use(fs: UnifiedFileSystem) -> None:
        groups = await found(fs)
        if output == "json":
            print_json([row for rows in groups for row in ordered(rows)])
            return
        for rows in groups:
            show(rows)

    run_with_fs(settings, use)


async def walk(
    entries: Callable[[str], Awaitable[list[FileStatus]]], path: str
) -> AsyncIterator[tuple[str, list[FileStatus]]]:
    """(directory, its entries) from ``path`` down, parents first; ``entries`` lists one."""
    pending = [path]
    while pending:
        directory = pending.pop()
        rows = list(await entries(directory))
        yield directory, rows
        pending += [join(directory, row.name) for row in reversed(rows) if row.is_dir]


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@output_option
@pass_settings
def stat(settings: Settings, path: str, output: str) -> None:
    """Everything that is known about PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        status = await fs.status(path)
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
            ("TTL", _ttl(policy)),
        ]
        if status.target is not None:
            rows.append(("Target", status.target))
        rows += [(f"Attribute {key}", value) for key, value in status.x_attr.items()]
        print_pairs(rows)

    run_with_fs(settings, use)


def _stamp(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) + f".{ms % 1000:03d}"


def _ttl(policy: StoragePolicy) -> str:
    if not policy.ttl_ms:
        return "-"
    return f"{format_duration(policy.ttl_ms)}, then {policy.ttl_action.name.lower()}"
