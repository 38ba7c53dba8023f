# SPDX-License-Identifier: Apache-2.0
"""``cv fluid render``, ``lint`` and ``run``: from manifests, without Kubernetes."""

from __future__ import annotations

import os

import click

from curvine.cli.context import Settings, pass_settings
from curvine.cli.output import output_option, print_json

_files = click.argument("files", nargs=-1, required=True, metavar="FILE.yaml...")
_dataset = click.option("--dataset", metavar="NAME", help="Which Dataset, if there are several.")


@click.command()
@_files
@_dataset
@click.option(
    "--what",
    type=click.Choice(["config", "toml", "script", "env"]),
    default="config",
    help="config.json (default) or runtime.json, what our parser makes of it, or the pod's "
    "environment.",
)
@click.option(
    "--config-storage",
    type=click.Choice(["configmap", "secret"]),
    default="configmap",
    help="Fluid's runtime.thin.fuse.configStorage: encrypted options as paths, or as texts.",
)
@click.option("--home", default="/opt/curvine", metavar="DIR", help="CURVINE_HOME of the image.")
def render(
    files: tuple[str, ...], dataset: str | None, what: str, config_storage: str, home: str
) -> None:
    """Print what Fluid makes of manifests."""
    from curvine.fluid.manifests import choose, read_manifests
    from curvine.fluid.rendering import go_json, thin_config, thin_environment
    from curvine.fluid.rendering_cache import cache_config

    bundle = choose(read_manifests(files), dataset)
    if bundle.is_cache:
        if what != "config":
            raise click.UsageError("of a CacheRuntime there is only --what config")
        click.echo(go_json(cache_config(bundle)))
        return
    if what == "env":
        for name, value in thin_environment(bundle).items():
            click.echo(f"{name}={value}")
        return
    config = thin_config(bundle, literal=config_storage == "secret")
    if what == "config":
        click.echo(go_json(config))
        return
    from curvine.fluid.preview import preview

    for warning, text in preview(bundle, config, what, home):
        click.echo(f"warning: {text}" if warning else text, err=warning, nl=warning)


@click.command()
@_files
@output_option
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings too.")
@click.pass_context
def lint(ctx: click.Context, files: tuple[str, ...], output: str, strict: bool) -> None:
    """Find mistakes in manifests before they are applied; exit code 1 when there are errors.

    All files are looked at together: a Dataset, its runtime and its profile.
    """
    from curvine.fluid.lint import lint as check
    from curvine.fluid.manifests import read_manifests

    documents = read_manifests(files)
    findings = check(documents)
    if output == "json":
        print_json({"objects": len(documents), "findings": findings})
    else:
        for finding in findings:
            click.echo(f"{finding.source}: {finding.level}: {finding.subject}: {finding.problem}")
            click.echo(f"    fix: {finding.fix}")
        count = len(findings)
        click.echo(f"{len(documents)} objects, {count or 'no'} finding{'' if count == 1 else 's'}")
    levels = {finding.level for finding in findings}
    if "error" in levels or (strict and "warning" in levels):
        ctx.exit(1)


@click.command()
@_files
@_dataset
@click.option("--at", "target", metavar="DIR", help="Mount point (default: ./NAME).")
@click.option("--dir", "directory", metavar="DIR", help="Where the pod's files go.")
@pass_settings
def run(
    settings: Settings, files: tuple[str, ...], dataset: str | None, target: str | None,
    directory: str | None,
) -> None:  # fmt: skip
    """Mount a Dataset on this machine from its manifests, until Ctrl-C.

    The mount follows the files: edit the Dataset and it changes. `cv --conf FILE fluid run` and
    `cv --master-addrs H:P fluid run` take those masters instead of the Dataset's.
    """
    from curvine.config.load import default_dir
    from curvine.fluid.local_run import LocalRun
    from curvine.fluid.manifests import choose, read_manifests

    bundle = choose(read_manifests(files), dataset)
    name = bundle.dataset.name
    beside = os.path.join(os.path.dirname(default_dir(os.environ)), "curvine-fluid")
    where = directory or os.path.join(beside, f"{bundle.dataset.namespace}-{name}")
    masters = settings.master_addrs or ""
    if settings.conf and not masters:
        masters = ",".join(
            f"{host}:{port}" for host, port in settings.cluster().client_master_addrs()
        )
    made = LocalRun(files, where, target or name, masters, name)
    env, lines = made.prepare()
    for line in lines:
        click.echo(line)
    made.start(env)
