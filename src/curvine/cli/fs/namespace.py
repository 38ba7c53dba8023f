# SPDX-License-Identifier: Apache-2.0
"""``cv fs mkdir|rm|mv|touch|chmod|chown|blocks|free``: changing the namespace."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING

import click

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_table
from curvine.cli.paths import CLUSTER_PATH
from curvine.errors import NotFound
from curvine.model.inode import FileStatus, FreeResult, RenameFlag, SetAttr
from curvine.model.path import join, split
from curvine.units import format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@click.option("-p", "parents", is_flag=True, help="Parents too; an existing directory is fine.")
@output_option
@pass_settings
def mkdir(settings: Settings, path: str, parents: bool, output: str) -> None:
    """Make the directory PATH."""

    async def use(fs: UnifiedFileSystem) -> FileStatus:
        return await fs.mkdir(path, mode=0o755, owner=user_name(), group="", create_parent=parents)

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@click.option("-r", "recursive", is_flag=True, help="Directories with all below them.")
@output_option
@pass_settings
def rm(settings: Settings, path: str, recursive: bool, output: str) -> None:
    """Remove PATH."""

    async def use(fs: UnifiedFileSystem) -> FreeResult:
        return await fs.delete(path, recursive)

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("src", type=CLUSTER_PATH)
@click.argument("dst", type=CLUSTER_PATH)
@output_option
@pass_settings
def mv(settings: Settings, src: str, dst: str, output: str) -> None:
    """Rename SRC to DST; into DST when that is a directory."""

    async def use(fs: UnifiedFileSystem) -> FileStatus:
        try:
            status = await fs.status(dst)
        except NotFound:
            status = None
        target = dst
        if status is not None and status.is_dir:
            target = join(dst, split(src)[1])
        await fs.rename(src, target, RenameFlag.NONE)
        return await fs.status(target)

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@output_option
@pass_settings
def touch(settings: Settings, path: str, output: str) -> None:
    """Make an empty file, or set the times of PATH to now."""

    async def use(fs: UnifiedFileSystem) -> FileStatus:
        now = time.time_ns() // 1_000_000
        try:
            return await fs.set_attr(path, SetAttr(atime=now, mtime=now))
        except NotFound:
            writer = await fs.create(
                path, mode=0o644, owner=user_name(), group="", exclusive=False, truncate=False
            )
            await writer.close()
            return await fs.status(path)

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("mode")
@click.argument("path", type=CLUSTER_PATH)
@click.option("-R", "--recursive", is_flag=True, help="All below PATH as well.")
@output_option
@pass_settings
def chmod(settings: Settings, mode: str, path: str, recursive: bool, output: str) -> None:
    """Set the permission bits of PATH to MODE (octal, as 755)."""
    try:
        bits = int(mode, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o7777:
        raise click.BadParameter(f"{mode!r} is not an octal mode between 0 and 7777")

    async def use(fs: UnifiedFileSystem) -> FileStatus:
        return await fs.set_attr(path, SetAttr(mode=bits, recursive=recursive))

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("owner")
@click.argument("path", type=CLUSTER_PATH)
@click.option("-R", "--recursive", is_flag=True, help="All below PATH as well.")
@output_option
@pass_settings
def chown(settings: Settings, owner: str, path: str, recursive: bool, output: str) -> None:
    """Set the owner of PATH to OWNER, OWNER:GROUP or :GROUP."""
    user, _, group = owner.partition(":")
    if not user and not group:
        raise click.BadParameter(f"{owner!r} names nobody; write OWNER, OWNER:GROUP or :GROUP")

    async def use(fs: UnifiedFileSystem) -> FileStatus:
        change = SetAttr(owner=user or None, group=group or None, recursive=recursive)
        return await fs.set_attr(path, change)

    _tell(output, run_with_fs(settings, use))


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@output_option
@pass_settings
def blocks(settings: Settings, path: str, output: str) -> None:
    """The blocks of the file PATH and the workers that hold them."""

    async def use(fs: UnifiedFileSystem) -> None:
        located = await fs.block_locations(path)
        if output == "json":
            print_json(located.blocks)
            return
        rows = [
            (
                block.block.id,
                block.block.len,
                ", ".join(f"{loc.worker_id}@{loc.ip_addr}:{loc.rpc_port}" for loc in block.locs)
                or ("hole" if block.block.alloc_opts else "-"),
            )
            for block in located.blocks
        ]
        print_table(("BLOCK", "LENGTH", "WORKERS"), rows, right="LENGTH")

    run_with_fs(settings, use)


@click.command()
@click.argument("path", type=CLUSTER_PATH)
@click.option("-r", "recursive", is_flag=True, help="Directories with all below them.")
@output_option
@pass_settings
def free(settings: Settings, path: str, recursive: bool, output: str) -> None:
    """Drop cached data of PATH, not the source.

    What lies in the under storage stays, and is read from there until it is loaded again.
    """

    async def use(fs: UnifiedFileSystem) -> FreeResult:
        return await fs.free(path, recursive)

    result = run_with_fs(settings, use)
    if output == "json":
        print_json(result)
    else:
        click.echo(f"inodes: {result.inodes}, space: {format_size(result.bytes)}")


def _tell(output: str, result: FileStatus | FreeResult) -> None:
    """A change says nothing when it worked, except to programs."""
    if output == "json":
        print_json(result)


def user_name() -> str:
    """The caller's name, "" where the user database does not know one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
