# SPDX-License-Identifier: Apache-2.0
"""The whole configuration: top-level keys and sections, and what follows from several of them.

Attribute = key of the TOML file; sizes are bytes, durations milliseconds. Source: control-plane
specification 8.2; the other sections are in the schema_* modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from curvine.config.keys import Key, Section, boolean, ignored, shown, table, text
from curvine.config.schema_client import (
    CliConf,
    ClientConf,
    FuseConf,
    FuseMount,
    S3GatewayConf,
)
from curvine.config.schema_server import JobConf, JournalConf, MasterConf, WorkerConf
from curvine.config.schema_shared import (
    AuthConf,
    CompatibilityConf,
    Endpoint,
    JournalPeer,
    LogConf,
)

__all__ = [
    "AuthConf", "CliConf", "ClientConf", "ClusterConf", "CompatibilityConf", "Endpoint", "FuseConf",
    "FuseMount", "JobConf", "JournalConf", "JournalPeer", "LogConf", "MasterConf",
    "S3GatewayConf", "WorkerConf", "differing_defaults", "documented_keys",
]  # fmt: skip

_WIPE = "A start must never erase data by default"
_ANY = ("", "0.0.0.0", "::", "[::]")


class ClusterConf(Section, frozen=True, kw_only=True):
    """Everything a process may want to know; each takes its own sections."""

    format_master: bool = boolean(False, "Erase the master's metadata at start",
        upstream=True, why=_WIPE)  # fmt: skip
    format_worker: bool = boolean(False, "Erase the worker's blocks at start",
        upstream=True, why=_WIPE)  # fmt: skip
    testing: bool = boolean(False, "Test mode")
    cluster_id: str = text("curvine", "Must match between master and workers")
    net_interface: str = text(
        "", "Interface whose IPv4 address becomes the host name of every role"
    )
    auth: AuthConf = table(AuthConf, "Cluster authentication")
    master: MasterConf = table(MasterConf, "The master")
    journal: JournalConf = table(JournalConf, "The log behind the metadata")
    worker: WorkerConf = table(WorkerConf, "Workers")
    client: ClientConf = table(ClientConf, "Clients")
    fuse: FuseConf = table(FuseConf, "The FUSE mount")
    job: JobConf = table(JobConf, "Load and export jobs")
    s3_gateway: S3GatewayConf = table(S3GatewayConf, "The S3 gateway")
    cli: CliConf = table(CliConf, "The cv command")
    log: LogConf = table(LogConf, "Log of processes without one of their own")
    transfer: None = ignored("No effect: the transfer service is not part of this program")
    fault_injection: None = ignored("No effect: faults cannot be injected into this build")

    def client_master_addrs(self) -> tuple[tuple[str, int], ...]:
        """Where clients and workers look for masters."""
        if self.client.master_addrs:
            return tuple((peer.hostname, peer.port) for peer in self.client.master_addrs)
        hosts = [peer.hostname for peer in self.journal.journal_addrs] or [self.master.hostname]
        return tuple((host, self.master.rpc_port) for host in dict.fromkeys(hosts))

    def worker_advertised_host(self) -> str:
        """What the worker reports as its ``ip_addr``: an address at which it really listens."""
        bound = self.worker.bind_host
        return self.worker.hostname if bound in _ANY else bound


class DocumentedKey(NamedTuple):
    """A row of the reference: where a key stands and what it is."""

    name: str  # "fuse.mnt_path"
    key: Key

    @property
    def default(self) -> str:
        """The default as text, machine-dependent ones by what they are on this machine."""
        return shown(self.key, self.key.value())

    @property
    def stated_default(self) -> str:
        """The default as text, machine-dependent ones in words."""
        return self.key.says or self.default


def documented_keys(
    section: type[Section] = ClusterConf, prefix: str = ""
) -> Iterator[DocumentedKey]:
    """Every key in the order of its declaration; tables are walked into."""
    for name, key in section.KEYS.items():
        if key.section is None:
            yield DocumentedKey(prefix + name, key)
        elif key.tables:
            yield DocumentedKey(prefix + name, key)
            yield from documented_keys(key.section, f"{prefix}{name}[].")
        else:
            yield from documented_keys(key.section, f"{prefix}{name}.")


def differing_defaults() -> tuple[DocumentedKey, ...]:
    """The one table of decision 5: keys whose default is not Curvine's, with the reason."""
    return tuple(row for row in documented_keys() if row.key.why)


def key_of(name: str) -> Key | None:
    """The declaration of a dotted key such as "fuse.mnt_path", aliases included."""
    section: Any = ClusterConf
    key: Key | None = None
    for part in name.split("."):
        if section is None or part not in section.NAMES:
            return None
        key = section.KEYS[section.NAMES[part]]
        section = key.section
    return key
