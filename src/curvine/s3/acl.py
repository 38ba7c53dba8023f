# SPDX-License-Identifier: Apache-2.0
"""Access control lists: who owns a bucket or an object, and what others may do with it.

Every access key belongs to an owner. Keys of the owner :data:`ADMIN` (all that name no owner) may
do everything; other owners may do what an ACL grants them. A bucket without an ACL, such as a
directory that another door has made, belongs to ADMIN; an object without one to the bucket's owner.
Source: Amazon S3 user guide, "Access control list (ACL) overview".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from curvine.model.inode import FileStatus
from curvine.s3.errors import S3Error
from curvine.s3.request import S3Request
from curvine.s3.xmldoc import Child, Node, Raw, text

ADMIN = "curvine"
ATTRIBUTE = "user.s3.acl"  # of buckets; objects keep theirs in their record
READ, WRITE, READ_ACP, WRITE_ACP = "READ", "WRITE", "READ_ACP", "WRITE_ACP"
FULL_CONTROL = "FULL_CONTROL"
OWNER = "OWNER"  # not a grant: what only the owner may do
_HEADERS = (
    ("x-amz-grant-read", READ), ("x-amz-grant-write", WRITE), ("x-amz-grant-read-acp", READ_ACP),
    ("x-amz-grant-write-acp", WRITE_ACP), ("x-amz-grant-full-control", FULL_CONTROL),
)  # fmt: skip
_PERMISSIONS = frozenset(permission for _, permission in _HEADERS)
_GROUP = "http://acs.amazonaws.com/groups/global/"
ALL_USERS, SIGNED_USERS = _GROUP + "AllUsers", _GROUP + "AuthenticatedUsers"
_MAX_GRANTS = 100
CANNED = (
    "private", "public-read", "public-read-write", "authenticated-read", "bucket-owner-read",
    "bucket-owner-full-control",
)  # fmt: skip

Known = Callable[[str], str | None]  # the owner that has a canonical id; None = nobody


class Caller(NamedTuple):
    """Who asks. ``owner`` is "" for a request without a signature."""

    owner: str
    admin: bool = False


ANONYMOUS = Caller("")


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """One permission. ``grantee``: an owner's name, or the address of a group."""

    grantee: str
    permission: str


class Acl(msgspec.Struct, frozen=True):
    """The owner, and what is granted; the owner's own rights are a grant as well."""

    owner: str
    grants: list[Grant]

    def allows(self, caller: Caller, permission: str) -> bool:
        """Whether the caller may."""
        if caller.admin:
            return True
        if caller.owner and caller.owner == self.owner:
            if permission in (READ_ACP, WRITE_ACP, OWNER):
                return True  # nobody locks himself out for ever
        elif permission == OWNER:
            return False
        who = {ALL_USERS, SIGNED_USERS, caller.owner} if caller.owner else {ALL_USERS}
        return any(
            grant.grantee in who and grant.permission in (permission, FULL_CONTROL)
            for grant in self.grants
        )


_decoder = msgspec.json.Decoder(Acl)


def canonical_id(owner: str) -> str:
    """The canonical user id of an owner: 64 hex digits made from the name."""
    return hashlib.sha256(f"curvine-s3-owner:{owner}".encode()).hexdigest()


def canned(name: str, owner: str, bucket_owner: str = "") -> Acl:
    """A canned ACL. InvalidArgument."""
    if name not in CANNED:
        raise S3Error("InvalidArgument", f"The ACL has to be one of: {', '.join(CANNED)}",
            ArgumentName="x-amz-acl", ArgumentValue=name[:100])  # fmt: skip
    grants = [Grant(owner, FULL_CONTROL)]
    if name in ("public-read", "public-read-write"):
        grants.append(Grant(ALL_USERS, READ))
    if name == "public-read-write":
        grants.append(Grant(ALL_USERS, WRITE))
    if name == "authenticated-read":
        grants.append(Grant(SIGNED_USERS, READ))
    if name.startswith("bucket-owner") and bucket_owner not in ("", owner):
        grants.append(Grant(bucket_owner, READ if name.endswith("read") else FULL_CONTROL))
    return Acl(owner, grants)


def bucket_acl(status: FileStatus) -> Acl:
    """The ACL of a bucket, from its directory."""
    raw = status.x_attr.get(ATTRIBUTE)
    if raw is not None:
        try:
            return _decoder.decode(raw)
        except msgspec.DecodeError:
            pass  # damaged: the administrator's
    return canned("private", ADMIN)


