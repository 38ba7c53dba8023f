# SPDX-License-Identifier: Apache-2.0
"""Whether a peer's version is welcome: looked at once a connection (data-plane specification 1.2).

Peers that say nothing about themselves are old ones and welcome. Features are never derived from
versions (decision 4).
"""

from __future__ import annotations

import re

from curvine.config.schema_shared import CompatibilityConf
from curvine.errors import Common
from curvine.wire.pb import common_pb2, worker_pb2
from curvine.worker.handlers.sessions import Slot

PROTOCOL = 1
_Opening = (
    worker_pb2.BlockReadRequest | worker_pb2.BlockWriteRequest | worker_pb2.BlocksBatchWriteRequest
)
_VERSION = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)")


class PeerCheck:
    """The rules of [worker.compatibility]."""

    def __init__(self, conf: CompatibilityConf) -> None:
        self._blocked = frozenset(conf.blocked_versions)
        self._enforce = conf.mode == "enforce"
        self._least = _version(conf.min_client_version)

    def greet(self, slot: Slot, opening: _Opening) -> None:
        """Look at who opens a stream, once a connection. Common as for ``check``."""
        if not slot.greeted and opening.HasField("component_info"):
            self.check(opening.component_info)
            slot.greeted = True

    def check(self, peer: common_pb2.ComponentInfoProto) -> None:
        """Common if the peer is not to be served."""
        name = f"{peer.component or 'peer'} {peer.release_version or '(no version)'}"
        if peer.release_version in self._blocked:
            raise Common(f"{name} is blocked by worker.compatibility.blocked_versions")
        if not self._enforce:
            return
        if not peer.min_protocol_version <= PROTOCOL <= peer.protocol_version:
            raise Common(f"{name} does not speak protocol {PROTOCOL}")
        version = _version(peer.release_version)
        if self._least and version and version < self._least:
            raise Common(f"{name} is older than worker.compatibility.min_client_version")


def _version(text: str) -> tuple[int, ...] | None:
    """The numbers of a semantic version; None (no bound) if it is none."""
    match = _VERSION.match(str(text))  # text that is not UTF-8 arrives as bytes
    return tuple(int(part) for part in match.groups()) if match else None
