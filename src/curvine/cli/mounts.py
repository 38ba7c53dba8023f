# SPDX-License-Identifier: Apache-2.0
"""``cv mount`` and ``cv umount``: under storages in the namespace (specification 8.13, 5.15)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click
import msgspec

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.mount_options import Wish, canonical_uri, check_consistent, parse_properties
from curvine.cli.mount_table import mount_row, print_checks, print_mounts
from curvine.cli.output import output_option, print_json, print_pairs
from curvine.cli.paths import CLUSTER_PATH, cluster_path
from curvine.cli.progress import Meter
from curvine.errors import Common, CurvineError, InvalidArgument
from curvine.model.credentials import EXPOSE
from curvine.model.mount import MountInfo, WriteType
from curvine.model.path import ROOT
from curvine.wire.codes import CAP_REFERENCES

if TYPE_CHECKING:
    from curvine.client.resync import Resynced
    from curvine.client.unified import UnifiedFileSystem


_LOOK_AGAIN = 0.2  # s


def _any_case(*words: str) -> click.Choice[str]:
    return click.Choice(words, case_sensitive=False)


@click.command()
@click.argument("ufs_uri", required=False)
@click.argument("cv_path", required=False)
@click.option(
    "-c",
    "--config",
    "properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="A property of the under storage; a secret as KEY=file:/PATH or KEY=env:NAME.",
)
@click.option("--update", is_flag=True, help="Change what is given of an existing mount.")
@click.option(
    "--check-path-consist",
    type=bool,
    default=True,
    show_default=True,
    help="Refuse a CV_PATH that is not the path in the URI.",
)
@click.option(
    "--read-verify-ufs/--no-read-verify-ufs",
    default=None,
    help="Compare with the under storage on every open.",
)
@click.option("--ttl-ms", metavar="DURATION", help="Cached copies live this long (7d).")
@click.option("--replicas", type=click.IntRange(min=1))
@click.option("--block-size", metavar="SIZE")
@click.option("-s", "--storage-type", type=_any_case("mem", "ssd", "hdd", "disk"))
@click.option(
    "--write-type",
    type=_any_case("fs_mode", "cache_mode"),
    help="fs_mode (default): the namespace is the truth; cache_mode: the under storage is.",
)
@click.option("--provider", type=_any_case("auto", "oss-hdfs", "opendal"))
@click.option("--auto-cache", type=bool, help="Load what is read and not cached (true).")
@click.option("--access-mode", type=_any_case("read_only", "read_write"))
@click.option("--write-cache", type=bool, help="Keep a copy of what is written.")
@click.option(
    "--expose-credentials",
    is_flag=True,
    help="Let the master hand out literal secrets (-c expose_credentials=true).",
)
@click.option("--check", is_flag=True, help="Look whether every mounted storage answers.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--verbose", is_flag=True, help="Name every entry that a resync treats.")
@output_option
@pass_settings
def mount(
    settings: Settings,
    /,
    ufs_uri: str | None,
    cv_path: str | None,
    update: bool,
    check_path_consist: bool,
    expose_credentials: bool,
    check: bool,
    dry_run: bool,
    verbose: bool,
    output: str,
    **wish: object,
) -> None:
    """Tie UFS_URI to CV_PATH; without arguments (or with `list`) list the mounts.

    `cv mount resync CV_PATH` brings new names of the under storage into an fs_mode mount.
    """
    if check or ufs_uri is None or (ufs_uri, cv_path) == ("list", None):
        _look(settings, check, output)
        return
    if ufs_uri == "resync":
        _resync(settings, cv_path, dry_run, verbose, output)
        return
    if cv_path is None:
        raise click.UsageError(
            "give UFS_URI and CV_PATH, or `resync` and CV_PATH, or nothing to list the mounts"
        )
    path, uri = CLUSTER_PATH.convert(cv_path, None, None), canonical_uri(ufs_uri)
    if path == ROOT:
        raise click.UsageError("nothing is mounted on /; choose a directory")
    if check_path_consist and not update:
        check_consistent(uri, path)
    exposed = {EXPOSE: "true"} if expose_credentials else {}
    wish["properties"] = {**parse_properties(wish["properties"]), **exposed}
    wanted = msgspec.convert(wish, Wish)
    _mount(settings, uri, path, wanted, update, dry_run, verbose, output)


@click.command()
@click.argument("cv_path", type=CLUSTER_PATH)
@click.option("--wait", is_flag=True, help="Wait until the under storage has all changes")
@click.option("--force", is_flag=True, help="Also with changes that it has not got, and never gets")
@output_option
@pass_settings
def umount(settings: Settings, cv_path: str, wait: bool, force: bool, output: str) -> None:
    """Untie the under storage at CV_PATH; cached data stay until they expire.

    Changes below an fs_mode mount that the under storage has not got yet would never reach it.
    """

    async def use(fs: UnifiedFileSystem) -> None:
        row = _row_at(await fs.mount_table(), cv_path)
        while row.write_type is WriteType.FS_MODE and not force:
            waiting = await _not_exported(fs, cv_path)
            if waiting is None:
                break
            if not wait:
                raise Common(
                    f"{waiting} and maybe more below {cv_path} are not in the under storage yet"
                    f" (cv exports {cv_path}); --wait for them, or --force to give them up"
                )
            await asyncio.sleep(_LOOK_AGAIN)
        await fs.umount(cv_path)

    run_with_fs(settings, use)
    if output == "json":
        print_json({"unmounted": cv_path})


async def _not_exported(fs: UnifiedFileSystem, cv_path: str) -> str | None:
    """A path whose change waits to be exported; None without any, or where nobody can tell."""
    cluster = fs.cluster
    if not cluster.introduced:
        await cluster.handshake()
    if CAP_REFERENCES not in cluster.capabilities:
        return None  # a master of another make has no such list
    pending = await cluster.admin.pending_exports(cv_path, 1)
    return pending.exports[0].path if pending.exports else None


def _look(settings: Settings, check: bool, output: str) -> None:
    """List the mounts, or ask every under storage whether it answers."""

    async def use(fs: UnifiedFileSystem) -> list[tuple[MountInfo, str | None]]:
        return [(row, await _probe(fs, row) if check else None) for row in await fs.mount_table()]

    rows = run_with_fs(settings, use)
    if not check:
        print_mounts([row for row, _ in rows], output)
        return
    print_checks(rows, output)
    broken = [row.cv_path for row, problem in rows if problem]
    if broken:
        raise CurvineError(f"{len(broken)} of {len(rows)} do not answer: {', '.join(broken)}")


async def _probe(fs: UnifiedFileSystem, row: MountInfo) -> str | None:
    """What is wrong with the under storage of a mount, None when it answers."""
    try:
        await fs.storage(row).stat(row.ufs_path)
    except (CurvineError, OSError) as error:
        return str(error)
    return None


def _mount(
    settings: Settings,
    uri: str,
    path: str,
    wish: Wish,
    update: bool,
    dry_run: bool,
    verbose: bool,
    output: str,
) -> None:
    async def use(fs: UnifiedFileSystem) -> tuple[MountInfo | None, Resynced | None]:
        row = _row_at(await fs.mount_table(), path) if update else None
        options = wish.update_of(row) if row is not None else wish.of_a_new_mount()
        if row is not None and row.ufs_path.rstrip("/") != uri.rstrip("/"):
            raise InvalidArgument(
                f"{path} is tied to {row.ufs_path}, which an update cannot change; "
                f"`cv umount {path}` first"
            )
        if dry_run:
            return None, None
        await fs.mount(path, uri, options)
        row = _row_at(await fs.mount_table(), path)
        fresh = not update and row.write_type is WriteType.FS_MODE
        return row, await _walk(fs, row, False, verbose) if fresh else None

    row, synced = run_with_fs(settings, use)
    if output == "json":
        print_json({"dry_run": dry_run, "mount": mount_row(row) if row else None,
                    "resync": synced})  # fmt: skip
        return
    words = ("would update", "would mount") if dry_run else ("updated", "mounted")
    click.echo(f"{words[not update]} {uri} at {path}")
    if synced is not None:
        _tell(synced)


def _resync(
    settings: Settings, cv_path: str | None, dry_run: bool, verbose: bool, output: str
) -> None:
    if cv_path is None:
        raise click.UsageError("give the mount: cv mount resync CV_PATH")
    path = cluster_path(cv_path)

    async def use(fs: UnifiedFileSystem) -> Resynced:
        return await _walk(fs, _row_at(await fs.mount_table(), path), dry_run, verbose)

    done = run_with_fs(settings, use)
    if output == "json":
        print_json({"dry_run": dry_run, "resync": done})
        return
    if dry_run:
        click.echo("nothing was changed; this would be:")
    _tell(done)


async def _walk(fs: UnifiedFileSystem, row: MountInfo, dry_run: bool, verbose: bool) -> Resynced:
    from curvine.client.resync import Resync

    with Meter("entries") as meter:
        meter.begin(row.cv_path, None)

        def tell(what: str, path: str) -> None:
            meter.advance(1)
            if verbose:
                click.echo(f"{what} {path}", err=True)

        return await Resync(fs, row, dry_run=dry_run, tell=tell).run()


def _tell(done: Resynced) -> None:
    print_pairs((name, getattr(done, name)) for name in done.__struct_fields__)


def _row_at(table: tuple[MountInfo, ...], path: str) -> MountInfo:
    """The mount at exactly ``path``; InvalidArgument names those that there are."""
    for row in table:
        if row.cv_path == path:
            return row
    known = ", ".join(row.cv_path for row in table) or "none"
    raise InvalidArgument(f"{path} is not a mount; mounts are: {known}")
