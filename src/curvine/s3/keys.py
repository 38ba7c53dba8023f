# SPDX-License-Identifier: Apache-2.0
"""Buckets and keys as paths of the namespace.

A bucket is a top-level directory, a key the path below it, component by component, so that what
S3 clients write is an ordinary file for everybody else and the other way round. S3 keys may be
more than paths; the rest gets names that begin with :data:`SPECIAL`:

- a component that no path can hold ("", ".", "..", or one that begins with SPECIAL itself)
  becomes ``SPECIAL + "e" + component``: it is never resolved, so no key leaves its bucket;
- the object ``dir/`` is the file ``dir/SPECIALdir``;
- the object ``dir``, where objects ``dir/...`` exist as well, is the file ``dir/SPECIALself``.

A directory that may have such names below it says so in an attribute (:data:`DIR_ATTRIBUTE`), so
that listings look for them only there.
"""

from __future__ import annotations

import re

from curvine.model.path import join, split
from curvine.s3.errors import S3Error

SPECIAL = ".curvine-s3."
HOME = ".curvine-s3"  # directory of uploads and unfinished objects, in the root or a mount
SELF = SPECIAL + "self"
DIR = SPECIAL + "dir"
_ESCAPE = SPECIAL + "e"
DIR_ATTRIBUTE = "user.s3.dir"  # on directories: a set of the letters below
IMPLICIT = "i"  # made for an object's sake: goes when the last object below it goes
HAS_SPECIAL = "s"  # names that begin with SPECIAL may be in it
MAX_KEY = 1024  # bytes

_NEW_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_ANY_BUCKET = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
RESERVED_BUCKETS = frozenset(("system",))  # credentials of the distributed mode


def check_new_bucket(name: str) -> None:
    """InvalidBucketName unless a bucket of that name may be made."""
    good = (
        _NEW_BUCKET.fullmatch(name)
        and ".." not in name
        and ".-" not in name
        and "-." not in name
        and not _ADDRESS.fullmatch(name)
        and not name.startswith("xn--")
        and not name.endswith(("-s3alias", "--ol-s3"))
    )
    if not good or name in RESERVED_BUCKETS:
        raise S3Error("InvalidBucketName", BucketName=name)


def is_bucket(name: str) -> bool:
    """Whether a top-level directory of that name is shown as a bucket."""
    return bool(_ANY_BUCKET.fullmatch(name)) and name not in RESERVED_BUCKETS


def bucket_path(bucket: str) -> str:
    """The directory of a bucket; NoSuchBucket for a name that cannot be one."""
    if not is_bucket(bucket):
        raise S3Error("NoSuchBucket", BucketName=bucket)
    return f"/{bucket}"


def encode_component(component: str) -> str:
    """The file name of one component."""
    if component in ("", ".", "..") or component.startswith(SPECIAL) or component == HOME:
        return _ESCAPE + component
    return component


def decode_component(name: str) -> str | None:
    """The component that a file name stands for; None for names that are none."""
    if not name.startswith(SPECIAL):
        return None if name == HOME else name
    return name[len(_ESCAPE) :] if name.startswith(_ESCAPE) else None


def check_key(key: str) -> None:
    """KeyTooLongError, InvalidArgument."""
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY:
        raise S3Error("KeyTooLongError")
    if "\0" in key:
        raise S3Error("InvalidArgument", "Keys cannot hold NUL characters")


def directory_of(bucket: str, parts: list[str]) -> str:
    """The path of a bucket's directory given by components of keys."""
    return "/".join((bucket_path(bucket), *map(encode_component, parts)))


def object_path(bucket: str, key: str) -> str:
    """The path of the file that holds an object, unless it is a directory (then SELF in it)."""
    check_key(key)
    *parents, last = key.split("/")
    parent = directory_of(bucket, parents)
    return join(parent, encode_component(last) if last else DIR)


def self_path(path: str) -> str:
    """Where the object is whose path is a directory."""
    return join(path, SELF)


def is_special(path: str) -> bool:
    """Whether the directory of ``path`` has to be marked HAS_SPECIAL."""
    return split(path)[1].startswith(SPECIAL)


def key_of(bucket: str, path: str) -> str | None:
    """The key that a path of the bucket stands for; None for none."""
    inside = path[len(bucket) + 2 :].split("/")
    if inside[-1] == SELF:
        inside.pop()
    elif inside[-1] == DIR:
        inside[-1] = _ESCAPE
    parts = [decode_component(name) for name in inside]
    return None if None in parts or not inside else "/".join(part or "" for part in parts)
