# SPDX-License-Identifier: Apache-2.0
"""``cv fluid wait`` and ``report-status``: how much of a Dataset is cached."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator

import click
import msgspec

from curvine.cli.context import PATIENCE_MS, Settings, pass_settings, run_with_fs
from curvine.cli.fs.sums import Usage, usage, with_stored
from curvine.cli.output import output_option, print_json
from curvine.cli.paths import cluster_path
from curvine.cli.progress import Meter
from curvine.cli.summary import bytes_text, fluid_summary, percentage
from curvine.client.unified import UnifiedFileSystem
from curvine.errors import CurvineError, TimedOut
from curvine.model.worker import FilesystemInfo
from curvine.units import parse_duration


class Cached(msgspec.Struct):
    """What a Dataset amounts to, all its mounts together. Amounts are bytes."""

    files: int = 0
    size: int = 0
    cached: int = 0

    @property
    def share(self) -> float:
        """How much of it is cached, from 0 to 1; of nothing, all."""
        return min(self.cached / self.size, 1.0) if self.size else 1.0

    def add(self, one: Usage) -> None:
        """Count a path."""
        self.files += one.files
        self.size += one.size
        self.cached += one.cached


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--cached", default="100%", show_default=True, metavar="SHARE",
              help="How much has to be cached.")  # fmt: skip
@click.option("--timeout", default="30m", show_default=True, metavar="DURATION")
@click.option("--interval", default="5s", show_default=True, metavar="DURATION",
              help="Between two looks.")  # fmt: skip
@output_option
@pass_settings
def wait(
    settings: Settings, paths: tuple[str, ...], cached: str, timeout: str, interval: str,
    output: str,
) -> None:  # fmt: skip
    """Wait until a share of PATHs is cached; exit code 1 when that takes too long.

    Without PATH: what the Dataset mounts, by the configuration that Fluid put here. Meant for an
    init container: the application starts warm.
    """
    share = _share(cached)
    end = time.monotonic() + _seconds(timeout, "--timeout")
    pause = _seconds(interval, "--interval")
    targets = list(_targets(settings, paths))
    while True:
        try:
            found = _look(targets)
            text = f"{percentage(found.cached, found.size)} of {bytes_text(found.size)} are cached"
            done = found.share >= share
        except (CurvineError, OSError) as error:  # a master may come later
            found, text, done = Cached(), str(error), False
        if done:
            break
        if output == "table":
            click.echo(f"{text}; waiting for {cached}", err=True)
        if time.monotonic() + pause > end:
            raise TimedOut(f"not {cached} within {timeout}: {text}")
        time.sleep(pause)
    if output == "json":
        print_json({"files": found.files, "size": found.size, "cached": found.cached})
    else:
        click.echo(text)


@click.command("report-status")
@click.argument("name", required=False, metavar="[DATASET]")
@click.option("-n", "--namespace", metavar="NAMESPACE", help="Default: FLUID_RUNTIME_NS.")
@click.option("--interval", default="60s", show_default=True, metavar="DURATION")
@click.option("--once", is_flag=True, help="Write it once and end.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, once.")
@output_option
@pass_settings
def report_status(
    settings: Settings, name: str | None, namespace: str | None, interval: str, once: bool,
    dry_run: bool, output: str,
) -> None:  # fmt: skip
    """Write how much is cached into the ThinRuntime's and the Dataset's status.

    What `kubectl get dataset` shows of a ThinRuntime is empty otherwise. Runs in a pod with the
    Dataset's configuration and a service account (deploy/fluid/status-reporter.yaml).
    """
    from curvine.fluid.kubernetes import KubernetesApi

    name = name or os.environ.get("FLUID_RUNTIME_NAME")
    namespace = namespace or os.environ.get("FLUID_RUNTIME_NS") or "default"
    if not name:
        raise click.UsageError("name the DATASET, or set FLUID_RUNTIME_NAME")
    pause = _seconds(interval, "--interval")
    api = None if dry_run else KubernetesApi(os.environ)
    while True:
        try:
            targets = list(_targets(settings, ()))
            states, total = _states(targets)
            if api is None:
                print_json({"cacheStates": states, **total})
                return
            api.patch_status("thinruntimes", namespace, name, {"cacheStates": states})
            api.patch_status("datasets", namespace, name, total)
            if output == "json":
                print_json({"cacheStates": states, **total})
            else:
                click.echo(f"{namespace}/{name}: {states['cached']} ({states['cachedPercentage']}) "
                           f"of {total['ufsTotal']} in {total['fileNum']} files")  # fmt: skip
        except (CurvineError, OSError) as error:
            if once or dry_run:
                raise
            click.echo(f"WARNING: {error}", err=True)  # the next turn tries again
        if once:
            return
        time.sleep(pause)


Target = tuple[Settings, tuple[str, ...]]


def _targets(settings: Settings, paths: tuple[str, ...]) -> Iterator[Target]:
    """Clusters, and the paths to look at in each."""
    given = settings.conf or settings.master_addrs
    if paths and (given or os.environ.get("CURVINE_CONF_FILE")):
        yield settings, tuple(cluster_path(path) for path in paths)
        return
    from curvine.fluid.place_conf import fluid_plan, place_conf

    for place in fluid_plan(os.environ).places:
        wanted = tuple(cluster_path(path) for path in paths) or (place.fs_path,)
        yield Settings.of(place_conf(place, PATIENCE_MS)), wanted
        if paths:
            return


def _look(targets: list[Target]) -> Cached:
    total = Cached()
    for settings, paths in targets:
        for one in run_with_fs(settings, _usages(paths)):
            total.add(one)
    return total


def _usages(paths: tuple[str, ...]) -> Callable[[UnifiedFileSystem], Awaitable[list[Usage]]]:
    async def use(fs: UnifiedFileSystem) -> list[Usage]:
        with Meter("entries") as meter:
            return [await with_stored(fs, await usage(fs, path, meter)) for path in paths]

    return use


def _states(targets: list[Target]) -> tuple[dict[str, str], dict[str, str]]:
    """cacheStates, and what a Dataset's status has beside them. Capacities of clusters add up."""
    total = _look(targets)
    capacity = 0
    ratio = "0"

    async def info(fs: UnifiedFileSystem) -> FilesystemInfo:
        return await fs.filesystem_info()

    for settings in {id(t[0].cluster()): t[0] for t in targets}.values():
        found = run_with_fs(settings, info)
        capacity += found.capacity
        ratio = fluid_summary(found, settings.cluster())["cacheHitRatio"]
    states = {
        "cached": bytes_text(total.cached),
        "cachedPercentage": percentage(total.cached, total.size),
        "cacheCapacity": bytes_text(capacity),
        "cacheHitRatio": ratio,
    }
    return states, {"ufsTotal": bytes_text(total.size), "fileNum": str(total.files)}


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise click.BadParameter(f"--cached {text!r}: write 80% or 0.8")
    return value


def _seconds(text: str, option: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise click.BadParameter(f"{option}: {error}") from None
