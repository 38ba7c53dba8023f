# SPDX-License-Identifier: Apache-2.0
"""Answers to stat straight from the stored record, without building a status in between.

Most files of a namespace differ in little: id, path, name, times, length. What else a status of a
plain file tells is encoded once for all files that are alike; a message is the same whatever the
order of its fields, so the two parts are put one behind the other.
"""

from __future__ import annotations

from curvine.metadata.records import Inode, status_of
from curvine.model.inode import FileType
from curvine.wire.convert import fill_status
from curvine.wire.pb import common_pb2

_ALIKE_MAX = 4096
_OWN = ("id", "path", "name", "mtime", "atime", "ctime", "len")

_alike: dict[tuple[object, ...], bytes] = {}
_Status = common_pb2.FileStatusProto


def status_field(inode: Inode, path: str) -> bytes:
    """Field 1 of a message, a FileStatusProto: all of GetFileStatusResponse."""
    name = path.rpartition("/")[2]
    if inode.kind is not FileType.FILE or inode.xattrs or inode.ufs_mtime:
        whole = _Status()
        fill_status(whole, status_of(inode, path))
        return first_field(whole.SerializeToString())
    key = (
        inode.mode, inode.owner, inode.group, inode.nlink, inode.replicas, inode.block_size,
        inode.storage_type, inode.ttl_ms, inode.ttl_action, inode.state, not inode.writers,
        inode.target,
    )  # fmt: skip
    alike = _alike.get(key)
    if alike is None:
        alike = _encode_alike(key, inode)
    own = _Status(
        id=inode.id,
        path=path,
        name=name,
        mtime=inode.mtime,
        atime=inode.atime,
        ctime=inode.ctime or None,
        len=inode.len,
    )
    return first_field(own.SerializePartialToString() + alike)


def _encode_alike(key: tuple[object, ...], inode: Inode) -> bytes:
    if len(_alike) >= _ALIKE_MAX:
        _alike.clear()
    status = _Status()
    fill_status(status, status_of(inode, ""))
    for field in _OWN:
        status.ClearField(field)
    encoded = _alike[key] = status.SerializePartialToString()
    return encoded


def first_field(body: bytes) -> bytes:
    """``body`` as field 1 of a message."""
    size = len(body)
    if size < 0x80:
        return b"\n%c%b" % (size, body)
    if size < 0x4000:
        return b"\n%c%c%b" % (size & 0x7F | 0x80, size >> 7, body)
    length = bytearray(b"\n")
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length) + body
