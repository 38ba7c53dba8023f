# SPDX-License-Identifier: Apache-2.0
"""Shared secrets of a cluster: where they are read, which are good now, who shows one.

A token comes from a file or from an environment variable; the configuration holds only the path or
the variable's name, so that no dump of it can show a token. A file is looked at again whenever the
token is asked for: after a change the new one is used and the one before stays good for a grace
time, so that nodes may learn of the change one after another. A file that has become unreadable
changes nothing. Comparisons take the same time wherever the difference is.

Grace times are milliseconds. See docs/adr/0007-cluster-authentication.md.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Mapping

from curvine.clock import Clock
from curvine.config.schema import ClusterConf
from curvine.errors import ConfigError
from curvine.units import format_duration

LEAST_LENGTH = 16  # characters; what is recommended has 64
_MOST_BYTES = 4096
_ADMIN_LABEL = b"curvine-py.admin.1\0"
_MAKE_ONE = "make one with: openssl rand -hex 32"

_log = logging.getLogger(__name__)


class Tokens:
    """The tokens that are good now. One source: ``path``, or else ``variable`` of ``environ``.

    ConfigError when there is no usable token at the beginning.
    """

    def __init__(
        self,
        *,
        path: str = "",
        variable: str = "",
        grace: int,
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._path = path
        self._grace = grace
        self._clock = clock
        self.source = f"file {path}" if path else f"environment variable {variable}"
        self._stamp = self._look() if path else None
        raw = self._read() if path else environ.get(variable, "").encode()
        self._current = self._checked(raw)
        self._before: dict[bytes, float] = {}  # replaced token -> good until, monotonic seconds
        self._complaint = ""

    def good(self) -> tuple[bytes, ...]:
        """Every token that is good now, the current one first."""
        if self._path:
            self._follow()
        if self._before:
            now = self._clock.monotonic()
            self._before = {old: until for old, until in self._before.items() if now < until}
            return (self._current, *reversed(self._before))
        return (self._current,)

    def accepts(self, shown: bytes) -> bool:
        """Whether ``shown`` is one of them."""
        equal = [hmac.compare_digest(shown, token) for token in self.good()]
        return any(equal)

    # -- the file ---------------------------------------------------------------------------------

    def _look(self) -> tuple[int, ...] | None:
        """What tells one state of the file from another; None when it cannot be seen."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                return file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"cannot read the token {self.source}: {error.strerror}") from None

    def _checked(self, raw: bytes) -> bytes:
        token = raw.strip()
        if len(raw) > _MOST_BYTES or not all(0x21 <= byte <= 0x7E for byte in token):
            raise ConfigError(
                f"{self.source} holds no token: one word of printable ASCII; {_MAKE_ONE}"
            )
        if len(token) < LEAST_LENGTH:
            state = "is empty" if not token else f"holds fewer than {LEAST_LENGTH} characters"
            raise ConfigError(f"the token {self.source} {state}; {_MAKE_ONE}")
        return token

    def _follow(self) -> None:
        """Take over what the file says now, if it has changed."""
        stamp = self._look()
        if stamp == self._stamp and stamp is not None:
            return
        try:
            token = self._checked(self._read())
        except ConfigError as error:
            if error.message != self._complaint:
                self._complaint = error.message
                _log.warning("%s; the token that was read before stays in use", error)
            return
        self._stamp, self._complaint = stamp, ""
        if token == self._current:
            return
        self._before.pop(token, None)
        self._before[self._current] = self._clock.monotonic() + self._grace / 1000
        self._current = token
        grace = format_duration(self._grace)
        _log.info("%s changed; the token before stays good for %s", self.source, grace)


def cluster_tokens(
    conf: ClusterConf, clock: Clock, environ: Mapping[str, str] = os.environ
) -> Tokens | None:
    """The tokens by which members of the cluster know each other; None: there are none."""
    auth = conf.auth
    if not (auth.token_file or auth.token_env):
        return None
    return Tokens(
        path=auth.token_file,
        variable=auth.token_env,
        grace=auth.grace,
        clock=clock,
        environ=environ,
    )


def admin_token(token: bytes, cluster_id: str) -> bytes:
    """The admin token that follows from a cluster's token. It tells nothing about that one."""
    return hmac.digest(token, _ADMIN_LABEL + cluster_id.encode(), hashlib.sha256).hex().encode()


class AdminCheck:
    """Who may change something over HTTP: whoever shows the admin token as a bearer token.

    Where neither an admin token nor a cluster token is configured: peers of the loopback.
    """

    HINT = (
        "this needs the admin token (Authorization: Bearer ...), or, on a cluster without any"
        " token, a caller on the server's own machine"
    )

    def __init__(self, admin: Tokens | None, cluster: Tokens | None, cluster_id: str) -> None:
        self._admin = admin
        self._cluster = cluster
        self._cluster_id = cluster_id

    @classmethod
    def of(
        cls, conf: ClusterConf, clock: Clock, environ: Mapping[str, str] = os.environ
    ) -> AdminCheck:
        """As the configuration says. ConfigError for a token that cannot be read."""
        auth = conf.auth
        admin = None
        if auth.admin_token_file or auth.admin_token_env:
            admin = Tokens(
                path=auth.admin_token_file,
                variable=auth.admin_token_env,
                grace=auth.grace,
                clock=clock,
                environ=environ,
            )
        return cls(admin, cluster_tokens(conf, clock, environ), conf.cluster_id)

    def allows(self, authorization: str | None, *, loopback: bool) -> bool:
        """Whether a request with that Authorization header may change something."""
        good = self._good()
        if not good:
            return loopback
        scheme, _, shown = (authorization or "").partition(" ")
        raw = shown.strip().encode("utf-8", "replace")
        equal = [hmac.compare_digest(raw, token) for token in good]
        return scheme.lower() == "bearer" and any(equal)

    def own(self) -> str | None:
        """The token that a tool of ours shows to a server of this configuration; None: none."""
        good = self._good()
        return good[0].decode() if good else None

    def _good(self) -> tuple[bytes, ...]:
        if self._admin is not None:
            return self._admin.good()
        if self._cluster is not None:
            return tuple(admin_token(token, self._cluster_id) for token in self._cluster.good())
        return ()
