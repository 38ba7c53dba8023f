# SPDX-License-Identifier: Apache-2.0
"""``cv fs mkdir|rm|mv|touch|chmod|chown|blocks|free``: changing the namespace."""

from __future__ import annotations

import getpass
import time
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
from curvine.errors import NotFound
from curvine.model.inode import RenameFlag, SetAttr
from curvine.model.path import normalize
from curvine.units import format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem


@click.command()
@click.argument("path")
@click.option("-p", "parents", is_flag=True, help="Parents too; an existing directory is fine.")
@pass_settings
def mkdir(settings: Settings, path: str, parents: bool) -> None:
    """Make the directory PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.mkdir(
            normalize(path), mode=0o755, owner=user_name(), group="", create_parent=parents
        )

    run_with_fs(settings, use)


@click.command()
@click.argument("path")
@click.option("-r", "recursive", is_flag=True, help="Directories with all below them.")
@pass_settings
def rm(settings: Settings, path: str, recursive: bool) -> None:
    """Remove PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.delete(normalize(path), recursive)

    run_with_fs(settings, use)


@click.command()
@click.argument("src")
@click.argument("dst")
@pass_settings
def mv(settings: Settings, src: str, dst: str) -> None:
    """Rename SRC to DST; into DST when that is a directory."""

    async def use(fs: UnifiedFileSystem) -> None:
        source, target = normalize(src), normalize(dst)
        try:
            status = await fs.status(target)
        except NotFound:
            status = None
        if status is not None and status.is_dir:
            target = normalize(f"{target}/{source.rpartition('/')[2]}")
        await fs.rename(source, target, RenameFlag.NONE)

    run_with_fs(settings, use)


@click.command()
@click.argument("path")
@pass_settings
def touch(settings: Settings, path: str) -> None:
    """Make an empty file, or set the times of PATH to now."""

    async def use(fs: UnifiedFileSystem) -> None:
        name = normalize(path)
        now = time.time_ns() // 1_000_000
        try:
            await fs.set_attr(name, SetAttr(atime=now, mtime=now))
        except NotFound:
            writer = await fs.create(
                name, mode=0o644, owner=user_name(), group="", exclusive=False, truncate=False
            )
            await writer.close()

    run_with_fs(settings, use)


@click.command()
@click.argument("mode")
@click.argument("path")
@click.option("-R", "--recursive", is_flag=True, help="All below PATH as well.")
@pass_settings
def chmod(settings: Settings, mode: str, path: str, recursive: bool) -> None:
    """Set the permission bits of PATH to MODE (octal, as 755)."""
    try:
        bits = int(mode, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o7777:
        raise click.BadParameter(f"{mode!r} is not an octal mode between 0 and 7777")

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.set_attr(normalize(path), SetAttr(mode=bits, recursive=recursive))

    run_with_fs(settings, use)


@click.command()
@click.argument("owner")
@click.argument("path")
@click.option("-R", "--recursive", is_flag=True, help="All below PATH as well.")
@pass_settings
def chown(settings: Settings, owner: str, path: str, recursive: bool) -> None:
    """Set the owner of PATH to OWNER, OWNER:GROUP or :GROUP."""
    user, _, group = owner.partition(":")

    async def use(fs: UnifiedFileSystem) -> None:
        change = SetAttr(owner=user or None, group=group or None, recursive=recursive)
        await fs.set_attr(normalize(path), change)

    run_with_fs(settings, use)


@click.command()
@click.argument("path")
@output_option
@pass_settings
def blocks(settings: Settings, path: str, output: str) -> None:
    """The blocks of the file PATH and the workers that hold them."""

    async def use(fs: UnifiedFileSystem) -> None:
        located = await fs.block_locations(normalize(path))
        if output == "json":
            print_json(located.blocks)
            return
        rows = [
            (
                block.block.id,
                block.block.len,
                ",".join(f"{loc.worker_id}@{loc.ip_addr}:{loc.rpc_port}" for loc in block.locs)
                or ("hole" if block.block.alloc_opts else "-"),
            )
            for block in located.blocks
        ]
        print_table(("BLOCK", "LENGTH", "WORKERS"), rows, right="LENGTH")

    run_with_fs(settings, use)


@click.command()
@click.argument("path")
@click.option("-r", "recursive", is_flag=True, help="Directories with all below them.")
@pass_settings
def free(settings: Settings, path: str, recursive: bool) -> None:
    """Drop the cached data of PATH; what lies in the under storage stays."""

    async def use(fs: UnifiedFileSystem) -> None:
        result = await fs.free(normalize(path), recursive)
        click.echo(f"inodes: {result.inodes}, space: {format_size(result.bytes)}")

    run_with_fs(settings, use)


def user_name() -> str:
    """The caller's name, "" where the user database does not know one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
