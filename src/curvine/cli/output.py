# SPDX-License-Identifier: Apache-2.0
"""How commands print: tables for people, JSON for programs, neither with secrets.

A table is printed whole where nobody looks (a pipe, a file), so that a line stays a row. On a
terminal that is too narrow for it every row becomes a block of ``Title: value`` lines.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import click

output_option = click.option(
    "-o",
    "--output",
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="How to print (default: table).",
)


def print_json(value: object) -> None:
    """``value`` as indented JSON with the keys in their order.

    Enumerations are written by name as the master's HTTP pages do ("Disk", "Both"), byte strings
    as lists of numbers.
    """
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: object) -> object:
    """``value`` in dictionaries, lists, numbers and texts."""
    if isinstance(value, Enum):
        return value.name.title().replace("_", "")
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    fields = getattr(value, "__struct_fields__", None)  # a msgspec Struct
    return value if fields is None else {name: plain(getattr(value, name)) for name in fields}


def print_pairs(pairs: Iterable[tuple[str, object]], width: int = 0) -> None:
    """``Key: value`` lines; with ``width`` the keys are flush right in so many columns."""
    for key, value in pairs:
        click.echo(f"{key:>{width}}: {value}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> None:
    """Columns padded with blanks; ``right`` names those that are flush right."""
    for line in table_lines(header, rows, right, terminal_width()):
        click.echo(line)


def print_grid(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table with frames of ``+---+`` and ``|``, as upstream prints its mount table."""
    for line in grid_lines(header, rows, terminal_width()):
        click.echo(line)


def table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: str = "",
    room: int | None = None,
) -> list[str]:
    """The lines of :func:`print_table` in ``room`` columns (None: as many as it takes)."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = _widths([header, *texts])
    if room is not None and sum(widths) + 2 * (len(widths) - 1) > room:
        return _blocks(header, texts)
    rights = [title in right.split(",") for title in header]
    return [
        "  ".join(
            cell.rjust(width) if flush_right else cell.ljust(width)
            for cell, width, flush_right in zip(row, widths, rights, strict=True)
        ).rstrip()
        for row in [list(header), *texts]
    ]


def grid_lines(
    header: Sequence[str], rows: Sequence[Sequence[object]], room: int | None = None
) -> list[str]:
    """The lines of :func:`print_grid` in ``room`` columns (None: as many as it takes)."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = _widths([header, *texts])
    rule = "+".join(["", *("-" * (width + 2) for width in widths), ""])
    if room is not None and len(rule) > room:
        return _blocks(header, texts)
    lines = [
        "|".join(["", *(f" {cell.ljust(w)} " for cell, w in zip(row, widths, strict=True)), ""])
        for row in [list(header), *texts]
    ]
    return [rule, lines[0], rule, *lines[1:], *([rule] if texts else [])]


def terminal_width() -> int | None:
    """Columns of the terminal that we print to; None when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]


def _blocks(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines: list[str] = []
    for number, row in enumerate(rows):
        lines += [""] if number else []
        lines += [f"{title}: {cell}" for title, cell in zip(header, row, strict=True)]
    return lines
