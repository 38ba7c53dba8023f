# SPDX-License-Identifier: Apache-2.0
"""Paths of the cluster as people write them on a command line.

Accepted are ``/a/b``, ``cv://CLUSTER/a/b`` (the name of the cluster is not looked at: --conf says
which it is) and ``curvine:///a/b``, where ``curvine://a/b`` is the same path, as in a Dataset.
Bytes that are not UTF-8 become the wire's escapes (model.path).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from curvine.errors import InvalidPath
from curvine.model.path import name_to_wire, normalize

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType  # not subscriptable in older releases


def cluster_path(text: str) -> str:
    """The normalised path that ``text`` stands for. InvalidPath says how to write it."""
    wire = name_to_wire(os.fsencode(text))
    scheme, mark, rest = wire.partition("://")
    if mark and scheme.lower() == "cv":
        wire = "/" + rest.partition("/")[2]
    elif mark and scheme.lower() == "curvine":
        wire = "/" + rest.lstrip("/")
    if not wire.startswith("/"):
        what = "is a URI of an under storage" if mark else "is not absolute"
        raise InvalidPath(
            f"{text!r} {what}; a path of the cluster is written /a/b or cv://CLUSTER/a/b"
        )
    return normalize(wire)


class _ClusterPath(_TextType):
    """An argument that is a path of the cluster."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return cluster_path(value)
        except InvalidPath as error:
            self.fail(str(error), param, ctx)


class _PathOrUri(_ClusterPath):
    """A path of the cluster, or the URI of something in an under storage, taken as it is."""

    name = "path or uri"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        scheme, mark, _ = value.partition("://")
        if mark and scheme.lower() not in ("cv", "curvine"):
            return value
        return super().convert(value, param, ctx)


CLUSTER_PATH = _ClusterPath()
PATH_OR_URI = _PathOrUri()
