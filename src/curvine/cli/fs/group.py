# SPDX-License-Identifier: Apache-2.0
"""The group ``cv fs`` and its commands, each a thin call."""

from __future__ import annotations

import click

from curvine.cli.fs import copying, listing, namespace


@click.group()
def fs() -> None:
    """Files and directories of the cluster."""


for command in (
    listing.ls,
    listing.stat,
    listing.df,
    listing.count,
    listing.du,
    namespace.mkdir,
    namespace.rm,
    namespace.mv,
    namespace.touch,
    namespace.chmod,
    namespace.chown,
    namespace.blocks,
    namespace.free,
    copying.cat,
    copying.put,
    copying.get,
):
    fs.add_command(command)
