# SPDX-License-Identifier: Apache-2.0
"""Which of a mount's credentials leave the master, and to whom (decision 11, docs/security.md)."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from curvine.errors import ConfigError
from curvine.model.credentials import EXPOSE, for_others, for_ours
from curvine.model.mount import MountInfo
from curvine.telemetry.logs import OnceLogger
from curvine.ufs.credentials import resolved

_once = OnceLogger(logging.getLogger(__name__))


def told(mount: MountInfo, references: bool) -> MountInfo:
    """A mount as a caller may see it; ``references``: it resolves references itself."""
    properties = mount.properties
    if not properties:
        return mount
    if references:
        return replace(mount, properties=for_ours(properties))
    try:
        return replace(mount, properties=for_others(properties, resolved))
    except ConfigError as error:
        # One mount whose credentials cannot be had here must not hide the others.
        _once.log(logging.WARNING, mount.cv_path, "mount %s: %s", mount.cv_path, error)
        kept = {name: value for name, value in properties.items() if name != EXPOSE}
        return replace(mount, properties=for_others(kept, resolved))
