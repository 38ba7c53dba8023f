# SPDX-License-Identifier: Apache-2.0
"""What commands share: finding the configuration, talking to the cluster, printing.

Interactive commands give up on a dead master after :data:`PATIENCE_MS` (decision 29).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from curvine.config.load import find_conf, load
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError, NoMaster

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

PATIENCE_MS = 5000
T = TypeVar("T")


class Settings(msgspec.Struct):
    """The options in front of the command's name."""

    conf: str | None = None
    master_addrs: str | None = None

    def cluster(self) -> ClusterConf:
        """The effective configuration; ConfigError when there is none to be found."""
        overrides: dict[str, object] = {
            "client.rpc_retry_max_duration_ms": PATIENCE_MS,
            "client.conn_timeout_ms": PATIENCE_MS,
        }
        if self.master_addrs:
            overrides["client.master_addrs"] = self.master_addrs
        path = find_conf(self.conf, os.environ)
        if path is None and not self.master_addrs:
            raise ConfigError(
                "no cluster is configured: give --conf FILE or --master-addrs HOST:PORT, set "
                "CURVINE_CONF_FILE, or start a cluster on this machine with `cv up --detach`"
            )
        loaded = load(path, env=os.environ, overrides=overrides)
        for warning in loaded.warnings:
            click.echo(f"warning: {warning}", err=True)
        return loaded.conf


def run_with_fs(settings: Settings, use: Callable[[UnifiedFileSystem], Awaitable[T]]) -> T:
    """Connect, call ``use`` with the file system, disconnect."""
    import uvloop

    from curvine.client.cluster import ClusterClient
    from curvine.client.unified import UnifiedFileSystem

    conf = settings.cluster()

    async def session() -> T:
        async with ClusterClient(conf, component="cli") as cluster:
            return await use(UnifiedFileSystem(cluster))

    try:
        return uvloop.run(session())
    except NoMaster as error:
        masters = ", ".join(f"{host}:{port}" for host, port in conf.client_master_addrs())
        raise NoMaster(
            f"no master answers at {masters} ({error}). Is it running? "
            "`cv status` tells about a cluster of `cv up`."
        ) from error


pass_settings = click.make_pass_decorator(Settings)

output_option = click.option(
    "-o",
    "--output",
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print.",
)


def print_json(value: object) -> None:
    """``value`` as indented JSON with stable keys."""
    plain = msgspec.to_builtins(value, str_keys=True)
    click.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> None:
    """Columns padded with blanks; ``right`` names those that are right-aligned."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [
        max([len(title), *(len(row[column]) for row in texts)])
        for column, title in enumerate(header)
    ]
    rights = [title in right.split(",") for title in header]
    for row in [list(header), *texts]:
        cells = [
            cell.rjust(width) if flush_right else cell.ljust(width)
            for cell, width, flush_right in zip(row, widths, rights, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def interactive() -> bool:
    """Whether progress may be drawn on stderr."""
    return sys.stderr.isatty()
