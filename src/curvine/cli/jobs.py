# SPDX-License-Identifier: Apache-2.0
"""``cv load``, ``export``, ``load-status`` and ``cancel-load`` (specification 8.13).

``transfer-status``, ``cancel-transfer`` and ``transfer`` are upstream's further names.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_pairs
from curvine.cli.paths import CLUSTER_PATH, PATH_OR_URI
from curvine.cli.progress import Meter
from curvine.errors import CurvineError, JobNotFound, Unsupported
from curvine.model.job import JobState, JobStatus
from curvine.units import format_size, parse_duration

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_POLL_MIN, _POLL_MAX = 0.1, 1.0  # seconds between two looks at a job
_REFUSED = "Only load jobs are supported"  # what a master without export answers

_watch_option = click.option("-w", "--watch", is_flag=True, help="Wait until the job has ended.")
_keep_option = click.option("--no-overwrite", is_flag=True, help="Keep what is there already.")


@click.command()
@click.argument("src", type=PATH_OR_URI)
@click.argument("target", required=False, type=CLUSTER_PATH)
@_watch_option
@_keep_option
@click.option("--force", is_flag=True, help="Load again what is cached already (the default).")
@output_option
@pass_settings
def load(
    settings: Settings,
    src: str,
    target: str | None,
    watch: bool,
    no_overwrite: bool,
    force: bool,
    output: str,
) -> None:
    """Load SRC, a path under a mount or a URI of an under storage, into the cache.

    With --watch the exit code tells whether everything was loaded.
    """
    if no_overwrite and force:
        raise click.UsageError("--no-overwrite and --force exclude each other")

    async def use(fs: UnifiedFileSystem) -> JobStatus:
        job = await fs.submit_load(src, target=target, overwrite=not no_overwrite)
        return await _started(fs, src, job, watch, output)

    _judge(run_with_fs(settings, use), "loaded", output)


@click.command()
@click.argument("src", type=CLUSTER_PATH)
@_watch_option
@_keep_option
@output_option
@pass_settings
def export(settings: Settings, src: str, watch: bool, no_overwrite: bool, output: str) -> None:
    """Copy SRC, a path under an fs_mode mount, to its under storage."""

    async def use(fs: UnifiedFileSystem) -> JobStatus:
        try:
            job = await fs.submit_export(src, overwrite=not no_overwrite)
        except CurvineError as error:
            if _REFUSED not in str(error):
                raise
            raise Unsupported(
                f"this cluster's master cannot export {src} yet; to have it in the under storage "
                "now, copy it there: `cv fs get` to a directory, then the store's own tool"
            ) from error
        return await _started(fs, src, job, watch, output)

    _judge(run_with_fs(settings, use), "exported", output)


@click.command("load-status")
@click.argument("job")
@click.option("-v", "--verbose", is_flag=True, help="All that is known, bytes exactly.")
@click.option(
    "-w",
    "--watch",
    is_flag=False,
    flag_value="5s",
    metavar="[INTERVAL]",
    help="Look again every INTERVAL (5s) until the job has ended.",
)
@output_option
@pass_settings
def load_status(
    settings: Settings, job: str, verbose: bool, watch: str | None, output: str
) -> None:
    """Tell how far JOB is."""
    interval = _interval(watch) if watch else None

    async def use(fs: UnifiedFileSystem) -> JobStatus:
        try:
            if interval is None:
                return await fs.job_status(job)
            return await _follow(fs, job, interval)
        except JobNotFound as error:
            raise JobNotFound(
                f"{error}; jobs are shown for some minutes after their end, and a master that "
                "was restarted does not know those from before"
            ) from error

    status = run_with_fs(settings, use)
    if output == "json":
        print_json(_json(status))
        return
    progress = status.progress
    pairs: list[tuple[str, object]] = [
        ("Job", status.job_id),
        ("State", status.state.name.lower()),
        ("Source", status.source_path),
        ("Target", status.target_path),
        ("Done", _amount(status)),
        ("Message", progress.message or "-"),
    ]
    if verbose:
        pairs += [
            ("Loaded bytes", progress.loaded_size),
            ("Total bytes", progress.total_size),
            ("Updated (ms)", progress.update_time),
        ]
    print_pairs(pairs)


@click.command("cancel-load")
@click.argument("job")
@output_option
@pass_settings
def cancel_load(settings: Settings, job: str, output: str) -> None:
    """Stop JOB; one that has ended is left as it is."""

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.cancel_job(job)

    run_with_fs(settings, use)
    if output == "json":
        print_json({"job_id": job, "canceled": True})


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def transfer(arguments: tuple[str, ...]) -> None:
    """Upstream's transfer service, which this program has not."""
    del arguments
    raise Unsupported(
        "there is no transfer service here; loads are `cv load`, `cv load-status JOB` and "
        "`cv cancel-load JOB`"
    )


async def _started(
    fs: UnifiedFileSystem, src: str, job: JobStatus, watch: bool, output: str
) -> JobStatus:
    """Tell about a job that was submitted and, with ``watch``, wait for its end."""
    if output != "json":
        click.echo(f"job {job.job_id}: {src} -> {job.target_path}, {job.state.name.lower()}")
    return await _follow(fs, job.job_id) if watch else job


async def _follow(fs: UnifiedFileSystem, job: str, interval: float | None = None) -> JobStatus:
    """Look until the job has ended, more seldom as time goes by."""
    pause = interval or _POLL_MIN
    with Meter() as meter:
        while True:
            status = await fs.job_status(job)
            progress = status.progress
            meter.show(status.state.name.lower(), progress.loaded_size, progress.total_size or None)
            if status.state.ended:
                return status
            await asyncio.sleep(pause)
            pause = interval or min(pause * 1.5, _POLL_MAX)


def _interval(text: str) -> float:
    try:
        return max(parse_duration(text) / 1000, _POLL_MIN)
    except ValueError as error:
        raise click.BadParameter(f"--watch: {error}") from None


def _amount(status: JobStatus) -> str:
    progress = status.progress
    return f"{format_size(progress.loaded_size)} of {format_size(progress.total_size)}"


def _json(status: JobStatus) -> dict[str, object]:
    progress = status.progress
    return {
        "job_id": status.job_id,
        "state": status.state,
        "source_path": status.source_path,
        "target_path": status.target_path,
        "loaded_size": progress.loaded_size,
        "total_size": progress.total_size,
        "update_time": progress.update_time,
        "message": progress.message,
    }


def _judge(status: JobStatus, done: str, output: str) -> None:
    """Print the end of a job that was waited for; an error if it did not succeed."""
    if output == "json":
        print_json(_json(status))
    if status.state in (JobState.FAILED, JobState.CANCELED, JobState.PARTIAL_SUCCESS):
        raise CurvineError(
            f"job {status.job_id} {status.state.name.lower()}: {status.progress.message or '-'}; "
            f"`cv load-status {status.job_id}` tells more"
        )
    if status.state == JobState.COMPLETED and output != "json":
        click.echo(f"{done} {_amount(status)}")
