# SPDX-License-Identifier: Apache-2.0
"""``cv report`` and ``cv version``: the cluster in numbers (specification 8.13)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import click

from curvine import __version__
from curvine.cli.context import Settings, output_option, pass_settings, print_json, run_with_fs
from curvine.model.worker import FilesystemInfo, WorkerInfo
from curvine.units import format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_SECTIONS = ("all", "json", "capacity", "used", "available", "tiers")


@click.command()
@click.argument("what", type=click.Choice(_SECTIONS), default="all")
@click.argument("worker", required=False)
@click.option("--show-workers", type=bool, default=True, show_default=True)
@output_option
@pass_settings
def report(
    settings: Settings, what: str, worker: str | None, show_workers: bool, output: str
) -> None:
    """Capacity, workers and numbers of the cluster; `report tiers` is bytes per medium."""

    async def use(fs: UnifiedFileSystem) -> FilesystemInfo:
        return await fs.filesystem_info()

    info = run_with_fs(settings, use)
    if what == "json" or output == "json":
        print_json(info)
    elif what == "all":
        _print_all(info, show_workers)
    elif what == "tiers":
        _print_tiers(info)
    else:
        _print_one(info, what, worker)


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"curvine-cli {__version__}")


def _print_all(info: FilesystemInfo, show_workers: bool) -> None:
    rows: list[tuple[str, object]] = [
        ("active_master", info.active_master),
        ("journal_nodes", ", ".join(info.journal_nodes) or "-"),
        ("capacity", format_size(info.capacity)),
        ("available", _share(info.available, info.capacity)),
        ("fs_used", _share(info.fs_used, info.capacity)),
        ("allocatable_capacity", _optional(info.allocatable_capacity)),
        ("allocatable_available", _optional(info.allocatable_available)),
        ("non_fs_used", format_size(info.non_fs_used)),
        ("live_worker_num", len(info.live_workers)),
        ("lost_worker_num", len(info.lost_workers)),
        ("inode_dir_num", info.inode_dir_num),
        ("inode_file_num", info.inode_file_num),
        ("block_num", info.block_num),
    ]
    for key, value in rows:
        click.echo(f"{key:>20}: {value}")
    if show_workers:
        for title, workers in (
            ("live_worker_list", info.live_workers),
            ("blacklist_worker_list", info.blacklist_workers),
            ("lost_worker_list", info.lost_workers),
        ):
            if workers or title != "blacklist_worker_list":
                click.echo(f"{title:>20}: {', '.join(map(_worker_text, workers)) or '-'}")


def _print_one(info: FilesystemInfo, what: str, worker: str | None) -> None:
    key = {"capacity": "capacity", "used": "fs_used", "available": "available"}[what]
    if worker is None:
        click.echo(format_size(getattr(info, key)))
    for row in info.live_workers:
        address = row.address
        if worker in (None, address.ip_addr, address.hostname):
            value = format_size(getattr(row, key))
            click.echo(f"{address.hostname}:{address.rpc_port}  {value}")


def _print_tiers(info: FilesystemInfo) -> None:
    used: dict[str, int] = defaultdict(int)
    capacity: dict[str, int] = defaultdict(int)
    for worker in info.live_workers:
        for storage in worker.storages:
            name = storage.storage_type.name
            used[name] += storage.fs_used
            capacity[name] += storage.capacity
    for name in sorted(used):
        click.echo(f"{name:>5}: {format_size(used[name])} of {format_size(capacity[name])}")


def _worker_text(worker: WorkerInfo) -> str:
    address = worker.address
    return (
        f"{address.hostname}:{address.rpc_port} "
        f"({format_size(worker.available)} of {format_size(worker.capacity)} available)"
    )


def _share(part: int, whole: int) -> str:
    return f"{format_size(part)} ({100 * part / whole:.1f}%)" if whole else format_size(part)


def _optional(value: int | None) -> str:
    return "-" if value is None else format_size(value)
