# SPDX-License-Identifier: Apache-2.0
"""Mistakes in manifests are found with their fix, and what is right is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from curvine.cli.main import cv
from curvine.fluid.lint import guard_refuses, lint
from curvine.fluid.manifests import parse_manifests, read_manifests

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy" / "fluid"
SEED = "\n---\n".join(
    "\n".join(x for x in (DEPLOY / f"{name}.yaml").read_text().splitlines() if x[:1] != "#")
    for name in ("curvine-profile", "curvine-dataset", "curvine-thinruntime", "test-pod")
)
CRDS = os.environ.get("CRDS")


def findings(text: str) -> list[tuple[str, str, str]]:
    documents = tuple(parse_manifests(text, "x.yaml"))
    return [(f.level, f.problem, f.fix) for f in lint(documents)]


def test_the_seeds_manifests_are_right() -> None:
    assert findings(SEED) == []


@pytest.mark.parametrize(
    ("old", "new", "level", "problem", "fix"),
    [
        ("name: curvine-dataset\nspec:\n  profileN", "name: curvine-datasets\nspec:\n  profileN",
         "error", "stays NotBound: no ThinRuntime has its name", "metadata.name curvine-dataset"),
        ("profileName: curvine-profile", "profileName: other", "error",
         "ThinRuntimeProfile other is not in these files; there is curvine-profile", "profileName"),
        ("profileName: curvine-profile", "profilename: curvine-profile", "error",
         "spec.profilename is not a field", "did you mean profileName?"),
        ("name: curvine-dataset\nspec:\n  mounts", "name: Curvine_Dataset\nspec:\n  mounts",
         "error", "no DNS-1035 label", "lower-case"),
        ('"192.168.10.9:8995"', "8995", "error", "master-endpoints is int", '"8995"'),
        ("master-endpoints", "master-endpoint", "error", "the option master-endpoints is missing",
         "master-endpoints: host:8995"),
        ("9:8995", "9:9000", "warning", "usual port of a web page", ":8995"),
        ("192.168.10.9", "127.0.0.1", "warning", "is the node (or pod) itself", "as nodes see it"),
        ("curvine:///data", "s3://data", "error", "has the scheme s3://", "as the message says"),
        ("curvine:///data", "cv", "error", "needs five characters", "curvine:///path"),
        ("- ReadOnlyMany", "- ReadOnly", "error", "accessModes has 'ReadOnly'", "ReadOnlyMany"),
        ("accessModes:\n    - ReadOnlyMany", "accessModes: ReadOnlyMany", "error",
         "spec.accessModes is not a list", "accessModes: [ReadOnlyMany]"),
        ("fileSystemType: fuse", "fileSystemType: JuiceFS", "error", "another runtime", "fuse"),
        ("fileSystemType: fuse", "fileSystemType: nfs", "error", "in ContainerCreating", "fuse"),
        ("fileSystemType: fuse", "filesystemType: fuse", "error", "spec.fileSystemType is missing",
         "add it"),
        ("imageTag: v1.0.0", "imageTag: latest", "note", "no fixed version", "imageTag: v1.0.0"),
        ("imagePullPolicy: IfNotPresent", "lifecycle: {postStart: {exec: {command: [a]}}}", "error",
         "postStart makes Fluid's setup fail", "remove it"),
        ("imagePullPolicy: IfNotPresent", "env: [{name: CURVINE_IO_THREADS, value: 64}]", "error",
         "env CURVINE_IO_THREADS is not a text", 'value: "64"'),
        ("imagePullPolicy: IfNotPresent", "livenessProbe: {exec: {command: [a]}}", "warning",
         "a livenessProbe kills the mount", "readinessProbe"),
        ("claimName: curvine-dataset", "claimName: curvine", "warning",
         "claimName curvine is no Dataset", "claimName: curvine-dataset"),
        ("master-endpoints:", "io-thread: '3'\n        master-endpoints:", "warning",
         "unknown option io-thread is ignored; did you mean io-threads?", "remove it"),
        ("master-endpoints:", "access-token: abc\n        master-endpoints:", "warning",
         "holds a credential in plain text", "encryptOptions"),
        ("  accessModes:", "    - {mountPoint: 'curvine:///b', name: curvine}\n  accessModes:",
         "error", "stays NotBound: 2 mounts are called curvine", "a name of its own"),
        ("kind: Pod", "kind: DataLoad", "error", "", ""),
    ],
)  # fmt: skip
def test_mistakes(old: str, new: str, level: str, problem: str, fix: str) -> None:
    assert old in SEED
    text = SEED.replace(old, new, 1)
    if "DataLoad" in new:
        text += (
            "\n---\nkind: DataLoad\nmetadata: {name: l}\nspec: {dataset: {name: curvine-dataset}}"
        )
        problem, fix = "Fluid refuses it for a ThinRuntime", "DataProcess"
    found = findings(text)
    assert [f for f in found if f[0] == level and problem in f[1] and fix in f[2]], found


def test_secrets() -> None:
    option = (
        "      encryptOptions: [{name: access-token, "
        "valueFrom: {secretKeyRef: {name: s, key: token}}}]\n  accessModes:"
    )
    text = SEED.replace("  accessModes:", option)
    assert findings(text) == []
    secret = (
        "\n---\nkind: Secret\napiVersion: v1\n"
        "metadata: {{name: s, namespace: {0}}}\nstringData: {{{1}: x}}"
    )
    assert findings(text + secret.format("default", "token")) == []
    assert "has no key token" in findings(text + secret.format("default", "tokens"))[0][1]
    assert "is in namespace other" in findings(text + secret.format("other", "token"))[0][1]


def test_cache_class() -> None:
    text = """
