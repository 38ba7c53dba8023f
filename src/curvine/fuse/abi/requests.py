# SPDX-License-Identifier: Apache-2.0
"""From the bytes of one read of /dev/fuse to a request.

The device gives exactly one request per read. ``decode`` copies nothing: ``data`` is a view into
the caller's buffer and is valid until that buffer is read into again.
Source: include/uapi/linux/fuse.h.
"""

from __future__ import annotations

from typing import Any

from curvine.errors import ProtocolViolation
from curvine.fuse.abi import constants as c
from curvine.fuse.abi import structs as s
from curvine.fuse.abi.opcodes import BY_OPCODE, Operation

_HEADER_SIZE = s.IN_HEADER.size
_UNKNOWN_NAME = "unknown"
_PARSERS = {
    row.opcode: (row, s.LAYOUTS[row.body] if row.body else None, row.body)
    for row in BY_OPCODE.values()
}


class Request:
    """One request. ``operation`` is None for an opcode newer than the table (answer ENOSYS)."""

    __slots__ = (
        "body",
        "data",
        "gid",
        "mark",
        "names",
        "nodeid",
        "opcode",
        "operation",
        "pid",
        "uid",
        "unique",
    )

    opcode: int
    unique: int  # goes back in the reply as it is, bit 63 (sent again) included
    nodeid: int
    uid: int
    gid: int
    pid: int  # thread id in the caller's pid namespace, 0 when there is none
    operation: Operation | None
    body: Any  # the named tuple of the operation's row, or None
    names: tuple[bytes, ...]
    data: memoryview
    mark: int  # the session's: how many changes had been told when it came

    @property
    def resent(self) -> bool:
        """Whether a server that died had received this request before."""
        return self.unique >= c.UNIQUE_RESEND

    @property
    def name(self) -> str:
        return self.operation.name if self.operation else _UNKNOWN_NAME

    def __repr__(self) -> str:
        return f"<{self.name} unique={self.unique} node={self.nodeid} {self.body} {self.names}>"


_NO_DATA = memoryview(b"")  # a view of nothing would still hold the buffer of a whole WRITE


def decode(buffer: memoryview) -> Request:
    """The request in ``buffer`` (exactly the bytes of one read)."""
    if len(buffer) < _HEADER_SIZE:
        raise ProtocolViolation(f"a FUSE request of {len(buffer)} bytes is shorter than its header")
    length, opcode, unique, nodeid, uid, gid, pid, _ext = s.IN_HEADER.unpack_from(buffer)
    if length != len(buffer):
        raise ProtocolViolation(f"a FUSE request says {length} bytes and has {len(buffer)}")
    request = Request()
    request.opcode = opcode
    request.unique = unique
    request.nodeid = nodeid
    request.uid = uid
    request.gid = gid
    request.pid = pid
    request.mark = 0
    row, layout, body = _PARSERS.get(opcode, (None, None, None))
    request.operation = row
    position = _HEADER_SIZE
    if layout is not None and body is not None:
        if length - position < layout.size:
            raise ProtocolViolation(f"FUSE opcode {opcode}: {length} bytes are too few for it")
        request.body = body._make(layout.unpack_from(buffer, position))
        position += layout.size
    else:
        request.body = None
    if row is not None and row.names:
        parts = bytes(buffer[position:]).split(b"\0", row.names)
        if len(parts) <= row.names:
            raise ProtocolViolation(f"FUSE opcode {opcode}: a name lacks its end")
        request.names = tuple(parts[: row.names])
        request.data = buffer[length - len(parts[-1]) :] if parts[-1] else _NO_DATA
    else:
        request.names = ()
        request.data = buffer[position:] if position < length else _NO_DATA
    return request


def forgets(request: Request) -> list[tuple[int, int]]:
    """(node id, number of lookups to give back) of a FORGET or BATCH_FORGET."""
    if isinstance(request.body, s.ForgetIn):
        return [(request.nodeid, request.body.nlookup)]
    size = request.body.entries * s.FORGET_ONE.size
    return list(s.FORGET_ONE.iter_unpack(request.data[:size]))
