# SPDX-License-Identifier: Apache-2.0
"""``cv fuse stats``: what a mount is doing right now, and ``cv fuse upgrade``."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import click

from curvine.cli.output import output_option, print_json, print_table
from curvine.errors import CurvineError
from curvine.units import format_size

_UPGRADE_SECONDS = 60.0


@click.command()
@click.argument("path")  # not click.Path: it asks the mount (stat)
@click.option("--interval", default=1.0, help="Seconds between two lines of figures (default: 1).")
@click.option("--count", default=0, help="Stop after so many (default: on until Ctrl-C).")
@output_option
def stats(path: str, interval: float, count: int, output: str) -> None:
    """Show what the mount at PATH does: operations per second, latencies, cache, memory.

    With --output json its counters since the server's start, once.
    """
    from curvine.fuse.control import ask
    from curvine.fuse.livestats import rates

    device = _device(path)
    before = ask(device)
    if output == "json":
        print_json(before)
        return
    seen, started = 0, time.monotonic()
    while not count or seen < count:
        time.sleep(interval)
        after, now = ask(device), time.monotonic()
        same = before if before["pid"] == after["pid"] else None
        rows = rates(same, after, now - started)
        if sys.stdout.isatty():
            click.clear()
        click.echo(_headline(after, same, now - started))
        print_table(
            ("OPERATION", "OPS/S", "ERRORS", "AVG us", "P50 us", "P99 us"),
            [
                (row.operation, f"{row.per_second:.1f}", row.errors, f"{row.average_us:.0f}",
                 f"<{row.p50_us:.0f}", f"<{row.p99_us:.0f}")
                for row in rows
            ],
            right="OPS/S,ERRORS,AVG us,P50 us,P99 us",
        )  # fmt: skip
        before, started = after, now
        seen += 1


def _headline(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> str:
    then = before or {"bytes": dict.fromkeys(now["bytes"], 0)}
    moved = {name: (n - then["bytes"][name]) / seconds for name, n in now["bytes"].items()}
    opens: dict[str, int] = now["opens"]
    total = sum(opens.values()) or 1
    limit = now["memory"]["limit"]
    memory = format_size(now["memory"]["used"]) + (f" of {format_size(limit)}" if limit else "")
    through = opens["passthrough"] / total
    hits = 1 - opens["source"] / total
    return (
        f"{now['mount']}: server {now['pid']}, {now['restarts']} restarts, memory {memory}, "
        f"{now['nodes']} nodes, {now['open_files']} files open ({now['writers']} written), "
        f"{now['in_flight']} requests waiting\n"
        f"opens {sum(opens.values())}: {through:.0%} passthrough, {hits:.0%} from the cache; "
        f"read {format_size(int(moved['local']))}/s local + {format_size(int(moved['copied']))}/s "
        f"copied, written {format_size(int(moved['written']))}/s (passthrough not counted)"
    )


@click.command()
@click.argument("path")  # not click.Path: it asks the mount (stat)
def upgrade(path: str) -> None:
    """Replace the server of the mount at PATH by one of the installed version.

    Programs that use the mount see a pause; open files, locks and the mount stay.
    """
    from curvine.fuse.control import ask

    device = _device(path)
    before = ask(device)
    try:
        os.kill(before["supervisor"], signal.SIGUSR1)
    except OSError as error:
        raise CurvineError(
            f"cannot signal process {before['supervisor']}: {error.strerror}"
        ) from None
    deadline = time.monotonic() + _UPGRADE_SECONDS
    while (after := ask(device))["pid"] == before["pid"]:
        if time.monotonic() > deadline:
            raise CurvineError(
                f"server {before['pid']} still works after {_UPGRADE_SECONDS:.0f} s; see its log"
            )
        time.sleep(0.1)
    click.echo(f"server {after['pid']} has taken over from {before['pid']}")


def _device(path: str) -> str:
    from curvine.fuse.control import mount_at
    from curvine.fuse.mountpoint import Failed

    try:
        return mount_at(path).device
    except Failed as error:
        raise CurvineError(str(error)) from error
