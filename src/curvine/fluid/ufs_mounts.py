# SPDX-License-Identifier: Apache-2.0
"""mountUFS of a CacheRuntime: the mount table becomes what the Dataset lists, no more and no less.

Pure: which mounts to make, to update and to take away. Source: Fluid contract 7.4, 7.5, 7.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from curvine.errors import ConfigError
from curvine.fluid.cache_config import CacheDocument, is_native
from curvine.fluid.runtime_config import DatasetMount
from curvine.fluid.secrets import read_secret
from curvine.model.mount import AccessMode, MountInfo, WriteType
from curvine.model.ufs_keys import SCHEMES

_IGNORED = ("local", "pvc")  # Fluid leaves these to others
# Names as Fluid's samples write them, without their scheme.
_SHORT = {
    "access": "credentials.access", "secret": "credentials.secret", "token": "credentials.token",
    "access-key": "credentials.access", "secret-key": "credentials.secret",
    "endpoint": "endpoint_url", "region": "region_name",
}  # fmt: skip
_OURS = ("write-type", "write_type")


class Wanted(msgspec.Struct, frozen=True):
    """One mount that the Dataset lists."""

    path: str
    uri: str  # "" for a path of this cluster
    fs_path: str = ""
    properties: dict[str, str] = {}
    write_type: WriteType = WriteType.CACHE_MODE
    access_mode: AccessMode = AccessMode.READ_WRITE


class Steps(msgspec.Struct, frozen=True):
    """What there is to do, in this order."""

    unmount: tuple[str, ...]
    mount: tuple[Wanted, ...]
    update: tuple[Wanted, ...]
    directories: tuple[str, ...]  # native mounts: these have to exist


def wanted_mounts(document: CacheDocument, env: Mapping[str, str]) -> tuple[Wanted, ...]:
    """Everything the Dataset lists that is ours to mount; secrets read."""
    found: dict[str, Wanted] = {}
    for mount, secrets in zip(document.mounts, document.secrets, strict=True):
        scheme = mount.mount_point.partition("://")[0].lower()
        if scheme in _IGNORED:
            continue
        path = mount.effective_path
        if path in found:
            raise ConfigError(f"{mount.label}: {path} is listed twice")
        if is_native(mount):
            found[path] = Wanted(path, "", mount.fs_path)
            continue
        if path == "/":
            raise ConfigError(f"{mount.label}: nothing is mounted on /; give it a path or a name")
        found[path] = _of_storage(mount, secrets, scheme, path, document, env)
    return tuple(found.values())


def _of_storage(
    mount: DatasetMount, secrets: Mapping[str, str], scheme: str, path: str,
    document: CacheDocument, env: Mapping[str, str],
) -> Wanted:  # fmt: skip
    properties = {}
    kind = WriteType.CACHE_MODE
    for name, value in mount.options.items():
        if name in _OURS:
            try:
                kind = WriteType[value.strip().upper().replace("-", "_")]
            except KeyError:
                raise ConfigError(f"{mount.label}: {name}: cache_mode or fs_mode") from None
            continue
        if name in secrets:
            value = read_secret(value, name, env)
        properties[property_name(scheme, name)] = value
    read_only = document.read_only or mount.read_only
    return Wanted(
        path, mount.mount_point, "", properties, kind,
        AccessMode.READ_ONLY if read_only else AccessMode.READ_WRITE,
    )  # fmt: skip


def property_name(scheme: str, name: str) -> str:
    """``access`` of s3:// is s3.credentials.access; a full name stays."""
    known = SCHEMES.get(scheme)
    if known is None or name in known.keys or name in known.aliases:
        return name
    family = "s3" if scheme == "s3a" else scheme
    for candidate in (f"{family}.{name}", f"{family}.{_SHORT.get(name.replace('_', '-'), name)}"):
        if candidate in known.keys or candidate in known.aliases:
            return candidate
    return name


def plan_steps(wanted: Sequence[Wanted], table: Sequence[MountInfo]) -> Steps:
    """From what is mounted to what is wanted."""
    there = {row.cv_path: row for row in table}
    storages = {one.path: one for one in wanted if one.uri}
    gone = [
        path for path, row in there.items()
        if path not in storages or not _same(row, storages[path])
    ]  # fmt: skip
    kept = [path for path in storages if path in there and path not in gone]
    return Steps(
        unmount=tuple(gone),
        mount=tuple(one for path, one in storages.items() if path not in kept),
        update=tuple(storages[path] for path in kept),
        directories=tuple(one.fs_path for one in wanted if not one.uri),
    )


def _same(row: MountInfo, wanted: Wanted) -> bool:
    """Whether an update is enough: neither the place nor the kind of a mount can be changed."""
    same_place = row.ufs_path.rstrip("/") == wanted.uri.rstrip("/")
    return same_place and row.write_type is wanted.write_type
