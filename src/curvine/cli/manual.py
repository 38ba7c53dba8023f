# SPDX-License-Identifier: Apache-2.0
"""The reference of all commands as a Markdown document, written from click's declarations.

docs/cv.md is this text; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from curvine.cli.main import EXIT_CODES, cv

_HEAD = """\
# cv

`cv manual` writes this page from the declarations in `src/curvine/cli`; change those.

```
cv [--conf FILE] [--master-addrs H:P,H:P] COMMAND ...
```

The configuration is the file that `--conf` names, else the one in `CURVINE_CONF_FILE`, else
`$CURVINE_HOME/conf/curvine-cluster.toml`, else the one of `cv up`. `--conf` and `--master-addrs`
may stand behind the command as well.

A PATH of the cluster is written `/a/b`, `cv://CLUSTER/a/b` or `curvine:///a/b`. Sizes are written
`64KB`, `128MB`; durations `500ms`, `30s`, `10m`, `7d`. `--format` is another spelling of
`--output`. A table is folded into blocks on a terminal that is too narrow for it, never elsewhere.
Progress is drawn on stderr, and only on a terminal.

Changing which workers serve goes over HTTP to the master. Where that wants the admin token, it is
taken from the configuration's `[auth]` or from the file in `CURVINE_ADMIN_TOKEN_FILE`.
"""


@click.command()
@click.option("--write", "target", metavar="FILE", help="Write it to FILE.")
def manual(target: str | None) -> None:
    """Print the reference of all commands (docs/cv.md)."""
    if target is None:
        click.echo(markdown(), nl=False)
    else:
        Path(target).write_text(markdown(), encoding="utf-8")


def markdown() -> str:
    """The whole document."""
    codes = "\n".join(EXIT_CODES.replace("\b\n", "").splitlines()[1:])
    parts = [_HEAD, "## Exit codes\n", f"```\n{codes}\n```\n"]
    context = click.Context(cv, info_name="cv")
    for name in cv.list_commands(context):
        command = cv.get_command(context, name)
        assert command is not None
        parts += _command(command, click.Context(command, info_name=name, parent=context))
    return "\n".join(parts).rstrip() + "\n"


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(ctx))
    yield f"## {ctx.command_path}\n"
    yield f"```\n{ctx.command_path} {pieces}\n```\n"
    if command.help:
        yield _prose(command.help)
    yield from _options(command, ctx)
    if command.epilog:
        yield "```\n" + command.epilog.replace("\b\n", "").strip() + "\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=ctx))


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    rows = [
        record
        for param in command.get_params(ctx)
        if isinstance(param, click.Option)
        and "--help" not in param.opts
        and (record := param.get_help_record(ctx)) is not None
    ]  # fmt: skip
    if rows:
        lines = ["| option | meaning |", "| --- | --- |"]
        lines += [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in rows]
        yield "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    return "\n\n".join(
        " ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")
    ) + "\n"  # fmt: skip


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