kind: CacheRuntimeClass
metadata: {name: c}
fileSystemType: curvinefs
topology:
  master:
    service: {headless: {}}
    executionEntries:
      ReportSummary: {command: [/opt/curvine/report-summary]}
      mountUFS: {command: [bash, -c, "mount && true"]}
  worker: {}
"""
    problems = [problem for _, problem, _ in findings(text)]
    assert any("ReportSummary is unknown" in p for p in problems)
    assert any("the script contains &" in p for p in problems)
    assert any("topology.client is missing" in p for p in problems)


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (["/opt/curvine/mountUfs.sh"], False),
        (["bash", "-c", "/etc/curvine/mount/mountUfs.sh"], False),
        (["bash", "/x"], True),
        (["bash", "-c", "a; b"], True),
        (["cv", "mount", "$X"], True),
        ([], True),
    ],
)
def test_command_guard(command: list[str], refused: bool) -> None:
    assert bool(guard_refuses(command)) is refused


def groups() -> Iterator[list[Path]]:
    """Files of deploy/fluid that are applied together."""
    profile = DEPLOY / "curvine-profile.yaml"
    for path in sorted(DEPLOY.glob("*.yaml")):
        yield [path] if "production" in path.name else list(dict.fromkeys((profile, path)))
    yield sorted((DEPLOY / "cacheruntime").glob("*.yaml"))


@pytest.mark.parametrize("paths", list(groups()), ids=lambda paths: paths[-1].name)
def test_our_manifests_pass_our_lint(paths: list[Path]) -> None:
    alone = ("curvine-dataset", "curvine-thinruntime", "test-pod")
    if paths[-1].stem in alone:
        paths = [*paths[:-1], *(DEPLOY / f"{name}.yaml" for name in alone)]
    found = lint(read_manifests([str(path) for path in paths]))
    assert [f for f in found if f.level != "note"] == []


@pytest.mark.skipif(not CRDS, reason="CRDS= names no directory of Fluid's CRDs")
@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_our_manifests_pass_fluids_schemas(path: Path) -> None:
    schemas = {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in read_manifests([str(path)]):
        crd = Path(CRDS or "") / f"data.fluid.io_{document.kind.lower()}s.yaml"
        if crd.name == "data.fluid.io_cacheruntimeclasss.yaml":
            crd = crd.with_name("data.fluid.io_cacheruntimeclasses.yaml")
        if crd.name == "data.fluid.io_dataprocesss.yaml":
            crd = crd.with_name("data.fluid.io_dataprocesses.yaml")
        if document.body.get("apiVersion", "").startswith("data.fluid.io"):
            spec = yaml.load(crd.read_text(), Loader=loader)["spec"]
            schemas[document.kind] = closed(
                spec["versions"][0]["schema"]["openAPIV3Schema"], top=True
            )
    for document in read_manifests([str(path)]):
        if document.body.get("apiVersion", "").startswith("data.fluid.io"):
            jsonschema.validate(document.body, schemas[document.kind])


def closed(schema: dict[str, Any], top: bool = False) -> dict[str, Any]:
    """The schema with unknown fields refused, as strict validation does."""
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {name: closed(item) for name, item in made["properties"].items()}
        if top:
            made["properties"]["metadata"] = {"type": "object"}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    if isinstance(made.get("items"), dict):
        made["items"] = closed(made["items"])
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def test_command_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(SEED.replace("fileSystemType: fuse", "fileSystemType: JuiceFS"))
    runner = CliRunner()
    result = runner.invoke(cv, ["fluid", "lint", str(broken)])
    assert result.exit_code == 1
    assert "error: ThinRuntimeProfile curvine-profile: fileSystemType JuiceFS" in result.output
    assert "    fix: write fuse" in result.output
    result = runner.invoke(cv, ["fluid", "lint", "--output", "json", str(broken)])
    assert json.loads(result.output)["findings"][0]["level"] == "error"
    broken.write_text(SEED)
    assert runner.invoke(cv, ["fluid", "lint", str(broken)]).exit_code == 0
    toml = runner.invoke(cv, ["fluid", "render", "--what", "toml", str(broken)])
    assert 'fs_path = "/data"' in toml.output
    script = runner.invoke(cv, ["fluid", "render", "--what", "script", str(broken)])
    assert "exec /opt/curvine/lib/curvine-fuse" in script.output
