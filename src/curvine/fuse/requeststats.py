# SPDX-License-Identifier: Apache-2.0
"""How many requests of the kernel were answered, how fast, and with which errors.

Counted for every request, so it is kept to a look into a dictionary and one addition to a plain
list: about half a microsecond. Times are seconds.
"""

from __future__ import annotations

import errno
from time import perf_counter

from curvine.fuse.abi.opcodes import Opcode
from curvine.fuse.abi.requests import Request
from curvine.fuse.reading import FileSlice
from curvine.fuse.volume import Reply
from curvine.telemetry.metrics import Durations

_OK = b"\0\0\0\0"  # the error field of a reply's header
_HEADER = 16  # bytes of it
_NO_NODE = bytes(8)  # where an entry has its node: there is no such name
_LOOKUP, _READ, _WRITE = int(Opcode.LOOKUP), int(Opcode.READ), int(Opcode.WRITE)
_STREAM = frozenset((Opcode.READ, Opcode.WRITE, Opcode.FLUSH, Opcode.FSYNC, Opcode.RELEASE))
# Curvine's spelling where it is not the name with a capital.
_SPELLED = {
    "Getattr": "GetAttr", "Setattr": "SetAttr", "Mknod": "MkNod", "Rmdir": "RmDir",
    "Statfs": "StatFs", "Setxattr": "SetXAttr", "Getxattr": "GetXAttr",
    "Listxattr": "ListXAttr", "Removexattr": "RemoveXAttr", "Opendir": "OpenDir",
    "Readdir": "ReadDir", "Releasedir": "ReleaseDir", "Fsyncdir": "FsyncDir", "Getlk": "GetLk",
    "Setlk": "SetLk", "Setlkw": "SetLkW", "Fallocate": "FAllocate", "Readdirplus": "ReadDirPlus",
    "Syncfs": "SyncFs",
}  # fmt: skip


class RequestStats:
    """Counters of one mount."""

    def __init__(self) -> None:
        self.answered: dict[int, Durations] = {}  # by operation, without errors
        self.refused: dict[int, Durations] = {}  # by operation, with an error
        self.errors: dict[tuple[int, int], int] = {}  # by operation and errno
        self.read_local = 0  # bytes given from a block's file
        self.read_remote = 0  # bytes given from memory
        self.written = 0  # bytes

    def add(self, request: Request, reply: Reply, started: float) -> float:
        """A request that came at ``started`` is answered with ``reply``; how long it took (s)."""
        opcode = request.opcode
        seconds = perf_counter() - started
        table = self.answered
        if type(reply) is bytes and reply[4:8] != _OK:
            table = self.refused
            self._refused(opcode, -int.from_bytes(reply[4:8], "little", signed=True))
        elif opcode == _LOOKUP and type(reply) is bytes and reply[16:24] == _NO_NODE:
            table = self.refused  # though the kernel may remember that there is no such name
            self._refused(opcode, errno.ENOENT)
        elif opcode == _READ:
            self._read(reply)
        elif opcode == _WRITE:
            self.written += request.body.size
        durations = table.get(opcode)
        if durations is None:
            durations = table[opcode] = Durations()
        durations.add(seconds)
        return seconds

    def _read(self, reply: Reply) -> None:
        if isinstance(reply, FileSlice):
            self.read_local += reply.size
        elif isinstance(reply, bytes):
            self.read_remote += len(reply) - _HEADER
        elif reply is not None:
            self.read_remote += sum(map(len, reply)) - _HEADER

    def _refused(self, opcode: int, number: int) -> None:
        key = opcode, number
        self.errors[key] = self.errors.get(key, 0) + 1


def operation_name(opcode: int) -> str:
    """Curvine's name of an operation: "GetAttr"."""
    try:
        name = Opcode(opcode).name
    except ValueError:
        return str(opcode)
    plain = "".join(part.capitalize() for part in name.split("_"))
    return _SPELLED.get(plain, plain)


def kind_of(opcode: int) -> str:
    """Curvine's two kinds of requests."""
    return "stream" if opcode in _STREAM else "metadata"


def errno_name(number: int) -> str:
    """ "ENOENT" for 2."""
    return errno.errorcode.get(number, str(number))
