# SPDX-License-Identifier: Apache-2.0
"""The door itself: who asks, what for, and how the answer looks, errors included.

Order: /healthz and /metrics, then the signature, then what the caller may do (s3.access), then
the operation. A request without a signature may do what ACLs grant to all.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from curvine.client.unified import UnifiedFileSystem
from curvine.clock import Clock
from curvine.config.schema import S3GatewayConf
from curvine.errors import CurvineError
from curvine.httpd.streaming import Incoming, Outgoing, StreamServer
from curvine.s3.access import authorize
from curvine.s3.acl import ADMIN, ANONYMOUS, Caller
from curvine.s3.context import Call, Gateway
from curvine.s3.credentials import Credentials
from curvine.s3.errors import S3Error, translated
from curvine.s3.ops import cors
from curvine.s3.request import S3Request
from curvine.s3.siblings import Siblings
from curvine.s3.sigv4 import check_time, read_claim, unsigned_claim, verify
from curvine.s3.store import Store
from curvine.s3.table import find
from curvine.s3.uploads import Uploads
from curvine.s3.xmldoc import XML, Child, document
from curvine.telemetry.logs import OnceLogger
from curvine.telemetry.metric_table import S3_GATEWAY
from curvine.telemetry.metrics import CONTENT_TYPE, Durations, Registry, show_process

_log = logging.getLogger(__name__)


class S3Gateway:
    """One process of the gateway."""

    def __init__(
        self,
        conf: S3GatewayConf,
        fs: UnifiedFileSystem,
        credentials: Credentials,
        clock: Clock,
        siblings: str = "",
    ) -> None:
        """``siblings``: the directory of the processes that share the port, if there are several"""
        store = Store(fs, clock)
        self._executor = ThreadPoolExecutor(4, "s3-hash")
        known = credentials.owner_of_id
        self._parts = Gateway(conf, store, Uploads(store), self._executor, known)
        self._conf = conf
        self._credentials = credentials
        self._clock = clock
        self._once = OnceLogger(_log)
        self._domains = ("localhost", *conf.domains)
        self._registry = Registry(S3_GATEWAY)
        self._registry.before_scrape(lambda: show_process(self._registry))
        self._siblings = Siblings(siblings, self._registry.text) if siblings else None
        self._counts: Counter[tuple[str, str]] = Counter()
        self._durations: dict[str, Durations] = {}
        self._registry.before_scrape(self._show_counts)
        self.server = StreamServer(self.serve, _unreadable, name="curvine-s3-gateway")

    @property
    def parts(self) -> Gateway:
        """What operations work with."""
        return self._parts

    async def start(self, sock: socket.socket) -> tuple[str, int]:
        """Serve; the address."""
        await self._credentials.refresh()
        if not self._credentials.count:
            _log.warning("there are no credentials: every request will be refused")
        if self._siblings is not None:
            await self._siblings.start()
        return await self.server.start(sock)

    async def close(self) -> None:
        """Stop."""
        await self.server.close()
        if self._siblings is not None:
            await self._siblings.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def serve(self, raw: Incoming) -> Outgoing:
        """Answer one request."""
        request_id = secrets.token_hex(8).upper()
        name, request = "unknown", None
        began = time.perf_counter()
        try:
            page = await self._page(raw)
            if page is not None:
                return page
            request = S3Request(raw, request_id, self._domains)
            if request.method == "OPTIONS":
                name = "Preflight"
                answer = await cors.preflight(self._parts.store, request)
            else:
                call = await self._authenticate(request)
                row = find(request)
                name = row.name
                await authorize(call, row.needs)
                answer = await row.operation(call)
        except S3Error as error:
            answer = _error(error, raw.method, request, request_id)
        except CurvineError as error:
            known = translated(error)
            if known.status >= 500:
                self._once.log(logging.WARNING, (name, type(error)), "%s: %s", name, error)
            answer = _error(known, raw.method, request, request_id)
        except Exception as error:
            text = "%s failed (request %s)"
            self._once.log(logging.ERROR, (name, type(error)), text, name, request_id, error=error)
            answer = _error(S3Error("InternalError"), raw.method, request, request_id)
        if request is not None and request.method != "OPTIONS" and "origin" in request.headers:
            answer = await self._with_cors(request, answer)
        self._counts[name, f"{answer.status // 100}xx"] += 1
        took = self._durations.get(name)
        if took is None:
            took = self._registry.durations("s3_request_duration_us", name)
            self._durations[name] = took
        took.add(time.perf_counter() - began)
        rows = (*answer.headers, ("x-amz-request-id", request_id), ("Server", "curvine-s3-gateway"))
        return answer._replace(headers=rows)

    async def _with_cors(self, request: S3Request, answer: Outgoing) -> Outgoing:
        """What a page of another origin needs to see of an answer, errors included."""
        method = request.header("access-control-request-method") or request.method
        try:
            extra = await cors.cors_headers(self._parts.store, request, method)
        except CurvineError:
            return answer
        return answer._replace(headers=(*answer.headers, *extra))

    async def _authenticate(self, request: S3Request) -> Call:
        claim = read_claim(request)
        if claim is None:
            return Call(request, self._parts, ANONYMOUS, unsigned_claim(request), b"")
        check_time(claim, self._clock.now_ms() / 1000)
        if claim.region not in (self._conf.region, "us-east-1"):
            raise S3Error(
                "AuthorizationHeaderMalformed",
                f"The region {claim.region[:60]!r} is wrong; expecting {self._conf.region!r}",
                Region=self._conf.region,
            )
        credential = await self._credentials.find(claim.access_key)
        if credential is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key[:128])
        key = verify(request, claim, credential.secret_key)
        caller = Caller(credential.owner, credential.owner == ADMIN)
        return Call(request, self._parts, caller, claim, key)

    async def _page(self, raw: Incoming) -> Outgoing | None:
        """/healthz and /metrics, for who signs nothing."""
        if raw.method not in ("GET", "HEAD") or raw.target not in ("/healthz", "/metrics"):
            return None
        if any(name == "authorization" for name, _ in raw.headers):
            return None
        if raw.target == "/healthz":
            return Outgoing(200, (("Content-Type", "text/plain; charset=utf-8"),), b"ok")
        siblings = self._siblings
        text = self._registry.text() if siblings is None else await siblings.metrics()
        return Outgoing(200, (("Content-Type", CONTENT_TYPE),), text.encode())

    def _show_counts(self) -> None:
        for labels, count in self._counts.items():
            self._registry.show("s3_requests_total", count, *labels)
        self._registry.show("s3_connections", len(self.server.connections))


def _error(error: S3Error, method: str, request: S3Request | None, request_id: str) -> Outgoing:
    """An error as S3 answers it; HEAD and 304 have no body. The connection ends where a body may
    be left unread."""
    bodiless = method == "HEAD" or error.status == 304
    rows: list[Child] = [("Code", error.code), ("Message", error.message)]
    rows += list(error.details.items())
    if request is not None:
        rows.append(("Resource", request.resource))
    rows += [("RequestId", request_id), ("HostId", request_id)]
    body = b"" if bodiless else document("Error", rows, namespace=False)
    headers = (("Content-Type", XML), *error.headers) if not bodiless else error.headers
    return Outgoing(error.status, headers, body)


def _unreadable(status: int, reason: str) -> Outgoing:
    """A request whose head cannot be read."""
    request_id = secrets.token_hex(8).upper()
    too_long = "TooLong" in reason or "LineTooLong" in reason
    code = "InternalError" if status >= 500 else "InvalidRequest"
    text = "The head of the request is too large" if too_long else "The request is not HTTP"
    error = S3Error(code, "" if status >= 500 else text, status=status)
    return _error(error, "GET", None, request_id)
