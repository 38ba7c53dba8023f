# SPDX-License-Identifier: Apache-2.0
"""``cv fs df|count|du``: adding up. Amounts are bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.fs.listing import walk
from curvine.cli.output import output_option, print_json, print_table
from curvine.cli.paths import CLUSTER_PATH
from curvine.cli.progress import Meter
from curvine.errors import NotFound
from curvine.model.inode import FileStatus, StorageState
from curvine.model.mount import WriteType
from curvine.model.path import is_under
from curvine.units import format_size
from curvine.wire.codes import CAP_SUMMARY

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem


_PACE_MS = 500  # between two looks at how far the master has counted


class Usage(msgspec.Struct):
    """What a path and all below it amount to."""

    path: str
    directories: int = 0
    files: int = 0
    size: int = 0  # lengths of files
    cached: int = 0  # of these, what the cluster holds
    space: int = 0  # what that takes on workers, all replicas
    is_whole: bool = False  # cached and space are known

    def add(self, row: FileStatus) -> None:
        """Count an entry as the name space shows it."""
        self.directories += row.is_dir
        self.files += not row.is_dir
        self.size += 0 if row.is_dir else row.len

    def add_stored(self, row: FileStatus) -> None:
        """Count what the cluster itself holds of an entry."""
        if not row.is_dir and row.storage_policy.state is not StorageState.UFS:
            self.cached += row.len
            self.space += row.len * max(row.replicas, 1)


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
        name = f"curvine://{info.active_master}"
        if output == "json":
            print_json({"filesystem": name, "size": size, "used": used, "available": free})
            return
        share = f"{100 * used / size:.0f}%" if size else "-"
        show = format_size if human else str
        print_table(
            ("Filesystem", "Size", "Used", "Available", "Use%"),
            [(name, show(size), show(used), show(free), share)],
            right="Size,Used,Available,Use%",
        )

    run_with_fs(settings, use)


@click.command()
@click.argument("path", default="/", type=CLUSTER_PATH)
@output_option
@pass_settings
def count(settings: Settings, path: str, output: str) -> None:
    """Count directories, files and bytes below PATH."""

    async def use(fs: UnifiedFileSystem) -> None:
        with Meter("entries") as meter:
            meter.begin(path, None)
            total = await usage(fs, path, meter)
        if output == "json":
            print_json(
                {"directories": total.directories, "files": total.files, "bytes": total.size,
                 "path": path}
            )  # fmt: skip
            return
        print_table(
            ("DIR_COUNT", "FILE_COUNT", "CONTENT_SIZE", "PATHNAME"),
            [(total.directories, total.files, total.size, path)],
            right="DIR_COUNT,FILE_COUNT,CONTENT_SIZE",
        )

    run_with_fs(settings, use)


@click.command()
@click.argument("path", default="/", type=CLUSTER_PATH)
@click.option("-h", "human", is_flag=True, help="Sizes for people.")
@click.option("-v", "verbose", is_flag=True, help="A line for each entry of PATH, and a header.")
@output_option
@pass_settings
def du(settings: Settings, path: str, human: bool, verbose: bool, output: str) -> None:
    """Bytes below PATH.

    The columns: length, what of it the cluster holds, what that takes on workers.
    """

    async def use(fs: UnifiedFileSystem) -> None:
        names = [path]
        if verbose and (await fs.status(path)).is_dir:
            names = [row.path for row in await fs.list(path)] + names
        with Meter("entries") as meter:
            meter.begin(path, None)
            rows = [await with_stored(fs, await usage(fs, name, meter)) for name in names]
        if output == "json":
            keys = ("path", "directories", "files", "size", "cached", "space")
            print_json([{key: getattr(row, key) for key in keys} for row in rows])
            return
        show = format_size if human else str
        columns = [(show(row.size), show(row.cached), show(row.space), row.path) for row in rows]
        if verbose:
            print_table(("SIZE", "CACHED", "SPACE", "PATHNAME"), columns, "SIZE,CACHED,SPACE")
            return
        for size, cached, space, name in columns:
            click.echo(f"{size:>12}  {cached:>12}  {space:>12}  {name}")

    run_with_fs(settings, use)


async def usage(fs: UnifiedFileSystem, path: str, meter: Meter) -> Usage:
    """``path`` with all below, as the name space shows it."""
    total = await _counted_by_the_master(fs, path, meter)
    if total is not None:
        return total
    total = Usage(path)
    top = await fs.status(path)
    total.add(top)
    if top.is_dir:
        async for _, rows in walk(fs.list, path):
            for row in rows:
                total.add(row)
            meter.advance(len(rows))
    return total


async def _counted_by_the_master(fs: UnifiedFileSystem, path: str, meter: Meter) -> Usage | None:
    """The same from the master's sums; None if it has none, or parts lie in an under storage."""
    cluster = fs.cluster
    if not cluster.introduced:
        await cluster.handshake()
    if CAP_SUMMARY not in cluster.capabilities or await _shows_under_storage(fs, path):
        return None
    while True:
        sums = await cluster.ns.content_summary(path, wait_ms=_PACE_MS)
        if sums.is_complete:
            break
        meter.show(path, sums.files + sums.directories, None)
    return Usage(
        path, sums.directories, sums.files, sums.bytes, sums.cached_bytes, sums.space_bytes, True
    )


async def _shows_under_storage(fs: UnifiedFileSystem, path: str) -> bool:
    """Whether something at or below ``path`` is listed from an under storage."""
    if not fs.cluster.conf.client.enable_unified_fs:
        return False
    cached = [
        mount.cv_path
        for mount in await fs.cluster.admin.mount_table()
        if mount.write_type is WriteType.CACHE_MODE
    ]
    return any(is_under(path, place) or is_under(place, path) for place in cached)


async def with_stored(fs: UnifiedFileSystem, total: Usage) -> Usage:
    """``total`` with what the cluster holds: under a cache_mode mount that is another tree."""
    if total.is_whole:
        return total
    try:
        top = await fs.cluster.ns.status(total.path)
    except NotFound:
        return total  # nothing of it is cached
    total.add_stored(top)
    if top.is_dir:
        async for _, rows in walk(fs.list_stored, total.path):
            for row in rows:
                total.add_stored(row)
    return total
