# SPDX-License-Identifier: Apache-2.0
"""``cv report`` and ``cv version``: the cluster in numbers (specification 8.13)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from curvine import __version__
from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_pairs
from curvine.cli.summary import fluid_summary
from curvine.errors import NotFound
from curvine.model.worker import FilesystemInfo, WorkerInfo
from curvine.units import format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_SECTIONS = ("all", "json", "capacity", "used", "available", "tiers", "fluid-summary")
_KEYS = {"capacity": "capacity", "used": "fs_used", "available": "available"}
_WIDTH = 20  # of the keys, as upstream


@click.command()
@click.argument("what", type=click.Choice(_SECTIONS), default="all")
@click.argument("worker", required=False)
@click.option(
    "--show-workers",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=True,
    metavar="[BOOL]",
    help="List the workers too (default: true).",
)
@output_option
@pass_settings
def report(
    settings: Settings, what: str, worker: str | None, show_workers: bool, output: str
) -> None:
    """Capacity, workers and numbers of the cluster.

    WHAT is one part of it: capacity, used or available (of one WORKER, by host name or address),
    tiers (bytes per medium), json (everything), fluid-summary (what Fluid shows of a Dataset).
    """

    async def use(fs: UnifiedFileSystem) -> FilesystemInfo:
        return await fs.filesystem_info()

    info = run_with_fs(settings, use)
    if what == "fluid-summary":
        print_json(fluid_summary(info, settings.cluster()))
    elif what == "tiers":
        _print_tiers(info, output)
    elif what in _KEYS:
        _print_one(info, what, worker, output)
    elif what == "json" or output == "json":
        print_json(info)
    else:
        _print_all(info, show_workers)


@click.command()
@output_option
def version(output: str) -> None:
    """Print the version."""
    if output == "json":
        print_json({"component": "cli", "version": __version__})
    else:
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
    print_pairs(rows, _WIDTH)
    if not show_workers:
        return
    for title, workers in (
        ("live_worker_list", info.live_workers),
        ("blacklist_worker_list", info.blacklist_workers),
        ("decommission_worker_list", info.decommission_workers),
        ("lost_worker_list", info.lost_workers),
    ):
        if workers or title in ("live_worker_list", "lost_worker_list"):
            first, *others = [_worker_text(row) for row in workers] or ["-"]
            print_pairs([(title, first)], _WIDTH)
            for text in others:
                click.echo(" " * (max(_WIDTH, len(title)) + 2) + text)


def _print_one(info: FilesystemInfo, what: str, worker: str | None, output: str) -> None:
    key = _KEYS[what]
    rows = [
        (f"{row.address.hostname}:{row.address.rpc_port}", int(getattr(row, key)))
        for row in info.live_workers
        if worker in (None, row.address.ip_addr, row.address.hostname)
    ]
    if worker is not None and not rows:
        raise NotFound(f"no live worker is called {worker}; live are: {_names(info.live_workers)}")
    if output == "json":
        total = {} if worker else {"total": getattr(info, key)}
        print_json({**total, "workers": dict(rows)})
        return
    if worker is None:
        click.echo(format_size(getattr(info, key)))
    for name, amount in rows:
        click.echo(f"{name}  {format_size(amount)}")


def _print_tiers(info: FilesystemInfo, output: str) -> None:
    used: dict[str, int] = defaultdict(int)
    capacity: dict[str, int] = defaultdict(int)
    for worker in info.live_workers:
        for storage in worker.storages:
            name = storage.storage_type.name
            used[name] += storage.fs_used
            capacity[name] += storage.capacity
    if output == "json":
        print_json(
            [
                {"tier": name, "used": used[name], "capacity": capacity[name]}
                for name in sorted(used)
            ]
        )
        return
    for name in sorted(used):
        click.echo(f"{name:>5}: {format_size(used[name])} of {format_size(capacity[name])}")


def _names(workers: Iterable[WorkerInfo]) -> str:
    return ", ".join(worker.address.hostname for worker in workers) or "none"


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
