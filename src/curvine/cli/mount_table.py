# SPDX-License-Identifier: Apache-2.0
"""Printing the mount table: upstream's columns, rows that begin with ``|``, a total at the end.

Fluid's end-to-end test reads this text (Fluid contract 7.9): where it is not printed to a terminal
its lines are never folded.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from curvine.cli.output import print_grid, print_json
from curvine.model.credentials import redacted
from curvine.model.mount import MountInfo

HEADER = (
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


def print_mounts(table: Sequence[MountInfo], output: str) -> None:
    """Every mount, and how many they are."""
    if output == "json":
        print_json([mount_row(row) for row in table])
        return
    print_grid(HEADER, [_cells(row) for row in table])
    click.echo(f"Total mount points: {len(table)}")


def print_checks(rows: Sequence[tuple[MountInfo, str | None]], output: str) -> None:
    """Every mount with what is wrong with its under storage, if anything."""
    if output == "json":
        print_json([{**mount_row(row), "problem": problem} for row, problem in rows])
        return
    print_grid(
        ("ID", "Curvine Path", "UFS Path", "Status"),
        [(row.mount_id, row.cv_path, row.ufs_path, problem or "ok") for row, problem in rows],
    )
    click.echo(f"Total mount points: {len(rows)}")


def mount_row(row: MountInfo) -> dict[str, object]:
    """A mount for JSON: the columns, then everything else, secrets hidden."""
    keys = (title.lower().replace(" ", "_") for title in HEADER)
    return {
        **dict(zip(keys, _cells(row), strict=True)),
        "id": row.mount_id,
        "read_verify_ufs": row.read_verify_ufs,
        "auto_cache": row.auto_cache,
        "write_cache": row.write_cache,
        "ttl_ms": row.ttl_ms,
        "block_size": row.block_size,
        "replicas": row.replicas,
        "properties": redacted(row.properties),
    }


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
