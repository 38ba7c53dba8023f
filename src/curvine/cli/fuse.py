# SPDX-License-Identifier: Apache-2.0
"""``cv fuse``: looking after mounts of this machine. Nothing here touches what is mounted."""

from __future__ import annotations

import click

from curvine.cli.fuse_stats import stats, upgrade
from curvine.cli.output import output_option, print_json, print_table
from curvine.errors import CurvineError, NotFound


@click.group()
def fuse() -> None:
    """Mounts of this machine: list, watch, upgrade, unmount, abort."""


fuse.add_command(stats)
fuse.add_command(upgrade)


@fuse.command("list")
@output_option
def list_mounts(output: str) -> None:
    """List Curvine's mounts, and whether they live."""
    from curvine.fuse import mount

    rows = [
        (entry.point, entry.source, entry.device, "dead" if mount.is_dead(entry.point) else "live")
        for entry in mount.mount_table()
        if entry.is_curvine
    ]
    if output == "json":
        keys = ("path", "source", "device", "state")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        print_table(("PATH", "SOURCE", "DEVICE", "STATE"), rows)


@fuse.command()
@click.argument("path")  # not click.Path: it asks the mount (stat)
@click.option("--lazy", is_flag=True, help="Detach it even while it is in use.")
def umount(path: str, lazy: bool) -> None:
    """Unmount PATH if it is a Curvine mount or a dead one; its curvine-fuse ends."""
    from curvine.fuse.mountpoint import Failed, release

    try:
        released = release(path, lazy=lazy)
    except Failed as error:
        hint = "" if lazy else f"; `cv fuse umount --lazy {path}` detaches it all the same"
        raise CurvineError(f"{error}{hint}") from error
    click.echo(f"unmounted {path}" if released else "not mounted")


@fuse.command()
@click.argument("path")  # not click.Path: it asks the mount (stat)
def abort(path: str) -> None:
    """Cut the kernel's connection of the mount at PATH and detach it.

    For a mount that hangs: everything that waits for it gets an error, processes that could not
    even be killed go on. Needs root.
    """
    from curvine.fuse.abort import abort_connection
    from curvine.fuse.mountpoint import Failed, release

    try:
        if not abort_connection(path):
            raise NotFound(f"nothing is mounted at {path}; `cv fuse list` tells what is")
        release(path, lazy=True)
    except Failed as error:
        raise CurvineError(str(error)) from error
    click.echo(f"aborted {path}")
