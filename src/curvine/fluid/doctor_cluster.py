# SPDX-License-Identifier: Apache-2.0
"""Checks of a Dataset through ``kubectl``: its objects, its pods, Fluid's own parts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from curvine.errors import ConfigError
from curvine.fluid.doctor import Result, Status
from curvine.fluid.lint import lint
from curvine.fluid.manifests import Body, Document, items, mapping

_SECONDS = 30
_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
FLUID = "fluid-system"
# runtime -> (what it takes its kind from, the key that names it)
_PROFILES = {
    "ThinRuntime": ("ThinRuntimeProfile", "profileName"),
    "CacheRuntime": ("CacheRuntimeClass", "runtimeClassName"),
}


class Kubectl:
    """``kubectl get -o json`` and ``logs``."""

    def __init__(self, program: str, namespace: str) -> None:
        self.program = program
        self.namespace = namespace

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        try:
            done = subprocess.run(
                [self.program, *arguments], capture_output=True, text=True, timeout=_SECONDS,
                check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise ConfigError(f"there is no {self.program}; --kubectl names another") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{self.program} does not answer within {_SECONDS} s") from None
        return done.returncode, done.stdout, done.stderr

    def get(self, kind: str, name: str = "", *, namespace: str = "", labels: str = "") -> Any:
        """An object, or the list of objects; None when it is not there. ConfigError otherwise."""
        arguments = ["get", kind, *([name] if name else []), "-n", namespace or self.namespace]
        arguments += ["-l", labels] if labels else []
        code, out, err = self.run(*arguments, "-o", "json")
        if code:
            if "NotFound" in err or "not found" in err:
                return None
            raise ConfigError(f"kubectl get {kind}: {' '.join(err.split())}")
        body = json.loads(out)
        return body.get("items", []) if not name else body

    def log(self, pod: str, *, previous: bool) -> str:
        """The end of a pod's log."""
        more = ["--previous"] if previous else []
        return self.run("logs", pod, "-n", self.namespace, "--tail", "50", *more)[1]


def cluster_checks(kubectl: Kubectl, name: str) -> Iterator[Result]:
    """Everything about one Dataset."""
    dataset = kubectl.get("dataset", name)
    if dataset is None:
        yield Result("Dataset", "error", f"there is no Dataset {name} in {kubectl.namespace}",
                     "kubectl apply it, or name its namespace with -n")  # fmt: skip
        return
    phase = str(mapping(dataset.get("status")).get("phase") or "none")
    status: Status = "ok" if phase == "Bound" else "error"
    yield Result("Dataset", status, f"phase {phase}", "" if status == "ok" else "see below")
    physical = _reference(dataset)
    if physical is not None:
        yield Result("Dataset", "note", f"refers to {'/'.join(physical)}; that one is looked at")
        yield from cluster_checks(Kubectl(kubectl.program, physical[0]), physical[1])
        return
    found = [(kind, kubectl.get(kind.lower(), name)) for kind in _PROFILES]
    kind, runtime = next((row for row in found if row[1] is not None), ("ThinRuntime", None))
    profile = None
    if runtime is None:
        yield Result("ThinRuntime", "error", f"there is no ThinRuntime or CacheRuntime {name}",
                     "it has to have the Dataset's name and namespace")  # fmt: skip
    else:
        profile_kind, key = _PROFILES[kind]
        profile_name = str(mapping(runtime.get("spec")).get(key) or "")
        profile = kubectl.get(profile_kind.lower(), profile_name) if profile_name else None
        if profile is None:
            yield Result(profile_kind, "error", f"there is no {profile_name or 'name'}",
                         f"kubectl apply the {profile_kind}, then look at {key}")  # fmt: skip
        else:
            yield Result(profile_kind, "ok", profile_name)
    yield from _written(dataset, runtime, profile)
    yield from _events(kubectl, name)
    if phase == "Bound":
        yield from _volume(kubectl, name)
    yield from _pods(kubectl, name, profile, runtime, kind)
    yield from _fluid(kubectl, phase)


