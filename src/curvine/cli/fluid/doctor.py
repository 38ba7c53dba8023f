# SPDX-License-Identifier: Apache-2.0
"""``cv fluid doctor``: find out why a Dataset does not mount."""

from __future__ import annotations

import os
import shutil

import click

from curvine.cli.output import output_option, print_json
from curvine.errors import ConfigError

_MARKS = {"ok": "✓", "note": "·", "warning": "!", "error": "✗", "skipped": "-"}


@click.command()
@click.argument("name", required=False, metavar="[DATASET]")
@click.option("-n", "--namespace", default="default", show_default=True, metavar="NAMESPACE")
@click.option("--kubectl", "program", default="kubectl", metavar="PROGRAM",
              help="Another kubectl, with options in its own configuration.")  # fmt: skip
@click.option("--config", metavar="FILE", help="config.json, if it is not at Fluid's place.")
@output_option
@click.pass_context
def doctor(
    ctx: click.Context, name: str | None, namespace: str, program: str, config: str | None,
    output: str,
) -> None:  # fmt: skip
    """Find out why a Dataset does not mount; exit code 1 when something is wrong.

    In a mount's pod it looks at the pod; on a node at its mounts; with DATASET it asks Kubernetes
    by kubectl.
    """
    from curvine.fluid.doctor import Result, verdict, worst
    from curvine.fluid.doctor_cluster import Kubectl, cluster_checks
    from curvine.fluid.doctor_pod import node_checks, pod_checks
    from curvine.fluid.runtime_config import find_config

    results: list[Result] = []
    in_pod = bool(config or find_config(os.environ) or os.environ.get("FLUID_RUNTIME_TYPE"))
    if in_pod:
        results += pod_checks(os.environ, config)
    elif not name:
        results += node_checks()
    if name:
        if shutil.which(program) is None:
            raise ConfigError(
                f"there is no {program} here; run `cv fluid doctor` in the mount's pod, or name "
                "one with --kubectl"
            )
        results += cluster_checks(Kubectl(program, namespace), name)
    else:
        results.append(Result("kubernetes", "skipped", "no DATASET is named"))
    if output == "json":
        print_json({"verdict": verdict(results), "status": worst(results), "results": results})
    else:
        for row in results:
            click.echo(f"{_MARKS[row.status]} {row.check}: {row.finding}")
            if row.fix and row.status != "ok":
                click.echo(f"    fix: {row.fix}")
        click.echo(f"verdict: {verdict(results)}")
    if worst(results) == "error":
        ctx.exit(1)
