# SPDX-License-Identifier: Apache-2.0
"""`cv fluid doctor` with kubectl: what it asks, what it finds, the fix.

There is no API server here: a program in kubectl's place answers with objects as Fluid has them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curvine.cli.main import cv
from curvine.fluid.manifests import read_manifests

DEPLOY = Path(__file__).parents[2] / "deploy" / "fluid"
KUBECTL = """#!/bin/sh
# kubectl get KIND [NAME] -n NAMESPACE ...: files KIND and NAMESPACE.KIND beside this program.
cd "$(dirname "$0")" || exit 1
[ "$1" = logs ] && exec cat log
kind=$2 name= space=
shift 2
case $1 in -*) ;; *) name=$1; shift ;; esac
while [ $# -gt 0 ]; do
    [ "$1" = -n ] && space=$2
    shift
done
if [ -z "$name" ]; then
    exec cat "$space.$kind"
elif [ -f "$kind" ] && [ "$name" != other ]; then
    exec cat "$kind"
fi
echo "Error from server (NotFound): $kind \\"$name\\" not found" >&2
exit 1
"""
Objects = dict[str, Any]


def healthy() -> Objects:
    bodies = {
        d.kind: copy.deepcopy(d.body)
        for name in ("profile", "dataset", "thinruntime")
        for d in read_manifests([str(DEPLOY / f"curvine-{name}.yaml")])
    }
    for body in bodies.values():
        if body["kind"] != "ThinRuntimeProfile":
            body["metadata"]["namespace"] = "ml"
    bodies["Dataset"]["status"] = {"phase": "Bound"}
    controllers = [
        {"metadata": {"name": name}, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
        for name in ("dataset-controller", "thinruntime-controller", "fluid-webhook")
    ]
    csi = {"metadata": {"name": "csi-nodeplugin-fluid"},
           "status": {"numberReady": 2, "desiredNumberScheduled": 2}}  # fmt: skip
    image = "fluid-cloudnative/curvine-thinruntime:v1.0.0"
    pod = {
        "metadata": {"name": "curvine-dataset-fuse-x"},
        "spec": {"nodeName": "node-1", "containers": [{"image": image}]},
        "status": {"containerStatuses": [{"ready": True, "state": {"running": {}}}]},
    }
    return {
        "dataset": bodies["Dataset"], "thinruntime": bodies["ThinRuntime"],
        "thinruntimeprofile": bodies["ThinRuntimeProfile"],
        "pvc": {"metadata": {"name": "curvine-dataset"}, "status": {"phase": "Bound"}},
        "ml/pods": [pod], "ml/events": [], "fluid-system/deployments": controllers,
        "fluid-system/daemonsets": [csi], "log": "",
    }  # fmt: skip


def write_kubectl(where: Path, objects: Objects) -> Path:
    """The program, and what it answers with."""
    for name, value in objects.items():
        if isinstance(value, list):
            value = {"items": value}
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            (where / name.replace("/", ".")).write_text(text)
    kubectl = where / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    return kubectl


def doctor(tmp_path: Path, objects: Objects) -> tuple[int, list[dict[str, str]]]:
    kubectl = write_kubectl(tmp_path, objects)
    arguments = ["fluid", "doctor", "curvine-dataset", "-n", "ml", "--kubectl", str(kubectl)]
    result = CliRunner().invoke(cv, [*arguments, "--output", "json"])
    assert result.output, result.exception
    return result.exit_code, json.loads(result.output)["results"]


def test_healthy(tmp_path: Path) -> None:
    code, results = doctor(tmp_path, healthy())
    assert code == 0
    assert {row["status"] for row in results} == {"ok"}, results


def waiting(reason: str, message: str = "") -> Callable[[Objects], None]:
    def change(objects: Objects) -> None:
        status = objects["ml/pods"][0]["status"]["containerStatuses"][0]
        status.update(ready=False, state={"waiting": {"reason": reason, "message": message}})

    return change


def logged(line: str) -> Callable[[Objects], None]:
    def change(objects: Objects) -> None:
        waiting("CrashLoopBackOff")(objects)
        objects["log"] = f"curvine-fuse: begin\n{line}\n"

    return change


def drop(name: str) -> Callable[[Objects], None]:
    return lambda objects: objects.update({name: None})


def not_bound(objects: Objects) -> None:
    objects["dataset"]["status"]["phase"] = "NotBound"
    objects["fluid-system/deployments"][1].update(spec={"replicas": 0}, status={})


def event(reason: str, message: str) -> Callable[[Objects], None]:
    row = {"type": "Warning", "reason": reason, "message": message,
           "involvedObject": {"name": "curvine-dataset"}}  # fmt: skip
    return lambda objects: objects.update({"ml/events": [row]})


def out_of_memory(objects: Objects) -> None:
    status = objects["ml/pods"][0]["status"]["containerStatuses"][0]
    status["lastState"] = {"terminated": {"reason": "OOMKilled"}}


def edited_profile(objects: Objects) -> None:
    objects["thinruntimeprofile"]["spec"]["fuse"]["imageTag"] = "v1.1.0"


def two_mounts_of_one_name(objects: Objects) -> None:
    mounts = objects["dataset"]["spec"]["mounts"]
    mounts.append(dict(mounts[0], mountPoint="curvine:///other"))


@pytest.mark.parametrize(
    ("change", "status", "finding", "fix"),
    [
        (drop("dataset"), "error", "there is no Dataset", "kubectl apply"),
        (drop("thinruntime"), "error", "there is no ThinRuntime", "the Dataset's name"),
        (drop("thinruntimeprofile"), "error", "there is no curvine-profile", "kubectl apply the"),
        (drop("pvc"), "error", "there is no claim", "controller log"),
        (not_bound, "error", "phase NotBound", "see below"),
        (not_bound, "error", "thinruntime-controller has 0 replicas", "scale deployment"),
        (two_mounts_of_one_name, "error", "2 mounts are called curvine", "a name of its own"),
        (waiting("ImagePullBackOff", "pull access denied"), "error", "pull access denied",
         "minikube image load"),
        (waiting("CreateContainerConfigError"), "warning", "waits: CreateContainerConfigError",
         "missing Secret"),
        (logged("ERROR: no master answers at 192.168.10.9:8995"), "error",
         "crashes: ERROR: no master answers", "NetworkPolicy"),
        (logged("libc.so.6: version `GLIBC_2.39' not found"), "error", "GLIBC_2.39",
         "Ubuntu 24.04"),
        (out_of_memory, "error", "out of memory", "limits.memory"),
        (edited_profile, "warning", "runs fluid-cloudnative/curvine-thinruntime:v1.0.0, not",
         "reads a profile only once"),
        (event("FailedMount", "Transport endpoint is not connected"), "warning",
         "Transport endpoint is not connected", "delete the fuse pod"),
        (event("FailedMount", 'secret "x" not found'), "warning", "FailedMount",
         "create the Secret"),
        (lambda o: o.update({"ml/pods": []}), "note", "there is none", "when a pod"),
        (lambda o: o.update({"fluid-system/deployments": []}), "error", "nothing is deployed",
         "helm install fluid"),
        (lambda o: o["fluid-system/daemonsets"][0]["status"].update(numberReady=1), "error",
         "csi-nodeplugin-fluid: 1 of 2 ready", "kubectl get pods"),
    ],
)  # fmt: skip
def test_troubles(
    tmp_path: Path, change: Callable[[Objects], object], status: str, finding: str, fix: str
) -> None:
    objects = healthy()
    change(objects)
    code, results = doctor(tmp_path, objects)
    found = [r for r in results if r["status"] == status and finding in r["finding"]]
    assert found and fix in found[0]["fix"], results
    assert code == (1 if any(r["status"] == "error" for r in results) else 0)


def test_cache_runtime_and_reference(tmp_path: Path) -> None:
    objects = healthy()
    folder = DEPLOY / "cacheruntime"
    bodies = {
        d.kind: d.body
        for name in ("class", "dataset")
        for d in read_manifests([str(folder / f"{name}.yaml")])
    }
    bodies["Dataset"]["status"] = {"phase": "Bound"}
    objects.update(thinruntime=None, thinruntimeprofile=None, dataset=bodies["Dataset"],
                   cacheruntime=bodies["CacheRuntime"],
                   cacheruntimeclass=bodies["CacheRuntimeClass"])  # fmt: skip
    code, results = doctor(tmp_path, objects)
    assert code == 0 and {row["status"] for row in results} == {"ok"}, results
    assert "CacheRuntimeClass" in {row["check"] for row in results}
    objects["dataset"] = copy.deepcopy(healthy()["dataset"])
    objects["dataset"]["spec"]["mounts"] = [{"mountPoint": "dataset://ml/other", "name": "x"}]
    # The Dataset that it refers to is not there.
    kubectl = write_kubectl(tmp_path, objects)
    result = CliRunner().invoke(cv, ["fluid", "doctor", "x", "-n", "ml", "--kubectl", str(kubectl)])
    assert "refers to ml/other" in result.output
    assert "there is no Dataset other in ml" in result.output


def test_without_kubectl() -> None:
    result = CliRunner().invoke(cv, ["fluid", "doctor", "x", "--kubectl", "/nowhere/kubectl"])
    assert result.exit_code == 1
    assert "run `cv fluid doctor` in the mount's pod" in str(result.exception)
