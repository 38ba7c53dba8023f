# SPDX-License-Identifier: Apache-2.0
"""Access keys: kept as JSON lines, secrets encrypted with a key file, read again while we serve.

A line has Curvine's fields: access_key, secret_key, created_at, enabled, description; and ours:
owner, whose keys share what they own (s3.acl). The secret is
written as ``aesgcm1:BASE64`` (AES-256-GCM, bound to its access key, so that lines cannot be mixed);
a plain one, as Curvine wrote them, is read too, and encrypted when the file is next written. The
key is a file of 32 random bytes in hex, readable by its owner only. The file is local, or inside
the cluster (distributed mode). Secrets appear in no log, no repr and no error.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import logging
import os
import secrets
import string
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from curvine.client.unified import UnifiedFileSystem
from curvine.clock import Clock
from curvine.errors import ConfigError, CurvineError, NotFound
from curvine.model.inode import SetAttr
from curvine.model.path import split
from curvine.s3.acl import ADMIN, canonical_id

_log = logging.getLogger(__name__)

_SCHEME = "aesgcm1:"
_NONCE = 12
_LOOK = 1.0  # s between two looks at a local file, and after a key that is not known
MAX_FILE = 16 * 1024 * 1024
_KEY_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits + "+/"
ENVIRONMENT = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("S3_ACCESS_KEY", "S3_SECRET_KEY"))


class Credential(msgspec.Struct, frozen=True):
    """One access key."""

    access_key: str
    secret_key: str
    created_at: str = ""
    enabled: bool = True
    description: str = ""
    owner: str = ADMIN

    def __repr__(self) -> str:
        return f"Credential({self.access_key!r}, enabled={self.enabled})"

    __str__ = __repr__


_decoder = msgspec.json.Decoder(Credential)


class Vault:
    """Encrypts and decrypts secrets with the key in ``path``. ConfigError for an unusable one."""

    def __init__(self, path: str, *, create: bool = False) -> None:
        self.path = path
        if create and not os.path.exists(path):
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with (
                contextlib.suppress(FileExistsError),
                open(os.open(path, flags, 0o600), "w") as file,
            ):
                file.write(secrets.token_hex(32) + "\n")
        try:
            mode = os.stat(path).st_mode
            with open(path, encoding="ascii") as file:
                key = bytes.fromhex(file.read(1024).strip())
        except OSError as error:
            raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from None
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ConfigError(
                f"{path} is no key: 64 hex digits; make one with openssl rand -hex 32"
            )
        if mode & 0o077:
            raise ConfigError(f"{path} can be read by others; chmod 600 {path}")
        self._cipher = AESGCM(key)

    def seal(self, credential: Credential) -> str:
        """The secret as the file keeps it."""
        nonce = secrets.token_bytes(_NONCE)
        name = credential.access_key.encode()
        sealed = self._cipher.encrypt(nonce, credential.secret_key.encode(), name)
        return _SCHEME + base64.b64encode(nonce + sealed).decode()

    def open(self, access_key: str, sealed: str) -> str:
        """The secret of a line; ValueError when this key does not open it."""
        try:
            raw = base64.b64decode(sealed.removeprefix(_SCHEME), validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], access_key.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise ValueError("sealed with another key") from None


def parse_lines(raw: bytes, vault: Vault | None, source: str) -> list[Credential]:
    """The credentials of a file; lines that cannot be used are told in the log, by number."""
    found: list[Credential] = []
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        try:
            credential = _decoder.decode(line)
            secret = credential.secret_key
            if secret.startswith(_SCHEME):
                if vault is None:
                    raise ValueError("there is no key file to open it with")
                secret = vault.open(credential.access_key, secret)
            found.append(msgspec.structs.replace(credential, secret_key=secret))
        except msgspec.DecodeError:
            _log.warning("%s line %d is not a credential", source, number)
        except ValueError as error:
            _log.warning("%s line %d: %s", source, number, error)
    return found


def format_lines(credentials: Iterable[Credential], vault: Vault) -> bytes:
    """The file's content."""
    lines = [
        msgspec.json.encode(msgspec.structs.replace(entry, secret_key=vault.seal(entry)))
        for entry in credentials
    ]
    return b"".join(line + b"\n" for line in lines)


class CredentialFile(Protocol):
    """Where the lines are."""

    name: str
    poll: float  # seconds between two looks

    async def stamp(self) -> object:
        """What tells one state of the file from another; None when there is none."""

    async def read(self) -> bytes:
        """The content; b"" when there is no file."""

    async def write(self, content: bytes) -> None:
        """Replace the content in one step."""


