# SPDX-License-Identifier: Apache-2.0
"""Sections that others contain: logs, compatibility, addresses; and defaults of this machine.

Source: control-plane specification 8.3 (host names), 8.4, 8.5 (journal_addrs), 8.10 (LogConf).
"""

from __future__ import annotations

import os
from typing import Any

from curvine.config.keys import (
    Section,
    boolean,
    duration,
    integer,
    parse_text,
    port,
    text,
    texts,
)


def node_name() -> str:
    """This node's name: what upstream calls "localhost" on every node (decision 5)."""
    return os.uname().nodename


NODE_NAME: dict[str, Any] = {"factory": node_name, "says": "the node's name"}


def threads_at_least(minimum: int) -> dict[str, Any]:
    """Curvine's default max(minimum, 2 x CPU), as options of a key."""
    return {
        "factory": lambda: max(minimum, 2 * (os.cpu_count() or 1)),
        "says": f"{minimum}, or twice the CPUs if more",
    }


class LogConf(Section, frozen=True, kw_only=True):
    """Where a process writes what it did."""

    level: str = text("info", "Least severity written", choices=(
        "trace", "debug", "info", "warn", "warning", "error", "off"))  # fmt: skip
    log_dir: str = text("stdout", "Directory, or stdout or stderr (also empty) for the console")
    file_name: str = text("", "File name in log_dir; empty = the process's name")
    max_log_files: int = integer(10, "Rotated files kept")
    max_file_size_mb: int = integer(100, "Size at which a file is rotated", unit="MB")
    time_rotation: str = text("", "Rotation by time", choices=("", "daily", "hourly"))
    display_thread: bool = boolean(False, "Write the thread's name")
    display_position: bool = boolean(True, "Write module and line")
    targets: tuple[str, ...] = texts((), "Only these loggers; empty = all")


class CompatibilityConf(Section, frozen=True, kw_only=True):
    """What to do with peers of other versions."""

    mode: str = text("diagnose", "diagnose: warn about them; enforce: refuse them")
    min_worker_version: str = text("", "Least worker release (semantic version)")
    min_client_version: str = text("", "Least client release (semantic version)")
    blocked_versions: tuple[str, ...] = texts((), "Releases that are refused")


class AuthConf(Section, frozen=True, kw_only=True):
    """[auth]: who belongs to the cluster. Ours. Paths and names stand here, never a token."""

    token_file: str = text("", "Ours. File with the cluster's token, read again when it changes; "
        "empty (and no token_env) = members are not asked for one")  # fmt: skip
    token_env: str = text("", "Ours. Name of the environment variable that holds the token, used "
        "when token_file is empty")  # fmt: skip
    admin_token_file: str = text("", "Ours. File with the token for changes over HTTP; empty = "
        "one that follows from the cluster's token")  # fmt: skip
    admin_token_env: str = text("", "Ours. Name of the environment variable that holds it")
    grace: int = duration("10m", "Ours. After a change the token before stays good this long")
    required: bool = boolean(True, "Ours. false = also talk with peers that have no token, while "
        "a running cluster is being given one")  # fmt: skip


class Endpoint(Section, frozen=True, kw_only=True):
    """A host and a port."""

    hostname: str = text("localhost", "Host name or address; IPv6 without brackets")
    port: int = port(8995, "RPC port")


class JournalPeer(Section, frozen=True, kw_only=True):
    """A master of the journal group."""

    id: int = integer(1, "Number of the master, from 1", least=1)
    hostname: str = text("localhost", "Its host name")
    port: int = port(8996, "Its journal port")


def split_endpoint(value: str, default_port: int | None = None) -> tuple[str, int]:
    """("host", port) of "host:port"; the last colon splits, brackets of IPv6 go.

    ValueError says what is wrong with it, for people.
    """
    value = value.strip()
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"endpoint {value!r} has unbalanced brackets")
        colon, number = rest[:1], rest[1:]
    elif value.count(":") > 1 and default_port is not None:
        host, colon, number = value, "", ""  # a bare IPv6 address
    else:
        host, colon, number = value.rpartition(":")
        if not colon:
            host = value
    host = host.strip()
    if not colon and default_port is not None:
        number = str(default_port)
    elif not colon:
        raise ValueError(f"endpoint {value!r} has no port; write host:port")
    number = number.strip()
    if not host or any(char.isspace() or char in ",;/" for char in host):
        raise ValueError(f"endpoint {value!r} has no usable host; write host:port")
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 65535):
        raise ValueError(f"endpoint {value!r}: port {number!r} is not a number from 1 to 65535")
    return host, int(number)


def parse_endpoints(value: Any) -> tuple[Endpoint, ...]:
    """The text form of a list of endpoints: "h:p,h:p"."""
    pairs = [split_endpoint(part) for part in parse_text(value).replace(",", " ").split()]
    return tuple(Endpoint(hostname=host, port=number) for host, number in pairs)
