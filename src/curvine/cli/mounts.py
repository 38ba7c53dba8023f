# SPDX-License-Identifier: Apache-2.0
"""``cv mount`` and ``cv umount``: under storages in the namespace (specification 8.13, 5.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from curvine.cli.context import Settings, output_option, pass_settings, print_json, run_with_fs
from curvine.errors import InvalidArgument
from curvine.model.inode import StorageType, TtlAction
from curvine.model.mount import AccessMode, MountInfo, MountOptions, Provider, WriteType
from curvine.model.path import normalize
from curvine.units import parse_duration, parse_size

if TYPE_CHECKING:
    from curvine.client.unified import UnifiedFileSystem

_HEADER = (
    "ID",
    "Curvine Path",
    "UFS Path",
    "Write Type",
    "Read Verify UFS",
    "Auto Cache",
    "Access Mode",
    "Write Cache",
    "Storage",
    "TTL Action",
    "Provider",
)
_SECRET_WORDS = ("secret", "password", "token", "credential", "account_key", "accesskey")
_DEFAULT_TTL = "7d"


@click.command()
@click.argument("ufs_uri", required=False)
@click.argument("cv_path", required=False)
@click.option("-c", "--config", "properties", multiple=True, metavar="KEY=VALUE")
@click.option("--update", is_flag=True, help="Change an existing mount.")
@click.option("--check-path-consist", type=bool, default=True, show_default=True)
@click.option("--read-verify-ufs", is_flag=True, help="Compare with the UFS on every open.")
@click.option("--ttl-ms", default=None, metavar="DURATION", help=f"Default {_DEFAULT_TTL}.")
@click.option("--replicas", type=int)
@click.option("--block-size", metavar="SIZE")
@click.option("-s", "--storage-type", type=click.Choice(["mem", "ssd", "hdd", "disk"]))
@click.option(
    "--write-type",
    type=click.Choice(["fs_mode", "cache_mode"]),
    default=None,
    help="fs_mode (default): the namespace is the truth. cache_mode: the UFS is.",
)
@click.option("--provider", type=click.Choice(["auto", "oss-hdfs", "opendal"]))
@click.option("--auto-cache", type=bool)
@click.option("--access-mode", type=click.Choice(["read_only", "read_write"]))
@click.option("--write-cache", type=bool)
@output_option
@pass_settings
def mount(
    settings: Settings,
    ufs_uri: str | None,
    cv_path: str | None,
    properties: tuple[str, ...],
    update: bool,
    check_path_consist: bool,
    read_verify_ufs: bool,
    ttl_ms: str | None,
    replicas: int | None,
    block_size: str | None,
    storage_type: str | None,
    write_type: str | None,
    provider: str | None,
    auto_cache: bool | None,
    access_mode: str | None,
    write_cache: bool | None,
    output: str,
) -> None:
    """Tie UFS_URI to CV_PATH; without arguments list the mounts."""
    if ufs_uri is None:
        _list(settings, output)
        return
    if cv_path is None:
        raise click.UsageError("give both UFS_URI and CV_PATH, or neither to list the mounts")
    path = normalize(cv_path)
    if check_path_consist and not update:
        _check_consistent(ufs_uri, path)
    kind = WriteType[(write_type or "fs_mode").upper()]
    ttl = parse_duration(ttl_ms if ttl_ms is not None else _DEFAULT_TTL)
    options = MountOptions(
        update=update,
        add_properties=_properties(properties),
        # On an update only what was given changes; a new mount gets the defaults of the tool.
        ttl_ms=None if update and ttl_ms is None else ttl,
        ttl_action=None
        if update
        else (TtlAction.DELETE if kind == WriteType.CACHE_MODE else TtlAction.FREE),
        read_verify_ufs=read_verify_ufs,
        storage_type=StorageType[storage_type.upper()] if storage_type else None,
        block_size=parse_size(block_size) if block_size else None,
        replicas=replicas,
        write_type=kind,
        provider=Provider[provider.replace("-", "_").upper()] if provider else None,
        auto_cache=auto_cache,
        access_mode=AccessMode[access_mode.upper()] if access_mode else None,
        write_cache=write_cache,
    )
    uri = _canonical(ufs_uri)

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.mount(path, uri, options)

    run_with_fs(settings, use)
    click.echo(f"mounted {uri} at {path}")


@click.command()
@click.argument("cv_path")
@pass_settings
def umount(settings: Settings, cv_path: str) -> None:
    """Untie the under storage at CV_PATH; cached data stay until they expire."""

    async def use(fs: UnifiedFileSystem) -> None:
        await fs.umount(normalize(cv_path))

    run_with_fs(settings, use)


def _list(settings: Settings, output: str) -> None:
    async def use(fs: UnifiedFileSystem) -> tuple[MountInfo, ...]:
        return tuple(await fs.mount_table())

    table = run_with_fs(settings, use)
    if output == "json":
        print_json([{**_json_row(row), "properties": _redacted(row.properties)} for row in table])
        return
    rows = [_HEADER, *(_cells(row) for row in table)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    line = "+".join(["", *("-" * (width + 2) for width in widths), ""])
    click.echo(line)
    for number, row in enumerate(rows):
        cells = (f" {cell.ljust(width)} " for cell, width in zip(row, widths, strict=True))
        click.echo("|".join(["", *cells, ""]))
        if number == 0:
            click.echo(line)
    if table:
        click.echo(line)
    click.echo(f"Total mount points: {len(table)}")


def _cells(row: MountInfo) -> tuple[str, ...]:
    return (
        str(row.mount_id),
        row.cv_path,
        row.ufs_path,
        row.write_type.name.lower(),
        str(row.read_verify_ufs).lower(),
        str(row.auto_cache).lower(),
        row.access_mode.name.lower(),
        str(row.write_cache).lower(),
        "-" if row.storage_type is None else row.storage_type.name.lower(),
        row.ttl_action.name.lower(),
        "auto" if row.provider is None else row.provider.name.lower().replace("_", "-"),
    )


def _json_row(row: MountInfo) -> dict[str, str]:
    keys = (title.lower().replace(" ", "_") for title in _HEADER)
    return dict(zip(keys, _cells(row), strict=True))


def _redacted(properties: dict[str, str]) -> dict[str, str]:
    return {
        key: "***" if any(word in key.lower() for word in _SECRET_WORDS) else value
        for key, value in properties.items()
    }


def _properties(rows: tuple[str, ...]) -> dict[str, str]:
    result = {}
    for row in rows:
        key, equals, value = row.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"-c {key}: write KEY=VALUE")
        result[key.strip()] = value
    return result


def _canonical(uri: str) -> str:
    """A whole bucket is stored with a slash at its end, everything else without."""
    parts = urlsplit(uri)
    if not parts.scheme:
        raise InvalidArgument(f"{uri!r} has no scheme; write for example file:///srv/data")
    if parts.path in ("", "/"):
        return f"{parts.scheme}://{parts.netloc}/"
    return uri.rstrip("/")


def _check_consistent(uri: str, path: str) -> None:
    """Upstream's rule: the path of the UFS with its bucket equals the Curvine path."""
    parts = urlsplit(uri)
    expected = normalize("/" + "/".join(p for p in (parts.netloc, parts.path.strip("/")) if p))
    if parts.scheme and expected != path:
        raise InvalidArgument(
            f"{uri} would be at {expected}, not at {path}; "
            "to mount it elsewhere say --check-path-consist false"
        )
