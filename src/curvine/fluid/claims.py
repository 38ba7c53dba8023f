# SPDX-License-Identifier: Apache-2.0
"""``pvc://`` mounts: what the volume behind a claim is, when it is one of Curvine's.

Fluid puts the CSI source of the claim's volume into the document. A volume of Curvine's CSI driver
names the masters (``master-addrs``) and a path (``curvine-path``, else ``fs-path``); any other
cannot be mounted from here. Source: Fluid contract 1.5; what Curvine's CSI controller stores in a
volume's context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from curvine.errors import ConfigError
from curvine.fluid.runtime_config import DatasetMount, RuntimeConfig

SCHEME = "pvc"
_MASTERS = "master-addrs"
_PATHS = ("curvine-path", "fs-path")
# Attributes that are for the driver, for Kubernetes or for people, and no options of a mount.
_NOT_OPTIONS = frozenset((_MASTERS, *_PATHS, "path-type", "author", "volume-handle", "mnt-path"))


class Volume(NamedTuple):
    """A Curvine volume as a mount would be written."""

    fs_path: str
    options: dict[str, str]  # below the Dataset's own
    read_only: bool


def resolved(mount: DatasetMount, config: RuntimeConfig) -> DatasetMount:
    """A mount of a claim as the mount of the Curvine path that its volume is; others as they are.

    The Dataset's own options win over the volume's.
    """
    claim = claim_of(mount.mount_point)
    if claim is None:
        return mount
    try:
        volume = curvine_volume(claim, config.volume_attributes, config.volume_options.get(claim))
    except ConfigError as error:
        raise ConfigError(f"{mount.label}: {error}") from None
    return msgspec.structs.replace(
        mount,
        mount_point=f"curvine:///{volume.fs_path.lstrip('/')}",
        options=volume.options | mount.options,
        name=mount.name or claim,
        read_only=mount.read_only or volume.read_only,
    )


def claim_of(mount_point: str) -> str | None:
    """The claim that ``mount_point`` names, or None. It is everything behind ``pvc://``."""
    scheme, mark, claim = mount_point.partition("://")
    return claim if mark and scheme.lower() == SCHEME else None


def curvine_volume(claim: str, sources: Mapping[str, Any], mount_options: Any) -> Volume:
    """The volume of ``claim``. ConfigError for volumes of others.

    ``sources`` are the document's persistentVolumeAttrs, ``mount_options`` what its
    persistentVolumeMountOptions has for this claim.
    """
    source = sources.get(claim)
    if not isinstance(source, dict):
        raise ConfigError(
            f"pvc://{claim}: persistentVolumeAttrs has nothing about this claim; is it bound to a "
            "CSI volume?"
        )
    given = source.get("volumeAttributes") or {}
    if not isinstance(given, dict):
        raise ConfigError(f"pvc://{claim}: volumeAttributes must be a JSON object")
    attributes = {name: value for name, value in given.items() if isinstance(value, str)}
    masters = attributes.get(_MASTERS, "")
    path = next((attributes[name] for name in _PATHS if attributes.get(name)), "")
    if not masters or not path:
        raise ConfigError(
            f"pvc://{claim}: its volume (driver {source.get('driver')!r}) is not one of Curvine's, "
            f"whose attributes are {_MASTERS} and {' or '.join(reversed(_PATHS))}; mount the "
            "storage behind it in Curvine with `cv mount`, and write curvine:///path here"
        )
    options = {
        name: value
        for name, value in attributes.items()
        if name not in _NOT_OPTIONS and "/" not in name
    }
    read_only = source.get("readOnly") is True
    read_only = read_only or (isinstance(mount_options, list) and "ro" in mount_options)
    return Volume(path, options | {"master-endpoints": masters}, read_only)
