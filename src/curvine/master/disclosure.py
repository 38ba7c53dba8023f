# SPDX-License-Identifier: Apache-2.0
"""Which of a mount's credentials leave the master, and to whom (decision 11, docs/security.md)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets

from msgspec.structs import replace

from curvine.errors import ConfigError
from curvine.model.credentials import EXPOSE, MASTER, for_others, for_ours, literal_secrets
from curvine.model.mount import MountInfo
from curvine.telemetry.logs import OnceLogger
from curvine.ufs.credentials import resolved

_once = OnceLogger(logging.getLogger(__name__))

_MARKS = secrets.token_bytes(32)  # marks tell a value from another one, and nothing about it
_MARK = 16  # characters


def told(mount: MountInfo, references: bool) -> MountInfo:
    """A mount as a caller may see it; ``references``: it resolves references itself."""
    properties = mount.properties
    if not properties:
        return mount
    if references:
        return replace(mount, properties=for_ours(properties, lambda value: _mark(mount, value)))
    try:
        return replace(mount, properties=for_others(properties, resolved))
    except ConfigError as error:
        # One mount whose credentials cannot be had here must not hide the others.
        _once.log(logging.WARNING, mount.cv_path, "mount %s: %s", mount.cv_path, error)
        kept = {name: value for name, value in properties.items() if name != EXPOSE}
        return replace(mount, properties=for_others(kept, resolved))


def kept_secrets(mount: MountInfo) -> dict[str, str]:
    """The values that references to the master stand for."""
    return {name: mount.properties[name] for name in literal_secrets(mount.properties)}


def _mark(mount: MountInfo, value: str) -> str:
    mark = hmac.new(_MARKS, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"{MASTER}{mount.mount_id}.{mark[:_MARK]}"
