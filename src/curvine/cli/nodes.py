# SPDX-License-Identifier: Apache-2.0
"""``cv node``: workers, their versions, taking them out of service and back.

Looking is an RPC; changing is HTTP on the active master's web port (specification 7.3, 8.13).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_table
from curvine.cli.webport import MasterPages
from curvine.errors import CurvineError, InvalidArgument
from curvine.model.worker import FilesystemInfo, WorkerInfo
from curvine.units import format_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_ADD, _REMOVE = "/add-dcm", "/remove-dcm"


@click.command()
@click.argument("nodes", nargs=-1, metavar="[HOST:PORT,...]...")
@click.option("-l", "--list", "listing", is_flag=True, help="All workers (the default).")
@click.option("--versions", is_flag=True, help="Release, protocol and start of every worker.")
@click.option("--add-decommission", "add", is_flag=True, help="Take NODES out of service.")
@click.option("--remove-decommission", "remove", is_flag=True, help="Put NODES back into service.")
@output_option
@pass_settings
def node(
    settings: Settings,
    nodes: tuple[str, ...],
    listing: bool,
    versions: bool,
    add: bool,
    remove: bool,
    output: str,
) -> None:
    """List the workers, or change which of them serve.

    Example: cv node --add-decommission -- worker-3:8997,worker-4:8997
    """
    names = [name for text in nodes for name in text.replace(",", " ").split()]
    if sum((listing, versions, add, remove)) > 1:
        raise click.UsageError(
            "--list, --versions, --add-decommission and --remove-decommission exclude each other"
        )
    if (add or remove) != bool(names):
        raise click.UsageError(
            "--add-decommission and --remove-decommission take workers: HOST:PORT,HOST:PORT; "
            "`cv node` lists them"
        )

    async def use(fs: UnifiedFileSystem) -> FilesystemInfo:
        return await fs.filesystem_info()

    info = run_with_fs(settings, use)
    if add or remove:
        _change(settings, info, names, _ADD if add else _REMOVE, output)
    elif versions:
        _print_versions(_all(info), output)
    else:
        _print_list(_all(info), output)


def _change(
    settings: Settings, info: FilesystemInfo, names: list[str], path: str, output: str
) -> None:
    """Ask the master, and print what it says has changed: "id,host:port,Status" each."""
    known = {key for worker in _all(info) for key in _keys(worker)}
    strange = [name for name in names if name not in known]
    if strange:
        there = ", ".join(_address(worker) for worker in _all(info)) or "none"
        raise InvalidArgument(f"no worker is called {', '.join(strange)}; there are: {there}")
    pages = MasterPages(info, settings.cluster())
    answer = pages.fetch_json(path, {"workers": ",".join(names)}, as_admin=True)
    rows = [parse_node(row) for row in answer]
    if output == "json":
        print_json([dict(zip(("id", "address", "status"), row, strict=True)) for row in rows])
    elif rows:
        print_table(("ID", "WORKER", "STATUS"), rows)
    else:
        click.echo("nothing changed: they were in that state already")


def parse_node(row: object) -> tuple[str, str, str]:
    """(id, host:port, status) of the master's "id,host:port,Status"."""
    parts = str(row).split(",")
    if len(parts) != 3:
        raise CurvineError(f"the master answered {row!r} where id,host:port,status was expected")
    return parts[0], parts[1], parts[2]


def _print_list(workers: list[WorkerInfo], output: str) -> None:
    if output == "json":
        print_json(workers)
        return
    print_table(
        ("ID", "WORKER", "STATUS", "CAPACITY", "AVAILABLE", "USED", "BLOCKS"),
        [
            (
                worker.address.worker_id,
                _address(worker),
                worker.status.name.lower(),
                format_size(worker.capacity),
                format_size(worker.available),
                format_size(worker.fs_used),
                sum(storage.block_num for storage in worker.storages),
            )
            for worker in workers
        ],
        right="CAPACITY,AVAILABLE,USED,BLOCKS",
    )


def _print_versions(workers: list[WorkerInfo], output: str) -> None:
    rows = [(*_version(worker), _address(worker), worker.status.name.lower()) for worker in workers]
    if output == "json":
        keys = ("version", "protocol", "worker", "status")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        print_table(("VERSION", "PROTOCOL", "WORKER", "STATUS"), rows)


def _version(worker: WorkerInfo) -> tuple[str, str]:
    """Release and protocol as far as the worker has told them (both are missing up to 0.3)."""
    component = worker.component
    if component is None:
        return worker.software_version or "-", "-"
    release = component.release_version or worker.software_version or "-"
    return release, str(component.protocol_version)


def _all(info: FilesystemInfo) -> list[WorkerInfo]:
    groups: Iterable[tuple[WorkerInfo, ...]] = (
        info.live_workers, info.blacklist_workers, info.decommission_workers, info.lost_workers,
    )  # fmt: skip
    return sorted((row for group in groups for row in group), key=_address)


def _address(worker: WorkerInfo) -> str:
    return f"{worker.address.hostname}:{worker.address.rpc_port}"


def _keys(worker: WorkerInfo) -> tuple[str, ...]:
    """Every way to name a worker."""
    address = worker.address
    hosts = (address.hostname, address.ip_addr)
    return (*hosts, *(f"{host}:{address.rpc_port}" for host in hosts))
