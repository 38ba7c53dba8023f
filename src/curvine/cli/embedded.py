# SPDX-License-Identifier: Apache-2.0
"""``cv up``, ``cv down`` and ``cv status``: a cluster on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from curvine.cli.output import output_option, print_json, print_table
from curvine.config.load import default_dir
from curvine.errors import CurvineError, NotFound
from curvine.local.home import Home
from curvine.local.processes import Record

if TYPE_CHECKING:
    from curvine.local.cluster import RoleState

directory_option = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Where the cluster's state lives (default: curvine below your data directory).",
)


@click.command()
@directory_option
@click.option("--mount", "mount", metavar="PATH", help="Mount the cluster's root at PATH as well.")
@click.option(
    "--data-dir",
    "data_dirs",
    multiple=True,
    metavar="[TYPE:SIZE]PATH",
    help="Where blocks go, e.g. [SSD:10GB]/data; only for a new cluster. May be repeated.",
)
@click.option(
    "--s3",
    metavar="[HOST:PORT]",
    is_flag=False,
    flag_value="",
    help="Start the S3 gateway as well, at s3_gateway.listen unless HOST:PORT is given.",
)
@click.option("--free-ports", is_flag=True, help="Never the standard ports; for a new cluster.")
@click.option("--detach", is_flag=True, help="Return once everything answers.")
@output_option
def up(
    directory: str | None,
    mount: str | None,
    data_dirs: tuple[str, ...],
    s3: str | None,
    free_ports: bool,
    detach: bool,
    output: str,
) -> None:
    """Start a master and a worker on this machine; what runs already is left alone."""
    if output == "json" and not detach:
        raise click.UsageError("--output json goes with --detach")
    from curvine.local.cluster import Cluster

    home = _home(directory)
    cluster = Cluster(home)
    with home.locked():
        try:
            started = cluster.up(mount, data_dirs, not free_ports, s3)
        except BaseException:
            if not detach:
                cluster.down()
            raise
    if output == "json":
        _print_states(home, cluster.states())
        return
    for state in cluster.states():
        if state.state == "running":
            fresh = any(record.role == state.role for record in started)
            click.echo(f"{state.role:>10} {'started' if fresh else 'runs'}: {state.address}")
    click.echo(f"  conf: {home.conf}")
    if s3 is not None:
        click.echo(f"A key:  curvine-s3-gateway --conf {home.conf} credential generate")
    if detach:
        click.echo(f"Try:  cv --conf {home.conf} report     Stop:  cv down --dir {home.directory}")
        return
    try:
        _hold(cluster.dead, "Press Ctrl-C to stop.")
    finally:
        with home.locked():
            cluster.down()


@click.command()
@directory_option
@output_option
def down(directory: str | None, output: str) -> None:
    """Stop the cluster; its data stay."""
    from curvine.local.cluster import Cluster

    home = _home(directory)
    if not home.conf.exists():
        raise NotFound(f"there is no cluster in {home.directory}; --dir names another directory")
    with home.locked():
        stopped = Cluster(home).down()
    if output == "json":
        print_json({"dir": str(home.directory), "stopped": stopped})
        return
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@click.command()
@directory_option
@output_option
@click.pass_context
def status(ctx: click.Context, directory: str | None, output: str) -> None:
    """Tell what is running; exit code 3 when not everything is."""
    from curvine.local.cluster import Cluster

    home = _home(directory)
    states = Cluster(home).states()
    if output == "json":
        _print_states(home, states)
    elif not states:
        click.echo(f"there is no cluster in {home.directory}; `cv up --detach` starts one")
    else:
        rows = [(s.role, s.state, s.pid or "-", s.address, s.log) for s in states]
        print_table(("ROLE", "STATE", "PID", "ADDRESS", "LOG"), rows)
    if not states or any(state.state != "running" for state in states):
        ctx.exit(3)


def _print_states(home: Home, states: tuple[RoleState, ...]) -> None:
    print_json({"dir": str(home.directory), "conf": str(home.conf), "processes": states})


def _home(directory: str | None) -> Home:
    return Home(Path(os.path.abspath(directory)) if directory else Path(default_dir(os.environ)))


def _hold(dead: Callable[[], Record | None], invitation: str) -> None:
    """Wait for Ctrl-C or SIGTERM, or for a process of the cluster to die.

    ``invitation`` is printed once a signal ends the wait and nothing else.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    click.echo(invitation)
    while not stopping:
        time.sleep(0.2)
        record = dead()
        if record is not None:
            raise CurvineError(f"the {record.role} died; its log is {record.log}")
