# SPDX-License-Identifier: Apache-2.0
"""The mount table's rules and the names of S3 properties (control-plane specification 5.15)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from curvine.errors import Common, InvalidArgument
from curvine.model.inode import TtlAction
from curvine.model.mount import AccessMode, MountInfo, MountOptions, WriteType
from curvine.model.path import is_under
from curvine.model.ufs_keys import canonical, missing


def new_mount(cv_path: str, ufs_path: str, options: MountOptions, mount_id: int) -> MountInfo:
    """The row for a new mount. Overlaps are :func:`check_free`'s business."""
    if cv_path == "/":
        raise Common("Nothing can be mounted at the root directory")
    cached = options.write_type is WriteType.CACHE_MODE
    return checked(
        MountInfo(
            cv_path=cv_path,
            ufs_path=ufs_path,
            mount_id=mount_id,
            properties=dict(options.add_properties),
            ttl_ms=options.ttl_ms or 0,
            ttl_action=TtlAction.DELETE if cached else TtlAction.FREE,
            read_verify_ufs=options.read_verify_ufs,
            storage_type=options.storage_type,
            block_size=options.block_size,
            replicas=options.replicas,
            write_type=options.write_type,
            provider=options.provider,
            auto_cache=True if options.auto_cache is None else options.auto_cache,
            access_mode=options.access_mode or AccessMode.READ_ONLY,
            write_cache=bool(options.write_cache),
        )
    )


def updated_mount(mount: MountInfo, options: MountOptions) -> MountInfo:
    """The row with what ``options`` names replaced; write type, paths and id are fixed."""
    properties = {**mount.properties, **_canonical(mount.ufs_path, options.add_properties)}
    for name in options.remove_properties:
        properties.pop(name, None)
    wanted = {
        "ttl_ms": options.ttl_ms,
        "ttl_action": options.ttl_action,
        "storage_type": options.storage_type,
        "block_size": options.block_size,
        "replicas": options.replicas,
        "provider": options.provider,
        "auto_cache": options.auto_cache,
        "access_mode": options.access_mode,
        "write_cache": options.write_cache,
    }
    given = {key: value for key, value in wanted.items() if value is not None}
    return checked(
        replace(mount, properties=properties, read_verify_ufs=options.read_verify_ufs, **given)
    )


def checked(mount: MountInfo) -> MountInfo:
    """The row with canonical properties; Common for a combination that can not work."""
    writable = mount.access_mode is AccessMode.READ_WRITE
    if mount.write_cache and not (writable and mount.write_type is WriteType.CACHE_MODE):
        raise Common(f"{mount.cv_path}: write_cache needs cache_mode and read_write access")
    scheme, separator, _ = mount.ufs_path.partition("://")
    if not separator or not scheme:
        raise Common(f"{mount.ufs_path!r} is not an under-storage URI such as s3://bucket/dir")
    if scheme in {"s3", "s3a"}:
        return replace(mount, properties=s3_properties(mount.ufs_path, mount.properties))
    return mount


def check_free(mounts: tuple[MountInfo, ...], cv_path: str, ufs_path: str) -> None:
    """Common if either path is mounted already, or lies in or around a mounted one."""
    for mount in mounts:
        if cv_path == mount.cv_path or ufs_path == mount.ufs_path:
            raise Common(f"{mount.ufs_path} is already mounted at {mount.cv_path}")
    for mount in mounts:
        if is_under(cv_path, mount.cv_path) or is_under(mount.cv_path, cv_path):
            raise Common(f"{cv_path} overlaps the mount point {mount.cv_path}")
        ours, theirs = ufs_path.rstrip("/"), mount.ufs_path.rstrip("/")
        if is_under(ours, theirs) or is_under(theirs, ours):
            raise Common(f"{ufs_path} overlaps {mount.ufs_path}, mounted at {mount.cv_path}")


def find_mount(mounts: tuple[MountInfo, ...], path: str) -> MountInfo | None:
    """The mount that a Curvine path or an under-storage URI lies in."""
    is_uri = "://" in path
    wanted = path.rstrip("/") if is_uri else path
    for mount in mounts:
        prefix = mount.ufs_path.rstrip("/") if is_uri else mount.cv_path
        if is_under(wanted, prefix):
            return mount
    return None


def s3_properties(ufs_path: str, properties: Mapping[str, str]) -> dict[str, str]:
    """Canonical S3 properties; Common names what is missing or malformed."""
    found = _canonical(ufs_path, properties)
    for name in missing("s3", found):
        raise Common(f"{ufs_path}: the mount property {name} is missing")
    endpoint = urlsplit(found["s3.endpoint_url"])
    if endpoint.scheme not in {"http", "https"} or not endpoint.netloc:
        raise Common(f"{ufs_path}: s3.endpoint_url must be an http or https URL")
    return found


def _canonical(ufs_path: str, properties: Mapping[str, str]) -> dict[str, str]:
    try:
        return canonical(ufs_path.partition("://")[0].lower(), properties)
    except InvalidArgument as error:
        raise Common(f"{ufs_path}: {error}") from None
