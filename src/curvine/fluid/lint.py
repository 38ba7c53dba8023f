# SPDX-License-Identifier: Apache-2.0
"""Mistakes in manifests that leave a Dataset NotBound or break its mount, found before ``apply``.

Each finding says where, what, and how to put it right. An error is something that cannot work;
a warning is likely not meant; a note is advice. Sources: Fluid contract 1 to 5, 7, 8, 9.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from curvine.errors import ConfigError
from curvine.fluid.lint_fields import shape_findings
from curvine.fluid.manifests import (
    GROUP,
    Body,
    Bundle,
    Document,
    bundles,
    find,
    items,
    mapping,
    secret_value,
)
from curvine.fluid.mount_plan import make_plan
from curvine.fluid.rendering import secret_keys, thin_config, thin_environment
from curvine.fluid.runtime_config import parse_config
from curvine.fluid.secrets import is_secret

Level = Literal["error", "warning", "note"]
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
# Types whose volumes Fluid looks for under other names (Fluid contract 3.4).
_RESERVED = ("fuse.alluxio-fuse", "fuse.jindofs-fuse", "JuiceFS", "alluxio", "jindo", "juicefs")
_WEB_PORTS = (9000, 9001, 8080)


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    level: Level
    source: str
    subject: str  # "Dataset curvine-dataset"
    problem: str
    fix: str


def lint(documents: Sequence[Document]) -> list[Finding]:
    """Everything that is wrong, in the order of the documents."""
    found: list[Finding] = []
    for document in documents:
        found += (
            Finding("error", document.source, document.label, problem, fix)
            for problem, fix in shape_findings(document)
        )
        check = _CHECKS.get(document.kind)
        if check is not None:
            found += check(document, documents)
    found += _duplicates(documents)
    for bundle in bundles(documents):
        if not bundle.is_cache and not any(f.level == "error" for f in found):
            found += _mount_plan(bundle)
    return found


def _duplicates(documents: Sequence[Document]) -> Iterator[Finding]:
    counts = Counter((d.kind, d.namespace, d.name) for d in documents)
    for (kind, namespace, name), count in counts.items():
        if count > 1:
            last = [
                d for d in documents if (d.kind, d.namespace, d.name) == (kind, namespace, name)
            ]
            yield Finding(
                "error", last[-1].source, f"{kind} {name}",
                f"is written {count} times in namespace {namespace}; the last one would win",
                "keep one of them",
            )  # fmt: skip


def _dataset(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    def say(level: Level, problem: str, fix: str) -> Finding:
        return Finding(level, document.source, document.label, problem, fix)

    yield from _name(document)
    modes = items(document.spec.get("accessModes"))
    for mode in modes:
        if mode not in _MODES:
            near = difflib.get_close_matches(str(mode), _MODES, 1)
            yield say("error", f"accessModes has {mode!r}, which is none",
                      f"write {near[0]}" if near else f"one of {', '.join(_MODES)}")  # fmt: skip
    if len(modes) > 1 and modes[0] == "ReadOnlyMany":
        yield say("warning", "the first access mode is ReadOnlyMany, so pods get it read-only",
                  "put the mode that writes first, or leave only one")  # fmt: skip
    runtimes = [
        d for d in documents if d.kind in ("ThinRuntime", "CacheRuntime")
        and (d.name, d.namespace) == (document.name, document.namespace)
    ]  # fmt: skip
    mounts = [mapping(item) for item in items(document.spec.get("mounts"))]
    reference = any(str(m.get("mountPoint")).startswith("dataset://") for m in mounts)
    if reference:
        if len(mounts) > 1:
            yield say("error", "a dataset:// mount has to be the only one",
                      "one Dataset for each reference")  # fmt: skip
        return
    if len(runtimes) > 1:
        yield say("error", "has a ThinRuntime and a CacheRuntime", "keep one of them")
    if not runtimes:
        runtimes = [d for d in documents if d.kind in ("ThinRuntime", "CacheRuntime")]
        others = _without_partner(runtimes, "Dataset", documents)
        yield say(
            "error" if runtimes else "warning",
            "stays NotBound: no ThinRuntime has its name and namespace in these files"
            + (f" (there is {others[0].namespace}/{others[0].name})" if others else ""),
            f"a ThinRuntime with metadata.name {document.name} in namespace {document.namespace}",
        )
    yield from _mounts(document, mounts, runtimes, documents)


def _without_partner(
    candidates: Sequence[Document], kind: str, documents: Sequence[Document]
) -> list[Document]:
    """Those for which no object of ``kind`` has the same name and namespace."""
    return [d for d in candidates if find(documents, kind, d.name, d.namespace) is None]


def _mounts(
    document: Document,
    mounts: list[Body],
    runtimes: Sequence[Document],
    documents: Sequence[Document],
) -> Iterator[Finding]:
    def say(level: Level, problem: str, fix: str) -> Finding:
        return Finding(level, document.source, document.label, problem, fix)

    names = Counter(str(mount.get("name") or "") for mount in mounts)
    for name, count in names.items():
        if count > 1:
            called = f"are called {name}" if name else "have no name"
            yield say("error", f"stays NotBound: {count} mounts {called}",
                      "give every mount a name of its own")  # fmt: skip
    paths = Counter(str(m.get("path") or f"/{m.get('name') or ''}") for m in mounts)
    for path, count in paths.items():
        if count > 1:
            yield say("error", f"stays NotBound: {count} mounts appear at {path}",
                      "give them different paths")  # fmt: skip
    for mount in mounts:
        point = str(mount.get("mountPoint") or "")
        if point and len(point) < 5:
            yield say("error", f"mountPoint {point!r} is refused: it needs five characters",
                      "write curvine:///path")  # fmt: skip
    if sum(str(m.get("mountPoint")).startswith("pvc://") for m in mounts) > 1:
        yield say("error", "has more than one pvc:// mount; Fluid's setup fails",
                  "one Dataset for each claim")  # fmt: skip
    for mount in ({"encryptOptions": document.spec.get("sharedEncryptOptions")}, *mounts):
        plain = mapping(mount.get("options"))
        for option, name, key in secret_keys(mount.get("encryptOptions")):
            yield from _secret(document, option, name, key, documents)
            if option in plain:
                yield say("warning", f"option {option} is plain and encrypted; the secret wins",
                          "remove the plain one")  # fmt: skip
        for option in plain:
            if re.search(r"secret|token|passw|access.?key", str(option), re.IGNORECASE):
                yield say("warning", f"option {option} holds a credential in plain text",
                          "put it into a Secret and name it under encryptOptions")  # fmt: skip
    thin = any(runtime.kind == "ThinRuntime" for runtime in runtimes)
    if thin and (document.spec.get("nodeAffinity") or document.spec.get("placement")):
        yield say("note", "placement and nodeAffinity have no effect on a ThinRuntime",
                  "use ThinRuntime spec.fuse.nodeSelector")  # fmt: skip


def _secret(
    document: Document, option: str, name: str, key: str, documents: Sequence[Document]
) -> Iterator[Finding]:
    secret = find(documents, "Secret", name, document.namespace)
    if secret is None:
        elsewhere = [d for d in documents if d.kind == "Secret" and d.name == name]
        if elsewhere:
            yield Finding(
                "error", document.source, document.label,
                f"option {option}: Secret {name} is in namespace {elsewhere[0].namespace}; pods "
                "would wait in ContainerCreating",
                f"a Secret of that name in namespace {document.namespace}",
            )  # fmt: skip
        return
    try:
        missing = secret_value(secret, key) is None
    except ConfigError as error:
        yield Finding("error", secret.source, secret.label, str(error), "encode it, or stringData")
        return
    if missing:
        yield Finding("error", document.source, document.label,
                      f"option {option}: Secret {name} has no key {key}",
                      "add the key, or correct its name")  # fmt: skip


def _name(document: Document) -> Iterator[Finding]:
    if not _LABEL.fullmatch(document.name):
        yield Finding(
            "error", document.source, document.label,
            "stays NotBound: the name is no DNS-1035 label",
            "lower-case letters, digits and dashes, a letter first, at most 63",
        )  # fmt: skip
    if document.body.get("apiVersion") not in (None, GROUP):
        yield Finding("error", document.source, document.label,
                      f"apiVersion is {document.body['apiVersion']}", f"write {GROUP}")  # fmt: skip


def _runtime(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    def say(level: Level, problem: str, fix: str) -> Finding:
        return Finding(level, document.source, document.label, problem, fix)

    yield from _name(document)
    if find(documents, "Dataset", document.name, document.namespace) is None:
        datasets = [d for d in documents if d.kind == "Dataset"]
        others = _without_partner(datasets, "ThinRuntime", documents)
        near = others[0] if others else None
        yield say(
            "error" if datasets else "warning",
            "no Dataset has its name and namespace"
            + (f" (there is {near.namespace}/{near.name})" if near else " in these files"),
            f"call both {near.name if near else document.name}, in one namespace",
        )
    profile = document.spec.get("profileName")
    profiles = [d.name for d in documents if d.kind == "ThinRuntimeProfile"]
    if not profile:
        yield say("error", "has no profileName, so Fluid takes it for a reference dataset",
                  f"profileName: {profiles[0] if profiles else 'curvine-profile'}")  # fmt: skip
    elif profile not in profiles:
        yield say(
            "error" if profiles else "note",
            f"ThinRuntimeProfile {profile} is not in these files"
            + (f"; there is {', '.join(profiles)}" if profiles else ""),
            "apply the profile first, or correct profileName",
        )
    if mapping(document.spec.get("worker")).get("enabled"):
        yield say("warning", "worker.enabled does nothing in Fluid 1.0.8 and later; setup fails",
                  "run workers of their own (deploy/helm/curvine) or a CacheRuntime")  # fmt: skip
    yield from _fuse(document)


def _profile(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    def say(level: Level, problem: str, fix: str) -> Finding:
        return Finding(level, document.source, document.label, problem, fix)

    kind = document.spec.get("fileSystemType")
    if kind in _RESERVED:
        yield say("error", f"fileSystemType {kind} belongs to another runtime", "write fuse")
    elif kind and kind not in "fuse.curvinefs-thin" and kind not in "thin-fuse":
        yield say("error", f"fileSystemType {kind} is not in the type of our mount, so pods would "
                  "hang in ContainerCreating", "write fuse")  # fmt: skip
    fuse = mapping(document.spec.get("fuse"))
    if not fuse.get("image"):
        yield say("error", "has no fuse.image", "fluid-cloudnative/curvine-thinruntime")
    if fuse.get("imageTag") in (None, "", "latest"):
        yield say("note", "the image has no fixed version", "imageTag: v1.0.0")
    if fuse.get("nodeSelector"):
        yield say("warning", "Fluid ignores the profile's fuse.nodeSelector",
                  "set it in the ThinRuntime")  # fmt: skip
    if fuse.get("cleanPolicy"):
        yield say("warning", "Fluid ignores the profile's fuse.cleanPolicy",
                  "set it in the ThinRuntime")  # fmt: skip
    yield from _fuse(document)


def _fuse(document: Document) -> Iterator[Finding]:
    def say(level: Level, problem: str, fix: str) -> Finding:
        return Finding(level, document.source, document.label, problem, fix)

    fuse = mapping(document.spec.get("fuse"))
    if mapping(fuse.get("lifecycle")).get("postStart"):
        yield say("error", "fuse.lifecycle.postStart makes Fluid's setup fail", "remove it")
    if fuse.get("livenessProbe"):
        yield say("warning", "a livenessProbe kills the mount of every pod on a slow day",
                  'use a readinessProbe with ["curvine-ready"]')  # fmt: skip
    for item in items(fuse.get("env")):
        variable = mapping(item)
        if "value" in variable and not isinstance(variable["value"], str):
            value = variable["value"]
            shown = str(value).lower() if isinstance(value, bool) else value
            yield say("error", f"env {variable.get('name')} is not a text, so the API server "
                      "refuses it", f'value: "{shown}"')  # fmt: skip
    host_ports = [p for p in items(fuse.get("ports")) if mapping(p).get("hostPort")]
    if host_ports:
        yield say("warning", "a hostPort lets only one Dataset run on a node", "leave it out")


def _claims(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    datasets = [d for d in documents if d.kind == "Dataset"]
    template = mapping(document.spec.get("template"))
    pod = mapping(template.get("spec")) if document.kind != "Pod" else document.spec
    for volume in items(pod.get("volumes")):
        claim = mapping(mapping(volume).get("persistentVolumeClaim")).get("claimName")
        if not claim or not datasets or find(documents, "PersistentVolumeClaim", str(claim),
                                             document.namespace):  # fmt: skip
            continue
        if not any((d.name, d.namespace) == (claim, document.namespace) for d in datasets):
            yield Finding(
                "warning", document.source, document.label,
                f"claimName {claim} is no Dataset of namespace {document.namespace} in these files",
                f"claimName: {datasets[0].name}, in namespace {datasets[0].namespace}",
            )  # fmt: skip


def _operation(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    wanted = mapping(document.spec.get("dataset"))
    name = str(wanted.get("name"))
    namespace = str(wanted.get("namespace") or document.namespace)
    if find(documents, "ThinRuntime", name, namespace) is not None:
        yield Finding(
            "error", document.source, document.label,
            "Fluid refuses it for a ThinRuntime",
            "a DataProcess that runs `cv load` (deploy/fluid/warmup-dataprocess.yaml)",
        )  # fmt: skip


def _cache_class(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    def say(level: Level, problem: str, fix: str) -> Finding:
        return Finding(level, document.source, document.label, problem, fix)

    topology = mapping(document.body.get("topology"))
    for role in ("master", "worker", "client"):
        part = mapping(topology.get(role))
        if not part:
            yield say("error", f"topology.{role} is missing; Fluid's controller crashes or waits",
                      f"define topology.{role}")  # fmt: skip
            continue
        if role != "client" and "headless" not in mapping(part.get("service")):
            yield say("error", f"topology.{role} has no service, so it has no name in DNS",
                      "service: {headless: {}}")  # fmt: skip
        for entry, value in mapping(part.get("executionEntries")).items():
            if entry not in ("mountUFS", "reportSummary"):
                yield say("error", f"executionEntries.{entry} is unknown and dropped",
                          "mountUFS and reportSummary are spelled so")  # fmt: skip
            reason = guard_refuses(items(mapping(value).get("command")))
            if reason:
                yield say("error", f"executionEntries.{entry}: Fluid refuses the command: {reason}",
                          "name an executable, e.g. /opt/curvine/mountUfs.sh")  # fmt: skip


def _cache_runtime(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    yield from _name(document)
    wanted = document.spec.get("runtimeClassName")
    classes = [d.name for d in documents if d.kind == "CacheRuntimeClass"]
    if classes and wanted not in classes:
        yield Finding("error", document.source, document.label,
                      f"CacheRuntimeClass {wanted} is not in these files",
                      f"runtimeClassName: {classes[0]}")  # fmt: skip
    if find(documents, "Dataset", document.name, document.namespace) is None:
        yield Finding("warning", document.source, document.label,
                      "no Dataset has its name and namespace in these files",
                      "call both the same")  # fmt: skip


def guard_refuses(command: Sequence[Any]) -> str:
    """Why Fluid's command guard refuses to run ``command``; "" when it does not (contract 7.6)."""
    words = [str(word) for word in command]
    if not words:
        return "it is empty"
    if words[0] in ("bash", "sh"):
        if len(words) != 3 or words[1] != "-c":
            return f'{words[0]} is only allowed as ["{words[0]}", "-c", "<script>"]'
        script = words[2]
        bad = [mark for mark in ("&", ";", "$", "'", "`", "(", ")", "||", ">>") if mark in script]
        return f"the script contains {' '.join(bad)}" if bad else ""
    bad = [mark for mark in "&|;$'`()>" if any(mark in word for word in words)]
    return f"it contains {' '.join(bad)}" if bad else ""


