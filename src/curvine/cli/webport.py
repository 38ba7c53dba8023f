# SPDX-License-Identifier: Apache-2.0
"""Asking the master over HTTP (control-plane specification 7.3): what has no RPC.

The host is the active master's, the port the local configuration's ``master.web_port``. The admin
token, where one is configured, comes from a file or the environment (config.tokens), never from
the command line, where `ps` would show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from curvine.clock import SystemClock
from curvine.config.schema import ClusterConf
from curvine.config.tokens import AdminCheck
from curvine.errors import CurvineError
from curvine.model.worker import FilesystemInfo

_PATIENCE = 10.0  # seconds
_MOST = 64 << 20  # bytes of one answer


class MasterPages:
    """The pages of a cluster's active master."""

    def __init__(self, info: FilesystemInfo, conf: ClusterConf) -> None:
        host = info.active_master.rpartition(":")[0] or conf.master.hostname
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        self.url = f"http://{host}:{conf.master.web_port}"
        self._conf = conf

    def fetch(
        self, path: str, query: Mapping[str, str] | None = None, *, as_admin: bool = False
    ) -> bytes:
        """The body of a page. CurvineError says what went wrong and what to do."""
        url = self.url + path + ("?" + urlencode(query, safe=":,[]") if query else "")
        token = AdminCheck.of(self._conf, SystemClock()).own() if as_admin else None
        request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        opener = build_opener(ProxyHandler({}))  # a cluster's master is never behind a web proxy
        try:
            with opener.open(request, timeout=_PATIENCE) as answer:
                body: bytes = answer.read(_MOST)
                return body
        except HTTPError as error:
            text = _message(error.read(65536))
            if error.code in (401, 403):
                raise CurvineError(
                    f"the master refused {path}: {text}. Name the file with its admin token in "
                    "CURVINE_ADMIN_TOKEN_FILE or auth.admin_token_file, or ask on its own host"
                ) from None
            raise CurvineError(f"the master answered {path} with {error.code}: {text}") from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise CurvineError(
                f"the master's web port does not answer at {self.url} ({reason}); master.web_port "
                "in the configuration says which it is (9000 up to Curvine 0.4.1)"
            ) from None

    def fetch_json(
        self, path: str, query: Mapping[str, str] | None = None, *, as_admin: bool = False
    ) -> Any:
        """The body of a page that is JSON."""
        body = self.fetch(path, query, as_admin=as_admin)
        try:
            return json.loads(body)
        except ValueError:
            raise CurvineError(
                f"{self.url}{path} is not the page of a Curvine master: its answer is not JSON"
            ) from None


def _message(body: bytes) -> str:
    """The text of an error page: {"message": text}, or the page itself."""
    try:
        text = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        text = body.decode("utf-8", "replace").strip()
    return str(text)[:500] or "no reason given"
