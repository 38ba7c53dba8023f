# SPDX-License-Identifier: Apache-2.0
"""Kubernetes manifests as they lie in files, and what of them belongs together.

Read as ``kubectl`` reads them: YAML 1.1 without timestamps, several documents a file, ``List``
unpacked; a key that stands twice is an error, as it is for an API server with strict validation.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import yaml

from curvine.errors import ConfigError

Body = dict[str, Any]
GROUP = "data.fluid.io/v1alpha1"
CLUSTER_WIDE = ("ThinRuntimeProfile", "CacheRuntimeClass")


class Document(msgspec.Struct, frozen=True):
    """One object of a manifest."""

    kind: str
    name: str
    namespace: str  # "default" where none is written
    body: Body
    source: str  # file and number, for messages

    @property
    def spec(self) -> Body:
        """``spec``, empty when there is none."""
        return mapping(self.body.get("spec"))

    @property
    def annotations(self) -> Body:
        """``metadata.annotations``."""
        return mapping(mapping(self.body.get("metadata")).get("annotations"))

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.kind} {self.name}"


class _Loader(yaml.SafeLoader):
    """Dates stay text, and no key may stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ConfigError(f"line {line}: the key {key.value} stands twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag != "tag:yaml.org,2002:timestamp"]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_manifests(paths: Sequence[str]) -> tuple[Document, ...]:
    """All objects of the files, in order (``-``: stdin). ConfigError names file and line."""
    return tuple(document for path in paths for document in _file(path))


def _file(path: str) -> Iterator[Document]:
    try:
        if path == "-":
            text = sys.stdin.read()
        else:
            with open(path, encoding="utf-8-sig") as file:
                text = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    yield from parse_manifests(text, path)


def parse_manifests(text: str, path: str) -> Iterator[Document]:
    """The objects in ``text``."""
    try:
        bodies = list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line} is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ConfigError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    for number, body in enumerate(bodies, 1):
        if body is not None:
            yield from _objects(body, f"{path}, document {number}" if len(bodies) > 1 else path)


def _objects(body: Any, source: str) -> Iterator[Document]:
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        raise ConfigError(f"{source} is not an object of Kubernetes: it has no kind")
    if body["kind"] == "List":
        for item in body.get("items") or ():
            yield from _objects(item, source)
        return
    metadata = mapping(body.get("metadata"))
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{source}: {body['kind']} has no metadata.name (a text); if it is there, look at the "
            "indentation"
        )
    yield Document(body["kind"], name, str(namespace or "default"), body, source)


def mapping(value: Any) -> Body:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A Dataset with the objects that it takes to serve it."""

    dataset: Document
    runtime: Document
    profile: Document | None  # ThinRuntimeProfile or CacheRuntimeClass
    documents: tuple[Document, ...] = ()

    @property
    def is_cache(self) -> bool:
        """CacheRuntime, not ThinRuntime."""
        return self.runtime.kind == "CacheRuntime"

    def find(self, kind: str, name: str) -> Document | None:
        """An object of the Dataset's namespace, or a cluster-wide one."""
        return find(self.documents, kind, name, self.dataset.namespace)


def find(
    documents: Sequence[Document], kind: str, name: str, namespace: str = "default"
) -> Document | None:
    """The object of that name."""
    for document in documents:
        if document.kind == kind and document.name == name:
            if kind in CLUSTER_WIDE or kind == "PersistentVolume":
                return document
            if document.namespace == namespace:
                return document
    return None


def bundles(documents: Sequence[Document]) -> Iterator[Bundle]:
    """Every Dataset that has its runtime here."""
    for dataset in documents:
        if dataset.kind != "Dataset":
            continue
        for kind, key, profile_kind in (
            ("ThinRuntime", "profileName", "ThinRuntimeProfile"),
            ("CacheRuntime", "runtimeClassName", "CacheRuntimeClass"),
        ):
            runtime = find(documents, kind, dataset.name, dataset.namespace)
            if runtime is not None:
                profile = find(documents, profile_kind, str(runtime.spec.get(key) or ""))
                yield Bundle(dataset=dataset, runtime=runtime, profile=profile,
                             documents=tuple(documents))  # fmt: skip


def choose(documents: Sequence[Document], name: str | None = None) -> Bundle:
    """The Dataset ``name``, or the only one. ConfigError when that is not clear."""
    found = [bundle for bundle in bundles(documents) if name in (None, bundle.dataset.name)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted({bundle.dataset.name for bundle in found}))
        raise ConfigError(f"there are several Datasets ({names}); choose one with --dataset NAME")
    datasets = [d.name for d in documents if d.kind == "Dataset" and name in (None, d.name)]
    if not datasets:
        raise ConfigError(f"there is no Dataset{f' {name}' if name else ''} in these files")
    raise ConfigError(
        f"Dataset {datasets[0]} has no ThinRuntime or CacheRuntime of its name and namespace in "
        "these files; name the runtime's file too"
    )


def secret_value(document: Document, key: str) -> bytes | None:
    """What a Secret holds under ``key``; stringData wins, as it does for the API server."""
    texts, data = mapping(document.body.get("stringData")), mapping(document.body.get("data"))
    if isinstance(texts.get(key), str):
        return str(texts[key]).encode()
    if isinstance(data.get(key), str):
        try:
            return base64.b64decode(data[key], validate=True)
        except ValueError:
            raise ConfigError(f"{document.source}: data.{key} is not base64") from None
    return None
