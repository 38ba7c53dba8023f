# SPDX-License-Identifier: Apache-2.0
"""The group ``cv fs`` and its commands, each a thin call."""

from __future__ import annotations

import click

from curvine.cli.context import Settings
from curvine.cli.fs import copying, listing, namespace, sums


@click.group()
@click.option(
    "--cache-only",
    is_flag=True,
    help="What lies in the cluster itself; under storages are not looked at.",
)
@click.pass_obj
def fs(settings: Settings, cache_only: bool) -> None:
    """Files and directories of the cluster.

    A PATH is written /a/b, cv://CLUSTER/a/b or curvine:///a/b.
    """
    settings.cache_only = cache_only


for command in (
    listing.ls,
    listing.stat,
    sums.df,
    sums.count,
    sums.du,
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
