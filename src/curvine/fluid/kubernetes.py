# SPDX-License-Identifier: Apache-2.0
"""The little of Kubernetes' API that the status reporter needs: one PATCH, by a service account.

The token is read for every call, because kubelet replaces it; the API server's certificate is
checked against the cluster's own authority.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from curvine.errors import ConfigError, CurvineError

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_SECONDS = 15
_ANSWER = 500  # characters of a refusal that are shown


class KubernetesApi:
    """The API server as a pod sees it."""

    def __init__(self, env: Mapping[str, str], account: str = "") -> None:
        account = account or ACCOUNT
        host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ConfigError("KUBERNETES_SERVICE_HOST is not set; this is no pod of Kubernetes")
        self.address = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._token = os.path.join(account, "token")
        try:
            self._context = ssl.create_default_context(cafile=os.path.join(account, "ca.crt"))
        except OSError as error:
            raise ConfigError(
                f"cannot read {account}/ca.crt: {error.strerror}; does the pod have a service "
                "account (automountServiceAccountToken)?"
            ) from None

    def patch_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Merge ``status`` into the object's; ``kind`` is the plural name of Fluid's group."""
        quote = urllib.parse.quote
        url = (
            f"{self.address}/apis/data.fluid.io/v1alpha1/namespaces/{quote(namespace, '')}/"
            f"{kind}/{quote(name, '')}/status"
        )
        with open(self._token, encoding="ascii") as file:
            token = file.read().strip()
        request = urllib.request.Request(
            url,
            data=json.dumps({"status": status}).encode(),
            method="PATCH",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/merge-patch+json",
                "Accept": "application/json",
            },
        )
        try:
            urllib.request.urlopen(request, timeout=_SECONDS, context=self._context).close()
        except urllib.error.HTTPError as error:
            said = error.read(_ANSWER).decode("utf-8", "replace")
            hint = "; apply deploy/fluid/status-reporter.yaml" if error.code == 403 else ""
            raise CurvineError(
                f"PATCH {url}: {error.code} {' '.join(said.split())}{hint}"
            ) from None
        except OSError as error:
            raise CurvineError(f"PATCH {url}: {error}") from None
