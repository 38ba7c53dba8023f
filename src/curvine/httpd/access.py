# SPDX-License-Identifier: Apache-2.0
"""Who may change something over HTTP, and whose reads are answered.

A change needs the administrator's token, or comes directly from this machine. "Directly" is
judged with care, because a loopback connection alone proves little:

- a reverse proxy on this machine passes on requests of strangers: whatever carries a header that
  proxies add (X-Forwarded-For, Via, ...) is a stranger's;
- a web page can make the browser on this machine ask us (cross-site request forgery): whatever
  carries a header that browsers send by themselves is a web page's;
- a web page can give its own name our address (DNS rebinding): then the Host header is foreign.
  Such a page may not read either, so on a loopback connection reads need a Host of ours too.

A browser cannot be made to send the token: it travels in a header that needs the page's own
origin. It never travels in the query, which ends up in logs.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection
from typing import Protocol

from curvine.httpd.messages import Refused, Request
from curvine.telemetry.logs import OnceLogger

_log = logging.getLogger(__name__)

_CHALLENGE = (("WWW-Authenticate", "Bearer"),)

_PROXY = frozenset(
    ("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-url",
     "x-original-host", "true-client-ip", "cf-connecting-ip", "x-envoy-external-address",
     "x-request-start", "x-proxyuser-ip")
)  # fmt: skip
_PROXY_PREFIX = "x-forwarded"
_BROWSER = frozenset(
    ("origin", "referer", "cookie", "accept-language", "upgrade-insecure-requests", "dnt")
)
_BROWSER_PREFIX = "sec-"


class AdminRule(Protocol):
    """Who is an administrator; ``config.tokens`` has the real one."""

    def allows(self, authorization: str | None, *, loopback: bool) -> bool:
        """Whether this Authorization header, or coming directly from here, is enough."""


class LoopbackIsAdmin:
    """The rule where no token is configured."""

    def allows(self, authorization: str | None, *, loopback: bool) -> bool:
        return loopback


class Access:
    """The rules of one server. ``names``: what it is called besides localhost. ``hint``: what a
    refused caller is told to do."""

    def __init__(
        self, rule: AdminRule | None = None, *, names: Collection[str] = (), hint: str = ""
    ) -> None:
        self._rule = rule or LoopbackIsAdmin()
        self._names = frozenset(name.lower().rstrip(".") for name in names if name)
        self._hint = hint
        self._once = OnceLogger(_log)

    def check_change(self, request: Request) -> None:
        """Refused unless the request may change something."""
        offered = request.header("authorization")
        why = self._why_not_direct(request)
        if self._rule.allows(offered, loopback=why is None and offered is None):
            _log.info("%s by %s", request.path, request.peer)
            return
        if offered is not None:
            why = "the token is not the administrator's"
        text = f"{why or 'this needs the token of an administrator'}; {self._hint}".rstrip("; ")
        self._once.log(
            logging.WARNING, (request.peer, why),
            "%s refused for %s: %s", request.path, request.peer, text,
        )  # fmt: skip
        raise Refused(403 if offered is None else 401, text, _CHALLENGE)

    def check_read(self, request: Request) -> None:
        """Refused for pages of other sites that reach us through the browser of this machine."""
        host, _ = _split_host(request.header("host") or "")
        if not is_loopback(request.local) or self._is_ours(host):
            return  # through a forwarded port the Host header has another port
        offered = request.header("authorization")
        if offered is not None and self._rule.allows(offered, loopback=False):
            return
        raise Refused(
            403, f"Host {host[:100]!r} is not a name of this server on a loopback connection"
        )

    def _why_not_direct(self, request: Request) -> str | None:
        """None for a request that a program on this machine made by itself."""
        if not (is_loopback(request.peer) and is_loopback(request.local)):
            return f"{request.peer} is not this machine"
        names = request.header_names()
        for name in names:
            if name in _PROXY or name.startswith(_PROXY_PREFIX):
                return f"the request came through a proxy ({name})"
            if name in _BROWSER or name.startswith(_BROWSER_PREFIX):
                return f"the request came from a browser ({name})"
        if "mozilla/" in (request.header("user-agent") or "").lower():
            return "the request came from a browser (user-agent)"
        host, port = _split_host(request.header("host") or "")
        if port != request.port or not self._is_ours(host):
            return "the Host header names another server"
        return None

    def _is_ours(self, host: str) -> bool:
        return host == "localhost" or host in self._names or is_loopback(host)


def is_loopback(address: str) -> bool:
    """Whether an IP address, as text, is this machine's loopback."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _split_host(value: str) -> tuple[str, int]:
    """(name, port) of a Host header; port 0 if it is none."""
    host, colon, port = value.strip().lower().rpartition(":")
    if not colon or "]" in port:
        host, port = value.strip().lower(), "80"
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        return "", 0
    return host.strip("[]").rstrip("."), int(port)
