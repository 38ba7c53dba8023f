# SPDX-License-Identifier: Apache-2.0
"""Error bodies, and the table between error kinds on the wire and our error classes.

Body of an error reply, big endian (control-plane specification 2.1): i32 kind, u32 message length,
message in UTF-8, u32 extra length (0). It is never sent shorter: real clients do not check bounds.
"""

from __future__ import annotations

from struct import Struct

from curvine import errors
from curvine.errors import CurvineError

_KIND_AND_LENGTH = Struct(">iI")
_EXTRA = b"\0\0\0\0"
COMMON_KIND = 10000
MAX_MESSAGE = 64 * 1024  # longer texts are cut; no peer needs more

# One row a kind. Several kinds may share a class; the first row of a class is the one we send.
KINDS: tuple[tuple[int, type[CurvineError]], ...] = (
    (1, errors.IoFailed),
    (2, errors.NotLeader),
    (3, errors.RaftFailed),
    (4, errors.TimedOut),
    (5, errors.DecodeFailed),
    (6, errors.EncodeFailed),
    (7, errors.AlreadyExists),
    (8, errors.NotFound),
    (9, errors.InvalidFileSize),
    (10, errors.ParentNotDirectory),
    (11, errors.DirectoryNotEmpty),
    (12, errors.AbnormalData),
    (13, errors.BlockIsWriting),
    (14, errors.BlockInfoWrong),
    (15, errors.LeaseLost),
    (16, errors.InvalidPath),
    (17, errors.DiskOutOfSpace),
    (18, errors.InProgress),
    (19, errors.Unsupported),
    (20, errors.UfsFailed),
    (21, errors.Expired),
    (22, errors.UnsupportedUfsRead),
    (23, errors.JobNotFound),
    (24, errors.PipelineFailed),
    (25, errors.MinReplicasNotMet),
    (26, errors.IsADirectory),
    (27, errors.NotADirectory),
    (28, errors.InvalidArgument),
    (29, errors.BlockNotFound),
    (30, errors.ReadOnly),
    (31, errors.NoAvailableWorker),
    (32, errors.NoLocalPath),
    (33, errors.TransferFailed),
    (34, errors.TransferFailed),
    (35, errors.TransferFailed),
    (36, errors.TransferFailed),
    (COMMON_KIND, errors.Common),
)
_CLASS_OF_KIND: dict[int, type[CurvineError]] = dict(KINDS)
_KIND_OF_CLASS: dict[type[CurvineError], int] = {cls: kind for kind, cls in reversed(KINDS)}


def kind_of(error: CurvineError) -> int:
    """The wire kind of an error: its own, else that of the class it derives from, else Common."""
    for cls in type(error).__mro__:
        if cls in _KIND_OF_CLASS:
            return _KIND_OF_CLASS[cls]
    return COMMON_KIND


def encode_error(error: CurvineError) -> bytes:
    """The data part of an error reply."""
    return encode_error_body(kind_of(error), error.message)


def encode_error_body(kind: int, message: str) -> bytes:
    """The data part for a kind and a message."""
    text = message.encode("utf-8", "replace")[:MAX_MESSAGE]
    return _KIND_AND_LENGTH.pack(kind, len(text)) + text + _EXTRA


def decode_error(body: bytes | bytearray | memoryview) -> CurvineError:
    """The error in a reply's data part; a body too short to read gives Common."""
    if len(body) < _KIND_AND_LENGTH.size:
        return errors.Common("the peer answered with an error but said nothing about it")
    kind, length = _KIND_AND_LENGTH.unpack_from(body)
    start = _KIND_AND_LENGTH.size
    text = bytes(body[start : start + length]).decode("utf-8", "replace")
    return _CLASS_OF_KIND.get(kind, errors.Common)(text)
