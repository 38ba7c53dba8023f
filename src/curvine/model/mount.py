# SPDX-License-Identifier: Apache-2.0
"""Mounts: a path of the namespace tied to a place in an under storage (UFS).

Source: control-plane specification 5.15, data-plane specification 5.1 and 5.2.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from curvine.model.inode import StorageType, TtlAction
from curvine.model.path import is_under, relative


class WriteType(IntEnum):
    """cache_mode: the UFS is the truth. fs_mode: the namespace is the truth."""

    CACHE_MODE = 0
    FS_MODE = 1


class Provider(IntEnum):
    """Which driver serves the UFS."""

    AUTO = 0
    OSS_HDFS = 1
    OPENDAL = 2


class AccessMode(IntEnum):
    """Whether clients may change a cache_mode mount."""

    READ_ONLY = 0
    READ_WRITE = 1


class MountInfo(msgspec.Struct, frozen=True):
    """One row of the mount table."""

    cv_path: str
    ufs_path: str
    mount_id: int
    properties: dict[str, str] = {}
    ttl_ms: int = 0
    ttl_action: TtlAction = TtlAction.NONE
    read_verify_ufs: bool = False
    storage_type: StorageType | None = None
    block_size: int | None = None
    replicas: int | None = None
    write_type: WriteType = WriteType.CACHE_MODE
    provider: Provider | None = None
    auto_cache: bool = True
    access_mode: AccessMode = AccessMode.READ_ONLY
    write_cache: bool = False


class MountOptions(msgspec.Struct, frozen=True):
    """What a mount call asks for; None leaves a property at its default or as it is."""

    update: bool = False
    add_properties: dict[str, str] = {}
    remove_properties: tuple[str, ...] = ()
    ttl_ms: int | None = None
    ttl_action: TtlAction | None = None
    read_verify_ufs: bool = False
    storage_type: StorageType | None = None
    block_size: int | None = None
    replicas: int | None = None
    write_type: WriteType = WriteType.CACHE_MODE
    provider: Provider | None = None
    auto_cache: bool | None = None
    access_mode: AccessMode | None = None
    write_cache: bool | None = None


def ufs_path_of(mount: MountInfo, path: str) -> str:
    """The UFS URI of ``path``, which lies under the mount."""
    rest = relative(path, mount.cv_path) if path != mount.cv_path else ""
    return _append(mount.ufs_path, rest)


def cv_path_of(mount: MountInfo, uri: str) -> str:
    """The namespace path of ``uri``, which lies under the mount's UFS path."""
    base = mount.ufs_path.rstrip("/")
    rest = uri[len(base) :].strip("/")
    return _append(mount.cv_path, rest)


def mount_of_path(mounts: tuple[MountInfo, ...], path: str) -> MountInfo | None:
    """The mount that ``path`` lies under, if any (mounts never nest)."""
    for mount in mounts:
        if is_under(path, mount.cv_path):
            return mount
    return None


def mount_of_uri(mounts: tuple[MountInfo, ...], uri: str) -> MountInfo | None:
    """The mount whose UFS path holds ``uri``, if any."""
    for mount in mounts:
        base = mount.ufs_path.rstrip("/")
        if uri.rstrip("/") == base or uri.startswith(base + "/"):
            return mount
    return None


def _append(base: str, rest: str) -> str:
    if not rest:
        return base
    return f"{base}{rest}" if base.endswith("/") else f"{base}/{rest}"
