# SPDX-License-Identifier: Apache-2.0
"""``cv config``: what a configuration amounts to, what is wrong with it, what there is."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curvine.cli.context import Settings, pass_settings
from curvine.cli.output import output_option, print_json, print_table
from curvine.config.effective import EffectiveKey, effective_keys
from curvine.config.load import find_conf, load
from curvine.errors import ConfigError, NotFound
from curvine.model.credentials import is_secret

_HIDDEN = "***"
_PLACES = ("_file", "_env", "_path", "_dir")  # where a secret is, which is none


@click.group()
def config() -> None:
    """The configuration: show it, check it, print its reference."""


@config.command()
@click.argument("keys", nargs=-1, metavar="[SECTION|KEY]...")
@click.option("--changed", is_flag=True, help="Only what is not a default.")
@output_option
@pass_settings
def show(settings: Settings, keys: tuple[str, ...], changed: bool, output: str) -> None:
    """Print effective values and where each came from; secrets are hidden."""
    path = find_conf(settings.conf, os.environ)
    overrides = {"client.master_addrs": settings.master_addrs}
    loaded = load(path, env=os.environ, overrides=overrides)
    rows = [row for row in effective_keys(loaded) if not keys or _wanted(row.name, keys)]
    if not rows:
        raise NotFound(
            f"no key is called {', '.join(keys)}; `cv config docs` lists them, "
            "`cv config show` prints them all"
        )
    if changed:
        rows = [row for row in rows if row.origin != "default"]
    if output == "json":
        items = {
            row.name: {"value": _value(row), "unit": row.key.unit, "origin": row.origin}
            for row in rows
        }
        print_json({"file": path, "warnings": loaded.warnings, "keys": items})
        return
    click.echo(f"file: {path or 'none, these are the defaults'}", err=True)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    print_table(
        ("KEY", "VALUE", "ORIGIN"),
        [(row.name, _text(row), row.origin.removesuffix(f" {path}")) for row in rows],
    )


@config.command()
@click.argument("file", required=False)
@output_option
@pass_settings
@click.pass_context
def check(ctx: click.Context, settings: Settings, file: str | None, output: str) -> None:
    """Tell everything that is wrong with FILE, or with the file that would be read.

    Exit code 1 when something is; warnings (unknown keys, with the nearest known name) are none.
    """
    path = find_conf(file or settings.conf, os.environ)
    if path is None:
        raise ConfigError("there is no configuration file; name one: cv config check FILE")
    errors: list[str] = []
    warnings: list[str] = []
    try:
        warnings = load(path, env=os.environ, errors=errors).warnings
    except ConfigError as error:
        errors.append(str(error))
    if output == "json":
        print_json({"file": path, "errors": errors, "warnings": warnings})
    else:
        for text in errors:
            click.echo(f"error: {text}")
        for text in warnings:
            click.echo(f"warning: {text}")
        click.echo(f"{path}: {_number(len(errors), 'error')}, {_number(len(warnings), 'warning')}")
    if errors:
        ctx.exit(1)


@config.command()
@click.option("--write", "target", metavar="FILE", help="Write it to FILE.")
def docs(target: str | None) -> None:
    """Print the reference of all keys (docs/configuration.md)."""
    from curvine.config.document import markdown

    if target is None:
        click.echo(markdown(), nl=False)
    else:
        Path(target).write_text(markdown(), encoding="utf-8")


def _wanted(name: str, keys: tuple[str, ...]) -> bool:
    return any(name == key or name.startswith(key.rstrip(".") + ".") for key in keys)


def _hidden(row: EffectiveKey) -> bool:
    return bool(row.value) and is_secret(row.name) and not row.name.endswith(_PLACES)


def _value(row: EffectiveKey) -> object:
    return _HIDDEN if _hidden(row) else row.value


def _text(row: EffectiveKey) -> str:
    return _HIDDEN if _hidden(row) else row.text


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
