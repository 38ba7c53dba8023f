# SPDX-License-Identifier: Apache-2.0
"""Cross-origin rules of a bucket: kept as its document in an attribute, applied to answers."""

from __future__ import annotations

from typing import NamedTuple

from curvine.httpd.streaming import Outgoing
from curvine.model.inode import SetAttr
from curvine.s3.context import Call, Rows, empty
from curvine.s3.errors import S3Error
from curvine.s3.keys import bucket_path
from curvine.s3.request import S3Request
from curvine.s3.store import Store
from curvine.s3.xmldoc import XML, Node, parse

ATTRIBUTE = "user.s3.cors"
_MAX = 64 * 1024
_METHODS = frozenset(("GET", "PUT", "POST", "DELETE", "HEAD"))


class Rule(NamedTuple):
    """One rule."""

    origins: list[str]
    methods: list[str]
    headers: list[str]
    expose: list[str]
    max_age: str


def _texts(node: Node, name: str) -> list[str]:
    return [child.text.strip() for child in node.all(name)]


def read_rules(raw: bytes) -> list[Rule]:
    """The rules of a document. MalformedXML, InvalidRequest."""
    rules = []
    for node in parse(raw, "CORSConfiguration").all("CORSRule"):
        rule = Rule(
            _texts(node, "AllowedOrigin"), _texts(node, "AllowedMethod"),
            _texts(node, "AllowedHeader"), _texts(node, "ExposeHeader"),
            node.value("MaxAgeSeconds") or "",
        )  # fmt: skip
        if not rule.origins or not rule.methods:
            raise S3Error("MalformedXML", "A CORSRule needs AllowedOrigin and AllowedMethod")
        unknown = [method for method in rule.methods if method not in _METHODS]
        if unknown:
            raise S3Error("InvalidRequest", f"CORS knows no method {unknown[0][:40]}")
        if any(origin.count("*") > 1 for origin in rule.origins) or (
            rule.max_age and not rule.max_age.isdigit()
        ):
            raise S3Error("InvalidRequest", "A CORS rule is not valid")
        rules.append(rule)
    if not rules:
        raise S3Error("MalformedXML", "There is no CORSRule")
    return rules


async def put_cors(call: Call) -> Outgoing:
    """PutBucketCors."""
    await call.store.places.bucket(call.request.bucket)
    body = await call.intake().read_all(_MAX)
    read_rules(body)
    changes = SetAttr(add_x_attr={ATTRIBUTE: body})
    await call.store.fs.set_attr(bucket_path(call.request.bucket), changes)
    return empty()


async def get_cors(call: Call) -> Outgoing:
    """GetBucketCors."""
    raw = await _stored(call.store, call.request.bucket)
    if not raw:
        raise S3Error("NoSuchCORSConfiguration", BucketName=call.request.bucket)
    return Outgoing(200, (("Content-Type", XML),), raw)


async def delete_cors(call: Call) -> Outgoing:
    """DeleteBucketCors."""
    await call.store.places.bucket(call.request.bucket)
    changes = SetAttr(remove_x_attr=(ATTRIBUTE,))
    await call.store.fs.set_attr(bucket_path(call.request.bucket), changes)
    return empty(204)


async def preflight(store: Store, request: S3Request) -> Outgoing:
    """OPTIONS: unauthenticated by its nature; tells nothing but the rule. CORSForbidden."""
    if not request.header("origin") or not request.header("access-control-request-method"):
        raise S3Error(
            "InvalidRequest", "A preflight names Origin and Access-Control-Request-Method"
        )
    headers = await cors_headers(
        store, request, request.header("access-control-request-method") or "", preflight=True
    )
    if not headers:
        raise S3Error("CORSForbidden")
    return empty(200, headers)


async def cors_headers(
    store: Store, request: S3Request, method: str, *, preflight: bool = False
) -> Rows:
    """What an answer to a page of another origin carries; empty where no rule fits."""
    origin = request.header("origin") or ""
    try:
        raw = await _stored(store, request.bucket)
        rules = read_rules(raw) if raw else []
    except S3Error:
        return []
    asked = [
        word.strip().lower()
        for word in (request.header("access-control-request-headers") or "").split(",")
        if word.strip()
    ]
    for rule in rules:
        if method not in rule.methods or not any(_fits(o, origin) for o in rule.origins):
            continue
        if not all(any(_fits(h.lower(), word) for h in rule.headers) for word in asked):
            continue
        every = "*" in rule.origins
        rows: Rows = [
            ("Access-Control-Allow-Origin", "*" if every else origin),
            ("Access-Control-Allow-Methods", ", ".join(rule.methods)),
            ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
        ]
        if not every:
            rows.append(("Access-Control-Allow-Credentials", "true"))
        if rule.expose:
            rows.append(("Access-Control-Expose-Headers", ", ".join(rule.expose)))
        if preflight and asked:
            rows.append(("Access-Control-Allow-Headers", ", ".join(asked)))
        if preflight and rule.max_age:
            rows.append(("Access-Control-Max-Age", rule.max_age))
        return rows
    return []


async def _stored(store: Store, bucket: str) -> bytes:
    return (await store.places.bucket(bucket)).x_attr.get(ATTRIBUTE, b"")


def _fits(pattern: str, value: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == value
    return (
        len(value) >= len(before) + len(after)
        and value.startswith(before)
        and value.endswith(after)
    )