class LocalFile:
    """A file of this machine."""

    def __init__(self, path: str) -> None:
        self.name = path
        self.poll = _LOOK

    async def stamp(self) -> object:
        try:
            found = os.stat(self.name)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    async def read(self) -> bytes:
        try:
            with open(self.name, "rb") as file:
                return file.read(MAX_FILE)
        except FileNotFoundError:
            return b""

    async def write(self, content: bytes) -> None:
        os.makedirs(os.path.dirname(self.name) or ".", mode=0o700, exist_ok=True)
        partial = f"{self.name}.{os.getpid()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(partial, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.name)


class ClusterFile:
    """A file inside the cluster, the same for every gateway."""

    def __init__(self, fs: UnifiedFileSystem, path: str, poll: float) -> None:
        self.name = path
        self.poll = poll
        self._fs = fs

    async def stamp(self) -> object:
        try:
            status = await self._fs.status(self.name)
        except NotFound:
            return None
        return status.id, status.mtime, status.len

    async def read(self) -> bytes:
        try:
            file = await self._fs.open_read(self.name)
        except NotFound:
            return b""
        try:
            return bytes(await file.read(0, min(file.length, MAX_FILE)))
        finally:
            await file.close()

    async def write(self, content: bytes) -> None:
        await self._fs.mkdir(split(self.name)[0], mode=0o700, create_parent=True)
        partial = f"{self.name}.{secrets.token_hex(4)}.tmp"
        writer = await self._fs.create(partial, mode=0o600, size_hint=len(content))
        await writer.write(0, content)
        await writer.close(SetAttr())
        await self._fs.rename(partial, self.name)


class Credentials:
    """The keys that are good now: the environment's and the file's. Times are seconds."""

    def __init__(
        self, file: CredentialFile, vault_path: str, environ: Mapping[str, str], clock: Clock
    ) -> None:
        self._file = file
        self._vault_path = vault_path
        self._clock = clock
        self._fixed = environment_credential(environ)
        self._known: dict[str, Credential] = {}
        self._owners = _by_id(())
        self._stamp: object = ()
        self._looked = -_LOOK
        self._complaint = ""

    async def find(self, access_key: str) -> Credential | None:
        """An enabled key; None for others."""
        now = self._clock.monotonic()
        known = self._lookup(access_key)
        pause = self._file.poll if known is not None else min(self._file.poll, _LOOK)
        if now - self._looked >= pause:
            await self.refresh()
            known = self._lookup(access_key)
        return known if known is not None and known.enabled else None

    def owner_of_id(self, canonical: str) -> str | None:
        """The owner with a canonical user id."""
        return self._owners.get(canonical)

    async def refresh(self) -> None:
        """Read the file if it has changed; what cannot be read changes nothing."""
        self._looked = self._clock.monotonic()
        try:
            stamp = await self._file.stamp()
            if stamp == self._stamp:
                return
            raw = await self._file.read()
            vault = Vault(self._vault_path) if _SCHEME.encode() in raw else None
            found = parse_lines(raw, vault, self._file.name)
        except (CurvineError, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.warning("credentials are not read again: %s", error)
            return
        self._stamp, self._complaint = stamp, ""
        self._known = {entry.access_key: entry for entry in found}
        self._owners = _by_id(found)
        _log.info("%d credentials in %s", len(found), self._file.name)

    @property
    def count(self) -> int:
        """How many keys are known, enabled or not."""
        return len(self._known) + (self._fixed is not None)

    def _lookup(self, access_key: str) -> Credential | None:
        if self._fixed is not None and hmac.compare_digest(
            self._fixed.access_key.encode(), access_key.encode("utf-8", "replace")
        ):
            return self._fixed
        return self._known.get(access_key)


def _by_id(found: Iterable[Credential]) -> dict[str, str]:
    """Owners by canonical id."""
    return {canonical_id(owner): owner for owner in {ADMIN, *(entry.owner for entry in found)}}


def environment_credential(environ: Mapping[str, str]) -> Credential | None:
    """The key that the environment holds. ConfigError for half of one."""
    for key_name, secret_name in ENVIRONMENT:
        key, secret = environ.get(key_name), environ.get(secret_name)
        if key and secret:
            return Credential(key, secret, description="environment")
        if key or secret:
            raise ConfigError(f"{key_name} and {secret_name} belong together; one is missing")
    return None


def generated(description: str, owner: str = ADMIN) -> Credential:
    """A fresh random credential."""
    key = "CV" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(18))
    secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))
    return Credential(key, secret, now_text(), True, description, owner)


def now_text() -> str:
    """The time as created_at holds it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
