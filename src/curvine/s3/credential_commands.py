# SPDX-License-Identifier: Apache-2.0
"""``curvine-s3-gateway credential add|generate|list|stats|enable|disable|remove``.

They write the file that running gateways read again by themselves. Secrets are printed when they
are generated and with --show-secrets, nowhere else; "-" as the secret reads it from standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from typing import Any

from msgspec.structs import replace

from curvine.client.cluster import ClusterClient
from curvine.client.unified import UnifiedFileSystem
from curvine.config.load import LoadedConf
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError, InvalidArgument
from curvine.s3.acl import ADMIN
from curvine.s3.credentials import (
    ClusterFile,
    Credential,
    CredentialFile,
    LocalFile,
    Vault,
    format_lines,
    generated,
    now_text,
    parse_lines,
)

_OWNER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_OWNER_HELP = f"whose buckets it works with; {ADMIN} (the default) may do everything"
_LOCAL = "~/.curvine/credentials.jsonl"
_INSIDE = "/system/auth/credentials.jsonl"


def add_to(commands: Any) -> None:
    """Add the commands to a parser."""
    group = commands.add_parser("credential", help="access keys").add_subparsers(
        dest="action", required=True
    )
    add = group.add_parser("add", help="add a key that exists")
    add.add_argument("--access-key", required=True)
    add.add_argument("--secret-key", required=True, help='"-" reads it from standard input')
    add.add_argument("--description", default="")
    add.add_argument("--owner", default=ADMIN, help=_OWNER_HELP)
    make = group.add_parser("generate", help="make a key and print it")
    make.add_argument("--description", default="")
    make.add_argument("--owner", default=ADMIN, help=_OWNER_HELP)
    show = group.add_parser("list", help="list keys")
    show.add_argument("--show-secrets", action="store_true")
    group.add_parser("stats", help="count keys")
    for action in ("enable", "disable", "remove"):
        change = group.add_parser(action, help=f"{action} a key")
        change.add_argument("--access-key", required=True)


def key_file(conf: ClusterConf) -> str:
    """The file of the key that encrypts credentials."""
    gateway = conf.s3_gateway
    if gateway.credentials_key_file:
        return os.path.expanduser(gateway.credentials_key_file)
    if gateway.enable_distributed_auth:
        return os.path.expanduser("~/.curvine/credentials.key")
    return os.path.expanduser(gateway.credentials_path or _LOCAL) + ".key"


def credential_file(conf: ClusterConf, fs: UnifiedFileSystem | None) -> CredentialFile:
    """Where the credentials are."""
    gateway = conf.s3_gateway
    if gateway.enable_distributed_auth:
        path = gateway.credentials_path or _INSIDE
        if not path.startswith("/system/"):
            raise ConfigError(
                f"s3_gateway.credentials_path is {path}; inside Curvine it has to be below /system,"
                " which is never shown as a bucket"
            )
        assert fs is not None
        return ClusterFile(fs, path, float(gateway.cache_refresh_interval_secs))
    return LocalFile(os.path.expanduser(gateway.credentials_path or _LOCAL))


def run(loaded: LoadedConf, arguments: argparse.Namespace) -> int:
    """One command; the exit code."""
    return asyncio.run(_run(loaded.conf, arguments))


async def _run(conf: ClusterConf, arguments: argparse.Namespace) -> int:
    if not conf.s3_gateway.enable_distributed_auth:
        return await _act(credential_file(conf, None), key_file(conf), arguments)
    async with ClusterClient(conf, component="cli") as cluster:
        fs = UnifiedFileSystem(cluster)
        try:
            return await _act(credential_file(conf, fs), key_file(conf), arguments)
        finally:
            await fs.close()


async def _act(file: CredentialFile, key_path: str, arguments: argparse.Namespace) -> int:
    action = arguments.action
    raw = await file.read()
    writes = action not in ("list", "stats")
    needed = writes or b"aesgcm1:" in raw
    vault = Vault(key_path, create=writes and b"aesgcm1:" not in raw) if needed else None
    known = parse_lines(raw, vault, file.name)
    if writes and len(known) != len([line for line in raw.splitlines() if line.strip()]):
        raise ConfigError(f"{file.name} has lines that cannot be read with {key_path}; not changed")
    if action == "stats":
        enabled = sum(entry.enabled for entry in known)
        print(f"{len(known)} credentials, {enabled} enabled, in {file.name}")
        return 0
    if action == "list":
        _show(known, show_secrets=arguments.show_secrets)
        return 0
    assert vault is not None
    changed = _changed(known, arguments)
    await file.write(format_lines(changed, vault))
    if action == "generate":
        print(f"access_key: {changed[-1].access_key}\nsecret_key: {changed[-1].secret_key}")
    else:
        print(f"{action}: done, {len(changed)} credentials in {file.name}")
    return 0


def _changed(known: list[Credential], arguments: argparse.Namespace) -> list[Credential]:
    action = arguments.action
    if action in ("add", "generate") and not _OWNER.fullmatch(arguments.owner):
        raise InvalidArgument("an owner is a name of up to 64 letters, digits, and any of . _ @ -")
    if action == "generate":
        return [*known, generated(arguments.description, arguments.owner)]
    key = arguments.access_key
    exists = any(entry.access_key == key for entry in known)
    if action == "add":
        if exists:
            raise InvalidArgument(f"{key} exists already; remove it first")
        secret = arguments.secret_key
        secret = sys.stdin.readline().strip() if secret == "-" else secret
        if not 3 <= len(key) <= 128 or not key.isascii() or "/" in key or len(secret) < 8:
            raise InvalidArgument(
                "an access key has 3 to 128 ASCII characters without /, a secret at least 8"
            )
        description = arguments.description
        return [*known, Credential(key, secret, now_text(), True, description, arguments.owner)]
    if not exists:
        raise InvalidArgument(f"there is no access key {key}")
    if action == "remove":
        return [entry for entry in known if entry.access_key != key]
    enabled = action == "enable"
    return [replace(e, enabled=enabled) if e.access_key == key else e for e in known]


def _show(known: list[Credential], *, show_secrets: bool) -> None:
    for entry in known:
        secret = entry.secret_key if show_secrets else "********"
        state = "enabled" if entry.enabled else "disabled"
        rest = f"{state}\t{entry.created_at}\t{entry.owner}\t{entry.description}"
        print(f"{entry.access_key}\t{secret}\t{rest}")