def attribute(acl: Acl) -> dict[str, bytes]:
    """The attribute of a bucket's directory."""
    return {ATTRIBUTE: msgspec.json.encode(acl)}


def names_acl(request: S3Request) -> bool:
    """Whether the request's head says anything about an ACL."""
    return "x-amz-acl" in request.headers or any(name in request.headers for name, _ in _HEADERS)


def from_headers(request: S3Request, owner: str, bucket_owner: str, known: Known) -> Acl:
    """The ACL that the head asks for; private when it asks for none. InvalidArgument,
    InvalidRequest, UnresolvableGrantByEmailAddress."""
    name = request.header("x-amz-acl")
    grants: list[Grant] = []
    for header, permission in _HEADERS:
        for part in (request.header(header) or "").split(","):
            kind, _, value = part.strip().partition("=")
            if kind:
                grantee = _grantee(kind.strip().lower(), value.strip().strip('"'), known)
                grants.append(Grant(grantee, permission))
    if not grants:
        return canned(name or "private", owner, bucket_owner)
    if name is not None:
        raise S3Error("InvalidRequest", "x-amz-acl and x-amz-grant- headers exclude each other")
    return Acl(owner, _limited(grants))


def from_document(root: Node, owner: str, known: Known) -> Acl:
    """The ACL of an AccessControlPolicy. MalformedACLError, AccessDenied for another owner."""
    owners, lists = root.all("Owner"), root.all("AccessControlList")
    if len(owners) != 1 or len(lists) != 1:
        raise S3Error("MalformedACLError")
    if owners[0].value("ID") != canonical_id(owner):
        raise S3Error("AccessDenied", "An ACL does not change the owner")
    grants = []
    for node in lists[0].all("Grant"):
        permission, grantees = node.value("Permission"), node.all("Grantee")
        if permission not in _PERMISSIONS or len(grantees) != 1:
            raise S3Error("MalformedACLError")
        for element, kind in (("ID", "id"), ("URI", "uri"), ("EmailAddress", "emailaddress")):
            value = grantees[0].value(element)
            if value is not None:
                grants.append(Grant(_grantee(kind, value, known), permission))
                break
        else:
            raise S3Error("MalformedACLError")
    return Acl(owner, _limited(grants))


def _limited(grants: list[Grant]) -> list[Grant]:
    if len(grants) > _MAX_GRANTS:
        raise S3Error("MalformedACLError", f"An ACL has at most {_MAX_GRANTS} grants")
    return grants


def _grantee(kind: str, value: str, known: Known) -> str:
    if kind == "id":
        owner = known(value)
        if owner is not None:
            return owner
        raise S3Error("InvalidArgument", "Nobody here has this canonical user id",
            ArgumentName="CanonicalUser/ID", ArgumentValue=value[:100])  # fmt: skip
    if kind == "uri":
        if value in (ALL_USERS, SIGNED_USERS):
            return value
        raise S3Error("InvalidArgument", "The group is not known",
            ArgumentName="Group/URI", ArgumentValue=value[:100])  # fmt: skip
    if kind == "emailaddress":
        raise S3Error("UnresolvableGrantByEmailAddress")
    raise S3Error("InvalidArgument", "A grantee is given by id, uri or emailAddress")


def owner_rows(owner: str) -> list[Child]:
    """An owner in a document."""
    return [("ID", canonical_id(owner)), ("DisplayName", owner)]


def policy_rows(acl: Acl) -> list[Child]:
    """The AccessControlPolicy document; groups first, as other stores show them."""
    grants: list[Child] = []
    for grant in sorted(acl.grants, key=lambda grant: not grant.grantee.startswith(_GROUP)):
        name = grant.grantee
        if name.startswith(_GROUP):
            kind, inner = "Group", f"<URI>{name}</URI>"
        else:
            kind = "CanonicalUser"
            inner = f"<ID>{canonical_id(name)}</ID><DisplayName>{text(name)}</DisplayName>"
        grantee = (
            '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            f' xsi:type="{kind}">{inner}</Grantee>'
        )
        row: list[Child] = [("Grantee", Raw(grantee)), ("Permission", grant.permission)]
        grants.append(("Grant", row))
    return [("Owner", owner_rows(acl.owner)), ("AccessControlList", grants)]
