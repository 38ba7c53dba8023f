# SPDX-License-Identifier: Apache-2.0
"""``cv fluid mount-ufs`` and ``load``: what Fluid runs in the pods of a CacheRuntime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from curvine.cli.context import Settings, pass_settings, run_with_fs
from curvine.cli.mount_options import canonical_uri
from curvine.cli.paths import cluster_path
from curvine.errors import AlreadyExists, CurvineError
from curvine.model.inode import TtlAction
from curvine.model.path import is_under

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem
    from curvine.fluid.ufs_mounts import Wanted


@click.command("mount-ufs")
@click.option("--config", metavar="FILE", help="runtime.json (else FLUID_RUNTIME_CONFIG_PATH).")
@pass_settings
def mount_ufs(settings: Settings, config: str | None) -> None:
    """Make the mount table what runtime.json lists, and print what is mounted as Fluid reads it.

    May be run again at any time. Mounts that are not listed (any more) are taken away.
    """
    from curvine.fluid.cache_config import document_path, read_document
    from curvine.fluid.ufs_mounts import plan_steps, wanted_mounts

    document = read_document(config or document_path(os.environ))
    wanted = wanted_mounts(document, os.environ)

    async def use(fs: UnifiedFileSystem) -> None:
        steps = plan_steps(wanted, await fs.cluster.admin.mount_table())
        for path in steps.unmount:
            await fs.umount(path)
            click.echo(f"unmounted {path}", err=True)
        for path in steps.directories:
            await _directory(fs, path)
        for one in (*steps.mount, *steps.update):
            await _mount(fs, one, update=one in steps.update)

    run_with_fs(settings, use)
    click.echo(json.dumps({"mounted": [one.path for one in wanted]}, separators=(",", ":")))


async def _directory(fs: UnifiedFileSystem, path: str) -> None:
    try:
        if path != "/":
            await fs.mkdir(path, create_parent=True)
    except AlreadyExists:
        if not (await fs.status(path)).is_dir:
            raise


async def _mount(fs: UnifiedFileSystem, one: Wanted, *, update: bool) -> None:
    from curvine.cli.mount_options import DEFAULT_TTL_MS
    from curvine.model.mount import MountOptions, WriteType

    cached = one.write_type is WriteType.CACHE_MODE
    options = MountOptions(
        update=update,
        add_properties=one.properties,
        ttl_ms=DEFAULT_TTL_MS,
        ttl_action=TtlAction.DELETE if cached else TtlAction.FREE,
        write_type=one.write_type,
        access_mode=one.access_mode,
    )
    try:
        await fs.mount(one.path, canonical_uri(one.uri), options)
    except (CurvineError, OSError) as error:
        raise CurvineError(f"mount {one.uri} at {one.path}: {error}") from None
    click.echo(f"{'updated' if update else 'mounted'} {one.uri} at {one.path}", err=True)


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@pass_settings
def load(settings: Settings, paths: tuple[str, ...]) -> None:
    """Load paths, for a DataLoad or a DataProcess; exit code 0 only if every one is loaded.

    Of a path above mounts, every mount is loaded; what lies in the cluster itself needs no loading.
    Without PATH: those in FLUID_DATALOAD_DATA_PATH. The masters are found in the configuration,
    in runtime.json, or by the name of the Dataset.
    """
    from curvine.fluid.dataload import find_masters, wanted_paths

    if not (settings.conf or settings.master_addrs or os.environ.get("CURVINE_CONF_FILE")):
        settings.master_addrs = find_masters(os.environ)
    wanted = tuple(cluster_path(path) for path in paths or wanted_paths(os.environ))
    command = [sys.executable, "-m", "curvine.cli.main"]
    command += ["--conf", settings.conf] if settings.conf else []
    command += ["--master-addrs", settings.master_addrs] if settings.master_addrs else []

    async def use(fs: UnifiedFileSystem) -> list[tuple[str, list[str]]]:
        table = [row.cv_path for row in await fs.mount_table()]
        return [(path, await _loadable(fs, path, table)) for path in wanted]

    failed = []
    for path, parts in run_with_fs(settings, use):
        if not parts:
            click.echo(f"{path} lies in the cluster itself: there is nothing to load")
        for part in parts:
            click.echo(f"loading {part}")
            sys.stdout.flush()
            if subprocess.run([*command, "load", part, "--watch"], check=False).returncode:
                failed.append(part)
    if failed:
        raise CurvineError(f"not loaded: {', '.join(failed)}")


async def _loadable(fs: UnifiedFileSystem, path: str, mounts: list[str]) -> list[str]:
    """What of ``path`` comes from under storages: itself, or mounts below it."""
    if any(is_under(path, mount) for mount in mounts):
        return [path]
    await fs.status(path)  # NotFound names it
    return [mount for mount in mounts if is_under(mount, path)]