def _reference(dataset: Body) -> tuple[str, str] | None:
    """Namespace and name of the Dataset that a dataset:// mount refers to."""
    for mount in items(mapping(dataset.get("spec")).get("mounts")):
        scheme, mark, rest = str(mapping(mount).get("mountPoint")).partition("://")
        parts = rest.split("/")
        if mark and scheme == "dataset" and len(parts) > 1:
            return parts[0], parts[1]
    return None


def _written(*bodies: Body | None) -> Iterator[Result]:
    """What `cv fluid lint` says of the objects as they are."""
    documents = [
        Document(
            str(body["kind"]), str(mapping(body["metadata"]).get("name")),
            str(mapping(body["metadata"]).get("namespace") or "default"), body, "cluster",
        )
        for body in bodies if body is not None
    ]  # fmt: skip
    for finding in lint(documents):
        if finding.level != "note":
            yield Result(finding.subject, finding.level, finding.problem, finding.fix)


def _events(kubectl: Kubectl, name: str) -> Iterator[Result]:
    for event in items(kubectl.get("events"))[-200:]:
        about = str(mapping(event.get("involvedObject")).get("name"))
        if event.get("type") == "Warning" and (about == name or about.startswith(_parts(name))):
            text = " ".join(str(event.get("message")).split())
            yield Result("events", "warning", f"{about}: {event.get('reason')}: {text[:300]}",
                         _event_fix(text))  # fmt: skip


def _parts(name: str) -> tuple[str, ...]:
    """How the pods of a Dataset's runtime begin."""
    return tuple(f"{name}-{part}" for part in ("fuse", "master", "worker", "client"))


def _event_fix(text: str) -> str:
    low = text.lower()
    if "transport endpoint is not connected" in low:
        return "the mount died: delete the fuse pod, then restart the pods that use it"
    if "secret" in low and "not found" in low:
        return "create the Secret in the Dataset's namespace"
    if "mount" in low and ("timed out" in low or "timeout" in low or "not ready" in low):
        return "the mount is not made: look at the fuse pod below"
    return "as the message says"


def _volume(kubectl: Kubectl, name: str) -> Iterator[Result]:
    claim = kubectl.get("pvc", name)
    if claim is None:
        yield Result("PVC", "error", f"there is no claim {name}", "see Fluid's controller log")
        return
    phase = mapping(claim.get("status")).get("phase")
    status: Status = "ok" if phase == "Bound" else "error"
    yield Result("PVC", status, f"{name} is {phase}", "" if status == "ok" else
                 "is Fluid's CSI plugin running on the nodes?")  # fmt: skip


def _pods(
    kubectl: Kubectl, name: str, profile: Body | None, runtime: Body | None, kind: str
) -> Iterator[Result]:
    thin = kind == "ThinRuntime"
    labels = f"release={name},role=thin-fuse" if thin else f"cacheruntime.fluid.io/name={name}"
    pods = items(kubectl.get("pods", labels=labels))
    if not pods:
        yield Result("fuse pods", "note", "there is none", "Fluid starts one on a node when a pod "
                     "there uses the claim; until then this is right")  # fmt: skip
    for pod in pods:
        yield from _pod(kubectl, pod)
    image = _image(profile, runtime) if thin else ""
    for pod in pods:
        for container in items(mapping(pod.get("spec")).get("containers"))[:1]:
            if image and mapping(container).get("image") != image:
                yield Result("fuse pods", "warning", f"runs {container['image']}, not {image}",
                             "Fluid reads a profile only once: delete and apply the ThinRuntime "
                             "again, or set options in the Dataset")  # fmt: skip


def _image(*bodies: Body | None) -> str:
    image = tag = ""
    for body in bodies:
        fuse = mapping(mapping(mapping(body).get("spec")).get("fuse"))
        image, tag = str(fuse.get("image") or image), str(fuse.get("imageTag") or tag)
    return f"{image}:{tag}" if tag else image


