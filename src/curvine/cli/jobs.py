# SPDX-License-Identifier: Apache-2.0
"""``cv load``, ``load-status`` and ``cancel-load``: bringing data into the cache."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from curvine.cli.context import (
    Settings,
    interactive,
    output_option,
    pass_settings,
    print_json,
    run_with_fs,
)
from curvine.errors import CurvineError
from curvine.model.job import JobState, JobStatus
from curvine.units import format_size, parse_duration

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_POLL_MIN, _POLL_MAX = 0.1, 1.0  # seconds between two looks at a job


@click.command()
@click.argument("src")
@click.argument("target", required=False)
@click.option("-w", "--watch", is_flag=True, help="Wait until the job has ended.")
@click.option("--no-overwrite", is_flag=True, help="Keep what is cached already.")
@click.option("--force", is_flag=True, help="Load again what is cached already.")
@click.option("--conf", metavar="FILE", help="As in front of the command.")
@pass_settings
def load(
    settings: Settings,
    src: str,
    target: str | None,
    watch: bool,
    no_overwrite: bool,
    force: bool,
    conf: str | None,
) -> None:
    """Load SRC, a path under a mount or a URI of an under storage."""
    if no_overwrite and force:
        raise click.UsageError("--no-overwrite and --force exclude each other")
    if conf:
        settings = Settings(conf=conf, master_addrs=settings.master_addrs)

    async def use(fs: UnifiedFileSystem) -> JobStatus:
        job = await fs.submit_load(src, target=target, overwrite=not no_overwrite)
        click.echo(f"job {job.job_id}: {src} -> {job.target_path}, {job.state.name.lower()}")
        return await _follow(fs, job.job_id) if watch else job

    _judge(run_with_fs(settings, use))


@click.command("load-status")
@click.argument("job")
@click.option("-v", "--verbose", is_flag=True, help="Accepted for compatibility.")
@click.option("-w", "--watch", is_flag=False, flag_value="1s", metavar="[INTERVAL]")
@output_option
@pass_settings
def load_status(
    settings: Settings, job: str, verbose: bool, watch: str | None, output: str
) -> None:
    """Tell how far JOB is."""
    del verbose
    interval = parse_duration(watch) / 1000 if watch else None

    async def use(fs: UnifiedFileSystem) -> JobStatus:
        if interval is None:
            return await fs.job_status(job)
        return await _follow(fs, job, interval)

    status = run_with_fs(settings, use)
    if output == "json":
        print_json(status)
        return
    for key, value in (
        ("Job", status.job_id),
        ("State", status.state.name.lower()),
        ("Source", status.source_path),
        ("Target", status.target_path),
        ("Done", _amount(status)),
        ("Message", status.progress.message),
    ):
        click.echo(f"{key}: {value}")


@click.command("cancel-load")
@click.argument("job")
@pass_settings
def cancel_load(settings: Settings, job: str) -> None:
    """Stop JOB."""

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.cancel_job(job)

    run_with_fs(settings, use)


async def _follow(fs: UnifiedFileSystem, job: str, interval: float | None = None) -> JobStatus:
    """Look until the job has ended, more seldom as time goes by."""
    pause = interval or _POLL_MIN
    while True:
        status = await fs.job_status(job)
        if interactive():
            click.echo(f"\r{status.state.name.lower()} {_amount(status)}   ", err=True, nl=False)
        if status.state.ended:
            if interactive():
                click.echo(err=True)
            return status
        await asyncio.sleep(pause)
        pause = interval or min(pause * 1.5, _POLL_MAX)


def _amount(status: JobStatus) -> str:
    progress = status.progress
    return f"{format_size(progress.loaded_size)} of {format_size(progress.total_size)}"


def _judge(status: JobStatus) -> None:
    if status.state in (JobState.FAILED, JobState.CANCELED, JobState.PARTIAL_SUCCESS):
        raise CurvineError(
            f"job {status.job_id} {status.state.name.lower()}: {status.progress.message or '-'}"
        )
    if status.state == JobState.COMPLETED:
        click.echo(f"loaded {_amount(status)}")
