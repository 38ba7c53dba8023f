# SPDX-License-Identifier: Apache-2.0
"""``cv fluid``: manifests of Fluid, without and beside Kubernetes."""

from __future__ import annotations

from importlib import import_module

import click

# name -> (module, attribute, one line for the list of commands)
_COMMANDS = {
    "render": ("manifests", "render", "Print what Fluid makes of manifests"),
    "lint": ("manifests", "lint", "Find mistakes in manifests before they are applied"),
    "run": ("manifests", "run", "Mount a Dataset on this machine from its manifests"),
    "doctor": ("doctor", "doctor", "Find out why a Dataset does not mount"),
    "wait": ("cached", "wait", "Wait until a share of a Dataset is cached"),
    "report-status": ("cached", "report_status", "Write the cache's state into Kubernetes"),
    "mount-ufs": ("cacheruntime", "mount_ufs", "CacheRuntime: mount what runtime.json lists"),
    "load": ("cacheruntime", "load", "DataLoad, DataProcess: load paths and wait"),
}


class _Group(click.Group):
    """Commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(f"curvine.cli.fluid.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in _COMMANDS.items()])


@click.group(cls=_Group)
def fluid() -> None:
    """Fluid's Datasets: look at manifests, mount them here, find out what is wrong."""
