# SPDX-License-Identifier: Apache-2.0
"""``cv load``, ``export``, ``load-status``, ``cancel-load`` (8.13), and ``jobs``, ``exports``.

``transfer-status``, ``cancel-transfer`` and ``transfer`` are upstream's further names.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
from typing import TYPE_CHECKING, TextIO

import click

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.output import output_option, print_json, print_pairs
from curvine.cli.paths import CLUSTER_PATH, PATH_OR_URI
from curvine.cli.progress import Meter
from curvine.errors import (
    CurvineError,
    InvalidArgument,
    JobNotFound,
    NotADirectory,
    NotFound,
    Unsupported,
)
from curvine.model.job import JobFiles, JobState, JobStatus, ListedJob, PendingExports
from curvine.model.mount import cv_path_of, mount_of_uri
from curvine.model.path import join
from curvine.units import format_size, parse_duration

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_POLL_MIN, _POLL_MAX = 0.1, 1.0  # seconds between two looks at a job
_MOST_MATCHES = 10_000  # of a pattern
_PATTERN = re.compile(r"[*?\[]")

_watch_option = click.option("-w", "--watch", is_flag=True, help="Wait until the job has ended.")
_keep_option = click.option("--no-overwrite", is_flag=True, help="Keep what is there already.")


@click.command()
@click.argument("src", required=False, type=PATH_OR_URI)
@click.argument("target", required=False, type=CLUSTER_PATH)
@_watch_option
@_keep_option
@click.option("--force", is_flag=True, help="Load again what has changed (the default).")
@click.option(
    "--from-file",
    "listing",
    type=click.File(),
    help="Load the paths and URIs in this file, one a line (- is the standard input).",
)
@output_option
@pass_settings
def load(
    settings: Settings,
    src: str | None,
    target: str | None,
    watch: bool,
    no_overwrite: bool,
    force: bool,
    listing: TextIO | None,
    output: str,
) -> None:
    """Load SRC, a path under a mount or a URI of an under storage, into the cache.

    A directory is loaded with all below it; * ? and [] in a path stand for what they match. What is
    cached already is left alone. With --watch the exit code tells whether everything was loaded.
    """
    if no_overwrite and force:
        raise click.UsageError("--no-overwrite and --force exclude each other")
    if (src is None) == (listing is None):
        raise click.UsageError("give SRC, or --from-file")
    wanted = [src] if src is not None else [line.strip() for line in listing or () if line.strip()]

    async def use(fs: UnifiedFileSystem) -> list[JobStatus]:
        sources = [found for each in wanted for found in await _matches(fs, each)]
        jobs = [await fs.submit_load(s, target=target, overwrite=not no_overwrite) for s in sources]
        return await _started(fs, sources, jobs, watch, output)

    _judge(run_with_fs(settings, use), "loaded", output)


@click.command()
@click.argument("src", type=CLUSTER_PATH)
@_watch_option
@_keep_option
@output_option
@pass_settings
def export(settings: Settings, src: str, watch: bool, no_overwrite: bool, output: str) -> None:
    """Copy SRC, a path under an fs_mode mount, to its under storage.

    This happens by itself whenever a file is closed; what is there already is left alone.
    """

    async def use(fs: UnifiedFileSystem) -> list[JobStatus]:
        job = await fs.submit_export(src, overwrite=not no_overwrite)
        return await _started(fs, [src], [job], watch, output)

    _judge(run_with_fs(settings, use), "exported", output)


@click.command()
@output_option
@pass_settings
def jobs(settings: Settings, output: str) -> None:
    """List the load and export jobs that the master knows, newest first."""

    async def use(fs: UnifiedFileSystem) -> list[ListedJob]:
        return await fs.cluster.admin.jobs()

    found = run_with_fs(settings, use)
    if output == "json":
        print_json([{"kind": job.kind, **_json(job.status)} for job in found])
        return
    for job in found:
        status, files = job.status, job.status.files or JobFiles()
        click.echo(
            f"{status.job_id}  {job.kind:6}  {status.state.name.lower():9}  "
            f"{files.done} of {files.total} files  {_amount(status)}  {status.source_path}"
        )


@click.command()
@click.argument("path", default="/", type=CLUSTER_PATH)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@output_option
@pass_settings
def exports(settings: Settings, path: str, limit: int, output: str) -> None:
    """Show what under storages have not got yet of the changes at or below PATH, and why."""

    async def use(fs: UnifiedFileSystem) -> PendingExports:
        return await fs.cluster.admin.pending_exports(path, limit)

    found = run_with_fs(settings, use)
    if output == "json":
        print_json(found)
        return
    for item in found.exports:
        place = f"{item.path} -> {item.target}" if item.target else item.path
        state = "running" if item.running else "waiting"
        trouble = f"  failed {item.attempts} times: {item.failure}" if item.failure else ""
        click.echo(f"{item.kind:6}  {state}  {place}{trouble}")
    click.echo(f"{found.waiting} waiting, {found.failing} of them failing")


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
            if interval is not None:
                await _follow(fs, [job], interval)
            return await fs.job_status(job, verbose=verbose)
        except JobNotFound as error:
            raise JobNotFound(
                f"{error}; jobs are shown for some minutes after their end (`cv jobs` lists them)"
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
        *_files(status),
        ("Message", progress.message or "-"),
    ]
    if verbose:
        pairs += [
            ("Loaded bytes", progress.loaded_size),
            ("Total bytes", progress.total_size),
            ("Updated (ms)", progress.update_time),
        ]
    print_pairs(pairs)
    if status.files is not None and status.files.failures:
        click.echo("files that failed:")
        for failure in status.files.failures:
            click.echo(f"  {failure.path}: {failure.reason}")


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


async def _matches(fs: UnifiedFileSystem, source: str) -> list[str]:
    """What a pattern matches; what is none, or exists as it is, stands for itself."""
    if not _PATTERN.search(source):
        return [source]
    if "://" in source:  # the same, where it is mounted
        mount = mount_of_uri(await fs.mount_table(), source)
        if mount is None:
            raise InvalidArgument(f"{source} is not under any mount")
        return await _matches(fs, cv_path_of(mount, source))
    if await fs.exists(source):
        return [source]
    found = ["/"]
    for part in source.strip("/").split("/"):
        step: list[str] = []
        for directory in found:
            if not _PATTERN.search(part):
                step.append(join(directory, part))
                continue
            try:
                entries = await fs.list(directory)
            except (NotFound, NotADirectory):
                continue
            step += [e.path for e in entries if fnmatch.fnmatchcase(e.name, part)]
        found = step
        if len(found) > _MOST_MATCHES:
            raise InvalidArgument(f"{source} matches more than {_MOST_MATCHES} paths")
    found = [path for path in found if await fs.exists(path)]
    if not found:
        raise NotFound(f"nothing matches {source}")
    return found


async def _started(
    fs: UnifiedFileSystem, sources: list[str], jobs: list[JobStatus], watch: bool, output: str
) -> list[JobStatus]:
    """Tell about jobs that were submitted and, with ``watch``, wait for their end."""
    if output != "json":
        for src, job in zip(sources, jobs, strict=True):
            click.echo(f"job {job.job_id}: {src} -> {job.target_path}, {job.state.name.lower()}")
    return await _follow(fs, [job.job_id for job in jobs]) if watch else jobs


async def _follow(
    fs: UnifiedFileSystem, jobs: list[str], interval: float | None = None
) -> list[JobStatus]:
    """Look until the jobs have ended, more seldom as time goes by."""
    pause = interval or _POLL_MIN
    ended: dict[str, JobStatus] = {}
    with Meter() as meter:
        while True:
            known = dict(ended)
            for job in dict.fromkeys(jobs):
                if job not in ended:
                    known[job] = status = await fs.job_status(job)
                    if status.state.ended:
                        ended[job] = status
            done = sum(status.progress.loaded_size for status in known.values())
            total = sum(status.progress.total_size for status in known.values())
            meter.show(_headline(list(known.values())), done, total or None)
            if len(ended) == len(set(jobs)):
                return list(ended.values())
            await asyncio.sleep(pause)
            pause = interval or min(pause * 1.5, _POLL_MAX)


def _headline(known: list[JobStatus]) -> str:
    files = [status.files for status in known if status.files is not None]
    state = min((status.state for status in known), default=JobState.PENDING).name.lower()
    if not files:
        return state
    return f"{state} {sum(f.done for f in files)}/{sum(f.total for f in files)} files"


def _files(status: JobStatus) -> list[tuple[str, object]]:
    files, progress = status.files, status.progress
    if files is None:
        return []
    seconds = max(progress.update_time - files.started, 1) / 1000
    rate = progress.loaded_size / seconds
    pairs: list[tuple[str, object]] = [
        ("Files", f"{files.done} of {files.total}, {files.skipped} of them there already, "
                  f"{files.failed} failed"),
        ("Rate", f"{format_size(int(rate))}/s"),
    ]  # fmt: skip
    if not status.state.ended and rate:
        left = (progress.total_size - progress.loaded_size) / rate
        pairs.append(("Time left", f"{left:.0f} s"))
    return pairs


def _interval(text: str) -> float:
    try:
        return max(parse_duration(text) / 1000, _POLL_MIN)
    except ValueError as error:
        raise click.BadParameter(f"--watch: {error}") from None


def _amount(status: JobStatus) -> str:
    progress = status.progress
    return f"{format_size(progress.loaded_size)} of {format_size(progress.total_size)}"


def _json(status: JobStatus) -> dict[str, object]:
    progress, files = status.progress, status.files
    shown: dict[str, object] = {
        "job_id": status.job_id,
        "state": status.state,
        "source_path": status.source_path,
        "target_path": status.target_path,
        "loaded_size": progress.loaded_size,
        "total_size": progress.total_size,
        "update_time": progress.update_time,
        "message": progress.message,
    }
    if files is not None:
        shown |= {
            "files_total": files.total,
            "files_done": files.done,
            "files_skipped": files.skipped,
            "files_failed": files.failed,
            "started": files.started,
            "failures": [{"path": f.path, "reason": f.reason} for f in files.failures],
        }
    return shown


def _judge(found: list[JobStatus], done: str, output: str) -> None:
    """Print the end of jobs that were waited for; an error if one did not succeed."""
    if output == "json":
        rows = [_json(status) for status in found]
        print_json(rows[0] if len(rows) == 1 else rows)
    for status in found:
        if status.state == JobState.COMPLETED and output != "json":
            click.echo(f"{done} {_amount(status)}")
    for status in found:
        if status.state in (JobState.FAILED, JobState.CANCELED, JobState.PARTIAL_SUCCESS):
            for failure in status.files.failures[:20] if status.files else ():
                click.echo(f"{failure.path}: {failure.reason}", err=True)
            raise CurvineError(
                f"job {status.job_id} {status.state.name.lower()}: "
                f"{status.progress.message or '-'}; `cv load-status {status.job_id}` tells more"
            )
