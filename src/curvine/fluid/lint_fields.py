# SPDX-License-Identifier: Apache-2.0
"""Which fields Fluid's objects have, and of what type: an unknown one is dropped by the API server.

Only what people write by hand; deeper Kubernetes types (pods, probes, volumes) are left to the API
server, or to Fluid's CRDs. Source: Fluid's API v1alpha1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from curvine.fluid.manifests import Document

# A field's type: a Python type, {"*": type} for a map, [shape] for a list, a dict for an object;
# ANY for what is not looked into. A name that ends in "!" is required.
ANY = object
TEXTS = {"*": str}
Shape = Any

_SECRET_OPTION = {"name!": str, "valueFrom": {"secretKeyRef": {"name!": str, "key!": str}}}
_MOUNT = {
    "mountPoint!": str, "name": str, "path": str, "readOnly": bool, "shared": bool,
    "options": TEXTS, "encryptOptions": [_SECRET_OPTION],
}  # fmt: skip
_VARIABLE = {"name!": str, "value": str, "valueFrom": ANY}
_FUSE = {
    "image": str, "imageTag": str, "imagePullPolicy": str, "imagePullSecrets": [ANY],
    "ports": [ANY], "env": [_VARIABLE], "command": [str], "args": [str], "options": TEXTS,
    "resources": {"requests": ANY, "limits": ANY, "claims": ANY}, "nodeSelector": TEXTS,
    "cleanPolicy": str, "networkMode": str, "livenessProbe": ANY, "readinessProbe": ANY,
    "volumeMounts": [ANY], "lifecycle": ANY, "podMetadata": {"labels": TEXTS, "annotations": TEXTS},
}  # fmt: skip
_COMPONENT = {
    "disabled": bool, "replicas": int, "options": TEXTS, "runtimeVersion": ANY, "resources": ANY,
    "env": [_VARIABLE], "args": [str], "volumeMounts": [ANY], "nodeSelector": TEXTS,
    "tolerations": [ANY], "podMetadata": ANY, "tieredStore": {"levels": [ANY]}, "cleanPolicy": str,
}  # fmt: skip
_PART = {
    "options": TEXTS, "template": ANY, "service": ANY, "dependencies": ANY, "executionEntries": ANY,
}  # fmt: skip
SPECS: Mapping[str, Shape] = {
    "Dataset": {
        "mounts": [_MOUNT], "accessModes": [str], "sharedOptions": TEXTS,
        "sharedEncryptOptions": [_SECRET_OPTION], "owner": ANY, "nodeAffinity": ANY,
        "tolerations": [ANY], "placement": str, "runtimes": ANY, "dataRestoreLocation": ANY,
    },
    "ThinRuntime": {
        "profileName": str, "worker": ANY, "fuse": _FUSE, "tieredstore": {"levels": [ANY]},
        "replicas": int, "runAs": ANY, "disablePrometheus": bool, "volumes": [ANY],
        "management": ANY, "imagePullSecrets": [ANY],
    },
    "ThinRuntimeProfile": {
        "fileSystemType!": str, "worker": ANY, "fuse": _FUSE, "volumes": [ANY],
        "nodePublishSecretPolicy": str, "imagePullSecrets": [ANY],
    },
    "CacheRuntime": {
        "runtimeClassName!": str, "master": _COMPONENT, "worker": _COMPONENT,
        "client": _COMPONENT, "options": TEXTS, "volumes": [ANY], "podMetadata": ANY,
        "imagePullSecrets": [ANY],
    },
}  # fmt: skip
_CLASS = {
    "fileSystemType!": str, "apiVersion": str, "kind": str, "metadata": ANY,
    "topology": {"master": _PART, "worker": _PART, "client": _PART},
    "extraResources": ANY, "dataOperationSpecs": [ANY],
}  # fmt: skip
_TYPES = {str: "a text", bool: "true or false", int: "a number"}


def shape_findings(document: Document) -> Iterator[tuple[str, str]]:
    """(problem, fix) for every field that is unknown, missing or of a wrong type."""
    if document.kind == "CacheRuntimeClass":
        yield from _check(document.body, _CLASS, "")
    elif document.kind in SPECS:
        known = {"apiVersion": str, "kind": str, "metadata": ANY, "status": ANY,
                 "spec": SPECS[document.kind]}  # fmt: skip
        yield from _check(document.body, known, "")
        if "spec" not in document.body:
            yield from _check({}, SPECS[document.kind], "spec.")


def _check(value: Any, shape: Shape, where: str) -> Iterator[tuple[str, str]]:
    if shape is ANY or value is None:
        return
    at = where.rstrip(".")
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{at} is not an object", "indent what belongs to it"
            return
        yield from _object(value, shape, where)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{at} is not a list", f"begin its entries with a dash: {_shown(value, at)}"
            return
        for number, item in enumerate(value):
            yield from _check(item, shape[0], f"{at}[{number}].")
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        fix = f'put it into quotes: "{str(value).lower() if isinstance(value, bool) else value}"'
        yield (f"{at} is {type(value).__name__} and not {_TYPES[shape]}; the API server refuses it",
               fix if shape is str else f"write {_TYPES[shape]}")  # fmt: skip


def _object(value: dict[Any, Any], shape: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    if "*" in shape:
        for name, item in value.items():
            yield from _check(item, shape["*"], f"{where}{name}.")
        return
    known = {name.rstrip("!"): item for name, item in shape.items()}
    for name, item in value.items():
        if name in known:
            yield from _check(item, known[name], f"{where}{name}.")
            continue
        near = difflib.get_close_matches(str(name), known, 1)
        fix = f"did you mean {near[0]}?" if near else "remove it, or look at its indentation"
        yield f"{where}{name} is not a field of it and is dropped or refused", fix
    for name in shape:
        if name.endswith("!") and value.get(name[:-1]) in (None, ""):
            yield f"{where}{name[:-1]} is missing", "add it"


def _shown(value: Any, at: str) -> str:
    name = at.rpartition(".")[2]
    return f"{name}: [{value}]" if isinstance(value, str | int) else f"{name}: [...]"