def _mount_plan(bundle: Bundle) -> Iterator[Finding]:
    """What the image's own parser would say about the configuration that Fluid renders."""
    dataset = bundle.dataset
    if any(
        str(mapping(m).get("mountPoint")).startswith(("dataset://", "pvc://"))
        for m in items(dataset.spec.get("mounts"))
    ):
        return
    try:
        config = thin_config(bundle)
        env = thin_environment(bundle)
        for mount in config["mounts"]:
            options = mount.get("options", {})
            for name in [name for name, value in options.items() if is_secret(value)]:
                if name == "master-endpoints":
                    options[name] = "secret:1"
                else:
                    del options[name]
        rendered = msgspec.json.encode(config)
        plan = make_plan(parse_config(rendered, dataset.source), env)
    except ConfigError as error:
        text = str(error).removeprefix(f"{dataset.source}: ")
        fix = "an option of the mount: master-endpoints: host:8995" if "master-end" in text else ""
        yield Finding("error", dataset.source, dataset.label, f"the mount fails: {text}",
                      fix or "correct it as the message says")  # fmt: skip
        return
    for warning in plan.warnings:
        yield Finding("warning", dataset.source, dataset.label, warning, "correct or remove it")
    for place in plan.places:
        for host, port in place.masters:
            if port in _WEB_PORTS:
                yield Finding("warning", dataset.source, dataset.label,
                              f"{host}:{port} is the usual port of a web page, not of the RPC",
                              f"{host}:8995")  # fmt: skip
            if host in ("localhost", "127.0.0.1", "::1"):
                yield Finding("warning", dataset.source, dataset.label,
                              f"{host} is the node (or pod) itself, on every node",
                              "the master's address as nodes see it")  # fmt: skip


_CHECKS = {
    "Dataset": _dataset,
    "ThinRuntime": _runtime,
    "ThinRuntimeProfile": _profile,
    "CacheRuntime": _cache_runtime,
    "CacheRuntimeClass": _cache_class,
    **dict.fromkeys(("Pod", "Job", "Deployment", "StatefulSet", "DaemonSet"), _claims),
    "DataLoad": _operation,
    "DataMigrate": _operation,
    "DataBackup": _operation,
}
