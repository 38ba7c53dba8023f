# SPDX-License-Identifier: Apache-2.0
"""Credentials among a mount's properties: which they are, how they are written, who is told.

A secret property is best written as a reference that every node resolves for itself::

    s3.credentials.secret = file:/etc/curvine/credentials/s3-secret
    s3.credentials.secret = env:CURVINE_UFS_S3_SECRET

A literal value is kept by the master. The mount table tells our own programs references only, for
such a value one to the master itself (``master:MOUNT.MARK``; the mark changes with the value): they
resolve it with a call of their own over a connection that passed the cluster's authentication.
Programs that cannot resolve references get values only if the mount has ``expose_credentials =
true``; without, the property is there with ``WITHHELD`` for its value. Source: decision 11,
docs/security.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

EXPOSE = "expose_credentials"
WITHHELD = "withheld:by-the-master"
FILE, ENV = "file:", "env:"
MASTER = "master:"  # MOUNT.MARK follows: ask the master for what it keeps

_SECRET = re.compile(r"secret|passw|private|signature", re.IGNORECASE)
_SUSPECT = re.compile(r"token|credential|key", re.IGNORECASE)
# Suspect names that stand for something told freely: the public half of a key pair, paths, numbers.
_PLAIN = re.compile(
    r"(access[._-]?key([._-]?id)?|key[._-]?id|credentials[._-]access|keytab|key[._-]?prefix"
    r"|(credentials?|key|token)[._-](path|file|url|uri|provider|type|version|duration|ttl))$",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether the value of a property of that name is nobody's business."""
    if name == EXPOSE:
        return False
    return bool(_SECRET.search(name) or (_SUSPECT.search(name) and not _PLAIN.search(name)))


def may_refer(name: str) -> bool:
    """Whether the value of a property of that name may be a reference: secrets, and key ids."""
    return name != EXPOSE and bool(_SECRET.search(name) or _SUSPECT.search(name))


def is_reference(value: str) -> bool:
    """Whether a value says where the credential is instead of being it."""
    return value.startswith((FILE, ENV, MASTER))


def is_exposed(properties: Mapping[str, str]) -> bool:
    """Whether the mount allows its credentials to travel."""
    return properties.get(EXPOSE, "").strip().lower() == "true"


def literal_secrets(properties: Mapping[str, str]) -> tuple[str, ...]:
    """The names of secret properties whose value is the secret itself."""
    return tuple(
        name
        for name, value in properties.items()
        if is_secret(name) and value and not is_reference(value) and value != WITHHELD
    )


def redacted(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties for people: references stay, secrets do not."""
    return {
        name: "***" if is_secret(name) and not value.startswith((FILE, ENV)) else value
        for name, value in properties.items()
    }


def for_ours(properties: Mapping[str, str], refer: Callable[[str], str]) -> dict[str, str]:
    """What a program of ours is told: references as they stand; a literal only if exposed, else
    what ``refer`` makes of it, a reference to the master."""
    if is_exposed(properties):
        return dict(properties)
    kept = literal_secrets(properties)
    return {name: refer(value) if name in kept else value for name, value in properties.items()}


def for_others(
    properties: Mapping[str, str], resolve: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> dict[str, str]:
    """What a program that knows no references is told: values if exposed, else none of them."""
    told = {name: value for name, value in properties.items() if name != EXPOSE}
    if is_exposed(properties):
        return dict(resolve(told))
    return {
        name: WITHHELD if is_secret(name) or (may_refer(name) and is_reference(value)) else value
        for name, value in told.items()
    }
