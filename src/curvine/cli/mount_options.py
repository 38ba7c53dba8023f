# SPDX-License-Identifier: Apache-2.0
"""From the options of ``cv mount`` to what the master is asked (control-plane 5.15, 8.13).

An update sends back what the mount has wherever an option was not given: masters take ttl_ms,
ttl_action and read_verify_ufs as they come, so leaving them out, or sending a tool's defaults as
upstream does, would change them.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import click
import msgspec

from curvine.errors import InvalidArgument
from curvine.model.inode import StorageType, TtlAction
from curvine.model.mount import AccessMode, MountInfo, MountOptions, Provider, WriteType
from curvine.model.path import normalize
from curvine.units import parse_duration, parse_size

DEFAULT_TTL_MS = 7 * 86_400_000


class Wish(msgspec.Struct):
    """What was given on the command line; None = not given."""

    properties: dict[str, str]
    read_verify_ufs: bool | None = None
    ttl_ms: str | None = None
    replicas: int | None = None
    block_size: str | None = None
    storage_type: str | None = None
    write_type: str | None = None
    provider: str | None = None
    auto_cache: bool | None = None
    access_mode: str | None = None
    write_cache: bool | None = None

    def of_a_new_mount(self) -> MountOptions:
        """Options of a mount that is not there yet: the tool's defaults where nothing is given."""
        kind = WriteType[(self.write_type or "fs_mode").upper()]
        asked = self._asked(kind)
        return msgspec.structs.replace(
            asked,
            ttl_ms=DEFAULT_TTL_MS if asked.ttl_ms is None else asked.ttl_ms,
            ttl_action=TtlAction.DELETE if kind is WriteType.CACHE_MODE else TtlAction.FREE,
            read_verify_ufs=bool(self.read_verify_ufs),
        )

    def update_of(self, row: MountInfo) -> MountOptions:
        """Options that change what is given and leave the rest of ``row`` as it is."""
        if self.write_type is not None and WriteType[self.write_type.upper()] is not row.write_type:
            raise InvalidArgument(
                f"the write type of {row.cv_path} is {row.write_type.name.lower()} and cannot be "
                f"changed; `cv umount {row.cv_path}` and mount it again"
            )
        asked = self._asked(row.write_type)
        verify = row.read_verify_ufs if self.read_verify_ufs is None else self.read_verify_ufs
        return msgspec.structs.replace(
            asked,
            update=True,
            ttl_ms=row.ttl_ms if asked.ttl_ms is None else asked.ttl_ms,
            ttl_action=row.ttl_action,
            read_verify_ufs=verify,
        )

    def _asked(self, kind: WriteType) -> MountOptions:
        return MountOptions(
            add_properties=self.properties,
            ttl_ms=_parsed("--ttl-ms", self.ttl_ms, parse_duration),
            storage_type=StorageType[self.storage_type.upper()] if self.storage_type else None,
            block_size=_parsed("--block-size", self.block_size, parse_size),
            replicas=self.replicas,
            write_type=kind,
            provider=Provider[self.provider.replace("-", "_").upper()] if self.provider else None,
            auto_cache=self.auto_cache,
            access_mode=AccessMode[self.access_mode.upper()] if self.access_mode else None,
            write_cache=self.write_cache,
        )


def parse_properties(rows: object) -> dict[str, str]:
    """KEY=VALUE texts as a dictionary. Values are never shown: they may be secrets."""
    result: dict[str, str] = {}
    for row in msgspec.convert(rows, tuple[str, ...]):
        key, equals, value = row.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"-c {key}: write KEY=VALUE")
        result[key.strip()] = value
    return result


def canonical_uri(uri: str) -> str:
    """A whole bucket is stored with a slash at its end, everything else without."""
    parts = urlsplit(uri)
    if not parts.scheme or "://" not in uri:
        raise InvalidArgument(f"{uri!r} has no scheme; write for example file:///srv/data")
    if parts.path in ("", "/"):
        return f"{parts.scheme}://{parts.netloc}/"
    return uri.rstrip("/")


def check_consistent(uri: str, path: str) -> None:
    """Upstream's rule: the path in the URI with its bucket equals the Curvine path."""
    parts = urlsplit(uri)
    expected = normalize("/" + "/".join(p for p in (parts.netloc, parts.path.strip("/")) if p))
    if expected != path:
        raise InvalidArgument(
            f"{uri} would be at {expected}, not at {path}; "
            "to mount it elsewhere say --check-path-consist false"
        )


def _parsed(option: str, text: str | None, parse: Callable[[str | int], int]) -> int | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{option}: {error}") from None