def _pod(kubectl: Kubectl, pod: Body) -> Iterator[Result]:
    name = str(mapping(pod["metadata"]).get("name"))
    node = mapping(pod.get("spec")).get("nodeName")
    statuses = [mapping(s) for s in items(mapping(pod.get("status")).get("containerStatuses"))]
    for status in statuses:
        state = mapping(status.get("state"))
        waiting = mapping(state.get("waiting"))
        last = mapping(mapping(status.get("lastState")).get("terminated"))
        reason = str(waiting.get("reason") or "")
        if last.get("reason") == "OOMKilled":
            yield Result(
                "fuse pods",
                "error",
                f"{name} on {node} was ended: out of memory",
                "raise fuse.resources.limits.memory and recreate the ThinRuntime",
            )
        elif reason in _IMAGE:
            yield Result(
                "fuse pods",
                "error",
                f"{name} on {node}: {reason}: "
                f"{' '.join(str(waiting.get('message') or '').split())}",
                "minikube image load IMAGE, or push it to a registry that nodes reach; "
                "imagePullSecrets for a private one; imagePullPolicy IfNotPresent",
            )
        elif reason == "CrashLoopBackOff":
            yield _crash(kubectl, name, str(node))
        elif reason:
            yield Result("fuse pods", "warning", f"{name} on {node} waits: {reason}",
                         "kubectl describe pod: a missing Secret is a usual cause")  # fmt: skip
        elif not status.get("ready"):
            yield Result("fuse pods", "warning", f"{name} on {node} runs and is not ready",
                         f"kubectl exec {name} -- cv fluid doctor")  # fmt: skip
        else:
            yield Result("fuse pods", "ok", f"{name} on {node}")
    if not statuses:
        yield Result("fuse pods", "warning", f"{name} is not started yet",
                     f"kubectl describe pod {name}")  # fmt: skip


def _crash(kubectl: Kubectl, name: str, node: str) -> Result:
    log = kubectl.log(name, previous=True) or kubectl.log(name, previous=False)
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "GLIBC" in line] or lines[-1:]
    text = errors[-1] if errors else "its log is empty"
    fix = "as the line says"
    if "GLIBC" in text:
        fix = "the image's base is older than what was built for it: Ubuntu 24.04 or Debian 12"
    elif "master" in text.lower():
        fix = (
            "master-endpoints, the master itself, a NetworkPolicy: `cv fluid doctor` in a fuse pod "
            "tells which"
        )
    return Result("fuse pods", "error", f"{name} on {node} crashes: {text}", fix)


def _fluid(kubectl: Kubectl, phase: str) -> Iterator[Result]:
    deployments = kubectl.get("deployments", namespace=FLUID)
    if not deployments:
        yield Result("Fluid", "error", f"nothing is deployed in {FLUID}",
                     "helm install fluid fluid/fluid -n fluid-system")  # fmt: skip
        return
    for deployment in items(deployments):
        name = str(mapping(deployment["metadata"]).get("name"))
        wanted = mapping(deployment.get("spec")).get("replicas", 1)
        ready = mapping(deployment.get("status")).get("readyReplicas") or 0
        if name in ("dataset-controller", "thinruntime-controller", "fluid-webhook"):
            yield _deployment(name, int(wanted), int(ready), phase)
    for daemon in items(kubectl.get("daemonsets", namespace=FLUID)):
        name = str(mapping(daemon["metadata"]).get("name"))
        status = mapping(daemon.get("status"))
        ready, wanted = status.get("numberReady") or 0, status.get("desiredNumberScheduled") or 0
        if "csi" in name:
            good = ready == wanted
            yield Result("Fluid", "ok" if good else "error", f"{name}: {ready} of {wanted} ready",
                         "" if good else f"kubectl get pods -n {FLUID} -o wide")  # fmt: skip


def _deployment(name: str, wanted: int, ready: int, phase: str) -> Result:
    if wanted == 0 and name == "thinruntime-controller" and phase != "Bound":
        return Result("Fluid", "error", f"{name} has 0 replicas",
                      "the dataset controller scales it on demand; if it does not: kubectl -n "
                      f"{FLUID} scale deployment {name} --replicas 1")  # fmt: skip
    if ready < wanted:
        return Result("Fluid", "error", f"{name}: {ready} of {wanted} ready",
                      f"kubectl logs -n {FLUID} deployment/{name}")  # fmt: skip
    return Result("Fluid", "ok", f"{name}: {ready} ready")
