# SPDX-License-Identifier: Apache-2.0
"""What every operation is given: the request, who made it, and the parts of the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import NamedTuple

from curvine.config.schema import S3GatewayConf
from curvine.httpd.streaming import Outgoing
from curvine.s3.acl import Caller, Known
from curvine.s3.errors import S3Error
from curvine.s3.intake import Intake
from curvine.s3.request import S3Request
from curvine.s3.sigv4 import Claim
from curvine.s3.store import Store
from curvine.s3.uploads import Uploads
from curvine.s3.xmldoc import MAX_DOCUMENT, XML, Child, Node, document, parse

Rows = list[tuple[str, str]]


class Gateway(NamedTuple):
    """The parts that live as long as the process."""

    conf: S3GatewayConf
    store: Store
    uploads: Uploads
    executor: Executor
    known: Known  # owners by canonical id


class Call(NamedTuple):
    """One request whose signature was right, or that has none (then it may do what all may)."""

    request: S3Request
    gateway: Gateway
    caller: Caller
    claim: Claim
    key: bytes  # that signs chunks

    @property
    def store(self) -> Store:
        """The objects."""
        return self.gateway.store

    def intake(self, compute: str = "") -> Intake:
        """The body, to be checked while it is read."""
        return Intake(self.request, self.claim, self.key, self.gateway.executor, compute=compute)

    async def xml(self, root: str, *, object_checksum: bool = False) -> Node:
        """The body as a document."""
        request, key = self.request, self.key
        intake = Intake(request, self.claim, key, object_checksum=object_checksum)
        body = await intake.read_all(MAX_DOCUMENT)
        if not body:
            raise S3Error("MalformedXML", f"The request needs a {root} document")
        return parse(body, root)


Operation = Callable[[Call], Awaitable[Outgoing]]


def xml_answer(root: str, children: list[Child], *, headers: Rows | None = None) -> Outgoing:
    """A document as an answer."""
    rows = (("Content-Type", XML), *(headers or ()))
    return Outgoing(200, rows, document(root, children))


def empty(status: int = 200, headers: Rows | None = None) -> Outgoing:
    """An answer without a body."""
    return Outgoing(status, tuple(headers or ()))


def quoted(etag: str) -> str:
    """An ETag as it stands in headers and documents."""
    return f'"{etag}"'
